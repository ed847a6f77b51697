"""How the book's own two-epoch recipe was chosen: candidates, and what each does on the validation images.

The test images are not read.
"""

from __future__ import annotations

import torch

from lenet_utils.data import load
from lenet_utils.device import pick_device
from lenet_utils.models import LeNet5, seeded
from lenet_utils.run_store import Experiment, Run
from lenet_utils.training import TrainConfig, train

SETTINGS = ("batch_size", "learning_rate", "activation", "pooling")
CANDIDATES = [
    dict(zip(SETTINGS, values, strict=True))
    for values in (
        (64, 0.01, "relu", "average"),
        (128, 0.015, "relu", "average"),
        (128, 0.02, "relu", "average"),
        (64, 0.01, "relu", "max"),
        (64, 0.005, "relu", "average"),
        (128, 0.01, "relu", "average"),
        (64, 0.005, "tanh", "average"),
        (256, 0.01, "relu", "average"),
        (256, 0.02, "relu", "average"),
        (64, 0.02, "relu", "average"),
        (64, 0.01, "tanh", "average"),
        (128, 0.015, "relu", "max"),
    )
]


def measure(run: Run) -> None:
    """Train every candidate with one seed; each is one "pass" of the run."""
    if pick_device().type == "cpu":
        torch.set_num_threads(1)
    dataset = load("mnist")
    run.begin(dataset.source, pick_device())
    for candidate in CANDIDATES[len(run.passes) :]:
        model = seeded(lambda chosen=candidate: LeNet5(chosen["activation"], chosen["pooling"]), run.seed)
        config = TrainConfig(
            batch_size=candidate["batch_size"], learning_rate=candidate["learning_rate"], seed=run.seed
        )
        history = train(model, dataset, config, progress=False)
        measured = candidate | {"validation_error": history.validation_error[-1]}
        if not run.finish_pass(measured, {}, complete=len(run.passes) + 1 == len(CANDIDATES)):
            break


EXPERIMENTS = {
    "lenet5-search": Experiment(
        "lenet5-search",
        "the candidates for the book's recipe, by validation error",
        measure,
        {"candidates": CANDIDATES, "num_epochs": TrainConfig().num_epochs, "dataset": "mnist"},
        (0, 1, 2),
    )
}
