"""Try your own: one call that varies a small network and its training, and compares the runs."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from torch import Tensor, nn
from tqdm import tqdm

from lenet_utils.arguments import check_count, checked
from lenet_utils.checks import check_images, choose
from lenet_utils.data import ImageDataset
from lenet_utils.device import is_watched
from lenet_utils.models import ACTIVATIONS, POOLINGS, seeded
from lenet_utils.plotting import COLOURS
from lenet_utils.recipes.networks import xavier_uniform
from lenet_utils.tables import Table
from lenet_utils.training import History, TrainConfig, TrainingError, train

DEFAULTS: dict[str, object] = {
    "learning_rate": 0.003,
    "batch_size": 64,
    "activation": "tanh",
    "pooling": "average",
    "added_convolutions": 0,
}
"""What may be varied, and the value that each setting has otherwise."""


class SweepNet(nn.Module):
    """R3's network (:class:`lenet_utils.recipes.networks.FullLeNet1`) with parts to exchange.

    Parameters
    ----------
    activation : {"tanh", "relu", "sigmoid"}
    pooling : {"average", "max"}
    added_convolutions : int
        How many layers of 3×3 kernels, which keep the size of their maps, stand between C3 and S4.
    """

    input_shape = (1, 28, 28)
    channels_last = True

    @checked
    def __init__(self, activation: str = "tanh", pooling: str = "average", added_convolutions: int = 0) -> None:
        super().__init__()
        check_count("added_convolutions", added_convolutions, 0, 1_000)
        squash, pool = choose("activation", activation, ACTIVATIONS), choose("pooling", pooling, POOLINGS)
        added = [[nn.Conv2d(12, 12, kernel_size=3, padding=1), squash()] for _ in range(added_convolutions)]
        self.layers = nn.Sequential(
            *(nn.Conv2d(1, 4, kernel_size=5), squash(), pool(2)),  # (N, 4, 12, 12)
            *(nn.Conv2d(4, 12, kernel_size=5), squash(), *itertools.chain(*added), pool(2)),  # (N, 12, 4, 4)
            *(nn.Flatten(), nn.Linear(192, 10)),  # (N, 10)
        )
        xavier_uniform(self, zero_biases=True)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of shape (N, 10) for images of shape (N, 1, 28, 28), float."""
        check_images(images, *self.input_shape[:2], self)
        return self.layers(images)


@dataclass(frozen=True)
class SweepRun:
    """One run of a comparison.

    Attributes
    ----------
    settings : dict
        What was varied, and how it was set here.
    num_parameters : int
    history : History or None
        None if the run diverged.
    trouble : str
        Then, what happened.
    seconds : float
    """

    settings: dict[str, object]
    num_parameters: int
    history: History | None
    trouble: str
    seconds: float

    @property
    def error(self) -> float:
        """Validation error at the end, in per cent; NaN if the run diverged."""
        return self.history.validation_error[-1] if self.history else float("nan")


@dataclass(frozen=True)
class Comparison:
    """What :func:`compare` found.

    Attributes
    ----------
    varied : dict of str to list
        The settings that take more than one value.
    runs : list of SweepRun
        In the order in which they ran.
    title : str
        Which data, and how much of it.
    """

    varied: dict[str, list]
    runs: list[SweepRun]
    title: str

    @property
    def best(self) -> SweepRun:
        """The run with the smallest validation error."""
        return min(self.runs, key=lambda run: np.nan_to_num(run.error, nan=np.inf))

    def table(self) -> Table:
        """All runs, best first."""
        ordered = sorted(self.runs, key=lambda run: np.nan_to_num(run.error, nan=np.inf))
        error, seconds = "validation error (%)", "seconds"
        rows = [
            {
                **{name.replace("_", " "): _text(value) for name, value in run.settings.items()},
                "parameters": run.num_parameters,
                error: f"{run.error:.1f}" if run.history else "diverged",
                seconds: run.seconds,
            }
            for run in ordered
        ]
        return Table(rows, self.title, formats={seconds: ".1f"})

    def plot(self, ax: Axes | None = None) -> Axes:
        """The errors: a grid when two settings vary, else a bar for each run."""
        errors = np.array([run.error for run in self.runs])
        names = [name.replace("_", " ") for name in self.varied]
        values = [[_text(value) for value in values] for values in self.varied.values()]
        return plot_sweep(errors, names, values, ax)


