"""Classifiers that LeNet-5 was compared with (LeCun et al. 1998, section III-C): each learns, scores ten classes, and
says how many multiply-adds a digit takes and how many numbers must be stored.

They take images as rows of numbers.  A multiply-add is counted for each number that meets a stored one.
"""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from lenet_utils.arguments import check_count, check_finite, checked
from lenet_utils.checks import check_labels

NUM_CLASSES = 10
PAIRS = tuple(combinations(range(NUM_CLASSES), 2))


class Classifier:
    """What all of them have in common: :meth:`learn`, :meth:`scores`, ``multiply_adds`` and ``numbers``.

    Attributes
    ----------
    multiply_adds : int
        For one image.
    numbers : int
        Those that must be stored to answer.
    """

    multiply_adds: int
    numbers: int
    _inputs = 0

    @checked
    def learn(self, images: Tensor, labels: Tensor) -> Classifier:
        """Learn from images and their classes; returns itself.

        Parameters
        ----------
        images : torch.Tensor, shape (N, D), float
        labels : torch.Tensor, shape (N,), int64
            From 0 to 9, and each of them at least once.

        Raises
        ------
        ValueError
            If a shape does not fit, a value is not finite, or a class has no image.
        """
        _check_rows(images)
        check_labels(labels, len(images), NUM_CLASSES)
        if missing := sorted(set(range(NUM_CLASSES)) - set(labels.tolist())):
            raise ValueError(f"Expected images of all ten classes to learn from; there is none of {missing}.")
        self._inputs = images.shape[1]
        self._learn(images.float(), labels.long())
        return self

    @checked
    def scores(self, images: Tensor) -> Tensor:
        """How much each image (N, D) looks like each class: shape (N, 10), float32; the largest wins.

        Raises
        ------
        ValueError
            If nothing was learned yet, or the images have another number of pixels than those that were.
        """
        if not self._inputs:
            raise ValueError(f"This {type(self).__name__} has learned nothing yet: call learn(images, labels) first.")
        _check_rows(images)
        if images.shape[1] != self._inputs:
            raise ValueError(f"Expected rows of {self._inputs} numbers, as were learned; got {images.shape[1]}.")
        return torch.cat([self._scores(part).float() for part in images.float().split(500)])

    def _learn(self, images: Tensor, labels: Tensor) -> None:
        raise NotImplementedError

    def _scores(self, images: Tensor) -> Tensor:
        raise NotImplementedError


class Linear(Classifier):
    """One layer of ten outputs, whose weights bring the squared distance from ±1 to its least (section III-C.1).

    Parameters
    ----------
    ridge : float
        Added to the diagonal of the linear system, so that pixels without ink do not make it singular.

    Attributes
    ----------
    weights : torch.Tensor, shape (D + 1, 10), float64
        The last row holds the biases.
    """

    @checked
    def __init__(self, ridge: float = 1e-3) -> None:
        self.ridge = check_positive("ridge", ridge)

    def _learn(self, images: Tensor, labels: Tensor) -> None:
        self.weights = least_squares(images, signs(labels), self.ridge)
        self.numbers = self.weights.numel()
        self.multiply_adds = self.numbers - NUM_CLASSES

    def _scores(self, images: Tensor) -> Tensor:
        return with_one(images) @ self.weights


class Pairwise(Classifier):
    """One linear unit for each of the 45 pairs of classes, +1 for the first and -1 for the second (section III-C.1).

    The score of class i is the sum of all units i/x, less the sum of all units y/i.

    Parameters
    ----------
    gain : float
        A unit's output is tanh(gain·a); 0 leaves it at a, so that the sums are linear, too.  The paper does not say.
    ridge : float
        As in :class:`Linear`.

    Attributes
    ----------
    weights : torch.Tensor, shape (D + 1, 45), float64
    """

    @checked
    def __init__(self, gain: float = 3.0, ridge: float = 1.0) -> None:
        check_finite(gain=gain)
        if gain < 0:
            raise ValueError(f"gain must be 0, for linear units, or above; got {gain}.")
        self.gain, self.ridge = gain, check_positive("ridge", ridge)

    def _learn(self, images: Tensor, labels: Tensor) -> None:
        squares, sums = [], []  # of each class, so that no image is multiplied twice
        for number in range(NUM_CLASSES):
            rows = with_one(images[labels == number])
            squares.append(rows.T @ rows)
            sums.append(rows.sum(0))
        extra = self.ridge * torch.eye(len(sums[0]), dtype=torch.float64)
        units = [torch.linalg.solve(squares[i] + squares[j] + extra, sums[i] - sums[j]) for i, j in PAIRS]
        self.weights = torch.stack(units, 1)
        self.numbers = self.weights.numel()
        self.multiply_adds = self.numbers - len(PAIRS)

    def _scores(self, images: Tensor) -> Tensor:
        units = with_one(images) @ self.weights  # (N, 45)
        return pair_scores(torch.tanh(self.gain * units) if self.gain else units)


