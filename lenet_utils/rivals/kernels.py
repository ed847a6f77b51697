"""Classifiers that compare a digit with chosen ones: Gaussian units on clusters, and support vectors.

They are those of LeCun et al. (1998), sections III-C.4 and III-C.11; scikit-learn finds clusters and vectors.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from lenet_utils.arguments import check_count, checked
from lenet_utils.modern.shifts import WAYS
from lenet_utils.rivals.classifiers import (
    NUM_CLASSES,
    Classifier,
    check_positive,
    least_squares,
    signs,
    squared_distances,
    with_one,
)


class RadialBasis(Classifier):
    """Gaussian units in the middle of clusters of each class, and a linear layer on them (section III-C.4).

    Parameters
    ----------
    per_class : int
        Clusters of each class, by K-means; a hundred make the paper's thousand units.
    width : float
        A unit answers exp(-d²/(2·width·m)) at distance d, where m is the mean d² between training images and the
        middle that is nearest to them.
    ridge : float
        What regularises the pseudo-inverse, as in :class:`lenet_utils.rivals.classifiers.Linear`.
    seed : int
        Decides where K-means begins.

    Attributes
    ----------
    centres : torch.Tensor, shape (10·per_class, D)
    weights : torch.Tensor, shape (10·per_class + 1, 10), float64
    """

    @checked
    def __init__(self, per_class: int = 100, width: float = 0.5, ridge: float = 1e-2, seed: int = 0) -> None:
        check_count("per_class", per_class, most=1_000)
        self.per_class, self.seed = per_class, seed
        self.width, self.ridge = check_positive("width", width), check_positive("ridge", ridge)

    def _learn(self, images: Tensor, labels: Tensor) -> None:
        from sklearn.cluster import KMeans

        if (fewest := int(torch.bincount(labels).min())) < self.per_class:
            raise ValueError(f"Expected {self.per_class} images of each class to cluster; one has {fewest}.")
        parts = []
        for number in range(NUM_CLASSES):
            clusters = KMeans(self.per_class, n_init=1, max_iter=20, random_state=self.seed)
            parts.append(clusters.fit(images[labels == number].numpy()).cluster_centers_)
        self.centres = torch.from_numpy(np.concatenate(parts)).float()
        distances = squared_distances(images, self.centres)
        self.spread = 2 * self.width * float(distances.amin(1).mean())
        self.weights = least_squares(torch.exp(-distances / self.spread), signs(labels), self.ridge)
        self.numbers = self.centres.numel() + 1 + self.weights.numel()
        self.multiply_adds = self.centres.numel() + self.weights.numel() - NUM_CLASSES

    def units(self, images: Tensor) -> Tensor:
        """What the Gaussian units answer: shape (N, 10·per_class), from 0 to 1."""
        return torch.exp(-squared_distances(images, self.centres) / self.spread)

    def _scores(self, images: Tensor) -> Tensor:
        return with_one(self.units(images)) @ self.weights


class SupportVectors(Classifier):
    """Ten support vector machines with a polynomial kernel, each for one class against all others (section III-C.11).

    The largest of their ten outputs wins.  scikit-learn finds the vectors.

    Parameters
    ----------
    degree : int
        The kernel is (gamma·x·y + 1) to this power.
    gamma, penalty : float
        The penalty is what libsvm calls C.
    virtual : bool
        Each machine learns a second time, from its own support vectors and from copies of them that are shifted by a
        pixel to each of the four sides (Schölkopf's virtual support vectors).

    Attributes
    ----------
    vectors : torch.Tensor, shape (V, D)
        Those of all ten machines, each once.
    weights : torch.Tensor, shape (V + 1, 10), float64
        What each machine gives each vector, 0 for those of the others; the last row holds the biases.
    """

    @checked
    def __init__(self, degree: int = 4, gamma: float = 0.02, penalty: float = 1.0, virtual: bool = False) -> None:
        check_count("degree", degree, most=20)
        self.degree, self.virtual = degree, virtual
        self.gamma, self.penalty = check_positive("gamma", gamma), check_positive("penalty", penalty)

    def _learn(self, images: Tensor, labels: Tensor) -> None:
        if self.virtual and math.isqrt(images.shape[1]) ** 2 != images.shape[1]:
            raise ValueError(f"Only square images can be shifted; got rows of {images.shape[1]} pixels.")
        machines = [self._machine(images, labels == number) for number in range(NUM_CLASSES)]
        rows, parts, biases = zip(*machines, strict=True)
        self.vectors, position = torch.unique(torch.cat(rows), dim=0, return_inverse=True)
        self.weights = torch.zeros(len(self.vectors) + 1, NUM_CLASSES, dtype=torch.float64)
        for number, (where, part) in enumerate(zip(position.split([len(part) for part in parts]), parts, strict=True)):
            self.weights[:, number].index_add_(0, where, part)
        self.weights[-1] = torch.cat(biases)
        self.multiply_adds = self.vectors.numel() + sum(map(len, parts))
        self.numbers = self.multiply_adds + NUM_CLASSES

    def _machine(self, images: Tensor, is_class: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Vectors (V, D), their weights (V,) and the bias (1,) that tell a class from the others."""
        from sklearn.svm import SVC

        machine = SVC(C=self.penalty, kernel="poly", degree=self.degree, gamma=self.gamma, coef0=1.0, cache_size=4_000)
        machine.fit(images.numpy(), is_class.numpy())
        if self.virtual:
            chosen = torch.from_numpy(machine.support_).long()
            more = with_neighbours(images[chosen])
            machine.fit(more.numpy(), is_class[chosen].repeat(len(more) // len(chosen)).numpy())
        vectors = torch.from_numpy(machine.support_vectors_).float()
        return vectors, torch.from_numpy(machine.dual_coef_[0]), torch.from_numpy(machine.intercept_)

    def _scores(self, images: Tensor) -> Tensor:
        return with_one((self.gamma * (images @ self.vectors.T).double() + 1) ** self.degree) @ self.weights


@checked
def with_neighbours(images: Tensor) -> Tensor:
    """Rows (N, D) of square images, followed by all of them a pixel further down, up, right and left: (5·N, D).

    Examples
    --------
    >>> with_neighbours(torch.tensor([[1, 2, 3, 4]])).tolist()
    [[1, 2, 3, 4], [0, 0, 1, 2], [3, 4, 0, 0], [0, 1, 0, 3], [2, 0, 4, 0]]
    """
    side = math.isqrt(images.shape[1]) if images.ndim == 2 else 0
    if not side or side * side != images.shape[1]:
        raise ValueError(f"Expected rows of square images, (N, side²); got shape {tuple(images.shape)}.")
    padded = torch.nn.functional.pad(images.reshape(-1, side, side), (1, 1, 1, 1))
    moved = [padded[:, 1 - down :, 1 - right :][:, :side, :side].flatten(1) for down, right in WAYS]
    return torch.cat([images, *moved])
