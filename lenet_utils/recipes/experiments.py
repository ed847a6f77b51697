"""The five recipes, each for five seeds, and what they are compared with, as experiments.

One seed takes a minute at most, so that an interrupted one is simply begun anew.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import partial
from importlib import metadata

import torch

from lenet_utils.arguments import checked
from lenet_utils.data import ImageDataset, load
from lenet_utils.device import device_name, pick_device
from lenet_utils.evaluation import error_rate, predict
from lenet_utils.models import MLP
from lenet_utils.preprocessing import prepare
from lenet_utils.recipes.claims import Claim
from lenet_utils.recipes.published import RECIPES, Recipe, run_recipe
from lenet_utils.run_store import Experiment, Run
from lenet_utils.training import History, TrainConfig

SEEDS = tuple(range(5))


def measure(run: Run, recipe: Recipe) -> None:
    """Train one seed of a recipe on the data it was published for, and keep what each epoch measured."""
    dataset = load(recipe.dataset)
    run.begin(dataset.source, pick_device(), anew=True)
    model, history = run_recipe(recipe, dataset, run.seed)
    run.notes["test_error"] = final_test_error(model, dataset, recipe.config)
    finish(run, recipe, history)


def _configuration(recipe: Recipe) -> dict[str, object]:
    """What decides a recipe's outcome besides the seed; a rate that only Muon reads decides nothing here."""
    settings = {name: value for name, value in asdict(recipe.config).items() if name not in ("seed", "matrix_rate")}
    return {"recipe": recipe.name, "dataset": recipe.dataset, **settings}


@checked
def final_test_error(model: torch.nn.Module, dataset: ImageDataset, config: TrainConfig) -> float:
    """In per cent, over all test images."""
    images = prepare(dataset.test_images, config.input_size, config.scaling)
    return error_rate(predict(model, images), dataset.test_labels)


def finish(run: Run, recipe: Recipe, history: History) -> None:
    """Keep a history: a line for each epoch."""
    run.notes |= {"device": device_name(pick_device()), **history.speed()}
    rows = history.rows(recipe.watches)
    for row in rows:
        if not run.finish_pass(row, {}, complete=row is rows[-1]):
            break


def measure_lightning(run: Run) -> None:
    """R3 in Lightning (:mod:`lenet_utils.recipes.lightning`): one line, after the last epoch."""
    from lenet_utils.recipes.lightning import HOW_TO_INSTALL, IS_INSTALLED, fit  # optional, and slow to import

    if not IS_INSTALLED:
        raise ImportError(HOW_TO_INSTALL)
    recipe, cpu = RECIPES["R3"], torch.device("cpu")  # Lightning's trainer is told to take it
    dataset = load(recipe.dataset)
    run.begin(dataset.source, cpu, anew=True, lightning=metadata.version("lightning"))
    module, measured = fit(dataset, replace(recipe.config, seed=run.seed))
    run.notes |= {"device": device_name(cpu), "test_error": final_test_error(module, dataset, recipe.config)}
    run.finish_pass({"epoch": recipe.config.num_epochs, **measured}, {}, complete=True)


@checked
def measured(claim: Claim, record: dict) -> float:
    """What a stored run has to set against a claim, in the claim's unit.

    Parameters
    ----------
    claim : Claim
    record : dict
        One of :func:`lenet_utils.run_store.load_results`.
    """
    part, _, quantity = claim.what.partition(" ")
    try:
        if claim.what == "images per second":
            return record["notes"]["images_per_second"]
        row = record["passes"][claim.epoch - 1]
        return row[f"{part}_loss"] if quantity == "loss" else 1 - row[f"{part}_error"] / 100
    except (KeyError, IndexError):
        raise ValueError(f"This run did not measure {claim.what} after epoch {claim.epoch}.") from None


def _mlp(hidden: tuple[int, ...], num_parameters: int) -> Recipe:
    """An MLP trained exactly as R1 trains its LeNet-5."""
    return replace(
        RECIPES["R1"],
        name="-".join(["MLP 784", *map(str, hidden), "10"]),
        make_model=lambda: MLP(hidden, "relu"),
        config=replace(RECIPES["R1"].config, input_size=28),
        num_parameters=num_parameters,
        claims=(),
    )


MLPS = {"small": _mlp((78,), 62_020), "large": _mlp((300, 100), 266_610)}


def _experiment(name: str, summary: str, recipe: Recipe) -> Experiment:
    return Experiment(name, summary, partial(measure, recipe=recipe), _configuration(recipe), SEEDS)


EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        *(_experiment(f"recipe-{name.lower()}", f"{name}: {r.title}", r) for name, r in RECIPES.items()),
        *(_experiment(f"recipe-mlp-{name}", f"{r.name}, trained as R1", r) for name, r in MLPS.items()),
        Experiment(
            "recipe-r3-lightning", "R3, trained by Lightning", measure_lightning, _configuration(RECIPES["R3"]), SEEDS
        ),
    )
}
