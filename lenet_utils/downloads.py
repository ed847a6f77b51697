"""The canonical files of MNIST and Fashion-MNIST: found, checked, downloaded.

The compressed files are read as they are, after their MD5 was compared with the one that torchvision publishes: a
damaged file is never trusted, an interrupted download never takes a good file's place, and nothing else is written.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import hashlib
import http.client
import os
import socket
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lenet_utils.paths import read_file, shorten

PARTS = ("train-images", "train-labels", "t10k-images", "t10k-labels")
CANNOT_WRITE = {errno.EPERM, errno.EACCES, errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EFBIG}
TIMEOUT_SECONDS = 20.0


class DataError(RuntimeError):
    """A data file is missing, damaged or out of reach; the message says which, and what to do."""


def files(name: str, folder: Path) -> dict[str, tuple[Path, str]]:
    """Path and published MD5 of each of the four files, by part.

    Parameters
    ----------
    name : {"mnist", "fashion-mnist"}
    folder : pathlib.Path
        The data folder; the files lie in ``MNIST/raw`` or ``FashionMNIST/raw`` below it, as torchvision lays them out.
    """
    published = _torchvision(name)
    raw = folder / published.__name__ / "raw"
    return {part: (raw / f, md5) for part in PARTS for f, md5 in published.resources if f.startswith(part)}


def read(name: str, folder: Path) -> tuple[dict[str, Tensor], str]:
    """Read all four files, downloading those that are missing or damaged.

    Returns
    -------
    arrays : dict of torch.Tensor, uint8
        By part: images of shape (N, 28, 28), labels of shape (N,).
    checksum : str
        The MD5 that the files' contents had, joined and shortened.

    Raises
    ------
    DataError
        If a file is missing or damaged and cannot be downloaded or stored.
    """
    contents = {part: (_content(name, path, md5), md5) for part, (path, md5) in files(name, folder).items()}
    arrays = {part: parse_idx(gzip.decompress(content)) for part, (content, _) in contents.items()}
    return arrays, " ".join(md5[:8] for _, md5 in contents.values())


def parse_idx(content: bytes) -> Tensor:
    """The array in an IDX file of unsigned bytes: two zeros, type 8, the rank, the sizes (big-endian), the bytes."""
    rank = content[3]
    shape = struct.unpack(f">{rank}I", content[4 : 4 + 4 * rank])
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape).copy())


def md5_of(content: bytes) -> str:
    """The MD5 of some bytes, in hexadecimal: it guards against damage, not against malice."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _torchvision(name: str) -> type:
    from torchvision import datasets  # here, because importing it takes a second that the embedded digits need not

    return {"mnist": datasets.MNIST, "fashion-mnist": datasets.FashionMNIST}[name]


def _content(name: str, path: Path, md5: str) -> bytes:
    """The content of a file whose MD5 is right, downloading it first when it is missing or damaged."""
    try:
        found = read_file(path) if path.exists() else None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): check what it is and who may read it.") from error
    if found is not None and md5_of(found) == md5:
        return found
    shown = shorten(path)
    problem = f"{shown} is missing"
    if found is not None:
        problem = f"{shown} is damaged ({len(found):,} bytes with MD5 {md5_of(found)}, expected {md5})"
    try:
        _download(name, path, md5)
    except OSError as error:
        raise DataError(
            f"{problem}, and nothing can be stored in its folder ({error.strerror or error}): make room or permit "
            f"writing there, or point LENET_DATA_DIR at another folder."
        ) from None
    except RuntimeError as error:
        raise DataError(
            f"{problem}, and downloading it failed ({error}): connect to the network and try again, put the "
            f"canonical file there by hand, or set LENET_DATASET=digits."
        ) from None
    return read_file(path)


def _download(name: str, path: Path, md5: str) -> None:
    """Fetch one file into a temporary folder, check it, and only then move it into place.

    Raises RuntimeError when no mirror delivers the file, OSError when it cannot be stored.
    """
    from torchvision.datasets.utils import download_url

    path.parent.mkdir(parents=True, exist_ok=True)
    reasons = []
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".download-") as folder:
        for mirror in _torchvision(name).mirrors:
            print(f"Downloading {path.name} from {mirror}", flush=True)
            try:
                with _socket_timeout(TIMEOUT_SECONDS):
                    download_url(mirror + path.name, folder, path.name, md5)
            except (OSError, RuntimeError, http.client.HTTPException) as error:
                if isinstance(error, OSError) and error.errno in CANNOT_WRITE:
                    raise
                reason = " ".join(str(getattr(error, "reason", error)).split())
                reasons.append(f"{mirror}: {reason.rstrip('.') or type(error).__name__}")
            else:
                os.replace(Path(folder) / path.name, path)
                return
    raise RuntimeError("; ".join(reasons))


@contextlib.contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
