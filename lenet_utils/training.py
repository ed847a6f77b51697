"""The loop: data resident on the device, batches as slices, everything from one seed."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from lenet_utils.arguments import checked
from lenet_utils.checks import choose
from lenet_utils.data import ImageDataset
from lenet_utils.device import is_watched, pick_device
from lenet_utils.evaluation import evaluate, predicted_classes
from lenet_utils.optimizers import OPTIMIZERS, SCHEDULES, make_optimizer, make_schedule
from lenet_utils.preprocessing import SCALINGS, prepare


class TrainingError(RuntimeError):
    """Training cannot go on; the message names the step and the learning rate."""


@checked
@dataclass(frozen=True)
class TrainConfig:
    """All that a training run depends on, besides the network and the data.

    The book's own recipe is :func:`default_config`'s.

    Parameters
    ----------
    num_epochs, batch_size : int
    optimizer : {"adam", "adamw", "muon", "sgd"}
    learning_rate : float
        The peak rate under ``"one-cycle"``.
    matrix_rate : float
        That of the weight matrices under Muon; see :class:`lenet_utils.optimizers.Muon`.  The others ignore it.
    momentum : float
        Of SGD; the others ignore it.
    betas : tuple of float
        Of Adam, AdamW and Muon; SGD ignores them.
    weight_decay : float
    label_smoothing : float
        Share of the target that is spread evenly over all classes, for the cross-entropy (Szegedy et al. 2016).
    schedule : {"one-cycle", "constant", "plateau"}
        ``"plateau"`` multiplies the rate by ``plateau_factor`` when the validation loss has not improved for
        ``plateau_patience`` epochs.
    momentum_range : tuple of float, optional
        Between which ``"one-cycle"`` moves momentum or the first beta, against the rate; None leaves them alone.
    averaged_steps : int
        At the end, the weights become the mean of those after the last so many steps.
    input_size, scaling : int, str
        How pixels become input; see :func:`lenet_utils.preprocessing.prepare`.
    seed : int
        Decides the order of the images and, in :func:`lenet_utils.checkpoints.trained`, the initial weights.
    """

    num_epochs: int = 2
    batch_size: int = 128
    optimizer: str = "adam"
    learning_rate: float = 0.015
    matrix_rate: float = 0.02
    momentum: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    schedule: str = "one-cycle"
    plateau_factor: float = 0.1
    plateau_patience: int = 10
    momentum_range: tuple[float, float] | None = (0.85, 0.95)
    averaged_steps: int = 0
    input_size: int = 32
    scaling: str = "standard"
    seed: int = 0

    def __post_init__(self) -> None:
        choose("optimizer", self.optimizer, OPTIMIZERS)
        choose("schedule", self.schedule, dict.fromkeys(SCHEDULES))
        choose("scaling", self.scaling, SCALINGS)
        for name in ("num_epochs", "batch_size", "input_size", "learning_rate", "matrix_rate", "plateau_factor"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be positive and finite; got {getattr(self, name)}.")
        for name in ("averaged_steps", "plateau_patience", "weight_decay", "seed"):
            if not 0 <= getattr(self, name) < 2**63:
                raise ValueError(f"{name} must not be negative, nor beyond all bounds; got {getattr(self, name)}.")
        shares = [(name, (getattr(self, name),)) for name in ("label_smoothing", "momentum")]
        for name, values in (*shares, ("betas", self.betas), ("momentum_range", self.momentum_range or ())):
            if not all(0 <= value < 1 for value in values):
                raise ValueError(f"{name} must lie in 0..1, below 1; got {', '.join(map(str, values))}.")


@dataclass
class History:
    """What happened in a run, epoch by epoch; losses are means over all images of an epoch, errors are in per cent.

    ``train_*`` are taken while learning, so that they average over the weights of the whole epoch; ``validation_*``
    are taken at its end.  ``interrupted`` says that somebody stopped the run before its end.
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
    interrupted: bool = False

    def rows(self, watched: str = "validation") -> list[dict]:
        """A line for each epoch, as stored runs keep them; ``watched`` is what the validation part stood for."""
        columns = (self.train_loss, self.train_error, self.validation_loss, self.validation_error)
        names = ("epoch", "train_loss", "train_error", f"{watched}_loss", f"{watched}_error")
        epochs = range(1, len(self.train_loss) + 1)
        return [dict(zip(names, values, strict=True)) for values in zip(epochs, *columns, strict=True)]

    def speed(self) -> dict[str, float]:
        """How long the training took, without judging, and how many images it learned in a second."""
        return {"train_seconds": self.seconds, "images_per_second": self.images_per_second}


@checked
def default_config(dataset: ImageDataset) -> TrainConfig:
    """The book's own recipe for a data set: two epochs, and on a small one as many as show 15,000 images (at most 20).

    Chosen by experiments ``lenet5-search`` and ``lenet5-search-muon``, with seeds below 100; this one reports.

    Examples
    --------
    >>> from lenet_utils.data import load
    >>> default_config(load("digits")).num_epochs
    13
    """
    num_epochs = min(20, max(2, math.ceil(15_000 / len(dataset.train_images))))
    chosen = {"optimizer": "muon", "betas": (0.9, 0.98), "momentum_range": None, "label_smoothing": 0.1}
    return TrainConfig(num_epochs=num_epochs, **chosen, seed=100)


