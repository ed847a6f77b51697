"""The five recipes and the book's own, each for five seeds, and what they are compared with, as experiments.

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
from lenet_utils.experiment import Experiment, MissingResultsError, ResultsError, Run, load_results
from lenet_utils.models import MLP, LeNet5
from lenet_utils.provenance import device_name
from lenet_utils.recipes import RECIPES, Recipe, run_recipe

SEEDS = tuple(range(5))

OURS = Recipe(
    name="LeNet-5",
    title="the training chapter's run",
    dataset="mnist",
    make_model=lambda: LeNet5("relu"),
    config=TrainConfig(num_epochs=2),
    watches="validation",
    num_parameters=61_706,
    source="This book.",
)
"""The book's own recipe for MNIST, as :func:`lenet_utils.training.default_config` gives it."""


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
    run.begin(_configuration(recipe) | more, source)


def _configuration(recipe: Recipe) -> dict[str, object]:
    """What decides a recipe's outcome besides the seed."""
    settings = {name: value for name, value in asdict(recipe.config).items() if name != "seed"}
    return {"recipe": recipe.name, "dataset": recipe.dataset, **settings}


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


def measure_ours(run: Run) -> None:
    """Train one seed of the book's recipe, and keep every test image that it misreads, with its answer."""
    if not torch.cuda.is_available():
        torch.set_num_threads(1)
    dataset = load(OURS.dataset)
    begin(run, OURS, dataset.source)
    model, history = run_recipe(OURS, dataset, run.seed)
    predictions = predict(model, prepare(dataset.test_images))
    wrong = (predictions != dataset.test_labels).nonzero().flatten().tolist()
    run.notes["test_error"] = error_rate(predictions, dataset.test_labels)
    run.notes["misread"] = {str(index): int(predictions[index]) for index in wrong}
    finish(run, OURS, history)


def stored_predictions(dataset: ImageDataset, config: TrainConfig) -> dict[int, torch.Tensor]:
    """What the stored networks of the book's recipe read in the test images.

    Parameters
    ----------
    dataset : ImageDataset
    config : TrainConfig
        Whatever its seed.

    Returns
    -------
    dict of int to torch.Tensor, shape (N,), int64
        By seed; empty if nothing is stored, or only runs on other data or with another configuration.

    Raises
    ------
    lenet_utils.experiment.ResultsError
        If a file is damaged, or names images or classes that the data do not have.
    """
    wanted = _configuration(replace(OURS, config=config)), dataset.source
    try:
        records = load_results("lenet5")
    except MissingResultsError:
        return {}
    fitting = [record for record in records if (record["configuration"], record["data"]) == wanted]
    return {record["seed"]: _answers(record, dataset) for record in fitting}


def _answers(record: dict, dataset: ImageDataset) -> torch.Tensor:
    """The labels, but for the images that the run misread."""
    answers = dataset.test_labels.clone()
    try:
        for index, answer in record["notes"]["misread"].items():
            if not 0 <= answer < len(dataset.class_names):
                raise ValueError(answer)
            answers[int(index)] = answer
    except (KeyError, AttributeError, TypeError, ValueError, IndexError):
        raise ResultsError(
            f"The results file lenet5-seed{record['seed']}.json is damaged: its 'misread' should give a class for each "
            f"misread test image: run python -m lenet_utils.runs lenet5 --again --seeds {record['seed']}."
        ) from None
    return answers


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
        Experiment("lenet5", f"{OURS.name} of today, {OURS.title}", measure_ours, SEEDS),
        Experiment("recipe-r3-lightning", "R3, trained by Lightning", measure_lightning, SEEDS),
    )
}
