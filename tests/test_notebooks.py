"""The notebooks run from their own folder, as readers open them, without a network; after each, its page's solutions.

On MNIST where it is there, else on the embedded digits, on which a test of the build runs every page as well.  The
solutions' Python is the page's own text.  What they print is compared on MNIST, for which it is given, to within 5 per
cent; of what depends on a trained network, another one on each processor, only that there are as many numbers, and the
words.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from conftest import DATA_DIR, NETWORKS, ROOT, copy_sources
from pages import Page, chapters

from lenet_utils import downloads
from lenet_utils.notebook import MISSING

HAS_MNIST = all(path.exists() for path, _ in downloads.files("mnist", DATA_DIR).values())
NUMBER = re.compile(r"[-−+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")
WAITING = "The code of a solution. Run this cell once more to run it.\n"
EXECUTE = """
import json, sys, nbclient, nbformat
notebook = nbformat.read(sys.argv[1], as_version=4)
notebook.cells += [nbformat.v4.new_code_cell(source) for source in json.load(sys.stdin)]
nbclient.NotebookClient(notebook, timeout=600, startup_timeout=300, kernel_name="python3").execute()
print(nbformat.writes(notebook))
"""
RUN = """
import contextlib, io, json, traceback
import matplotlib.pyplot

def run_solution(blocks):
    matplotlib.pyplot.close("all")  # as a notebook does after each cell
    namespace, printed = dict(globals()), []
    for block in blocks:
        out = io.StringIO()
        try:
            with contextlib.redirect_stdout(out):
                exec(compile(block, "solution", "exec"), namespace)
        except BaseException:
            return printed, traceback.format_exc()
        printed.append(out.getvalue())
    return printed, None

