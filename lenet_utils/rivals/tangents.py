"""The tangent distance (LeCun et al. 1998, section III-C.10): how near two digits come if each may be bent a little.

All that small shifts, turns and the like make of a digit is a surface in the space of its pixels.  Near the digit it is
almost flat, and the flat piece is spanned by seven tangents, one for each way to bend it.  The tangent distance is the
smallest one between two such pieces (Simard, LeCun and Denker 1993).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lenet_utils.arguments import check_count, checked
from lenet_utils.rivals.classifiers import Classifier, check_positive, squared_distances

WAYS_TO_BEND = ("shift across", "shift down", "scale", "turn", "squeeze", "skew", "thicken")


@checked
def tangents(images: Tensor) -> Tensor:
    """How each pixel changes as a digit is bent in each of the seven ways.

    With gx and gy half the difference of a pixel's two neighbours, across and down, and x and y its place, counted from
    the middle, they are gx, gy, x·gx + y·gy, y·gx - x·gy, x·gx - y·gy, y·gx + x·gy, and gx² + gy².

    Parameters
    ----------
    images : torch.Tensor, shape (N, H, W), float
        What lies around an image is background, 0.

    Returns
    -------
    torch.Tensor, shape (N, H, W, 7)
        In the order of ``WAYS_TO_BEND``; the first two for a shift by one pixel to the left and up.
    """
    if images.ndim != 3 or images.numel() == 0 or not images.is_floating_point():
        raise ValueError(f"Expected images (N, H, W), float; got {images.dtype} of shape {tuple(images.shape)}.")
    padded = torch.nn.functional.pad(images, (1, 1, 1, 1))
    across = (padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]) / 2
    down = (padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]) / 2
    y, x = (torch.arange(n, dtype=images.dtype) - (n - 1) / 2 for n in images.shape[1:])
    y = y[:, None]
    scale, turn = x * across + y * down, y * across - x * down
    squeeze, skew = x * across - y * down, y * across + x * down
    return torch.stack([across, down, scale, turn, squeeze, skew, across**2 + down**2], -1)


@checked
def tangent_planes(images: Tensor) -> Tensor:
    """Seven directions at right angles, each of length 1, that span the tangents of (N, H, W): shape (N, H·W, 7)."""
    found = tangents(images).flatten(1, 2)
    return torch.linalg.qr(found / found.norm(dim=1, keepdim=True).clamp(min=1e-6)).Q


@checked
def tangent_distances(apart: Tensor, planes: Tensor, others: Tensor, spring: float = 1e-3) -> Tensor:
    """The squared distance that is left between pairs of digits when each moves in its tangent plane.

    It is the least of ‖d + P·a - Q·b‖² + spring·(‖a‖² + ‖b‖²) over all a and b.

    Parameters
    ----------
    apart : torch.Tensor, shape (..., D)
        d, the difference of the two digits' pixels.
    planes, others : torch.Tensor, shape (..., D, 7)
        P and Q, their :func:`tangent_planes`.
    spring : float
        What moving costs; it keeps the minimum unique where planes share directions.

    Returns
    -------
    torch.Tensor, shape (...)
    """
    check_positive("spring", spring)
    for name, plane in (("planes", planes), ("others", others)):
        if apart.ndim == 0 or plane.shape[-2:-1] != apart.shape[-1:] or plane.dtype != apart.dtype:
            raise ValueError(
                f"Expected {name} (..., D, 7) of the same dtype as apart (..., D); got {plane.dtype} of shape "
                f"{tuple(plane.shape)} and {apart.dtype} of shape {tuple(apart.shape)}."
            )
    stiff = 1 + spring
    row = apart[..., None, :]
    first, second = row @ planes, row @ others  # (..., 1, 7)
    shared = planes.mT @ others  # (..., 7, 7)
    rest = second - first @ shared / stiff
    left = stiff * torch.eye(shared.shape[-1], dtype=shared.dtype) - shared.mT @ shared / stiff
    root, failed = torch.linalg.cholesky_ex(left)
    if failed.any():
        raise ValueError("The directions of a plane must be at right angles and of length 1: take tangent_planes.")
    solved = torch.linalg.solve_triangular(root, rest.mT, upper=False)
    gained = first.square().sum((-2, -1)) / stiff + solved.square().sum((-2, -1))
    return (apart.square().sum(-1) - gained).clamp(min=0)


class TangentDistance(Classifier):
    """The training image at the smallest tangent distance names the class (section III-C.10).

    As in the paper, plain Euclidean distance decides which images are worth the tangent distance; how many, is ours.
    A class's score is its nearest image's tangent distance, negative; classes that are not among those images have one
    as if just beyond the farthest of them.

    Parameters
    ----------
    shortlist : int
        How many training images are compared by their tangents.

    Attributes
    ----------
    images, planes : torch.Tensor, shapes (N, D) and (N, D, 7)
    """

    @checked
    def __init__(self, shortlist: int = 300) -> None:
        check_count("shortlist", shortlist)
        self.shortlist = shortlist

    def _learn(self, images: Tensor, labels: Tensor) -> None:
        if len(images) < self.shortlist:
            raise ValueError(f"Expected at least {self.shortlist} images to learn from; got {len(images)}.")
        self.images, self.labels, self.planes = images, labels, self._planes(images)
        self._squares = images.square().sum(1)
        self.numbers = images.numel() + self.planes.numel()
        shared, projected = self.planes.shape[2] ** 2, 2 * self.planes.shape[2]
        self.multiply_adds = images.numel() + self.shortlist * images.shape[1] * (shared + projected)

    def _scores(self, images: Tensor) -> Tensor:
        return torch.cat([self._few_scores(part) for part in images.split(10)])

    def _few_scores(self, images: Tensor) -> Tensor:
        near = squared_distances(images, self.images, self._squares).topk(self.shortlist, largest=False).indices
        apart = images[:, None] - self.images[near]  # (B, shortlist, D)
        left = tangent_distances(apart, self._planes(images)[:, None], self.planes[near]).sqrt()
        beyond = left.amax(1, keepdim=True).expand(-1, 10) * 1.001
        return -beyond.scatter_reduce(1, self.labels[near], left, "amin")

    @staticmethod
    def _planes(images: Tensor) -> Tensor:
        side = math.isqrt(images.shape[1])
        if side * side != images.shape[1]:
            raise ValueError(f"Only square images can be bent; got rows of {images.shape[1]} pixels.")
        return torch.cat([tangent_planes(part) for part in images.reshape(-1, side, side).split(2_000)])
