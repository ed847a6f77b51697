"""Digits that move, tear and fade: fifteen kinds of corruption, five strengths each.

The idea is that of MNIST-C (Mu & Gilmer 2019); kinds, strengths and code are this book's own.  All of them leave a
digit's class as it is to a reader's eye, at least at the first strengths.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional

from lenet_utils.arguments import check_count, checked
from lenet_utils.checks import choose

SIDE = 28
BOX = 20  # where the ink of an MNIST digit lies: rows and columns 4 to 23
PART = 10_000  # images corrupted at once


@checked
@dataclass(frozen=True)
class Corruption:
    """One kind of corruption.

    Attributes
    ----------
    title : str
        As a figure says it.
    unit : str
        Of the amounts.
    amounts : tuple of five float
        Strengths 1 to 5.
    limits : tuple of two float
        Between which an amount makes sense.
    still : float
        The amount that changes nothing, one of the two limits.
    change : callable
        Takes images (N, 28, 28), float in [0, 1], an amount and a generator, and returns the images as they become.
    """

    title: str
    unit: str
    amounts: tuple[float, ...]
    limits: tuple[float, float]
    still: float
    change: Callable[[Tensor, float, Generator], Tensor]


@checked
def corrupt(images: Tensor, kind: str, strength: int, seed: int = 0) -> Tensor:
    """Digits corrupted in one of the fifteen ways of ``CORRUPTIONS``.

    Parameters
    ----------
    images : torch.Tensor, shape (N, 28, 28), uint8
        0 is paper, 255 full ink.  What comes in from outside is paper, and what leaves the image is lost.
    kind : str
        A key of ``CORRUPTIONS``, such as ``"turn"``.
    strength : int
        1 to 5.
    seed : int
        Of what is drawn by lot for each image: which pixels, which way, which place.  The same seed draws the same
        again, at every strength.

    Returns
    -------
    torch.Tensor, shape (N, 28, 28), uint8

    Raises
    ------
    ValueError
        If kind or strength are unknown, or the images have another shape or type.

    Examples
    --------
    >>> bar = torch.zeros(1, 28, 28, dtype=torch.uint8)
    >>> bar[0, 13:15, 4:24] = 255
    >>> int(corrupt(bar, "thicken", 2).any(2).sum())
    4
    """
    amounts = choose("kind of corruption", kind, CORRUPTIONS).amounts
    check_count("strength", strength, 1, len(amounts))
    return change(images, kind, amounts[strength - 1], seed)


@checked
def change(images: Tensor, kind: str, amount: float, seed: int = 0) -> Tensor:
    """:func:`corrupt` by any amount, in the unit of the kind; what a kind does not change comes back as it was.

    Examples
    --------
    >>> image = torch.zeros(1, 28, 28, dtype=torch.uint8)
    >>> int(change(image, "salt-and-pepper", 100).min())
    255
    """
    how = choose("kind of corruption", kind, CORRUPTIONS)
    low, high = how.limits
    if not low <= amount <= high:
        raise ValueError(f"The amount of {kind!r} must lie in {low:g}..{high:g} {how.unit}; got {amount:g}.")
    if images.dtype != torch.uint8 or images.shape[1:] != (SIDE, SIDE) or len(images) == 0:
        raise ValueError(
            f"Expected digits as uint8 of shape (N, {SIDE}, {SIDE}), at least one; got {images.dtype} of shape "
            f"{tuple(images.shape)}."
        )
    check_count("seed", seed, 0, 2**62)
    generator = torch.Generator().manual_seed(seed)
    parts = [how.change(part.cpu().float() / 255, amount, generator) for part in images.split(PART)]
    return (torch.cat(parts) * 255).round().clamp(0, 255).to(torch.uint8).to(images.device)


# --- what moves ------------------------------------------------------------------------------------------------------


def _sides(images: Tensor, generator: Generator) -> Tensor:
    """+1 or -1 for each image: which way it moves."""
    return torch.randint(2, (len(images),), generator=generator) * 2.0 - 1


def _moved(images: Tensor, rows: list[Tensor | float], fine: int = 1) -> Tensor:
    """Each image through an affine map about its middle, bilinear between pixels.

    ``rows`` are the six numbers of the map *from* the new image *to* the old one, in units of half the image, each one
    for all images or one for each.  A new pixel is the mean of ``fine`` × ``fine`` places in it.
    """
    maps = torch.stack([torch.as_tensor(row).expand(len(images)) for row in rows], 1).view(-1, 2, 3)
    size = [len(images), 1, fine * SIDE, fine * SIDE]
    grid = functional.affine_grid(maps, size, align_corners=False)
    moved = functional.grid_sample(images[:, None], grid, align_corners=False)
    return functional.avg_pool2d(moved, fine)[:, 0]


def _shift(images: Tensor, pixels: float, generator: Generator) -> Tensor:
    down = _sides(images, generator) * pixels
    return _moved(images, [1.0, 0.0, 0.0, 0.0, 1.0, -2 / SIDE * down])


def _scale(images: Tensor, percent: float, generator: Generator) -> Tensor:
    back = 100 / percent
    return _moved(images, [back, 0.0, 0.0, 0.0, back, 0.0], fine=math.ceil(back))


def _turn(images: Tensor, degrees: float, generator: Generator) -> Tensor:
    angle = _sides(images, generator) * math.radians(degrees)
    return _moved(images, [angle.cos(), angle.sin(), 0.0, -angle.sin(), angle.cos(), 0.0])


def _squeeze(images: Tensor, percent: float, generator: Generator) -> Tensor:
    wide = (percent / 100) ** _sides(images, generator)
    return _moved(images, [1 / wide, 0.0, 0.0, 0.0, wide, 0.0])


def _shear(images: Tensor, degrees: float, generator: Generator) -> Tensor:
    lean = _sides(images, generator) * math.tan(math.radians(degrees))
    return _moved(images, [1.0, lean, 0.0, 0.0, 1.0, 0.0])


# --- what becomes of strokes -----------------------------------------------------------------------------------------


def _thicken(images: Tensor, pixels: float, generator: Generator) -> Tensor:
    """Ink spreads to the four neighbours of a pixel, once for each whole pixel; the rest of the amount blends in."""
    while pixels > 0:
        x = images[:, None]
        tall = functional.max_pool2d(x, (3, 1), 1, (1, 0))
        wide = functional.max_pool2d(x, (1, 3), 1, (0, 1))
        share = min(1.0, pixels)
        images = (1 - share) * images + share * torch.maximum(tall, wide)[:, 0]
        pixels -= 1
    return images


def _thin(images: Tensor, pixels: float, generator: Generator) -> Tensor:
    """Paper spreads as ink does in :func:`_thicken`."""
    return 1 - _thicken(1 - images, pixels, generator)


# --- what is printed over --------------------------------------------------------------------------------------------


def _salt_and_pepper(images: Tensor, percent: float, generator: Generator) -> Tensor:
    hit = torch.rand(images.shape, generator=generator) < percent / 100
    return torch.where(hit, 1 - images, images)


def _grain(images: Tensor, percent: float, generator: Generator) -> Tensor:
    return (images + percent / 100 * torch.randn(images.shape, generator=generator)).clamp(0, 1)


def _line(images: Tensor, pixels: float, generator: Generator) -> Tensor:
    """A line of full ink through a place in the box of the ink, in any direction."""
    draw = torch.rand(3, len(images), 1, 1, generator=generator)
    angle, (x, y) = math.pi * draw[0], SIDE / 2 - 0.5 + BOX * (draw[1:] - 0.5)
    place = torch.arange(SIDE, dtype=torch.float32)
    away = ((place - x) * angle.sin() - (place[:, None] - y) * angle.cos()).abs()  # (N, 28, 28), of each pixel
    return torch.maximum(images, (pixels / 2 + 0.5 - away).clamp(0, min(1.0, pixels)))


# --- what fades and is lost ------------------------------------------------------------------------------------------


def _blur(images: Tensor, pixels: float, generator: Generator) -> Tensor:
    if pixels == 0:
        return images
    reach = math.ceil(4 * pixels)
    bell = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / pixels) ** 2)
    bell = bell / bell.sum()
    across = functional.conv2d(images[:, None], bell.view(1, 1, 1, -1), padding=(0, reach))
    return functional.conv2d(across, bell.view(1, 1, -1, 1), padding=(reach, 0))[:, 0]


def _fade(images: Tensor, percent: float, generator: Generator) -> Tensor:
    return images * percent / 100


def _fog(images: Tensor, percent: float, generator: Generator) -> Tensor:
    """Grey clouds on the paper: a smooth field from 4×4 random numbers, stretched so that it goes from 0 to 1."""
    field = torch.rand(len(images), 1, 4, 4, generator=generator)
    field = functional.interpolate(field, size=SIDE, mode="bilinear", align_corners=True)[:, 0]
    low, high = field.amin((1, 2), keepdim=True), field.amax((1, 2), keepdim=True)
    return images + (1 - images) * percent / 100 * (field - low) / (high - low)


def _patch(images: Tensor, pixels: float, generator: Generator) -> Tensor:
    """A square of paper somewhere in the box of the ink."""
    side = round(pixels)
    corner = torch.rand(2, len(images), 1, generator=generator) * (BOX - side + 1)
    start = (SIDE - BOX) // 2 + corner.long()
    place = torch.arange(SIDE)
    rows, columns = ((place >= one) & (place < one + side) for one in start)  # (N, 28) each
    return images.masked_fill(rows[:, :, None] & columns[:, None, :], 0)


CORRUPTIONS = {
    "shift": Corruption("moved up or down", "pixels", (2, 4, 6, 8, 10), (0, 28), 0, _shift),
    "grow": Corruption("larger", "%", (110, 120, 130, 141, 160), (100, 400), 100, _scale),
    "shrink": Corruption("smaller", "%", (85, 71, 60, 50, 40), (10, 100), 100, _scale),
    "turn": Corruption("turned", "degrees", (10, 20, 30, 45, 60), (0, 180), 0, _turn),
    "squeeze": Corruption("squeezed or stretched", "%", (110, 120, 130, 145, 160), (100, 400), 100, _squeeze),
    "shear": Corruption("slanted", "degrees", (10, 20, 30, 40, 50), (0, 80), 0, _shear),
    "thicken": Corruption("thicker strokes", "pixels a side", (0.4, 0.8, 1.2, 1.6, 2), (0, 14), 0, _thicken),
    "thin": Corruption("thinner strokes", "pixels a side", (0.2, 0.4, 0.6, 0.8, 1), (0, 14), 0, _thin),
    "salt-and-pepper": Corruption("salt and pepper", "% of pixels", (2, 5, 10, 20, 30), (0, 100), 0, _salt_and_pepper),
    "grain": Corruption("grain", "% of full ink", (10, 20, 30, 40, 60), (0, 1_000), 0, _grain),
    "line": Corruption("a line across", "pixels wide", (1, 1.5, 2, 3, 4), (0, 28), 0, _line),
    "blur": Corruption("blurred", "pixels", (1, 1.5, 2, 2.5, 3), (0, 14), 0, _blur),
    "fade": Corruption("faded", "% of ink left", (50, 30, 20, 10, 5), (0, 100), 100, _fade),
    "fog": Corruption("fog", "% of full ink", (15, 30, 45, 60, 80), (0, 100), 0, _fog),
    "patch": Corruption("a square torn out", "pixels a side", (4, 6, 8, 10, 12), (0, 20), 0, _patch),
}
