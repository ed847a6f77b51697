"""The blocks of a page of MyST: headings, paragraphs, lists, code, mathematics, directives."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from book_index import EQUATION, HEADING, LABEL

FENCE = re.compile(r"([`:]{3,})(?:\{([\w-]+)\})? ?(.*)")
LIST = re.compile(r"(?:[-*]|\d+\.) ")


class UnknownMystError(ValueError):
    """Markup that has no plain form yet; the message begins with its line."""


@dataclass(frozen=True)
class Block:
    """A block: its kind (of a directive, its name), the first line's argument, its lines, and where they begin."""

    kind: str
    argument: str
    lines: list[str]
    line: int


def blocks(lines: list[str], first: int = 1) -> Iterator[Block]:
    """The blocks of ``lines``, the first of which is line ``first`` of its page; comments and labels are left out.

    The text between ``{exercise-start}`` and ``{exercise-end}``, or those of a solution, is one block.

    Raises
    ------
    UnknownMystError
        If a block has no end.
    """
    place = 0
    while place < len(lines):
        line, start = lines[place], place
        if not line.strip() or line.startswith("% ") or LABEL.fullmatch(line):
            place += 1
        elif fence := FENCE.fullmatch(line):
            kind, argument = fence[2] or "code", fence[3]
            if kind == "code" and line[0] == ":":
                raise UnknownMystError(f"{first + start}: {line} closes nothing: remove it.")
            place = _end(lines, start, (fence[1],), first) + 1
            body = lines[start:place] if kind == "code" else lines[start + 1 : place - 1]
            if kind.endswith("-start"):
                kind = kind.removesuffix("-start")
                end = _end(lines, start, [f"{mark}{{{kind}-end}}" for mark in ("```", "````", ":::")], first)
                body += lines[place:end]
                place = _end(lines, end, (fence[1],), first) + 1
            yield Block(kind, argument, body, first + start + 1)
        elif line.startswith("$$"):
            closed = len(line) > 3 and line.endswith("$$")
            place = start + 1 if closed else _end(lines, start, ("$$",), first) + 1
            yield Block("math", "", lines[start:place], first + start)
        else:
            kind = "list" if LIST.match(line) else "heading" if HEADING.fullmatch(line) else "paragraph"
            place += 1
            while place < len(lines) and not _is_over(lines, place, kind):
                place += 1
            if kind == "paragraph" and any(one.startswith(": ") for one in lines[start:place]):
                kind = "definition"
            yield Block(kind, "", lines[start:place], first + start)


def _end(lines: list[str], start: int, marks: Sequence[str], first: int) -> int:
    for place in range(start + 1, len(lines)):
        if lines[place] in marks or ("$$" in marks and EQUATION.fullmatch(lines[place])):
            return place
    raise UnknownMystError(f"{first + start}: no line {marks[0]} ends what begins here before the next cell: add it.")


def _is_over(lines: list[str], place: int, kind: str) -> bool:
    """Whether the line at ``place`` no longer belongs to the heading, paragraph or list before it."""
    line = lines[place]
    if line.strip():
        starts = FENCE.match(line) or line.startswith(("$$", "% ")) or LABEL.fullmatch(line) or HEADING.fullmatch(line)
        return bool(starts) or kind == "heading"
    following = next((one for one in lines[place:] if one.strip()), "")
    return not (kind == "list" and (following.startswith("  ") or LIST.match(following)))
