"""All that is known of the rivals and the LeNets, in one list: what runs measured, what is counted, what is printed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from lenet_utils.arguments import checked
from lenet_utils.counting import layer_table, total
from lenet_utils.evaluation import wilson_interval
from lenet_utils.family.networks import LeNet1, LeNet4
from lenet_utils.literature import published
from lenet_utils.models import LeNet5
from lenet_utils.original.network import LeNet5Original
from lenet_utils.rivals.experiments import RIVALS
from lenet_utils.run_store import MissingResultsError, load_results

NUM_TESTED = 10_000
# Name, title, network, the experiment that tells its error, and the one that tells what it must reject and its times.
LENETS: tuple[tuple[str, str, Callable[[], nn.Module], str, str | None], ...] = (
    ("lenet-1", "LeNet-1", LeNet1, "lenet1-mnist", "lenet1-mnist"),
    ("lenet-4", "LeNet-4", LeNet4, "lenet4-mnist", "lenet4-mnist"),
    ("lenet-5", "LeNet-5", LeNet5Original, "original", "original-timed"),
    ("lenet-5-distorted", "LeNet-5", LeNet5Original, "original-distorted", None),
    ("lenet-5-today", "LeNet-5 of today", lambda: LeNet5("relu"), "lenet5-mnist", "lenet5-timed"),
)
# Fig. 11 counts one variant of a method; another that looks at as many numbers costs the same.
SAME_COST = {
    "linear-deslanted": "linear",
    "knn": "knn-deslanted",
    "lenet-5-distorted": "lenet-5",
    **{f"{name}-distorted": name for name in ("mlp-1000", "mlp-300-100", "mlp-500-150")},
}


@dataclass(frozen=True)
class Standing:
    """One classifier in one way of training; what is not known is None.

    Attributes
    ----------
    name, title : str
    way : {"plain", "deslanted", "distorted"}
    errors : tuple of float
        Test errors in per cent, one of each seed; empty if it is only printed.
    multiply_adds, numbers : int, optional
        For one digit; to be stored.
    rejected : float, optional
        Mean, per cent, for 0.5 % errors among the others.
    train_seconds, answer_microseconds : float, optional
        Means, of the processor: all of the training; one digit's answer.
    printed_error, printed_rejected, printed_multiply_adds, printed_numbers : float, optional
        In Figs. 9 to 12 of LeCun et al. (1998); the last two in single units, not in thousands.
    """

    name: str
    title: str
    way: str
    errors: tuple[float, ...] = ()
    multiply_adds: int | None = None
    numbers: int | None = None
    rejected: float | None = None
    train_seconds: float | None = None
    answer_microseconds: float | None = None
    printed_error: float | None = None
    printed_rejected: float | None = None
    printed_multiply_adds: float | None = None
    printed_numbers: float | None = None

    @property
    def error(self) -> float:
        """The mean of the seeds' test errors, in per cent."""
        return float(np.mean(self.errors))

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's interval (95 %) for the mean error over 10,000 test images, in per cent."""
        return wilson_interval(round(self.error / 100 * NUM_TESTED), NUM_TESTED)


@checked
def standings() -> list[Standing]:
    """Every rival and every LeNet, in the order of the paper's Fig. 9; what is not stored, as it is printed.

    Raises
    ------
    lenet_utils.run_store.ResultsError
        If a results file is damaged.
    """
    found = []
    for rival in RIVALS.values():
        ends = _ends(f"rival-{rival.name}")
        costs = {what: round(_mean(ends, what)) for what in ("multiply_adds", "numbers")} if ends else {}
        found.append(_standing(rival.name, rival.title, _errors(ends) | _times(ends) | costs))
    for name, title, make, experiment, timed in LENETS:
        ends, costs = _ends(experiment), total(layer_table(make()))
        counted = {"multiply_adds": costs.macs, "numbers": costs.parameters} if ends else {}
        found.append(_standing(name, title, _errors(ends) | counted | (_times(_ends(timed)) if timed else {})))
    ends, one = _ends("boosted-lenet4"), total(layer_table(LeNet4()))
    costs = {"multiply_adds": 3 * one.macs, "numbers": 3 * one.parameters} if ends else {}
    found.append(_standing("boosted-lenet-4", "boosted LeNet-4", _errors(ends, "sum_error") | _times(ends) | costs))
    return found


@checked
def standing(name: str, among: Sequence[Standing]) -> Standing:
    """The one of this name.

    Raises
    ------
    ValueError
        If there is none; the message lists the names.
    """
    for one in among:
        if one.name == name:
            return one
    raise ValueError(f"There is no classifier {name!r}: choose one of {', '.join(one.name for one in among)}.")


def _standing(name: str, title: str, measured: dict) -> Standing:
    way = next((way for way in ("deslanted", "distorted") if way in name), "plain")
    keys = {"error": "test-errors", "rejected": "rejected"}
    printed = {f"printed_{what}": published(f"rivals/{key}").value.get(name) for what, key in keys.items()}
    for what, key in (("multiply_adds", "multiply-adds"), ("numbers", "numbers-stored")):
        thousands = published(f"rivals/{key}").value.get(SAME_COST.get(name, name))
        printed[f"printed_{what}"] = None if thousands is None else 1_000 * thousands
    return Standing(name, title, way, **measured, **printed)


def _ends(experiment: str) -> list[dict]:
    """What complete runs, whose seeds have chosen nothing, measured at last; none, if nothing is stored."""
    try:
        return [run["passes"][-1] | run["notes"] for run in load_results(experiment) if run["seed"] >= 100]
    except MissingResultsError:
        return []


def _errors(ends: list[dict], what: str = "test_error") -> dict:
    return {"errors": tuple(end[what] for end in ends)}


def _times(ends: list[dict]) -> dict:
    """Rejection and times, where runs tell them."""
    if not ends or "rejected" not in ends[0]:
        return {}
    return {
        **{what: _mean(ends, what) for what in ("rejected", "train_seconds")},
        "answer_microseconds": 1e6 * _mean(ends, "answer_seconds") / ends[0]["test_size"],
    }


def _mean(ends: list[dict], what: str) -> float:
    return float(np.mean([end[what] for end in ends]))
