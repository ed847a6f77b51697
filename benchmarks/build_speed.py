"""How long the book takes to build, after installation: cold and warm on MNIST, cold and warm on the embedded digits.

Each cold build starts from a fresh copy of the tree, without caches or trained networks; the warm one repeats
``jupyter-book build .`` where the cold one just ended.  Beside them stands a yardstick, LeNet-5 learning alone on one
thread, because one processor's core is twice as fast as another's.  Takes ten to thirty minutes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from common import ROOT, report, seconds  # which also puts the checkout on the path

from lenet_utils import data, downloads
from lenet_utils.models import LeNet5, seeded
from lenet_utils.paths import data_dir
from lenet_utils.training import TrainConfig, train

REPEATS = 3
PROGRAM = "import sys; from jupyter_book.cli.main import main; sys.argv[0] = 'jupyter-book'; main()"
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", "data", "_build", ".cache", "__pycache__", "*.egg-info", "kernel-ipc-*"
)


def build(tree: Path, dataset: str, *options: str) -> None:
    """Run ``jupyter-book build .`` in ``tree``; what it printed is shown if it fails."""
    environment = os.environ | {
        "LENET_DATASET": dataset,
        "LENET_DATA_DIR": str(data_dir().resolve()),
        "LENET_CACHE_DIR": str(tree / ".cache"),
        "PYTHONPATH": str(tree),
    }
    command = [sys.executable, "-c", PROGRAM, "build", ".", *options]
    done = subprocess.run(
        command,
        cwd=tree,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf8",
        check=False,
    )
    if done.returncode:
        sys.exit(f"{done.stdout[-3_000:]}\nThe build failed: nothing to time.")


def yardstick() -> float:
    """Milliseconds for a step of LeNet-5 on 128 images, one thread: the mean of ten passes through the digits."""
    torch.set_num_threads(1)
    history = train(seeded(lambda: LeNet5("relu"), 0), data.load("digits"), TrainConfig(num_epochs=10), progress=False)
    return 1_000 * history.seconds / len(history.step_losses)


def main() -> None:
    """Build in turns; leave MNIST out where it is not on disk."""
    datasets = ["mnist", "digits"]
    if not all(path.exists() for path, _ in downloads.files("mnist", data_dir()).values()):
        print("MNIST is not on disk: timing the embedded digits only.")
        datasets = ["digits"]
    measured: dict[str, list[float]] = {}
    steps: list[float] = []
    for _ in range(REPEATS):
        steps.append(round(yardstick(), 2))
        print(f"a step of LeNet-5 alone: {steps[-1]} ms", flush=True)
        for dataset in datasets:
            with tempfile.TemporaryDirectory() as folder:
                tree = Path(shutil.copytree(ROOT, Path(folder, "tree"), ignore=LEFT_OUT))
                cold = seconds(lambda tree=tree, dataset=dataset: build(tree, dataset, "--all"))
                warm = seconds(lambda tree=tree, dataset=dataset: build(tree, dataset))
            measured.setdefault(f"{dataset}, cold", []).append(cold)
            measured.setdefault(f"{dataset}, nothing changed", []).append(warm)
            print(f"{dataset}: cold {cold:.1f} s, nothing changed {warm:.1f} s", flush=True)
        report("build_speed", measured, "s", lenet5_step_ms=steps)  # after each round, so that nothing is lost


if __name__ == "__main__":
    main()
