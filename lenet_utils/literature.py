"""What publications print: every number that a chapter sets its own beside, with its source and place, in one file."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from functools import cache

from lenet_utils.arguments import checked
from lenet_utils.paths import PACKAGE


@dataclass(frozen=True)
class Published:
    """One number, or one row of numbers, as printed; as a string it has its unit, source and place.

    Attributes
    ----------
    value : float, int, list or dict
    unit : str
        ``"%"`` for error rates; empty for counts.
    source : str
        A key of the book's bibliography.
    place : str
        Section, figure or table.
    what : str
    """

    value: float | int | list | dict
    unit: str
    source: str
    place: str
    what: str

    def __str__(self) -> str:
        return f"{self.value}{self.unit and f' {self.unit}'} ({self.source}, {self.place}): {self.what}"


@cache
def record() -> dict[str, Published]:
    """All of ``literature.json``, by name."""
    rows = json.loads((PACKAGE / "literature.json").read_text("utf8"))
    return {name: Published(**row) for name, row in rows.items()}


@checked
def published(name: str) -> Published:
    """What is printed under this name.

    Raises
    ------
    ValueError
        If there is nothing; the message names the nearest.

    Examples
    --------
    >>> published("lenet-5/test-error").value
    0.95
    >>> print(published("zip-1989/days"))
    3 days (lecun1989backpropagation, section 5): of training on a SUN-4/260
    """
    if name not in record():
        close = difflib.get_close_matches(name, record(), n=3)
        raise ValueError(f"Nothing is recorded as {name!r}{': did you mean ' + ', '.join(close) if close else ''}.")
    return record()[name]
