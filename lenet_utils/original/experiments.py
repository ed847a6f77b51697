"""The paper's own training of LeNet-5, and what surrounds it: one pattern at a time, twenty passes, as experiments.

Everything random comes from the run's seed: the initial weights, the order of the patterns (constant over the passes,
as in the paper), the 500 patterns on which second derivatives are estimated before each pass, and the distortions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial

import numba
import torch
from torch import Tensor

from lenet_utils import storage
from lenet_utils.arguments import check_count, checked
from lenet_utils.checks import choose
from lenet_utils.data import ImageDataset, load
from lenet_utils.evaluation import evaluate
from lenet_utils.fingerprints import state_fingerprint
from lenet_utils.original.distortions import Distortion, distort
from lenet_utils.original.fast_step import FastLeNet5
from lenet_utils.original.losses import PENALTY_LOSSES, loss_function
from lenet_utils.original.network import LeNet5Original
from lenet_utils.original.optimizer import MU, NUM_SAMPLES, curvatures, paper_eta
from lenet_utils.preprocessing import pad, prepare
from lenet_utils.run_store import Experiment, Run, learned

FIRST_STEPS = 50  # after which a run's weights are recorded, so that they can be checked
CHUNK = 5_000  # patterns prepared at once


@checked
@dataclass(frozen=True)
class OriginalConfig:
    """What decides a run of LeNet-5 as published, besides the seed.

    The schedule of η is :func:`lenet_utils.original.optimizer.paper_eta`.

    Parameters
    ----------
    initialisation, reading : str
        Of :class:`lenet_utils.original.network.LeNet5Original`.
    loss, j
        Of :class:`lenet_utils.original.optimizer.StochasticDiagonalLM`.
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
    patterns_per_pass : int, optional
        How many patterns a pass learns, going on in their order where the pass before stopped; all by default.  The
        paper's distorted run learns 60,000 of 600,000 in each of 20 passes, so that each is seen twice (section III-B).
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
    patterns_per_pass: int | None = None
    distortion: Distortion = field(default_factory=Distortion)
    dataset: str = "mnist"

    def __post_init__(self) -> None:
        for name in ("num_passes", "num_samples", "num_train", "patterns_per_pass"):
            check_count(name, 1 if getattr(self, name) is None else getattr(self, name), most=10**9)
        check_count("distorted_copies", self.distorted_copies, 0, 1_000)
        choose("loss", self.loss, PENALTY_LOSSES)
        if not (0 < self.j < math.inf and 0 < self.mu < math.inf):
            raise ValueError(f"j and mu must be positive and finite; got {self.j} and {self.mu}.")


