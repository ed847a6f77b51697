"""Measure candidates for the two-epoch recipe on the validation part, and keep the result for the training chapter.

Run ``python scripts/search_recipe.py`` in the repository's root; it takes about ten minutes on one core and writes
``results/recipe-search.json``.  The test part is not read.
"""

from __future__ import annotations

import json
import statistics
from dataclasses import replace
from pathlib import Path

import torch

from lenet_utils.data import ImageDataset, load
from lenet_utils.models import LeNet5, seeded
from lenet_utils.provenance import device_name, versions
from lenet_utils.training import TrainConfig, train

SEEDS = (0, 1, 2)
CANDIDATES = (
    # batch size, learning rate, activation, pooling
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


def measure(batch_size: int, learning_rate: float, activation: str, pooling: str, dataset: ImageDataset) -> dict:
    """Validation errors (per cent) of one candidate, one for each seed."""
    config = TrainConfig(batch_size=batch_size, learning_rate=learning_rate)
    errors = []
    for seed in SEEDS:
        model = seeded(lambda: LeNet5(activation, pooling), seed)
        history = train(model, dataset, replace(config, seed=seed), progress=False)
        errors.append(round(history.validation_error[-1], 4))
    return {
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "activation": activation,
        "pooling": pooling,
        "validation_errors": errors,
    }


def main() -> None:
    """Measure all candidates and write them down."""
    torch.set_num_threads(1)
    dataset = load("mnist")
    rows = []
    for candidate in CANDIDATES:
        rows.append(measure(*candidate, dataset))
        print(*candidate, f"{statistics.mean(rows[-1]['validation_errors']):.3f} %", flush=True)
    record = {
        "what": "validation error in per cent of LeNet-5 after two epochs, by recipe; the test part was not read",
        "dataset": dataset.name,
        "seeds": SEEDS,
        "num_epochs": TrainConfig().num_epochs,
        "device": device_name(),
        "versions": versions(),
        "rows": rows,
    }
    path = Path(__file__).resolve().parent.parent / "results" / "recipe-search.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
