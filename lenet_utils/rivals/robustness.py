"""What is misread of digits that move, tear and fade, and of other people's digits, by LeNet-5 and its rivals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor, nn

from lenet_utils import storage
from lenet_utils.arguments import checked, shown
from lenet_utils.checks import check_labels
from lenet_utils.data import ImageDataset, load
from lenet_utils.device import device_name, pick_device
from lenet_utils.evaluation import error_rate, predict
from lenet_utils.models import MLP, LeNet5, seeded
from lenet_utils.modern.augmentation import Distortions, with_distorted_copies
from lenet_utils.original.experiments import stored_network
from lenet_utils.preprocessing import prepare
from lenet_utils.rivals.corruptions import CORRUPTIONS, change, corrupt
from lenet_utils.rivals.experiments import rows
from lenet_utils.run_store import Experiment, Run, learned, load_results
from lenet_utils.training import default_config, train

HIDDEN = 77  # units of the MLP: 61,225 parameters beside LeNet-5's 61,706
NUM_NEIGHBOURS = 3  # as in section III-C of LeCun et al. (1998)
NOISE = 10  # per cent of the pixels, as in section III-E
STRENGTHS = range(1, 6)
OTHERS = ("usps", "digits")
SEEDS = tuple(range(100, 103))

Answers = Callable[[Tensor], Tensor]
Parts = dict[str, tuple[Tensor, Tensor]]


def convolutional() -> nn.Module:
    """The book's LeNet-5."""
    return LeNet5("relu")


def dense() -> nn.Module:
    """A network with one hidden layer and nearly as many parameters."""
    return MLP((HIDDEN,), "relu")


def as_it_is(dataset: ImageDataset, seed: int) -> ImageDataset:
    """The training images, and no others."""
    return dataset


def in_noise(dataset: ImageDataset, seed: int) -> ImageDataset:
    """Every training image with a tenth of its pixels inverted, drawn by lot: section III-E of LeCun et al. (1998)."""
    noisy = change(dataset.train_images, "salt-and-pepper", NOISE, 1_000 * seed + 7)  # no noise of a test image
    return replace(dataset, train_images=noisy)


@dataclass(frozen=True)
class Pupil:
    """What is trained anew for every seed: which network, and on what."""

    title: str
    make_model: Callable[[], nn.Module]
    lesson: Callable[[ImageDataset, int], ImageDataset]


PUPILS = {
    "lenet-5": Pupil("LeNet-5", convolutional, as_it_is),
    "mlp": Pupil("MLP of equal size", dense, as_it_is),
    "distorted": Pupil("LeNet-5, with distorted copies", convolutional, with_distorted_copies),
    "in-noise": Pupil("LeNet-5, trained in noise", convolutional, in_noise),
}
FIXED = {"original": "LeNet-5 of 1998", "k-nn": "3 nearest neighbours"}


@checked
def other_sources() -> Parts:
    """Digits that no classifier here has seen the like of, in MNIST's form: images (N, 28, 28) uint8, and labels.

    They are the 2,007 test digits of USPS, and all 1,797 of scikit-learn.

    Raises
    ------
    lenet_utils.downloads.DataError
        If USPS is missing or damaged and cannot be downloaded.
    """
    usps, digits = (load(name) for name in OTHERS)
    every = (
        torch.cat([getattr(digits, f"{part}_{what}") for part in ("train", "validation", "test")])
        for what in ("images", "labels")
    )
    return {"usps": (usps.test_images, usps.test_labels), "digits": tuple(every)}


@checked
def all_corrupted(images: Tensor, seed: int) -> dict[str, list[Tensor]]:
    """Images (N, 28, 28), uint8, in each kind of corruption, strengths 1 to 5; of 10,000, all take 590 MB."""
    return {kind: [corrupt(images, kind, strength, seed) for strength in STRENGTHS] for kind in CORRUPTIONS}


@checked
def judge(answers: Answers, corrupted: dict[str, list[Tensor]], labels: Tensor) -> dict[str, list[float]]:
    """The share of corrupted images that a classifier misreads, in per cent, by kind, for strengths 1 to 5.

    Parameters
    ----------
    answers : callable
        Takes images (N, 28, 28), uint8, and returns their classes (N,).
    corrupted : dict of list of torch.Tensor
        Some or all kinds of :func:`all_corrupted`.
    labels : torch.Tensor, shape (N,), int64
    """
    return {kind: [error_rate(answers(images), labels) for images in five] for kind, five in corrupted.items()}


@checked
def answers_of(model: nn.Module) -> Answers:
    """The answers of a network that reads images of the size and scaling it was trained with."""
    if not isinstance(getattr(model, "input_shape", None), tuple):
        raise TypeError(f"The network must say the shape of its images as input_shape; {shown(model)} does not.")
    size, scaling = model.input_shape[-1], getattr(model, "scaling", "standard")
    return lambda images: predict(model, prepare(images, size, scaling))


@checked
def nearest_neighbours(images: Tensor, labels: Tensor) -> Answers:
    """The answers of the three nearest of these images (N, 28, 28), by the distance of their pixels."""
    check_labels(labels, len(images) if images.ndim else 0, 2**31)
    known = KNeighborsClassifier(NUM_NEIGHBOURS, algorithm="brute").fit(_rows(images), labels.numpy())
    return lambda asked: torch.from_numpy(known.predict(_rows(asked)))


