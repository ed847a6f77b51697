"""A line of touching digits, read without cutting it up: strips, LeNet-5 slid over them, and a best path.

LeCun et al. (1998), section VII, call a network slid over a line in one pass a space displacement neural network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lenet_utils.arguments import check_count, check_finite, checked
from lenet_utils.checks import check_fit, choose
from lenet_utils.counting import layer_table, record_layers, total
from lenet_utils.data import ImageDataset
from lenet_utils.models import LeNet5
from lenet_utils.preprocessing import standardise

SIZE, STEP = 32, 4  # pixels: of a window along each side, and from one window to the next
HALF_INK = 128  # of 255: a column with a pixel as dark as this belongs to its digit
NOTHING = 10  # the class "no digit is centred here"
TOUCHING = (-2, 0)  # pixels between neighbours' boxes; below zero they overlap


@checked
@dataclass(frozen=True, eq=False)
class Strip:
    """Digits side by side.

    Attributes
    ----------
    image : torch.Tensor, shape (32, W), uint8
        0 is background, 255 full ink.
    labels : tuple of int
        From left to right.
    middles : tuple of float
        Where the middle of each digit's box lies, in pixels from the strip's left edge.
    chosen : tuple of int
        Which images of the part they are.
    """

    image: Tensor
    labels: tuple[int, ...]
    middles: tuple[float, ...]
    chosen: tuple[int, ...]


@checked
def make_strip(
    dataset: ImageDataset,
    part: str,
    seed: int,
    gaps: tuple[int, int] = TOUCHING,
    num_digits: tuple[int, int] = (3, 5),
) -> Strip:
    """Digits of one part of a data set, drawn with the seed and placed side by side.

    A digit's box goes from its first to its last column with at least half of full ink.  Where digits overlap, the
    darker pixel stays.  Left of the first box and right of the last, half a window of paper or a little more.

    Parameters
    ----------
    dataset : ImageDataset
        Of images of 28×28 pixels.
    part : {"train", "validation", "test"}
    seed : int
        Not negative.
    gaps : tuple of int
        Between which numbers of pixels the boxes of neighbours lie apart, both included; below 0 they overlap.
    num_digits : tuple of int
        From how many digits to how many.

    Returns
    -------
    Strip

    Raises
    ------
    ValueError
        If there is no such part, a range is empty or out of bounds, or the images have another size.
    """
    images, labels = choose("part", part, _parts(dataset))
    check_count("seed", seed, 0, 2**62)
    for name, (low, high), least, most in (("gaps", gaps, -8, 64), ("num_digits", num_digits, 1, 100)):
        check_count(f"the lower end of {name}", low, least, most)
        check_count(f"the upper end of {name}", high, low, most)
    if images.shape[1:] != (28, 28):
        raise ValueError(f"A strip is made of images of 28×28 pixels; got {images.shape[1]}×{images.shape[2]}.")
    rng = np.random.default_rng(seed)
    chosen = rng.integers(len(images), size=rng.integers(*num_digits, endpoint=True))
    apart = rng.integers(*gaps, size=len(chosen), endpoint=True)
    left = SIZE // 2 + int(rng.integers(STEP))  # so that windows meet digits in all ways
    ink = images[torch.from_numpy(chosen)].numpy()  # (n, 28, 28)
    strip = np.zeros((SIZE, left + (28 + max(gaps[1], 0)) * len(chosen) + SIZE), dtype=np.uint8)
    middles = []
    for digit, gap in zip(ink, apart, strict=True):
        columns = (digit >= HALF_INK).any(0).nonzero()[0]
        first, last = (int(columns[0]), int(columns[-1])) if len(columns) else (12, 15)
        place = strip[2:-2, left - first : left - first + 28]
        np.maximum(place, digit, out=place)
        middles.append(left + (last - first + 1) / 2)
        left += last - first + 1 + int(gap)
    end = left - int(apart[-1]) + SIZE // 2
    image = torch.from_numpy(strip[:, : end + -end % STEP].copy())
    return Strip(image, tuple(labels[torch.from_numpy(chosen)].tolist()), tuple(middles), tuple(chosen.tolist()))


def _parts(dataset: ImageDataset) -> dict[str, tuple[Tensor, Tensor]]:
    names = ("train", "validation", "test")
    return {part: (getattr(dataset, f"{part}_images"), getattr(dataset, f"{part}_labels")) for part in names}


@checked
def slide(model: LeNet5, strips: Tensor) -> Tensor:
    """LeNet-5's outputs at every position of whole strips, in one pass over its convolutions.

    Position p is the window of columns 4p to 4p + 31.  C5 is a convolution as it is, and F6 and the output layer are
    applied to each of its columns.

    Parameters
    ----------
    model : LeNet5
    strips : torch.Tensor, shape (N, 32, W), uint8, or float in [0, 1]
        W is at least 32; up to three columns at the right end are not seen.

    Returns
    -------
    torch.Tensor, shape (N, positions, num_classes)
        As the network gives for each window alone.

    Raises
    ------
    ValueError
        If the strips have another height or are too narrow.
    """
    _check_strips(strips)
    images = standardise(strips)  # (N, 1, 32, W)
    check_fit(images, model.c1.weight, "strips")
    f = model.activation
    x = model.s2(f(model.c1(images)))  # (N, 6, 14, W/2 - 2)
    x = model.s4(f(model.c3(x)))  # (N, 16, 5, W/4 - 3)
    x = f(model.c5(x))  # (N, 120, 1, positions)
    x = x.squeeze(2).transpose(1, 2)  # (N, positions, 120)
    return model.output(f(model.f6(x)))


def _check_strips(strips: Tensor) -> None:
    if strips.ndim != 3 or strips.shape[1] != SIZE:
        raise ValueError(
            f"Expected strips of shape (N, {SIZE}, W), {SIZE} pixels high; got shape {tuple(strips.shape)}: pad or "
            f"scale them to this height first."
        )
    if strips.shape[2] < SIZE:
        raise ValueError(
            f"A strip must be at least {SIZE} pixels wide, one window; got {strips.shape[2]}: pad it with paper."
        )


@checked
def windows(strips: Tensor) -> Tensor:
    """Every window that :func:`slide` sees, cut out: strips (N, 32, W) to (N, positions, 32, 32)."""
    _check_strips(strips)
    return strips.unfold(2, SIZE, STEP).transpose(1, 2)


@checked
def multiply_adds(model: LeNet5, width: int) -> tuple[int, int]:
    """For one strip of this width: multiply-adds of :func:`slide`, and of one window after the other.

    Examples
    --------
    >>> multiply_adds(LeNet5(), 32)
    (416520, 416520)
    """
    strip = torch.zeros(1, SIZE, width, dtype=torch.uint8)
    _check_strips(strip)
    with record_layers(model) as passed, torch.no_grad():
        positions = slide(model, strip).shape[1]
    weighted = [(layer.weight, output) for _, layer, output in passed if hasattr(layer, "weight")]
    once = sum(output.numel() * weight[0].numel() for weight, output in weighted)
    return once, positions * total(layer_table(model)).macs


@checked
def as_batch(strips: Sequence[Strip], width: int | None = None) -> Tensor:
    """Strips as one tensor (N, 32, W), uint8, with paper at the right of those that are shorter than W."""
    if not strips:
        raise ValueError("Expected at least one strip; got none.")
    longest = max(strip.image.shape[1] for strip in strips)
    check_count("width", width := longest if width is None else width, longest)
    images = [functional.pad(strip.image, (0, width - strip.image.shape[1])) for strip in strips]
    return torch.stack(images)


@checked
def targets(strip: Strip, positions: int) -> Tensor:
    """What the network shall say at each position, (positions,): a digit, ``NOTHING``, or -100 where neither is clear.

    A digit whose middle lies within two pixels of the window's; nothing where every middle is three pixels off or
    more; and between these, either.
    """
    check_count("positions", positions)
    seen = SIZE / 2 + STEP * torch.arange(positions)
    distance, nearest = (seen[:, None] - torch.tensor(strip.middles)).abs().min(1)
    wanted = torch.tensor(strip.labels)[nearest]
    wanted[distance > STEP / 2] = -100
    wanted[distance >= 3 * STEP / 4] = NOTHING
    return wanted


@checked
def best_path(scores: Tensor, apart: int = 2, fee: float = 0.0) -> list[tuple[int, int]]:
    """The digits along the likeliest path through all positions: each is nothing, or a digit, and no two too close.

    Parameters
    ----------
    scores : torch.Tensor, shape (positions, classes)
        Outputs of one strip; the last class is nothing.
    apart : int
        How many positions there are at least from one digit to the next; with 2, none follows another at once.
    fee : float
        What every digit must be worth more than nothing, as a logarithm.

    Returns
    -------
    list of (int, int)
        Position and label of each digit, from left to right.

    Examples
    --------
    >>> best_path(torch.tensor([[0.0, 4.0, 1.0], [0.0, 3.0, 1.0], [0.0, 0.0, 5.0], [2.0, 0.0, 1.0]]))
    [(0, 1), (3, 0)]
    """
    if scores.ndim != 2 or scores.shape[1] < 2 or not scores.isfinite().all():
        raise ValueError(f"Expected finite scores of shape (positions, classes); got shape {tuple(scores.shape)}.")
    check_count("apart", apart)
    check_finite(fee=fee)
    gains, labels = (scores[:, :-1] - scores[:, -1:]).max(1)
    gains = (gains.double() - fee).tolist()
    best = [0.0]  # the most that the first n positions can gain
    for p, gain in enumerate(gains):
        best.append(max(best[p], gain + best[max(p + 1 - apart, 0)]))
    path, p = [], len(gains)
    while p > 0:
        if best[p] == best[p - 1]:
            p -= 1
        else:
            path.append((p - 1, int(labels[p - 1])))
            p -= apart
    return path[::-1]


@checked
def edit_distance(found: Sequence[int], wanted: Sequence[int]) -> int:
    """How many labels must be changed, added or taken away to make one list of the other (Levenshtein).

    Examples
    --------
    >>> edit_distance([3, 1, 4], [3, 1, 1, 5])
    2
    """
    row = list(range(len(wanted) + 1))
    for i, one in enumerate(found, 1):
        before, row = row, [i]
        for j, other in enumerate(wanted, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (one != other)))
    return row[-1]


@checked
def read_strip(model: LeNet5, strip: Strip, apart: int = 2, fee: float = 0.0) -> list[int]:
    """The digits of a strip, by a network that knows the class of nothing as well."""
    with torch.no_grad():
        (scores,) = slide(model, strip.image[None])
    return [label for _, label in best_path(scores, apart, fee)]
