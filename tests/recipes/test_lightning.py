"""R3 in Lightning, where it is installed; and what is said where it is not."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
import torch
from conftest import sentence

from lenet_utils import runs
from lenet_utils.evaluation import error_rate, predict
from lenet_utils.preprocessing import prepare
from lenet_utils.recipes import experiments
from lenet_utils.recipes import lightning as lightning_net
from lenet_utils.recipes.published import RECIPES, run_recipe

needs_lightning = pytest.mark.skipif(
    not lightning_net.IS_INSTALLED, reason="Lightning is not installed: pip install '.[lightning]'"
)
LONGER = replace(RECIPES["R3"].config, num_epochs=30, learning_rate=5e-3)  # the digits are few


@needs_lightning
def test_same_accuracy_as_the_books_loop(digits, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    module, measured = lightning_net.fit(digits, LONGER)
    _, ours = run_recipe(replace(RECIPES["R3"], config=LONGER), digits, progress=False)
    assert ours.validation_error[-1] < 10
    assert abs(100 * (1 - measured["validation_accuracy"]) - ours.validation_error[-1]) < 5
    assert len(module.step_losses) == len(ours.step_losses)
    assert os.listdir(tmp_path) == []
    assert capsys.readouterr() == ("", "")


@needs_lightning
def test_torchmetrics_count_all_images(digits):
    module, measured = lightning_net.fit(digits)
    images = prepare(digits.test_images, 28, "unit")
    error = error_rate(predict(module, images), digits.test_labels)
    assert 100 * (1 - measured["test_accuracy"]) == pytest.approx(error, abs=1e-4)


@needs_lightning
def test_both_start_from_the_same_weights():
    ours = lightning_net.seeded(RECIPES["R3"].make_model, 3)
    theirs = lightning_net.seeded(lambda: lightning_net.LightningLeNet1(LONGER), 3)
    assert torch.equal(ours.c1.weight, theirs.net.c1.weight)


def test_without_lightning_there_is_a_sentence(digits, monkeypatch):
    monkeypatch.setattr(lightning_net, "IS_INSTALLED", False)
    with pytest.raises(ImportError) as caught:
        lightning_net.fit(digits)
    sentence(caught.value, "pip install '.[lightning]'")


def test_plateau_no_longer_takes_verbose():
    """The published recipe passes it; torch has dropped it, after some versions that warned."""
    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)])
    with pytest.raises((TypeError, UserWarning), match="verbose"):
        torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, verbose=True)


@needs_lightning
def test_its_stored_runs_name_the_cpu_even_beside_a_gpu(digits, monkeypatch, tmp_path):
    """They named the GPU that the book's own loop would have taken."""
    monkeypatch.setenv("LENET_RESULTS_DIR", str(tmp_path / "results"))
    monkeypatch.setenv("LENET_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(experiments, "load", lambda _: digits)
    monkeypatch.setattr(experiments, "pick_device", lambda: torch.device("cuda"))
    done = runs.run(runs.EXPERIMENTS["recipe-r3-lightning"], seed=0)
    assert done.notes["device"].startswith("CPU (")
    assert done.sessions[0]["machine"].startswith("CPU ")
