"""Every solution's Python runs after its chapter's last cell, and prints what the page says it prints.

The text is the page's own.  Printed numbers are compared on MNIST, for which they are given, to within 5 per cent; of
those that depend on a trained network, another one on each processor, only that there are as many, and the words.
"""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys

import pytest
from conftest import DATA_DIR, ROOT, copy_sources
from pages import Page, chapters

from lenet_utils import downloads

HAS_MNIST = all(path.exists() for path, _ in downloads.files("mnist", DATA_DIR).values())
NUMBER = re.compile(r"[-−+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")
EXECUTE = """
import json, sys, nbclient, nbformat
notebook = nbformat.read(sys.argv[1], as_version=4)
notebook.cells += [nbformat.v4.new_code_cell(source) for source in json.load(sys.stdin)]
nbclient.NotebookClient(notebook, timeout=600, startup_timeout=300, kernel_name="python3").execute()
said = {"stdout": "", "stderr": ""}
for part in notebook.cells[-1].outputs:
    if part.output_type == "stream":
        said[part.name] += part.text
print(json.dumps(said))
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


PAGES = [page for page in (chapters() if (ROOT / "_toc.yml").exists() else []) if page.solutions]
ALL = [(page.name, label) for page in PAGES for label in page.solutions]


@pytest.fixture(scope="module")
def executed(tmp_path_factory, book_environment):
    """What the solutions of a chapter print, in a kernel of its own; chapters run when they are asked for."""
    folder = copy_sources(tmp_path_factory.mktemp("solutions") / "tree") / "notebooks"
    known = {}

    def execute(page) -> dict[str, tuple[list[str], str | None]]:
        if page.name not in known:
            source = {label: [code for code, *_ in blocks] for label, blocks in page.solutions.items()}
            here = {"LENET_DATASET": "mnist", "LENET_DATA_DIR": str(DATA_DIR)} if HAS_MNIST else {}
            done = subprocess.run(
                [sys.executable, "-c", EXECUTE, page.notebook.name],
                input=json.dumps([RUN.format(solutions=source)]),
                cwd=folder,
                env=book_environment | {"PYTHONPATH": str(folder.parent), "MPLBACKEND": "agg"} | here,
                capture_output=True,
                encoding="utf8",
                check=False,
            )
            assert done.returncode == 0, done.stderr[-4_000:]
            said = json.loads(done.stdout)
            assert said["stderr"] == ""  # no reader should meet a warning
            known[page.name] = json.loads(said["stdout"])
        return known[page.name]

    return execute


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("name", "label"), ALL)
def test_a_solution_prints_what_the_page_says(executed, name, label):
    (page,) = [page for page in PAGES if page.name == name]
    printed, failure = executed(page)[label]
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
