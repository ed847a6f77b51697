"""From the machine of 1998 to today's LeNet-5, one change at a time: the networks between them, and how they learn."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from lenet_utils.arguments import check_count, checked
from lenet_utils.checks import choose
from lenet_utils.data import ImageDataset, load
from lenet_utils.evaluation import evaluate, predicted_classes
from lenet_utils.original.layers import RBFOutput, ScaledTanh, SparseConv2d, Subsampling
from lenet_utils.original.losses import loss_function
from lenet_utils.original.network import check_paper_images, digit_bitmaps
from lenet_utils.original.optimizer import NUM_SAMPLES, StochasticDiagonalLM, paper_eta
from lenet_utils.preprocessing import prepare
from lenet_utils.run_store import Experiment, Run

CHOICES: dict[str, tuple[str, str]] = {
    "c3": ("table", "dense"),
    "subsampling": ("trainable", "average"),
    "squashing": ("scaled-tanh", "relu"),
    "output": ("rbf", "linear"),
    "optimizer": ("sdlm", "adam"),
}
"""Every choice as in 1998 and as today, in the order in which they are changed."""


@checked
@dataclass(frozen=True)
class Design:
    """One network between 1998 and today, and what trains it; by default all is as it was in 1998.

    Parameters
    ----------
    c3 : {"table", "dense"}
        Connections from S2 to C3: those of Table I, or all.
    subsampling : {"trainable", "average"}
        Coefficient, bias and squashing of S2 and S4, or plain averages.
    squashing : {"scaled-tanh", "relu"}
        After C1, C3, C5 and F6.  Subsampling as in 1998 keeps the squashing function of its time.
    output : {"rbf", "linear"}
        Distances to fixed prototypes judged by equation (9), or logits judged by cross-entropy.
    optimizer : {"sdlm", "adam"}
        Stochastic diagonal Levenberg-Marquardt, or Adam.

    Raises
    ------
    ValueError
        For a choice that there is not.
    """

    c3: str = "table"
    subsampling: str = "trainable"
    squashing: str = "scaled-tanh"
    output: str = "rbf"
    optimizer: str = "sdlm"

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            choose(name, getattr(self, name), dict.fromkeys(choices))


def ablation_steps() -> dict[str, Design]:
    """The designs from 1998 to today, by the name of their last change; neighbours differ in one choice.

    Examples
    --------
    >>> list(ablation_steps())
    ['1998', 'dense c3', 'average subsampling', 'relu squashing', 'linear output', 'adam optimizer']
    """
    design, steps = Design(), {"1998": Design()}
    for name, (_, today) in CHOICES.items():
        design = replace(design, **{name: today})
        steps[f"{today} {name}"] = design
    return steps


class AblationNet(nn.Module):
    """A LeNet-5 of any design.

    All weights start uniform in ±2.4/√F, F being the number of inputs of the unit, and all biases at 0.  (The variance
    is 1.92/F, next to the 2/F that He and others derived for ReLU in 2015.)

    Parameters
    ----------
    design : Design, optional
        By default that of 1998.
    generator : torch.Generator, optional
        Draws the initial weights; torch's global one by default.

    Examples
    --------
    >>> [sum(p.numel() for p in AblationNet(design).parameters()) for design in ablation_steps().values()]
    [60000, 60900, 60856, 60856, 61706, 61706]
    """

    input_shape = (1, 32, 32)
    scaling = "paper"

    @checked
    def __init__(self, design: Design | None = None, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.design = design or Design()
        trainable = self.design.subsampling == "trainable"
        self.c1 = nn.Conv2d(1, 6, kernel_size=5)
        self.s2 = Subsampling(6) if trainable else nn.AvgPool2d(2)
        self.c3 = SparseConv2d() if self.design.c3 == "table" else nn.Conv2d(6, 16, kernel_size=5)
        self.s4 = Subsampling(16) if trainable else nn.AvgPool2d(2)
        self.c5 = nn.Conv2d(16, 120, kernel_size=5)
        self.f6 = nn.Linear(120, 84)
        self.output = RBFOutput(digit_bitmaps()) if self.design.output == "rbf" else nn.Linear(84, 10)
        self.activation = ScaledTanh() if self.design.squashing == "scaled-tanh" else nn.ReLU()
        self.smallest_wins = self.design.output == "rbf"
        self._initialise(generator)

    def stages(self) -> list[nn.Module]:
        """What computes the output's 84 inputs, in order; the squashing function comes up several times."""
        f = self.activation
        return [self.c1, f, self.s2, self.c3, f, self.s4, self.c5, f, nn.Flatten(), self.f6, f]

    def forward(self, images: Tensor) -> Tensor:
        """Penalties, or logits, of shape (N, 10) for images (N, 1, 32, 32) in -0.1..1.175."""
        check_paper_images(images, self)
        for layer in self.stages():
            images = layer(images)
        return self.output(images)

    def loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """The mean loss that goes with the output: equation (9), or cross-entropy."""
        return loss_function(self.loss_name)(outputs, labels)

    @property
    def loss_name(self) -> str:
        """Its name in ``lenet_utils.original.losses.LOSSES``."""
        return "map" if self.smallest_wins else "cross-entropy"

    @torch.no_grad()
    def _initialise(self, generator: torch.Generator | None) -> None:
        for layer in (self.c1, self.c3, self.c5, self.f6, self.output):
            if isinstance(layer, RBFOutput):
                continue
            fan_in = torch.tensor(layer.weight[0].numel())
            if isinstance(layer, SparseConv2d):
                fan_in = 25 * torch.bincount(layer.outputs_of_link)[layer.outputs_of_link, None, None]
            layer.weight.uniform_(-1, 1, generator=generator).mul_(2.4 / fan_in.float().sqrt())
            layer.bias.zero_()


