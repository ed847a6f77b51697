"""The rivals against NumPy and scikit-learn, their costs against the printed ones, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import sentence
from sklearn.neighbors import KNeighborsClassifier

from lenet_utils.literature import published
from lenet_utils.rivals.classifiers import PAIRS, Linear, NearestNeighbours, Pairwise, PCAQuadratic, pair_scores

ALL = [Linear, Pairwise, NearestNeighbours, PCAQuadratic]


@pytest.fixture(scope="module")
def parts(digits):
    """Rows and labels to learn from, and to test on."""
    learned, tested = digits.train_images.flatten(1).float() / 255, digits.test_images.flatten(1).float() / 255
    return learned, digits.train_labels, tested, digits.test_labels


def noise(size: int, count: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows without meaning, for counting."""
    return torch.rand(count, size, generator=torch.Generator().manual_seed(0)), torch.arange(count) % 10


def test_the_linear_one_is_the_least_squares_solution_of_numpy():
    images, labels = noise(12, 200)
    targets = np.where(labels[:, None] == np.arange(10), 1.0, -1.0)
    design = np.column_stack([images.double().numpy(), np.ones(200)])
    weights = np.linalg.lstsq(design, targets, rcond=None)[0]
    found = Linear(ridge=1e-9).learn(images, labels)
    np.testing.assert_allclose(found.weights, weights, atol=1e-6)
    np.testing.assert_allclose(found.scores(images), design @ weights, atol=1e-5)


@pytest.mark.parametrize("gain", [0.0, 3.0])
def test_a_pairwise_unit_is_fitted_to_its_two_classes_and_summed_by_hand(gain):
    images, labels = noise(5, 300)
    found = Pairwise(gain, ridge=1e-9).learn(images, labels)
    wanted = np.zeros((300, 10))
    for i in range(10):
        for j in range(i + 1, 10):
            of_two = (labels == i) | (labels == j)
            design = np.column_stack([images[of_two].double().numpy(), np.ones(int(of_two.sum()))])
            unit = np.linalg.lstsq(design, np.where(labels[of_two] == i, 1.0, -1.0), rcond=None)[0]
            outputs = np.column_stack([images.double().numpy(), np.ones(300)]) @ unit
            outputs = np.tanh(gain * outputs) if gain else outputs
            wanted[:, i] += outputs
            wanted[:, j] -= outputs
    np.testing.assert_allclose(found.scores(images), wanted, atol=1e-4)


def test_linear_units_summed_are_one_linear_layer():
    images, labels = noise(6, 300)
    found = Pairwise(0.0).learn(images, labels)
    layer = pair_scores(found.weights)  # (7, 10): a row of 45 for each pixel, and one for the biases
    torch.testing.assert_close(found.scores(images), (images.double() @ layer[:-1] + layer[-1]).float())


def test_each_unit_speaks_for_one_class_and_against_another():
    scores = pair_scores(torch.eye(45))
    for number, (first, second) in enumerate(PAIRS):
        assert scores[number].nonzero().flatten().tolist() == [first, second]
        assert (scores[number, first], scores[number, second]) == (1, -1)


def test_neighbours_vote_as_in_scikit_learn_where_the_vote_is_clear(parts):
    images, labels, tested, _ = parts
    found = NearestNeighbours(3).learn(images, labels)
    theirs = KNeighborsClassifier(3, algorithm="brute").fit(images.numpy(), labels.numpy())
    clear = torch.from_numpy(theirs.predict_proba(tested.numpy())).amax(1) > 0.5
    assert clear.float().mean() > 0.9
    answers = found.scores(tested).argmax(1)
    assert (answers[clear].numpy() == theirs.predict(tested.numpy())[clear.numpy()]).all()


def test_neighbours_against_brute_force(parts):
    images, labels, tested, _ = (part[:60] for part in parts)
    found = NearestNeighbours(3).learn(images, labels).scores(tested)
    for row, image in zip(found, tested, strict=True):
        distances = ((images - image) ** 2).sum(1).sqrt()
        order = distances.argsort()[:3]
        wanted = torch.zeros(10)
        nearest = torch.stack([distances[labels == number].min() for number in range(10)])
        for index in order:
            wanted[labels[index]] += 1
        torch.testing.assert_close(row, wanted - nearest / nearest.max(), atol=1e-3, rtol=0)


def test_where_votes_are_equal_the_nearest_image_decides():
    images = torch.arange(10.0)[:, None]
    found = NearestNeighbours(3).learn(images, torch.arange(10))
    assert found.scores(torch.tensor([[4.2], [7.9]])).argmax(1).tolist() == [4, 8]


def test_forty_components_have_the_821_inputs_that_are_printed():
    found = PCAQuadratic().learn(*noise(784, 60))
    assert found.products(torch.rand(3, 784)).shape == (3, 820)
    assert found.weights.shape == (821, 10)  # the constant is the 821st


