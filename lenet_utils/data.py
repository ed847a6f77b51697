"""Where the pixels come from: MNIST, Fashion-MNIST, USPS, and a small data set that is always there."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lenet_utils import downloads
from lenet_utils.arguments import checked
from lenet_utils.downloads import DataError
from lenet_utils.paths import data_dir, read_file
from lenet_utils.preprocessing import center_by_mass, normalise

NUM_VALIDATION = 5_000
NUM_USPS_VALIDATION = 729  # a tenth of 7,291
SPLIT_SEED = 42

_DIGITS = tuple("0123456789")
_GARMENTS = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
CLASS_NAMES = {"mnist": _DIGITS, "fashion-mnist": _GARMENTS, "usps": _DIGITS, "digits": _DIGITS}
TITLES = {
    "mnist": "MNIST",
    "fashion-mnist": "Fashion-MNIST",
    "usps": "USPS",
    "digits": "scikit-learn's digits",
}


@checked
@dataclass(frozen=True, eq=False)
class ImageDataset:
    """A whole data set in memory, in three disjoint parts.

    Attributes
    ----------
    name : str
        ``"mnist"``, ``"fashion-mnist"``, ``"usps"`` or ``"digits"``.
    class_names : tuple of str
        The name of each label.
    train_images, validation_images, test_images : torch.Tensor, shape (N, 28, 28), uint8
        0 is background, 255 is full ink.
    train_labels, validation_labels, test_labels : torch.Tensor, shape (N,), int64
    source : str
        Where the pixels came from, and the checksum they agreed with.

    Raises
    ------
    ValueError
        If a part is empty, has another shape or type, or a label names no class.
    """

    name: str
    class_names: tuple[str, ...]
    train_images: Tensor
    train_labels: Tensor
    validation_images: Tensor
    validation_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    source: str

    def __post_init__(self) -> None:
        for part in ("train", "validation", "test"):
            images, labels = getattr(self, f"{part}_images"), getattr(self, f"{part}_labels")
            if images.dtype != torch.uint8 or images.ndim != 3 or len(images) == 0:
                raise ValueError(
                    f"{part}_images must be uint8 of shape (N, height, width) with N > 0; "
                    f"got {images.dtype} of shape {tuple(images.shape)}."
                )
            if labels.dtype != torch.int64 or labels.shape != images.shape[:1]:
                raise ValueError(
                    f"{part}_labels must be int64 of shape ({len(images)},), one for each image; "
                    f"got {labels.dtype} of shape {tuple(labels.shape)}."
                )
            if labels.min() < 0 or labels.max() >= len(self.class_names):
                raise ValueError(
                    f"{part}_labels must lie in 0..{len(self.class_names) - 1}, the classes of {self.name}; "
                    f"found {int(labels.min())}..{int(labels.max())}."
                )

    @property
    def title(self) -> str:
        """The name as it is printed, for instance ``"Fashion-MNIST"``."""
        return TITLES.get(self.name, self.name)

    @checked
    def subset(self, num_train: int) -> ImageDataset:
        """The same data set with only the first ``num_train`` training images; they lie in random order."""
        if not 0 < num_train <= len(self.train_images):
            raise ValueError(f"num_train must lie in 1..{len(self.train_images)}; got {num_train}.")
        return replace(self, train_images=self.train_images[:num_train], train_labels=self.train_labels[:num_train])

    def one_of_each(self) -> tuple[Tensor, Tensor]:
        """The first test image of each class that occurs, (C, 28, 28) uint8, and their labels, (C,) int64."""
        labels = self.test_labels.unique()
        return self.test_images[[int((self.test_labels == label).nonzero()[0]) for label in labels]], labels

    def with_test_as_validation(self) -> ImageDataset:
        """All images that may be learned from as the training part, and the test part in validation's place as well.

        Many publications follow the test error epoch by epoch; this is for comparing with them, and for nothing that
        is *chosen* by such an error: then the test part would be no test any more.
        """
        return replace(
            self,
            train_images=torch.cat([self.train_images, self.validation_images]),
            train_labels=torch.cat([self.train_labels, self.validation_labels]),
            validation_images=self.test_images,
            validation_labels=self.test_labels,
        )


@checked
def load(name: str = "auto", root: str | os.PathLike | None = None) -> ImageDataset:
    """Load a data set, downloading and checking it where needed.

    MNIST and Fashion-MNIST keep their own 10,000 test images; 5,000 of the 60,000 training images, drawn with a fixed
    seed, are set apart for validation.  So are 729 of the 7,291 training images of USPS, the zip codes of LeCun et al.
    (1989); its images of 16×16 pixels come as :func:`lenet_utils.preprocessing.normalise` makes them, and from
    :func:`lenet_utils.downloads.read_usps` as they are.

    Parameters
    ----------
    name : str
        ``"mnist"``, ``"fashion-mnist"``, ``"usps"``, ``"digits"`` (scikit-learn's 1,797 digits, which need neither disk
        nor network), or ``"auto"``: what the environment's ``LENET_DATASET`` names, else MNIST from disk, else MNIST
        downloaded, else the digits, with a line that says why.  A name other than ``"auto"`` never falls back.
    root : path, optional
        The data folder; see :func:`lenet_utils.paths.data_dir`.

    Returns
    -------
    ImageDataset

    Raises
    ------
    ValueError
        If the name is unknown.
    DataError
        If the named data set is missing or damaged and cannot be downloaded.

    Examples
    --------
    >>> digits = load("digits")
    >>> tuple(digits.train_images.shape), len(digits.validation_images), len(digits.test_images)
    ((1197, 28, 28), 200, 400)
    """
    chosen = _chosen(name)
    if chosen == "digits":
        return _load_digits()
    if chosen == "usps":
        return _load_usps(data_dir(root))
    if chosen != "auto":
        return _load_canonical(chosen, data_dir(root))
    try:
        dataset = _load_canonical("mnist", data_dir(root))
        _say_once("Data: MNIST, its files checked.")
    except DataError as error:
        dataset = _load_digits()
        _say_once(f"Data: scikit-learn's 1,797 digits instead of MNIST, because {error}")
    return dataset


@checked
def fingerprint(name: str = "auto", root: str | os.PathLike | None = None) -> str:
    """What :func:`load` would read now, as a short string; nothing is unpacked or downloaded."""
    chosen = _chosen(name)
    if chosen == "digits":
        return chosen
    folder = data_dir(root)
    paths = [path for path, _ in downloads.files("mnist" if chosen == "auto" else chosen, folder).values()]
    if chosen == "usps":
        paths += [downloads.zip_file(part, folder) for part in downloads.USPS_DIGITS]
    return " ".join([chosen, *map(_digest, paths)])


def _digest(path: Path) -> str:
    try:
        return downloads.md5_of(read_file(path))[:8]
    except OSError:
        return "missing"


def _chosen(name: str) -> str:
    chosen = (os.environ.get("LENET_DATASET") or "auto") if name == "auto" else name
    if chosen != "auto" and chosen not in CLASS_NAMES:
        close = difflib.get_close_matches(str(chosen).lower(), CLASS_NAMES, n=1)
        raise ValueError(
            f"Unknown data set {chosen!r}{' in LENET_DATASET' if name == 'auto' else ''}: choose 'auto' or one of "
            f"{', '.join(map(repr, CLASS_NAMES))}.{f' Did you mean {close[0]!r}?' if close else ''}"
        )
    return chosen


@cache
def _say_once(message: str) -> None:
    print(message, flush=True)


def _split(images: Tensor, labels: Tensor, num_validation: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training images and labels, then validation's, by a permutation that depends on SPLIT_SEED alone."""
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(SPLIT_SEED))
    train, validation = order[:-num_validation], order[-num_validation:]
    return images[train], labels[train], images[validation], labels[validation]