@checked
def pair_scores(units: Tensor) -> Tensor:
    """The ten scores of (N, 45) units, ordered 0/1, 0/2, ..., 8/9: unit i/j speaks for i, and against j.

    Examples
    --------
    >>> units = torch.zeros(1, 45)
    >>> units[0, 0] = 1  # unit 0/1
    >>> pair_scores(units)[0, :3].tolist()
    [1.0, -1.0, 0.0]
    """
    if units.ndim != 2 or units.shape[1] != len(PAIRS):
        raise ValueError(f"Expected the outputs of 45 units, (N, 45); got shape {tuple(units.shape)}.")
    sides = torch.zeros(len(PAIRS), NUM_CLASSES, dtype=units.dtype)
    for number, (first, second) in enumerate(PAIRS):
        sides[number, first], sides[number, second] = 1, -1
    return units @ sides


class NearestNeighbours(Classifier):
    """The K training images at the smallest Euclidean distance vote (section III-C.2).

    A class's score is its votes, less the distance of its nearest image as a share of that of the farthest class: where
    votes are equal, the nearest image decides; and the score tells a sure answer from one that is less so.

    Parameters
    ----------
    k : int
    """

    @checked
    def __init__(self, k: int = 3) -> None:
        check_count("k", k)
        self.k = k

    def _learn(self, images: Tensor, labels: Tensor) -> None:
        if len(images) < self.k:
            raise ValueError(f"Expected at least k = {self.k} images to learn from; got {len(images)}.")
        order = labels.argsort(stable=True)  # a class's images lie together
        self.images, self.labels = images[order].contiguous(), labels[order]
        self.counts = torch.bincount(labels, minlength=NUM_CLASSES).tolist()
        self._squares = self.images.square().sum(1)
        self.numbers = self.multiply_adds = images.numel()

    def _scores(self, images: Tensor) -> Tensor:
        distances = squared_distances(images, self.images, self._squares)  # (B, N)
        neighbours = self.labels[distances.topk(self.k, largest=False).indices]
        votes = one_hot(neighbours, NUM_CLASSES).sum(1)
        nearest = torch.stack([part.amin(1) for part in distances.split(self.counts, 1)], 1).sqrt()  # (B, 10)
        return votes - nearest / nearest.amax(1, keepdim=True).clamp(min=1e-12)


class PCAQuadratic(Classifier):
    """Principal components, the products of all their pairs, and a linear layer on these (section III-C.3).

    Forty components have 820 products, squares among them; with a constant they are the 821 inputs that are printed.

    Parameters
    ----------
    components : int
    ridge : float
        As in :class:`Linear`.

    Attributes
    ----------
    mean : torch.Tensor, shape (D,)
    directions : torch.Tensor, shape (D, components)
    weights : torch.Tensor, shape (components·(components + 1)/2 + 1, 10), float64
    """

    @checked
    def __init__(self, components: int = 40, ridge: float = 1e-3) -> None:
        check_count("components", components, most=500)
        self.components, self.ridge = components, check_positive("ridge", ridge)

    def _learn(self, images: Tensor, labels: Tensor) -> None:
        check_count("components", self.components, most=images.shape[1])
        self.mean = images.mean(0)
        moved = images - self.mean
        _, directions = torch.linalg.eigh((moved.T @ moved).double())
        self.directions = directions[:, -self.components :].float()
        self.weights = least_squares(self.products(images), signs(labels), self.ridge)
        self.multiply_adds = self.directions.numel() + self.weights.numel() - NUM_CLASSES
        self.numbers = self.mean.numel() + self.directions.numel() + self.weights.numel()

    def products(self, images: Tensor) -> Tensor:
        """Products of all pairs of components, squares included: shape (N, components·(components + 1)/2)."""
        found = (images - self.mean) @ self.directions
        first, second = torch.triu_indices(self.components, self.components)
        return found[:, first] * found[:, second]

    def _scores(self, images: Tensor) -> Tensor:
        return with_one(self.products(images)) @ self.weights


def least_squares(rows: Tensor, targets: Tensor, ridge: float) -> Tensor:
    """The weights (D + 1, C), biases last, that bring rows (N, D) nearest to targets (N, C), in float64."""
    rows = with_one(rows)
    square = rows.T @ rows
    return torch.linalg.solve(square + ridge * torch.eye(len(square), dtype=square.dtype), rows.T @ targets)


def signs(labels: Tensor) -> Tensor:
    """Targets: +1 for an image's class, -1 for the nine others; shape (N, 10), float64."""
    return 2 * one_hot(labels, NUM_CLASSES).double() - 1


def squared_distances(images: Tensor, others: Tensor, squares: Tensor | None = None) -> Tensor:
    """Between each of (N, D) and each of (M, D): shape (N, M)."""
    squares = others.square().sum(1) if squares is None else squares
    return torch.addmm(squares, images, others.T, alpha=-2).add_(images.square().sum(1)[:, None]).clamp_(min=0)


def with_one(rows: Tensor) -> Tensor:
    """(N, D) as (N, D + 1), float64: a last column of ones, which the biases multiply."""
    rows = rows.double()
    return torch.cat([rows, torch.ones(len(rows), 1, dtype=rows.dtype)], 1)


def _check_rows(images: Tensor) -> None:
    if images.ndim != 2 or images.numel() == 0:
        raise ValueError(f"Expected images as rows, (N, D): use images.flatten(1); got shape {tuple(images.shape)}.")
    if not images.isfinite().all():
        raise ValueError(f"{int((~images.isfinite()).sum()):,} pixels are not finite: look for NaN in them.")


def check_positive(name: str, value: float) -> float:
    """The value, if it is positive and finite; else a ValueError."""
    if not 0 < value < float("inf"):
        raise ValueError(f"{name} must be positive and finite; got {value}.")
    return value
