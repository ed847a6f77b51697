"""Classifiers whose size grows with what they learned from: Gaussian units on clusters, and support vectors.

They are those of LeCun et al. (1998), sections III-C.4 and III-C.11; scikit-learn finds clusters and vectors.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lenet_utils.arguments import check_count, checked
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
    """A support vector machine with a polynomial kernel (section III-C.11), scikit-learn's: one for each pair.

    Parameters
    ----------
    degree : int
        The kernel is (gamma·x·y + 1) to this power.
    gamma, penalty : float
        The penalty is what libsvm calls C.
    """

    @checked
    def __init__(self, degree: int = 4, gamma: float = 0.02, penalty: float = 1.0) -> None:
        check_count("degree", degree, most=20)
        self.degree, self.gamma, self.penalty = (
            degree,
            check_positive("gamma", gamma),
            check_positive("penalty", penalty),
        )

    def _learn(self, images: Tensor, labels: Tensor) -> None:
        from sklearn.svm import SVC

        kernel = {"kernel": "poly", "degree": self.degree, "gamma": self.gamma, "coef0": 1.0}
        self.machine = SVC(C=self.penalty, cache_size=2_000, **kernel).fit(images.numpy(), labels.numpy())
        vectors, pairs = self.machine.support_vectors_, self.machine.dual_coef_
        self.multiply_adds = vectors.size + pairs.size  # each vector has a weight in nine of the 45 machines
        self.numbers = self.multiply_adds + self.machine.intercept_.size

    def _scores(self, images: Tensor) -> Tensor:
        return torch.from_numpy(self.machine.decision_function(images.numpy()))
