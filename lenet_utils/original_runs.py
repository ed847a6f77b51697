"""The paper's own training of LeNet-5, and what surrounds it: one pattern at a time, twenty passes, as experiments.

Everything random comes from the run's seed: the initial weights, the order of the patterns (constant over the passes,
as in the paper), the 500 patterns on which second derivatives are estimated before each pass, and the distortions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import partial

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from lenet_utils.compiled import engine, fastest
from lenet_utils.data import ImageDataset, load, pad, prepare
from lenet_utils.distortions import Distortion, distort
from lenet_utils.experiment import Experiment, Run
from lenet_utils.optimizers import MU, NUM_SAMPLES, curvatures, paper_eta
from lenet_utils.original import LeNet5Original

FIRST_STEPS = 50  # after which a run's weights are recorded, so that they can be checked
CHUNK = 5_000  # patterns prepared at once


@dataclass(frozen=True)
class OriginalConfig:
    """What decides a run of LeNet-5 as published, besides the seed.

    The schedule of η is :func:`lenet_utils.optimizers.paper_eta`.

    Parameters
    ----------
    initialisation, reading : str
        Of :class:`lenet_utils.models.LeNet5Original`.
    loss, j
        Of :class:`lenet_utils.optimizers.StochasticDiagonalLM`.
    mu : float
        Of the same.  The paper prints 0.02, for a loss whose scale it leaves open: a loss five times smaller with
        0.02 learns exactly as the loss of equation (9) with 0.1.  The runs named ``original-search-mu`` choose it.
    num_passes, num_samples : int
        Passes through the patterns; patterns on which second derivatives are estimated before each.
    num_train : int, optional
        How many of the training images are used, drawn by the seed; all by default.
    held_out : bool
        Learn without the validation images, and judge by them and not by the test images: for choosing.  Otherwise
        they are learned like the others, as the paper has no validation part, and the test images judge.
    distorted_copies : int
        How many distorted copies of each image join it; they stay the same over the passes.
    distortion : Distortion
    dataset : str
    """

    initialisation: str = "practice"
    reading: str = "average"
    loss: str = "map"
    j: float = 0.1
    mu: float = 0.1
    num_passes: int = 20
    num_samples: int = NUM_SAMPLES
    num_train: int | None = None
    held_out: bool = False
    distorted_copies: int = 0
    distortion: Distortion = field(default_factory=Distortion)
    dataset: str = "mnist"


class Machine:
    """Network, patterns and order of one run.

    Parameters
    ----------
    config : OriginalConfig
    seed : int
    dataset : ImageDataset

    Attributes
    ----------
    model : LeNet5Original
        As it was before the first pass, until :meth:`sync`.
    lean : LeanLeNet5
        What learns.
    images, labels : torch.Tensor, (N, 32, 32) uint8, (N,) int64
        The undistorted training patterns.
    judges : dict of (images, labels)
        On what errors are counted after a pass: ``"train"``, and ``"test"`` or ``"validation"``.
    """

    def __init__(self, config: OriginalConfig, seed: int, dataset: ImageDataset) -> None:
        self.config, self.seed, self.dataset = config, seed, dataset
        images, labels = dataset.train_images, dataset.train_labels
        held_out = dataset.validation_images, dataset.validation_labels
        self.judges = {"validation": held_out}
        if not config.held_out:
            images, labels = (torch.cat(parts) for parts in zip((images, labels), held_out, strict=True))
            self.judges = {"test": (dataset.test_images, dataset.test_labels)}
        if config.num_train is not None:
            if not 0 < config.num_train <= len(images):
                raise ValueError(f"num_train must lie in 1..{len(images)}; got {config.num_train}.")
            chosen = torch.randperm(len(images), generator=self.generator(2))[: config.num_train]
            images, labels = images[chosen], labels[chosen]
        self.images, self.labels = pad(images), labels
        self.judges["train"] = (self.images, self.labels)
        count = len(images) * (1 + config.distorted_copies)
        self.order = torch.randperm(count, generator=self.generator(1))
        self.maps = config.distortion.draw(count - len(images), self.generator(3))
        self.model = LeNet5Original(config.initialisation, config.reading, self.generator(0))
        self.lean = fastest(self.model, config.loss, config.j)

    def generator(self, purpose: int) -> torch.Generator:
        """A source of random numbers for one purpose, independent of what else was drawn."""
        return torch.Generator().manual_seed(1_000 * self.seed + purpose)

    def begin_pass(self, number: int) -> dict[str, Tensor]:
        """Set the rates of a pass, counted from 1, and return the second derivatives behind them."""
        chosen = torch.randperm(len(self.images), generator=self.generator(100 + number))[: self.config.num_samples]
        inputs = prepare(self.images[chosen], scaling="paper")
        self.sync()
        found = curvatures(self.model, inputs, self.labels[chosen], self.config.loss, self.config.j)
        self.lean.set_rates(found, paper_eta(number), self.config.mu, self.model)
        return found

    def patterns(self, limit: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """The patterns of a pass in their order, some thousand at a time: images (n, 1, 32, 32), labels (n,)."""
        for chunk in self.order[:limit].split(CHUNK):
            copy, which = chunk // len(self.images), chunk % len(self.images)
            images = self.images[which]
            if copy.any():
                distorted = copy > 0
                images[distorted] = distort(images[distorted], self.maps[chunk[distorted] - len(self.images)])
            yield prepare(images, scaling="paper"), self.labels[which]

    def sync(self) -> None:
        """Carry what was learned over into ``model``."""
        self.lean.write_to(self.model)

    def first_steps(self) -> dict:
        """A digest of the weights after the first steps of the first pass, and sums that survive another processor."""
        self.begin_pass(1)
        for images, labels in self.patterns(FIRST_STEPS):
            self.lean.learn(images, labels)
        weights = self.lean.theta.astype(np.float64)
        return {
            "steps": FIRST_STEPS,
            "sha256": hashlib.sha256(self.lean.theta.tobytes()).hexdigest(),
            "sum": float(weights.sum()),
            "sum_of_squares": float((weights**2).sum()),
        }

    def activity(self) -> dict[str, float]:
        """The standard deviation of each layer's outputs over the samples of the first pass."""
        chosen = torch.randperm(len(self.images), generator=self.generator(101))[: self.config.num_samples]
        x, spread = prepare(self.images[chosen], scaling="paper"), []
        spread.append(float(x.std()))
        with torch.no_grad():
            for stage in self.model.stages():
                x = stage(x)
                spread.append(float(x.std()))
        names = ("input", "c1", "s2", "c3", "s4", "c5", "f6")
        return dict(zip(names, (spread[i] for i in (0, 2, 3, 5, 6, 8, 11)), strict=True))

    def judge(self, images: Tensor, labels: Tensor) -> tuple[int, float]:
        """Wrong answers and mean loss on images (N, H, W), uint8; nothing is learned."""
        parts = zip(images.split(CHUNK), labels.split(CHUNK), strict=True)
        wrong, losses = zip(*(self.lean.judge(prepare(x, scaling="paper"), y) for x, y in parts), strict=True)
        return sum(wrong), sum(losses) / len(labels)


