"""Plain numbers, against naive NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import sentence
from torch import nn
from torch.nn import functional

from lenet_utils.evaluation import (
    confusion_matrix,
    error_rate,
    evaluate,
    judge,
    margins,
    outputs,
    predict,
    rejected_for,
    rejection_curve,
    wilson_interval,
)
from lenet_utils.models import MLP, seeded


@pytest.fixture
def answers():
    """Predictions and labels of 500 images, about a third of them wrong; class 7 never occurs."""
    generator = np.random.default_rng(0)
    labels = generator.choice([0, 1, 2, 3, 4, 5, 6, 8, 9], size=500)
    predictions = np.where(generator.random(500) < 0.3, generator.integers(0, 10, size=500), labels)
    return torch.from_numpy(predictions), torch.from_numpy(labels)


# --- what the network says -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 7, 25, 1_000])
def test_outputs_do_not_depend_on_the_batch_size(batch_size):
    model = seeded(lambda: MLP((8,)), 0)
    images = torch.randn(25, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    model.eval()
    expected = torch.stack([model(image[None])[0] for image in images]).detach()
    given = outputs(model, images, batch_size)
    assert given.shape == (25, 10)
    assert not given.requires_grad
    torch.testing.assert_close(given, expected)
    assert predict(model, images, batch_size).tolist() == expected.argmax(1).tolist()


class Echo(nn.Module):
    """Repeats its input; counts whether it was in training mode."""

    smallest_wins = False

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.modes: list[bool] = []

    def forward(self, images):
        self.modes.append(self.training)
        return images.flatten(1) * self.weight


def test_outputs_are_taken_in_evaluation_mode():
    model = Echo().train()
    outputs(model, torch.zeros(3, 1, 1, 4))
    assert model.modes == [False]


def test_smallest_penalty_wins_where_the_network_says_so():
    model = Echo()
    images = torch.tensor([[3.0, 1.0, 2.0], [0.5, 9.0, 0.7]]).view(2, 1, 1, 3)
    assert predict(model, images).tolist() == [0, 1]
    model.smallest_wins = True
    assert predict(model, images).tolist() == [1, 0]


def test_no_image_is_refused():
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        outputs(Echo(), torch.zeros(0, 1, 4, 4))
    sentence(raised.value, "at least one image", "empty batch")


# --- counts ----------------------------------------------------------------------------------------------------------


def test_error_rate_counts(answers):
    predictions, labels = answers
    expected = 100 * sum(int(a != b) for a, b in zip(predictions.tolist(), labels.tolist(), strict=True)) / 500
    assert error_rate(predictions, labels) == pytest.approx(expected)
    assert error_rate(labels, labels) == 0
    assert error_rate((labels + 1) % 10, labels) == 100


def test_confusion_matrix_counts(answers):
    predictions, labels = answers
    expected = np.zeros((10, 10), dtype=int)
    for predicted, true in zip(predictions.tolist(), labels.tolist(), strict=True):
        expected[true, predicted] += 1
    counts = confusion_matrix(predictions, labels)
    np.testing.assert_array_equal(counts, expected)
    assert counts.sum() == 500
    assert 100 * (1 - np.trace(counts) / 500) == pytest.approx(error_rate(predictions, labels))


def test_confusion_matrix_of_three_classes_by_hand():
    counts = confusion_matrix(torch.tensor([0, 2, 2, 1]), torch.tensor([0, 1, 2, 1]), num_classes=3)
    assert counts.tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 1]]


@pytest.mark.parametrize(
    ("predictions", "labels", "parts"),
    [
        ([0, 10], [0, 1], ("predictions must lie in 0..9", "0..10")),
        ([0, 1], [0, -1], ("labels must lie in 0..9", "-1..0")),
    ],
)
def test_classes_out_of_range_are_refused(predictions, labels, parts):
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        confusion_matrix(torch.tensor(predictions), torch.tensor(labels))
    sentence(raised.value, *parts)


@pytest.mark.parametrize(
    ("predictions", "labels"),
    [
        (torch.zeros(3), torch.zeros(2)),
        (torch.zeros(2, 10), torch.zeros(2)),
        (torch.zeros(0), torch.zeros(0)),
        (torch.zeros(2, 1), torch.zeros(2, 1)),
    ],
)
@pytest.mark.parametrize("measure", [error_rate, confusion_matrix])
def test_values_that_do_not_pair_are_refused(measure, predictions, labels):
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        measure(predictions.long(), labels.long())
    sentence(raised.value, "shape (N,) with N > 0", str(tuple(predictions.shape)))


# --- intervals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("num_wrong", "num_images"), [(0, 10), (3, 10), (10, 10), (95, 10_000), (1, 400)])
def test_wilson_interval_solves_its_equation(num_wrong, num_images):
    """Its ends are the rates p at which the observed rate lies exactly z standard errors away."""
    observed = num_wrong / num_images
    rates = np.linspace(0, 1, 2_000_001)
    inside = (observed - rates) ** 2 <= 1.96**2 * rates * (1 - rates) / num_images
    low, high = wilson_interval(num_wrong, num_images)
    assert low == pytest.approx(100 * rates[inside].min(), abs=1e-3)
    assert high == pytest.approx(100 * rates[inside].max(), abs=1e-3)


def test_wilson_interval_covers_as_often_as_it_says():
    wrong = np.random.default_rng(0).binomial(1_000, 0.02, size=4_000)
    covered = [low <= 2 <= high for low, high in (wilson_interval(int(n), 1_000) for n in wrong)]
    assert 0.93 < np.mean(covered) < 0.97


@pytest.mark.parametrize("counts", [(-1, 10), (11, 10), (0, 0)])
def test_impossible_counts_are_refused(counts):
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        wilson_interval(*counts)
    sentence(raised.value, "0 <= num_wrong <= num_images", f"{counts[0]} of {counts[1]}")


# --- rejection -------------------------------------------------------------------------------------------------------


def test_rejection_curve_counts(answers):
    predictions, labels = answers
    scores = torch.from_numpy(np.random.default_rng(1).permutation(500)).double()
    rejected, error = rejection_curve(scores, predictions, labels)
    order = np.argsort(-scores.numpy())
    for num_rejected in (0, 1, 250, 499):
        accepted = order[: 500 - num_rejected]
        wrong = np.mean(predictions.numpy()[accepted] != labels.numpy()[accepted])
        assert rejected[num_rejected] == pytest.approx(100 * num_rejected / 500)
        assert error[num_rejected] == pytest.approx(100 * wrong)
    assert error[0] == pytest.approx(error_rate(predictions, labels))


def test_perfect_scores_reject_exactly_the_mistakes(answers):
    predictions, labels = answers
    right = (predictions == labels).double()
    rejected, error = rejection_curve(right, predictions, labels)
    first_clean = rejected[error == 0].min()
    assert first_clean == pytest.approx(error_rate(predictions, labels))


def test_scores_must_pair_with_labels(answers):
    predictions, labels = answers
    with pytest.raises(ValueError, match="one value for each label"):
        rejection_curve(torch.zeros(3), predictions, labels)


# --- what is no number -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16])
@pytest.mark.parametrize("num_classes", [12, 17, 100])
def test_confusion_matrix_counts_small_integers_right(dtype, num_classes):
    generator = np.random.default_rng(num_classes)
    predictions, labels = (torch.from_numpy(generator.integers(0, num_classes, 300)) for _ in range(2))
    counts = confusion_matrix(predictions.to(dtype), labels.to(dtype), num_classes)
    expected = np.zeros((num_classes, num_classes), int)
    np.add.at(expected, (labels.numpy(), predictions.numpy()), 1)
    np.testing.assert_array_equal(counts, expected)


@pytest.mark.parametrize("z", [-1, 0, float("nan"), float("inf")])
def test_an_interval_needs_a_width(z):
    with pytest.raises(ValueError, match="standard deviations") as caught:
        wilson_interval(5, 100, z)
    sentence(caught.value, str(z))


def test_scores_that_are_no_numbers_are_refused():
    labels = torch.tensor([0, 1, 2])
    with pytest.raises(ValueError, match="Scores must be finite") as caught:
        rejection_curve(torch.tensor([0.1, float("nan"), 1]), labels, labels)
    sentence(caught.value, "1 of 3")


@pytest.mark.parametrize("function", [outputs, predict])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_images_that_are_no_numbers_are_refused(function, value):
    images = torch.zeros(2, 1, 28, 28)
    images[1, 0, 3, 3:5] = value
    with pytest.raises(ValueError, match="not finite") as caught:
        function(MLP((8,)), images)
    sentence(caught.value, "2 values of the images")


def test_a_network_whose_outputs_are_no_numbers_gives_no_class():
    model = MLP((8,))
    with torch.no_grad():
        model.layers[-1].bias[3] = float("nan")
    with pytest.raises(ValueError, match="train it again") as caught:
        predict(model, torch.zeros(3, 1, 28, 28))
    sentence(caught.value, "3 of 3")
    loss, _ = evaluate(model, torch.zeros(3, 1, 28, 28), torch.zeros(3).long(), functional.cross_entropy)
    assert np.isnan(loss)  # by which training sees that it diverged


@pytest.mark.parametrize(
    ("labels", "part"),
    [
        ([0.0, 1.0], "whole numbers, int64; got torch.float"),
        ([0, 1, 2], "each of 2 images"),
        ([0, 10], "from 0 to 9; got 0 to 10"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, part):
    with pytest.raises((ValueError, TypeError), match="label") as caught:
        evaluate(MLP((8,)), torch.zeros(2, 1, 28, 28), labels, functional.cross_entropy)
    sentence(caught.value, part)


def test_double_images_are_read_like_others():
    model, images = MLP((8,)), torch.rand(3, 1, 28, 28)
    assert torch.equal(predict(model, images.double()), predict(model, images.numpy()))


def test_rejection_against_every_threshold():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(10, (500,), generator=generator)
    scores = torch.rand(500, 10, generator=generator) + 0.35 * torch.nn.functional.one_hot(labels, 10)
    sure = np.sort(scores.numpy(), 1)[:, -1] - np.sort(scores.numpy(), 1)[:, -2]
    np.testing.assert_allclose(margins(scores), sure, atol=1e-6)
    wrong = (scores.argmax(1) != labels).numpy()
    for goal in (5.0, 20.0):
        fits = [(sure < t).mean() for t in sure if wrong[sure >= t].mean() <= goal / 100]
        assert rejected_for(scores, labels, goal) == pytest.approx(100 * min(fits))


def test_none_is_rejected_where_all_is_right_and_all_where_the_surest_is_wrong():
    scores = torch.tensor([[1.0, 0.0], [0.0, 0.5]])
    assert rejected_for(scores, torch.tensor([0, 1])) == 0
    assert rejected_for(scores, torch.tensor([1, 1])) == 100


@pytest.mark.parametrize("scores", [torch.zeros(3), torch.zeros(3, 1)])
def test_margins_need_two_scores(scores):
    with pytest.raises(ValueError, match="two classes") as caught:
        margins(scores)
    sentence(caught.value, str(tuple(scores.shape)))


def test_a_judgement_of_four_images_one_of_them_misread_and_the_least_sure():
    scores = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4], [0.3, 0.7]])
    found = judge(scores, torch.tensor([0, 0, 1, 1]))
    assert found == {"test_size": 4, "test_wrong": 1, "test_error": 25.0, "rejected": 25.0}
