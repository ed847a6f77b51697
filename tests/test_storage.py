"""Checkpoints and run states: what was damaged is never used, and what cannot be locked is done without a lock."""

from __future__ import annotations

import base64
import math
import random
import zlib

import numpy as np
import pytest
import torch
from conftest import sentence
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


def few_tensors() -> list[torch.Tensor]:
    return [torch.tensor([[1.5, -2.0], [0.0, 1e-7]]), torch.tensor(65_504.0), torch.tensor([1 / 3])]


def test_packed_weights_are_sixteen_bits_each_and_come_back():
    packed = storage.pack(few_tensors())
    assert packed["count"] == 6
    assert base64.b64decode(packed["weights"]) == np.array([1.5, -2, 0, 1e-7, 65_504, 1 / 3], "<f2").tobytes()
    assert packed["check"] == zlib.crc32(base64.b64decode(packed["weights"]))
    empty = [torch.full_like(tensor, 7) for tensor in few_tensors()]
    storage.unpack(packed, empty)
    assert all(torch.equal(found, tensor.half().float()) for found, tensor in zip(empty, few_tensors(), strict=True))


def test_weights_of_other_types_are_packed_and_filled_too():
    model = seeded(LeNet5, 0).double()
    packed = storage.pack(model.parameters())
    other = seeded(LeNet5, 1).double().requires_grad_()
    storage.unpack(packed, other.parameters())
    for found, own in zip(other.parameters(), model.parameters(), strict=True):
        assert found.dtype == torch.float64
        assert torch.equal(found, own.half().double())


def test_no_weights_are_packed_and_come_back():
    packed = storage.pack([])
    assert packed == {"count": 0, "check": 0, "weights": ""}
    storage.unpack(packed, [])


@pytest.mark.parametrize("weight", [math.nan, math.inf, -65_520.0])
def test_weights_that_sixteen_bits_cannot_hold_are_refused(weight):
    with pytest.raises(ValueError, match="sixteen bits cannot hold") as caught:
        storage.pack([torch.tensor([0.0, weight])])
    sentence(caught.value, "train it again")


@pytest.mark.parametrize(
    "damage",
    [
        {"weights": ""},
        {"weights": None},
        {"weights": 7},
        {"weights": "no base64"},
        {"check": 1},
        {"check": None},
        {"check": "0"},
    ],
    ids=str,
)
def test_damaged_weights_change_no_tensor(damage):
    tensors = few_tensors()
    with pytest.raises(ValueError, match="damaged") as caught:
        storage.unpack(storage.pack(few_tensors()) | damage, tensors)
    sentence(caught.value, "6 numbers")
    assert all(map(torch.equal, tensors, few_tensors()))


@pytest.mark.parametrize("size", [5, 7])
def test_weights_for_other_sizes_change_no_tensor(size):
    tensors = [torch.zeros(size)]
    with pytest.raises(ValueError, match=f"no {size} numbers"):
        storage.unpack(storage.pack(few_tensors()), tensors)
    assert not tensors[0].any()


def test_each_flipped_letter_is_seen():
    packed = storage.pack(few_tensors())
    letters = packed["weights"]
    for place in range(len(letters)):
        other = letters[:place] + ("B" if letters[place] == "A" else "A") + letters[place + 1 :]
        if base64.b64decode(other) != base64.b64decode(letters):  # the last letter has bits that do not count
            with pytest.raises(ValueError, match="damaged"):
                storage.unpack(packed | {"weights": other}, few_tensors())
