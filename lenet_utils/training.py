"""The loop: data resident on the device, batches as slices, everything from one seed."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from lenet_utils import checkpoints
from lenet_utils.config import OPTIMIZERS, History, TrainConfig, TrainingError
from lenet_utils.data import ImageDataset, prepare
from lenet_utils.models import seeded


def pick_device() -> torch.device:
    """The device to compute on: what ``LENET_DEVICE`` names, else CUDA, else MPS, else the CPU.

    Raises
    ------
    ValueError
        If ``LENET_DEVICE`` names a device that this machine or this build of torch does not have.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    present = [name for name, there in available.items() if there]
    wanted = os.environ.get("LENET_DEVICE") or present[0]
    kind, _, index = wanted.partition(":")
    count = torch.cuda.device_count() if kind == "cuda" else 1
    if kind not in present or (":" in wanted and not (index.isdigit() and int(index) < count)):
        raise ValueError(f"LENET_DEVICE={wanted!r} is not available here: choose one of {', '.join(present)}.")
    return torch.device(wanted)


def default_config(dataset: ImageDataset) -> TrainConfig:
    """The book's own recipe for a data set: two epochs, and on a small one as many as show 15,000 images (at most 20).

    Examples
    --------
    >>> from lenet_utils.data import load
    >>> default_config(load("digits")).num_epochs
    13
    """
    return TrainConfig(num_epochs=min(20, max(2, math.ceil(15_000 / len(dataset.train_images)))))


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """The optimizer that ``config`` describes, over all parameters of ``model``."""
    extra = {"momentum": config.momentum} if config.optimizer == "sgd" else {}
    return OPTIMIZERS[config.optimizer](
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, **extra
    )


def train(
    model: nn.Module,
    dataset: ImageDataset,
    config: TrainConfig | None = None,
    progress: bool = True,
    *,
    loss: Callable[[Tensor, Tensor], Tensor] = functional.cross_entropy,
    on_epoch: Callable[[History], None] | None = None,
) -> History:
    """Train ``model`` in place on the training part, judge it on the validation part after each epoch.

    The test part is not touched.  Images are prepared once and stay on the device; a batch is a slice of a random
    order, and the last one may be smaller: no image is dropped.

    Parameters
    ----------
    model : torch.nn.Module
        Maps float images (N, 1, H, W) to outputs (N, num_classes); it is moved to :func:`pick_device`'s choice.
        One whose attribute ``channels_last`` is true must not care in which order its maps lie in memory
        (``flatten`` does not, ``view`` does): on a CPU it learns in the order that is faster.
    dataset : ImageDataset
    config : TrainConfig, optional
        By default :func:`default_config`'s.
    progress : bool
        Show a progress bar, and one line for each epoch.
    loss : callable
        Takes outputs and labels, returns the mean loss of the batch.
    on_epoch : callable, optional
        Called with the history so far after each epoch, for instance to redraw a curve.

    Returns
    -------
    History

    Raises
    ------
    TrainingError
        At the first step whose loss is not finite.
    ValueError
        If the network has fewer outputs than the data set has classes.
    """
    config = config or default_config(dataset)
    device = pick_device()
    model.to(device)
    images = prepare(dataset.train_images, config.input_size, config.scaling).to(device)
    labels = dataset.train_labels.to(device)
    held_out = prepare(dataset.validation_images, config.input_size, config.scaling).to(device)
    held_out_labels = dataset.validation_labels.to(device)

    steps_per_epoch = math.ceil(len(images) / config.batch_size)
    optimizer = make_optimizer(model, config)
    schedule = _make_schedule(optimizer, config, config.num_epochs * steps_per_epoch)
    generator = torch.Generator().manual_seed(config.seed)
    history = History(config, dataset.name, device.type)
    bar = tqdm(
        total=config.num_epochs * steps_per_epoch, unit="step", leave=False, disable=not (progress and is_watched())
    )

    with bar, _fast_order(model, device):
        for epoch in range(1, config.num_epochs + 1):
            model.train()
            start = time.perf_counter()
            order = torch.randperm(len(images), generator=generator).to(device)
            losses, wrong = [], torch.zeros((), dtype=torch.long, device=device)
            for batch in order.split(config.batch_size):
                outputs = model(images[batch])
                if not history.learning_rates:
                    _check_classes(outputs, dataset)
                batch_loss = loss(outputs, labels[batch])
                optimizer.zero_grad()
                batch_loss.backward()
                optimizer.step()
                history.learning_rates.append(optimizer.param_groups[0]["lr"])
                if schedule and config.schedule == "one-cycle":
                    schedule.step()
                losses.append(batch_loss.detach())
                wrong += (winners(model, outputs) != labels[batch]).sum()
                if len(losses) % 20 == 0 or len(losses) == steps_per_epoch:
                    _check_finite(losses, history)
                bar.update()
            sizes = torch.tensor([len(batch) for batch in order.split(config.batch_size)], dtype=torch.float64)
            values = torch.stack(losses).cpu().double()  # Apple's GPUs have no float64
            history.seconds += time.perf_counter() - start
            history.step_losses += values.tolist()
            history.train_loss.append(float((values * sizes).sum() / sizes.sum()))
            history.train_error.append(100 * int(wrong) / len(images))
            validation_loss, validation_error = _judge(model, held_out, held_out_labels, loss)
            history.validation_loss.append(validation_loss)
            history.validation_error.append(validation_error)
            history.images_per_second = epoch * len(images) / history.seconds
            if schedule and config.schedule == "plateau":
                schedule.step(validation_loss)
            if progress:
                bar.write(
                    f"epoch {epoch:2d}/{config.num_epochs}  train loss {history.train_loss[-1]:.4f}  "
                    f"train error {history.train_error[-1]:5.2f} %  validation error {validation_error:5.2f} %",
                    file=sys.stdout,
                )
            if on_epoch:
                on_epoch(history)
    return history


