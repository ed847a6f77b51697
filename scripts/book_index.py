"""What text refers to: labels of sections, figures, equations and exercises on all pages; and the references."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote

import jupytext
import yaml
from pybtex.backends.markdown import Backend
from pybtex.database import parse_file

LABEL = re.compile(r"\(([\w-]+)\)=")
HEADING = re.compile(r"(#{1,6}) (.+)")
EQUATION = re.compile(r"\$\$ \(([\w-]+)\)")
EXERCISE = re.compile(r"`{3,}\{exercise(?:-start)?\} (.+)\n:label: ([\w-]+)")
CODE = re.compile(r"^(`{3,})\w+\n.*?^\1$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Target:
    """A place in the book: its page, the heading above it ("" for the page's title), and how text names it."""

    page: str
    label: str
    kind: str
    heading: str
    text: str


@dataclass(frozen=True)
class Book:
    """The book in the folder ``root``, as its sources tell it."""

    root: Path

    @cached_property
    def config(self) -> dict:
        return yaml.safe_load((self.root / "_config.yml").read_text("utf8"))

    @property
    def site(self) -> str:
        """Where the repository's owner publishes the site."""
        owner, name = self.config["repository"]["url"].rstrip("/").split("/")[-2:]
        return f"https://{owner}.github.io/{name}"

    @cached_property
    def pages(self) -> dict[str, str]:
        """Each page's number, or "" where the table of contents gives none, by its name and in reading order."""
        toc = yaml.safe_load((self.root / "_toc.yml").read_text("utf8"))
        numbers, count = {Path(toc["root"]).name: ""}, 0
        for part in toc["parts"]:
            for entry in part["chapters"]:
                count += bool(part.get("numbered"))
                numbers[Path(entry["file"]).name] = str(count) if part.get("numbered") else ""
        return {name: number for name, number in numbers.items() if self.path(name).exists()}

    def path(self, name: str) -> Path:
        return self.root / "book" / f"{name}.md"

    @cached_property
    def chapters(self) -> list[str]:
        """The executable pages: those that name a kernel."""
        return [name for name in self.pages if "\nkernelspec:\n" in self.path(name).read_text("utf8")]

    def cells(self, name: str) -> list:
        """The cells of a chapter; another page is one Markdown cell."""
        return jupytext.read(self.path(name), fmt="md:myst").cells

    @cached_property
    def targets(self) -> dict[str, Target]:
        """All that has a label, by label, numbered as the site numbers it."""
        found, of_the_rest = {}, Counter()
        for name, chapter in self.pages.items():
            prefix, counts = (f"{chapter}.", Counter()) if chapter else ("", of_the_rest)
            for target in self._targets_of(name, prefix, counts):
                if target.label in found:
                    raise ValueError(f"book/{name}.md: the label {target.label} is in use already: choose another.")
                found[target.label] = target
        return found

    def _targets_of(self, name: str, prefix: str, counts: Counter) -> Iterator[Target]:
        heading, waiting, equations = "", [], 0
        for cell in self.cells(name):
            if cell.cell_type == "code":
                if figure := cell.metadata.get("mystnb", {}).get("figure"):
                    counts["figure"] += 1
                    yield Target(name, figure["name"], "figure", heading, f"Fig. {prefix}{counts['figure']}")
                continue
            for above, line in pairwise(["", *CODE.sub("", cell.source).splitlines()]):
                if label := LABEL.fullmatch(line):
                    waiting.append(label[1])
                elif found := HEADING.fullmatch(line):
                    heading = found[2] if len(found[1]) > 1 else ""
                    yield from (Target(name, one, "section", heading, found[2]) for one in waiting)
                    waiting = []
                elif line.strip():  # what stands below a label without being a heading has no name of its own
                    yield from (Target(name, one, "place", heading, "") for one in waiting)
                    waiting = []
                if label := EQUATION.fullmatch(line):
                    equations += 1
                    yield Target(name, label[1], "equation", heading, f"({equations})")
                if exercise := EXERCISE.fullmatch(f"{above}\n{line}"):
                    counts["exercise"] += 1
                    text = f"Exercise {prefix}{counts['exercise']}"
                    yield Target(name, exercise[2], "exercise", f"{text} · {exercise[1]}", text)

    @cached_property
    def references(self) -> dict[str, tuple[str, str]]:
        """Label ("LeCun et al., 1998") and full reference in Markdown, by key, in the order of the site's list."""
        sys.path.append(str(self.root / "book" / "_ext"))
        from author_year import AuthorYearStyle

        entries = parse_file(str(self.root / "book" / "references.bib"), "bibtex")
        found = {}
        for entry in AuthorYearStyle().format_bibliography(entries):
            text = re.sub(r"\\([^*_`\[\]\\])", r"\1", entry.text.render(Backend()))  # it escapes more than needs be
            found[entry.key] = entry.label, text.replace("\n", " ")
        return found

    def address(self, target: Target, page: str) -> str:
        """Where a link on ``page``'s notebook leads: into the notebook, to another one, or to the site's page."""
        anchor = anchor_of(target.heading) if target.heading else ""
        if target.page == page:
            return anchor or anchor_of(title_of(self.path(page)))
        if target.page in self.chapters:
            return f"{target.page}.ipynb{anchor}"
        return f"{self.site}/book/{target.page}.html#{target.label}"


def title_of(path: Path) -> str:
    """A page's title."""
    return re.search(r"^# (.+)$", path.read_text("utf8"), re.MULTILINE)[1]


def anchor_of(heading: str) -> str:
    """The address of a heading within a notebook, as JupyterLab makes it."""
    return "#" + re.sub(r"[()<>\[\]%\"\\]", lambda found: quote(found[0]), heading.replace(" ", "-"))
