"""How the book's recipes were chosen: candidates, and what each does on the validation images.

Seeds below 100 choose; those that report begin at 100.  The test images are not read.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from torch import nn

from lenet_utils.arguments import checked
from lenet_utils.checks import choose
from lenet_utils.data import load
from lenet_utils.device import pick_device
from lenet_utils.models import LeNet5, seeded
from lenet_utils.run_store import Experiment, Run, as_json
from lenet_utils.training import TrainConfig, train

INITIALISATIONS = {"kaiming": nn.init.kaiming_uniform_, "xavier": nn.init.xavier_uniform_}
START_FOR_TWO = TrainConfig(num_epochs=2, batch_size=128, learning_rate=0.015)
START_FOR_ONE = TrainConfig(num_epochs=1, batch_size=64, learning_rate=0.01)
SMOOTH = {"label_smoothing": 0.1}
SHARP = {"betas": (0.9, 0.95)}
FOR_TWO: tuple[dict, ...] = (
    {},
    *({"label_smoothing": share} for share in (0.05, 0.1, 0.15)),
    *(SMOOTH | {"learning_rate": rate} for rate in (0.01, 0.02)),
    SMOOTH | {"batch_size": 256, "learning_rate": 0.02},
    SMOOTH | {"optimizer": "adamw", "weight_decay": 0.02},
    SMOOTH | {"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.9, "momentum_range": None},
    SMOOTH | {"betas": (0.9, 0.98)},
    SMOOTH | SHARP,
    SMOOTH | {"momentum_range": None},
    SMOOTH | {"momentum_range": (0.9, 0.97)},
    SMOOTH | {"averaged_steps": 100},
    *(SMOOTH | {"initialisation": name} for name in INITIALISATIONS),
    *(SMOOTH | {name: value} for name, value in (("activation", "tanh"), ("pooling", "max"))),
)
FOR_ONE: tuple[dict, ...] = (
    {},
    *({"label_smoothing": share} for share in (0.05, 0.1, 0.2)),
    *(SMOOTH | {"learning_rate": rate} for rate in (0.007, 0.015)),
    *(SMOOTH | SHARP | {"learning_rate": rate} for rate in (0.01, 0.015)),
    SMOOTH | {"batch_size": 128, "learning_rate": 0.015},
    SMOOTH | {"batch_size": 32, "learning_rate": 0.007},
    SMOOTH | SHARP | {"batch_size": 32, "learning_rate": 0.007},
    SMOOTH | {"betas": (0.9, 0.98)},
    SMOOTH | {"betas": (0.9, 0.9)},
    SMOOTH | {"momentum_range": (0.9, 0.97)},
    SMOOTH | SHARP | {"momentum_range": (0.9, 0.97)},
    SMOOTH | {"averaged_steps": 80},
    SMOOTH | {"initialisation": "kaiming"},
    SMOOTH | SHARP | {"initialisation": "kaiming"},
    SMOOTH | {"optimizer": "adamw", "weight_decay": 0.05},
)
# A second round, from the first one's winners: another optimizer, and what may suit it.
START_FOR_MUON = TrainConfig(num_epochs=2, batch_size=128, betas=(0.9, 0.98), label_smoothing=0.1)
START_FOR_MUON_IN_ONE = replace(START_FOR_MUON, num_epochs=1, batch_size=64, learning_rate=0.01)
MUON = {"optimizer": "muon"}
FOR_MUON: tuple[dict, ...] = (
    {},
    *(MUON | {"matrix_rate": rate} for rate in (0.01, 0.02, 0.03, 0.05)),
    *(MUON | {"label_smoothing": share} for share in (0.05, 0.15)),
    MUON | {"momentum_range": None},
    MUON | {"momentum_range": (0.9, 0.97)},
    MUON | {"batch_size": 192},
    MUON | {"initialisation": "kaiming"},
)
FOR_FEWER_STEPS = (  # as quick as Adam was: Muon's products of matrices cost the same for a batch of any size
    *(MUON | {"batch_size": size} for size in (192, 224, 256)),
    MUON | {"batch_size": 256, "learning_rate": 0.02, "matrix_rate": 0.03},
)
FOR_MUON_IN_ONE: tuple[dict, ...] = (
    {},
    *(MUON | {"matrix_rate": rate} for rate in (0.01, 0.02, 0.03, 0.05)),
    *(MUON | {"label_smoothing": share} for share in (0.05, 0.15)),
    MUON | {"momentum_range": None},
    MUON | {"batch_size": 32, "learning_rate": 0.007},
    MUON | {"batch_size": 48},
)
OF_NETWORK = ("activation", "pooling", "initialisation")


@checked
def network(activation: str = "relu", pooling: str = "average", initialisation: str | None = None) -> nn.Module:
    """LeNet-5, its weights as torch draws them or, with biases of 0, as Glorot & Bengio or He and others do."""
    initialise = choose("initialisation", initialisation, INITIALISATIONS) if initialisation else None
    model = LeNet5(activation, pooling)
    for layer in model.modules():
        if initialise and isinstance(layer, nn.Conv2d | nn.Linear):
            initialise(layer.weight)
            nn.init.zeros_(layer.bias)
    return model


def measure(run: Run, start: TrainConfig, candidates: tuple[dict, ...]) -> None:
    """Train every candidate with one seed; each is one "pass" of the run."""
    dataset = load("mnist")
    run.begin(dataset.source, pick_device())
    for candidate in candidates[len(run.passes) :]:
        of_network = {name: value for name, value in candidate.items() if name in OF_NETWORK}
        of_training = {name: value for name, value in candidate.items() if name not in OF_NETWORK}
        model = seeded(partial(network, **of_network), run.seed)
        history = train(model, dataset, replace(start, **of_training, seed=run.seed), progress=False)
        measured = {"changes": as_json(candidate), "validation_error": history.validation_error[-1]}
        measured["train_seconds"] = history.seconds
        if not run.finish_pass(measured, {}, complete=len(run.passes) + 1 == len(candidates)):
            break


def _experiment(name: str, what: str, start: TrainConfig, candidates: tuple[dict, ...]) -> Experiment:
    shown = {"num_epochs": start.num_epochs, "batch_size": start.batch_size, "learning_rate": start.learning_rate}
    summary = f"candidates for {what}, by validation error"
    chosen = partial(measure, start=start, candidates=candidates)
    return Experiment(name, summary, chosen, shown | {"candidates": candidates}, tuple(range(5)))


EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        _experiment("lenet5-search", "two epochs, first round", START_FOR_TWO, FOR_TWO),
        _experiment("lenet5-search-one-epoch", "one epoch, first round", START_FOR_ONE, FOR_ONE),
        _experiment("lenet5-search-muon", "two epochs, second round", START_FOR_MUON, FOR_MUON),
        _experiment("lenet5-search-fewer-steps", "two epochs in fewer steps", START_FOR_MUON, FOR_FEWER_STEPS),
        _experiment("lenet5-search-muon-one-epoch", "one epoch, second round", START_FOR_MUON_IN_ONE, FOR_MUON_IN_ONE),
    )
}
