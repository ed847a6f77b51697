"""What pooling does for shifted digits: LeNet-5 with and without it, each trained alike and shown moved test images."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from lenet_utils.arguments import check_count, checked
from lenet_utils.data import load
from lenet_utils.device import pick_device
from lenet_utils.evaluation import error_rate, predict
from lenet_utils.models import LeNet5, seeded
from lenet_utils.preprocessing import pad, prepare
from lenet_utils.run_store import Experiment, Run
from lenet_utils.training import default_config, train

POOLINGS = ("average", "max", "none")
DISTANCES = (0, 1, 2, 3, 4)  # pixels
WAYS = ((1, 0), (-1, 0), (0, 1), (0, -1))  # down, up, right, left


@checked
def shifted(images: Tensor, down: int, right: int) -> Tensor:
    """Digits moved by whole pixels within 32×32: (N, 28, 28) to (N, 32, 32); what leaves the image is lost."""
    if images.ndim != 3:
        raise ValueError(f"Expected images of shape (N, 28, 28); got shape {tuple(images.shape)}.")
    check_count("down", down, -32, 32)
    check_count("right", right, -32, 32)
    moved = pad(images).roll((down, right), (1, 2))
    for axis, distance in ((1, down), (2, right)):
        edge = slice(0, distance) if distance > 0 else slice(distance, None)
        if distance:
            moved.index_fill_(axis, torch.arange(32)[edge], 0)
    return moved


def measure(run: Run, name: str) -> None:
    """Train the network once for each kind of pooling; each is one "pass" of the run."""
    dataset = load(name)
    run.begin(dataset.source, pick_device())
    config = replace(default_config(dataset), seed=run.seed)
    for pooling in POOLINGS[len(run.passes) :]:
        model = seeded(partial(LeNet5, "relu", pooling), run.seed)
        train(model, dataset, config, progress=False)
        errors = [mean_error(model, dataset.test_images, dataset.test_labels, distance) for distance in DISTANCES]
        if not run.finish_pass({"pooling": pooling, "errors": errors}, {}, complete=pooling == POOLINGS[-1]):
            break


@checked
def mean_error(model: torch.nn.Module, images: Tensor, labels: Tensor, distance: int) -> float:
    """Error rate in per cent over images (N, 28, 28) moved by ``distance`` pixels, mean of the four ways."""
    moved = [prepare(shifted(images, down * distance, right * distance)) for down, right in WAYS]
    return sum(error_rate(predict(model, one), labels) for one in moved) / len(WAYS)


EXPERIMENTS = {
    "pooling-shifts": Experiment(
        "pooling-shifts",
        "LeNet-5 with average, maximum and no pooling, on shifted test images of MNIST",
        partial(measure, name="mnist"),
        {"poolings": POOLINGS, "distances": DISTANCES, "dataset": "mnist"},
        tuple(range(100, 105)),
    )
}