def trained(
    make_model: Callable[[], nn.Module],
    dataset: ImageDataset,
    config: TrainConfig | None = None,
    progress: bool = True,
    cache_dir: Path | None = None,
) -> tuple[nn.Module, History]:
    """A network trained as ``config`` says: loaded if that was done before on this machine, else trained and kept.

    Parameters
    ----------
    make_model : callable
        Takes nothing and returns the network; its initial weights are drawn from ``config.seed``.
    dataset, config, progress
        As in :func:`train`.
    cache_dir : pathlib.Path, optional
        See :func:`lenet_utils.checkpoints.cache_dir`.

    Returns
    -------
    model : torch.nn.Module
        In evaluation mode, on :func:`pick_device`'s choice.
    history : History
        As it was recorded when the network was trained.

    Notes
    -----
    The file is named by a fingerprint of initial weights, structure, data, configuration, code, versions and device,
    so a change of any of them trains anew.  A damaged file counts as none.  Where nothing can be stored, training is
    simply repeated next time.
    """
    config = config or default_config(dataset)
    device = pick_device()
    model = seeded(make_model, config.seed)
    name = checkpoints.combined_fingerprint(
        weights=checkpoints.state_fingerprint(model.state_dict()),
        structure=repr(model),
        data=checkpoints.dataset_fingerprint(dataset),
        config=asdict(config),
        code=checkpoints.code_fingerprint(),
        device=f"{device}, {torch.get_num_threads()} threads",
    )
    path = (cache_dir or checkpoints.cache_dir()) / f"{type(model).__name__}-{dataset.name}-{name}.pt"
    with checkpoints.exclusively(path):
        kept = checkpoints.load(path)
        if isinstance(kept, dict) and kept.keys() == {"model", "history"}:
            try:
                found = History(config=config, **kept["history"])
                model.load_state_dict(kept["model"])
                return model.to(device).eval(), found
            except (RuntimeError, TypeError, AttributeError):  # not what was kept
                model = seeded(make_model, config.seed)
        history = train(model, dataset, config, progress)
        record = {key: value for key, value in vars(history).items() if key != "config"}
        try:
            checkpoints.save(path, {"model": model.state_dict(), "history": record})
        except OSError as error:
            print(f"The trained network was not kept: {path.parent} cannot be written ({error.strerror}).")
        return model, history


@contextmanager
def _fast_order(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Let a model that allows it learn with channels innermost on a CPU; afterwards it is as it was, and judges."""
    if device.type == "cpu" and getattr(model, "channels_last", False):
        model.to(memory_format=torch.channels_last)
    try:
        yield
    finally:
        model.to(memory_format=torch.contiguous_format).eval()


def winners(model: nn.Module, outputs: Tensor) -> Tensor:
    """The class that each row of ``outputs`` (N, num_classes) stands for: the largest, or the smallest penalty."""
    return outputs.argmin(1) if getattr(model, "smallest_wins", False) else outputs.argmax(1)


def _make_schedule(optimizer, config: TrainConfig, num_steps: int):
    if config.schedule == "one-cycle":
        return torch.optim.lr_scheduler.OneCycleLR(optimizer, config.learning_rate, total_steps=num_steps + 1)
    if config.schedule == "plateau":
        return torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, factor=config.plateau_factor, patience=config.plateau_patience
        )
    return None


def _check_classes(outputs: Tensor, dataset: ImageDataset) -> None:
    wanted = len(dataset.class_names)
    if outputs.ndim != 2 or outputs.shape[1] < wanted:
        raise ValueError(
            f"Expected an output for each of the {wanted} classes of {dataset.title}, (N, {wanted}); the network gives "
            f"shape {tuple(outputs.shape)}: build it with num_classes={wanted}."
        )


def _check_finite(losses: list[Tensor], history: History) -> None:
    recent = torch.stack(losses[-20:])
    if not torch.isfinite(recent).all():
        first = len(losses) - len(recent) + int((~torch.isfinite(recent)).nonzero()[0])
        step = len(history.step_losses) + first
        raise TrainingError(
            f"The loss became {float(losses[first])} at step {step + 1}, where the learning rate was "
            f"{history.learning_rates[step]:g}: lower it, or check the scale of the images."
        )


@torch.no_grad()
def _judge(model: nn.Module, images: Tensor, labels: Tensor, loss) -> tuple[float, float]:
    """Mean loss and error rate in per cent, over all images."""
    model.eval()
    total, wrong = 0.0, 0
    for x, y in zip(images.split(1_000), labels.split(1_000), strict=True):
        outputs = model(x)
        total += float(loss(outputs, y)) * len(x)
        wrong += int((winners(model, outputs) != y).sum())
    return total / len(images), 100 * wrong / len(images)


def is_watched() -> bool:
    """Whether somebody watches: a terminal or a live notebook, not the book's build (which sets LENET_PROGRESS=0)."""
    return os.environ.get("LENET_PROGRESS", "1") != "0" and (sys.stderr.isatty() or "ipykernel" in sys.modules)
