"""Measured numbers in a notebook's sentences, which fill in as its cells run; and solutions that wait to be asked.

In a notebook a paragraph with numbers is a folded cell that calls :func:`paragraph`.  Where its text says
``«test_error:.2f»``, it shows an ellipsis until a cell has called ``glue("test_error", …)``, and then that number,
wherever the paragraph stands.  On the book's pages the same call of :func:`glue` hands the number to the page.
"""

from __future__ import annotations

import contextlib
import json
import os
import re

from lenet_utils.paths import cache_dir, write_file

PLACE = re.compile(r"«(?:([\w-]+)::)?(\w+)(?::([^»]*))?»")
MISSING = "…"


class _Sentences:
    """What this kernel has measured, and the paragraphs it shows: one for each notebook, as a kernel is."""

    def __init__(self) -> None:
        self.page = ""
        self.values: dict[str, object] = {}
        self.shown: dict[str, object] = {}  # by text, the handles of their displays


_here = _Sentences()


def glue(name: str, value: object, display: bool = False) -> None:
    """Give a name to a number, or to a few words, that sentences quote.

    Parameters
    ----------
    name : str
        The key by which text asks for it.
    value : object
        An int, float or str; NumPy's and PyTorch's numbers count as such.
    display : bool
        Whether the cell shows the value, too.
    """
    value = value.item() if getattr(value, "ndim", None) == 0 else value
    if os.environ.get("LENET_BOOK"):  # set while the book is built
        from myst_nb import glue as hand_to_page

        hand_to_page(name, value, display=display)
        return
    _here.values[name] = value
    _remember()
    for text, handle in _here.shown.items():
        if any(page is None and key == name for page, key, _ in _places(text)):
            handle.update(_bundle(text), raw=True)
    if display and _shell():
        from IPython.display import display as show

        show(value)


def paragraph(page: str, text: str) -> None:
    """Show a paragraph of Markdown whose measured numbers fill in as they are measured.

    Outside of a notebook nothing is shown.

    Parameters
    ----------
    page : str
        The notebook's name.  Another notebook that quotes its numbers finds those of the last run under this name.
    text : str
        Markdown, in which ``«key:format»`` stands for a number, and ``«page::key:format»`` for one that another
        notebook measures.
    """
    _here.page, text = page, text.strip()
    if _shell() is None:
        return
    from IPython.display import display as show

    _here.shown[text] = show(_bundle(text), raw=True, display_id=True)


def filled(text: str, values: dict[str, object]) -> str:
    """A paragraph with the numbers that are known.

    Parameters
    ----------
    text : str
        As :func:`paragraph` takes it.
    values : dict
        The numbers by key; those of another page by ``page::key``.

    Returns
    -------
    str
        Markdown, with an ellipsis for each number that is not known.  If some of these belong to another notebook,
        a last sentence says which one measures them.

    Examples
    --------
    >>> filled("It misreads «error:.1f» %, and «other» % in the paper.", {"error": 0.96})
    'It misreads 1.0 %, and … % in the paper.'
    """
    elsewhere = set()

    def fill(found: re.Match) -> str:
        page, key, form = found.groups()
        name = f"{page}::{key}" if page else key
        if name not in values:
            elsewhere.update([page] if page else [])
            return MISSING
        try:
            return format(values[name], form or "")
        except (TypeError, ValueError):  # words in place of a number
            return str(values[name])

    text = PLACE.sub(fill, text)
    if elsewhere:
        names = " and ".join(f"[{page}.ipynb]({page}.ipynb)" for page in sorted(elsewhere))
        text += f"\n\n*Where {MISSING} stays, {names} measures the number: run it, then this cell again.*"
    return text


def load_ipython_extension(shell) -> None:
    """Teach a notebook ``%%solution``, by ``%load_ext lenet_utils.notebook``.

    A cell that begins with it holds the code of a solution, and "run all" passes it by: only when it is run twice in
    a row does it run its code.

    Parameters
    ----------
    shell : object
        The notebook's IPython.
    """

    def solution(line: str, cell: str) -> None:
        before, now = ["", *shell.user_ns["In"]][-2:]
        if before == now:
            shell.run_cell(cell)
        else:
            print("The code of a solution. Run this cell once more to run it.")

    shell.register_magic_function(solution, "cell")


def _shell():
    """The notebook's IPython, or None outside of any."""
    try:
        from IPython import get_ipython
    except ImportError:
        return None
    return get_ipython()


def _bundle(text: str) -> dict[str, str]:
    now = filled(text, _here.values | _elsewhere(text))
    return {"text/markdown": now, "text/plain": now}


def _places(text: str) -> list[tuple[str | None, str, str | None]]:
    return [found.groups() for found in PLACE.finditer(text)]


def _remember() -> None:
    """Keep this notebook's numbers for others that quote them; where nothing can be written, they do without."""
    if _here.page:
        plain = {name: value for name, value in _here.values.items() if isinstance(value, int | float | str)}
        with contextlib.suppress(OSError):
            write_file(_file_of(_here.page), json.dumps(plain).encode())


def _elsewhere(text: str) -> dict[str, object]:
    """What other notebooks measured when they were last run here, by ``page::key``."""
    found = {}
    for page in {page for page, *_ in _places(text) if page}:
        with contextlib.suppress(OSError, ValueError):
            values = json.loads(_file_of(page).read_bytes())
            found |= {f"{page}::{name}": value for name, value in values.items()}
    return found


def _file_of(page: str):
    return cache_dir() / f"measured-{page}.json"
