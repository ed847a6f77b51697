"""Write notebooks/*.ipynb from book/*.md, one way, and put the public address of ``_config.yml`` where it is needed.

The Markdown is the source: nothing is ever read from a notebook.
"""

from __future__ import annotations

import re
from pathlib import Path

import jupytext
import yaml

ROOT = Path(__file__).resolve().parents[1]
HOSTED_CELL = re.compile(r'(?<=address = "lenet-utils\[notebooks\] @ git\+)[^"]*')
README_ADDRESS = re.compile(r"(?<=/github/)[^/\s]+/[^/\s]+(?=/blob/)|(?<=https://github\.com/)[^/\s)]+/[^/\s)]+")


def address() -> str:
    """The repository's public address, which ``_config.yml`` alone holds."""
    return yaml.safe_load((ROOT / "_config.yml").read_text("utf8"))["repository"]["url"]


def chapters() -> list[Path]:
    """The executable pages: those that name a kernel."""
    return [path for path in sorted(ROOT.glob("book/*.md")) if "\nkernelspec:\n" in path.read_text("utf8")]


def notebook_of(chapter: Path) -> Path:
    """Where a chapter's notebook lies."""
    return ROOT / "notebooks" / f"{chapter.stem}.ipynb"


def main() -> None:
    """Set the address where it stands, then write every notebook, and remove those without a chapter."""
    slug = address().removeprefix("https://github.com/")
    places = [(ROOT / name, README_ADDRESS, slug) for name in ("README.md", "CITATION.cff")]
    for path, pattern, text in places + [(path, HOSTED_CELL, address()) for path in chapters()]:
        before = path.read_text("utf8")
        after = pattern.sub(text, before)
        if after != before:
            path.write_text(after, "utf8")
            print(f"{path.relative_to(ROOT)}: address set to {address()}")
    config = jupytext.config.load_jupytext_configuration_file(str(ROOT / "jupytext.toml"))
    for chapter in chapters():
        notebook = jupytext.read(chapter, fmt="md:myst", config=config)
        for number, cell in enumerate(notebook.cells):
            cell["id"] = f"{chapter.stem}-{number}"
        jupytext.write(notebook, notebook_of(chapter), fmt="ipynb", config=config)
        print(f"{notebook_of(chapter).relative_to(ROOT)} written")
    for notebook in ROOT.glob("notebooks/*.ipynb"):
        if notebook not in map(notebook_of, chapters()):
            notebook.unlink()
            print(f"{notebook.relative_to(ROOT)} removed: it has no chapter")


if __name__ == "__main__":
    main()
