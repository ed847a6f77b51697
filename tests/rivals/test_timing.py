"""What is timed is the training that other runs measure, judged by the same test images."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from lenet_utils import runs
from lenet_utils.evaluation import predict, rejected_for
from lenet_utils.modern.experiments import TWO_EPOCHS
from lenet_utils.original import experiments as of_1998
from lenet_utils.original.experiments import OriginalConfig
from lenet_utils.preprocessing import prepare
from lenet_utils.rivals import timing
from lenet_utils.rivals.timing import EXPERIMENTS, of_today
from lenet_utils.run_store import Experiment, as_json, load_results

SHORT = OriginalConfig(num_passes=2, num_samples=20)


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch, few):
    monkeypatch.setenv("LENET_RESULTS_DIR", str(tmp_path / "results"))
    monkeypatch.setenv("LENET_CACHE_DIR", str(tmp_path / "cache"))
    for module in (timing, of_1998):
        monkeypatch.setattr(module, "load", lambda name: few)


def last_pass(name, measure):
    assert runs.run(Experiment(name, "", measure, {}), seed=3).complete
    (stored,) = load_results(name)
    return stored["passes"][-1]


def test_the_machine_of_1998_is_timed_on_its_own_training():
    timed = last_pass("timed", partial(timing.measure, config=SHORT))
    told = last_pass("told", partial(of_1998.measure, config=SHORT))
    assert [timed[what] for what in ("test_size", "test_wrong")] == [told[what] for what in ("test_size", "test_wrong")]
    assert timed["train_seconds"] > 0 < timed["answer_seconds"]
    assert 0 <= timed["rejected"] <= 100


def test_lenet_5_of_today_is_timed_on_the_books_recipe(few, monkeypatch):
    monkeypatch.setattr(timing, "TWO_EPOCHS", replace(TWO_EPOCHS, num_epochs=1, batch_size=16))
    timed = last_pass("timed", partial(timing.measure, config=None))
    model, images = of_today(few, 3)
    assert (images == prepare(few.test_images)).all()
    answers = predict(model, images)
    assert timed["test_wrong"] == int((answers != few.test_labels).sum())
    assert timed["rejected"] == pytest.approx(rejected_for(model(images).detach(), few.test_labels))


def test_its_experiments_are_those_whose_errors_the_book_tells():
    assert EXPERIMENTS["original-timed"].configuration == as_json(runs.EXPERIMENTS["original"].configuration)
    assert EXPERIMENTS["lenet5-timed"].configuration == as_json(runs.EXPERIMENTS["lenet5-mnist"].configuration)
    assert all(seed >= 100 for experiment in EXPERIMENTS.values() for seed in experiment.seeds)
