"""Tensors on disk, and as text: written whole, read only when their digest is right."""

from __future__ import annotations

import base64
import hashlib
import io
import math
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from lenet_utils.arguments import checked
from lenet_utils.paths import read_file, shorten, write_file

DIGEST_SIZE = hashlib.sha256().digest_size


@checked
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


@checked
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


@checked
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


@checked
def pack(tensors: Iterable[Tensor]) -> dict[str, object]:
    """Weights as text, sixteen bits each, for a page or a results file.

    Parameters
    ----------
    tensors : iterable of torch.Tensor
        One after the other, each row by row.

    Returns
    -------
    dict
        ``count`` of numbers; their ``check``, a CRC-32; and ``weights``, little-endian float16 in base64.

    Raises
    ------
    ValueError
        If a weight is not finite, or too large for sixteen bits.
    """
    row = torch.cat([torch.zeros(0), *(tensor.detach().flatten().float().cpu() for tensor in tensors)])
    with np.errstate(over="ignore"):
        short = row.numpy().astype("<f2")
    if not np.isfinite(short).all():
        raise ValueError(
            "The network has weights that are not finite or beyond ±65,504, which sixteen bits cannot hold: train it "
            "again, with a smaller learning rate."
        )
    raw = short.tobytes()
    return {"count": len(short), "check": zlib.crc32(raw), "weights": base64.b64encode(raw).decode()}


@checked
def unpack(packed: dict[str, object] | None, tensors: Iterable[Tensor]) -> None:
    """Copy the weights that :func:`pack` wrote into tensors of the same sizes, in the same order.

    Raises
    ------
    ValueError
        If their number or their checksum is another, or one is not finite; no tensor is changed then.
    """
    tensors = list(tensors)
    count = sum(tensor.numel() for tensor in tensors)
    try:
        raw = base64.b64decode(packed["weights"], validate=True)
        check = packed["check"]
    except (KeyError, TypeError, ValueError):
        raw, check = b"", None
    values = np.frombuffer(raw, "<f2") if len(raw) == 2 * count else np.array([np.nan])
    if check != zlib.crc32(raw) or not np.isfinite(values).all():
        raise ValueError(f"The weights are damaged: they are no {count:,} numbers that agree with their checksum.")
    with torch.no_grad():
        parts = torch.from_numpy(values.astype(np.float32)).split([tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.reshape(tensor.shape))


def finite(value: object) -> object:
    """The same with None for numbers that JSON does not have."""
    if isinstance(value, dict):
        return {name: finite(item) for name, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
