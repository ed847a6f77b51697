"""How much data LeNet-5 of today needs: the book's recipe on ever more of MNIST, always with as many steps."""

from __future__ import annotations

from dataclasses import asdict, replace

import torch

from lenet_utils.arguments import checked
from lenet_utils.data import ImageDataset, load
from lenet_utils.device import pick_device
from lenet_utils.evaluation import error_rate, predict
from lenet_utils.models import seeded
from lenet_utils.modern.experiments import TWO_EPOCHS, network
from lenet_utils.preprocessing import prepare
from lenet_utils.run_store import Experiment, Run
from lenet_utils.training import train

SIZES = (1_000, 2_000, 4_000, 8_000, 15_000, 30_000, 60_000)
NUM_SEEN = 120_000  # images that a network is shown, each as often as it takes: two epochs of all
NUM_WATCHED = 500  # training images in validation's place, for nothing is chosen here


@checked
def part_of(dataset: ImageDataset, num_train: int, seed: int) -> ImageDataset:
    """So many of all images that may be learned from, drawn by the seed: a larger part holds the smaller ones."""
    everything = dataset.with_test_as_validation()
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randperm(len(everything.train_labels), generator=generator)[:num_train]
    if not 0 < num_train <= len(everything.train_labels):
        raise ValueError(f"num_train must lie in 1..{len(everything.train_labels)}; got {num_train}.")
    images, labels = everything.train_images[drawn], everything.train_labels[drawn]
    return replace(
        everything,
        train_images=images,
        train_labels=labels,
        validation_images=images[:NUM_WATCHED],
        validation_labels=labels[:NUM_WATCHED],
    )


def measure(run: Run) -> None:
    """Train one network for each size; each is one "pass" of the run."""
    dataset = load("mnist")
    run.begin(dataset.source, pick_device())
    for size in SIZES[len(run.passes) :]:
        part = part_of(dataset, size, run.seed)
        model = seeded(network, run.seed)
        train(model, part, replace(TWO_EPOCHS, num_epochs=NUM_SEEN // size, seed=run.seed), progress=False)
        measured = {"num_train": size, "num_epochs": NUM_SEEN // size}
        for kind in ("train", "test"):
            images, labels = getattr(part, f"{kind}_images"), getattr(part, f"{kind}_labels")
            measured[f"{kind}_error"] = error_rate(predict(model, prepare(images)), labels)
        if not run.finish_pass(measured, {}, complete=size == SIZES[-1]):
            break


SHOWN = {key: value for key, value in asdict(TWO_EPOCHS).items() if key not in ("seed", "num_epochs")}
EXPERIMENTS = {
    "data-amount": Experiment(
        "data-amount",
        "LeNet-5 of today on 1,000 to 60,000 images of MNIST, with as many steps on each",
        measure,
        {"sizes": SIZES, "num_seen": NUM_SEEN, **SHOWN},
        tuple(range(100, 103)),
    )
}
