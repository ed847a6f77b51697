"""How much data: parts of the training set, and what a run stores."""

from __future__ import annotations

import pytest
import torch

from lenet_utils import runs
from lenet_utils.data import load
from lenet_utils.modern import data_amount
from lenet_utils.modern.data_amount import EXPERIMENTS, NUM_SEEN, SIZES, part_of
from lenet_utils.run_store import load_results


def test_a_larger_part_holds_the_smaller_and_no_test_image_is_learned():
    dataset = load("digits")
    small, large = part_of(dataset, 50, 7), part_of(dataset, 200, 7)
    assert torch.equal(large.train_images[:50], small.train_images)
    assert torch.equal(small.test_images, dataset.test_images)
    known = {image.numpy().tobytes() for image in (*dataset.train_images, *dataset.validation_images)}
    assert {image.numpy().tobytes() for image in (*large.train_images, *large.validation_images)} <= known
    assert not torch.equal(small.train_images, part_of(dataset, 50, 8).train_images)


@pytest.mark.parametrize("size", [0, -1, 10**6])
def test_a_part_that_cannot_be_is_refused(size):
    with pytest.raises(ValueError, match="num_train must lie in"):
        part_of(load("digits"), size, 0)


def test_every_size_is_shown_the_same_number_of_images():
    assert all(NUM_SEEN % size == 0 for size in SIZES)


def test_a_run_goes_on_with_the_next_size(tmp_path, monkeypatch):
    monkeypatch.setenv("LENET_RESULTS_DIR", str(tmp_path / "results"))
    monkeypatch.setenv("LENET_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(data_amount, "load", lambda name: load("digits"))
    monkeypatch.setattr(data_amount, "SIZES", (20, 40))
    monkeypatch.setattr(data_amount, "NUM_SEEN", 40)
    runs.run(EXPERIMENTS["data-amount"], seed=3, until=1)
    runs.run(EXPERIMENTS["data-amount"], seed=3)
    (stored,) = load_results("data-amount")
    assert [(row["num_train"], row["num_epochs"]) for row in stored["passes"]] == [(20, 2), (40, 1)]
    assert all(0 <= row["test_error"] <= 100 for row in stored["passes"])
