"""Sentences whose numbers fill in, in a kernel and without one, and solutions that run when they are asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import nbclient
import nbformat
import pytest
from conftest import ROOT

from lenet_utils import notebook
from lenet_utils.notebook import MISSING, filled, glue, paragraph
from lenet_utils.paths import cache_dir


@pytest.fixture(autouse=True)
def fresh(monkeypatch, tmp_path):
    monkeypatch.setenv("LENET_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(notebook, "_here", notebook._Sentences())


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("$\\frac{a}{b}$ «error:.2f» %", "$\\frac{a}{b}$ 1.20 %"),
        ("«count:,» of «count»", "60,000 of 60000"),
        ("«words:.2f» and «words:s»", "not a number and not a number"),
        ("«absent:.1f» ± «absent»", f"{MISSING} ± {MISSING}"),
        ("«other::error:.1f»", "0.9"),
    ],
)
def test_what_is_known_is_filled_in(text, wanted):
    values = {"error": 1.2, "count": 60_000, "words": "not a number", "other::error": 0.94}
    assert filled(text, values) == wanted


def test_a_number_of_another_notebook_names_it_until_it_is_known():
    assert filled("«training::error» here", {}) == (
        f"{MISSING} here\n\n*Where {MISSING} stays, [training.ipynb](training.ipynb) measures the number: "
        "run it, then this cell again.*"
    )
    assert filled("«training::error» here", {"training::error": 1}) == "1 here"


def test_without_a_notebook_values_are_kept_and_nothing_is_shown(capsys):
    paragraph("training", "«error»")
    glue("error", 1.5)
    assert notebook._here.values == {"error": 1.5}
    assert capsys.readouterr().out == ""


def test_without_ipython_too():
    program = (
        "import sys; sys.modules['IPython'] = None\n"
        "from lenet_utils.notebook import _here, glue, paragraph\n"
        "paragraph('p', '«n»'); glue('n', 3, display=True); assert _here.values == {'n': 3}"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, encoding="utf8", check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_book_gets_what_it_asks_for(monkeypatch):
    myst_nb = pytest.importorskip("myst_nb")
    handed = []
    monkeypatch.setattr(myst_nb, "glue", lambda name, value, display: handed.append((name, value, display)))
    monkeypatch.setenv("LENET_BOOK", "1")
    glue("error", 1.5, display=False)
    assert handed == [("error", 1.5, False)]
    assert notebook._here.values == {}


def test_numbers_are_kept_for_other_notebooks():
    glue("early", 1)
    assert list(cache_dir().glob("measured-*")) == []  # no paragraph has said yet which notebook this is
    paragraph("training", "text")
    glue("error", 0.5)
    glue("picture", object())
    assert json.loads((cache_dir() / "measured-training.json").read_text()) == {"early": 1, "error": 0.5}
    assert notebook._elsewhere("«training::error» «absent::x»") == {"training::early": 1, "training::error": 0.5}


def test_a_cache_that_cannot_be_written_or_read_does_no_harm(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LENET_CACHE_DIR", str(tmp_path / "file"))
    paragraph("training", "text")
    glue("error", 0.5)
    monkeypatch.setenv("LENET_CACHE_DIR", str(tmp_path))
    (tmp_path / "measured-training.json").write_text("{")
    assert notebook._elsewhere("«training::error»") == {}


CELLS = [
    "%load_ext lenet_utils.notebook",
    'from lenet_utils.notebook import paragraph\nparagraph("page", r"""\nError «error:.2f» ± «sd:.1f» % of «n».\n""")',
    'from lenet_utils.notebook import glue\nglue("error", 1.234, display=False)',
    'import numpy as np\nglue("sd", np.float64(0.25), display=False); glue("n", "ten", display=False)',
    "%%solution\nprint('solved')\n6 * 7",
    "glue('error', 2.0, display=False)",
]


@pytest.mark.timeout(300)
def test_a_paragraph_on_top_shows_a_number_once_a_later_cell_has_measured_it(tmp_path):
    cells = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
    client = nbclient.NotebookClient(cells, timeout=120, startup_timeout=200, kernel_name="python3")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "LENET_CACHE_DIR": str(tmp_path)}
    shown = []
    with client.setup_kernel(env=environment):
        for place, cell in enumerate(cells.cells):
            client.execute_cell(cell, place)
            shown += [output.data["text/markdown"] for output in cells.cells[1].get("outputs", [])]
        said = "".join(output.text for output in cells.cells[4].outputs)
        assert said == "The code of a solution. Run this cell once more to run it.\n"
        client.execute_cell(cells.cells[4], 4)
        client.execute_cell(cells.cells[4], 4)  # twice in a row
        *said, result = cells.cells[4].outputs
    assert shown == [
        f"Error {MISSING} ± {MISSING} % of {MISSING}.",
        f"Error 1.23 ± {MISSING} % of {MISSING}.",
        "Error 1.23 ± 0.2 % of ten.",
        "Error 1.23 ± 0.2 % of ten.",
        "Error 2.00 ± 0.2 % of ten.",
    ]
    assert ("".join(part.text for part in said), result.data["text/plain"]) == ("solved\n", "42")
