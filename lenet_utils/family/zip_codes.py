"""The zip-code network of 1989, trained as its paper says on the digits of its group, and what 33 years changed.

The digits are those that AT&T's group gave away, 7,291 and 2,007 as in 1989; that they are the same pixels is likely,
and not proven.  Everything random comes from a run's seed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import partial
from typing import NamedTuple

import numba
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, interpolate, one_hot

from lenet_utils import downloads
from lenet_utils.data import load
from lenet_utils.family.networks import BACKGROUND, ZipNet1989
from lenet_utils.family.zip_step import ZipSteps
from lenet_utils.models import seeded
from lenet_utils.paths import data_dir
from lenet_utils.run_store import Experiment, Run

NUM_HELD_OUT = 1_291  # of the training digits, the last, where settings are chosen


class ZipDigits(NamedTuple):
    """Images (N, 16, 16), float64, from -1 (paper) to 1 (ink), and labels (N,), of a part."""

    images: Tensor
    labels: Tensor


@dataclass(frozen=True)
class ZipConfig:
    """How the network of 1989 is trained; the defaults are the paper's where it says, else chosen on held-out digits.

    Attributes
    ----------
    squash, spread, probabilities
        As in :class:`lenet_utils.family.networks.ZipNet1989`; with probabilities the outputs are linear, and the loss
        is cross-entropy instead of the squared error to ±1.
    optimizer : {"sgd", "adamw"}
    rate, last_rate : float
        In the first pass and, by equal steps, in the last.
    num_passes : int
    shifts : bool
        Move each digit by up to one pixel along each axis, anew in each pass.
    dropout : float
        The share of H2's units that is silent for each pattern.
    held_out : bool
        Learn from the first 6,000 digits, and test on the other 1,291 training digits.
    """

    squash: str = "scaled"
    spread: float = 1.0
    probabilities: bool = False
    optimizer: str = "sgd"
    rate: float = 0.003
    last_rate: float = 0.003
    num_passes: int = 23
    shifts: bool = False
    dropout: float = 0.0
    held_out: bool = False


def zip_digits(stand_in: bool = False) -> tuple[dict[str, ZipDigits], str]:
    """The 16×16 pixels of parts ``"train"`` (N = 7,291) and ``"test"`` (2,007), in the files' order; and the source.

    With ``stand_in``, these are scikit-learn's digits, 1,397 and 400 of them, where USPS cannot be had or
    ``LENET_DATASET`` says "digits".

    Raises
    ------
    lenet_utils.downloads.DataError
        As :func:`lenet_utils.downloads.read_usps` does; not with ``stand_in``.
    """
    if stand_in and os.environ.get("LENET_DATASET") == "digits":
        return _small_digits("as LENET_DATASET says")
    try:
        digits, checksum = downloads.read_usps(data_dir())
    except downloads.DataError as error:
        if not stand_in:
            raise
        return _small_digits(f"for {error}")
    parts = {part: ZipDigits(images.double() / 127.5 - 1, labels.long()) for part, (images, labels) in digits.items()}
    return parts, f"the zip-code digits of USPS, 16×16 pixels (MD5 of the digits {checksum})"


def _small_digits(why: str) -> tuple[dict[str, ZipDigits], str]:
    """Scikit-learn's digits at the size of zip codes; a whole source says why they stand in."""
    dataset = load("digits")
    learned = [
        torch.cat(pair)
        for pair in (
            (dataset.train_images, dataset.validation_images),
            (dataset.train_labels, dataset.validation_labels),
        )
    ]
    parts = {
        part: ZipDigits(interpolate(images[:, None].double(), (16, 16), mode="area")[:, 0] / 127.5 - 1, labels.long())
        for part, (images, labels) in {"train": learned, "test": (dataset.test_images, dataset.test_labels)}.items()
    }
    return parts, f"{dataset.source}, made 16×16, in place of the zip codes, {why}"