def test_components_are_those_of_scikit_learn_and_products_those_of_all_pairs(parts):
    from sklearn.decomposition import PCA

    images, labels, tested, _ = parts
    found = PCAQuadratic(5).learn(images, labels)
    theirs = PCA(5, svd_solver="full").fit(images.numpy()).transform(tested.numpy())[:, ::-1]
    products = np.stack([theirs[:, i] * theirs[:, j] for i in range(5) for j in range(i, 5)], 1)
    np.testing.assert_allclose(
        found.products(tested).abs().numpy(), np.abs(products), atol=2e-3
    )  # a component has no sign


@pytest.mark.parametrize(
    ("make", "side", "macs", "numbers"),
    [
        (Linear, 28, 7_840, 7_850),
        (Linear, 20, 4_000, 4_010),
        (Pairwise, 28, 35_280, 35_325),
        (PCAQuadratic, 28, 39_560, 40_354),
    ],
)
def test_costs_are_those_of_the_shapes(make, side, macs, numbers):
    found = make().learn(*noise(side**2, 60))
    assert (found.multiply_adds, found.numbers) == (macs, numbers)


def test_costs_agree_with_the_printed_thousands():
    macs, numbers = (published(f"rivals/{what}").value for what in ("multiply-adds", "numbers-stored"))
    for name, make, side in (
        ("linear", Linear, 20),
        ("pairwise", Pairwise, 28),
        ("pca-quadratic", PCAQuadratic, 28),
    ):
        found = make().learn(*noise(side**2, 60))
        assert abs(found.multiply_adds / 1_000 - macs[name]) < 1, name
        assert abs(found.numbers / 1_000 - numbers[name]) < 1, name
    assert 60_000 * 400 / 1_000 == macs["knn-deslanted"] == numbers["knn-deslanted"]


def test_neighbours_store_and_meet_every_pixel():
    found = NearestNeighbours().learn(*noise(400, 70))
    assert found.multiply_adds == found.numbers == 70 * 400


@pytest.mark.parametrize("make", ALL)
def test_the_embedded_digits_are_read(make, parts):
    images, labels, tested, test_labels = parts
    wrong = (make().learn(images, labels).scores(tested).argmax(1) != test_labels).float().mean()
    assert wrong < 0.15


@pytest.mark.parametrize("make", ALL)
def test_the_same_images_give_the_same_scores_one_by_one_or_together(make, parts):
    images, labels, tested, _ = parts
    found = make().learn(images, labels)
    together = found.scores(tested[:5])
    torch.testing.assert_close(together, torch.cat([found.scores(one[None]) for one in tested[:5]]), atol=1e-3, rtol=0)
    assert torch.equal(together, make().learn(images, labels).scores(tested[:5]))


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize(
    ("images", "labels", "names"),
    [
        (torch.rand(60, 28, 28), torch.arange(60) % 10, "images.flatten(1)"),
        (torch.full((60, 784), torch.nan), torch.arange(60) % 10, "not finite"),
        (torch.rand(60, 784), torch.arange(60), "0 to 9"),
        (torch.rand(60, 784), torch.arange(60) % 9, "[9]"),
        (torch.rand(60, 784), torch.arange(50) % 10, "60"),
    ],
)
def test_what_cannot_be_learned_is_one_sentence(make, images, labels, names):
    with pytest.raises(ValueError, match=r"Expected|not finite") as caught:
        make().learn(images, labels)
    sentence(caught.value, names)


@pytest.mark.parametrize("make", ALL)
def test_scores_before_learning_and_of_other_images_are_refused(make):
    with pytest.raises(ValueError, match="learned nothing") as caught:
        make().scores(torch.rand(2, 784))
    sentence(caught.value, make.__name__)
    with pytest.raises(ValueError, match="rows of 784") as caught:
        make().learn(*noise(784, 60)).scores(torch.rand(2, 400))
    sentence(caught.value, "400")


@pytest.mark.parametrize(
    ("make", "settings", "names"),
    [
        (Linear, {"ridge": 0.0}, "ridge"),
        (Pairwise, {"gain": -1.0}, "gain"),
        (Pairwise, {"ridge": float("nan")}, "ridge"),
        (NearestNeighbours, {"k": 0}, "k must"),
        (PCAQuadratic, {"components": 0}, "components"),
    ],
)
def test_settings_without_sense_are_one_sentence(make, settings, names):
    with pytest.raises(ValueError, match="must") as caught:
        make(**settings)
    sentence(caught.value, names)


def test_more_neighbours_than_images_and_more_components_than_pixels_are_refused():
    with pytest.raises(ValueError, match="k = 50") as caught:
        NearestNeighbours(50).learn(*noise(9))
    sentence(caught.value, "40")
    with pytest.raises(ValueError, match="components") as caught:
        PCAQuadratic(10).learn(*noise(9))
    sentence(caught.value, "9")
    with pytest.raises(ValueError, match="45 units") as caught:
        pair_scores(torch.zeros(2, 44))
    sentence(caught.value, "(2, 44)")
