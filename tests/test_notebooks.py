"""The notebooks run from their own folder, as readers open them, on the embedded digits and without a network."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import nbformat
import pytest
from conftest import ROOT, copy_sources
from pages import chapters

from lenet_utils.notebook import MISSING

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_200)]
WAITING = "The code of a solution. Run this cell once more to run it.\n"
CHAPTERS = chapters() if (ROOT / "_toc.yml").exists() else []
EXECUTE = """
import sys, nbclient, nbformat
notebook = nbformat.read(sys.argv[1], as_version=4)
nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
print(nbformat.writes(notebook))
"""


@pytest.fixture(scope="module")
def executed(tmp_path_factory, book_environment) -> dict[str, subprocess.CompletedProcess[str]]:
    """Every notebook, executed in a process of its own from ``notebooks/``, as many at a time as there are cores."""
    folder = copy_sources(tmp_path_factory.mktemp("notebooks") / "tree") / "notebooks"

    def execute(page) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", EXECUTE, page.notebook.name],
            cwd=folder,
            env=book_environment | {"PYTHONPATH": str(folder.parent)},
            capture_output=True,
            encoding="utf8",
            check=False,
        )

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip((page.name for page in CHAPTERS), pool.map(execute, CHAPTERS), strict=True))


@pytest.mark.parametrize("name", [page.name for page in CHAPTERS])
def test_notebook_runs_silently(executed, name):
    outputs = [output for cell in cells_of(executed[name]) for output in cell.get("outputs", [])]
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    assert any("scikit-learn carries" in str(output.get("data", "")) for output in outputs)  # its provenance


@pytest.mark.parametrize("name", [page.name for page in CHAPTERS])
def test_every_sentence_has_its_numbers_once_all_cells_have_run(executed, name):
    """The headline on top included; what another notebook measures is named, if that one has not run."""
    for cell in cells_of(executed[name]):
        if "paragraph" in cell.metadata.get("tags", []):
            (output,) = cell.outputs
            text = output.data["text/markdown"]
            assert "«" not in text
            if "::" not in cell.source:
                assert text.count(MISSING) == cell.source.count(MISSING), text


@pytest.mark.parametrize("name", [page.name for page in CHAPTERS])
def test_solutions_wait_to_be_asked(executed, name):
    for cell in cells_of(executed[name]):
        if "solution" in cell.metadata.get("tags", []):
            assert "".join(output.text for output in cell.outputs) == WAITING


def cells_of(done: subprocess.CompletedProcess[str]) -> list:
    assert done.returncode == 0, done.stderr[-4_000:]
    return nbformat.reads(done.stdout, as_version=4).cells