def _rows(images: Tensor) -> np.ndarray:
    return rows(images).numpy()


def _found(answers: Answers, corrupted: dict[str, list[Tensor]], images: Tensor, labels: Tensor) -> dict[str, object]:
    """What a pass of a run measures: errors in per cent on the images as they are, corrupted, and of other sources."""
    others = {name: error_rate(answers(unseen), those) for name, (unseen, those) in other_sources().items()}
    error = error_rate(answers(images), labels)
    return {"size": len(labels), "error": error, "errors": judge(answers, corrupted, labels), "others": others}


def measure(run: Run) -> None:
    """Train each of ``PUPILS`` and judge it; each is one "pass" of the run.

    All learn for as many steps: the one with distorted copies sees its twofold set in half as many epochs.  What it
    learned with the first seed is stored as well.
    """
    mnist = load("mnist")
    config = replace(default_config(mnist), seed=run.seed)
    recipe = {name: value for name, value in asdict(config).items() if name != "seed"}
    run.begin(mnist.source, pick_device(), recipe=recipe, others=[load(name).source for name in OTHERS])
    run.notes["device"] = device_name(pick_device())
    corrupted = all_corrupted(mnist.test_images, run.seed)
    for name, pupil in [*PUPILS.items()][len(run.passes) :]:
        model, lesson = seeded(pupil.make_model, run.seed), pupil.lesson(mnist, run.seed)
        epochs = config.num_epochs * len(mnist.train_images) // len(lesson.train_images)
        train(model, lesson, replace(config, num_epochs=epochs, input_size=model.input_shape[-1]), progress=False)
        found = _found(answers_of(model), corrupted, mnist.test_images, mnist.test_labels)
        counts = {"parameters": sum(p.numel() for p in model.parameters()), "epochs": epochs}
        if name == "distorted" and run.seed == SEEDS[0]:
            run.notes["learned"] = storage.pack(model.parameters())
        measured = {"classifier": name, **counts, **found}
        if not run.finish_pass(measured, {}, complete=name == [*PUPILS][-1]):
            break


def distorted_network() -> nn.Module:
    """LeNet-5 trained with distorted copies, as the first stored run left it."""
    return learned("robustness", seeded(convolutional, SEEDS[0]))


def measure_fixed(run: Run) -> None:
    """Judge what no seed decides: the stored network of 1998, and the nearest neighbours; each is one "pass"."""
    mnist = load("mnist")
    run.begin(mnist.source, torch.device("cpu"), others=[load(name).source for name in OTHERS])
    make = {
        "original": lambda: answers_of(stored_network()),
        "k-nn": lambda: nearest_neighbours(mnist.train_images, mnist.train_labels),
    }
    corrupted = all_corrupted(mnist.test_images, run.seed)
    for name in [*FIXED][len(run.passes) :]:
        measured = {"classifier": name, **_found(make[name](), corrupted, mnist.test_images, mnist.test_labels)}
        if not run.finish_pass(measured, {}, complete=name == [*FIXED][-1]):
            break


@dataclass(frozen=True)
class Measured:
    """What the stored runs say of one classifier, errors in per cent.

    Attributes
    ----------
    title : str
    size : int
        How many test images it was asked.
    parameters : int, optional
        Of what was trained here.
    errors : dict of numpy.ndarray, shape (seeds, 6)
        By kind of corruption: on the images as they are, and at strengths 1 to 5.
    others : dict of numpy.ndarray, shape (seeds,)
        By source: ``"usps"`` and ``"digits"``.
    """

    title: str
    size: int
    parameters: int | None
    errors: dict[str, np.ndarray]
    others: dict[str, np.ndarray]


def stored_errors() -> dict[str, Measured]:
    """All classifiers of the stored runs, by name.

    Raises
    ------
    lenet_utils.run_store.ResultsError
        As :func:`lenet_utils.run_store.load_results` does.
    """
    titles = {name: pupil.title for name, pupil in PUPILS.items()} | FIXED
    rows = [row for name in EXPERIMENTS for record in load_results(name) for row in record["passes"]]
    by_name = {name: [row for row in rows if row["classifier"] == name] for name in titles}
    return {
        name: Measured(
            titles[name],
            own[0]["size"],
            own[0].get("parameters"),
            {kind: np.array([[row["error"], *row["errors"][kind]] for row in own]) for kind in own[0]["errors"]},
            {source: np.array([row["others"][source] for row in own]) for source in OTHERS},
        )
        for name, own in by_name.items()
    }


KINDS = {kind: {"amounts": how.amounts, "unit": how.unit} for kind, how in CORRUPTIONS.items()}
EXPERIMENTS = {
    "robustness": Experiment(
        "robustness",
        "LeNet-5, an MLP of its size, and LeNet-5 trained otherwise, on corrupted digits and those of other sources",
        measure,
        {"kinds": KINDS, "hidden": HIDDEN, "noise": NOISE, "distortions": asdict(Distortions()), "dataset": "mnist"},
        SEEDS,
    ),
    "robustness-fixed": Experiment(
        "robustness-fixed",
        "LeNet-5 of 1998 and the three nearest neighbours, on the same digits",
        measure_fixed,
        {"kinds": KINDS, "neighbours": NUM_NEIGHBOURS, "dataset": "mnist"},
        SEEDS[:1],
    ),
}
