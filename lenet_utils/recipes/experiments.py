"""The five recipes and the book's own, each for five seeds, and what they are compared with, as experiments.

One seed takes a minute at most, so that an interrupted one is simply begun anew.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import partial
from importlib import metadata

import torch

from lenet_utils.data import TITLES, ImageDataset, load
from lenet_utils.device import device_name, pick_device
from lenet_utils.evaluation import error_rate, predict
from lenet_utils.fingerprints import dataset_fingerprint
from lenet_utils.models import MLP, LeNet5
from lenet_utils.preprocessing import prepare
from lenet_utils.recipes.claims import Claim
from lenet_utils.recipes.published import RECIPES, Recipe, run_recipe
from lenet_utils.run_store import Experiment, MissingResultsError, ResultsError, Run, load_results
from lenet_utils.training import History, TrainConfig

SEEDS = tuple(range(5))

BOOK_RECIPES = {
    dataset: Recipe(
        name="LeNet-5 of today",
        title=f"LeNet-5 as in the training chapter, on {TITLES[dataset]}",
        dataset=dataset,
        make_model=lambda: LeNet5("relu"),
        config=TrainConfig(num_epochs=num_epochs),
        watches="validation",
        num_parameters=61_706,
        source="This book.",
    )
    for dataset, num_epochs in (("mnist", 2), ("digits", 13))
}
"""The book's own recipe by data set, as :func:`lenet_utils.training.default_config` gives it.

:meta hide-value:
"""


def measure(run: Run, recipe: Recipe) -> None:
    """Train one seed of a recipe on the data it was published for, and keep what each epoch measured."""
    dataset = load(recipe.dataset)
    _begin(run, dataset)
    model, history = run_recipe(recipe, dataset, run.seed)
    run.notes["test_error"] = final_test_error(model, dataset, recipe.config)
    finish(run, recipe, history)


def _begin(run: Run, dataset: ImageDataset, **more: object) -> None:
    """Say what is run, on one thread where a CPU computes, and forget what an interrupted run left."""
    if pick_device().type == "cpu":
        torch.set_num_threads(1)
    run.begin(dataset.source, pick_device(), anew=True, **more)


def _configuration(recipe: Recipe) -> dict[str, object]:
    """What decides a recipe's outcome besides the seed."""
    settings = {name: value for name, value in asdict(recipe.config).items() if name != "seed"}
    return {"recipe": recipe.name, "dataset": recipe.dataset, **settings}


def final_test_error(model: torch.nn.Module, dataset: ImageDataset, config: TrainConfig) -> float:
    """In per cent, over all test images."""
    return error_rate(_test_predictions(model, dataset, config), dataset.test_labels)


def _test_predictions(model: torch.nn.Module, dataset: ImageDataset, config: TrainConfig) -> torch.Tensor:
    return predict(model, prepare(dataset.test_images, config.input_size, config.scaling))


def finish(run: Run, recipe: Recipe, history: History) -> None:
    """Keep a history: a line for each epoch."""
    run.notes |= {
        "device": device_name(pick_device()),
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
    """R3 in Lightning (:mod:`lenet_utils.recipes.lightning`): one line, after the last epoch."""
    from lenet_utils.recipes.lightning import fit  # optional, and slow to import

    torch.set_num_threads(1)
    recipe, cpu = RECIPES["R3"], torch.device("cpu")  # Lightning's trainer is told to take it
    dataset = load(recipe.dataset)
    run.begin(dataset.source, cpu, anew=True, lightning=metadata.version("lightning"))
    module, measured = fit(dataset, replace(recipe.config, seed=run.seed))
    run.notes |= {"device": device_name(cpu), "test_error": final_test_error(module, dataset, recipe.config)}
    run.finish_pass({"epoch": recipe.config.num_epochs, **measured}, {}, complete=True)


def measure_book_recipe(run: Run, recipe: Recipe) -> None:
    """Train one seed of the book's recipe, and keep every test image that it misreads, with its answer."""
    dataset = load(recipe.dataset)
    _begin(run, dataset, **_identity(recipe.make_model(), dataset))
    model, history = run_recipe(recipe, dataset, run.seed)
    predictions = _test_predictions(model, dataset, recipe.config)
    wrong = (predictions != dataset.test_labels).nonzero().flatten().tolist()
    run.notes["test_error"] = error_rate(predictions, dataset.test_labels)
    run.notes["misread"] = {str(index): int(predictions[index]) for index in wrong}
    finish(run, recipe, history)


def _identity(model: torch.nn.Module, dataset: ImageDataset) -> dict[str, str]:
    """What a stored run must share with a network and its data, besides the configuration, to stand in for it."""
    return {"network": repr(model), "images": dataset_fingerprint(dataset)}


def stored_predictions(model: torch.nn.Module, dataset: ImageDataset, config: TrainConfig) -> dict[int, torch.Tensor]:
    """What the stored networks of the book's recipe read in the test images.

    Parameters
    ----------
    model : torch.nn.Module
        One with the structure that is meant, whatever its weights.
    dataset : ImageDataset
    config : TrainConfig
        Whatever its seed.

    Returns
    -------
    dict of int to torch.Tensor, shape (N,), int64
        By seed; empty if nothing is stored, or only runs of another network, on other data or with another
        configuration.

    Raises
    ------
    lenet_utils.run_store.ResultsError
        If a file is damaged.
    """
    try:
        records = load_results(f"lenet5-{dataset.name}")
    except MissingResultsError:
        return {}
    wanted = _configuration(replace(BOOK_RECIPES[dataset.name], config=config)) | _identity(model, dataset)
    return {record["seed"]: _answers(record, dataset) for record in records if record["configuration"] == wanted}


def _answers(record: dict, dataset: ImageDataset) -> torch.Tensor:
    """The labels, but for the images that the run misread."""
    answers = dataset.test_labels.clone()
    try:
        for index, answer in record["notes"]["misread"].items():
            answers[range(len(answers)).index(int(index))] = range(len(dataset.class_names)).index(answer)
        fits = error_rate(answers, dataset.test_labels) == record["notes"]["test_error"]
    except (KeyError, AttributeError, TypeError, ValueError, IndexError):
        fits = False
    if not fits:
        raise ResultsError(
            f"The results file {record['experiment']}-seed{record['seed']}.json is damaged: its 'misread' should give "
            f"a class for each misread test image: run python -m lenet_utils.runs {record['experiment']} --again."
        )
    return answers


def measured(claim: Claim, record: dict) -> float:
    """What a stored run has to set against a claim, in the claim's unit.

    Parameters
    ----------
    claim : Claim
    record : dict
        One of :func:`lenet_utils.run_store.load_results`.
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


def _experiment(name: str, summary: str, recipe: Recipe, how=measure) -> Experiment:
    return Experiment(name, summary, partial(how, recipe=recipe), _configuration(recipe), SEEDS)


EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        *(_experiment(f"recipe-{name.lower()}", f"{name}: {r.title}", r) for name, r in RECIPES.items()),
        *(_experiment(f"recipe-mlp-{name}", f"{r.name}, trained as R1", r) for name, r in MLPS.items()),
        *(_experiment(f"lenet5-{name}", r.title, r, measure_book_recipe) for name, r in BOOK_RECIPES.items()),
        Experiment(
            "recipe-r3-lightning", "R3, trained by Lightning", measure_lightning, _configuration(RECIPES["R3"]), SEEDS
        ),
    )
}
