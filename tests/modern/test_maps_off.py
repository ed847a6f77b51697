"""Maps switched off: what the rest of the network answers without them, and what a run keeps of it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch

from lenet_utils import runs
from lenet_utils.evaluation import predict
from lenet_utils.models import LeNet5, seeded
from lenet_utils.modern import maps_off
from lenet_utils.preprocessing import prepare
from lenet_utils.run_store import Experiment, load_results
from lenet_utils.training import TrainConfig, default_config, train

SHAPES = {"c1": (6, 14, 14), "c3": (16, 5, 5)}


@pytest.fixture(scope="module")
def network(digits):
    """One that has learned a little, so that its answers differ."""
    model = seeded(lambda: LeNet5("relu"), 0)
    train(model, digits.subset(300), TrainConfig(num_epochs=3), progress=False)
    return model


def without(model: LeNet5, images: torch.Tensor, layer: str, number: int) -> torch.Tensor:
    """Answers with one map at 0, by a hook in the network itself."""

    def silence(_, __, output):
        output = output.clone()
        output[:, number] = 0
        return output

    hook = getattr(model, {"c1": "s2", "c3": "s4"}[layer]).register_forward_hook(silence)
    try:
        return predict(model, images)
    finally:
        hook.remove()


@pytest.mark.parametrize("layer", SHAPES)
def test_the_two_halves_make_the_network(network, digits, layer):
    images = prepare(digits.test_images[:60])
    maps = maps_off.passed_on(network, images, layer)
    assert maps.shape == (60, *SHAPES[layer])
    assert torch.equal(maps_off.answers_from(network, maps, layer, batch_size=7), predict(network, images))


@pytest.mark.parametrize(("layer", "number"), [("c1", 0), ("c1", 5), ("c3", 7), ("c3", 15)])
def test_a_map_at_zero_is_a_map_at_zero_in_the_network(network, digits, layer, number):
    images, labels = prepare(digits.test_images), digits.test_labels
    maps = maps_off.passed_on(network, images, layer)
    before = maps.clone()
    answers = without(network, images, layer, number)
    expected = [int(((answers != labels) & (labels == k)).sum()) for k in range(10)]
    assert maps_off.wrong_without(network, maps, labels, layer, number) == expected
    assert torch.equal(maps, before)


def test_a_map_in_its_own_place_changes_nothing(network, digits):
    images, labels = prepare(digits.test_images[:1].repeat(4, 1, 1)), digits.test_labels[:1].repeat(4)
    maps = maps_off.passed_on(network, images, "c3")
    whole = maps_off.wrong_by_class(predict(network, images), labels)
    assert maps_off.wrong_without(network, maps, labels, "c3", 2, maps[0, 2].clone()) == whole


def test_a_run_keeps_every_map_and_both_ways(digits, tmp_path, monkeypatch):
    monkeypatch.setenv("LENET_RESULTS_DIR", str(tmp_path / "results"))
    monkeypatch.setenv("LENET_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(maps_off, "load", lambda _: digits.subset(100))
    monkeypatch.setattr(maps_off, "default_config", lambda _: TrainConfig(num_epochs=1))
    runs.run(Experiment("maps-off", "", partial(maps_off.measure, name="digits"), {}), seed=3)
    (record,) = load_results("maps-off")
    found = {(row["layer"], row["way"]): row["wrong"] for row in record["passes"]}
    assert list(found) == [("c1", "zero"), ("c1", "mean"), ("c3", "zero"), ("c3", "mean")]
    assert sum(record["notes"]["images"]) == len(digits.test_labels)
    for (layer, _), wrong in found.items():
        assert torch.tensor(wrong).shape == (SHAPES[layer][0], 10)
        assert (torch.tensor(wrong) <= torch.tensor(record["notes"]["images"])).all()
    model = seeded(lambda: LeNet5("relu"), 3)
    train(model, digits.subset(100), TrainConfig(num_epochs=1, seed=3), progress=False)
    images, labels = prepare(digits.test_images), digits.test_labels
    assert record["notes"]["wrong"] == maps_off.wrong_by_class(predict(model, images), labels)
    substitute = maps_off.passed_on(model, prepare(digits.validation_images), "c1").mean(0)[4]
    maps = maps_off.passed_on(model, images, "c1")
    assert found["c1", "mean"][4] == maps_off.wrong_without(model, maps, labels, "c1", 4, substitute)


def test_the_stored_runs_are_of_the_books_own_recipe(mnist):
    records = load_results("maps-off")
    assert [record["seed"] for record in records] == list(range(100, 105))
    recipe = {key: value for key, value in vars(replace(default_config(mnist), seed=0)).items() if key != "seed"}
    for record in records:
        stored = record["configuration"]["recipe"]
        assert {key: tuple(v) if isinstance(v, list) else v for key, v in stored.items()} == recipe
        assert record["data"] == mnist.source
