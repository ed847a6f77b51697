"""Kernels forked from a warm process behave as kernels that start by themselves."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from conftest import ROOT

if not (ROOT / "book" / "_ext").exists():
    pytest.skip("the book is not beside the package: run this in a checkout", allow_module_level=True)
if sys.platform != "linux":
    pytest.skip("kernels are forked on Linux only", allow_module_level=True)

nbclient = pytest.importorskip("nbclient", reason="Jupyter Book is not installed: pip install -r requirements.txt")
nbformat = pytest.importorskip("nbformat")
pytestmark = pytest.mark.timeout(180)


@contextmanager
def importable():
    sys.path.insert(0, str(ROOT / "book" / "_ext"))
    try:
        import warm_kernels

        yield warm_kernels
    finally:
        sys.path.remove(str(ROOT / "book" / "_ext"))


@pytest.fixture(scope="module")
def warm():
    with importable() as module, module.WarmKernels() as kernels:
        yield kernels


def run(*cells: str, cwd, timeout: float = 60) -> list:
    """Execute the cells in one kernel; each cell's outputs."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = nbclient.NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name="python3",
        resources={"metadata": {"path": str(cwd)}},
        shutdown_kernel="immediate",
        extra_arguments=["--IPKernelApp.log_level=40"],
    )
    asyncio.run(client.async_execute())  # which closes the event loop; execute() leaves it open
    return [cell.outputs for cell in notebook.cells]


def value(outputs):
    return outputs[-1]["data"]["text/plain"]


def test_kernel_is_a_fork_with_everything_imported(warm, tmp_path):
    outputs = run("import os, sys", "os.getppid()", "'torch._dynamo' in sys.modules", cwd=tmp_path)
    assert value(outputs[1]) == str(warm.parent.pid)
    assert value(outputs[2]) == "True"


def test_kernel_has_the_callers_folder_environment_and_path(warm, tmp_path, monkeypatch):
    monkeypatch.setenv("LENET_FOR_THIS_TEST", "seen")
    (tmp_path / "beside_the_notebook.py").write_text("value = 5\n")
    cells = ["import os, sys", "os.getcwd()", "os.environ['LENET_FOR_THIS_TEST']", "import beside_the_notebook"]
    outputs = run(*cells, "[path for path in sys.path if path.endswith('_ext')]", cwd=tmp_path)
    assert value(outputs[1]) == repr(str(tmp_path))
    assert value(outputs[2]) == "'seen'"
    assert value(outputs[4]) == "[]"


def test_nothing_of_the_package_is_imported_beforehand(warm, tmp_path):
    outputs = run("import sys", "[name for name in sys.modules if name.startswith('lenet')]", cwd=tmp_path)
    assert value(outputs[1]) == "[]"


def test_figures_prints_and_child_processes_come_back(warm, tmp_path):
    outputs = run(
        "import matplotlib.pyplot as plt\nplt.plot([1, 2]);",
        "print('printed')",
        "import subprocess; subprocess.run(['false']).returncode",
        cwd=tmp_path,
    )
    assert "image/png" in outputs[0][0]["data"]
    assert outputs[1][0]["text"] == "printed\n"
    assert value(outputs[2]) == "1"


def test_kernels_side_by_side_share_nothing(warm, tmp_path):
    cells = ["import builtins, os", "hasattr(builtins, 'left_here')", "builtins.left_here = True", "os.getpid()"]
    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(lambda _: run(*cells, cwd=tmp_path), range(4)))
    assert {value(outputs[1]) for outputs in runs} == {"False"}
    assert len({value(outputs[3]) for outputs in runs}) == 4


def test_failing_cell_raises_with_its_traceback(warm, tmp_path):
    with pytest.raises(nbclient.exceptions.CellExecutionError, match="ZeroDivisionError"):
        run("1 / 0", cwd=tmp_path)


def test_cell_that_takes_too_long_is_stopped(warm, tmp_path):
    with pytest.raises(nbclient.exceptions.CellTimeoutError):
        run("import time; time.sleep(60)", cwd=tmp_path, timeout=2)


def test_kernel_that_dies_is_noticed(warm, tmp_path):
    with pytest.raises(nbclient.exceptions.DeadKernelError):
        run("import os; os._exit(3)", cwd=tmp_path)


def test_no_kernel_outlives_its_notebook(warm, tmp_path):
    pid = int(value(run("import os; os.getpid()", cwd=tmp_path)[0]))
    assert gone(pid)


def gone(pid: int, seconds: float = 10) -> bool:
    """Whether the process ends within so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def test_no_kernel_outlives_its_parent(tmp_path):
    with importable() as module, module.WarmKernels() as kernels, ThreadPoolExecutor(1) as pool:
        told = tmp_path / "pid"
        job = pool.submit(
            run,
            f"import os, pathlib, time; pathlib.Path({str(told)!r}).write_text(str(os.getpid()))\ntime.sleep(99)",
            cwd=tmp_path,
        )
        end = time.monotonic() + 60
        while not (told.exists() and told.read_text()) and time.monotonic() < end:
            time.sleep(0.1)
        kernels.parent.kill()
        assert gone(int(told.read_text()))
        assert isinstance(job.exception(30), nbclient.exceptions.DeadKernelError)


def test_what_an_import_prints_is_no_answer(tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text("print('a notice')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with importable() as module, module.WarmKernels() as kernels:
        for _ in range(2):
            assert value(run("import os; os.getppid()", cwd=tmp_path)[0]) == str(kernels.parent.pid)


def test_without_a_parent_kernels_start_as_always_and_afterwards_too(tmp_path):
    with importable() as module:
        with module.WarmKernels() as kernels:
            kernels.parent.kill()
            kernels.parent.wait()
            assert value(run("import os; os.getppid()", cwd=tmp_path)[0]) == str(os.getpid())
        assert value(run("import os; os.getppid()", cwd=tmp_path)[0]) == str(os.getpid())
