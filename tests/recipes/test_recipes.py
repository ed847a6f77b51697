"""The five recipes: their networks' counts and shapes, the loop that runs them, and how claims are judged."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from conftest import sentence
from torch import nn

from lenet_utils.counting import record_layers
from lenet_utils.data import ImageDataset
from lenet_utils.models import LeNet5, seeded
from lenet_utils.recipes.claims import Claim, prediction_interval, verdict
from lenet_utils.recipes.experiments import MLPS, measured
from lenet_utils.recipes.networks import FullLeNet1, TutorialLeNet5
from lenet_utils.recipes.published import RECIPES, find, run_recipe
from lenet_utils.run_store import as_json, load_results
from lenet_utils.training import TrainingError

LENET5_TAIL = [(16, 10, 10), (16, 10, 10), (16, 5, 5), (400,), (120,), (120,), (84,), (84,), (10,)]
SHAPES = {
    "R1": [(6, 28, 28), (6, 28, 28), (6, 14, 14), *LENET5_TAIL],
    "R2": [*[(16, 13, 13)] * 3, *[(32, 5, 5)] * 3, (32, 1, 1), (10,)],
    "R3": [(4, 24, 24), (4, 24, 24), (4, 12, 12), (12, 8, 8), (12, 8, 8), (12, 4, 4), (10,)],
    "R4": [(6, 28, 28), (6, 28, 28), (6, 14, 14), *LENET5_TAIL],
    "R5": [(6, 28, 28), (6, 28, 28), (6, 14, 14), *LENET5_TAIL],
}
# By hand: kernel or inputs, and one bias, for each map or unit; two numbers for each normalised map.
LENET5_COUNT = 6 * 26 + 16 * (6 * 25 + 1) + 120 * 401 + 84 * 121 + 10 * 85
COUNTS = {
    "R1": LENET5_COUNT,
    "R2": 16 * 17 + 2 * 16 + 32 * (16 * 16 + 1) + 2 * 32 + 10 * 33,
    "R3": 4 * 26 + 12 * (4 * 25 + 1) + 10 * 193,
    "R4": LENET5_COUNT,
    "R5": LENET5_COUNT,
}
PUBLISHED = {"R1": 61_706, "R2": 8_922, "R3": 3_246, "R4": 61_706, "R5": 61_706}

each_recipe = pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)


@each_recipe
def test_network_has_the_published_count(recipe):
    model = recipe.make_model()
    count = sum(p.numel() for p in model.parameters())
    assert count == COUNTS[recipe.name] == PUBLISHED[recipe.name] == recipe.num_parameters


@each_recipe
def test_network_has_the_published_shapes(recipe):
    model = recipe.make_model().eval()
    size = recipe.config.input_size
    with record_layers(model) as passed, torch.no_grad():
        assert model(torch.zeros(2, 1, size, size)).shape == (2, 10)
    assert [tuple(output.shape[1:]) for _, _, output in passed] == SHAPES[recipe.name]


@each_recipe
def test_network_refuses_another_size(recipe):
    size = recipe.config.input_size
    with pytest.raises(ValueError, match="Expected images of shape"):
        recipe.make_model()(torch.zeros(2, 1, 60 - size, 60 - size))


@each_recipe
def test_recipe_runs_on_the_digits_with_the_books_loop(recipe, digits):
    quick = replace(recipe, config=replace(recipe.config, num_epochs=1))
    model, history = run_recipe(quick, digits, progress=False)
    assert not model.training
    assert history.dataset == "digits"
    assert len(history.validation_error) == 1
    assert np.isfinite(history.step_losses).all()


def test_same_seed_same_weights(digits):
    (first, _), (again, _), (other, _) = (run_recipe("R3", digits, seed, progress=False) for seed in (1, 1, 2))
    assert torch.equal(first.c1.weight, again.c1.weight)
    assert not torch.equal(first.c1.weight, other.c1.weight)


def test_what_is_watched(digits):
    watching_test = RECIPES["R1"].arrange(digits)
    assert len(watching_test.train_images) == 1_397
    assert watching_test.validation_images is digits.test_images
    assert RECIPES["R3"].arrange(digits) is digits


def test_flat_lenet5_computes_what_lenet5_computes():
    """A 5×5 convolution on 5×5 maps is a dense layer, and padding in C1 is padding of the image."""
    model = seeded(lambda: LeNet5("relu"), 0)
    state = model.state_dict() | {"c5.weight": model.c5.weight.detach().reshape(120, 400)}
    images = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    padded = nn.functional.pad(images, (2, 2, 2, 2))
    for size, x in ((32, padded), (28, images)):
        flat = TutorialLeNet5("relu", size)
        flat.load_state_dict(state)
        torch.testing.assert_close(flat(x), model(padded))


def test_xavier_bounds():
    model = seeded(FullLeNet1, 0)
    bound = (6 / (25 * 1 + 25 * 4)) ** 0.5
    assert 0.8 * bound < model.c1.weight.abs().max() <= bound
    assert not any(layer.bias.any() for layer in (model.c1, model.c3, model.output))


def test_mlps_of_the_comparison():
    for recipe in MLPS.values():
        assert sum(p.numel() for p in recipe.make_model().parameters()) == recipe.num_parameters


def test_an_unknown_recipe_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="Unknown recipe") as caught:
        run_recipe("R6")
    sentence(caught.value, "'R6'", *(f"'R{i}'" for i in range(1, 6)))
    assert find("R2").title.startswith("BatchNorm")


@pytest.mark.parametrize(("size", "num_classes"), [(32, 10), (28, 26), (28, 1)])
def test_data_that_do_not_fit_are_refused(size, num_classes):
    images, labels = torch.zeros(4, size, size, dtype=torch.uint8), torch.zeros(4, dtype=torch.int64)
    names = tuple(map(str, range(num_classes)))
    dataset = ImageDataset("letters", names, images, labels, images, labels, images, labels, source="")
    with pytest.raises(ValueError, match="Recipe R1 reads") as caught:
        run_recipe("R1", dataset)
    sentence(caught.value, "28×28", "10 classes", f"{size}×{size}", f"in {num_classes} class")


@each_recipe
def test_a_diverging_run_stops_and_names_step_and_rate(recipe, digits):
    wild = replace(recipe, config=replace(recipe.config, optimizer="sgd", learning_rate=1e38, num_epochs=20))
    with pytest.raises(TrainingError) as caught:
        run_recipe(wild, digits, progress=False)
    assert "learning rate was 1e+38" in sentence(caught.value, "at step ")


# --- claims ----------------------------------------------------------------------------------------------------------


def test_prediction_interval_covers_one_more_run():
    """Of normal samples, a further value falls inside in 95 % of all cases."""
    rng = np.random.default_rng(0)
    samples = rng.normal(3, 2, size=(2_000, 6))
    inside = [low <= row[-1] <= high for row in samples for low, high in [prediction_interval(row[:-1])]]
    assert 0.93 < np.mean(inside) < 0.97


def test_prediction_interval_needs_two_runs():
    with pytest.raises(ValueError, match=r"at least two runs; got 1\."):
        prediction_interval([1.0])


@pytest.mark.parametrize(
    ("what", "claimed", "expected"),
    [
        ("test accuracy", 0.9, "holds"),
        ("test accuracy", 0.5, "better than claimed"),
        ("test accuracy", 0.99, "worse than claimed"),
        ("test loss", 0.5, "worse than claimed"),
        ("test loss", 0.99, "better than claimed"),
        ("images per second", 10_000.0, "worse than claimed"),
    ],
)
def test_verdicts(what, claimed, expected):
    assert verdict(Claim(what, 1, claimed, 2), [0.90, 0.91, 0.89, 0.905]) == expected


def test_a_claim_is_no_sharper_than_its_last_digit():
    values = [0.9040, 0.9041, 0.9040]
    assert verdict(Claim("test accuracy", 1, 0.90, 2), values) == "holds"
    assert verdict(Claim("test accuracy", 1, 0.900, 3), values) == "better than claimed"


def test_measured_finds_the_epoch_and_converts_errors():
    row = {"train_loss": 0.5, "train_error": 20.0, "test_loss": 0.25, "test_error": 10.0}
    record = {"passes": [{}, row], "notes": {"images_per_second": 7.0}}
    claims = [Claim(what, 2, 0, 1) for what in ("train loss", "train accuracy", "test loss", "test accuracy")]
    assert [measured(claim, record) for claim in claims] == [0.5, 0.8, 0.25, 0.9]
    assert measured(Claim("images per second", 2, 0, 1), record) == 7.0


# --- stored runs -----------------------------------------------------------------------------------------------------

STORED = {f"recipe-{name.lower()}": recipe for name, recipe in RECIPES.items()}
STORED |= {f"recipe-mlp-{name}": recipe for name, recipe in MLPS.items()} | {"recipe-r3-lightning": RECIPES["R3"]}


@pytest.mark.parametrize(("experiment", "recipe"), STORED.items(), ids=STORED)
def test_stored_runs_are_of_the_recipe_as_it_is(experiment, recipe):
    records = load_results(experiment)
    assert len(records) >= 3
    assert recipe.config.optimizer != "muon"
    ignored = ("seed", "matrix_rate")
    config = as_json({name: value for name, value in asdict(recipe.config).items() if name not in ignored})
    expected = {"recipe": recipe.name, "dataset": recipe.dataset, **config}
    more = ("lightning", "network", "images")
    for record in records:
        assert {name: value for name, value in record["configuration"].items() if name not in more} == expected
        assert record["passes"][-1]["epoch"] == recipe.config.num_epochs
        assert all(np.isfinite(measured(claim, record)) for claim in recipe.claims)
        if recipe.watches == "test":
            assert record["notes"]["test_error"] == record["passes"][-1]["test_error"]


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        (("test loss", 1, float("nan"), 2), "value must be finite; got nan"),
        (("test loss", 1, float("inf"), 2), "value must be finite; got inf"),
        (("test loss", 0, 0.5, 2), "epoch must lie in 1.."),
        (("test loss", 1, 0.5, -1), "decimals must lie in 0.."),
        (("test los", 1, 0.5, 2), "Unknown quantity 'test los': choose one of 'train loss'"),
    ],
)
def test_a_claim_that_nothing_could_bear_out_is_refused(fields, part):
    with pytest.raises(ValueError, match=r"must|Unknown") as caught:
        Claim(*fields)
    sentence(caught.value, part)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_verdict_needs_runs_that_gave_numbers(value):
    with pytest.raises(ValueError, match="finite number") as caught:
        verdict(Claim("test loss", 1, 0.5, 2), [0.5, value, 0.4])
    sentence(caught.value, "leave out those that diverged")


def test_what_a_run_did_not_measure_is_named():
    with pytest.raises(ValueError, match="did not measure") as caught:
        measured(Claim("test loss", 3, 0.5, 2), {"passes": [{"test_loss": 1.0}], "notes": {}})
    sentence(caught.value, "test loss after epoch 3")
