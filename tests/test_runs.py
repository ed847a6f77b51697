"""Long runs: stored whole or not at all, going on where they were killed, and reproduced from their seed."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, sentence

from lenet_utils import data, experiment, original_runs, runs
from lenet_utils.compiled import engine
from lenet_utils.distortions import Distortion, distort
from lenet_utils.experiment import (
    Experiment,
    MissingResultsError,
    ResultsError,
    Run,
    load_results,
    results_path,
    state_path,
)
from lenet_utils.optimizers import MU
from lenet_utils.original_runs import Machine, OriginalConfig, measure

TINY = OriginalConfig(dataset="digits", num_train=40, num_passes=3, num_samples=20)
STORED = sorted((ROOT / "results").glob("original*-seed*.json"))


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    """Results and state of each test lie in a folder of its own."""
    monkeypatch.setenv("LENET_RESULTS_DIR", str(tmp_path / "results"))
    monkeypatch.setenv("LENET_CACHE_DIR", str(tmp_path / "cache"))


def tiny(name: str = "tiny", **changes: object) -> Experiment:
    config = OriginalConfig(**{**vars(TINY), **changes})
    return Experiment(name, "a few digits", partial(measure, config=config))


def measured(record: dict) -> dict:
    """What does not depend on when and how fast."""
    return {name: value for name, value in record.items() if name not in ("seconds", "sessions", "experiment")}


# --- what is stored ---


def test_a_run_stores_what_it_measured():
    runs.run(tiny(), seed=3)
    (record,) = load_results("tiny")
    assert record["complete"]
    assert record["configuration"]["num_train"] == 40
    assert record["configuration"]["distortion"]["translation"] == 2.0
    assert "digits" in record["data"]
    (session,) = record["sessions"]
    assert set(session["versions"]) == {"python", "torch", "numpy"}
    assert "thread" in session["machine"]
    assert str(Path.home()) not in json.dumps(record)
    assert [row["pass"] for row in record["passes"]] == [1, 2, 3]
    for row in record["passes"]:
        for part, size in (("train", 40), ("test", 400)):
            assert row[f"{part}_size"] == size
            assert row[f"{part}_error"] == pytest.approx(100 * row[f"{part}_wrong"] / size)
        assert all(low <= middle <= high for low, middle, high in row["rates"].values())
    assert list(record["notes"]["activity"]) == ["input", "c1", "s2", "c3", "s4", "c5", "f6"]


def test_errors_are_those_of_the_weights(digits):
    done = runs.run(tiny(), seed=0)
    machine = Machine(TINY, 0, digits)
    machine.lean.theta[:] = done.state["theta"].numpy()
    machine.sync()
    images = data.prepare(digits.test_images, scaling="paper")
    wrong = int((machine.model(images).argmin(1) != digits.test_labels).sum())
    assert done.passes[-1]["test_wrong"] == wrong


def test_a_held_out_run_learns_and_judges_without_the_test_images(digits):
    whole = Machine(OriginalConfig(dataset="digits"), 0, digits)
    machine = Machine(OriginalConfig(dataset="digits", held_out=True), 0, digits)
    assert len(machine.images) == len(digits.train_images) == len(whole.images) - len(digits.validation_images)
    validation = data.prepare(digits.validation_images, scaling="paper")
    assert set(pixels(machine)).isdisjoint(image.numpy().tobytes() for image in validation)
    assert set(machine.judges) == {"train", "validation"}
    assert machine.judges["validation"][0] is digits.validation_images
    assert set(whole.judges) == {"train", "test"}
    done = runs.run(tiny(held_out=True, num_passes=1), seed=0)
    assert [name for name in done.passes[0] if name.startswith("test")] == []
    assert done.passes[0]["validation_size"] == len(digits.validation_images)


def test_same_seed_same_run():
    first, second, other = (runs.run(tiny(name), seed) for name, seed in (("a", 1), ("b", 1), ("c", 2)))
    assert measured(first.record()) == measured(second.record())
    assert (first.state["theta"] == second.state["theta"]).all()
    assert not (first.state["theta"] == other.state["theta"]).all()


def test_files_are_small_and_readable_by_line():
    runs.run(tiny(), seed=0)
    lines = results_path("tiny", 0).read_text().splitlines()
    assert sum(line.strip().startswith('{ "pass"') for line in lines) == 3


def test_numbers_that_json_lacks_become_null():
    run = Run("odd", 0)
    run.begin({}, "nothing")
    run.finish_pass({"loss": float("nan"), "list": [float("inf"), 1.0]}, {}, complete=True)
    (record,) = load_results("odd")
    assert record["passes"] == [{"loss": None, "list": [None, 1.0]}]


def test_a_run_that_diverges_ends_and_says_so(monkeypatch):
    begin_pass = Machine.begin_pass

    def explode(self, number):
        curvature = begin_pass(self, number)
        self.lean.theta[:] = np.nan
        return curvature

    monkeypatch.setattr(Machine, "begin_pass", explode)
    done = runs.run(tiny(), seed=0)
    assert done.complete
    assert [row["diverged"] for row in done.passes] == [True]
    assert load_results("tiny")[0]["passes"][0]["online_loss"] is None


# --- being killed ---


@pytest.mark.parametrize("distorted_copies", [0, 2])
def test_a_run_killed_in_mid_pass_ends_like_one_that_was_not(monkeypatch, distorted_copies):
    whole = runs.run(tiny("whole", distorted_copies=distorted_copies), seed=0)
    patterns, count = Machine.patterns, 0

    def fatal(self, limit=None):
        nonlocal count
        count += 1
        for images, labels in patterns(self, limit):
            if count == 3:  # in the second pass; the first steps are one of their own
                yield images[:17], labels[:17]
                raise KeyboardInterrupt
            yield images, labels

    monkeypatch.setattr(Machine, "patterns", fatal)
    killed = tiny("killed", distorted_copies=distorted_copies)
    with pytest.raises(KeyboardInterrupt):
        runs.run(killed, seed=0)
    (halfway,) = load_results("killed", complete=False)
    assert len(halfway["passes"]) == 1
    assert not halfway["complete"]
    with pytest.raises(ResultsError, match="No results"):
        load_results("killed")
    resumed = runs.run(killed, seed=0)
    assert measured(resumed.record()) == measured(whole.record())
    assert (resumed.state["theta"] == whole.state["theta"]).all()
    assert [session["from_pass"] for session in resumed.sessions] == [1, 2]


def test_until_stops_early_and_the_rest_can_follow():
    whole = runs.run(tiny("whole"), seed=0)
    assert len(runs.run(tiny(), seed=0, until=1).passes) == 1
    assert len(runs.run(tiny(), seed=0, until=1).passes) == 1
    assert measured(runs.run(tiny(), seed=0).record()) == measured(whole.record())


def test_a_complete_run_is_left_alone(monkeypatch):
    runs.run(tiny(), seed=0)
    before = results_path("tiny", 0).read_bytes()
    monkeypatch.setattr(Machine, "patterns", None)
    runs.run(tiny(), seed=0)
    assert results_path("tiny", 0).read_bytes() == before


def test_a_complete_run_whose_state_is_lost_is_left_alone(monkeypatch):
    runs.run(tiny(), seed=0)
    before = results_path("tiny", 0).read_bytes()
    state_path("tiny", 0).unlink()
    monkeypatch.setattr(Machine, "patterns", None)
    assert runs.run(tiny(), seed=0).complete
    assert results_path("tiny", 0).read_bytes() == before


def test_a_complete_run_whose_results_are_lost_writes_them_again():
    runs.run(tiny(), seed=0)
    before = results_path("tiny", 0).read_bytes()
    results_path("tiny", 0).unlink()
    runs.run(tiny(), seed=0)
    assert results_path("tiny", 0).read_bytes() == before


def test_again_keeps_what_there_was_until_something_new_is_measured(monkeypatch):
    runs.run(tiny(), seed=0)
    before = results_path("tiny", 0).read_bytes()
    monkeypatch.setattr(Machine, "patterns", None)
    with pytest.raises(TypeError):
        runs.run(tiny(), seed=0, again=True)
    assert results_path("tiny", 0).read_bytes() == before


def test_missing_data_end_the_command_line_in_one_sentence(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("LENET_DATA_DIR", str(tmp_path / "nothing"))
    monkeypatch.setitem(runs.EXPERIMENTS, "tiny", tiny(dataset="mnist", num_train=None))
    assert runs.main(["tiny", "--seeds", "0"]) == 1
    problem = capsys.readouterr().err.strip()
    assert "MNIST" in problem
    assert "Traceback" not in problem


def test_again_forgets():
    runs.run(tiny(), seed=0, until=2)
    assert len(runs.run(tiny(), seed=0, again=True, until=1).passes) == 1


def test_a_lost_or_damaged_state_starts_anew():
    whole = runs.run(tiny("whole"), seed=0)
    runs.run(tiny(), seed=0, until=2)
    state_path("tiny", 0).write_bytes(b"damaged")
    assert measured(runs.run(tiny(), seed=0).record()) == measured(whole.record())


def test_another_configuration_does_not_go_on():
    runs.run(tiny(), seed=0, until=1)
    with pytest.raises(ResultsError, match="--again") as caught:
        runs.run(tiny(j=0.2), seed=0)
    sentence(caught.value, "'tiny'", "seed 0", "another configuration")


def test_a_write_that_fails_leaves_the_old_file(monkeypatch):
    runs.run(tiny(), seed=0, until=1)
    before = results_path("tiny", 0).read_bytes()
    monkeypatch.setattr(experiment.os, "replace", None)
    with pytest.raises(TypeError):
        experiment.write({"experiment": "tiny", "seed": 0})
    assert results_path("tiny", 0).read_bytes() == before
    assert len(list(results_path("tiny", 0).parent.iterdir())) == 1


# --- bad files, bad names ---


@pytest.mark.parametrize(
    ("edit", "parts"),
    [
        (lambda text: text[: len(text) // 2], ("damaged", "run it again")),
        (lambda text: "[]", ("no results file", "lenet-book-run")),
        (lambda text: text.replace("lenet-book-run", "holiday-pictures"), ("no results file", "lenet-book-run")),
        (lambda text: text.replace('"schema": 1', '"schema": 99'), ("no results file", "schema 1")),
        (lambda text: text.replace('"seed": 0', '"seed": "0"'), ("damaged", "'seed' should be int", "str")),
        (lambda text: text.replace('"seed": 0', '"seed": true'), ("damaged", "'seed' should be int", "bool")),
        (lambda text: text.replace('"passes"', '"pass"'), ("damaged", "'passes' should be list", "NoneType")),
    ],
)
def test_damaged_and_foreign_files_are_named(edit, parts):
    runs.run(tiny(), seed=0, until=1)
    path = results_path("tiny", 0)
    path.write_text(edit(path.read_text()))
    with pytest.raises(ResultsError) as caught:
        load_results("tiny", complete=False)
    assert not isinstance(caught.value, MissingResultsError)
    sentence(caught.value, "tiny-seed0.json", *parts)


def test_missing_results_say_how_to_get_them():
    with pytest.raises(MissingResultsError) as caught:
        load_results("original")
    sentence(caught.value, "'original'", "python -m lenet_utils.runs original")


def test_names_that_begin_alike_are_kept_apart():
    for name in ("tiny", "tiny-two"):
        runs.run(tiny(name), seed=0, until=1)
    assert [record["experiment"] for record in load_results("tiny", complete=False)] == ["tiny"]


# --- the command line ---


def test_the_command_line_lists_every_experiment(capsys):
    with pytest.raises(SystemExit) as left:
        runs.main(["--help"])
    assert left.value.code == 0
    shown = capsys.readouterr().out
    assert [name for name in runs.EXPERIMENTS if name not in shown] == []
    assert all(name == experiment.name for name, experiment in runs.EXPERIMENTS.items())


def test_the_command_line_refuses_an_unknown_name(capsys):
    assert runs.main(["orignal"]) == 1
    problem = capsys.readouterr().err.strip()
    assert "\n" not in problem
    assert "'orignal'" in problem
    assert "'original'" in problem


def test_the_command_line_runs(monkeypatch, capsys):
    monkeypatch.setitem(runs.EXPERIMENTS, "tiny", tiny())
    assert runs.main(["tiny", "--seeds", "0", "1", "--until", "1"]) == 0
    assert [record["seed"] for record in load_results("tiny", complete=False)] == [0, 1]
    assert capsys.readouterr().out.count("1 passes") == 2


def test_too_many_patterns_are_refused(digits):
    with pytest.raises(ValueError, match="num_train") as caught:
        Machine(OriginalConfig(dataset="digits", num_train=5_000), 0, digits)
    sentence(caught.value, "1..1397", "5000")


# --- distortions ---


def test_no_distortion_is_the_identity(digits):
    images = digits.train_images[:5]
    assert (distort(images, torch.zeros(5, 5)) == images).all()


def test_a_shift_moves_whole_pixels():
    image = torch.zeros(1, 32, 32, dtype=torch.uint8)
    image[0, 10, 12] = 200
    moved = distort(image, torch.tensor([[2.0, -3.0, 0, 0, 0]]))
    assert moved.nonzero().tolist() == [[0, 7, 14]]
    assert int(moved.max()) == 200


def test_scaling_squeezing_and_shear_do_as_they_say():
    image = torch.zeros(3, 32, 32)
    image[:, 8:24, 12:20] = 1  # 16 rows of 8
    maps = torch.tensor([[0, 0, np.log(1.5), 0, 0], [0, 0, 0, np.log(2), 0], [0, 0, 0, 0, 0.5]], dtype=torch.float32)
    moved = distort(image, maps) > 0.5
    rows, columns = moved.any(2).sum(1), moved.any(1).sum(1)
    assert (int(rows[0]), int(columns[0])) == (24, 12)
    assert (int(rows[1]), int(columns[1])) == (8, 16)
    assert int(rows[2]) == 16
    starts = moved[2, 8:24].int().argmax(1)
    assert int(starts[-1] - starts[0]) in (7, 8)


def test_drawn_maps_stay_in_their_range_and_follow_the_seed():
    ranges = Distortion(translation=3.0, scaling=0.2, squeezing=0.1, shear=0.5)
    first, second = (ranges.draw(2_000, torch.Generator().manual_seed(1)) for _ in range(2))
    assert (first == second).all()
    limits = torch.tensor([3.0, 3.0, 0.2, 0.1, 0.5])
    assert (first.abs().max(0).values <= limits).all()
    assert (first.abs().max(0).values > 0.95 * limits).all()


def test_distort_refuses():
    with pytest.raises(ValueError, match="maps") as caught:
        distort(torch.zeros(2, 32, 32), torch.zeros(3, 5))
    sentence(caught.value, "(2, 32, 32)", "(3, 5)")


def pixels(machine: Machine) -> list[bytes]:
    """Every pattern of a pass, in its order."""
    return [image.numpy().tobytes() for images, _ in machine.patterns() for image in images]


def test_a_pass_holds_every_pattern_and_every_copy_once(digits):
    machine = Machine(OriginalConfig(dataset="digits", num_train=20, distorted_copies=2), 0, digits)
    patterns = pixels(machine)
    assert len(patterns) == len(set(patterns)) == 60
    assert sorted(machine.order.tolist()) == list(range(60))
    undistorted = pixels(Machine(OriginalConfig(dataset="digits", num_train=20), 0, digits))
    assert set(undistorted) < set(patterns)
    assert pixels(machine) == patterns


# --- stored runs ---


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_stored_runs_are_whole(path):
    record = experiment.read(path)
    assert path.name == f"{record['experiment']}-seed{record['seed']}.json"
    assert record["experiment"] in runs.EXPERIMENTS
    config = original_runs.stored_config(record)
    assert config == runs.EXPERIMENTS[record["experiment"]].measure.keywords["config"]
    assert "MNIST" in record["data"]
    if record["complete"] and not record["passes"][-1]["diverged"]:
        assert len(record["passes"]) == config.num_passes


def test_mu_is_chosen_by_held_out_images_and_the_rates_that_the_paper_gives():
    mistakes, distance = {}, {}
    for mu in original_runs.CANDIDATES:
        name = f"original-search-mu-{mu:g}"
        records = [experiment.read(ROOT / "results" / f"{name}-seed{s}.json") for s in runs.EXPERIMENTS[name].seeds]
        assert all(record["complete"] and record["configuration"]["held_out"] for record in records)
        assert not any(key.startswith("test") for record in records for row in record["passes"] for key in row)
        mistakes[mu] = sum(record["passes"][-1]["validation_wrong"] for record in records)
        rates = [np.array(list(record["passes"][0]["rates"].values())) * mu / MU for record in records]
        distance[mu] = sum(abs(np.log(r.min() / 7e-5)) + abs(np.log(r.max() / 0.016)) for r in rates)
    fewest = min(mistakes.values())
    as_good = [mu for mu in mistakes if mistakes[mu] <= fewest + np.sqrt(2 * fewest)]
    assert min(as_good, key=distance.get) == OriginalConfig().mu


@pytest.mark.parametrize("path", [p for p in STORED if "distorted" not in p.stem], ids=lambda path: path.stem)
def test_the_first_steps_of_a_stored_run_come_out_again(path, mnist):
    """Bit for bit on a machine like the one that ran it; elsewhere as closely as float32 allows after 50 steps."""
    record = experiment.read(path)
    stored, session = record["notes"]["first_steps"], record["sessions"][0]
    found = Machine(original_runs.stored_config(record), record["seed"], mnist).first_steps()
    now = experiment.session()
    if (now["machine"], now["versions"]) == (session["machine"], session["versions"]):
        assert found == stored or record["notes"]["engine"] != engine()
    elif record["passes"][-1]["train_error"] > 50:
        pytest.skip("this run learned nothing: on another machine, rounding decides where it goes")
    assert found["sum"] == pytest.approx(stored["sum"], abs=1e-2)
    assert found["sum_of_squares"] == pytest.approx(stored["sum_of_squares"], rel=1e-4)


def test_the_command_line_runs_all(monkeypatch):
    begun = []
    monkeypatch.setattr(runs, "run", lambda experiment, seed, *_: begun.append((experiment.name, seed)) or no_passes())
    assert runs.main(["all", "--seeds", "0"]) == 0
    assert begun == [(name, 0) for name in runs.EXPERIMENTS]


def no_passes():
    """What is left of a run that was carried out elsewhere: as much as the command line prints."""
    return type("Done", (), {"passes": []})()


def test_results_that_came_with_the_package_are_read_where_there_are_no_others(tmp_path, monkeypatch):
    packaged = tmp_path / "installed" / "results"
    packaged.mkdir(parents=True)
    monkeypatch.setattr(experiment, "__file__", str(tmp_path / "installed" / "experiment.py"))
    monkeypatch.setenv("LENET_RESULTS_DIR", str(tmp_path / "own"))
    assert experiment.stored_dir() == packaged
    (tmp_path / "own").mkdir()
    assert experiment.stored_dir() == tmp_path / "own"