print(json.dumps({{name: run_solution(blocks) for name, blocks in {solutions}.items()}}))
"""


CHAPTERS = chapters() if (ROOT / "_toc.yml").exists() else []
SOLUTIONS = [(page.name, label) for page in CHAPTERS for label in page.solutions]


def slowly(test):
    return pytest.mark.slow(pytest.mark.timeout(1_200)(test))


@pytest.fixture(scope="module")
def executed(tmp_path_factory, book_environment):
    """A chapter's executed cells, and what its solutions print after them, in a kernel of its own, once it is asked.

    A network that the book's build has trained by this code on this data is not trained again.
    """
    folder = copy_sources(tmp_path_factory.mktemp("notebooks") / "tree") / "notebooks"
    for network in NETWORKS.glob("*.pt"):
        shutil.copy2(network, Path(book_environment["LENET_CACHE_DIR"]))
    known = {}

    def execute(name: str) -> tuple[list, dict[str, tuple[list[str], str | None]]]:
        if name not in known:
            (page,) = [page for page in CHAPTERS if page.name == name]
            source = {label: [code for code, *_ in blocks] for label, blocks in page.solutions.items()}
            here = {"LENET_DATASET": "mnist", "LENET_DATA_DIR": str(DATA_DIR)} if HAS_MNIST else {}
            known[name] = subprocess.run(
                [sys.executable, "-c", EXECUTE, page.notebook.name],
                input=json.dumps([RUN.format(solutions=source)]),
                cwd=folder,
                env=book_environment | {"PYTHONPATH": str(folder.parent), "MPLBACKEND": "agg"} | here,
                capture_output=True,
                encoding="utf8",
                check=False,
            )
        done = known[name]
        assert done.returncode == 0, done.stderr[-4_000:]
        *cells, last = nbformat.reads(done.stdout, as_version=4).cells
        assert {output.name for output in last.outputs} == {"stdout"}  # no reader should meet a warning
        return cells, json.loads("".join(output.text for output in last.outputs))

    return execute


@slowly
@pytest.mark.parametrize("name", [page.name for page in CHAPTERS])
def test_notebook_runs_silently(executed, name):
    outputs = [output for cell in executed(name)[0] for output in cell.get("outputs", [])]
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    assert any("Measured in this build: on " in str(output.get("data", "")) for output in outputs)


@slowly
@pytest.mark.parametrize("name", [page.name for page in CHAPTERS])
def test_every_sentence_has_its_numbers_once_all_cells_have_run(executed, name):
    """The headline on top included; what another notebook measures is named, if that one has not run."""
    for cell in executed(name)[0]:
        if "paragraph" in cell.metadata.get("tags", []):
            (output,) = cell.outputs
            text = output.data["text/markdown"]
            assert "«" not in text
            if "::" not in cell.source:
                assert text.count(MISSING) == cell.source.count(MISSING), text


@slowly
@pytest.mark.parametrize("name", [page.name for page in CHAPTERS])
def test_solutions_wait_to_be_asked(executed, name):
    for cell in executed(name)[0]:
        if "solution" in cell.metadata.get("tags", []):
            assert "".join(output.text for output in cell.outputs) == WAITING


@slowly
@pytest.mark.parametrize(("name", "label"), SOLUTIONS)
def test_a_solution_prints_what_the_page_says(executed, name, label):
    (page,) = [page for page in CHAPTERS if page.name == name]
    printed, failure = executed(name)[1][label]
    assert failure is None, failure
    for (_, instance, wanted), got in zip(page.solutions[label], printed, strict=True):
        if wanted and HAS_MNIST:
            assert same(wanted, got, math.inf if instance else 0.05), f"the page says\n{wanted}\nbut it prints\n{got}"


def same(wanted: str, got: str, tolerance: float = 0.05) -> bool:
    """Whether two texts say the same, numbers to within a tolerance, where … stands for anything."""
    parts = [re.escape(part) for part in NUMBER.sub("\0", " ".join(wanted.split())).split("…")]
    pattern = ".*?".join(parts).replace("\0", f"({NUMBER.pattern})")
    found = re.fullmatch(pattern, " ".join(got.split()))
    values = [_value(text) for text in NUMBER.findall(wanted)]
    return bool(found) and all(
        math.isinf(tolerance) or _value(one) == pytest.approx(other, rel=tolerance, abs=1e-9)
        for one, other in zip(found.groups(), values, strict=True)
    )


def _value(text: str) -> float:
    return float(text.replace(",", "").replace("−", "-"))


@pytest.mark.parametrize(
    ("wanted", "got", "agree"),
    [
        ("0 True\n", "0 True\n", True),
        ("error 3.10 % of 1,000", "error 3.2 % of 1000", True),
        ("error 3.10 %", "error 3.9 %", False),
        ("tensor(…) and 5", "tensor([7, 8]) and 5", True),
        ("0 True", "0 False", False),
        ("1 2", "1", False),
        ("-3.0 1e-5", "-3.1 1.02e-05", True),
    ],
)
def test_numbers_are_compared_with_care(wanted, got, agree):
    assert same(wanted, got) is agree


def test_an_instance_has_the_same_words_and_as_many_numbers():
    assert same("0 of 120, map 3", "2 of 120, map 0", math.inf)
    assert not same("0 of 120, map 3", "2 of 120, kernel 0", math.inf)
    assert not same("slopes: 1 2 3", "slopes: 1 2", math.inf)


def test_python_is_found_in_both_forms_of_a_solution(tmp_path):
    path = tmp_path / "page.md"
    path.write_text(
        "```{solution-start} one\n:class: dropdown\n```\nSo:\n\n```python\nprint(1)\n```\n\n```text\n1\n```\n"
        "```{solution-end}\n\n````{solution} two\n:class: dropdown\n\n```python\nx = 2\n```\n\n"
        "```python\nx\n```\n\nOn another machine, for instance:\n\n```text\n2\n```\n````\n"
    )
    two = [("x = 2\n", "", ""), ("x\n", "On another machine", "2\n")]
    assert Page(path).solutions == {"one": [("print(1)\n", "", "1\n")], "two": two}
