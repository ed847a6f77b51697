"""The five recipes, each for five seeds, and what they are compared with, as experiments.

One seed takes a minute at most, so that an interrupted one is simply begun anew.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import partial
from importlib import metadata

import torch

from lenet_utils.claims import Claim
from lenet_utils.config import History, TrainConfig
from lenet_utils.data import ImageDataset, load, prepare
from lenet_utils.evaluation import error_rate, predict
from lenet_utils.experiment import Experiment, Run
from lenet_utils.models import MLP
from lenet_utils.provenance import device_name
from lenet_utils.recipes import RECIPES, Recipe, run_recipe

SEEDS = tuple(range(5))


def measure(run: Run, recipe: Recipe) -> None:
    """Train one seed of a recipe on the data it was published for, and keep what each epoch measured."""
    if not torch.cuda.is_available():
        torch.set_num_threads(1)
    dataset = load(recipe.dataset)
    begin(run, recipe, dataset.source)
    model, history = run_recipe(recipe, dataset, run.seed)
    run.notes["test_error"] = final_test_error(model, dataset, recipe.config)
    finish(run, recipe, history)


def begin(run: Run, recipe: Recipe, source: str, **more: object) -> None:
    """Say what is run, and forget what an interrupted run left."""
    run.passes, run.notes, run.sessions, run.seconds = [], {}, [], 0.0
    configuration = {name: value for name, value in asdict(recipe.config).items() if name != "seed"}
    run.begin({"recipe": recipe.name, "dataset": recipe.dataset, **configuration, **more}, source)


def final_test_error(model: torch.nn.Module, dataset: ImageDataset, config: TrainConfig) -> float:
    """In per cent, over all test images."""
    images = prepare(dataset.test_images, config.input_size, config.scaling)
    return error_rate(predict(model, images), dataset.test_labels)


def finish(run: Run, recipe: Recipe, history: History) -> None:
    """Keep a history: a line for each epoch."""
    run.notes |= {
        "device": device_name(),
        "train_seconds": history.seconds,
        "images_per_second": history.images_per_second,
    }
    columns = (history.train_loss, history.train_error, history.validation_loss, history.validation_error)
    names = ("train_loss", "train_error", f"{recipe.watches}_loss", f"{recipe.watches}_error")
    rows = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
    for epoch, row in enumerate(rows, 1):
        if not run.finish_pass({"epoch": epoch, **row}, {}, complete=epoch == len(rows)):
            break


def measure_lightning(run: Run) -> None:
    """R3 in Lightning (:mod:`lenet_utils.lightning_net`): one line, after the last epoch."""
    from lenet_utils.lightning_net import fit  # optional, and slow to import

    torch.set_num_threads(1)
    recipe = RECIPES["R3"]
    dataset = load(recipe.dataset)
    begin(run, recipe, dataset.source, lightning=metadata.version("lightning"))
    module, measured = fit(dataset, replace(recipe.config, seed=run.seed))
    run.notes |= {"device": device_name(), "test_error": final_test_error(module, dataset, recipe.config)}
    run.finish_pass({"epoch": recipe.config.num_epochs, **measured}, {}, complete=True)


def measured(claim: Claim, record: dict) -> float:
    """What a stored run has to set against a claim, in the claim's unit.

    Parameters
    ----------
    claim : Claim
    record : dict
        One of :func:`lenet_utils.experiment.load_results`.
    """
    if claim.what == "images per second":
        return record["notes"]["images_per_second"]
    part, _, quantity = claim.what.partition(" ")
    row = record["passes"][claim.epoch - 1]
    return row[f"{part}_loss"] if quantity == "loss" else 1 - row[f"{part}_error"] / 100


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

EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        *(
            Experiment(f"recipe-{name.lower()}", f"{name}: {recipe.title}", partial(measure, recipe=recipe), SEEDS)
            for name, recipe in RECIPES.items()
        ),
        *(
            Experiment(f"recipe-mlp-{name}", f"{recipe.name}, trained as R1", partial(measure, recipe=recipe), SEEDS)
            for name, recipe in MLPS.items()
        ),
        Experiment("recipe-r3-lightning", "R3, trained by Lightning", measure_lightning, SEEDS),
    )
}
