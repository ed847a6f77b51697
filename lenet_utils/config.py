"""What a training run depends on, and what it leaves behind."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from lenet_utils.models import choose

OPTIMIZERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
SCHEDULES = ("constant", "one-cycle", "plateau")


class TrainingError(RuntimeError):
    """Training cannot go on; the message names the step and the learning rate."""


@dataclass(frozen=True)
class TrainConfig:
    """All that a training run depends on, besides the network and the data.

    The defaults are the book's own two-epoch recipe.

    Parameters
    ----------
    num_epochs, batch_size : int
    optimizer : {"adam", "adamw", "sgd"}
    learning_rate : float
        The peak rate under ``"one-cycle"``.
    momentum : float
        Of SGD; the others ignore it.
    weight_decay : float
    schedule : {"one-cycle", "constant", "plateau"}
        ``"plateau"`` multiplies the rate by ``plateau_factor`` when the validation loss has not improved for
        ``plateau_patience`` epochs.
    input_size, scaling : int, str
        How pixels become input; see :func:`lenet_utils.data.prepare`.
    seed : int
        Decides the order of the images and, in :func:`lenet_utils.training.trained`, the initial weights.
    """

    num_epochs: int = 2
    batch_size: int = 128
    optimizer: str = "adam"
    learning_rate: float = 0.015
    momentum: float = 0.0
    weight_decay: float = 0.0
    schedule: str = "one-cycle"
    plateau_factor: float = 0.1
    plateau_patience: int = 10
    input_size: int = 32
    scaling: str = "standard"
    seed: int = 0

    def __post_init__(self) -> None:
        choose("optimizer", self.optimizer, OPTIMIZERS)
        choose("schedule", self.schedule, dict.fromkeys(SCHEDULES))
        for name in ("num_epochs", "batch_size", "learning_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive; got {getattr(self, name)}.")


@dataclass
class History:
    """What happened in a run, epoch by epoch; losses are means over all images of an epoch, errors are in per cent.

    ``train_*`` are taken while learning, so that they average over the weights of the whole epoch; ``validation_*``
    are taken at its end.
    """

    config: TrainConfig
    dataset: str
    device: str
    step_losses: list[float] = field(default_factory=list)
    learning_rates: list[float] = field(default_factory=list)
    train_loss: list[float] = field(default_factory=list)
    train_error: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_error: list[float] = field(default_factory=list)
    seconds: float = 0.0
    images_per_second: float = 0.0