@checked
def compare(
    dataset: ImageDataset,
    *,
    num_train: int = 3_000,
    num_epochs: int = 4,
    seed: int = 0,
    progress: bool = True,
    **settings: object,
) -> Comparison:
    """Train a small network once for every combination of settings, and compare validation errors.

    Parameters
    ----------
    dataset : ImageDataset
    num_train : int
        Learn from the first so many training images; no more validation images are used either.
    num_epochs : int
    seed : int
        The same for all runs, so that they see the images in the same order.
    progress : bool
        Show a progress bar, where somebody watches.
    **settings
        One value or several of ``learning_rate``, ``batch_size``, ``activation``, ``pooling``, ``added_convolutions``;
        those not named are as in :data:`DEFAULTS`.

    Returns
    -------
    Comparison
        A run that diverges is kept as such, and the others go on.

    Raises
    ------
    ValueError
        If a setting is unknown, or one of its values is none it can take.

    Examples
    --------
    >>> from lenet_utils.data import load
    >>> found = compare(load("digits"), num_train=200, num_epochs=1, activation=["tanh", "relu"])
    >>> [run.settings["activation"] for run in found.runs]
    ['tanh', 'relu']
    """
    for name in settings:
        choose("setting", name, DEFAULTS)
    options = {name: _as_list(settings.get(name, default)) for name, default in DEFAULTS.items()}
    varied = {name: options[name] for name in settings if len(options[name]) > 1}
    combinations = [dict(zip(options, values, strict=True)) for values in itertools.product(*options.values())]
    combinations.sort(key=lambda c: [values.index(c[name]) for name, values in varied.items()])
    planned = [(c, *_prepare(c, num_epochs, seed)) for c in combinations]  # so that bad values are refused at once
    few = _shorten(dataset, num_train)
    shown = tqdm(planned, unit="run", leave=False, disable=not (progress and is_watched()))
    runs = []
    for combination, model, config in shown:
        shown.set_postfix({name: combination[name] for name in varied})
        runs.append(_run({name: combination[name] for name in settings}, model, few, config))
    count = f"{len(few.train_images):,} training images of {dataset.title}, {num_epochs} epochs"
    return Comparison(varied, runs, f"{len(runs)} runs on {count}")


@checked
def plot_sweep(
    errors: np.ndarray, names: Sequence[str], values: Sequence[Sequence[str]], ax: Axes | None = None
) -> Axes:
    """Error rates in per cent of all combinations of settings, NaN where there is none.

    Parameters
    ----------
    errors : numpy.ndarray, shape (product of the numbers of values,)
        The last setting varies fastest.
    names : sequence of str
        Of the settings; with two, the errors are drawn as a grid, else as bars.
    values : sequence of sequences of str
        What each setting was set to.
    """
    if len(names) != len(values) or errors.shape != (math.prod(map(len, values)),) or not errors.size:
        raise ValueError(
            f"Expected one error for each combination of values, and a name for each setting; got {errors.shape}, "
            f"{len(names)} names and {[len(one) for one in values]} values."
        )
    if len(names) == 2:
        rows, columns = values
        ax = ax or plt.subplots(figsize=(1.6 + 0.9 * len(columns), 1.1 + 0.6 * len(rows)))[1]
        grid = errors.reshape(len(rows), len(columns))
        shades = np.zeros((*grid.shape, 4))
        shades[..., :3] = mpl.colors.to_rgb(COLOURS[1])
        shades[..., 3] = 0.75 * np.nan_to_num(grid, nan=100) / 100
        ax.imshow(shades, aspect="auto")
        for (row, column), error in np.ndenumerate(grid):
            text = "diverged" if np.isnan(error) else f"{error:.1f}"
            weight = "bold" if error == np.nan_to_num(grid, nan=np.inf).min() else "normal"
            ax.text(column, row, text, ha="center", va="center", weight=weight)
        ax.set_xticks(range(len(columns)), columns)
        ax.set_yticks(range(len(rows)), rows)
        ax.set(xlabel=names[1], ylabel=names[0], title="validation error (%)")
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        return ax
    labels = [", ".join(combination) for combination in itertools.product(*values)]
    ax = ax or plt.subplots(figsize=(5.4, 0.8 + 0.32 * len(labels)))[1]
    bars = ax.barh(range(len(labels)), np.nan_to_num(errors), color=COLOURS[0])
    ax.bar_label(bars, ["diverged" if np.isnan(error) else f"{error:.1f}" for error in errors], padding=3)
    ax.set_yticks(range(len(labels)), labels)
    ax.invert_yaxis()
    ax.margins(x=0.15)
    ax.set(xlabel="validation error (%)", ylabel=", ".join(names))
    return ax


def _prepare(combination: dict, num_epochs: int, seed: int) -> tuple[nn.Module, TrainConfig]:
    network = {name: combination[name] for name in ("activation", "pooling", "added_convolutions")}
    config = TrainConfig(
        num_epochs=num_epochs,
        batch_size=combination["batch_size"],
        learning_rate=combination["learning_rate"],
        schedule="constant",
        input_size=28,
        scaling="unit",
        seed=seed,
    )
    return seeded(lambda: SweepNet(**network), seed), config


def _run(settings: dict, model: nn.Module, dataset: ImageDataset, config: TrainConfig) -> SweepRun:
    start, trouble = time.perf_counter(), ""
    try:
        history = train(model, dataset, config, progress=False)
    except TrainingError as error:
        history, trouble = None, str(error)
    count = sum(p.numel() for p in model.parameters())
    return SweepRun(settings, count, history, trouble, time.perf_counter() - start)


def _shorten(dataset: ImageDataset, num: int) -> ImageDataset:
    few = dataset.subset(min(num, len(dataset.train_images)))
    return replace(few, validation_images=few.validation_images[:num], validation_labels=few.validation_labels[:num])


def _as_list(value: object) -> list:
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    values = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    if not values:
        raise ValueError("A setting needs at least one value; got none.")
    return values


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
