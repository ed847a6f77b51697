"""Distorted copies of digits, and the network that learned from them."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from conftest import sentence
from scipy import ndimage

from lenet_utils import runs
from lenet_utils.evaluation import error_rate, predict
from lenet_utils.models import seeded
from lenet_utils.modern import augmentation
from lenet_utils.modern.augmentation import Distortions, distort, pad_network, redraw, with_distorted_copies
from lenet_utils.modern.experiments import network
from lenet_utils.preprocessing import prepare
from lenet_utils.run_store import Experiment, as_json, learned, load_results
from lenet_utils.training import TrainConfig, default_config, train

STILL = Distortions(shift=0, turn=0, scaling=0, squeezing=0, shear=0, stroke_share=0)


def test_without_distortion_a_copy_is_the_same(digits):
    assert torch.equal(distort(digits.train_images, 3, STILL), digits.train_images)


def test_a_seed_gives_the_same_copies_and_another_gives_others(digits):
    images = digits.train_images[:50]
    assert torch.equal(distort(images, 3), distort(images, 3))
    assert not torch.equal(distort(images, 3), distort(images, 4))
    torch.manual_seed(1)
    assert torch.equal(distort(images, 3), distort(images, 3))


@pytest.mark.parametrize(
    ("kind", "limit", "measured"),
    [
        ("shift", 3.0, lambda m: m["middle"]),
        ("turn", 20.0, lambda m: m["angle"]),
        ("scaling", 0.3, lambda m: m["size"]),
    ],
)
def test_each_distortion_does_what_it_is_called(kind, limit, measured):
    """On an upright bar: how far its middle moves, how far its axis turns, the logarithm of how its length changes."""
    bar = torch.zeros(28, 28, dtype=torch.uint8)
    bar[6:22, 12:16] = 255
    copies = distort(bar.repeat(200, 1, 1), 0, replace(STILL, **{kind: limit})).double().numpy()
    rows, columns = np.indices((28, 28))
    found = {"middle": [], "angle": [], "size": []}
    for copy in copies:
        ink = copy / copy.sum()
        y, x = (ink * rows).sum(), (ink * columns).sum()
        yy, xy, xx = (
            (ink * (rows - y) ** 2).sum(),
            (ink * (rows - y) * (columns - x)).sum(),
            (ink * (columns - x) ** 2).sum(),
        )
        found["middle"] += [y - 13.5, x - 13.5]
        found["angle"].append(np.degrees(0.5 * np.arctan2(2 * xy, yy - xx)))
        found["size"].append(0.5 * np.log(copy.sum() / bar.double().sum().item()))
    for name, values in found.items():
        own = name == {"shift": "middle", "turn": "angle", "scaling": "size"}[kind]
        assert 0.85 * limit < np.abs(measured(found)).max() < 1.1 * limit
        assert own or np.abs(values).max() < 0.1, name


def test_strokes_become_thicker_and_thinner(digits):
    images = digits.train_images[:30].float() / 255
    inks = [redraw(images, torch.full((30,), level)).sum((1, 2)) for level in (0.2, 0.35, 0.5, 0.65)]
    assert all(bool((more > less).all()) for more, less in pairwise(inks))
    assert bool((inks[0] > images.sum((1, 2))).all())
    assert bool((inks[-1] < images.sum((1, 2))).all())


def test_redraw_against_scipy(digits):
    image = digits.train_images[0].double().numpy() / 255
    kernel = np.outer([1, 2, 1], [1, 2, 1]) / 16
    expected = (3 * (ndimage.convolve(image, kernel, mode="constant") - 0.4) + 0.5).clip(0, 1)
    np.testing.assert_allclose(
        redraw(torch.from_numpy(image).float()[None], torch.tensor([0.4]))[0], expected, atol=1e-6
    )
    assert float(redraw(torch.zeros(1, 28, 28), torch.tensor([Distortions().stroke_threshold[0]])).max()) == 0


@pytest.mark.parametrize(
    "images", [torch.zeros(2, 28, 28), torch.zeros(28, 28, dtype=torch.uint8)], ids=["float", "one"]
)
def test_other_images_are_refused(images):
    with pytest.raises(ValueError, match="Expected square images") as caught:
        distort(images, 0)
    sentence(caught.value, "(N, H, H), uint8")


def test_copies_follow_the_digits_and_the_other_parts_stay(few):
    more = with_distorted_copies(few, seed=2, num_copies=2)
    assert torch.equal(more.train_images[:64], few.train_images)
    assert len(more.train_images) == len(more.train_labels) == 3 * 64
    assert torch.equal(more.train_labels, few.train_labels.repeat(3))
    assert not torch.equal(more.train_images[64:128], more.train_images[128:])
    assert more.validation_images is few.validation_images
    assert more.test_images is few.test_images


# --- what is stored of five seeds ---


def test_a_run_counts_what_its_network_misreads_of_three_sets(digits, few, tmp_path, monkeypatch):
    monkeypatch.setenv("LENET_RESULTS_DIR", str(tmp_path / "results"))
    monkeypatch.setenv("LENET_CACHE_DIR", str(tmp_path / "cache"))
    sets = {"mnist": few, "usps": replace(few, test_images=few.test_images[:30], test_labels=few.test_labels[:30])}
    monkeypatch.setattr(augmentation, "load", lambda name: sets.get(name, digits))
    monkeypatch.setattr(augmentation, "default_config", lambda _: TrainConfig(num_epochs=1))
    runs.run(Experiment("tiny-pad", "", partial(augmentation.measure, num_copies=1), {}), seed=3)
    (record,) = load_results("tiny-pad")
    assert [(row["dataset"], row["images"]) for row in record["passes"]] == [
        ("mnist", 400),
        ("usps", 30),
        ("digits", 1797),
    ]
    model = seeded(network, 3)
    train(model, with_distorted_copies(few, 3), TrainConfig(num_epochs=1, seed=3), progress=False)
    answers = predict(model, prepare(few.test_images))
    assert record["passes"][0]["test_error"] == error_rate(answers, few.test_labels)
    assert record["passes"][1]["test_error"] == error_rate(answers[:30], few.test_labels[:30])


def test_the_stored_runs_are_of_the_pads_network(mnist):
    records = load_results("pad-network")
    assert [record["seed"] for record in records] == list(range(100, 105))
    config = {name: value for name, value in as_json(asdict(default_config(mnist))).items() if name != "seed"}
    for record in records:
        assert record["configuration"]["recipe"] == config
        assert record["configuration"]["distortions"] == as_json(asdict(Distortions()))
        assert record["configuration"]["num_copies"] == 1
        assert record["data"] == mnist.source


def test_the_pads_network_is_the_one_that_the_first_run_judged(mnist, digits):
    model = pad_network()
    stored = {row["dataset"]: row["test_error"] for row in load_results("pad-network")[0]["passes"]}
    assert error_rate(predict(model, prepare(mnist.test_images)), mnist.test_labels) == pytest.approx(
        stored["mnist"], abs=0.03
    )
    error = error_rate(predict(model, prepare(digits.test_images)), digits.test_labels)
    assert error == pytest.approx(stored["digits"], abs=3)  # a part of them


def test_the_first_seed_keeps_what_it_learned(digits, few, tmp_path, monkeypatch):
    monkeypatch.setenv("LENET_RESULTS_DIR", str(tmp_path))
    monkeypatch.setenv("LENET_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(augmentation, "load", lambda name: few)
    monkeypatch.setattr(augmentation, "default_config", lambda _: TrainConfig(num_epochs=1))
    for copies, stored in ((1, True), (0, False)):
        experiment = Experiment(f"tiny-{copies}", "", partial(augmentation.measure, num_copies=copies), {})
        runs.run(experiment, seed=100)
        (record,) = load_results(experiment.name)
        assert ("learned" in record["notes"]) is stored
    kept = learned("tiny-1", seeded(network, 1))
    model = seeded(network, 100)
    train(model, with_distorted_copies(few, 100), TrainConfig(num_epochs=1, seed=100), progress=False)
    for read, own in zip(kept.parameters(), model.parameters(), strict=True):
        assert torch.equal(read, own.half().float())


def test_the_pads_network_reads_other_hands():
    """The book's promise: 96 % or better of the zip codes, none of them seen."""
    errors = {
        name: [
            row["test_error"]
            for record in load_results("pad-network")
            for row in record["passes"]
            if row["dataset"] == name
        ]
        for name in ("mnist", "usps", "digits")
    }
    assert all(len(of_seeds) == 5 for of_seeds in errors.values())
    assert np.mean(errors["usps"]) <= 4
    assert np.mean(errors["mnist"]) < 0.8
