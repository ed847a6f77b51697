"""Boosting: which digits the second and third net get, when the others are asked, and what a run stores."""

from __future__ import annotations

import pytest
import torch

from lenet_utils import runs
from lenet_utils.data import load
from lenet_utils.family import boosting
from lenet_utils.family.boosting import (
    BoostingConfig,
    distorted,
    half_misread,
    measure,
    needs_others,
    smallest_threshold,
)
from lenet_utils.run_store import Experiment, load_results


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("LENET_RESULTS_DIR", str(tmp_path / "results"))
    monkeypatch.setenv("LENET_CACHE_DIR", str(tmp_path / "cache"))


def test_the_mix_is_half_misread_and_holds_every_misread_image_once():
    labels = torch.arange(10).repeat(20)
    answers = labels.clone()
    answers[torch.tensor([3, 50, 120])] += 1
    answers %= 10
    chosen = half_misread(answers, labels, 0)
    assert len(chosen) == len(set(chosen.tolist())) == 6
    assert {3, 50, 120} <= set(chosen.tolist())
    assert (answers[chosen] != labels[chosen]).sum() == 3
    assert torch.equal(chosen, half_misread(answers, labels, 0))
    assert not torch.equal(chosen, half_misread(answers, labels, 1))


@pytest.mark.parametrize("shift", [0, 1])
def test_a_mix_without_read_or_misread_images_is_refused(shift):
    labels = torch.zeros(5, dtype=torch.int64)
    with pytest.raises(ValueError, match="needs read and misread images"):
        half_misread(labels + shift, labels, 0)


def test_copies_differ_from_the_images_and_from_each_other():
    images = load("digits").test_images[:50]
    before = images.clone()
    one, other = distorted(images, 1), distorted(images, 2)
    assert one.shape == images.shape
    assert one.dtype == torch.uint8
    assert torch.equal(images, before)
    assert not torch.equal(one, other)
    assert torch.equal(one, distorted(images, 1))


def test_the_threshold_is_the_smallest_that_costs_no_error():
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        labels = torch.randint(4, (30,), generator=generator)
        scores = [torch.randn(30, 4, generator=generator) + 1.5 * torch.eye(4)[labels] for _ in range(3)]
        threshold = smallest_threshold(scores, labels)
        together = int((sum(scores).argmax(1) != labels).sum())

        def errors(at, scores=scores, labels=labels):
            asked = needs_others(scores[0], at)
            return int((torch.where(asked, sum(scores).argmax(1), scores[0].argmax(1)) != labels).sum())

        best = scores[0].topk(2).values
        margins = (best[:, 0] - best[:, 1]).sort().values.tolist()
        enough = [at for at in [-1.0, *margins] if errors(at) <= together]
        assert threshold == pytest.approx(enough[0])


def test_scores_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="scores"):
        needs_others(torch.tensor([[1.0, float("nan")]]), 0.1)


def test_a_run_stores_each_net_their_sum_and_its_cost(monkeypatch):
    few = load("digits").subset(200)
    monkeypatch.setattr(boosting, "load", lambda name: few)
    config = BoostingConfig(first_copies=1, pool_copies=1, num_shown=400)
    runs.run(Experiment("tiny", "", lambda run: measure(run, config), {}), seed=1)
    (stored,) = load_results("tiny")
    (row,) = stored["passes"]
    assert len(row["each_error"]) == 3
    assert 1 <= row["cost"] <= 3
    assert row["half_misread"] % 2 == 0
    assert row["disagreed"] > 0
    assert 0 <= row["sum_error"] <= 100
