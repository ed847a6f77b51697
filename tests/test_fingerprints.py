"""Never stale: whatever decides a trained network's numbers is part of its checkpoint's name."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from conftest import ROOT
from torch import nn

from lenet_utils import fingerprints
from lenet_utils.fingerprints import code_fingerprint, structure_fingerprint
from lenet_utils.models import LeNet5, seeded
from lenet_utils.original.layers import C3_TABLE, SparseConv2d

CELL = """
import functools
import torch
from torch import nn
from functools import partial
from types import SimpleNamespace

FACTOR = 2.0
SLOPED = nn.LeakyReLU(0.1)
SETTINGS = SimpleNamespace(shift=1.0)


@functools.cache
def scale():
    return 3.0


class Offset:
    def __init__(self, by):
        self.by = by

    def __call__(self, x):
        return x + self.by


OFFSET = Offset(0.5)


def squash(x):
    return FACTOR * torch.tanh(x)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)
        self.power = 1.0
        self.after = partial(torch.clamp, min=-1.0)
        self._k = 1.0
        self.register_buffer("table", torch.tensor([1.0, 2.0]), persistent=False)

    def forward(self, x):
        x = OFFSET(SLOPED(x[:, 0:4])) + SETTINGS.shift * self._k * scale()
        return self.table * self.after(squash(self.layer(x))) ** self.power
"""


def of_cell(cell: str) -> str:
    """The fingerprint of a network whose class a notebook's cell defines."""
    namespace = {"__name__": "__main__"}
    exec(compile(cell, "<cell>", "exec"), namespace)
    return structure_fingerprint(seeded(namespace["Net"], 0))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("self.table * self", "self.table - self"),
        ("nn.LeakyReLU(0.1)", "nn.LeakyReLU(0.5)"),
        ("shift=1.0", "shift=2.0"),
        ("return 3.0", "return 4.0"),
        ("x + self.by", "x - self.by"),
        ("Offset(0.5)", "Offset(0.6)"),
        ("self._k = 1.0", "self._k = -3.0"),
        ("[1.0, 2.0]", "[2.0, 1.0]"),
        ("x[:, 0:4]", "x[:, 0:3]"),
        ("FACTOR = 2.0", "FACTOR = 3.0"),
        ("torch.tanh(x)", "torch.sin(x)"),
        ("self.power = 1.0", "self.power = 2.0"),
        ("min=-1.0", "min=-2.0"),
        ("** self.power", "** (self.power + (lambda: 1)())"),
    ],
)
def test_code_of_a_class_written_in_a_notebook_counts(before, after):
    assert before in CELL
    assert of_cell(CELL.replace(before, after)) != of_cell(CELL)


def test_where_the_class_stands_and_what_is_said_of_it_does_not():
    moved = "# a comment\n\n" + CELL.replace("class Net(nn.Module):", 'class Net(nn.Module):\n    """A net."""')
    assert of_cell(moved) == of_cell(CELL)


def test_settings_count_and_modes_do_not():
    assert structure_fingerprint(LeNet5("relu").train()) == structure_fingerprint(LeNet5("relu").eval())
    assert structure_fingerprint(LeNet5("relu")) != structure_fingerprint(LeNet5("tanh"))


def test_another_table_of_connections_counts():
    """It is a buffer that no checkpoint holds, and shows in no repr."""
    ours, moved = SparseConv2d(C3_TABLE), SparseConv2d(C3_TABLE.roll(1, 0))
    assert structure_fingerprint(ours) != structure_fingerprint(moved)


def test_a_slice_among_the_constants_counts():
    """From Python 3.14 on, x[0:1] is a constant of the code."""
    parts: list[list[str]] = [[], []]
    for stop, found in zip((1, 2), parts, strict=True):
        fingerprints._describe(slice(0, stop), found, {})
    assert parts[0] != parts[1]


def test_names_and_short_floats_have_fingerprints_too():
    model = nn.Linear(2, 2).bfloat16()
    model.names = np.array(["a", "b"])
    other = nn.Linear(2, 2).bfloat16()
    other.names = np.array(["a", "c"])
    assert structure_fingerprint(model) != structure_fingerprint(other)
    assert len(fingerprints.state_fingerprint(model.state_dict())) == 64


def test_a_network_that_refers_to_itself_has_one_too():
    model = nn.Linear(2, 2)
    model.friends = [model, {1, 2}, torch.ones(3)]
    changed = nn.Linear(2, 2)
    changed.friends = [changed, {1, 2}, torch.zeros(3)]
    assert structure_fingerprint(model) != structure_fingerprint(changed)


def test_an_edit_in_a_sub_folder_counts_and_a_widgets_style_does_not(tmp_path, monkeypatch):
    copy = tmp_path / "lenet_utils"
    shutil.copytree(ROOT / "lenet_utils", copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(fingerprints, "PACKAGE", copy)
    seen = [code_fingerprint()]
    (copy / "widgets" / "draw_pad.css").write_text("")
    assert code_fingerprint() == seen[0]
    with (copy / "original" / "layers.py").open("a") as file:
        file.write("# edited")
    seen.append(code_fingerprint())
    (copy / "original" / "further").mkdir()
    (copy / "original" / "further" / "new.py").touch()
    seen.append(code_fingerprint())
    assert len(set(seen)) == 3
