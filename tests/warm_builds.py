"""Builds of small books in processes that start warm: forks of one that has imported what every build imports.

These imports are most of what such a build costs.  Nothing of ``lenet_utils`` is among them: a build reads its own.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

IMPORTED = ["jupyter_book.cli.main", "jupyter_book.sphinx", "myst_nb", "torchvision.datasets", "sklearn.datasets"]


def build(tree: Path, environment: dict[str, str], options: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    """Run ``jupyter-book build .`` with these options in ``tree``, in this environment; not on Windows."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        process = context.Process(target=_main, args=(str(tree), environment, options, str(log)))
        process.start()
        process.join(1_200)
        process.kill()
        process.join()
        return subprocess.CompletedProcess(options, process.exitcode, log.read_text("utf8"))


def _main(tree: str, environment: dict[str, str], options: tuple[str, ...], log: str) -> None:
    with open(log, "w") as file:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(file.fileno(), stream.fileno())
            stream.reconfigure(encoding="utf8")
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(tree)
    sys.path[:] = [tree, *(path for path in sys.path if path.startswith((sys.prefix, sys.base_prefix)))]  # no test's
    sys.argv = ["jupyter-book", "build", ".", *options]
    from jupyter_book.cli.main import main

    try:
        main()
    except Exception:  # as the interpreter would, and multiprocessing does not
        sys.excepthook(*sys.exc_info())
        sys.exit(1)