@checked
@dataclass(frozen=True)
class AblationConfig:
    """How every design learns; all values are our choice.

    Parameters
    ----------
    num_passes, batch_size : int
        The paper takes 20 passes of one pattern at a time.
    eta_factor : float
        What the paper's global rates are multiplied by, because a batch makes one step of many patterns.
    learning_rate : float
        Adam's peak rate; it rises and falls over the passes (one cycle).
    dataset : str
    """

    num_passes: int = 3
    batch_size: int = 32
    eta_factor: float = 8.0
    learning_rate: float = 0.003
    dataset: str = "mnist"

    def __post_init__(self) -> None:
        check_count("num_passes", self.num_passes)
        check_count("batch_size", self.batch_size, most=2**62)
        if not (0 < self.eta_factor < math.inf and 0 < self.learning_rate < math.inf):
            raise ValueError(f"Rates must be positive and finite; got {self.eta_factor} and {self.learning_rate}.")


@checked
def learn(model: AblationNet, dataset: ImageDataset, config: AblationConfig, seed: int) -> Iterator[dict]:
    """Train one of the networks, and judge it after each pass on validation and test images.

    Yields
    ------
    dict
        ``pass`` and, in per cent, ``train_error`` (taken while learning), ``validation_error``, ``test_error``.
    """
    parts = {}
    for part in ("train", "validation", "test"):
        parts[part] = prepare(getattr(dataset, f"{part}_images"), scaling="paper"), getattr(dataset, f"{part}_labels")
    images, labels = parts["train"]
    generator = torch.Generator().manual_seed(seed)
    steps = math.ceil(len(images) / config.batch_size)
    optimizer, schedule = make_optimizer(model, config, steps)
    for number in range(1, config.num_passes + 1):
        if schedule is None:
            sample = torch.randperm(len(images), generator=generator)[:NUM_SAMPLES]
            optimizer.estimate(images[sample])
            optimizer.param_groups[0]["eta"] = eta_of_pass(number, config)
        wrong = 0
        for batch in torch.randperm(len(images), generator=generator).split(config.batch_size):
            outputs = model(images[batch])
            optimizer.zero_grad()
            model.loss(outputs, labels[batch]).backward()
            optimizer.step()
            if schedule is not None:
                schedule.step()
            wrong += int((predicted_classes(model, outputs) != labels[batch]).sum())
        row = {"pass": number, "train_error": 100 * wrong / len(images)}
        judged = {f"{part}_error": evaluate(model, *parts[part], model.loss)[1] for part in ("validation", "test")}
        yield row | judged


@checked
def make_optimizer(model: AblationNet, config: AblationConfig, steps: int):
    """What the design names; and for Adam its schedule, None for the paper's method."""
    check_count("steps", steps, most=10**6)
    if model.design.optimizer == "sdlm":
        return StochasticDiagonalLM(model, eta_of_pass(1, config), loss=model.loss_name), None
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    total = config.num_passes * steps + 1
    return optimizer, torch.optim.lr_scheduler.OneCycleLR(optimizer, config.learning_rate, total_steps=total)


@checked
def eta_of_pass(number: int, config: AblationConfig) -> float:
    """The global rate of a pass: the paper's schedule of 20 passes, in fewer, and times the factor.

    Examples
    --------
    >>> [eta_of_pass(n, AblationConfig(num_passes=5, eta_factor=1)) for n in range(1, 6)]
    [0.0005, 0.0002, 0.0001, 5e-05, 1e-05]
    """
    check_count("number", number)
    of_paper = 1 + (number - 1) * 12 // (config.num_passes - 1) if config.num_passes > 1 else 1
    return paper_eta(of_paper) * config.eta_factor


def measure(run: Run, config: AblationConfig) -> None:
    """Take all steps with one seed; each is one "pass" of the run."""
    dataset = load(config.dataset)
    run.begin(dataset.source, torch.device("cpu"))
    steps = list(ablation_steps().items())
    for name, design in steps[len(run.passes) :]:
        model = AblationNet(design, torch.Generator().manual_seed(run.seed))
        curve = list(learn(model, dataset, config, run.seed))
        measured = {
            "step": name,
            "design": asdict(design),
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            **{key: value for key, value in curve[-1].items() if key != "pass"},
            "test_errors": [row["test_error"] for row in curve],
        }
        if not run.finish_pass(measured, model.state_dict(), complete=name == steps[-1][0]):
            break


EXPERIMENTS = {
    "ablation": Experiment(
        "ablation",
        "from 60,000 to 61,706 parameters, one change at a time",
        partial(measure, config=AblationConfig()),
        asdict(AblationConfig()),
        (0, 1, 2),
    )
}
