"""What measures a claim of the ledger: counts of networks, stored runs, the data, and a few small computations.

Each function returns one number, a list with one of each run, or None where the data are not on this machine.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from functools import cache, partial
from itertools import pairwise
from pathlib import Path

import torch
from torch import nn

from lenet_utils import downloads
from lenet_utils.checks import choose
from lenet_utils.counting import LayerRow, layer_table, receptive_field, total
from lenet_utils.data import ImageDataset, load
from lenet_utils.family.networks import LeNet1, ZipNet1989
from lenet_utils.models import MLP, LeNet5
from lenet_utils.original.layers import C3_TABLE, scaled_tanh
from lenet_utils.original.network import LeNet5Original
from lenet_utils.paths import data_dir, results_dir
from lenet_utils.preprocessing import prepare
from lenet_utils.recipes.claims import Claim
from lenet_utils.recipes.experiments import measured
from lenet_utils.recipes.published import RECIPES
from lenet_utils.run_store import load_results


def _centres(centres: int) -> nn.Module:
    """So many stored images, and a linear layer on top: neither has biases."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, centres, bias=False), nn.Linear(centres, 10, bias=False))


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "lenet-5": LeNet5Original,
    "lenet-5-of-today": LeNet5,
    "lenet-1": LeNet1,
    "zip-1989": ZipNet1989,
    "linear": partial(MLP, ()),
    "linear-20x20": partial(MLP, (), input_size=20),
    "pairwise": partial(MLP, (), num_classes=45),
    "rbf-1000": partial(_centres, 1000),
    "mlp-300-deslanted": partial(MLP, (300,), input_size=20),
    "mlp-1000": partial(MLP, (1000,)),
    "mlp-300-100": partial(MLP, (300, 100)),
    "mlp-500-150": partial(MLP, (500, 150)),
    "mlp-1000-150": partial(MLP, (1000, 150)),
    **{name: recipe.make_model for name, recipe in RECIPES.items()},
}


@cache
def _table(network: str) -> tuple[tuple[int, ...], dict[str, LayerRow]]:
    """What a network reads, and its layers by name, with their total."""
    model = choose("network", network, NETWORKS)()
    shape = getattr(model, "input_shape", (1, 28, 28))
    rows = layer_table(model, shape)
    return shape, {row.name: row for row in [*rows, total(rows)]}


def count(network: str, what: str, layer: str = "total", per: int = 1) -> float:
    """Parameters, connections, multiply-adds (``macs``) or units of a network or a layer, in so many at a time."""
    shape, rows = _table(network)
    if what == "units":  # those of the input count, too
        found = math.prod(shape) + sum(math.prod(row.output_shape) for row in rows.values() if row.name != "total")
    else:
        found = getattr(rows[layer], what)
    return found if per == 1 else found / per


def trainable_layers() -> int:
    """How many layers of LeNet-5 of 1998 learn."""
    return sum(row.parameters > 0 for row in _table("lenet-5")[1].values() if row.name != "total")


def side(layer: str, of: str = "map") -> int:
    """The side of a layer's maps (``map``), of its kernels (``kernel``), or of its units' ``field`` in pixels."""
    if of == "field":
        return receptive_field(LeNet5Original())[layer][0]
    row = _table("lenet-5")[1][layer]
    return (row.output_shape[1:] if of == "map" else row.kernel)[0]


def centres(layer: str) -> int:
    """The side of the area that the centres of a layer's fields stand for: places times their distance."""
    return side(layer) * receptive_field(LeNet5Original())[layer][1]


def inputs_of_c3() -> list[int]:
    """How many maps each map of C3 sees."""
    return C3_TABLE.sum(0).tolist()


def squash(what: str) -> float:
    """The squashing function at 1, or where from 0 on its second derivative is largest."""
    a = torch.linspace(0, 3, 30_001, dtype=torch.float64)
    if what == "at one":
        return float(scaled_tanh(torch.ones((), dtype=torch.float64)))
    return float(a[1:-1][scaled_tanh(a).diff().diff().abs().argmax()])


def dense_features(size: int) -> int:
    """How many numbers of an image reach the dense layers of a LeNet-5, after two 5×5 convolutions and poolings."""
    for _ in range(2):
        size = (size - 4) // 2
    return 16 * size**2


