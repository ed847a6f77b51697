"""Two epochs of MNIST by the recipe before, by the book's own, and by its variant with larger batches, in turns.

One epoch is timed and counted twice, in one process, on as many threads as torch takes by itself.
"""

from __future__ import annotations

from dataclasses import replace

from common import report  # which also puts the checkout on the path

from lenet_utils.data import load
from lenet_utils.models import seeded
from lenet_utils.modern.experiments import BEFORE, IN_TIME, TWO_EPOCHS, network
from lenet_utils.training import train

REPEATS = 7
RECIPES = {"Adam, as before": BEFORE, "Muon": TWO_EPOCHS, "Muon, batches of 256": IN_TIME}


def main() -> None:
    """Take turns, report the seconds that two epochs would take."""
    dataset = load("mnist")
    train(seeded(network, 0), dataset.subset(1_000), replace(TWO_EPOCHS, num_epochs=1), progress=False)  # warm up
    measured: dict[str, list[float]] = {name: [] for name in RECIPES}
    for _ in range(REPEATS):
        for name, config in RECIPES.items():
            history = train(seeded(network, 0), dataset, replace(config, num_epochs=1), progress=False)
            measured[name].append(round(2 * history.seconds, 2))
    report("recipe_speed", measured, "s", data=dataset.title, num_images=len(dataset.train_images))


if __name__ == "__main__":
    main()
