"""The table of claims: every claim with its verdict, of which a reader may show some."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping, Sequence

from lenet_utils.arguments import checked
from lenet_utils.widgets.page import Widget

NEEDED = ("group", "claim", "source", "place", "printed", "ours", "runs", "how", "tolerance", "verdict", "reason")
TITLES = ("claim", "printed", "measured", "verdict")


class ClaimsTable(Widget):
    """Claims by group, by verdict or by words in them; without JavaScript, all of them.

    Parameters
    ----------
    rows : list of dict of str
        As :meth:`lenet_utils.ledger.verdicts.Finding.row` gives them.

    Raises
    ------
    ValueError
        If there is no row, or a row lacks a field.
    """

    name = "claims-table"
    programs = ("claims-table",)

    @checked
    def __init__(self, rows: Sequence[Mapping[str, str]]) -> None:
        if not rows:
            raise ValueError("A table of claims needs at least one of them; got none.")
        for row in rows:
            if missing := {*NEEDED, "page", "label"} - set(row):
                raise ValueError(f"Every claim needs a field {sorted(missing)[0]!r}; got {sorted(row)}.")
        self.rows = rows
        super().__init__({})

    def __repr__(self) -> str:
        return f"ClaimsTable({len(self.rows)} claims): shown in notebooks and on the site"

    def content(self) -> str:
        """The controls, and the table with all its rows."""
        head = "".join(f'<th role="columnheader" scope="col">{title}</th>' for title in TITLES)
        return (
            f'{super().content()}<table role="table" aria-label="The claims"><thead role="rowgroup">'
            f'<tr role="row">{head}</tr></thead><tbody role="rowgroup">{"".join(map(_row, self.rows))}</tbody></table>'
        )


def _row(row: Mapping[str, str]) -> str:
    cell = {name: html.escape(text) for name, text in row.items()}
    on_site = os.environ.get("LENET_BOOK")  # set while the book is built
    address = f"{cell['page']}.html#{cell['label']}" if on_site else f"{cell['page']}.ipynb"
    where = f'in <a href="{address}">{cell["page"].replace("-", " ").capitalize()}</a>'
    ours = f"<b>{cell['ours']}</b>" + (cell["runs"] and f" (n = {cell['runs']})")
    notes = "; ".join(filter(None, (cell["how"], cell["tolerance"], where)))
    cells = (
        cell["printed"] and f"<b>{cell['printed']}</b>",
        f"{cell['ours'] and ours}<small>{notes}</small>",
        f"<b>{cell['verdict']}</b><small>{cell['reason']}</small>",
    )
    data = f'data-group="{cell["group"]}" data-verdict="{cell["verdict"]}"'
    claim = f"{cell['claim']}<small>{cell['source']}, {cell['place']}</small>"
    rest = "".join(f'<td role="cell" data-title="{t}">{c}</td>' for t, c in zip(TITLES[1:], cells, strict=True))
    return f'<tr role="row" {data}><th role="rowheader" scope="row">{claim}</th>{rest}</tr>'