@checked
def train(
    model: nn.Module,
    dataset: ImageDataset,
    config: TrainConfig | None = None,
    progress: bool = True,
    *,
    loss: Callable[[Tensor, Tensor], Tensor] | None = None,
    on_epoch: Callable[[History], None] | None = None,
) -> History:
    """Train ``model`` in place on the training part, judge it on the validation part after each epoch.

    The test part is not touched.  Images are prepared once and stay on the device; a batch is a slice of a random
    order, and the last one may be smaller: no image is dropped.

    Parameters
    ----------
    model : torch.nn.Module
        Maps float images (N, 1, H, W) to outputs (N, num_classes); it is moved to the device that
        :func:`lenet_utils.device.pick_device` chooses.  One whose attribute ``channels_last`` is true must not care in
        which order its maps lie in memory (``flatten`` does not, ``view`` does): on a CPU it takes the faster one.
    dataset : ImageDataset
    config : TrainConfig, optional
        By default :func:`default_config`'s.
    progress : bool
        Show a progress bar, and one line for each epoch; and end well when interrupted.
    loss : callable, optional
        Takes outputs and labels, returns the mean loss of the batch; by default the cross-entropy, smoothed as
        ``config`` says while learning and plain on the validation part.
    on_epoch : callable, optional
        Called with the history so far after each epoch, for instance to redraw a curve.

    Returns
    -------
    History
        Of the whole epochs, if the run was interrupted (by Ctrl-C, or a notebook's stop button); the model keeps what
        it has learned until then, and a line says how far it came.

    Raises
    ------
    TrainingError
        At the first step whose loss is not finite, or if the last step leaves weights that are not.
    ValueError
        If the network has fewer outputs than the data set has classes.
    """
    config = config or default_config(dataset)
    learned = loss or partial(functional.cross_entropy, label_smoothing=config.label_smoothing)
    judged = loss or functional.cross_entropy
    device = pick_device()
    model.to(device)
    images = prepare(dataset.train_images, config.input_size, config.scaling).to(device)
    labels = dataset.train_labels.to(device)
    held_out = prepare(dataset.validation_images, config.input_size, config.scaling).to(device)
    held_out_labels = dataset.validation_labels.to(device)

    steps_per_epoch = math.ceil(len(images) / config.batch_size)
    optimizer = make_optimizer(model, config)
    schedule = make_schedule(optimizer, config, config.num_epochs * steps_per_epoch)
    generator = torch.Generator().manual_seed(config.seed)
    history = History(config, dataset.name, device.type)
    mean = AveragedModel(model) if config.averaged_steps else None
    averaged_from = config.num_epochs * steps_per_epoch - config.averaged_steps
    shown = progress and is_watched()
    file = sys.stdout if "ipykernel" in sys.modules else sys.stderr  # beside the epochs' lines, not red in JupyterLab
    bar = tqdm(total=config.num_epochs * steps_per_epoch, unit="step", leave=False, disable=not shown, file=file)

    with bar, _fast_order(model, device), _until_interrupted(history, bar.total, progress):
        for epoch in range(1, config.num_epochs + 1):
            model.train()
            start = time.perf_counter()
            order = torch.randperm(len(images), generator=generator).to(device)
            losses, wrong = [], torch.zeros((), dtype=torch.long, device=device)
            for batch in order.split(config.batch_size):
                outputs = model(images[batch])
                if not history.learning_rates:
                    _check_classes(outputs, dataset)
                batch_loss = learned(outputs, labels[batch])
                optimizer.zero_grad()
                batch_loss.backward()
                optimizer.step()
                if mean and len(history.learning_rates) >= averaged_from:
                    mean.update_parameters(model)
                history.learning_rates.append(optimizer.param_groups[0]["lr"])
                if schedule and config.schedule == "one-cycle":
                    schedule.step()
                losses.append(batch_loss.detach())
                wrong += (predicted_classes(model, outputs) != labels[batch]).sum()
                if len(losses) % 20 == 0 or len(losses) == steps_per_epoch:
                    _check_finite(losses, history)
                    bar.set_postfix_str(f"error {100 * int(wrong) / (len(losses) * config.batch_size):.1f} %", False)
                bar.update()
            if mean and epoch == config.num_epochs:
                model.load_state_dict(mean.module.state_dict())
            sizes = torch.tensor([len(batch) for batch in order.split(config.batch_size)], dtype=torch.float64)
            values = torch.stack(losses).cpu().double()  # Apple's GPUs have no float64
            history.seconds += time.perf_counter() - start
            history.step_losses += values.tolist()
            history.train_loss.append(float((values * sizes).sum() / sizes.sum()))
            history.train_error.append(100 * int(wrong) / len(images))
            validation_loss, validation_error = evaluate(model, held_out, held_out_labels, judged)
            if not (math.isfinite(validation_loss) and all(bool(p.isfinite().all()) for p in model.parameters())):
                raise _diverged("weights stopped being finite", len(history.step_losses), history)
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


@contextmanager
def _fast_order(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Let a model that allows it learn with channels innermost on a CPU; afterwards it is as it was, and judges."""
    if device.type == "cpu" and getattr(model, "channels_last", False):
        model.to(memory_format=torch.channels_last)
    try:
        yield
    finally:
        model.to(memory_format=torch.contiguous_format).eval()


@contextmanager
def _until_interrupted(history: History, num_steps: int, shown: bool) -> Iterator[None]:
    """Let Ctrl-C, or a notebook's stop button, end the training with what there is."""
    try:
        yield
    except KeyboardInterrupt:
        if not shown:  # a long run, which its own end must not mistake for whole
            raise
        history.interrupted = True
        print(
            f"Interrupted after step {len(history.learning_rates):,} of {num_steps:,}: the network keeps what it has "
            f"learned, the history its {len(history.train_loss)} whole epochs."
        )


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
        raise _diverged(f"loss became {float(losses[first])}", len(history.step_losses) + first + 1, history)


def _diverged(what: str, step: int, history: History) -> TrainingError:
    return TrainingError(
        f"The {what} at step {step}, where the learning rate was {history.learning_rates[step - 1]:g}: lower it, or "
        f"check the scale of the images."
    )
