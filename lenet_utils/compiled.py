"""The lean step compiled on the reader's machine, where it has a C compiler: the same steps in a quarter of the time.

Nothing depends on it: without a compiler, or with ``LENET_COMPILE=0``, :mod:`lenet_utils.lean` does the same.
"""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from functools import lru_cache
from pathlib import Path

import numpy as np
from torch import Tensor

from lenet_utils.flat import FlatLeNet5
from lenet_utils.lean import LeanLeNet5
from lenet_utils.original import LeNet5Original

FLAGS = ["-O3", "-march=native", "-ffast-math"]
if platform.machine() in ("x86_64", "AMD64"):
    FLAGS.append("-mprefer-vector-width=512")


class CompiledLeNet5(FlatLeNet5):
    """Learns as :class:`lenet_utils.lean.LeanLeNet5` does, in float32, in compiled code.

    Parameters are those of :class:`lenet_utils.flat.FlatLeNet5`; RuntimeError where nothing can be compiled.
    """

    def __init__(self, model: LeNet5Original, loss: str = "map", j: float = 0.1) -> None:
        if compiled() is None:
            raise RuntimeError("No C compiler can be used here: take fastest(model), or LeanLeNet5(model).")
        super().__init__(model, loss, j)

    def learn(self, images: Tensor, labels: Tensor) -> tuple[int, float]:
        """As in :class:`lenet_utils.lean.LeanLeNet5`."""
        return self._run(images, labels, learn=True)

    def judge(self, images: Tensor, labels: Tensor) -> tuple[int, float]:
        """As in :class:`lenet_utils.lean.LeanLeNet5`."""
        return self._run(images, labels, learn=False)

    def _run(self, images: Tensor, labels: Tensor, learn: bool) -> tuple[int, float]:
        pixels = np.ascontiguousarray(images.numpy(), dtype=np.float32)
        classes = np.ascontiguousarray(labels.numpy(), dtype=np.int64)
        if pixels.shape != (len(classes), 1, 32, 32):
            raise ValueError(f"Expected one label for each image (N, 1, 32, 32); got {pixels.shape}, {classes.shape}.")
        if len(classes) and not 0 <= classes.min() <= classes.max() <= 9:
            raise ValueError(f"Expected labels from 0 to 9; got {classes.min()} to {classes.max()}.")
        losses = ctypes.c_double()
        arrays = (a.ctypes.data_as(ctypes.c_void_p) for a in (self.theta, self.rate, self.prototypes, pixels, classes))
        wrong = compiled()(*arrays, len(classes), self.rubbish, self.input_weight, learn, ctypes.byref(losses))
        return wrong, losses.value


def fastest(model: LeNet5Original, loss: str = "map", j: float = 0.1) -> CompiledLeNet5 | LeanLeNet5:
    """The compiled steps where this machine can compile them, else NumPy's."""
    return (CompiledLeNet5 if compiled() else LeanLeNet5)(model, loss, j)


def engine() -> str:
    """What computes the steps, in words: the compiler's first line, or NumPy."""
    if not compiled():
        return "NumPy"
    shown = subprocess.run([_compiler(), "--version"], capture_output=True, text=True, check=True).stdout
    return f"compiled by {shown.splitlines()[0]}"


@lru_cache(maxsize=1)
def compiled():
    """The function ``lean_run`` of ``lean.c``, compiled if need be, or None where that is impossible."""
    source = Path(__file__).with_name("lean.c")
    wanted = os.environ.get("LENET_COMPILE") != "0" and sys.platform != "win32"  # its stack is not aligned for vectors
    if not wanted or not _compiler() or not source.exists():
        return None
    try:
        with tempfile.TemporaryDirectory(prefix="lenet-") as folder:  # never kept: what is loaded is what was compiled
            run = ctypes.CDLL(str(_compile(source, Path(folder)))).lean_run
    except (OSError, subprocess.CalledProcessError):
        return None
    run.restype = ctypes.c_long
    run.argtypes = [ctypes.c_void_p] * 5 + [ctypes.c_long, ctypes.c_double, ctypes.c_float, ctypes.c_int]
    run.argtypes += [ctypes.POINTER(ctypes.c_double)]
    return run


def _compiler() -> str | None:
    return next((path for name in ("cc", "gcc", "clang") if (path := shutil.which(name))), None)


def _compile(source: Path, folder: Path) -> Path:
    """Compile and link in two calls: linking with -ffast-math would change the arithmetic of the whole process."""
    object_file, shared = folder / "lean.o", folder / "lean.so"
    for words in ([*FLAGS, "-fPIC", "-c", source, "-o", object_file], ["-shared", object_file, "-o", shared, "-lm"]):
        subprocess.run([_compiler(), *words], capture_output=True, check=True)
    return shared
