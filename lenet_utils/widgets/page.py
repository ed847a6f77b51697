"""What all widgets share in Python: HTML that holds its data, its style and its program, and needs no other file."""

from __future__ import annotations

import json
import re
from pathlib import Path

from lenet_utils.arguments import checked

# Blank lines, lines of comment, indentation:
NOT_NEEDED = re.compile(r"^[ \t]*(?://.*|/\*(?:.|\n)*?\*/[ \t]*)?\n|^[ \t]+", re.MULTILINE)
WEB = Path(__file__).with_name("web")
SHARED = "widget"


class Widget:
    """Something to touch, in a notebook and on the site, with no server and no other file.

    A subclass names its files in ``web/``: ``name`` is the root element's class after ``lenet-``, the HTML file and the
    style; ``programs`` are the JavaScript files it needs besides ``widget.js``, in order.

    Parameters
    ----------
    spec : dict
        What the program reads, as JSON.
    """

    name: str
    programs: tuple[str, ...]
    workers: tuple[str, ...] = ()  # programs that the page hands to a worker, as text

    @checked
    def __init__(self, spec: dict) -> None:
        self.spec = spec

    def content(self) -> str:
        """What stands in the page before its program runs: the HTML file, unless a subclass adds to it."""
        return _read("html", self.name)

    def _repr_html_(self) -> str:
        data = json.dumps(self.spec).replace("<", "\\u003c")  # so that no name ends the script or opens a comment
        worker = f'<script type="text/plain">{_read("js", *self.workers)}</script>' if self.workers else ""
        program = _read("js", SHARED, *self.programs)
        return (
            f"<style>{_read('css', SHARED, self.name)}</style>"
            f'<div class="lenet-widget lenet-{self.name}"><script type="application/json">{data}</script>{worker}'
            f"{self.content()}<noscript><p>To touch this, allow JavaScript.</p></noscript></div>"
            f"<script>(() => {{\n{program}}})();</script>"
        )


def _read(ending: str, *names: str) -> str:
    """Files of ``web/``, one after the other, without what only their reader needs."""
    return "\n".join(NOT_NEEDED.sub("", (WEB / f"{name}.{ending}").read_text("utf8")) for name in names)
