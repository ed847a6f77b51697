"""Digits set upright, and cut to 20×20 pixels, as in the second version of the paper's data (1998, section III-A)."""

from __future__ import annotations

import torch
from torch import Tensor

from lenet_utils.arguments import check_count, checked


@checked
def slant(images: Tensor) -> Tensor:
    """How many columns to the right the ink moves for each row down, from its second moments.

    With x and y counted from the centre of mass, and the mean taken over the ink, it is mean(x·y) / mean(y²): the slope
    of the straight line x = slope·y that lies nearest to the ink, row by row.  A digit that leans to the right, as in
    most hands, has a negative one.

    Parameters
    ----------
    images : torch.Tensor, shape (N, H, W), uint8, or float from 0 up
        0 is background.  Grey ink counts by its grey, our choice: the paper counts a pixel as ink or as none.

    Returns
    -------
    torch.Tensor, shape (N,), float32
        0 for an image without ink, or with all of it in one row.

    Examples
    --------
    >>> slant(torch.eye(5)[None]).item(), slant(torch.eye(5).flip(1)[None]).item()
    (1.0, -1.0)
    """
    ink = _ink(images)
    mass = ink.sum((1, 2)).clamp(min=1e-12)
    y, x = _offsets(ink, mass)
    across = (ink * y[:, :, None] * x[:, None, :]).sum((1, 2)) / mass
    upright = (ink.sum(2) * y.square()).sum(1) / mass
    return torch.where(upright > 1e-9, across / upright.clamp(min=1e-9), 0.0).float()


@checked
def deslant(images: Tensor) -> Tensor:
    """Shift each row sideways until the digit's principal axis is upright.

    The row of the centre of mass stays where it is; one that lies y rows below is moved by -y·:func:`slant` columns,
    with linear interpolation between neighbours, so that each row keeps its ink.

    Parameters
    ----------
    images : torch.Tensor, shape (N, H, W), uint8, or float from 0 up
        What leaves the image on one side is lost; what comes in on the other is background, 0.

    Returns
    -------
    torch.Tensor, same shape and dtype
    """
    ink = _ink(images)
    y, _ = _offsets(ink, ink.sum((1, 2)).clamp(min=1e-12))
    width = ink.shape[2]
    source = torch.arange(width) + (y * slant(images)[:, None])[..., None]  # (N, H, W): the column a pixel comes from
    left = source.floor()
    share = source - left
    padded = torch.nn.functional.pad(ink, (1, 1))
    columns = torch.stack([left, left + 1]).add(1).clamp(0, width + 1).long()
    upright = (1 - share) * padded.gather(2, columns[0]) + share * padded.gather(2, columns[1])
    return upright.round().to(torch.uint8) if images.dtype == torch.uint8 else upright.to(images.dtype)


@checked
def crop(images: Tensor, size: int = 20) -> Tensor:
    """A square out of the middle of each image, moved as little as it takes to hold all ink.

    The paper says "cropped", and not how (section III-A): that the square moves is our choice.  A digit of MNIST fits
    into 20×20 pixels, but not always into the middle ones, where its centre of mass is.

    Parameters
    ----------
    images : torch.Tensor, shape (N, H, W)
        If ink is wider or higher than the square, its right or lower end is lost.
    size : int
        At most H and W.

    Returns
    -------
    torch.Tensor, shape (N, size, size), same dtype
    """
    ink = _ink(images) > 0
    check_count("size", size, most=min(images.shape[1:]))
    rows = _window(ink.any(2), size)  # (N, size)
    columns = _window(ink.any(1), size)
    numbers = torch.arange(len(images))[:, None, None]
    return images[numbers, rows[:, :, None], columns[:, None, :]]


def _window(inked: Tensor, size: int) -> Tensor:
    """Which ``size`` neighbouring lines of (N, L) to keep: shape (N, size)."""
    length = inked.shape[1]
    numbers = torch.arange(length)
    first = torch.where(inked, numbers, length).amin(1)
    last = torch.where(inked, numbers, -1).amax(1)
    middle = torch.full_like(first, (length - size) // 2)
    start = torch.minimum(torch.maximum(middle, last - size + 1), first).clamp(0, length - size)
    return start[:, None] + torch.arange(size)


def _offsets(ink: Tensor, mass: Tensor) -> tuple[Tensor, Tensor]:
    """Rows (N, H) and columns (N, W), counted from the centre of mass."""
    rows, columns = (torch.arange(n, dtype=ink.dtype) for n in ink.shape[1:])
    return (
        rows - (ink.sum(2) @ rows / mass)[:, None],
        columns - (ink.sum(1) @ columns / mass)[:, None],
    )


def _ink(images: Tensor) -> Tensor:
    """(N, H, W) as float64, checked."""
    if images.ndim != 3 or images.numel() == 0:
        raise ValueError(f"Expected images of shape (N, H, W), at least one; got shape {tuple(images.shape)}.")
    ink = images.double()
    if not (ink.isfinite().all() and (ink >= 0).all()):
        raise ValueError("Expected ink from 0, the background, up: some pixels are negative or not finite.")
    return ink
