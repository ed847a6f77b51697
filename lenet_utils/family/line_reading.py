"""LeNet-5 learns to read lines of touching digits: trained on strips of training digits, judged on 200 others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from lenet_utils import storage
from lenet_utils.arguments import check_count, check_finite, checked
from lenet_utils.data import ImageDataset, load
from lenet_utils.device import pick_device
from lenet_utils.family.digit_line import (
    NOTHING,
    TOUCHING,
    Strip,
    as_batch,
    best_path,
    edit_distance,
    make_strip,
    slide,
    targets,
)
from lenet_utils.models import LeNet5, seeded
from lenet_utils.optimizers import make_optimizer, make_schedule
from lenet_utils.run_store import Experiment, Run, learned
from lenet_utils.training import TrainConfig

NAME = "digit-line"
PRINTED = (-1, 4)  # pixels between boxes in the paper's training images, section VII-B
TRIED_APART, TRIED_FEES = (1, 2, 3), (-4.0, -3.0, -2.0, -1.0, 0.0, 1.0)


@checked
@dataclass(frozen=True)
class LineConfig:
    """What decides a run besides the seed; chosen on strips of validation digits by ``digit-line-search``.

    Attributes
    ----------
    num_strips : int
        Strips of training digits; they stay the same over the epochs.
    num_epochs, batch_size : int
        Passes through them; strips in a step.
    learning_rate, matrix_rate : float
        Of Muon; see :class:`lenet_utils.training.TrainConfig`.
    gaps : tuple of int
        Between the boxes of training digits; see :func:`lenet_utils.family.digit_line.make_strip`.
    apart, fee
        Of :func:`lenet_utils.family.digit_line.best_path`.
    num_tested : int
        Strips that judge.
    held_out : bool
        Judge by strips of validation digits, as what chooses must; otherwise of test digits.
    """

    num_strips: int = 12_000
    num_epochs: int = 3
    batch_size: int = 32
    learning_rate: float = 0.015
    matrix_rate: float = 0.02
    gaps: tuple[int, int] = (-2, 4)
    apart: int = 2
    fee: float = -1.0
    num_tested: int = 200
    held_out: bool = False

    def __post_init__(self) -> None:
        for name in ("num_strips", "num_epochs", "batch_size", "apart", "num_tested"):
            check_count(name, getattr(self, name))
        check_finite(fee=self.fee)


def network() -> LeNet5:
    """LeNet-5 with an eleventh output for nothing."""
    return LeNet5("relu", num_classes=NOTHING + 1)


def line_reader() -> LeNet5:
    """The network that reads lines, as a stored run left it; see :func:`lenet_utils.run_store.learned`."""
    return learned(NAME, seeded(network, SEEDS[0]))


@checked
def strips_of(dataset: ImageDataset, part: str, count: int, seed: int, gaps: tuple[int, int] = TOUCHING) -> list[Strip]:
    """As many strips, those of one seed unlike those of any other."""
    check_count("count", count)
    check_count("seed", seed, 0, 10**9)
    return [make_strip(dataset, part, 100_000 * seed + i, gaps) for i in range(count)]


@checked
def judge(model: LeNet5, strips: list[Strip], apart: int, fee: float) -> dict[str, int]:
    """How many strips are read wholly right, of how many; and the labels to change, of how many."""
    return _judged(_all_scores(model, strips), strips, apart, fee)


def _all_scores(model: LeNet5, strips: list[Strip]) -> list[Tensor]:
    device = next(model.parameters()).device
    with torch.no_grad():
        return [slide(model, strip.image[None].to(device))[0].cpu() for strip in strips]


def _judged(scores: list[Tensor], strips: list[Strip], apart: int, fee: float) -> dict[str, int]:
    found = [[label for _, label in best_path(one, apart, fee)] for one in scores]
    edits = [edit_distance(labels, strip.labels) for labels, strip in zip(found, strips, strict=True)]
    return {
        "strips": len(strips),
        "right": edits.count(0),
        "digits": sum(len(strip.labels) for strip in strips),
        "edits": sum(edits),
    }


def measure(run: Run, config: LineConfig, dataset_name: str = "mnist") -> None:
    """Train on strips, epoch by epoch; after the last, read those that judge.  It cannot go on in the middle."""
    dataset, device = load(dataset_name), pick_device()
    run.begin(dataset.source, device, anew=True)
    model = seeded(network, run.seed).to(device)
    made = strips_of(dataset, "train", config.num_strips, run.seed, config.gaps)
    strips = as_batch(made).to(device)  # (N, 32, W)
    with torch.no_grad():
        positions = slide(model, strips[:1]).shape[1]
    labels = torch.stack([targets(strip, positions) for strip in made]).to(device)  # (N, positions)
    recipe = TrainConfig(
        num_epochs=config.num_epochs,
        batch_size=config.batch_size,
        optimizer="muon",
        betas=(0.9, 0.98),
        momentum_range=None,
        learning_rate=config.learning_rate,
        matrix_rate=config.matrix_rate,
        seed=run.seed,
    )
    optimizer = make_optimizer(model, recipe)
    steps = -(-len(strips) // config.batch_size)
    schedule = make_schedule(optimizer, recipe, config.num_epochs * steps)
    generator = torch.Generator().manual_seed(run.seed)
    for number in range(1, config.num_epochs + 1):
        loss = _one_epoch(model, strips, labels, config.batch_size, generator, optimizer, schedule)
        over = number == config.num_epochs
        measured = {"epoch": number, "loss": loss}
        if over:
            measured |= read_all(model, dataset, run.seed, config)
            if run.seed == SEEDS[0] and not config.held_out:
                run.notes |= {"learned": storage.pack(model.parameters())}
        if not run.finish_pass(measured, {}, complete=over):
            break


def _one_epoch(model, strips, labels, batch_size, generator, optimizer, schedule) -> float:
    """One pass through all strips; the mean loss of its steps."""
    model.train()
    losses = []
    for batch in torch.randperm(len(strips), generator=generator).split(batch_size):
        outputs = slide(model, strips[batch]).flatten(0, 1)  # (batch · positions, 11)
        loss = functional.cross_entropy(outputs, labels[batch].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.detach())
    model.eval()
    return float(torch.stack(losses).mean())


def read_all(model: LeNet5, dataset: ImageDataset, seed: int, config: LineConfig) -> dict:
    """What a trained network makes of touching strips, and of strips spaced as printed; when choosing, all settings."""
    part = "validation" if config.held_out else "test"
    measured = {}
    for name, gaps in (("touching", TOUCHING), ("printed", PRINTED)):
        strips = strips_of(dataset, part, config.num_tested, seed, gaps)
        scores = _all_scores(model, strips)
        measured[name] = _judged(scores, strips, config.apart, config.fee)
        if config.held_out:
            tried = [(apart, fee) for apart in TRIED_APART for fee in TRIED_FEES]
            measured[f"{name}_tried"] = [
                {"apart": apart, "fee": fee} | _judged(scores, strips, apart, fee) for apart, fee in tried
            ]
    return measured


def _experiment(name: str, summary: str, seeds: Iterable[int], **changes: object) -> Experiment:
    config = replace(LineConfig(), **changes)
    return Experiment(name, summary, partial(measure, config=config), asdict(config), tuple(seeds))


SEEDS = tuple(range(100, 105))  # seeds that report have chosen nothing
EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        _experiment(NAME, "LeNet-5 reads strips of three to five touching digits", SEEDS),
        _experiment(
            f"{NAME}-search",
            "distances and fees of the path, on 500 strips of validation digits",
            range(2),
            held_out=True,
            num_tested=500,
            fee=0.0,
        ),
    )
}
