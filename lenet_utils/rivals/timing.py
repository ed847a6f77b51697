"""LeNet-5 of 1998 and of today beside its rivals: what it must reject, how long it learns, how long it answers.

The many runs that tell its error (``original``, ``lenet5-mnist``) do not store these.
"""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from functools import partial

import torch
from torch import Tensor, nn

from lenet_utils.data import ImageDataset, load
from lenet_utils.device import pick_device
from lenet_utils.evaluation import judge, outputs
from lenet_utils.models import LeNet5, seeded
from lenet_utils.modern.experiments import TWO_EPOCHS
from lenet_utils.original.experiments import OriginalConfig, PaperTraining
from lenet_utils.preprocessing import prepare
from lenet_utils.run_store import Experiment, Run, as_json
from lenet_utils.training import train


def as_published(dataset: ImageDataset, seed: int, config: OriginalConfig) -> tuple[nn.Module, Tensor]:
    """The machine of 1998, trained; and the test images as it sees them."""
    training = PaperTraining(config, seed, dataset)
    for number in range(1, config.num_passes + 1):
        training.begin_pass(number)
        for images, labels in training.patterns(number):
            training.steps.learn(images, labels)
    return training.model, prepare(dataset.test_images, scaling="paper")


def of_today(dataset: ImageDataset, seed: int) -> tuple[nn.Module, Tensor]:
    """The book's LeNet-5, trained by the book's recipe; and the test images as it sees them."""
    model = seeded(partial(LeNet5, "relu"), seed)
    train(model, dataset, replace(TWO_EPOCHS, seed=seed), progress=False)
    return model, prepare(dataset.test_images)


def measure(run: Run, config: OriginalConfig | None) -> None:
    """Train one seed, and test it; times are the processor's.  All is one "pass" of the run."""
    dataset = load("mnist")
    run.begin(dataset.source, torch.device("cpu") if config else pick_device(), anew=True)
    start = time.process_time()
    model, images = as_published(dataset, run.seed, config) if config else of_today(dataset, run.seed)
    middle = time.process_time()
    scores = outputs(model, images)
    found = judge(-scores if getattr(model, "smallest_wins", False) else scores, dataset.test_labels)
    times = {"train_seconds": middle - start, "answer_seconds": time.process_time() - middle}
    run.finish_pass(found | times, {}, complete=True)


SEEDS = (100, 101, 102)
EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        Experiment(
            "original-timed",
            "LeNet-5 as published: what it must reject, and how long it takes",
            partial(measure, config=OriginalConfig()),
            as_json(asdict(OriginalConfig())),
            SEEDS,
        ),
        Experiment(
            "lenet5-timed",
            "LeNet-5 of today: what it must reject, and how long it takes",
            partial(measure, config=None),
            {key: value for key, value in as_json(asdict(TWO_EPOCHS)).items() if key != "seed"},
            SEEDS,
        ),
    )
}
