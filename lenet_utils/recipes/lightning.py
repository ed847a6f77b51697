"""R3 once more, in Lightning: the network as a LightningModule, the images as a LightningDataModule.

Lightning is optional (``pip install '.[lightning]'``); without it this module imports, ``IS_INSTALLED`` is False,
and :func:`fit` says what is missing.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from lenet_utils.data import ImageDataset
from lenet_utils.models import seeded
from lenet_utils.preprocessing import prepare
from lenet_utils.recipes.published import RECIPES
from lenet_utils.training import TrainConfig

try:
    from lightning import LightningDataModule, LightningModule, Trainer
    from torchmetrics.classification import MulticlassAccuracy

    IS_INSTALLED = True
except ImportError:
    LightningDataModule, LightningModule, IS_INSTALLED = object, nn.Module, False
    MulticlassAccuracy = None  # so that classes can be written down, if not used

HOW_TO_INSTALL = "Lightning is not installed here: pip install '.[lightning]' in the checkout adds it."


class LightningLeNet1(LightningModule):
    """R3's network and optimiser: what :class:`lenet_utils.training.TrainConfig` and the loop hold, in one class.

    Parameters
    ----------
    config : TrainConfig
    """

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        self.config = config
        self.net = RECIPES["R3"].make_model()
        self.accuracies = nn.ModuleDict({f"in_{part}": MulticlassAccuracy(10, average="micro") for part in _PARTS})
        self.step_losses: list[float] = []

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, 10) for images (N, 1, 28, 28)."""
        return self.net(images)

    def shared_step(self, batch: tuple[Tensor, Tensor], part: str) -> Tensor:
        """The loss of one batch of one part; keeps its running accuracy."""
        images, labels = batch
        logits = self(images)  # (N, 10)
        loss = functional.cross_entropy(logits, labels)
        accuracy = self.accuracies[f"in_{part}"]
        accuracy(logits, labels)
        self.log(f"{part}_loss", loss, on_step=False, on_epoch=True)
        self.log(f"{part}_accuracy", accuracy, on_step=False, on_epoch=True)
        return loss

    def training_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> Tensor:
        """Called by Lightning for each batch that is learned from."""
        loss = self.shared_step(batch, "train")
        self.step_losses.append(float(loss.detach()))
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> None:
        """Called for each batch of the validation part, after each epoch."""
        self.shared_step(batch, "validation")

    def test_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> None:
        """Called for each batch of the test part, once."""
        self.shared_step(batch, "test")

    def configure_optimizers(self) -> dict:
        """Adam, and a rate that falls when the validation loss has not for ten epochs."""
        optimizer = torch.optim.Adam(self.parameters(), lr=self.config.learning_rate)
        schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, factor=self.config.plateau_factor, patience=self.config.plateau_patience
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "monitor": "validation_loss"}}


class LightningDigits(LightningDataModule):
    """The three parts of a data set as DataLoaders.

    Parameters
    ----------
    dataset : ImageDataset
    config : TrainConfig
    """

    def __init__(self, dataset: ImageDataset, config: TrainConfig) -> None:
        super().__init__()
        self.dataset, self.config = dataset, config

    def loader(self, part: str, batch_size: int, shuffle: bool = False) -> DataLoader:
        """Batches of one part; the order of the training part comes from the configuration's seed."""
        images = prepare(getattr(self.dataset, f"{part}_images"), self.config.input_size, self.config.scaling)
        tensors = TensorDataset(images, getattr(self.dataset, f"{part}_labels"))
        generator = torch.Generator().manual_seed(self.config.seed)
        return DataLoader(tensors, batch_size, shuffle=shuffle, generator=generator)

    def train_dataloader(self) -> DataLoader:
        """The part that is learned from, shuffled."""
        return self.loader("train", self.config.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        """The part that the schedule watches."""
        return self.loader("validation", 1_000)

    def test_dataloader(self) -> DataLoader:
        """The part that is read once."""
        return self.loader("test", 1_000)


_PARTS = ("train", "validation", "test")


def fit(
    dataset: ImageDataset,
    config: TrainConfig | None = None,
    make_module=LightningLeNet1,
    make_data=LightningDigits,
) -> tuple[nn.Module, dict[str, float]]:
    """Train with Lightning's Trainer, then read the test part once.

    Parameters
    ----------
    dataset : ImageDataset
    config : TrainConfig, optional
        By default R3's.
    make_module, make_data : callable
        Take the configuration, and data set and configuration.

    Returns
    -------
    module : LightningModule
    measured : dict of str to float
        Lightning's names and values, for instance ``"test_accuracy"``.

    Raises
    ------
    ImportError
        If Lightning is not installed; the message says how to get it.
    """
    if not IS_INSTALLED:
        raise ImportError(HOW_TO_INSTALL)
    config = config or RECIPES["R3"].config
    module, data = seeded(lambda: make_module(config), config.seed), make_data(dataset, config)
    with quiet():
        trainer = Trainer(
            max_epochs=config.num_epochs,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        trainer.fit(module, data)
        measured = {name: float(value) for name, value in trainer.callback_metrics.items()}
        trainer.test(module, data, verbose=False)
    return module, measured | {name: float(value) for name, value in trainer.callback_metrics.items()}


@contextmanager
def quiet() -> Iterator[None]:
    """Without Lightning's notes on devices, its advice to load images in several processes (they lie in memory), and
    its use of a name that torch has deprecated."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for message in (".*does not have many workers.*", ".*isinstance.treespec, LeafSpec.* is deprecated"):
                warnings.filterwarnings("ignore", message=message)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
