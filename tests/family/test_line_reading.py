"""The experiment that learns to read lines: what it learns from, what judges it, and that it repeats."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import partial

import pytest
import torch

from lenet_utils import runs
from lenet_utils.data import load
from lenet_utils.family import line_reading
from lenet_utils.family.digit_line import NOTHING, best_path, edit_distance, slide
from lenet_utils.family.line_reading import EXPERIMENTS, LineConfig, judge, measure, network, strips_of
from lenet_utils.models import seeded
from lenet_utils.run_store import Experiment, learned, load_results


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("LENET_RESULTS_DIR", str(tmp_path / "results"))
    monkeypatch.setenv("LENET_CACHE_DIR", str(tmp_path / "cache"))


def tiny(name: str = "tiny-line", **changes) -> Experiment:
    config = LineConfig(num_strips=96, num_epochs=2, batch_size=16, num_tested=6, **changes)
    return Experiment(name, "", partial(measure, config=config, dataset_name="digits"), asdict(config))


def test_a_run_repeats_and_ends_as_one_in_one_go():
    runs.run(tiny(), seed=100)
    (whole,) = load_results("tiny-line")
    runs.run(tiny(), seed=100, again=True, until=1)
    runs.run(tiny(), seed=100)
    (parts,) = load_results("tiny-line")
    assert parts["passes"] == whole["passes"]
    assert parts["notes"] == whole["notes"]
    assert whole["passes"][0]["loss"] > whole["passes"][1]["loss"]
    model = learned("tiny-line", seeded(network, 0))
    last = whole["passes"][-1]
    strips = strips_of(load("digits"), "test", 6, 100)
    assert last["touching"]["digits"] == sum(len(strip.labels) for strip in strips)
    assert abs(judge(model, strips, 2, whole["configuration"]["fee"])["edits"] - last["touching"]["edits"]) <= 1


@pytest.mark.parametrize(("held_out", "judged"), [(True, "validation"), (False, "test")])
def test_each_strip_comes_from_the_part_that_is_allowed(monkeypatch, held_out, judged):
    asked = []
    make = line_reading.make_strip
    monkeypatch.setattr(line_reading, "make_strip", lambda *given: asked.append(given[1]) or make(*given))
    runs.run(tiny(held_out=held_out), seed=0)
    assert asked == ["train"] * 96 + [judged] * 12
    (record,) = load_results("tiny-line")
    assert ("touching_tried" in record["passes"][-1]) is held_out
    assert "learned" not in record["notes"]


def test_judging_counts_strips_and_labels(digits):
    model = seeded(network, 0)
    strips = strips_of(digits, "test", 4, 3)
    read = []
    for strip in strips:
        scores = slide(model, strip.image[None])[0].detach()
        read.append(tuple(label for _, label in best_path(scores, 2, -1.0)))
    found = judge(model, strips, 2, -1.0)
    assert found["edits"] == sum(edit_distance(a, strip.labels) for a, strip in zip(read, strips, strict=True))
    assert found["right"] == sum(a == strip.labels for a, strip in zip(read, strips, strict=True))
    assert (found["strips"], found["digits"]) == (4, sum(len(strip.labels) for strip in strips))
    told = [replace(strip, labels=labels) for strip, labels in zip(strips, read, strict=True)]
    assert judge(model, told, 2, -1.0) == {"strips": 4, "right": 4, "digits": sum(map(len, read)), "edits": 0}


def test_strips_of_different_seeds_differ(digits):
    assert [s.chosen for s in strips_of(digits, "test", 3, 1)] != [s.chosen for s in strips_of(digits, "test", 3, 2)]
    with pytest.raises(ValueError, match="count"):
        strips_of(digits, "test", 0, 1)


def test_the_network_has_an_output_for_nothing():
    assert network()(torch.zeros(1, 1, 32, 32)).shape == (1, NOTHING + 1)


def test_a_configuration_out_of_bounds_is_refused():
    for changes in ({"num_strips": 0}, {"apart": 0}, {"fee": float("nan")}):
        with pytest.raises(ValueError, match=next(iter(changes))):
            LineConfig(**changes)


def test_experiments_that_choose_and_that_report_share_no_seed():
    for name, experiment in EXPERIMENTS.items():
        chooses = "search" in name
        assert experiment.configuration["held_out"] is chooses
        assert all((seed < 100) is chooses for seed in experiment.seeds)
