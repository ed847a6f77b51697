"""The book as its sources tell it: which pages there are, and what stands in each."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import jupytext
import yaml

ROOT = Path(__file__).resolve().parent.parent
GLUE_ROLE = re.compile(r"\{glue(?::\w+)?\}`([^`]+)`")
SOLUTION_CODE = re.compile(
    r"^```python\n(.*?)^```\n(?:\s*(?:^(On another machine), for instance:\n\s*)?^```text\n(.*?)^```\n)?",
    re.DOTALL | re.MULTILINE,
)
GLUE_DIRECTIVE = re.compile(r"^[`:]{3,}\{glue(?::\w+)?\}\s*(\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Page:
    """One Markdown page of the book."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def notebook(self) -> Path:
        return ROOT / "notebooks" / f"{self.name}.ipynb"

    @cached_property
    def text(self) -> str:
        return self.path.read_text("utf8")

    @property
    def is_executable(self) -> bool:
        return re.match(r"---\n(.*\n)*?kernelspec:\n", self.text) is not None

    @cached_property
    def cells(self) -> list:
        return jupytext.reads(self.text, fmt="md:myst").cells

    @property
    def code(self) -> list:
        return [cell for cell in self.cells if cell.cell_type == "code"]

    @property
    def prose(self) -> str:
        return "\n\n".join(cell.source for cell in self.cells if cell.cell_type == "markdown")

    @cached_property
    def glued(self) -> dict[str, re.Pattern]:
        """Each key that a cell glues, as it is written, with a pattern that its run-time values match."""
        keys = {}
        for cell in self.code:
            for node in ast.walk(ast.parse(cell.source)):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "glue":
                    keys |= _key(node.args[0])
        return keys

    @cached_property
    def used(self) -> list[tuple[str, str]]:
        """Page and key of each number that stands in this page's prose and captions."""
        found = []
        for role in GLUE_ROLE.findall(self.text) + GLUE_DIRECTIVE.findall(self.text):
            page, _, key = role.rpartition("::")
            found.append((Path(page).stem if page else self.name, key.split(":")[0].strip()))
        return found

    @cached_property
    def solutions(self) -> dict[str, list[tuple[str, str, str]]]:
        """By label, the Python blocks of each solution that has any: code, "On another machine" or nothing, the output.

        "On another machine, for instance:" stands before numbers of trained networks: each processor trains its own.
        """
        whole = re.findall(
            r"^```\{solution-start\} (\S+)\n(.*?)^```\{solution-end\}", self.text, re.DOTALL | re.MULTILINE
        )
        inside = re.findall(r"^(`{4,})\{solution\} (\S+)\n(.*?)^\1$", self.text, re.DOTALL | re.MULTILINE)
        whole += [(label, text) for _, label, text in inside]
        return {label: blocks for label, text in whole if (blocks := SOLUTION_CODE.findall(text))}


def _key(node: ast.expr) -> dict[str, re.Pattern]:
    if isinstance(node, ast.Constant):
        return {node.value: re.compile(re.escape(node.value))}
    if isinstance(node, ast.JoinedStr):
        parts = [re.escape(part.value) if isinstance(part, ast.Constant) else r"\w+" for part in node.values]
        return {ast.unparse(node): re.compile("".join(parts))}
    raise AssertionError(f"glue({ast.unparse(node)}, …): write the key as a string, so that readers can find it")


def config() -> dict:
    return yaml.safe_load((ROOT / "_config.yml").read_text("utf8"))


def toc() -> list[str]:
    """The pages in reading order, as ``_toc.yml`` names them."""

    def walk(entry):
        if isinstance(entry, dict):
            yield from (str(entry[key]) for key in ("root", "file") if key in entry)
            entry = [entry[key] for key in ("parts", "chapters", "sections") if key in entry]
        if isinstance(entry, list):
            for part in entry:
                yield from walk(part)

    return list(walk(yaml.safe_load((ROOT / "_toc.yml").read_text("utf8"))))


def pages() -> list[Page]:
    """The pages that exist; a test compares them with the table of contents."""
    return [page for name in toc() if (page := Page(ROOT / f"{name}.md")).path.exists()]


def chapters() -> list[Page]:
    """The pages that run code."""
    return [page for page in pages() if page.is_executable]
