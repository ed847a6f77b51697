"""Gaussian units and support vectors: their shapes, their formulas, scikit-learn's answers, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import sentence
from scipy import ndimage
from sklearn.cluster import KMeans
from sklearn.svm import SVC

from lenet_utils.modern.shifts import WAYS
from lenet_utils.rivals.kernels import RadialBasis, SupportVectors, with_neighbours


@pytest.fixture(scope="module")
def parts(digits):
    """Rows and labels to learn from, and to test on."""
    learned, tested = digits.train_images.flatten(1).float() / 255, digits.test_images.flatten(1).float() / 255
    return learned[:600], digits.train_labels[:600], tested[:100], digits.test_labels[:100]


def test_gaussian_units_sit_in_the_clusters_of_each_class_and_follow_the_formula(parts):
    images, labels, tested, _ = parts
    found = RadialBasis(per_class=4, width=0.7, seed=5).learn(images, labels)
    centres = [
        KMeans(4, n_init=1, max_iter=20, random_state=5).fit(images[labels == number].numpy()).cluster_centers_
        for number in range(10)
    ]
    np.testing.assert_allclose(found.centres.numpy(), np.concatenate(centres), atol=1e-5)
    distances = torch.cdist(images.double(), found.centres.double()).square()
    spread = 2 * 0.7 * distances.min(1).values.mean()
    design = torch.cat([torch.exp(-distances / spread), torch.ones(len(images), 1)], 1)
    targets = np.where(labels[:, None] == np.arange(10), 1.0, -1.0)
    square = design.T @ design + 1e-2 * torch.eye(41)
    weights = np.linalg.solve(square.numpy(), design.T.numpy() @ targets)
    np.testing.assert_allclose(found.weights.numpy(), weights, atol=1e-3)
    units = torch.exp(-torch.cdist(tested.double(), found.centres.double()).square() / spread)
    np.testing.assert_allclose(found.units(tested).numpy(), units.numpy(), atol=1e-4)
    wanted = units.numpy() @ weights[:-1] + weights[-1]
    np.testing.assert_allclose(found.scores(tested).numpy(), wanted, atol=1e-2)


def test_a_hundred_units_a_class_cost_what_is_printed():
    images = torch.rand(1_000, 784, generator=torch.Generator().manual_seed(0))
    found = RadialBasis().learn(images, torch.arange(1_000) % 10)
    assert found.centres.shape == (1_000, 784)
    assert found.weights.shape == (1_001, 10)
    assert found.multiply_adds == 1_000 * 784 + 1_000 * 10 == 794_000
    assert found.numbers == 794_000 + 10 + 1  # biases, and the width that all units share


def test_a_seed_decides_the_clusters(parts):
    images, labels, tested, _ = parts
    one, same, other = (RadialBasis(5, seed=seed).learn(images, labels).scores(tested) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def one_against_all(images, labels, tested, virtual):
    """Ten machines of scikit-learn with a kernel of our own: outputs (N, 10), and the images they keep."""

    def kernel(a, b):
        return (0.03 * a @ b.T + 1) ** 4

    outputs, kept = [], set()
    for number in range(10):
        rows, is_class = images.double().numpy(), (labels == number).numpy()
        machine = SVC(C=2.0, kernel=kernel).fit(rows, is_class)
        if virtual:
            rows, is_class = rows[machine.support_], is_class[machine.support_]
            square = rows.reshape(-1, 28, 28)
            moved = [ndimage.shift(square, (0, down, right), order=0) for down, right in WAYS]
            rows = np.concatenate([rows, *(part.reshape(-1, 784) for part in moved)])
            is_class = np.tile(is_class, 5)
            machine.fit(rows, is_class)
        outputs.append(machine.decision_function(tested.double().numpy()))
        kept |= {rows[index].tobytes() for index in machine.support_}
    return np.stack(outputs, 1), len(kept)


@pytest.mark.parametrize("virtual", [False, True])
def test_support_vectors_answer_by_the_polynomial_kernel(virtual, parts):
    images, labels, tested, _ = parts
    found = SupportVectors(gamma=0.03, penalty=2.0, virtual=virtual).learn(images, labels)
    wanted, kept = one_against_all(images, labels, tested, virtual)
    np.testing.assert_allclose(found.scores(tested).numpy(), wanted, atol=0.01)
    assert abs(len(found.vectors) - kept) <= 3
    assert found.weights.shape == (len(found.vectors) + 1, 10)
    used = int((found.weights[:-1] != 0).sum())
    assert found.multiply_adds == len(found.vectors) * 784 + used
    assert found.numbers == found.multiply_adds + 10


def test_virtual_vectors_need_square_images():
    with pytest.raises(ValueError, match="12 pixels") as caught:
        SupportVectors(virtual=True).learn(torch.rand(20, 12), torch.arange(20) % 10)
    sentence(caught.value, "square")
    with pytest.raises(ValueError, match=r"\(3, 12\)") as caught:
        with_neighbours(torch.rand(3, 12))
    sentence(caught.value, "square")


@pytest.mark.parametrize(
    "make", [lambda: RadialBasis(10), SupportVectors, lambda: SupportVectors(9, 0.005, virtual=True)]
)
def test_the_embedded_digits_are_read(make, parts):
    images, labels, tested, test_labels = parts
    assert (make().learn(images, labels).scores(tested).argmax(1) != test_labels).float().mean() < 0.1


@pytest.mark.parametrize(
    ("make", "settings", "names"),
    [
        (RadialBasis, {"per_class": 0}, "per_class"),
        (RadialBasis, {"width": 0.0}, "width"),
        (RadialBasis, {"ridge": -1.0}, "ridge"),
        (SupportVectors, {"degree": 0}, "degree"),
        (SupportVectors, {"gamma": float("inf")}, "gamma"),
        (SupportVectors, {"penalty": 0.0}, "penalty"),
    ],
)
def test_settings_without_sense_are_one_sentence(make, settings, names):
    with pytest.raises(ValueError, match="must") as caught:
        make(**settings)
    sentence(caught.value, names)


def test_more_clusters_than_images_are_one_sentence():
    with pytest.raises(ValueError, match="100 images") as caught:
        RadialBasis().learn(torch.rand(50, 9), torch.arange(50) % 10)
    sentence(caught.value, "one has 5")
