"""LeNet-1 and a LeNet-4 that is partly ours (:mod:`lenet_utils.family.networks`), trained by the book's own loop.

LeNet-1 was made for digits of 16×16 pixels: MNIST's, of 20×20, are made smaller for it, as in 1998; zip codes are so.
How they learn is ours: the recipe of the book's LeNet-5, for five epochs instead of two, which one try
(seed 0, validation images) found better for both.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from lenet_utils import downloads
from lenet_utils.arguments import checked
from lenet_utils.checks import choose
from lenet_utils.data import ImageDataset, load
from lenet_utils.device import pick_device
from lenet_utils.evaluation import judge, outputs
from lenet_utils.family.networks import LeNet1, LeNet4
from lenet_utils.models import seeded
from lenet_utils.modern.experiments import TWO_EPOCHS
from lenet_utils.paths import data_dir
from lenet_utils.preprocessing import pad, prepare
from lenet_utils.run_store import Experiment, Run
from lenet_utils.training import TrainConfig, train

MADE: dict[str, Callable[[], nn.Module]] = {"lenet1": LeNet1, "lenet4": LeNet4}
NUM_HELD_OUT = 729  # zip codes, a tenth of those to learn
NUM_EPOCHS = {"mnist": 5, "usps": 40}  # so that both show a network about 270,000 digits


@checked
def made_small(images: Tensor) -> Tensor:
    """MNIST's images (N, 28, 28), uint8, at four fifths of their size: (N, 24, 24), with digits that fit 16×16."""
    if images.dtype != torch.uint8 or images.ndim != 3 or images.shape[1:] != (28, 28) or not len(images):
        raise ValueError(f"Expected images (N, 28, 28), uint8; got {images.dtype} of shape {tuple(images.shape)}.")
    small = interpolate(pad(images, 30)[:, None].float(), (24, 24), mode="bilinear", antialias=True)[:, 0]
    return small.round().to(torch.uint8)


def zip_codes() -> ImageDataset:
    """The zip codes as they are, 16×16 pixels, the last tenth of those to learn held out for validation."""
    digits, checksum = downloads.read_usps(data_dir())
    images, labels = digits["train"]
    usps = load("usps")
    return replace(
        usps,
        train_images=images[:-NUM_HELD_OUT],
        train_labels=labels[:-NUM_HELD_OUT].long(),
        validation_images=images[-NUM_HELD_OUT:],
        validation_labels=labels[-NUM_HELD_OUT:].long(),
        test_images=digits["test"][0],
        test_labels=digits["test"][1].long(),
        source=f"the zip-code digits of USPS, 16×16 pixels (MD5 of the digits {checksum})",
    )


@dataclass(frozen=True)
class Setting:
    """Which network learns from which digits, and how."""

    network: str
    data: str
    config: TrainConfig

    @classmethod
    def of(cls, network: str, data: str = "mnist") -> Setting:
        """The book's recipe, at the size that the network takes."""
        size = choose("network", network, MADE).input_shape[1]
        return cls(network, data, replace(TWO_EPOCHS, num_epochs=NUM_EPOCHS[data], input_size=size))

    def dataset(self) -> ImageDataset:
        """The digits, made small for LeNet-1."""
        if self.data == "usps":
            return zip_codes()
        dataset = load(self.data)
        if self.network == "lenet4":
            return dataset
        parts = ("train_images", "validation_images", "test_images")
        return replace(dataset, **{part: made_small(getattr(dataset, part)) for part in parts})


def measure(run: Run, setting: Setting) -> None:
    """Train one seed, and test it; times are the processor's."""
    dataset = setting.dataset()
    labels = dataset.test_labels
    run.begin(dataset.source, pick_device(), anew=True)
    start = time.process_time()
    model = seeded(MADE[setting.network], run.seed)
    history = train(model, dataset, replace(setting.config, seed=run.seed), progress=False)
    middle = time.process_time()
    scores = outputs(model, prepare(dataset.test_images, setting.config.input_size))
    end = time.process_time()
    run.notes = judge(scores, labels) | {"train_seconds": middle - start, "answer_seconds": end - middle}
    rows = history.rows()
    for row in rows:
        if not run.finish_pass(row, {}, complete=row is rows[-1]):
            break


def _experiment(name: str, setting: Setting) -> Experiment:
    shown = {key: value for key, value in asdict(setting.config).items() if key != "seed"}
    configuration = {"network": setting.network, "data": setting.data, **shown}
    digits = "MNIST" if setting.data == "mnist" else "zip codes"
    summary = f"{MADE[setting.network].__name__} on {digits}, {setting.config.num_epochs} epochs"
    return Experiment(name, summary, partial(measure, setting=setting), configuration, tuple(range(100, 105)))


EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        _experiment("lenet1-mnist", Setting.of("lenet1")),
        _experiment("lenet4-mnist", Setting.of("lenet4")),
        _experiment("lenet1-zip", Setting.of("lenet1", "usps")),
    )
}
