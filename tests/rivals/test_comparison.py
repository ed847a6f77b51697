"""The list of all classifiers: what is stored, what is printed, and which cost belongs to which."""

from __future__ import annotations

import json

import numpy as np
import pytest
from conftest import ROOT, sentence

from lenet_utils.literature import published
from lenet_utils.rivals.comparison import LENETS, Standing, standing, standings
from lenet_utils.rivals.experiments import RIVALS


@pytest.fixture(scope="module")
def found():
    return standings()


def test_everything_that_is_printed_of_fig_9_is_there_and_nothing_twice(found):
    names = [one.name for one in found]
    assert len(set(names)) == len(names)
    assert set(published("rivals/test-errors").value) <= set(names)
    for one in found:
        assert one.printed_error == published("rivals/test-errors").value.get(one.name)
        assert one.printed_rejected == published("rivals/rejected").value.get(one.name)


def test_a_rival_is_the_mean_of_its_stored_runs(found):
    one = standing("linear", found)
    files = sorted((ROOT / "results").glob("rival-linear-seed*.json"))
    ends = [json.loads(file.read_text("utf8"))["passes"][-1] for file in files]
    assert one.errors == tuple(end["test_error"] for end in ends)
    assert one.error == pytest.approx(np.mean(one.errors))
    assert one.answer_microseconds == pytest.approx(np.mean([end["answer_seconds"] for end in ends]) * 100)
    assert (one.multiply_adds, one.numbers) == (7_840, 7_850)


def test_every_run_that_is_stored_was_measured_as_its_configuration_says(found):
    for name, rival in RIVALS.items():
        for file in (ROOT / "results").glob(f"rival-{name}-seed*.json"):
            assert json.loads(file.read_text("utf8"))["configuration"] == rival.configuration, file.name


def test_counted_costs_round_to_the_printed_ones(found):
    counted = [one for one in found if one.multiply_adds and one.printed_multiply_adds and one.name in RIVALS]
    assert len(counted) >= 6
    for one in counted:
        # vectors are others; the linear one's print is of 20×20 pixels; how many tangents are compared is not printed
        if one.name not in ("svm", "virtual-svm", "linear", "tangent-distance"):
            assert abs(one.multiply_adds - one.printed_multiply_adds) < 2_000, one.name
            assert abs(one.numbers - one.printed_numbers) < 2_000, one.name


def test_the_lenets_are_counted_by_their_layers(found):
    one = standing("lenet-5", found)
    assert (one.numbers, one.multiply_adds) == (60_000, 328_096)
    assert len(one.errors) >= 5
    assert {name for name, *_ in LENETS} <= {one.name for one in found}


def test_an_interval_holds_the_mean():
    one = Standing("a", "A", "plain", errors=(1.0, 3.0))
    low, high = one.interval
    assert one.error == 2
    assert low < 2 < high
    assert (low, high) == pytest.approx((1.74, 2.29), abs=0.01)


def test_an_unknown_name_is_one_sentence(found):
    with pytest.raises(ValueError, match="'lenet'") as caught:
        standing("lenet", found)
    sentence(caught.value, "lenet-5")
