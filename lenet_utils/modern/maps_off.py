"""What each map of C1 and C3 is worth: LeNet-5 trained, one map at a time switched off, and what it then misreads."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from functools import partial

import torch
from torch import Tensor

from lenet_utils.arguments import check_count, checked, shown
from lenet_utils.checks import choose
from lenet_utils.data import load
from lenet_utils.device import pick_device
from lenet_utils.embedding import activations
from lenet_utils.evaluation import confusion_matrix
from lenet_utils.models import LeNet5, seeded
from lenet_utils.modern.experiments import network
from lenet_utils.preprocessing import prepare
from lenet_utils.run_store import Experiment, Run
from lenet_utils.training import default_config, train

LAYERS = ("c1", "c3")
POOLING = {"c1": "s2", "c3": "s4"}
WAYS = ("zero", "mean")


@checked
def passed_on(model: LeNet5, images: Tensor, layer: str) -> Tensor:
    """The maps of ``"c1"`` or ``"c3"`` as the pooling behind them hands them on.

    Parameters
    ----------
    model : LeNet5
    images : torch.Tensor, shape (N, 1, 32, 32), float
    layer : {"c1", "c3"}

    Returns
    -------
    torch.Tensor, shape (N, 6, 14, 14) or (N, 16, 5, 5), on the CPU
    """
    rows = torch.from_numpy(activations(model, images, choose("layer", layer, POOLING)))  # (N, D)
    maps = rows.unflatten(1, (getattr(model, layer).out_channels, -1))
    return maps.unflatten(2, (math.isqrt(maps.shape[2]), -1))


@checked
@torch.no_grad()
def answers_from(model: LeNet5, maps: Tensor, layer: str, batch_size: int = 250) -> Tensor:
    """What the network answers, given the maps of :func:`passed_on`: classes of shape (N,), int64."""
    shape = choose("layer", layer, {"c1": (6, 14, 14), "c3": (16, 5, 5)})
    if maps.ndim != 4 or tuple(maps.shape[1:]) != shape or maps.numel() == 0 or not maps.is_floating_point():
        raise ValueError(f"Expected maps of shape (N, {', '.join(map(str, shape))}), float; got {shown(maps)}.")
    check_count("batch_size", batch_size, most=2**62)
    f, device, parts = model.activation, next(model.parameters()).device, []
    for x in maps.to(device, model.c3.weight.dtype).split(batch_size):
        x = model.s4(f(model.c3(x))) if layer == "c1" else x  # (B, 16, 5, 5)
        x = f(model.c5(x)).flatten(1)  # (B, 120)
        parts.append(model.output(f(model.f6(x))).argmax(1))
    return torch.cat(parts).cpu()


@checked
def wrong_by_class(answers: Tensor, labels: Tensor, num_classes: int = 10) -> list[int]:
    """How many images of each class got another answer."""
    counts = confusion_matrix(answers, labels, num_classes)
    return (counts.sum(axis=1) - counts.diagonal()).tolist()


@checked
def wrong_without(
    model: LeNet5, maps: Tensor, labels: Tensor, layer: str, number: int, substitute: Tensor | float = 0.0
) -> list[int]:
    """Misread images of each class, with one map switched off; parameters as in :func:`answers_from`.

    Parameters
    ----------
    maps : torch.Tensor
        As :func:`passed_on` gives them; they are left as they are.
    labels : torch.Tensor, shape (N,), int64
    number : int
        Which map, from 0.
    substitute : torch.Tensor, shape (H, W), or float
        What the next layer gets in its place, whatever the image.
    """
    check_count("number", number, 0, maps.shape[1] - 1 if maps.ndim > 1 else 0)
    if isinstance(substitute, Tensor) and substitute.shape not in (maps.shape[2:], ()):
        raise ValueError(f"Expected a map of shape {tuple(maps.shape[2:])} instead; got {tuple(substitute.shape)}.")
    kept = maps[:, number].clone()
    maps[:, number] = substitute
    try:
        return wrong_by_class(answers_from(model, maps, layer), labels, model.output.out_features)
    finally:
        maps[:, number] = kept


def measure(run: Run, name: str) -> None:
    """Train one seed; a "pass" of the run is a layer and a way to switch its maps off."""
    dataset = load(name)
    config = replace(default_config(dataset), seed=run.seed)
    recipe = {key: value for key, value in asdict(config).items() if key != "seed"}
    run.begin(dataset.source, pick_device(), anew=True, recipe=recipe)
    model = seeded(network, run.seed)
    train(model, dataset, config, progress=False)
    images, labels = prepare(dataset.test_images), dataset.test_labels
    held_out = prepare(dataset.validation_images)
    answers = answers_from(model, passed_on(model, images, "c3"), "c3")
    run.notes = {
        "wrong": wrong_by_class(answers, labels),
        "images": torch.bincount(labels, minlength=10).tolist(),
    }
    for layer, way in [(layer, way) for layer in LAYERS for way in WAYS]:
        maps = passed_on(model, images, layer)
        substitutes = passed_on(model, held_out, layer).mean(0) if way == "mean" else torch.zeros_like(maps[0])
        wrong = [wrong_without(model, maps, labels, layer, i, one) for i, one in enumerate(substitutes)]
        is_last = (layer, way) == (LAYERS[-1], WAYS[-1])
        if not run.finish_pass({"layer": layer, "way": way, "wrong": wrong}, {}, complete=is_last):
            break


EXPERIMENTS = {
    "maps-off": Experiment(
        "maps-off",
        "LeNet-5 with one map of C1 or C3 switched off, error by class on MNIST",
        partial(measure, name="mnist"),
        {"layers": LAYERS, "ways": WAYS, "dataset": "mnist"},
        tuple(range(100, 105)),
    )
}
