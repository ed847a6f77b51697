"""Three LeNet-4 that vote: each learns from what those before it found hard (LeNet of 1998, section III-C).

The first learns from distorted digits.  The second learns from digits of which the first reads half and misreads half;
the third from digits on which the two disagree.  Their outputs are added.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor, nn

from lenet_utils.arguments import check_count, checked
from lenet_utils.data import ImageDataset, load
from lenet_utils.device import pick_device
from lenet_utils.evaluation import error_rate, margins, outputs, rejected_for
from lenet_utils.family.networks import LeNet4
from lenet_utils.models import seeded
from lenet_utils.modern.experiments import TWO_EPOCHS
from lenet_utils.original.distortions import Distortion, distort
from lenet_utils.preprocessing import prepare
from lenet_utils.run_store import Experiment, Run
from lenet_utils.training import train


@dataclass(frozen=True)
class BoostingConfig:
    """How many distorted copies of the training images there are for each purpose, and how many images a net is shown.

    ``first_copies`` join the images for the first net, which sees all once; ``pool_copies`` others are what the second
    and third net's digits are taken from.  All three numbers are ours; the paper gives none.
    """

    first_copies: int = 4
    pool_copies: int = 5
    num_shown: int = 110_000  # to the second net and to the third, digit by digit as often as it takes


def distorted(images: Tensor, seed: int) -> Tensor:
    """A copy of images (N, 28, 28), uint8, each distorted in its own way, of the kinds that the paper prints."""
    generator = torch.Generator().manual_seed(seed)
    parts = [distort(part, Distortion().draw(len(part), generator)) for part in images.split(10_000)]
    return torch.cat(parts)


@checked
def half_misread(answers: Tensor, labels: Tensor, seed: int) -> Tensor:
    """Indices of all misread images and of as many that are read, drawn by the seed, in random order.

    Parameters
    ----------
    answers, labels : torch.Tensor, shape (N,), int64
    seed : int

    Raises
    ------
    ValueError
        If nothing is misread, or nothing read.
    """
    check_count("seed", seed, 0, 2**62)
    generator = torch.Generator().manual_seed(seed)
    error_rate(answers, labels)  # refuses what are no classes
    right, wrong = ((answers == labels) == which for which in (True, False))
    right, wrong = (part.nonzero().flatten() for part in (right, wrong))
    if not len(right) or not len(wrong):
        raise ValueError(f"A mix needs read and misread images; got {len(right)} and {len(wrong)}.")
    size = min(len(right), len(wrong))
    mixed = torch.cat([part[torch.randperm(len(part), generator=generator)[:size]] for part in (right, wrong)])
    return mixed[torch.randperm(len(mixed), generator=generator)]


@checked
def needs_others(scores: Tensor, threshold: float) -> Tensor:
    """Where the first net is not sure, (N,): its two largest outputs (N, 10) lie no more than ``threshold`` apart."""
    return margins(scores) <= threshold


@checked
def smallest_threshold(scores: list[Tensor], labels: Tensor) -> float:
    """How sure the first net must be to answer alone, so that no more is misread than by the sum of all outputs.

    Parameters
    ----------
    scores : list of torch.Tensor, shape (N, 10)
        Of each net.
    labels : torch.Tensor, shape (N,), int64
    """
    if len({one.shape for one in scores}) != 1:
        raise ValueError("Expected the scores of every net, all of one shape (N, classes).")
    sure, order = margins(scores[0]).sort()
    error_rate(scores[0].argmax(1), labels)  # refuses what are no classes
    alone, together = scores[0].argmax(1) != labels, sum(scores).argmax(1) != labels
    asked = (together[order].long() - alone[order].long()).cumsum(0)  # errors, if the least sure so many are passed on
    enough = (asked + alone.sum() <= together.sum()).nonzero().flatten()
    if not alone.sum() > together.sum():
        return -1.0  # nobody need be asked
    return float(sure[enough[0]])


def _learn(network_seed: int, images: Tensor, labels: Tensor, dataset: ImageDataset, num_shown: int) -> nn.Module:
    model = seeded(LeNet4, network_seed)
    num_epochs = max(1, round(num_shown / len(images)))
    config = replace(TWO_EPOCHS, num_epochs=num_epochs, seed=network_seed)
    train(model, replace(dataset, train_images=images, train_labels=labels), config, progress=False)
    return model


def committee(dataset: ImageDataset, config: BoostingConfig, seed: int) -> tuple[list[nn.Module], dict[str, int]]:
    """Train the three nets; how many digits the second and the third learned from."""
    images, labels = dataset.train_images, dataset.train_labels
    copies = [distorted(images, 10_000 * seed + i) for i in range(config.first_copies)]
    all_images, all_labels = torch.cat([images, *copies]), labels.repeat(1 + config.first_copies)
    nets = [_learn(3 * seed, all_images, all_labels, dataset, len(all_images))]
    pool = torch.cat([distorted(images, 10_000 * seed + 1_000 + i) for i in range(config.pool_copies)])
    pool_labels = labels.repeat(config.pool_copies)
    first = _answers(nets[0], pool)
    chosen = half_misread(first, pool_labels, seed)
    nets.append(_learn(3 * seed + 1, pool[chosen], pool_labels[chosen], dataset, config.num_shown))
    split = (_answers(nets[1], pool) != first).nonzero().flatten()
    if not len(split):
        raise ValueError("The first two nets agree on every digit: take more distorted copies.")
    nets.append(_learn(3 * seed + 2, pool[split], pool_labels[split], dataset, config.num_shown))
    return nets, {"half_misread": len(chosen), "disagreed": len(split)}


def _scores(model: nn.Module, images: Tensor) -> Tensor:
    return torch.cat([outputs(model, prepare(part)) for part in images.split(10_000)])


def _answers(model: nn.Module, images: Tensor) -> Tensor:
    return _scores(model, images).argmax(1)


def measure(run: Run, config: BoostingConfig) -> None:
    """Train the three, and test each of them, their sum, and the sum that is asked for where the first is not sure.

    Times are the processor's, for all three: to train, and to read all test digits.
    """
    dataset = load("mnist")
    run.begin(dataset.source, pick_device(), anew=True)
    start = time.process_time()
    nets, sizes = committee(dataset, config, run.seed)
    middle = time.process_time()
    threshold = smallest_threshold([_scores(net, dataset.validation_images) for net in nets], dataset.validation_labels)
    learned = time.process_time()
    scores, labels = [_scores(net, dataset.test_images) for net in nets], dataset.test_labels
    end = time.process_time()
    asked = needs_others(scores[0], threshold)
    cheap = torch.where(asked, sum(scores).argmax(1), scores[0].argmax(1))
    measured = {
        **sizes,
        "each_error": [error_rate(one.argmax(1), labels) for one in scores],
        "sum_error": error_rate(sum(scores).argmax(1), labels),
        "cheap_error": error_rate(cheap, labels),
        "test_size": len(labels),
        "rejected": rejected_for(sum(scores), labels),
        "train_seconds": middle - start,
        "answer_seconds": end - learned,
        "cost": 1 + 2 * float(asked.double().mean()),  # in nets for each digit
    }
    run.finish_pass(measured, {}, complete=True)


SHOWN = {key: value for key, value in asdict(TWO_EPOCHS).items() if key not in ("seed", "num_epochs")}


def _experiment(config: BoostingConfig) -> Experiment:
    def measured(run: Run) -> None:
        measure(run, config)

    what = {**asdict(config), "distortion": asdict(Distortion()), **SHOWN}
    return Experiment("boosted-lenet4", "three LeNet-4, boosted, on MNIST", measured, what, tuple(range(100, 103)))


EXPERIMENTS = {experiment.name: experiment for experiment in (_experiment(BoostingConfig()),)}
