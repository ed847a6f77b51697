"""Long runs: stored whole or not at all, going on where they were killed, and reproduced from their seed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import sentence
from tiny import measured, tiny
from torch import nn

from lenet_utils import paths, run_store, runs, storage
from lenet_utils.original.experiments import PaperTraining
from lenet_utils.run_store import (
    MissingResultsError,
    ResultsError,
    Run,
    learned,
    load_results,
    results_path,
    state_path,
)


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    """Results and state of each test lie in a folder of its own."""
    monkeypatch.setenv("LENET_RESULTS_DIR", str(tmp_path / "results"))
    monkeypatch.setenv("LENET_CACHE_DIR", str(tmp_path / "cache"))


def same_state(one: Run, other: Run) -> bool:
    return all(torch.equal(one.state[name], other.state[name]) for name in one.state)


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
        for part, size in (("train", 40), ("test", 400))[0 if row["pass"] == 3 else 1 :]:
            assert row[f"{part}_size"] == size
            assert row[f"{part}_error"] == pytest.approx(100 * row[f"{part}_wrong"] / size)
        assert all(low <= middle <= high for low, middle, high in row["rates"].values())
    assert list(record["notes"]["activity"]) == ["input", "c1", "s2", "c3", "s4", "c5", "f6"]


def test_same_seed_same_run():
    first, second, other = (runs.run(tiny(name), seed) for name, seed in (("a", 1), ("b", 1), ("c", 2)))
    assert measured(first.record()) == measured(second.record())
    assert same_state(first, second)
    assert not same_state(first, other)


def test_files_are_small_and_readable_by_line():
    runs.run(tiny(), seed=0)
    lines = results_path("tiny", 0).read_text().splitlines()
    assert sum(line.strip().startswith('{ "pass"') for line in lines) == 3


def test_numbers_that_json_lacks_become_null():
    run = Run("odd", 0)
    run.begin("nothing", torch.device("cpu"))
    run.finish_pass({"loss": float("nan"), "list": [float("inf"), 1.0]}, {}, complete=True)
    (record,) = load_results("odd")
    assert record["passes"] == [{"loss": None, "list": [None, 1.0]}]


def test_a_run_that_diverges_ends_and_says_so(monkeypatch):
    begin_pass = PaperTraining.begin_pass

    def explode(self, number):
        curvature = begin_pass(self, number)
        self.model.f6.weight.data[:] = torch.nan
        return curvature

    monkeypatch.setattr(PaperTraining, "begin_pass", explode)
    done = runs.run(tiny(), seed=0)
    assert done.complete
    assert [row["diverged"] for row in done.passes] == [True]
    assert load_results("tiny")[0]["passes"][0]["online_loss"] is None


# --- being killed ---


@pytest.mark.parametrize("distorted_copies", [0, 2])
def test_a_run_killed_in_mid_pass_ends_like_one_that_was_not(monkeypatch, distorted_copies):
    whole = runs.run(tiny("whole", distorted_copies=distorted_copies), seed=0)
    patterns, count = PaperTraining.patterns, 0

    def fatal(self, number=1, limit=None):
        nonlocal count
        count += 1
        for images, labels in patterns(self, number, limit):
            if count == 3:  # in the second pass; the first steps are one of their own
                yield images[:17], labels[:17]
                raise KeyboardInterrupt
            yield images, labels

    monkeypatch.setattr(PaperTraining, "patterns", fatal)
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
    assert same_state(resumed, whole)
    assert [session["from_pass"] for session in resumed.sessions] == [1, 2]


def test_until_stops_early_and_the_rest_can_follow():
    whole = runs.run(tiny("whole"), seed=0)
    assert len(runs.run(tiny(), seed=0, until=1).passes) == 1
    assert len(runs.run(tiny(), seed=0, until=1).passes) == 1
    assert measured(runs.run(tiny(), seed=0).record()) == measured(whole.record())


def test_a_complete_run_is_left_alone(monkeypatch):
    runs.run(tiny(), seed=0)
    before = results_path("tiny", 0).read_bytes()
    monkeypatch.setattr(PaperTraining, "patterns", None)
    runs.run(tiny(), seed=0)
    assert results_path("tiny", 0).read_bytes() == before


def test_a_complete_run_whose_state_is_lost_is_left_alone(monkeypatch):
    runs.run(tiny(), seed=0)
    before = results_path("tiny", 0).read_bytes()
    state_path("tiny", 0).unlink()
    monkeypatch.setattr(PaperTraining, "patterns", None)
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
    monkeypatch.setattr(PaperTraining, "patterns", None)
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


def test_a_complete_run_of_another_configuration_is_not_passed_off_as_this_one():
    runs.run(tiny(), seed=0)
    with pytest.raises(ResultsError, match="--again") as caught:
        runs.run(tiny(j=0.2), seed=0)
    sentence(caught.value, "'tiny'", "seed 0", "another configuration")
    state_path("tiny", 0).unlink()  # and of the results file alone
    with pytest.raises(ResultsError, match="--again"):
        runs.run(tiny(j=0.2), seed=0)
    assert runs.run(tiny(j=0.2), seed=0, again=True).configuration["j"] == 0.2


@pytest.mark.parametrize("damage", ["{", "", None])
def test_a_damaged_results_file_is_written_again_by_the_command_that_its_message_names(damage):
    whole = runs.run(tiny(), seed=0).record()
    path = results_path("tiny", 0)
    path.write_text(damage if damage is not None else path.read_text().replace('"test_wrong": ', '"test_wrong": 1'))
    runs.run(tiny(), seed=0)
    assert load_results("tiny") == [run_store.as_json(whole)]


def test_a_run_begun_again_that_stops_between_its_two_files_can_be_repaired(monkeypatch):
    whole = runs.run(tiny(), seed=0).record()

    def full(*_):
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(storage, "save", full)
        with pytest.raises(OSError, match="No space"):
            runs.run(tiny(), seed=0, again=True)
    assert not load_results("tiny", complete=False)[0]["complete"]
    runs.run(tiny(), seed=0)
    assert measured(load_results("tiny")[0]) == measured(run_store.as_json(whole))


def test_a_disk_that_fills_up_while_the_state_is_stored_keeps_the_results_whole(monkeypatch, capsys):
    monkeypatch.setitem(runs.EXPERIMENTS, "tiny", tiny())
    runs.run(tiny(), seed=0, until=1)
    write = storage.write_file

    def full(path, content):
        raise OSError(f"{path.name} cannot be stored (No space left on device): make room.")

    monkeypatch.setattr(storage, "write_file", full)
    assert runs.main(["tiny", "--seeds", "0"]) == 1
    assert capsys.readouterr().err == "tiny-seed0.pt cannot be stored (No space left on device): make room.\n"
    assert len(load_results("tiny", complete=False)[0]["passes"]) == 2
    monkeypatch.setattr(storage, "write_file", write)
    assert measured(runs.run(tiny(), seed=0).record()) == measured(runs.run(tiny("whole"), seed=0).record())


def test_a_write_that_fails_leaves_the_old_file(monkeypatch):
    runs.run(tiny(), seed=0, until=1)
    before = results_path("tiny", 0).read_bytes()
    monkeypatch.setattr(paths.os, "replace", None)
    with pytest.raises(TypeError):
        run_store.write({"experiment": "tiny", "seed": 0})
    assert results_path("tiny", 0).read_bytes() == before
    assert len(list(results_path("tiny", 0).parent.iterdir())) == 1


# --- bad files, bad names ---


@pytest.mark.parametrize("name", ["../tiny", "/tiny", "a/b", "", "Tiny", "tiny\n", ".."])
def test_a_name_cannot_lead_out_of_the_folder(name):
    with pytest.raises(ValueError, match="small letters"):
        results_path(name, 0)
    with pytest.raises(ValueError, match="small letters"):
        tiny(name)


@pytest.mark.parametrize("variable", ["LENET_RESULTS_DIR", "LENET_CACHE_DIR"])
def test_a_folder_that_cannot_be_written_is_told_before_the_first_pass(monkeypatch, tmp_path, capsys, variable):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv(variable, str(tmp_path / "file" / "folder"))
    measured = []
    monkeypatch.setitem(runs.EXPERIMENTS, "tiny", replace(tiny(), measure=measured.append))
    assert runs.main(["tiny", "--seeds", "0"]) == 1
    assert measured == []
    problem = capsys.readouterr().err
    assert problem.count("\n") == 1
    assert "cannot be stored" in problem


@pytest.mark.parametrize(
    ("edit", "parts"),
    [
        (lambda text: text[: len(text) // 2], ("damaged", "python -m lenet_utils.runs tiny --seeds 0")),
        (lambda text: text.replace('"notes": {', '"notes": {"error": NaN, '), ("damaged", "NaN")),
        (lambda text: "[" * 100_000, ("damaged", "recursion")),
        (lambda text: text.replace('"commit": "', '"commit": "x'), ("damaged", "its digest")),
        (lambda text: text.replace('"digest": "', '"digest": "x'), ("damaged", "its digest")),
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


def test_no_flipped_bit_changes_what_is_read():
    runs.run(tiny(), seed=0, until=1)
    path = results_path("tiny", 0)
    whole, record = path.read_bytes(), load_results("tiny", complete=False)
    random, refused = np.random.default_rng(0), 0
    for _ in range(400):
        damaged = bytearray(whole)
        damaged[random.integers(len(whole))] ^= 1 << random.integers(8)
        path.write_bytes(damaged)
        try:
            assert load_results("tiny", complete=False) == record  # a blank became another blank
        except ResultsError as error:
            refused += 1
            sentence(error, "tiny-seed0.json")
    assert refused > 300


def test_a_copied_results_file_is_no_other_run():
    runs.run(tiny(), seed=0)
    path = results_path("tiny", 0)
    path.with_name("tiny-seed1.json").write_bytes(path.read_bytes())
    with pytest.raises(ResultsError, match="copied or renamed") as caught:
        load_results("tiny")
    sentence(caught.value, "tiny-seed1.json", "seed 0", "--seeds 1")


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


@pytest.mark.parametrize("seeds", [["-2"], ["0", "-1"]])
def test_a_negative_seed_is_refused(monkeypatch, capsys, seeds):
    """It wrote a file that nobody ever read."""
    monkeypatch.setitem(runs.EXPERIMENTS, "tiny", tiny(num_passes=1))
    assert runs.main(["tiny", "--seeds", *seeds]) == 1
    assert capsys.readouterr().err == f"A seed is a whole number from 0 on; got {seeds[-1]}.\n"


def test_passes_are_counted_from_one(monkeypatch, capsys):
    monkeypatch.setitem(runs.EXPERIMENTS, "tiny", tiny())
    assert runs.main(["tiny", "--seeds", "0", "--until", "0"]) == 1
    assert capsys.readouterr().err == "Passes are counted from 1; got --until 0.\n"
    assert not results_path("tiny", 0).exists()


def test_the_command_line_runs(monkeypatch, capsys):
    monkeypatch.setitem(runs.EXPERIMENTS, "tiny", tiny())
    assert runs.main(["tiny", "--seeds", "0", "1", "--until", "1"]) == 0
    assert [record["seed"] for record in load_results("tiny", complete=False)] == [0, 1]
    assert capsys.readouterr().out.count("1 passes") == 2


def test_the_command_line_runs_all(monkeypatch):
    begun = []
    monkeypatch.setattr(runs, "run", lambda experiment, seed, *_: begun.append((experiment.name, seed)) or no_passes())
    assert runs.main(["all", "--seeds", "0"]) == 0
    assert begun == [(name, 0) for name in runs.EXPERIMENTS]


def no_passes():
    """What is left of a run that was carried out elsewhere: as much as the command line prints."""
    return type("Done", (), {"passes": []})()


def test_a_run_that_kept_no_network_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("LENET_RESULTS_DIR", str(tmp_path))
    run_store.write(Run("tiny", 0, complete=True).record())
    with pytest.raises(ResultsError) as caught:
        learned("tiny", nn.Linear(2, 1))
    sentence(caught.value, "3 numbers", "python -m lenet_utils.runs tiny --again")
