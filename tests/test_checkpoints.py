"""Trained networks are kept: loaded when nothing that decides them changed, trained anew when anything did."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from test_training import BRIEF, relu, run, same_weights

from lenet_utils import checkpoints, fingerprints, paths, storage
from lenet_utils.checkpoints import trained
from lenet_utils.models import LeNet5
from lenet_utils.training import TrainConfig, train


@pytest.fixture
def trainings(monkeypatch) -> list[TrainConfig]:
    """The configuration of each run that is really made."""
    made = []

    def counted(model, dataset, config, *arguments, **options):
        made.append(config)
        return train(model, dataset, config, *arguments, **options)

    monkeypatch.setattr(checkpoints, "train", counted)
    return made


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Every test keeps its networks by itself."""
    monkeypatch.setenv("LENET_CACHE_DIR", str(tmp_path))


def kept(folder) -> list:
    return sorted(folder.glob("*.pt"))


def test_second_call_loads_what_the_first_trained(few, tmp_path, trainings):
    first, history = trained(relu, few, BRIEF, progress=False)
    second, loaded = trained(relu, few, BRIEF, progress=False)
    assert len(trainings) == 1
    assert same_weights(first, second)
    assert loaded == history
    assert not second.training
    assert same_weights(first, run(few)[0])


@pytest.mark.parametrize(
    "content",
    [
        lambda whole: whole[: len(whole) // 2],
        lambda whole: b"",
        lambda whole: b".",
        lambda whole: b"X\x01",
        lambda whole: b"not a checkpoint",
        lambda whole: {"something": 1},
        lambda whole: {"model": {}, "history": {}},
    ],
    ids=["half", "empty", "dot", "short", "text", "something-else", "no-weights"],
)
def test_damaged_checkpoint_is_trained_again(few, tmp_path, trainings, content):
    first, _ = trained(relu, few, BRIEF, progress=False)
    (path,) = kept(tmp_path)
    damaged = content(path.read_bytes())
    if isinstance(damaged, dict):
        storage.save(path, damaged)  # whole, and not of ours
    else:
        path.write_bytes(damaged)
    second, _ = trained(relu, few, BRIEF, progress=False)
    assert len(trainings) == 2
    assert same_weights(first, second)
    trained(relu, few, BRIEF, progress=False)
    assert len(trainings) == 2  # the good file took the damaged one's place


def test_any_change_trains_anew(few, tmp_path, trainings, monkeypatch):
    trained(relu, few, BRIEF, progress=False)
    trained(relu, few, replace(BRIEF, learning_rate=0.006), progress=False)
    trained(relu, few, replace(BRIEF, seed=1), progress=False)
    trained(lambda: LeNet5("tanh"), few, BRIEF, progress=False)
    flipped = replace(few, train_images=few.train_images.flip(2))
    trained(relu, flipped, BRIEF, progress=False)
    monkeypatch.setattr(fingerprints, "code_fingerprint", lambda: "another version")
    trained(relu, few, BRIEF, progress=False)
    assert len(trainings) == len(kept(tmp_path)) == 6


def test_folder_that_cannot_be_written_costs_only_a_sentence(few, tmp_path, capsys, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("LENET_CACHE_DIR", str(tmp_path / "file" / "cache"))
    model, _ = trained(relu, few, BRIEF, progress=False)
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    assert "was not kept" in printed
    assert same_weights(model, run(few)[0])


def test_full_disk_leaves_no_half_file(few, tmp_path, capsys, monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(paths.os, "replace", full)
    trained(relu, few, BRIEF, progress=False)
    assert "No space left on device" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".lock"] == []


def test_half_a_training_is_not_kept_as_a_whole_one(few, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("lenet_utils.training.evaluate", interrupted)
        with pytest.raises(KeyboardInterrupt):
            trained(LeNet5, few, BRIEF)
    assert list(tmp_path.rglob("*.pt")) == []


def test_nothing_in_a_checkpoint_can_run(few, tmp_path, trainings):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    trained(relu, few, BRIEF, progress=False)
    (path,) = kept(tmp_path)
    storage.save(path, {"model": Bomb(), "history": {}})  # with a right digest
    trained(relu, few, BRIEF, progress=False)
    assert not (tmp_path / "executed").exists()
    assert len(trainings) == 2


def test_another_machines_network_is_not_passed_off_as_this_ones(few, trainings, monkeypatch):
    trained(relu, few, BRIEF, progress=False)
    monkeypatch.setattr(checkpoints, "machine_name", lambda device: "another processor")
    trained(relu, few, BRIEF, progress=False)
    assert len(trainings) == 2
