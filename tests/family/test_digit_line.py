"""Strips of digits, LeNet-5 slid over them, and the best path through what it says, against naive computations."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import combinations, pairwise

import pytest
import torch
from conftest import sentence

from lenet_utils.counting import layer_table
from lenet_utils.family.digit_line import (
    NOTHING,
    as_batch,
    best_path,
    edit_distance,
    make_strip,
    multiply_adds,
    read_strip,
    slide,
    targets,
    windows,
)
from lenet_utils.models import LeNet5, seeded
from lenet_utils.preprocessing import standardise


def noise(count: int, height: int, width: int) -> torch.Tensor:
    return torch.rand(count, height, width, generator=torch.Generator().manual_seed(width))


# --- the slide ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [32, 33, 35, 36, 37, 58, 59, 101, 130])
@pytest.mark.parametrize(("activation", "pooling", "classes"), [("tanh", "average", 10), ("relu", "max", 11)])
def test_one_pass_says_what_each_window_says_alone(width, activation, pooling, classes):
    model, strips = seeded(partial(LeNet5, activation, pooling, classes), 3), noise(2, 32, width)
    slid = slide(model, strips)
    assert slid.shape == (2, (width - 32) // 4 + 1, classes)
    for p in range(slid.shape[1]):
        alone = model(standardise(strips[:, :, 4 * p : 4 * p + 32]))
        torch.testing.assert_close(slid[:, p], alone)


def test_windows_are_what_the_positions_see():
    strips = noise(3, 32, 47)
    cut = windows(strips)
    assert cut.shape == (3, 4, 32, 32)
    for p in range(4):
        assert torch.equal(cut[:, p], strips[:, :, 4 * p : 4 * p + 32])


def test_bytes_are_read_as_shares_of_full_ink():
    model = seeded(LeNet5, 0)
    strips = (noise(1, 32, 60) * 255).round().to(torch.uint8)
    torch.testing.assert_close(slide(model, strips), slide(model, strips.float() / 255))


def test_the_slide_learns():
    model = seeded(LeNet5, 0)
    slide(model, noise(2, 32, 44)).sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())


def test_multiply_adds_by_hand():
    once, one_by_one = multiply_adds(LeNet5(), 72)
    c1, c3 = 6 * 28 * 68 * 25, 16 * 10 * 30 * 150
    positions = 11
    later = positions * (120 * 400 + 120 * 84 + 84 * 10)
    assert once == c1 + c3 + later
    assert one_by_one == positions * sum(row.macs for row in layer_table(LeNet5()))
    assert multiply_adds(LeNet5(num_classes=11), 32)[0] == multiply_adds(LeNet5(num_classes=11), 32)[1]


@pytest.mark.parametrize(
    ("shape", "parts"),
    [
        ((1, 28, 90), ("32 pixels high", "(1, 28, 90)")),
        ((1, 33, 90), ("32 pixels high", "(1, 33, 90)")),
        ((32, 90), ("(N, 32, W)", "(32, 90)")),
        ((1, 1, 32, 90), ("(N, 32, W)", "(1, 1, 32, 90)")),
        ((1, 32, 31), ("at least 32 pixels wide", "got 31")),
        ((0, 32, 40), ("empty",)),
    ],
)
def test_strips_of_another_shape_are_refused(shape, parts):
    with pytest.raises(ValueError, match=r"Expected|must be") as caught:
        slide(LeNet5(), torch.zeros(shape))
    sentence(caught.value, *parts)
    if 0 not in shape:
        with pytest.raises(ValueError, match=r"Expected|must be"):
            windows(torch.zeros(shape))


def test_what_is_no_strip_and_no_lenet_5_is_refused():
    with pytest.raises(TypeError, match="strips must be") as caught:
        slide(LeNet5(), "strip.png")
    sentence(caught.value, "'strip.png'")
    with pytest.raises(TypeError, match="LeNet5"):
        slide(torch.nn.Linear(3, 2), torch.zeros(1, 32, 40))
    with pytest.raises(ValueError, match="Divide by 255"):
        slide(LeNet5(), torch.full((1, 32, 40), 255.0))
    with pytest.raises(TypeError, match="float64"):
        slide(LeNet5().double(), torch.zeros(1, 32, 40))


# --- strips ------------------------------------------------------------------------------------------------------


def box(digit: torch.Tensor) -> tuple[int, int]:
    columns = (digit >= 128).any(0).nonzero().flatten()
    return int(columns[0]), int(columns[-1]) + 1


@pytest.mark.parametrize("seed", range(12))
def test_a_strip_holds_its_digits_where_it_says(digits, seed):
    strip = make_strip(digits, "test", seed, gaps=(-2, 5))
    assert strip.image.dtype == torch.uint8
    assert strip.image.shape[0] == 32
    assert strip.image.shape[1] % 4 == 0
    assert 3 <= len(strip.labels) <= 5
    expected, edges = torch.zeros(strip.image.shape, dtype=torch.uint8), []
    for label, middle, number in zip(strip.labels, strip.middles, strip.chosen, strict=True):
        digit = digits.test_images[number]
        assert digits.test_labels[number] == label
        first, end = box(digit)
        left = round(middle - (end - first) / 2)
        assert left == middle - (end - first) / 2
        edges.append((left, left + end - first))
        for row in range(28):
            for column in range(28):
                at = (row + 2, left - first + column)
                expected[at] = max(int(expected[at]), int(digit[row, column]))
    assert torch.equal(strip.image, expected)
    gaps = [right[0] - left[1] for left, right in pairwise(edges)]
    assert all(-2 <= gap <= 5 for gap in gaps)
    assert 16 <= edges[0][0] < 20
    assert 16 <= strip.image.shape[1] - edges[-1][1] < 20


def test_the_seed_decides_and_nothing_else(digits):
    strip, again, other = (make_strip(digits, "test", seed) for seed in (7, 7, 8))
    assert torch.equal(strip.image, again.image)
    assert (strip.labels, strip.middles, strip.chosen) == (again.labels, again.middles, again.chosen)
    assert strip.chosen != other.chosen


def test_numbers_of_digits_and_gaps_cover_their_ranges(digits):
    strips = [make_strip(digits, "train", seed, num_digits=(2, 4)) for seed in range(40)]
    assert {len(strip.labels) for strip in strips} == {2, 3, 4}
    gaps = set()
    for strip in strips:
        for (sooner, one), (later, other) in pairwise(zip(strip.middles, strip.chosen, strict=True)):
            widths = [end - first for first, end in (box(digits.train_images[i]) for i in (one, other))]
            gaps.add(later - sooner - sum(widths) / 2)
    assert gaps == {-2, -1, 0}


def test_no_digit_of_another_part_comes_into_a_strip(digits):
    """Were the others all black, or all sevens, the strips of a part would stay as they are."""
    for part, others in (("test", ("train", "validation")), ("train", ("validation", "test"))):
        spoilt = {f"{name}_images": torch.full_like(getattr(digits, f"{name}_images"), 255) for name in others}
        spoilt |= {f"{name}_labels": torch.full_like(getattr(digits, f"{name}_labels"), 7) for name in others}
        for seed in range(10):
            strip, same = make_strip(digits, part, seed), make_strip(replace(digits, **spoilt), part, seed)
            assert torch.equal(strip.image, same.image)
            assert strip.labels == same.labels


@pytest.mark.parametrize(
    ("changes", "error", "part"),
    [
        ({"part": "exam"}, ValueError, "'exam'"),
        ({"seed": "7"}, TypeError, "seed must be a whole number; got '7'."),
        ({"seed": 1.5}, TypeError, "seed must be a whole number; got 1.5."),
        ({"seed": None}, TypeError, "seed must be a whole number; got None."),
        ({"seed": -1}, ValueError, "seed"),
        ({"gaps": (0, -1)}, ValueError, "upper end of gaps"),
        ({"gaps": (-20, 0)}, ValueError, "lower end of gaps"),
        ({"num_digits": (0, 2)}, ValueError, "lower end of num_digits"),
        ({"num_digits": 3}, TypeError, "num_digits"),
        ({"dataset": "mnist"}, TypeError, "dataset"),
    ],
)
def test_a_strip_that_cannot_be_made_is_refused(digits, changes, error, part):
    with pytest.raises(error) as caught:
        make_strip(**{"dataset": digits, "part": "test", "seed": 0} | changes)
    sentence(caught.value, part)


def test_digits_of_another_size_and_blank_ones(digits):
    small = replace(digits, test_images=digits.test_images[:, 4:-4, 4:-4])
    with pytest.raises(ValueError, match="28×28") as caught:
        make_strip(small, "test", 0)
    sentence(caught.value, "20×20")
    blank = replace(digits, test_images=torch.zeros_like(digits.test_images))
    assert not make_strip(blank, "test", 0).image.any()


def test_strips_of_several_widths_become_one_batch(digits):
    strips = [make_strip(digits, "test", seed) for seed in range(5)]
    batch = as_batch(strips)
    assert batch.shape[2] == max(strip.image.shape[1] for strip in strips)
    for row, strip in zip(batch, strips, strict=True):
        width = strip.image.shape[1]
        assert torch.equal(row[:, :width], strip.image)
        assert not row[:, width:].any()
    assert as_batch(strips, 300).shape == (5, 32, 300)
    with pytest.raises(ValueError, match="width"):
        as_batch(strips, 40)
    with pytest.raises(ValueError, match="at least one strip"):
        as_batch([])


def test_targets_are_digits_near_their_middles_and_nothing_elsewhere(digits):
    strip = replace(make_strip(digits, "test", 0), labels=(7, 1), middles=(26.0, 41.5))
    #  middles of windows: 16, 20, 24, 28, 32, 36, 40, 44, 48
    assert targets(strip, 9).tolist() == [NOTHING, NOTHING, 7, 7, NOTHING, NOTHING, 1, -100, NOTHING]


# --- the path ----------------------------------------------------------------------------------------------------


def brute_force(scores: torch.Tensor, apart: int, fee: float) -> float:
    """The most that any set of positions, far enough apart, gains over nothing everywhere."""
    gains = (scores[:, :-1].max(1).values - scores[:, -1] - fee).tolist()
    return max(
        sum(gains[p] for p in chosen)
        for count in range(len(gains) + 1)
        for chosen in combinations(range(len(gains)), count)
        if all(later - sooner >= apart for sooner, later in pairwise(chosen))
    )


@pytest.mark.parametrize("apart", [1, 2, 3])
@pytest.mark.parametrize("fee", [-1.0, 0.0, 0.7])
def test_no_other_path_is_better(apart, fee):
    generator = torch.Generator().manual_seed(apart)
    for positions in (1, 2, 3, 6, 9):
        scores = torch.randn(positions, 4, generator=generator)
        path = best_path(scores, apart, fee)
        places = [p for p, _ in path]
        assert places == sorted(places)
        assert all(later - sooner >= apart for sooner, later in pairwise(places))
        assert [label for _, label in path] == [int(scores[p, :-1].argmax()) for p in places]
        gained = sum(float(scores[p, label] - scores[p, -1]) - fee for p, label in path)
        assert gained == pytest.approx(brute_force(scores, apart, fee), abs=1e-5)


def test_a_path_may_be_empty_and_refuses_what_it_cannot_follow():
    assert best_path(torch.tensor([[0.0, 1.0]]).repeat(5, 1)) == []
    for scores in (torch.zeros(3), torch.zeros(3, 1), torch.full((3, 4), float("nan"))):
        with pytest.raises(ValueError, match="Expected finite scores") as caught:
            best_path(scores)
        sentence(caught.value, str(tuple(scores.shape)))
    for changes, name in (({"apart": 0}, "apart"), ({"fee": float("inf")}, "fee")):
        with pytest.raises(ValueError, match=name):
            best_path(torch.zeros(3, 4), **changes)


def test_reading_follows_the_path_through_the_slide(digits):
    model, strip = seeded(partial(LeNet5, "relu", num_classes=11), 0), make_strip(digits, "test", 0)
    scores = slide(model, strip.image[None])[0].detach()
    assert read_strip(model, strip, 3, -0.5) == [label for _, label in best_path(scores, 3, -0.5)]


@pytest.mark.parametrize(
    ("found", "wanted", "distance"),
    [
        ([], [], 0),
        ([], [1, 2, 3], 3),
        ([1, 2, 3], [], 3),
        ([1, 2, 3], [1, 2, 3], 0),
        ([1, 3], [1, 2, 3], 1),
        ([1, 2, 2, 3], [1, 2, 3], 1),
        ([1, 9, 3], [1, 2, 3], 1),
        ([2, 3, 4, 5], [1, 2, 3, 4], 2),
        ([ord(c) for c in "kitten"], [ord(c) for c in "sitting"], 3),
        ([ord(c) for c in "intention"], [ord(c) for c in "execution"], 5),
    ],
)
def test_edit_distances_that_are_known(found, wanted, distance):
    assert edit_distance(found, wanted) == distance
    assert edit_distance(wanted, found) == distance
