"""Checkpoints and run states: what was damaged is never used, and what cannot be locked is done without a lock."""

from __future__ import annotations

import random

import pytest
import torch
from tiny import measured, tiny

from lenet_utils import runs, storage
from lenet_utils.models import LeNet5, seeded
from lenet_utils.run_store import state_path


@pytest.fixture
def kept(tmp_path):
    path = tmp_path / "network.pt"
    storage.save(path, {"model": seeded(LeNet5, 0).state_dict()})
    return path


def test_what_was_saved_comes_back(kept):
    found = storage.load(kept)["model"]
    assert all(torch.equal(found[name], value) for name, value in seeded(LeNet5, 0).state_dict().items())


def test_one_flipped_bit_is_seen(kept, capsys):
    """torch.load reads 292 of 300 such archives without a word."""
    whole, draw = kept.read_bytes(), random.Random(0)
    for _ in range(300):
        place, bit = draw.randrange(len(whole)), 1 << draw.randrange(8)
        kept.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
        assert storage.load(kept) is None
    assert capsys.readouterr().out.count("network.pt is damaged: it is made anew.\n") == 300


def test_a_file_with_a_right_digest_that_is_no_archive_counts_as_damaged(kept):
    import hashlib

    kept.write_bytes(hashlib.sha256(b"no archive").digest() + b"no archive")
    assert storage.load(kept) is None


def test_a_missing_file_is_no_news(tmp_path, capsys):
    assert storage.load(tmp_path / "nothing.pt") is None
    assert storage.load(tmp_path / "nothing.pt" / "below.pt") is None
    assert capsys.readouterr().out == ""


def test_a_run_whose_state_has_a_flipped_bit_starts_anew(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LENET_RESULTS_DIR", str(tmp_path / "results"))
    monkeypatch.setenv("LENET_CACHE_DIR", str(tmp_path / "cache"))
    whole = runs.run(tiny("whole"), seed=0)
    runs.run(tiny(), seed=0, until=2)
    path = state_path("tiny", 0)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert measured(runs.run(tiny(), seed=0).record()) == measured(whole.record())
    assert "damaged" in capsys.readouterr().out


@pytest.mark.parametrize("problem", [OSError, NotImplementedError])
def test_without_locks_the_work_is_done_all_the_same(tmp_path, monkeypatch, problem):
    """An older filelock raises NotImplementedError on a file system without flock."""

    def no_lock(*_, **__):
        raise problem

    monkeypatch.setattr(storage.FileLock, "acquire", no_lock)
    with storage.exclusively(tmp_path / "network.pt"):
        done = True
    assert done
