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

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
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
    assert executed[name].returncode == 0, executed[name].stderr[-4_000:]
    outputs = [
        output
        for cell in nbformat.reads(executed[name].stdout, as_version=4).cells
        for output in cell.get("outputs", [])
    ]
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    assert any("scikit-learn carries" in str(output.get("data", "")) for output in outputs)  # its provenance
