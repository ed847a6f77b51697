"""Try your own: grids of short runs, compared in one table and one figure."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import sentence

from lenet_utils.models import seeded
from lenet_utils.recipes.networks import FullLeNet1
from lenet_utils.recipes.sweep import DEFAULTS, SweepNet, compare, plot_sweep


def test_unchanged_it_is_r3s_network():
    ours, r3 = seeded(SweepNet, 5), seeded(FullLeNet1, 5)
    images = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ours(images), r3(images), rtol=0, atol=0)


@pytest.mark.parametrize("added", [0, 1, 3])
def test_added_convolutions_add_their_parameters(added):
    model = SweepNet("relu", "max", added)
    assert sum(p.numel() for p in model.parameters()) == 3_246 + added * 12 * (12 * 9 + 1)
    assert model(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


def test_grid_holds_every_combination_in_order(digits):
    found = compare(
        digits, num_train=100, num_epochs=1, progress=False, activation=["relu", "tanh"], learning_rate=[0.01, 0.1]
    )
    pairs = [tuple(run.settings.values()) for run in found.runs]
    assert pairs == [("relu", 0.01), ("relu", 0.1), ("tanh", 0.01), ("tanh", 0.1)]
    assert found.best.error == min(run.error for run in found.runs)
    table = found.table()
    assert table.columns == ["activation", "learning rate", "parameters", "validation error (%)", "seconds"]
    shown = [float(row["validation error (%)"]) for row in table.rows]
    assert shown == sorted(shown)
    axes = found.plot()
    assert [text.get_text() for text in axes.get_yticklabels()] == ["relu", "tanh"]
    assert len(axes.texts) == 4


def test_one_setting_or_three_make_bars(digits):
    found = compare(digits, num_train=60, num_epochs=1, pooling=("average", "max"), batch_size=30)
    assert len(found.plot().patches) == 2
    assert len(plot_sweep(np.arange(8.0), ["a", "b", "c"], [["x", "y"]] * 3).patches) == 8


def test_a_setting_changes_the_run_and_the_seed_repeats_it(digits):
    def errors(seed):
        found = compare(digits, num_train=200, num_epochs=2, seed=seed, learning_rate=[0.001, 0.03])
        return [run.history.step_losses for run in found.runs]

    first, again = errors(0), errors(0)
    assert first == again
    assert first[0] != first[1]


def test_a_diverging_run_is_kept_as_such_and_the_others_go_on(digits):
    found = compare(digits, num_train=200, num_epochs=8, activation="relu", learning_rate=[1e37, 0.003])
    wild, tame = found.runs
    assert wild.history is None
    assert "learning rate was 1e+37" in wild.trouble
    assert found.best is tame
    assert found.table().rows[-1]["validation error (%)"] == "diverged"
    assert "diverged" in [text.get_text() for text in found.plot().texts]


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({"momentum": 0.9}, ["Unknown setting 'momentum'", *map(repr, DEFAULTS)]),
        ({"activation": ["relu", "swish"]}, ["Unknown activation 'swish'", "'tanh'"]),
        ({"pooling": "median"}, ["Unknown pooling 'median'", "'max'"]),
        ({"learning_rate": [0.1, -1]}, ["learning_rate must be positive", "-1"]),
        ({"added_convolutions": -1}, ["added_convolutions must lie in 0..", "-1"]),
        ({"batch_size": []}, ["at least one value"]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_bad_settings_are_refused_before_anything_runs(digits, settings, parts, monkeypatch):
    monkeypatch.setattr("lenet_utils.training.train", None)
    with pytest.raises(ValueError, match=r"[a-z]") as caught:
        compare(digits, **settings)
    sentence(caught.value, *parts)
