"""The list of all that the package can refuse, read from its own source while the book is built."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

PACKAGE = Path(__file__).resolve().parents[2] / "lenet_utils"


def messages(source: str) -> Iterator[tuple[str, str]]:
    """The name of the exception and the sentence, of each that a module raises; "…" stands for what is filled in."""
    for node in ast.walk(ast.parse(source)):
        call = node.exc if isinstance(node, ast.Raise) else node.value if isinstance(node, ast.Return) else None
        if isinstance(call, ast.Call):
            name = getattr(call.func, "id", "")
            if name.endswith("Error") and call.args and (sentence := _sentence(call.args[0])):
                yield name, sentence


def _sentence(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(_sentence(part) if isinstance(part, ast.Constant) else "…" for part in node.values)
    return ""


class Messages(SphinxDirective):
    """A definition list of the messages of each module."""

    def run(self) -> list[nodes.Node]:
        found = []
        for path in sorted(PACKAGE.rglob("*.py")):
            source = path.read_text("utf8")
            self.env.note_dependency(str(path))
            items = [
                nodes.list_item("", nodes.paragraph("", "", nodes.literal("", name), nodes.Text(f" {sentence}")))
                for name, sentence in dict.fromkeys(messages(source))
            ]
            if items:
                module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
                found += [nodes.rubric("", module), nodes.bullet_list("", *items)]
        return found


def setup(app: Sphinx) -> dict:
    app.add_directive("messages", Messages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
