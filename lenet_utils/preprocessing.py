"""From pixels to what a network reads: centred, padded, scaled."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lenet_utils.arguments import check_count, check_finite, checked

MNIST_MEAN, MNIST_STD = 0.1307, 0.3081  # of the 60,000 training images, as multiples of full ink
PAPER_BACKGROUND, PAPER_FOREGROUND = -0.1, 1.175  # LeCun et al. (1998), section II-B


@checked
def center_by_mass(image: Tensor) -> Tensor:
    """Shift an image by whole pixels until its ink's centre of mass is nearest to pixel (H/2, W/2), as in MNIST.

    Counted from 0, that is pixel (14, 14) of 28×28, half a pixel below and to the right of the exact middle: there
    the 70,000 images of MNIST have it (the book's chapter on history measures it).

    Parameters
    ----------
    image : torch.Tensor, shape (H, W), any real dtype
        0 is background.  No ink is pushed over the edge: where the shift would do that, it stops there.

    Returns
    -------
    torch.Tensor, shape (H, W), same dtype
        An image without ink comes back as it is.
    """
    if image.ndim != 2:
        raise ValueError(f"center_by_mass takes one image of shape (H, W); got shape {tuple(image.shape)}.")
    ink = image.double().numpy(force=True)  # quicker than torch on one small image
    if not np.isfinite(ink).all() or (ink < 0).any():
        raise ValueError("center_by_mass takes ink from 0, the background, up; some is negative or not finite.")
    shifts = []
    for axis in (0, 1):
        profile = ink.sum(1 - axis)
        if not profile.any():
            return image.clone()
        wanted = round(float(len(profile) / 2 - profile @ np.arange(len(profile)) / profile.sum()))
        inked = profile.nonzero()[0]
        shifts.append(min(max(wanted, -int(inked[0])), len(profile) - 1 - int(inked[-1])))
    return torch.roll(image, shifts, (0, 1))


@checked
def normalise(ink: np.ndarray) -> Tensor:
    """One digit of any size, as the images of MNIST were made: 20 pixels high or wide, centred by mass in 28×28.

    LeCun et al. (1998), section III-A, name the steps; how each is done is our choice:

    1. *Crop* to the smallest rectangle of rows and columns that holds all ink of at least 1/20 of the darkest.
    2. *Scale* it so that its longer side, n pixels, becomes 20: a side of m pixels becomes ⌊20 m/n + 1/2⌋, at least 1.
       A new pixel is the mean of the old ones under it, each weighted by the area that it covers; so it is when the
       digit grows, too.
    3. *Stretch* by dividing by the darkest pixel, so that thin strokes, which step 2 makes pale, are full ink again.
    4. *Centre* it in 28×28 by :func:`center_by_mass`.

    Parameters
    ----------
    ink : torch.Tensor or numpy.ndarray, shape (H, W), uint8 or float
        0 is background, and the larger the darker, in any unit.

    Returns
    -------
    torch.Tensor, shape (28, 28), float32
        From 0 to 1.

    Raises
    ------
    ValueError
        If the array has another shape, a value that is negative or not finite, or no ink.

    Examples
    --------
    >>> stroke = normalise(np.ones((300, 30)))
    >>> [int(n) for n in (stroke.any(1).sum(), stroke.any(0).sum())]
    [20, 2]
    """
    ink = ink.astype(np.float64)
    if ink.ndim != 2:
        raise ValueError(f"normalise takes one digit of shape (H, W); got shape {ink.shape}.")
    if not np.isfinite(ink).all() or (ink < 0).any():
        raise ValueError("normalise takes ink from 0, the background, up; some values are negative or not finite.")
    if not ink.any():
        raise ValueError("There is no ink in this image: every pixel is background.")
    inked = ink >= ink.max() / 20
    rows, columns = inked.any(1).nonzero()[0], inked.any(0).nonzero()[0]
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    height, width = (max(1, int(20 * side / max(ink.shape) + 0.5)) for side in ink.shape)
    scaled = _area_weights(ink.shape[0], height) @ ink @ _area_weights(ink.shape[1], width).T  # (height, width)
    field = np.zeros((28, 28))
    field[:height, :width] = scaled / scaled.max()
    return center_by_mass(torch.from_numpy(field).float())


@lru_cache(maxsize=256)
def _area_weights(before: int, after: int) -> np.ndarray:
    """Shape (after, before): which share of each new pixel's length each old one covers; rows sum to 1."""
    edges = np.arange(after + 1) * before / after  # of the new pixels, in old ones
    old = np.arange(before)
    covered = np.minimum(edges[1:, None], old + 1) - np.maximum(edges[:-1, None], old)
    return covered.clip(0) * after / before


@checked
def pad(images: Tensor, size: int = 32) -> Tensor:
    """Surround images with background (zeros) up to ``size`` × ``size``; pad before you standardise.

    Parameters
    ----------
    images : torch.Tensor, shape (..., H, W), uint8, or float in [0, 1]
    size : int
        At least the images' own height and width, and even apart from them.

    Returns
    -------
    torch.Tensor, shape (..., size, size), same dtype
    """
    _check_range(images)
    check_count("size", size, most=4_096)
    (top, odd_top), (left, odd_left) = (divmod(size - n, 2) for n in images.shape[-2:])
    if min(top, left) < 0 or odd_top or odd_left:
        raise ValueError(
            f"Cannot centre images of {images.shape[-2]}×{images.shape[-1]} pixels in {size}×{size}: the size must be "
            f"at least theirs, and differ from it by an even number."
        )
    return functional.pad(images, (left, left, top, top))


@checked
def standardise(images: Tensor, mean: float = MNIST_MEAN, std: float = MNIST_STD) -> Tensor:
    """Scale images to mean 0 and standard deviation 1, given those of the training set.

    Parameters
    ----------
    images : torch.Tensor, shape (N, H, W), uint8, or float in [0, 1]
    mean, std : float
        As multiples of full ink.

    Returns
    -------
    torch.Tensor, shape (N, 1, H, W), float32

    Raises
    ------
    ValueError
        If ``mean`` or ``std`` is not finite, or ``std`` is not positive.
    """
    check_finite(mean=mean, std=std)
    if std <= 0:
        raise ValueError(f"std must be positive, for images are divided by it; got {std}.")
    return (_as_channel(images) - mean) / std


@checked
def paper_range(images: Tensor) -> Tensor:
    """Scale images as the 1998 paper does (section II-B): background -0.1, full ink 1.175.

    Parameters and returns are those of :func:`standardise`.
    """
    return _as_channel(images) * (PAPER_FOREGROUND - PAPER_BACKGROUND) + PAPER_BACKGROUND


SCALINGS = {"unit": lambda images: _as_channel(images), "standard": standardise, "paper": paper_range}


@checked
def prepare(images: Tensor, input_size: int = 32, scaling: str = "standard") -> Tensor:
    """Pixels to network input in one call: pad to ``input_size``, then scale.

    Parameters
    ----------
    images : torch.Tensor, shape (N, H, W), uint8, or float in [0, 1]
    input_size : int
        Height and width wanted: 32 for LeNet-5, 28 for networks that read MNIST as it is.
    scaling : {"standard", "paper", "unit"}
        Mean 0 and standard deviation 1; the paper's -0.1..1.175; or [0, 1].

    Returns
    -------
    torch.Tensor, shape (N, 1, input_size, input_size), float32
    """
    if scaling not in SCALINGS:
        raise ValueError(f"Unknown scaling {scaling!r}: choose one of {', '.join(map(repr, SCALINGS))}.")
    return SCALINGS[scaling](pad(images, input_size))


def _as_channel(images: Tensor) -> Tensor:
    """(N, H, W) uint8, or float in [0, 1], as (N, 1, H, W) float32 in [0, 1]."""
    _check_range(images)
    if images.ndim != 3:
        raise ValueError(f"Expected images of shape (N, H, W), without a channel; got shape {tuple(images.shape)}.")
    return (images.float() / 255 if images.dtype == torch.uint8 else images.float()).unsqueeze(1)


def _check_range(images: Tensor) -> None:
    if images.ndim < 2:
        raise ValueError(
            f"Expected images of shape (N, H, W), or one of shape (H, W); got shape {tuple(images.shape)}: reshape "
            f"pixels into images first."
        )
    if images.numel() == 0:
        raise ValueError(f"Expected at least one image; got an empty batch of shape {tuple(images.shape)}: pass one.")
    if images.dtype == torch.uint8:
        return
    low, high = float(images.detach().min()), float(images.detach().max())
    if not images.is_floating_point() or not (low >= 0 and high <= 1):
        raise ValueError(
            f"Expected pixels as uint8 in 0..255 or as floats in [0, 1]; got {images.dtype} in {low:g}..{high:g}. "
            f"Divide by 255 first, and pad before you standardise."
        )