def measure(run: Run, config: ZipConfig) -> None:
    """Carry a run on to its end, pass by pass."""
    digits, source = zip_digits()
    run.begin(source, torch.device("cpu"))
    run.sessions[-1]["engine"] = f"Numba {numba.__version__}"
    if config.held_out:
        train = digits["train"]
        digits = {
            "train": ZipDigits(*(tensor[:-NUM_HELD_OUT] for tensor in train)),
            "test": ZipDigits(*(tensor[-NUM_HELD_OUT:] for tensor in train)),
        }
    model = seeded(lambda: ZipNet1989(config.squash, config.spread, config.probabilities), run.seed).double()
    steps = ZipSteps(model, config.squash, config.optimizer, config.dropout)
    if run.passes:
        steps.load_state(run.state)
    for number in range(len(run.passes) + 1, config.num_passes + 1):
        done = (number - 1) / max(config.num_passes - 1, 1)
        rate = config.rate + done * (config.last_rate - config.rate)
        images, labels = digits["train"]
        seed = 1_000 * run.seed + number
        wrong, loss = steps.learn(shifted(images, seed) if config.shifts else images, labels, rate, seed)
        measured = {"pass": number, "rate": rate, "online_wrong": wrong, "online_loss": loss / len(labels)}
        for part, (images, labels) in digits.items():
            measured |= {f"{part}_{what}": value for what, value in judge(model, images, labels).items()}
        over = number == config.num_passes
        if not run.finish_pass(measured, steps.state(), complete=over):
            break


def shifted(images: Tensor, seed: int) -> Tensor:
    """Each image (N, 16, 16) moved by -1, 0 or 1 pixels along each axis; what comes in is background."""
    ways = torch.randint(3, (len(images), 2), generator=torch.Generator().manual_seed(seed))
    padded = torch.nn.functional.pad(images, (1, 1, 1, 1), value=BACKGROUND)
    moved = torch.empty_like(images)
    for down in range(3):
        for right in range(3):
            chosen = (ways == torch.tensor([down, right])).all(1)
            moved[chosen] = padded[chosen, down : down + 16, right : right + 16]
    return moved


def judge(model: ZipNet1989, images: Tensor, labels: Tensor) -> dict[str, float]:
    """How many images (N, 16, 16) are misread, of how many, and the mean loss."""
    with torch.no_grad():
        outputs = torch.cat([model(batch[:, None]) for batch in images.split(1_000)])
    if model.linear_outputs:
        loss = cross_entropy(outputs, labels)
    else:
        loss = (outputs - (2 * one_hot(labels, 10) - 1)).square().mean()
    wrong = int((outputs.argmax(1) != labels).sum())
    return {"size": len(labels), "wrong": wrong, "error": 100 * wrong / len(labels), "loss": float(loss)}


def _experiment(name: str, summary: str, seeds: Iterable[int], **changes: object) -> Experiment:
    config = ZipConfig(**changes)
    return Experiment(name, summary, partial(measure, config=config), asdict(config), tuple(seeds))


def _search(squash: str, spread: float, rate: float) -> Experiment:
    """One that chooses: seeds below 100, and held-out digits instead of test digits."""
    name = f"zip-search-{squash}-{'root' if spread == 0.5 else 'plain'}-{rate:g}"
    what = {"squash": squash, "spread": spread, "rate": rate, "last_rate": rate}
    return _experiment(name, f"chosen among: {what}", range(3), held_out=True, **what)


TEN, FIVE = range(100, 110), range(100, 105)  # seeds that report have chosen nothing
ADAMW = {"probabilities": True, "optimizer": "adamw", "rate": 3e-4, "last_rate": 1e-4}
RELU = {"squash": "relu", "dropout": 0.25}
SEARCH = [  # squashing and start at one rate, then other rates for the better start
    *(_search(squash, spread, 0.01) for squash in ("scaled", "tanh") for spread in (0.5, 1.0)),
    *(_search(squash, 1.0, rate) for squash in ("scaled", "tanh") for rate in (0.003, 0.03)),
]
CHANGES = [  # each with those before it, as Karpathy (2022) made them
    _experiment("zip-1989", "the zip-code network of 1989, as published", TEN),
    _experiment("zip-cross-entropy", "with softmax and cross-entropy", FIVE, probabilities=True),
    _experiment("zip-adamw", "and by AdamW", FIVE, **ADAMW),
    _experiment("zip-shifts", "and on shifted digits, for 60 passes", FIVE, **ADAMW, num_passes=60, shifts=True),
    _experiment("zip-relu", "and with dropout and ReLU, for 80", FIVE, **ADAMW, num_passes=80, shifts=True, **RELU),
]
CONTROLS = [  # as many passes as the next change has, without it
    _experiment("zip-adamw-long", "by AdamW, for 60 passes", FIVE, **ADAMW, num_passes=60),
    _experiment("zip-shifts-long", "on shifted digits, for 80", FIVE, **ADAMW, num_passes=80, shifts=True),
]
EXPERIMENTS = {experiment.name: experiment for experiment in (*CHANGES, *CONTROLS, *SEARCH)}