def measure(run: Run, config: OriginalConfig) -> None:
    """Carry a run on to its end, pass by pass."""
    torch.set_num_threads(1)
    dataset = load(config.dataset)
    run.begin(asdict(config), dataset.source)
    run.sessions[-1]["engine"] = engine()
    machine = Machine(config, run.seed, dataset)
    with threadpool_limits(1), np.errstate(all="ignore"):
        if run.state:
            machine.lean.theta[:] = run.state["theta"].numpy()
        else:
            run.notes["activity"] = machine.activity()
            run.notes["engine"] = engine()
            run.notes["first_steps"] = machine.first_steps()
            machine.lean = fastest(machine.model, config.loss, config.j)
        for number in range(len(run.passes) + 1, config.num_passes + 1):
            measured = one_pass(machine, number)
            state = {"theta": torch.from_numpy(machine.lean.theta.copy())}
            over = number == config.num_passes or measured["diverged"]
            if not run.finish_pass(measured, state, complete=over):
                break


def one_pass(machine: Machine, number: int) -> dict:
    """Learn every pattern once; the numbers of the pass.

    ``online_*`` is taken while learning, each pattern just before it is learned; the others after the pass.
    """
    curvature = machine.begin_pass(number)
    loss, wrong, seen = 0.0, 0, 0
    for images, labels in machine.patterns():
        of_these, losses = machine.lean.learn(images, labels)
        wrong, loss, seen = wrong + of_these, loss + losses, seen + len(labels)
    judged = {}
    for part, (images, labels) in machine.judges.items():
        part_wrong, part_loss = machine.judge(images, labels)
        judged[f"{part}_size"] = len(labels)
        judged[f"{part}_wrong"] = part_wrong
        judged[f"{part}_error"] = 100 * part_wrong / len(labels)
        judged[f"{part}_loss"] = part_loss
    eta, mu = paper_eta(number), machine.config.mu
    rates = {name: eta / (mu + h.flatten().sort().values) for name, h in curvature.items()}
    return {
        "pass": number,
        "eta": eta,
        "patterns": seen,
        "online_wrong": wrong,
        "online_error": 100 * wrong / seen,
        "online_loss": loss / seen,
        **judged,
        "diverged": not bool(np.isfinite(machine.lean.theta).all()),
        "rates": {name: [float(r[-1]), float(r.median()), float(r[0])] for name, r in rates.items()},
    }


def stored_config(record: dict) -> OriginalConfig:
    """The configuration of a stored run, as :func:`lenet_utils.experiment.load_results` gives it."""
    values = dict(record["configuration"])
    return OriginalConfig(**values | {"distortion": Distortion(**values["distortion"])})


def _experiment(name: str, summary: str, seeds: int = 5, **changes: object) -> Experiment:
    return Experiment(name, summary, partial(measure, config=OriginalConfig(**changes)), tuple(range(seeds)))


def _search(name: str, summary: str, **changes: object) -> Experiment:
    return _experiment(f"original-search-{name}", summary, seeds=3, held_out=True, **changes)


CANDIDATES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)  # for μ; the book's chapter says how one of them was chosen
EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        _experiment("original", "LeNet-5 as published: 20 passes through 60,000 single patterns"),
        _experiment("original-15000", "the same with 15,000 patterns (Fig. 6)", num_train=15_000),
        _experiment("original-30000", "the same with 30,000 patterns (Fig. 6)", num_train=30_000),
        _experiment("original-distorted", "with nine distorted copies of each pattern", seeds=3, distorted_copies=9),
        _experiment(
            "original-printed",
            "μ and the initial ±2.4/F as printed",
            seeds=1,
            initialisation="printed",
            mu=MU,
            num_passes=3,
        ),
        *(_search(f"mu-{mu:g}", f"μ = {mu:g}", mu=mu) for mu in CANDIDATES),
        _search("printed", "initial weights in ±2.4/F, as printed", initialisation="printed"),
        _search("mse", "the loss of equation (8) instead of (9)", loss="mse"),
        _search("sum", "S layers that add instead of averaging", reading="sum"),
        _search("j-10", "j = 10 in the loss of equation (9)", j=10.0),
    )
}
