"""What the book's own LeNet-5 reaches, with seeds that have chosen nothing: thirty on MNIST, five on the digits.

Each run keeps what it misread, so that a page can show the errors of all seeds and train only one of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, replace
from functools import partial

from torch import Tensor, nn

from lenet_utils.arguments import checked
from lenet_utils.data import TITLES, ImageDataset, load
from lenet_utils.device import device_name, pick_device
from lenet_utils.evaluation import error_rate, predict
from lenet_utils.fingerprints import dataset_fingerprint
from lenet_utils.models import LeNet5, seeded
from lenet_utils.modern.search import START_FOR_MUON, START_FOR_MUON_IN_ONE, START_FOR_TWO
from lenet_utils.preprocessing import prepare
from lenet_utils.run_store import Experiment, MissingResultsError, ResultsError, Run, as_json, load_results
from lenet_utils.training import TrainConfig, train

TWO_EPOCHS = replace(START_FOR_MUON, optimizer="muon", momentum_range=None)
ONE_EPOCH = replace(START_FOR_MUON_IN_ONE, optimizer="muon", batch_size=32, learning_rate=0.007)
# Fewer, larger steps, so that the whole takes no longer than Adam did: see benchmarks/recipe_speed.json.
IN_TIME = replace(START_FOR_MUON, optimizer="muon", batch_size=256, learning_rate=0.02, matrix_rate=0.03)
BEFORE = START_FOR_TWO  # what gave the recipe in an earlier edition
DIGITS = replace(TWO_EPOCHS, num_epochs=13)  # this and the first are what default_config gives


def network() -> nn.Module:
    """The network of all these runs."""
    return LeNet5("relu")


def measure(run: Run, name: str, config: TrainConfig) -> None:
    """Train one seed, and keep every test image that it misreads, with its answer."""
    dataset = load(name)
    run.begin(dataset.source, pick_device(), anew=True, **_identity(network(), dataset))
    model = seeded(network, run.seed)
    history = train(model, dataset, replace(config, seed=run.seed), progress=False)
    predictions = predict(model, prepare(dataset.test_images))
    wrong = (predictions != dataset.test_labels).nonzero().flatten().tolist()
    run.notes = {
        "device": device_name(pick_device()),
        **history.speed(),
        "test_error": error_rate(predictions, dataset.test_labels),
        "misread": {str(index): int(predictions[index]) for index in wrong},
    }
    rows = history.rows()
    for row in rows:
        if not run.finish_pass(row, {}, complete=row is rows[-1]):
            break


def _identity(model: nn.Module, dataset: ImageDataset) -> dict[str, str]:
    """What a stored run must share with a network and its data, besides the configuration, to stand in for it."""
    return {"network": repr(model), "images": dataset_fingerprint(dataset)}


def _configuration(config: TrainConfig) -> dict[str, object]:
    return {name: value for name, value in asdict(config).items() if name != "seed"}


@checked
def stored_predictions(
    model: nn.Module, dataset: ImageDataset, config: TrainConfig, experiment: str | None = None
) -> dict[int, Tensor]:
    """What the stored networks of the book's recipe read in the test images.

    Parameters
    ----------
    model : torch.nn.Module
        One with the structure that is meant, whatever its weights.
    dataset : ImageDataset
    config : TrainConfig
        Whatever its seed.
    experiment : str, optional
        By default ``"lenet5-"`` and the data set's name.

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
        records = load_results(experiment or f"lenet5-{dataset.name}")
    except MissingResultsError:
        return {}
    wanted = as_json(_configuration(config)) | _identity(model, dataset)
    return {record["seed"]: _answers(record, dataset) for record in records if record["configuration"] == wanted}


def _answers(record: dict, dataset: ImageDataset) -> Tensor:
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
            f"a class for each misread test image: run python -m lenet_utils.runs {record['experiment']} --seeds "
            f"{record['seed']} --again."
        )
    return answers


def _experiment(name: str, what: str, dataset: str, config: TrainConfig, seeds: Iterable[int]) -> Experiment:
    summary = f"LeNet-5 of today, {what}, on {TITLES[dataset]}"
    return Experiment(
        name, summary, partial(measure, name=dataset, config=config), _configuration(config), tuple(seeds)
    )


EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        _experiment("lenet5-mnist", "two epochs", "mnist", TWO_EPOCHS, range(100, 130)),
        _experiment("lenet5-mnist-one-epoch", "every image once", "mnist", ONE_EPOCH, range(100, 130)),
        _experiment("lenet5-mnist-in-time", "two epochs of larger batches", "mnist", IN_TIME, range(100, 130)),
        _experiment("lenet5-mnist-before", "the recipe before", "mnist", BEFORE, (*range(5), *range(100, 110))),
        _experiment("lenet5-digits", "13 epochs", "digits", DIGITS, range(100, 105)),
    )
}