class PaperTraining:
    """One run of the paper's training: network, patterns, and their order.

    Parameters
    ----------
    config : OriginalConfig
    seed : int
    dataset : ImageDataset

    Attributes
    ----------
    model : LeNet5Original
        What learns.
    steps : FastLeNet5
        Its training steps, on the model's own parameters.
    images, labels : torch.Tensor, (N, 32, 32) uint8, (N,) int64
        The undistorted training patterns.
    parts : dict of (images, labels)
        On what errors are counted after a pass: ``"train"``, and ``"test"`` or ``"validation"``.
    """

    @checked
    def __init__(self, config: OriginalConfig, seed: int, dataset: ImageDataset) -> None:
        self.config, self.seed, self.dataset = config, seed, dataset
        images, labels = dataset.train_images, dataset.train_labels
        held_out = dataset.validation_images, dataset.validation_labels
        self.parts = {"validation": held_out}
        if not config.held_out:
            images, labels = (torch.cat(parts) for parts in zip((images, labels), held_out, strict=True))
            self.parts = {"test": (dataset.test_images, dataset.test_labels)}
        if config.num_train is not None:
            if not 0 < config.num_train <= len(images):
                raise ValueError(f"num_train must lie in 1..{len(images)}; got {config.num_train}.")
            chosen = torch.randperm(len(images), generator=self.generator(2))[: config.num_train]
            images, labels = images[chosen], labels[chosen]
        self.images, self.labels = pad(images), labels
        self.parts["train"] = (self.images, self.labels)
        count = len(images) * (1 + config.distorted_copies)
        self.order = torch.randperm(count, generator=self.generator(1))
        if count % (config.patterns_per_pass or count):
            raise ValueError(f"patterns_per_pass must divide the {count:,} patterns; got {config.patterns_per_pass}.")
        self.maps = config.distortion.draw(count - len(images), self.generator(3))
        self.model = LeNet5Original(config.initialisation, config.reading, self.generator(0))
        self.steps = FastLeNet5(self.model, config.loss, config.j)

    def generator(self, purpose: int) -> torch.Generator:
        """A source of random numbers for one purpose, independent of what else was drawn."""
        return torch.Generator().manual_seed(1_000 * self.seed + purpose)

    def begin_pass(self, number: int) -> dict[str, Tensor]:
        """Set the rates of a pass, counted from 1, and return the second derivatives behind them."""
        found = curvatures(self.model, self.samples(number), self.config.loss, self.config.j)
        self.steps.set_rates(found, paper_eta(number), self.config.mu)
        return found

    def samples(self, number: int) -> Tensor:
        """The patterns on which a pass's second derivatives are estimated: (num_samples, 1, 32, 32)."""
        chosen = torch.randperm(len(self.images), generator=self.generator(100 + number))[: self.config.num_samples]
        return prepare(self.images[chosen], scaling="paper")

    def patterns(self, number: int = 1, limit: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """The patterns of a pass in their order, some thousand at a time: images (n, 1, 32, 32), labels (n,)."""
        parts = self.order.split(self.config.patterns_per_pass or len(self.order))
        for chunk in parts[(number - 1) % len(parts)][:limit].split(CHUNK):
            copy, which = chunk // len(self.images), chunk % len(self.images)
            images = self.images[which]
            if copy.any():
                distorted = copy > 0
                images[distorted] = distort(images[distorted], self.maps[chunk[distorted] - len(self.images)])
            yield prepare(images, scaling="paper"), self.labels[which]

    def first_steps(self) -> dict:
        """A digest of the weights after the first steps of the first pass, and sums that survive another processor."""
        self.begin_pass(1)
        for images, labels in self.patterns(limit=FIRST_STEPS):
            self.steps.learn(images, labels)
        weights = torch.cat([parameter.detach().flatten() for parameter in self.model.parameters()]).double()
        return {
            "steps": FIRST_STEPS,
            "sha256": state_fingerprint(dict(self.model.named_parameters())),
            "sum": float(weights.sum()),
            "sum_of_squares": float(weights.square().sum()),
        }

    def activity(self) -> dict[str, float]:
        """The standard deviation of each layer's outputs over the samples of the first pass."""
        x = self.samples(1)
        spread = [float(x.std())]
        with torch.no_grad():
            for stage in self.model.stages():
                x = stage(x)
                spread.append(float(x.std()))
        names = ("input", "c1", "s2", "c3", "s4", "c5", "f6")
        return dict(zip(names, (spread[i] for i in (0, 2, 3, 5, 6, 8, 11)), strict=True))

    def one_pass(self, number: int) -> dict:
        """Learn every pattern of the pass once; its numbers.

        ``online_*`` is taken while learning, each pattern just before it is learned, as the paper does (Fig. 5); the
        others after the pass, those of the training patterns after the last one only, for they take long.
        """
        curvature = self.begin_pass(number)
        loss, wrong, seen = 0.0, 0, 0
        for images, labels in self.patterns(number):
            of_these, losses = self.steps.learn(images, labels)
            wrong, loss, seen = wrong + of_these, loss + losses, seen + len(labels)
        measured = {}
        for part, (images, labels) in self.parts.items():
            if part == "train" and number < self.config.num_passes:
                continue
            inputs = prepare(images, scaling="paper")
            part_loss, error = evaluate(self.model, inputs, labels, loss_function(self.config.loss, self.config.j))
            measured[f"{part}_size"] = len(labels)
            measured[f"{part}_wrong"] = round(error * len(labels) / 100)
            measured[f"{part}_error"] = error
            measured[f"{part}_loss"] = part_loss
        eta, mu = paper_eta(number), self.config.mu
        rates = {name: eta / (mu + h.flatten().sort().values) for name, h in curvature.items()}
        return {
            "pass": number,
            "eta": eta,
            "patterns": seen,
            "online_wrong": wrong,
            "online_error": 100 * wrong / seen,
            "online_loss": loss / seen,
            **measured,
            "diverged": not all(bool(parameter.isfinite().all()) for parameter in self.model.parameters()),
            "rates": {name: [float(r[-1]), float(r.median()), float(r[0])] for name, r in rates.items()},
        }


def measure(run: Run, config: OriginalConfig, keep: bool = False) -> None:
    """Carry a run on to its end, pass by pass; with ``keep``, what it has learned is stored as well."""
    dataset = load(config.dataset)
    run.begin(dataset.source, torch.device("cpu"))
    run.sessions[-1]["engine"] = f"Numba {numba.__version__}"
    if not run.passes:
        first = PaperTraining(config, run.seed, dataset)
        run.notes |= {"activity": first.activity(), "first_steps": first.first_steps()}
    training = PaperTraining(config, run.seed, dataset)
    if run.passes:
        training.model.load_state_dict(run.state)
    for number in range(len(run.passes) + 1, config.num_passes + 1):
        measured = training.one_pass(number)
        over = number == config.num_passes or measured["diverged"]
        if over and keep:
            run.notes |= {"learned": storage.pack(training.model.parameters())}
        if not run.finish_pass(measured, training.model.state_dict(), complete=over):
            break


def stored_network() -> LeNet5Original:
    """LeNet-5 of 1998 as a stored run of its whole training left it (:func:`lenet_utils.run_store.learned`)."""
    return learned(KEPT, LeNet5Original(generator=torch.Generator().manual_seed(0)))


def _experiment(name: str, summary: str, seeds: Iterable[int], keep: bool = False, **changes: object) -> Experiment:
    config = OriginalConfig(**changes)
    return Experiment(name, summary, partial(measure, config=config, keep=keep), asdict(config), tuple(seeds))


def _search(name: str, summary: str, **changes: object) -> Experiment:
    """One that chooses: seeds below 100, and validation images instead of test images."""
    return _experiment(f"original-search-{name}", summary, range(3), held_out=True, **changes)


KEPT = "original-network"
CANDIDATES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)  # for μ; the book's chapter says how one of them was chosen
TEN, FIVE = range(100, 110), range(100, 105)  # seeds that report have chosen nothing
EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        _experiment("original", "LeNet-5 as published: 20 passes through 60,000 single patterns", TEN),
        _experiment(KEPT, "the first of these again, with what it learned", TEN[:1], keep=True),
        _experiment("original-15000", "the same with 15,000 patterns (Fig. 6)", FIVE, num_train=15_000),
        _experiment("original-30000", "the same with 30,000 patterns (Fig. 6)", FIVE, num_train=30_000),
        _experiment(
            "original-15000-as-long",
            "the same with 15,000 patterns, each four times in a pass",
            FIVE[:2],
            num_train=15_000,
            distorted_copies=3,
            distortion=Distortion(0.0, 0.0, 0.0, 0.0),
        ),
        _experiment(
            "original-distorted",
            "with distortions as printed: 20 passes of 60,000 patterns, each of 600,000 seen twice",
            TEN,
            distorted_copies=9,
            patterns_per_pass=60_000,
        ),
        _experiment(
            "original-distorted-long", "the same 600,000 patterns, each seen 20 times", (0,), distorted_copies=9
        ),
        _experiment(
            "original-printed",
            "μ and the initial ±2.4/F as printed",
            FIVE,
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
