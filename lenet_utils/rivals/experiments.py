"""Each rival on MNIST: its test error, its cost, what it must reject, and how its free settings were chosen.

A rival learns from all 60,000 training images, as in LeCun et al. (1998), section III-C, and is tested once on the
10,000.  Settings that the paper leaves open were chosen on validation images, by ``rivals-search``, with a seed below
100; reported seeds begin at 100.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from lenet_utils.arguments import checked
from lenet_utils.checks import choose
from lenet_utils.counting import layer_table, total
from lenet_utils.data import ImageDataset, load
from lenet_utils.device import pick_device
from lenet_utils.evaluation import judge, outputs
from lenet_utils.family.relatives import made_small
from lenet_utils.models import MLP, seeded
from lenet_utils.original.distortions import Distortion, distort
from lenet_utils.preprocessing import prepare
from lenet_utils.rivals.classifiers import Linear, NearestNeighbours, Pairwise, PCAQuadratic
from lenet_utils.rivals.deslanting import crop, deslant
from lenet_utils.rivals.kernels import RadialBasis, SupportVectors
from lenet_utils.rivals.tangents import TangentDistance
from lenet_utils.run_store import Experiment, Run, as_json
from lenet_utils.training import TrainConfig, train

CLASSIFIERS = {
    "linear": Linear,
    "pairwise": Pairwise,
    "neighbours": NearestNeighbours,
    "quadratic": PCAQuadratic,
    "radial": RadialBasis,
    "vectors": SupportVectors,
    "tangents": TangentDistance,
}
VIEWS = {
    "regular": lambda images: images,
    "cropped": crop,
    "deslanted": lambda images: crop(deslant(images)),
    "small": lambda images: crop(made_small(images), 16),
}
COPIES = 9  # distorted ones of each training image: 540,000 beside the 60,000 (section III-B)
NUM_SEARCHED = 10_000  # training images from which support vectors are chosen in the search


@dataclass(frozen=True)
class Rival:
    """One classifier, what it sees, and its settings.

    Attributes
    ----------
    name : str
        ``"knn-deslanted"``; its experiment is called ``"rival-"`` and this.
    title : str
        As figures and tables show it.
    kind : str
        A key of ``CLASSIFIERS``, or ``"network"``.
    view : {"regular", "cropped", "deslanted", "small"}
        28×28 pixels; 20×20; 20×20 with the digit set upright; 16×16, as LeNet-1 sees it.
    settings : dict
        What the class takes; of a network, ``hidden``, and what :class:`lenet_utils.training.TrainConfig` takes.
    copies : int
        Distorted copies of each training image.
    seeds : tuple of int
    """

    name: str
    title: str
    kind: str
    view: str = "regular"
    settings: dict = field(default_factory=dict)
    copies: int = 0
    seeds: tuple[int, ...] = (100,)

    @property
    def configuration(self) -> dict:
        """What decides the outcome besides seed and data."""
        what = {"kind": self.kind, "view": self.view, "settings": self.settings, "copies": self.copies}
        return as_json(what | ({"distortion": vars(Distortion())} if self.copies else {}))


@checked
def as_seen(dataset: ImageDataset, view: str) -> ImageDataset:
    """The data set with all its images in a view, a key of ``VIEWS``."""
    change = choose("view", view, VIEWS)
    parts = {f"{part}_images": getattr(dataset, f"{part}_images") for part in ("train", "validation", "test")}
    return replace(
        dataset, **{part: torch.cat([change(c) for c in images.split(2_000)]) for part, images in parts.items()}
    )


@checked
def with_copies(dataset: ImageDataset, copies: int, seed: int) -> ImageDataset:
    """The data set, its training part followed by so many copies of all its images, distorted as in section III-B."""
    generator = torch.Generator().manual_seed(seed)
    images = dataset.train_images
    more = [distort(images, Distortion().draw(len(images), generator)) for _ in range(copies)]
    return replace(
        dataset, train_images=torch.cat([images, *more]), train_labels=dataset.train_labels.repeat(1 + copies)
    )


@checked
def rows(images: Tensor) -> Tensor:
    """(N, H, W) uint8 as rows (N, H·W), float32 from 0 to 1."""
    if images.ndim != 3 or images.dtype != torch.uint8:
        raise ValueError(f"Expected images (N, H, W), uint8; got {images.dtype} of shape {tuple(images.shape)}.")
    return images.flatten(1).float() / 255


def measure(run: Run, rival: Rival) -> None:
    """Let a rival learn, and test it; all is one "pass" of the run."""
    device = pick_device() if rival.kind == "network" else torch.device("cpu")
    dataset = load("mnist")
    run.begin(dataset.source, device, anew=True)
    dataset = as_seen(dataset.with_test_as_validation(), rival.view)
    dataset = with_copies(dataset, rival.copies, run.seed) if rival.copies else dataset
    with threadpool_limits(1):
        run.finish_pass(compare(rival, dataset, run.seed), {}, complete=True)


def compare(rival: Rival, dataset: ImageDataset, seed: int) -> dict:
    """What :func:`measure` keeps, of a data set that is as the rival sees it.

    Returns
    -------
    dict
        What :func:`lenet_utils.evaluation.judge` gives, ``multiply_adds`` and ``numbers``; ``train_seconds``, and
        ``answer_seconds`` for all test images, both of the processor, whatever else the machine did.
    """
    labels = dataset.test_labels
    start = time.process_time()
    if rival.kind == "network":
        model = learned_network(rival, dataset, seed)
        costs = total(layer_table(model))
        found = {"multiply_adds": costs.macs, "numbers": costs.parameters}
        middle = time.process_time()
        images = prepare(dataset.test_images, dataset.test_images.shape[-1])
        scores = outputs(model, images)
    else:
        settings = rival.settings | ({"seed": seed} if rival.kind == "radial" else {})
        model = CLASSIFIERS[rival.kind](**settings).learn(rows(dataset.train_images), dataset.train_labels)
        found = {"multiply_adds": model.multiply_adds, "numbers": model.numbers}
        middle = time.process_time()
        scores = model.scores(rows(dataset.test_images))
    found |= {"train_seconds": middle - start, "answer_seconds": time.process_time() - middle}
    return judge(scores, labels) | found


def learned_network(rival: Rival, dataset: ImageDataset, seed: int) -> nn.Module:
    """A rival that is a network of full layers, trained; its settings but ``hidden`` are those of the training."""
    settings = {name: value for name, value in rival.settings.items() if name != "hidden"}
    side = dataset.train_images.shape[-1]
    model = seeded(lambda: MLP(rival.settings["hidden"], input_size=side), seed)
    train(model, dataset, TrainConfig(**settings, input_size=side, seed=seed), progress=False)
    return model


def search(run: Run, candidates: tuple[Rival, ...]) -> None:
    """What each candidate misreads of the 5,000 validation images; it is one "pass" of the run."""
    dataset = load("mnist")
    run.begin(dataset.source, torch.device("cpu"))
    dataset = replace(dataset, test_images=dataset.validation_images, test_labels=dataset.validation_labels)
    for rival in candidates[len(run.passes) :]:
        part = dataset.subset(NUM_SEARCHED) if rival.kind == "vectors" else dataset
        with threadpool_limits(1):
            found = compare(rival, as_seen(part, rival.view), run.seed)
        measured = {"kind": rival.kind, "settings": as_json(rival.settings), "validation_error": found["test_error"]}
        if not run.finish_pass(measured, {}, complete=len(run.passes) + 1 == len(candidates)):
            break


THREE = (100, 101, 102)
PASSES = {"num_epochs": 10, "batch_size": 256, "learning_rate": 0.003}  # of 10 to 20 in section III-D
ONCE = PASSES | {"num_epochs": 1}  # as many patterns, each of ten times as many seen once


def _networks() -> Iterable[Rival]:
    for hidden in ((300,), (1000,), (300, 100), (500, 150)):
        units = "-".join(map(str, hidden))
        name, title, layers = f"mlp-{units}", f"MLP {units}", {"hidden": hidden}
        yield Rival(name, title, "network", settings=PASSES | layers, seeds=THREE)
        if hidden == (300,):
            yield Rival(f"{name}-deslanted", title, "network", "deslanted", PASSES | layers, seeds=THREE)
        yield Rival(f"{name}-distorted", title, "network", settings=ONCE | layers, copies=COPIES, seeds=THREE)


RIVALS = {
    rival.name: rival
    for rival in (
        Rival("linear", "linear", "linear"),
        Rival("linear-deslanted", "linear", "linear", "deslanted"),
        Rival("pairwise", "pairwise", "pairwise"),
        Rival("knn", "K-NN", "neighbours", "cropped"),
        Rival("knn-deslanted", "K-NN", "neighbours", "deslanted"),
        Rival("pca-quadratic", "PCA + quadratic", "quadratic"),
        Rival("rbf-1000", "RBF", "radial", seeds=THREE),
        Rival("tangent-distance", "tangent distance", "tangents", "small"),
        Rival("svm", "SVM", "vectors"),
        Rival("virtual-svm", "virtual SVM", "vectors", settings={"degree": 9, "gamma": 0.0025, "virtual": True}),
        *_networks(),
    )
}
CANDIDATES = (
    *(Rival("", "", "pairwise", settings={"gain": gain}) for gain in (0.0, 1.0, 3.0)),
    *(Rival("", "", "radial", settings={"width": width}) for width in (0.5, 1.0, 2.0)),
    *(Rival("", "", "vectors", settings={"gamma": gamma}) for gamma in (0.01, 0.02, 0.05)),
    *(
        Rival("", "", "vectors", settings={"degree": 9, "gamma": gamma, "virtual": True})
        for gamma in (0.00125, 0.0025, 0.005)
    ),
    *(Rival("", "", "tangents", "small", {"shortlist": shortlist}) for shortlist in (100, 300, 1_000)),
    *(Rival("", "", "network", settings=PASSES | {"hidden": (300,), "learning_rate": rate}) for rate in (0.001, 0.003)),
)


def _experiment(rival: Rival) -> Experiment:
    summary = f"{rival.title} ({rival.view}{', distorted' if rival.copies else ''}), a rival of 1998, on MNIST"
    return Experiment(f"rival-{rival.name}", summary, partial(measure, rival=rival), rival.configuration, rival.seeds)


EXPERIMENTS = {experiment.name: experiment for experiment in map(_experiment, RIVALS.values())}
EXPERIMENTS["rivals-search"] = Experiment(
    "rivals-search",
    "settings of the rivals that the paper leaves open, by validation error on MNIST",
    partial(search, candidates=CANDIDATES),
    {"candidates": [candidate.configuration for candidate in CANDIDATES], "dataset": "mnist"},
)