def alexnet(what: str) -> float:
    """Units of the first layer as printed (``units``), or millions of parameters of all (``parameters``)."""
    if what == "units":
        return 96 * ((224 - 11) // 4 + 1) ** 2
    maps = [(3, 96, 11), (48, 256, 5), (256, 384, 3), (192, 384, 3), (192, 256, 3)]  # inputs, outputs, kernel
    widths = [256 * 6 * 6, 4096, 4096, 1000]
    parameters = sum(b * (a * k * k + 1) for a, b, k in maps) + sum(b * (a + 1) for a, b in pairwise(widths))
    return parameters / 10**6


@cache
def _runs(experiment: str, folder: Path) -> list[dict]:
    return load_results(experiment)


def runs(experiment: str) -> list[dict]:
    """The stored runs of an experiment, read once."""
    return _runs(experiment, results_dir())


def stored(experiment: str, value: str, after: int = 0, per: int = 1) -> list[float]:
    """A number of each stored run after so many passes, by default after all, in so many at a time."""
    return [run["passes"][after - 1][value] / per for run in runs(experiment)]


def noted(experiment: str, value: str) -> list[float]:
    """What each stored run noted at its end."""
    return [run["notes"][value] for run in runs(experiment)]


def worn(classifier: str, kind: str, strength: int) -> list[float]:
    """The error of each stored network on digits that were moved, torn or faded so much, from 1 to 5."""
    rows = [row for run in runs("robustness") for row in run["passes"] if row["classifier"] == classifier]
    return [row["errors"][kind][strength - 1] for row in rows]


def change(experiment: str, value: str, since: int, until: int) -> list[float]:
    """By how much a number of each stored run grew from one pass to another."""
    pairs = zip(stored(experiment, value, since), stored(experiment, value, until), strict=True)
    return [after - before for before, after in pairs]


def above(experiment: str, value: str, other: str, after: int) -> list[float]:
    """How far one number of each stored run lay above another after so many passes."""
    pairs = zip(stored(experiment, value, after), stored(experiment, other, after), strict=True)
    return [a - b for a, b in pairs]


def gap(higher: str, lower: str, value: str) -> float:
    """How far an experiment's mean lies above another's, after all passes."""
    return statistics.mean(stored(higher, value)) - statistics.mean(stored(lower, value))


def first_rates(experiment: str, end: str) -> list[float]:
    """The smallest or the largest rate of the first pass of each stored run."""
    pick, place = {"smallest": (min, 0), "largest": (max, -1)}[end]
    return [pick(row[place] for row in run["passes"][0]["rates"].values()) for run in runs(experiment)]


def moved(pixels: int) -> list[float]:
    """By how many points the error of LeNet-5 of today grows when digits move by so many pixels."""
    rows = [row for run in runs("pooling-shifts") for row in run["passes"] if row["pooling"] == "average"]
    return [row["errors"][pixels] - row["errors"][0] for row in rows]


def recipe(name: str, what: str, epoch: int) -> list[float]:
    """What each stored run of a recipe has to set against a claim."""
    claim = Claim(what, epoch, 0.0, 0)
    return [measured(claim, run) for run in runs(f"recipe-{name.lower()}")]


def data(name: str, what: str) -> float | list[int] | None:
    """A fact of a data set, if its files lie on this machine: nothing is downloaded."""
    found = _facts(name, data_dir())
    return found and found[what]


@cache
def _facts(name: str, folder: Path) -> dict | None:
    paths = {part: [path] for part, (path, _) in downloads.files(name, folder).items()}
    if name == "usps":
        paths = {part: [*several, downloads.zip_file(part, folder)] for part, several in paths.items()}
    if not all(any(path.exists() for path in several) for several in paths.values()):
        return None
    if name == "usps":
        return {part: len(labels) for part, (_, labels) in downloads.read_usps(folder)[0].items()}
    dataset = load(name, folder)
    train = torch.cat([dataset.train_images, dataset.validation_images])
    labels = torch.cat([dataset.train_labels, dataset.validation_labels, dataset.test_labels])
    sizes = labels.bincount().unique().tolist()  # one number where all classes are alike
    found = {"train": len(train), "test": len(dataset.test_images), "of each class": sizes}
    return found | (_pixels(train, dataset) if name == "mnist" else {})


def _pixels(train: torch.Tensor, dataset: ImageDataset) -> dict[str, float]:
    sides, places, grey, ink = [], [], 0, 0
    for images in torch.cat([train, dataset.test_images]).split(5_000):  # in float32, all of them fill 220 MB
        for sums in (images.float().sum(1), images.float().sum(2)):  # of columns and of rows
            inked = (sums > 0).int()
            sides.append(28 - inked.argmax(1) - inked.flip(1).argmax(1))
            places.append(sums @ torch.arange(28.0) / sums.sum(1))
        grey, ink = grey + int(((images > 25) & (images < 230)).sum()), ink + int((images > 0).sum())
    moments = torch.zeros(2, dtype=torch.float64)
    for images in train.split(5_000):
        paper = prepare(images, scaling="paper").double()
        moments += torch.stack([paper.sum(), paper.square().sum()]) / (len(train) * paper[0].numel())
    return {
        "longest side": int(torch.cat(sides).max()),
        "centre": float(torch.cat(places).mean()),
        "grey": 100 * grey / ink,
        "input mean": float(moments[0]),
        "input variance": float(moments[1] - moments[0] ** 2),
        "pixel mean": float((train / 255).mean()),
        "pixel sd": float((train / 255).std()),
        "second half harder": _second_half_harder(dataset),
    }


def _second_half_harder(dataset: ImageDataset) -> float:
    """By how many points the nearest mean image errs more on the last half of the test images than on the first."""
    means = torch.stack([dataset.train_images[dataset.train_labels == k].float().mean(0).flatten() for k in range(10)])
    wrong = torch.cdist(dataset.test_images.flatten(1).float(), means).argmin(1) != dataset.test_labels
    first, last = (100 * float(half.float().mean()) for half in wrong.chunk(2))
    return last - first


MEASURES: dict[str, Callable] = {
    function.__name__: function
    for function in (
        *(count, trainable_layers, side, centres, inputs_of_c3, squash, dense_features, alexnet),
        *(stored, noted, worn, change, above, gap, first_rates, moved, recipe, data),
    )
}
