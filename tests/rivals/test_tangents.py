"""Tangents against digits that are really bent; the distance against least squares; the classifier against a loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import sentence
from scipy import ndimage

from lenet_utils.rivals.classifiers import NearestNeighbours
from lenet_utils.rivals.tangents import (
    WAYS_TO_BEND,
    TangentDistance,
    tangent_distances,
    tangent_planes,
    tangents,
)


@pytest.fixture(scope="module")
def blobs():
    """Smooth images, of 16×16 pixels, with nothing at the edge."""
    generator = np.random.default_rng(0)
    sharp = np.zeros((4, 16, 16))
    sharp[:, 4:12, 4:12] = generator.random((4, 8, 8))
    return torch.from_numpy(np.stack([ndimage.gaussian_filter(image, 1.2) for image in sharp])).float()


# What a place (y, x), counted from the middle, is read from, if the image is bent by an amount.
BENT = {
    "shift across": lambda y, x, a: (y, x + a),
    "shift down": lambda y, x, a: (y + a, x),
    "scale": lambda y, x, a: (y + a * y, x + a * x),
    "turn": lambda y, x, a: (y - a * x, x + a * y),
    "squeeze": lambda y, x, a: (y - a * y, x + a * x),
    "skew": lambda y, x, a: (y + a * x, x + a * y),
}


@pytest.mark.parametrize("way", BENT)
def test_a_tangent_is_where_bending_begins(way, blobs):
    y, x = np.mgrid[:16, :16] - 7.5
    amount = 0.01
    for image, tangent in zip(blobs, tangents(blobs)[..., WAYS_TO_BEND.index(way)], strict=True):
        sides = [
            ndimage.map_coordinates(image.double().numpy(), np.stack(BENT[way](y, x, sign * amount)) + 7.5, order=3)
            for sign in (1, -1)
        ]
        wanted = (sides[0] - sides[1]) / (2 * amount)
        assert np.corrcoef(wanted.ravel(), tangent.numpy().ravel())[0, 1] > 0.97
        assert np.abs(tangent.numpy()).sum() == pytest.approx(np.abs(wanted).sum(), rel=0.15)


def test_thickening_adds_ink_where_it_changes(blobs):
    for image, tangent in zip(blobs.numpy(), tangents(blobs)[..., 6].numpy(), strict=True):
        added = ndimage.grey_dilation(image, 3) - image  # of what really makes strokes thicker
        assert (tangent >= 0).all()
        assert np.corrcoef(added.ravel(), tangent.ravel())[0, 1] > 0.6


def test_planes_are_orthonormal_and_span_the_tangents(blobs):
    planes = tangent_planes(blobs)
    assert planes.shape == (4, 256, 7)
    torch.testing.assert_close(planes.mT @ planes, torch.eye(7).expand(4, 7, 7), atol=1e-5, rtol=0)
    rows = tangents(blobs).flatten(1, 2)
    torch.testing.assert_close(planes @ (planes.mT @ rows), rows, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("spring", [1e-3, 0.5])
def test_the_distance_is_the_least_of_all(spring, blobs):
    planes, apart = tangent_planes(blobs), (blobs[:2] - blobs[2:]).flatten(1)
    found = tangent_distances(apart, planes[:2], planes[2:], spring)
    for one, d, p, q in zip(found, apart.double(), planes[:2].double(), planes[2:].double(), strict=True):
        system = torch.cat([torch.cat([p, -q], 1), spring**0.5 * torch.eye(14, dtype=torch.float64)])
        wanted = torch.cat([d, torch.zeros(14, dtype=torch.float64)])[:, None]
        solution = torch.linalg.lstsq(system, -wanted).solution
        assert float(one) == pytest.approx(float((system @ solution + wanted).square().sum()), rel=1e-4)
        assert one < d.square().sum()


def test_it_is_symmetric_and_nought_for_the_same(blobs):
    planes, apart = tangent_planes(blobs), (blobs[:2] - blobs[2:]).flatten(1)
    there, back = tangent_distances(apart, planes[:2], planes[2:]), tangent_distances(-apart, planes[2:], planes[:2])
    torch.testing.assert_close(there, back)
    assert tangent_distances(torch.zeros(4, 256), planes, planes).tolist() == [0, 0, 0, 0]


def test_a_shifted_digit_is_near_by_tangents_and_far_without(blobs):
    moved = torch.roll(blobs, 1, 2)
    apart = (blobs - moved).flatten(1)
    left = tangent_distances(apart, tangent_planes(blobs), tangent_planes(moved))
    assert (left < 0.1 * apart.square().sum(1)).all()


def rows_of(digits):
    return [images[:, 2:18, 2:18].flatten(1).float() / 255 for images in (digits.train_images, digits.test_images)]


def test_scores_are_distances_to_the_nearest_of_each_class(digits):
    train, test = rows_of(digits)
    found = TangentDistance(20).learn(train[:200], digits.train_labels[:200])
    scores = found.scores(test[:12])
    for row, image in zip(scores, test[:12], strict=True):
        near = (train[:200] - image).square().sum(1).topk(20, largest=False).indices
        planes = tangent_planes(train[near].reshape(-1, 16, 16))
        own = tangent_planes(image.reshape(1, 16, 16))
        left = tangent_distances(image - train[near], own.expand(20, -1, -1), planes).sqrt()
        labels = digits.train_labels[near]
        wanted = [
            -(left[labels == number].min() if (labels == number).any() else left.max() * 1.001) for number in range(10)
        ]
        torch.testing.assert_close(row, torch.stack(wanted), atol=1e-4, rtol=1e-3)


def test_it_reads_better_than_without_tangents(digits):
    train, test = rows_of(digits)
    errors = {
        type(one): (one.learn(train, digits.train_labels).scores(test).argmax(1) != digits.test_labels).sum()
        for one in (TangentDistance(50), NearestNeighbours(1))
    }
    assert errors[TangentDistance] < errors[NearestNeighbours]


def test_costs_are_those_of_its_products():
    generator = torch.Generator().manual_seed(0)
    found = TangentDistance(30).learn(torch.rand(100, 16, generator=generator), torch.arange(100) % 10)
    assert found.numbers == 100 * 16 * (1 + 7)
    assert found.multiply_adds == 100 * 16 + 30 * 16 * (7 + 7 + 49)


@pytest.mark.parametrize(
    ("call", "part"),
    [
        (lambda: TangentDistance(0), "shortlist"),
        (lambda: TangentDistance(60).learn(torch.rand(50, 16), torch.arange(50) % 10), "60 images"),
        (lambda: TangentDistance(5).learn(torch.rand(50, 15), torch.arange(50) % 10), "15 pixels"),
        (lambda: tangents(torch.zeros(3, 4)), "(3, 4)"),
        (lambda: tangents(torch.zeros(3, 4, 4, dtype=torch.uint8)), "uint8"),
        (lambda: tangent_distances(torch.zeros(16), torch.zeros(16, 7), torch.zeros(16, 7), 0.0), "spring"),
        (lambda: tangent_distances(torch.zeros(16), torch.zeros(16, 7), torch.zeros(9, 7)), "(9, 7)"),
        (lambda: tangent_distances(torch.zeros(16), torch.ones(16, 7), torch.ones(16, 7)), "right angles"),
        (lambda: tangent_distances(torch.zeros(()), torch.zeros(16, 7), torch.zeros(16, 7)), "()"),
    ],
)
def test_what_does_not_fit_is_one_sentence(call, part):
    with pytest.raises(ValueError, match=r"Expected|must|Only") as caught:
        call()
    sentence(caught.value, part)
