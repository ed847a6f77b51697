"""The smallest run of the paper's training, on a few of the embedded digits."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import partial

from lenet_utils.original.experiments import OriginalConfig, measure
from lenet_utils.run_store import Experiment

TINY = OriginalConfig(dataset="digits", num_train=40, num_passes=3, num_samples=20)


def tiny(name: str = "tiny", **changes: object) -> Experiment:
    """An experiment of that name, with some of its settings changed."""
    config = replace(TINY, **changes)
    return Experiment(name, "a few digits", partial(measure, config=config), asdict(config))


def measured(record: dict) -> dict:
    """What does not depend on when and how fast."""
    return {name: value for name, value in record.items() if name not in ("seconds", "sessions", "experiment")}