def _load_canonical(name: str, folder: Path) -> ImageDataset:
    arrays, checksum = downloads.read(name, folder)
    train_images, train_labels, test_images, test_labels = (arrays[part] for part in downloads.PARTS)
    return ImageDataset(
        name,
        CLASS_NAMES[name],
        *_split(train_images, train_labels.long(), NUM_VALIDATION),
        test_images,
        test_labels.long(),
        source=f"the canonical files of {TITLES[name]} (MD5 {checksum})",
    )


def _load_usps(folder: Path) -> ImageDataset:
    digits, checksum = downloads.read_usps(folder)
    images, labels = {}, {}
    for part, (small, labels_of_part) in digits.items():
        images[part] = torch.stack([(normalise(image) * 255).round().to(torch.uint8) for image in small])
        labels[part] = labels_of_part.long()
    return ImageDataset(
        "usps",
        CLASS_NAMES["usps"],
        *_split(images["train"], labels["train"], NUM_USPS_VALIDATION),
        images["test"],
        labels["test"],
        source=f"the zip-code digits of USPS, scaled into 20×20 pixels (MD5 of the digits {checksum})",
    )


@lru_cache(maxsize=1)
def _load_digits() -> ImageDataset:
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    images = torch.stack([_into_mnist_box(image) for image in pixels.reshape(-1, 8, 8)])
    labels = torch.from_numpy(labels).long()
    rest_images, rest_labels, test_images, test_labels = _split(images, labels, 400)
    return ImageDataset(
        "digits",
        CLASS_NAMES["digits"],
        *_split(rest_images, rest_labels, 200),
        test_images,
        test_labels,
        source="the 1,797 digits of 8×8 pixels that scikit-learn carries, scaled into 20×20 pixels",
    )


def _into_mnist_box(image: np.ndarray) -> Tensor:
    """An 8×8 digit with values 0..16, scaled so that its ink just fits 20×20, centred by mass in 28×28 (uint8)."""
    rows, columns = np.nonzero(image.any(1))[0], np.nonzero(image.any(0))[0]
    ink = torch.from_numpy(image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] / 16)
    scale = 20 / max(ink.shape)
    size = [max(1, round(n * scale)) for n in ink.shape]
    # In float64, so that every processor rounds to the same pixels.
    ink = functional.interpolate(ink[None, None], size=size, mode="bicubic", align_corners=False)[0, 0]
    field = torch.zeros(28, 28, dtype=ink.dtype)
    field[: size[0], : size[1]] = ink.clamp(0, 1)
    return center_by_mass((field * 255).round().to(torch.uint8))


def main(arguments: list[str] | None = None) -> int:
    """Make data sets ready, from the command line: ``python -m lenet_utils.data mnist``; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m lenet_utils.data", description="Find data sets, download what is missing, and check all of it."
    )
    names = ", ".join(["auto", *CLASS_NAMES])
    parser.add_argument("name", nargs="*", default=["auto"], help=f"one or several of {names}; by default auto")
    for name in parser.parse_args(arguments).name:
        try:
            source = load(name).source
        except (DataError, ValueError) as problem:
            print(problem, file=sys.stderr)
            return 1
        print(f"{source[:1].upper()}{source[1:]}: ready.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
