"""The canonical files of MNIST, Fashion-MNIST and USPS: found, checked, downloaded.

The compressed files are read as they are, after their MD5 was compared with the one that torchvision publishes: a
damaged file is never trusted, an interrupted download never takes a good file's place, and nothing else is written.
USPS also exists as ``zip.train.gz`` and ``zip.test.gz``; where these lie, their digits are checked, not their bytes.
"""

from __future__ import annotations

import bz2
import contextlib
import errno
import gzip
import hashlib
import http.client
import os
import re
import socket
import struct
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lenet_utils.arguments import checked
from lenet_utils.paths import read_file, shorten

PARTS = ("train-images", "train-labels", "t10k-images", "t10k-labels")
CANNOT_WRITE = {errno.EPERM, errno.EACCES, errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EFBIG}
TIMEOUT_SECONDS = 20.0
USPS_DIGITS = {  # the MD5 of pixels and labels, as parse_usps gives them
    "train": "901c0bf6844f02a7d02f870c765e560a",
    "test": "6d938a1a162f5d68f37f0141aefd4dd2",
}


class DataError(RuntimeError):
    """A data file is missing, damaged or out of reach; the message says which, and what to do."""


@checked
def files(name: str, folder: Path) -> dict[str, tuple[Path, str]]:
    """Path and published MD5 of each file, by part: four, or two of USPS.

    Parameters
    ----------
    name : {"mnist", "fashion-mnist", "usps"}
    folder : pathlib.Path
        The data folder; the files lie in ``MNIST/raw`` or ``FashionMNIST/raw`` below it, as torchvision lays them out,
        or in ``USPS``.
    """
    published = _torchvision(name)
    if name == "usps":
        return {part: (folder / "USPS" / f, md5) for part, (_, f, md5) in published.split_list.items()}
    raw = folder / published.__name__ / "raw"
    return {part: (raw / f, md5) for part in PARTS for f, md5 in published.resources if f.startswith(part)}


@checked
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
    mirrors = _torchvision(name).mirrors
    contents = {part: (_content(path, md5, mirrors), md5) for part, (path, md5) in files(name, folder).items()}
    arrays = {part: parse_idx(gzip.decompress(content)) for part, (content, _) in contents.items()}
    return arrays, " ".join(md5[:8] for _, md5 in contents.values())


@checked
def parse_idx(content: bytes) -> Tensor:
    """The array in an IDX file of unsigned bytes: two zeros, type 8, the rank, the sizes (big-endian), the bytes."""
    try:
        rank = content[3]
        shape = struct.unpack(f">{rank}I", content[4 : 4 + 4 * rank])
        return torch.from_numpy(np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape).copy())
    except (IndexError, struct.error, ValueError):
        raise ValueError(
            f"These {len(content):,} bytes are no IDX file: its head and its length do not agree."
        ) from None


@checked
def read_usps(folder: Path) -> tuple[dict[str, tuple[Tensor, Tensor]], str]:
    """Read both parts of USPS, downloading what is missing or damaged.

    Returns
    -------
    digits : dict of (torch.Tensor, torch.Tensor), uint8
        Images (N, 16, 16) and labels (N,) of ``"train"`` (N = 7,291) and ``"test"`` (2,007), in the files' order.
    checksum : str
        The MD5 of the parts' pixels and labels, joined and shortened.

    Raises
    ------
    DataError
        As :func:`read` does.
    """
    digits = {}
    for part, (path, md5) in files("usps", folder).items():
        url = _torchvision("usps").split_list[part][0]
        found, problem = _zip_code_digits(zip_file(part, folder), USPS_DIGITS[part])
        try:
            digits[part] = found or parse_usps(bz2.decompress(_content(path, md5, [url.removesuffix(path.name)])))
        except DataError as error:
            raise DataError(problem + str(error)) from None
    return digits, " ".join(_digest_of(*pair)[:8] for pair in digits.values())


@checked
def zip_file(part: str, folder: Path) -> Path:
    """Where the other form of a part of USPS may lie, that of the book by Hastie, Tibshirani & Friedman (2001)."""
    if part not in USPS_DIGITS:
        raise ValueError(f"Unknown part {part!r}: choose one of {', '.join(map(repr, USPS_DIGITS))}.")
    return folder / "USPS" / f"zip.{part}.gz"


@checked
def parse_usps(content: bytes) -> tuple[Tensor, Tensor]:
    """Images (N, 16, 16), labels (N,), both uint8, from either text: a digit and 256 values from -1 to 1 in each line.

    The values, all with three decimals, are rounded to 0..255.  libsvm's form numbers them ("7:-0.631"), and its digits
    from 1 to 10 stand for 0 to 9.
    """
    text, numbered = re.subn(rb"\d+:", b"", content)
    try:
        rows = np.array(text.split(), dtype=np.float64).reshape(-1, 257)
    except ValueError:
        raise ValueError("This is no text of USPS: expected a digit and 256 numbers in each line.") from None
    images = np.rint((rows[:, 1:] + 1) * 127.5).astype(np.uint8).reshape(-1, 16, 16)
    return torch.from_numpy(images), torch.from_numpy((rows[:, 0] - bool(numbered)).astype(np.uint8))


def _digest_of(images: Tensor, labels: Tensor) -> str:
    return md5_of(images.numpy().tobytes() + labels.numpy().tobytes())


def _zip_code_digits(path: Path, expected: str) -> tuple[tuple[Tensor, Tensor] | None, str]:
    """The digits of a zip.*.gz file, or None and, where the file is there but not as it should be, what is wrong."""
    if not path.exists():
        return None, ""
    try:
        digits = parse_usps(gzip.decompress(_found(path)))
    except (OSError, EOFError, zlib.error, ValueError):
        digits = None
    if digits is not None and _digest_of(*digits) == expected:
        return digits, ""
    return None, f"{shorten(path)} is damaged (it does not hold the digits that it should), "


@checked
def md5_of(content: bytes) -> str:
    """The MD5 of some bytes, in hexadecimal: it guards against damage, not against malice."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _torchvision(name: str) -> type:
    from torchvision import datasets  # here, because importing it takes a second that the embedded digits need not

    known = {"mnist": datasets.MNIST, "fashion-mnist": datasets.FashionMNIST, "usps": datasets.USPS}
    if name not in known:
        raise ValueError(f"Unknown data set {name!r}: choose one of {', '.join(map(repr, known))}.")
    return known[name]


def _found(path: Path) -> bytes:
    try:
        return read_file(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): check what it is and who may read it.") from error


def _content(path: Path, md5: str, mirrors: list[str]) -> bytes:
    """The content of a file whose MD5 is right, downloading it first when it is missing or damaged."""
    found = _found(path) if path.exists() else None
    if found is not None and md5_of(found) == md5:
        return found
    shown = shorten(path)
    problem = f"{shown} is missing"
    if found is not None:
        problem = f"{shown} is damaged ({len(found):,} bytes with MD5 {md5_of(found)}, expected {md5})"
    try:
        _download(path, md5, mirrors)
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


def _download(path: Path, md5: str, mirrors: list[str]) -> None:
    """Fetch one file into a temporary folder, check it, and only then move it into place.

    Raises RuntimeError when no mirror delivers the file, OSError when it cannot be stored.
    """
    from torchvision.datasets.utils import download_url

    path.parent.mkdir(parents=True, exist_ok=True)
    reasons = []
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".download-") as folder:
        for mirror in mirrors:
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
