"""LeNet-1 and LeNet-4 on MNIST and on zip codes: what they are given, and what a run stores."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch
from conftest import DATA_DIR

from lenet_utils import downloads, runs
from lenet_utils.data import load
from lenet_utils.family import relatives
from lenet_utils.family.relatives import NUM_HELD_OUT, Setting, made_small, measure, zip_codes
from lenet_utils.preprocessing import prepare
from lenet_utils.run_store import Experiment, load_results


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("LENET_RESULTS_DIR", str(tmp_path / "results"))
    monkeypatch.setenv("LENET_CACHE_DIR", str(tmp_path / "cache"))


def square(side: int) -> torch.Tensor:
    """A full square in the middle of an image of 28×28."""
    image = torch.zeros(1, 28, 28, dtype=torch.uint8)
    low = 14 - side // 2
    image[0, low : low + side, low : low + side] = 255
    return image


def test_a_digit_of_20_pixels_becomes_one_of_16():
    small = made_small(square(20))[0]
    full = (small > 250).nonzero()
    assert small.shape == (24, 24)
    assert (full.max(0).values - full.min(0).values + 1).tolist() == [14, 14]  # and a rim that is grey
    assert small.sum().item() / 255 == pytest.approx(16 * 16, rel=0.01)  # ink shrinks as the area does
    assert torch.equal(small, small.flip(0))
    assert torch.equal(small, small.T)


@pytest.mark.parametrize(
    "images", [torch.zeros(2, 32, 32, dtype=torch.uint8), torch.zeros(2, 28, 28), torch.zeros(0, 28, 28).byte()]
)
def test_what_is_no_mnist_image_is_refused(images):
    with pytest.raises(ValueError, match="Expected images"):
        made_small(images)


@pytest.mark.parametrize(("network", "side"), [("lenet1", 28), ("lenet4", 32)])
def test_each_network_gets_images_of_its_size(network, side, monkeypatch):
    monkeypatch.setattr(relatives, "load", lambda name: load("digits"))
    setting = Setting.of(network)
    images = prepare(setting.dataset().test_images[:2], setting.config.input_size)
    assert images.shape == (2, 1, side, side)
    assert relatives.MADE[network]()(images).shape == (2, 10)


def test_an_unknown_network_is_named():
    with pytest.raises(ValueError, match="lenet5"):
        Setting.of("lenet5")


@pytest.mark.skipif(not (DATA_DIR / "USPS").exists(), reason="the zip codes are not at hand")
def test_zip_codes_come_as_they_are_and_no_digit_twice(monkeypatch):
    monkeypatch.setenv("LENET_DATA_DIR", str(DATA_DIR))
    dataset, (files, _) = zip_codes(), downloads.read_usps(DATA_DIR)
    assert len(dataset.validation_labels) == NUM_HELD_OUT
    assert torch.equal(torch.cat([dataset.train_images, dataset.validation_images]), files["train"][0])
    assert torch.equal(dataset.test_images, files["test"][0])
    assert dataset.test_images.shape == (2_007, 16, 16)


def test_a_run_stores_its_error(monkeypatch):
    few = load("digits").subset(64)
    monkeypatch.setattr(relatives, "load", lambda name: few)
    setting = Setting.of("lenet1")
    setting = replace(setting, config=replace(setting.config, num_epochs=1, batch_size=16))
    runs.run(Experiment("tiny", "", partial(measure, setting=setting), {}), seed=3)
    (stored,) = load_results("tiny")
    assert len(stored["passes"]) == 1
    wrong, of = stored["notes"]["test_wrong"], len(few.test_labels)
    assert stored["notes"]["test_error"] == pytest.approx(100 * wrong / of)
    assert 0 <= stored["notes"]["rejected"] <= 100
    assert stored["notes"]["train_seconds"] > 0 < stored["notes"]["answer_seconds"]
