"""What is misread of corrupted digits: who is trained on what, how they are judged, and what is stored."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from conftest import sentence

from lenet_utils import runs
from lenet_utils.downloads import DataError
from lenet_utils.evaluation import error_rate, predict
from lenet_utils.models import LeNet5, seeded
from lenet_utils.modern.augmentation import with_distorted_copies
from lenet_utils.original.network import LeNet5Original
from lenet_utils.preprocessing import prepare
from lenet_utils.rivals import robustness
from lenet_utils.rivals.corruptions import CORRUPTIONS, corrupt
from lenet_utils.rivals.robustness import (
    EXPERIMENTS,
    FIXED,
    PUPILS,
    all_corrupted,
    answers_of,
    in_noise,
    judge,
    nearest_neighbours,
)
from lenet_utils.run_store import as_json, load_results
from lenet_utils.training import TrainConfig, train


@pytest.fixture
def small(few, digits, tmp_path, monkeypatch):
    """64 digits to learn and 40 to test, in place of all sources; two epochs; nothing stored."""
    monkeypatch.setenv("LENET_RESULTS_DIR", str(tmp_path / "results"))
    monkeypatch.setenv("LENET_CACHE_DIR", str(tmp_path / "cache"))
    mnist = replace(few, test_images=digits.test_images[:40], test_labels=digits.test_labels[:40])
    usps = replace(few, test_images=digits.test_images[40:70], test_labels=digits.test_labels[40:70])
    sets = {"mnist": mnist, "usps": usps, "digits": few}
    monkeypatch.setattr(robustness, "load", sets.__getitem__)
    monkeypatch.setattr(robustness, "default_config", lambda _: TrainConfig(num_epochs=2, batch_size=16))
    return mnist


def test_the_two_networks_are_of_about_one_size():
    sizes = [sum(p.numel() for p in make().parameters()) for make in (robustness.dense, robustness.convolutional)]
    assert sizes == [61_225, 61_706]


def test_a_run_stores_what_each_network_misreads(small):
    runs.run(EXPERIMENTS["robustness"], seed=103)
    (record,) = load_results("robustness")
    assert [row["classifier"] for row in record["passes"]] == list(PUPILS)
    assert [row["epochs"] for row in record["passes"]] == [2, 2, 1, 2]  # twice the digits, half the epochs
    assert "learned" not in record["notes"]
    for row in record["passes"]:
        assert row["size"] == 40
        assert list(row["errors"]) == list(CORRUPTIONS)
        assert all(len(five) == 5 for five in row["errors"].values())
        assert set(row["others"]) == {"usps", "digits"}
    model = seeded(lambda: LeNet5("relu"), 103)
    config = TrainConfig(num_epochs=1, batch_size=16, seed=103)
    train(model, with_distorted_copies(small, 103), config, progress=False)
    row = record["passes"][2]
    assert row["error"] == error_rate(predict(model, prepare(small.test_images)), small.test_labels)
    for kind, strength in (("turn", 2), ("salt-and-pepper", 5)):
        images = prepare(corrupt(small.test_images, kind, strength, 103))
        assert row["errors"][kind][strength - 1] == error_rate(predict(model, images), small.test_labels)


def test_an_interrupted_run_goes_on_where_it_stopped(small):
    runs.run(EXPERIMENTS["robustness"], seed=100)
    (whole,) = load_results("robustness")
    runs.run(EXPERIMENTS["robustness"], seed=100, again=True, until=1)
    runs.run(EXPERIMENTS["robustness"], seed=100)
    (parts,) = load_results("robustness")
    assert parts["passes"] == whole["passes"]
    assert len(parts["sessions"]) == 2
    kept = robustness.distorted_network()
    row = whole["passes"][2]
    answers = kept(prepare(small.test_images)).argmax(1)
    assert error_rate(answers, small.test_labels) == pytest.approx(row["error"], abs=2.5)  # kept in sixteen bits


def test_what_no_seed_decides_is_judged_once(small, monkeypatch):
    model = LeNet5Original(generator=torch.Generator().manual_seed(1))
    monkeypatch.setattr(robustness, "stored_network", lambda: model)
    runs.run(EXPERIMENTS["robustness-fixed"], seed=100)
    (record,) = load_results("robustness-fixed")
    assert [(row["classifier"], row["size"]) for row in record["passes"]] == [("original", 40), ("k-nn", 40)]
    assert [row["classifier"] for row in record["passes"]] == list(FIXED)
    images = prepare(corrupt(small.test_images, "shrink", 1, 100), scaling="paper")
    wrong = (model(images).argmin(1) != small.test_labels).double().mean()
    assert record["passes"][0]["errors"]["shrink"][0] == pytest.approx(100 * float(wrong))
    answers = nearest_neighbours(small.train_images, small.train_labels)
    grainy = corrupt(small.test_images, "grain", 2, 100)  # the very images that the networks see
    assert record["passes"][1]["errors"]["grain"][1] == error_rate(answers(grainy), small.test_labels)


def test_the_nearest_neighbours_against_all_distances(digits):
    known, labels, asked = digits.train_images[:300], digits.train_labels[:300], digits.test_images[:100]
    answers = nearest_neighbours(known, labels)(asked)
    distances = torch.cdist(asked.flatten(1).double(), known.flatten(1).double())
    votes = labels[distances.topk(3, largest=False).indices]
    counts = torch.nn.functional.one_hot(votes, 10).sum(1)
    assert torch.equal(answers, counts.argmax(1))  # three that disagree: the smallest of them, as scikit-learn has it


def test_judging_counts_corrupted_digits(digits):
    images, labels = digits.test_images[:20], digits.test_labels[:20]
    corrupted = {kind: all_corrupted(images, 5)[kind] for kind in ("blur", "patch")}
    perfect = judge(lambda asked: labels[: len(asked)], corrupted, labels)
    assert perfect == {"blur": [0.0] * 5, "patch": [0.0] * 5}
    asked = []
    judge(lambda images: asked.append(images) or labels, corrupted, labels)
    for number, images_asked in enumerate(asked):
        kind, strength = ("blur", "patch")[number // 5], number % 5 + 1
        assert torch.equal(images_asked, corrupt(images, kind, strength, 5))


def test_a_network_is_asked_at_its_own_size_and_scaling(digits):
    images = digits.test_images[:10]
    dense = seeded(robustness.dense, 0)
    assert torch.equal(answers_of(dense)(images), predict(dense, prepare(images, 28)))
    original = LeNet5Original(generator=torch.Generator().manual_seed(0))
    assert torch.equal(answers_of(original)(images), predict(original, prepare(images, 32, "paper")))


def test_noise_is_that_of_the_paper_and_none_of_a_test_image(few):
    noisy = in_noise(few, 100)
    hit = noisy.train_images != few.train_images
    assert torch.equal(noisy.train_images[hit], 255 - few.train_images[hit])
    assert float(hit.float().mean()) == pytest.approx(0.1, abs=4 * (0.09 / hit.numel()) ** 0.5)
    assert noisy.train_labels is few.train_labels
    assert noisy.validation_images is few.validation_images
    blank = torch.zeros(64, 28, 28, dtype=torch.uint8)
    of_the_test = corrupt(blank, "salt-and-pepper", 3, 100) > 0
    assert float((hit & of_the_test).float().mean()) == pytest.approx(0.01, abs=0.003)  # as two that are independent


def test_missing_zip_codes_are_named(small, monkeypatch):
    def load(name):
        if name == "usps":
            raise DataError("usps.bz2 is missing: connect to the network.")
        return small

    monkeypatch.setattr(robustness, "load", load)
    with pytest.raises(DataError, match=r"usps\.bz2 is missing") as caught:
        runs.run(EXPERIMENTS["robustness"], seed=103)
    sentence(caught.value)


# --- what is stored --------------------------------------------------------------------------------------------------


def test_the_stored_runs_are_of_these_corruptions_and_report(mnist):
    for name, experiment in EXPERIMENTS.items():
        records = load_results(name)
        assert {record["seed"] for record in records} <= set(experiment.seeds)
        assert min(experiment.seeds) >= 100
        for record in records:
            kinds = {kind: {"amounts": how.amounts, "unit": how.unit} for kind, how in CORRUPTIONS.items()}
            assert record["configuration"]["kinds"] == as_json(kinds)
            assert record["data"] == mnist.source


def test_the_kept_network_is_the_one_that_the_first_run_judged(mnist):
    stored = {row["classifier"]: row for row in load_results("robustness")[0]["passes"]}["distorted"]
    answers = answers_of(robustness.distorted_network())
    for kind, strength in (("turn", 3), ("thin", 4)):
        images = corrupt(mnist.test_images[:10_000], kind, strength, 100)
        found = error_rate(answers(images), mnist.test_labels)
        assert found == pytest.approx(stored["errors"][kind][strength - 1], abs=0.1)
