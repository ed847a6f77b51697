"""Rows to a small table: HTML in a notebook and on the site, aligned text in a terminal."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real

from lenet_utils.arguments import checked


@checked
@dataclass(frozen=True)
class Table:
    """A table that shows itself when it is the last expression of a cell.

    Integers get thousands separators, other numbers three significant digits, shapes a ``×`` between their sizes;
    ``None`` and ``""`` stay empty.  Numbers are aligned to the right.  The first column names the row; a row that it
    names ``"total"`` is set apart.

    Parameters
    ----------
    rows : list of dict
        One for each row, from column heading to value; the first row's keys are the columns, in order.
    caption : str
    formats : dict of str, optional
        By column heading, how its numbers are written, as in format strings: ``{"error (%)": ".2f"}``.

    Raises
    ------
    ValueError
        If there is no row, or rows or ``formats`` name different columns.

    Examples
    --------
    >>> print(Table([{"layer": "c1", "parameters": 156}, {"layer": "c5", "parameters": 48120}]))
    layer  parameters
    c1            156
    c5         48,120
    """

    rows: list[dict[str, object]]
    caption: str = ""
    formats: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        if not self.rows:
            raise ValueError("A table needs at least one row; got none.")
        columns = list(self.rows[0])
        for row in self.rows:
            if list(row) != columns:
                raise ValueError(f"Expected the columns {columns} in every row; got {list(row)}.")
        if unknown := [column for column in self.formats or {} if column not in columns]:
            raise ValueError(f"formats names {unknown}, but the columns are {columns}.")

    @property
    def columns(self) -> list[str]:
        """The headings, from left to right."""
        return list(self.rows[0])

    def __str__(self) -> str:
        lines = [self.columns, *([self._text(row, c) for c in self.columns] for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        right = [self._is_numeric(column) for column in self.columns]
        text = "\n".join(
            "  ".join(
                cell.rjust(width) if to_right else cell.ljust(width)
                for cell, width, to_right in zip(line, widths, right, strict=True)
            ).rstrip()
            for line in lines
        )
        return f"{self.caption}\n{text}" if self.caption else text

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head = "".join(f'<th scope="col"{self._align(c)}>{html.escape(c)}</th>' for c in self.columns)
        caption = f"<caption>{html.escape(self.caption)}</caption>" if self.caption else ""
        body = "\n".join(self._html_row(row) for row in self.rows)
        return (
            f'<div class="book-table" role="region" tabindex="0" style="overflow-x: auto" '
            f'aria-label="{html.escape(self.caption or "Table of " + ", ".join(self.columns))}">\n'
            f'<table class="table">\n{caption}<thead><tr>{head}</tr></thead>\n'
            f"<tbody>\n{body}\n</tbody>\n</table>\n</div>"
        )

    def _html_row(self, row: dict[str, object]) -> str:
        first, *others = self.columns
        is_total = row[first] == "total"
        start = '<tr class="total" style="border-top: 2px solid; font-weight: 600">' if is_total else "<tr>"
        cells = [f'<th scope="row"{self._align(first)}>{html.escape(self._text(row, first))}</th>']
        cells += [f"<td{self._align(c)}>{html.escape(self._text(row, c))}</td>" for c in others]
        return f"{start}{''.join(cells)}</tr>"

    def _align(self, column: str) -> str:
        side = "right" if self._is_numeric(column) else "left"
        return f' style="text-align: {side}"'

    def _is_numeric(self, column: str) -> bool:
        values = [row[column] for row in self.rows if row[column] not in (None, "")]
        return bool(values) and all(isinstance(value, Real) for value in values)

    def _text(self, row: dict[str, object], column: str) -> str:
        value = row[column]
        if value is None:
            return ""
        if isinstance(value, Real) and not isinstance(value, bool):
            default = "," if isinstance(value, Integral) else ".3g"
            return format(value, (self.formats or {}).get(column, default))
        if isinstance(value, tuple):
            return "×".join(map(str, value))
        return str(value)
