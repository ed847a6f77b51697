"""Trained networks kept on disk under a name that says all they depend on, so that no stale one is ever used."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from lenet_utils.data import ImageDataset


def cache_dir() -> Path:
    """Where checkpoints lie: ``LENET_CACHE_DIR``, else ``.cache/`` in the checkout, else a folder in the home."""
    if os.environ.get("LENET_CACHE_DIR"):
        return Path(os.environ["LENET_CACHE_DIR"]).expanduser()
    checkout = Path(__file__).resolve().parent.parent
    inside = (checkout / "pyproject.toml").exists()
    return checkout / ".cache" if inside else Path.home() / ".cache" / "lenet_utils" / "checkpoints"


def code_fingerprint() -> str:
    """A digest of this package's source and of the versions that decide its numbers."""
    digest = hashlib.sha256()
    for path in sorted(path for path in Path(__file__).parent.iterdir() if path.suffix in (".py", ".c")):
        digest.update(path.name.encode() + path.read_bytes())
    versions = [platform.python_version(), torch.__version__, np.__version__, platform.machine()]
    return hashlib.sha256(digest.digest() + " ".join(versions).encode()).hexdigest()


def dataset_fingerprint(dataset: ImageDataset) -> str:
    """A digest of every pixel and label, of all three parts."""
    digest = hashlib.sha256()
    for part in ("train", "validation", "test"):
        for kind in ("images", "labels"):
            digest.update(getattr(dataset, f"{part}_{kind}").contiguous().numpy())
    return digest.hexdigest()


def state_fingerprint(state: dict[str, Tensor]) -> str:
    """A digest of weights, their names and their shapes."""
    digest = hashlib.sha256()
    for name, value in state.items():
        digest.update(f"{name}{tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().numpy())
    return digest.hexdigest()


def combined_fingerprint(**parts: object) -> str:
    """One short digest of named parts, each of which JSON can hold."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:20]


@contextmanager
def exclusively(path: Path) -> Iterator[None]:
    """Let one process at a time make ``path``, so that chapters side by side do not train the same network twice.

    Where no lock can be written there is none: the work is then done twice, and correctly.
    """
    lock = FileLock(f"{path}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError:
        pass
    try:
        yield
    finally:
        lock.release()


def save(path: Path, content: dict) -> None:
    """Write tensors and plain values so that ``path`` holds all of them or stays as it was.

    Raises
    ------
    OSError
        If the folder cannot be written, or is full; the temporary file is gone then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".saving-")
    try:
        with os.fdopen(handle, "wb") as file:
            torch.save(content, file)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def load(path: Path) -> dict | None:
    """What :func:`save` wrote, or None when there is no such file or it is damaged.

    Only tensors and plain values are read (``weights_only=True``): nothing in the file can run.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # missing, or damaged: reading a damaged pickle can raise anything
        return None
