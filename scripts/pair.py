"""Write notebooks/*.ipynb from book/*.md, one way, and put the public address of ``_config.yml`` where it is needed.

The Markdown is the source: nothing is ever read from a notebook.  A notebook has the chapter's code cells, one to one,
and its text in plain Markdown.  Cells made for it are tagged: ``setup``; ``paragraph`` (text with measured numbers,
which fill in); ``caption``; ``solution`` (the code of one, to be run by itself).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
from book_index import Book
from myst_blocks import UnknownMystError
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from plain_markdown import Piece, PlainMarkdown

from lenet_utils.notebook import filled

ROOT = Path(__file__).resolve().parents[1]
HOSTED_CELL = re.compile(r'(?<=address = "lenet-utils @ git\+)[^"]*')
README_ADDRESS = re.compile(r"(?<=/github/)[^/\s]+/[^/\s]+(?=/blob/)|(?<=https://github\.com/)[^/\s)]+/[^/\s)]+")
FOLDED_TAGS = {"remove-cell", "remove-input", "hide-cell", "hide-input"}
FOLDED = {"jupyter": {"source_hidden": True}, "cellView": "form"}  # for JupyterLab and VS Code; for Colab
SETUP = "# text that fills in, and solutions that wait to be asked\n%load_ext lenet_utils.notebook"
PARAGRAPH = '''\
# text
from lenet_utils.notebook import paragraph

paragraph("{page}", r"""
{text}
""")'''


def notebook_of(book: Book, name: str) -> NotebookNode:
    """A chapter's notebook.

    Raises
    ------
    UnknownMystError
        If the chapter holds anything that has no plain form.
    """
    cells = _numbered(name, _setup_first(list(_cells(book, name))))
    metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return new_notebook(cells=cells, metadata=metadata | {"language_info": {"name": "python"}})


def _cells(book: Book, name: str) -> Iterator[NotebookNode]:
    source, plain, at = book.path(name).read_text("utf8"), PlainMarkdown(book, name), 0
    for cell in book.cells(name):
        at = max(at, source.find(cell.source, at))
        line = source.count("\n", 0, at) + 1
        if cell.cell_type == "markdown":
            for piece in plain.pieces(cell.source, line):
                yield _cell_of(name, piece)
            continue
        tags = cell.metadata.get("tags", [])
        yield _code(cell.source, tags, folded=bool(FOLDED_TAGS & set(tags)))
        if figure := cell.metadata.get("mystnb", {}).get("figure"):
            for piece in plain.caption(figure, line):
                yield _cell_of(name, piece, "caption")
    if references := plain.references():
        yield new_markdown_cell(references)


def _setup_first(cells: list[NotebookNode]) -> list[NotebookNode]:
    """The title, then the cell that fetches the package where it is missing, then all that may need it."""
    title = cells[0].source.partition("\n\n")
    hosted = next(cell for cell in cells if cell.cell_type == "code" and "paragraph" not in cell.metadata.tags)
    rest = [new_markdown_cell(title[2])] if title[2] else []
    rest += [cell for cell in cells[1:] if cell is not hosted]
    return [new_markdown_cell(title[0]), hosted, _code(SETUP, ["setup"], folded=True), *rest]


def _cell_of(name: str, piece: Piece, *tags: str) -> NotebookNode:
    if piece.kind == "markdown":
        return new_markdown_cell(piece.text, metadata={"tags": list(tags)} if tags else {})
    if piece.kind == "solution":
        return _code(f"%%solution\n{piece.text}", ["solution"], folded=True)
    cell = _code(PARAGRAPH.format(page=name, text=piece.text), ["paragraph", *tags], folded=True)
    cell.outputs = [new_output("display_data", data={"text/markdown": filled(piece.text, {})})]
    return cell


def _code(source: str, tags: list[str], folded: bool) -> NotebookNode:
    return new_code_cell(source, metadata=({"tags": tags} if tags else {}) | (FOLDED if folded else {}))


def _numbered(name: str, cells: list[NotebookNode]) -> list[NotebookNode]:
    for number, cell in enumerate(cells):
        cell["id"] = f"{name}-{number}"
    return cells


def main() -> None:
    """Set the address where it stands, then write every notebook, and remove those without a chapter."""
    book = Book(ROOT)
    address = book.config["repository"]["url"]
    slug = address.removeprefix("https://github.com/")
    places = [(ROOT / name, README_ADDRESS, slug) for name in ("README.md", "CITATION.cff")]
    for path, pattern, text in places + [(book.path(name), HOSTED_CELL, address) for name in book.chapters]:
        before = path.read_text("utf8")
        after = pattern.sub(text, before)
        if after != before:
            path.write_text(after, "utf8")
            print(f"{path.relative_to(ROOT)}: address set to {address}")
    refused = []
    for name in book.chapters:
        path = ROOT / "notebooks" / f"{name}.ipynb"
        try:
            path.write_text(nbformat.writes(notebook_of(book, name)) + "\n", "utf8")
            print(f"{path.relative_to(ROOT)} written")
        except UnknownMystError as problem:
            refused.append(str(problem))
    for notebook in ROOT.glob("notebooks/*.ipynb"):
        if notebook.stem not in book.chapters:
            notebook.unlink()
            print(f"{notebook.relative_to(ROOT)} removed: it has no chapter")
    if refused:
        sys.exit("\n".join(refused))


if __name__ == "__main__":
    main()
