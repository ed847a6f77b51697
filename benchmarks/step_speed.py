"""One pattern of the paper's training: the compiled step beside autograd with the optimiser written for PyTorch.

Both in one process, on one thread, in turns; what counts is their ratio.
"""

from __future__ import annotations

import statistics

import torch
from common import report, seconds  # which also puts the checkout on the path

from lenet_utils.data import load
from lenet_utils.original.fast_step import FastLeNet5
from lenet_utils.original.losses import map_loss
from lenet_utils.original.network import LeNet5Original
from lenet_utils.original.optimizer import StochasticDiagonalLM, curvatures
from lenet_utils.preprocessing import prepare

TURNS, PATTERNS, BY_AUTOGRAD = 5, 5_000, 500


def main() -> None:
    """Time both, and print the ratio of their medians."""
    torch.set_num_threads(1)
    dataset = load()
    images = prepare(dataset.train_images[:PATTERNS], scaling="paper")
    labels = dataset.train_labels[:PATTERNS]
    fast, plain = (LeNet5Original(generator=torch.Generator().manual_seed(0)) for _ in range(2))
    steps, optimizer = FastLeNet5(fast), StochasticDiagonalLM(plain, mu=0.1)
    steps.set_rates(curvatures(fast, images[:500]), 5e-4, 0.1)
    optimizer.estimate(images[:500])

    def by_autograd() -> None:
        for image, label in zip(images[:BY_AUTOGRAD].split(1), labels[:BY_AUTOGRAD].split(1), strict=True):
            optimizer.zero_grad()
            map_loss(plain(image), label).backward()
            optimizer.step()

    first = seconds(lambda: steps.learn(images[:1], labels[:1]))  # compiles, or reads what was compiled
    measured: dict[str, list[float]] = {"compiled": [], "autograd": []}
    for _ in range(TURNS):
        measured["compiled"].append(1e6 * seconds(lambda: steps.learn(images, labels)) / len(images))
        measured["autograd"].append(1e6 * seconds(by_autograd) / min(BY_AUTOGRAD, len(images)))
    ratio = statistics.median(measured["autograd"]) / statistics.median(measured["compiled"])
    report("step_speed", measured, "µs a pattern", first_call_seconds=round(first, 2), ratio=round(ratio, 1))


if __name__ == "__main__":
    main()
