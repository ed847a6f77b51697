"""Tensors on disk: written whole, read only when their digest is right."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from filelock import FileLock

from lenet_utils.paths import read_file, shorten, write_file

DIGEST_SIZE = hashlib.sha256().digest_size


@contextmanager
def exclusively(path: Path) -> Iterator[None]:
    """Let one process at a time make ``path``, so that chapters side by side do not train the same network twice.

    Where no lock can be written there is none: the work is then done twice, and correctly.
    """
    lock = FileLock(f"{path}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except (OSError, NotImplementedError):  # the latter from a file system without locks
        pass
    try:
        yield
    finally:
        lock.release()


def save(path: Path, content: dict) -> None:
    """Write tensors and plain values, with a digest, so that ``path`` holds all of them or stays as it was.

    Raises
    ------
    OSError
        As :func:`lenet_utils.paths.write_file` does.
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    archive = buffer.getvalue()
    write_file(path, hashlib.sha256(archive).digest() + archive)


def load(path: Path) -> dict | None:
    """What :func:`save` wrote, or None when there is no such file or it is damaged; of the latter a line tells.

    Only tensors and plain values are read (``weights_only=True``), and only from a file whose digest is right: torch
    itself would load one with a flipped bit.
    """
    try:
        content = read_file(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        print(f"{shorten(path)} cannot be read ({error.strerror}): it is made anew.")
        return None
    digest, archive = content[:DIGEST_SIZE], content[DIGEST_SIZE:]
    try:
        if hashlib.sha256(archive).digest() != digest:
            raise ValueError("another digest")
        return torch.load(io.BytesIO(archive), map_location="cpu", weights_only=True)
    except Exception:  # reading what is no archive can raise anything
        print(f"{shorten(path)} is damaged: it is made anew.")
        return None
