"""train() against the same network fed by a DataLoader with per-image transforms, in turns, in one process.

Both learn from the same images, in batches of the same size, with the same optimizer, for one epoch.  The loader pads
and scales each image whenever it is asked for, as most tutorials do; ``train`` prepares them all once and slices.
Both use as many threads as torch takes by itself, one for each core; ``OMP_NUM_THREADS=1`` gives them one.
The ratio compares learning with learning; a third row adds the preparation and the validation that only ``train`` does.
"""

from __future__ import annotations

import statistics
import time

import torch
from common import report  # which also puts the checkout on the path
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from lenet_utils.data import ImageDataset, load
from lenet_utils.device import pick_device
from lenet_utils.models import LeNet5, seeded
from lenet_utils.optimizers import make_optimizer
from lenet_utils.preprocessing import MNIST_MEAN, MNIST_STD
from lenet_utils.training import TrainConfig, train

REPEATS = 3
CONFIG = TrainConfig(num_epochs=1, schedule="constant", learning_rate=0.001)


class PerImage(Dataset):
    """The training part behind torchvision's usual chain of transforms."""

    def __init__(self, dataset: ImageDataset) -> None:
        self.images, self.labels = dataset.train_images.numpy(), dataset.train_labels.tolist()
        scale = transforms.Normalize((MNIST_MEAN,), (MNIST_STD,))
        self.transform = transforms.Compose([transforms.ToPILImage(), transforms.Pad(2), transforms.ToTensor(), scale])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        return self.transform(self.images[i]), self.labels[i]


def with_loader(dataset: ImageDataset) -> float:
    """Images per second of one epoch with a DataLoader."""
    device = pick_device()
    model = seeded(LeNet5, 0).to(device)
    optimizer = make_optimizer(model, CONFIG)
    start = time.perf_counter()
    for images, labels in DataLoader(PerImage(dataset), CONFIG.batch_size, shuffle=True):
        loss = functional.cross_entropy(model(images.to(device)), labels.to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return len(dataset.train_images) / (time.perf_counter() - start)


def with_train(dataset: ImageDataset) -> tuple[float, float]:
    """Images per second of one epoch with ``train``: of its steps alone, and with preparation and validation."""
    model = seeded(LeNet5, 0)
    start = time.perf_counter()
    history = train(model, dataset, CONFIG, progress=False)
    return history.images_per_second, len(dataset.train_images) / (time.perf_counter() - start)


def main() -> None:
    """Take turns, report medians and the ratio of each pair of turns."""
    dataset = load()
    with_train(dataset.subset(1_000))  # warm up: what torch imports late
    rows = ("train()", "DataLoader, per-image transforms", "train(), with preparation and validation")
    measured: dict[str, list[float]] = {row: [] for row in rows}
    for _ in range(REPEATS):
        turn = with_train(dataset)
        for row, value in zip(rows, (turn[0], with_loader(dataset), turn[1]), strict=True):
            measured[row].append(value)
    ratios = [a / b for a, b in zip(measured[rows[0]], measured[rows[1]], strict=True)]
    print(
        f"ratio of each pair of turns: median {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    )
    report(
        "train_speed",
        measured,
        "images/s",
        ratio=round(statistics.median(ratios), 2),
        data=dataset.title,
        num_images=len(dataset.train_images),
        device=str(pick_device()),
    )


if __name__ == "__main__":
    main()
