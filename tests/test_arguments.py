"""What annotations say is what a function takes: conversions, and sentences for all else."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import sentence
from torch import Tensor, nn

from lenet_utils.arguments import checked, fitted, shown
from lenet_utils.models import LeNet5


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (np.int64(3), int, 3),
        (torch.tensor(3), int, 3),
        (np.float32(0.5), float, 0.5),
        (torch.tensor(0.5), float, 0.5),
        (3, float, 3),
        (2**70, float, 2.0**70),
        (np.bool_(True), bool, True),
        ([1, 2], tuple[int, ...], (1, 2)),
        (torch.tensor([1, 2]), Sequence[int], [1, 2]),
        (np.array(["a", "b"]), Sequence[str], ["a", "b"]),
        ("ab", Sequence[str], ["a", "b"]),
        (range(2), Sequence[str | int], [0, 1]),
        ((x for x in (1, 2)), Iterable[int], [1, 2]),
        ({"a": np.int8(1)}, Mapping[str, int], {"a": 1}),
        ("folder", Path, Path("folder")),
        (None, int | None, None),
        ("auto", float | str, "auto"),
        ("cpu", torch.device, torch.device("cpu")),
        (print, Callable[[int], None], print),
        (object, object, object),
    ],
    ids=lambda one: re.sub(r" at 0x\w+", "", str(one)),  # the same in every process
)
def test_what_can_be_fitted_is(value, kind, expected):
    found = fitted(value, kind, "x")
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint32, ">i4", np.float16, np.float32, ">f8", np.longdouble])
def test_arrays_become_tensors_with_the_same_numbers(dtype):
    array = np.arange(12).reshape(3, 4).astype(dtype)
    for view in (array, array[::-1], array.T, np.broadcast_to(array, (2, 3, 4))):
        found = fitted(view, Tensor, "x")
        assert found.tolist() == view.tolist()
        assert fitted(found, np.ndarray, "x").tolist() == view.tolist()


def test_an_array_that_fits_is_not_copied():
    array = np.zeros(3)
    assert fitted(array, Tensor, "x").data_ptr() == array.ctypes.data
    assert fitted(array, np.ndarray, "x") is array


def test_a_list_of_tensors_is_one_array():
    assert fitted([torch.ones(2), torch.zeros(2, dtype=torch.bfloat16)], Tensor, "x").tolist() == [[1, 1], [0, 0]]


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        (None, Tensor, "x must be a tensor, array or list of numbers; got None."),
        ([[1], [1, 2]], Tensor, "x must be a tensor, array or list of numbers; got [[1], [1, 2]]."),
        (np.array("a"), np.ndarray, "x must be a tensor, array or list of numbers; got an array of <U1, shape ()."),
        (2.5, int, "x must be a whole number; got 2.5."),
        (True, int, "x must be a whole number; got True."),
        ("3", float, "x must be a number; got '3'."),
        (1, bool, "x must be True or False; got 1."),
        (7, str, "x must be a string; got 7."),
        ("ab", list[int], "x must be a list of whole numbers; got 'ab'."),
        ([1, "a"], Sequence[int], "x[1] must be a whole number; got 'a'."),
        (3, Sequence[str | int], "x must be a list of strings or whole numbers; got 3."),
        (3, Mapping[str, int], "x must be a dict; got 3."),
        ({1: 2}, dict[str, int], "x must be a string; got 1."),
        (3, nn.Module, "x must be a network (torch.nn.Module); got 3."),
        (LeNet5, nn.Module, "x must be a network (torch.nn.Module); got the class LeNet5: call it, LeNet5()."),
        (3, str | os.PathLike, "x must be a string or a path; got 3."),
        ("a\0b", Path, r"x must be a path; got 'a\x00b'."),
        (3, Callable[[], None], "x must be a function; got 3."),
        ("nowhere", torch.device, "x must be a torch.device, such as torch.device('cpu'); got 'nowhere'."),
    ],
    ids=lambda one: re.sub(r" at 0x\w+", "", str(one)),  # the same in every process
)
def test_what_does_not_fit_is_refused(value, kind, message):
    with pytest.raises(TypeError) as caught:
        fitted(value, kind, "x")
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "tensor",
    [torch.eye(2).to_sparse(), torch.zeros(2, device="meta"), torch.zeros(2, dtype=torch.complex64)],
    ids=["sparse", "meta", "complex"],
)
def test_tensors_that_cannot_be_computed_with_are_refused(tensor):
    for kind in (Tensor, np.ndarray):
        with pytest.raises(TypeError) as caught:
            fitted(tensor, kind, "x")
        sentence(caught.value, "x must be a dense tensor of real numbers", str(tensor.dtype))


def test_what_is_too_large_is_refused_before_it_is_read():
    for huge in (torch.zeros(1).expand(2**20, 2**20), np.broadcast_to(np.zeros(1), (2**20, 2**20))):
        for kind in (Tensor, np.ndarray):
            with pytest.raises(ValueError, match="1,099,511,627,776 values"):
                fitted(huge, kind, "x")
    with pytest.raises(ValueError, match="at most 63 bits"):
        fitted(2**63, int, "x")
    with pytest.raises(ValueError, match="must have 2 items; got 3"):
        fitted((1, 2, 3), tuple[float, float], "x")


def test_a_checked_function_is_the_same_to_its_readers():
    @checked
    def add(a: int, b: float = 1.0, **more: object) -> float:
        """Add."""
        return a + b

    assert (add.__name__, add.__doc__) == ("add", "Add.")
    assert add(np.int8(1), b=np.float32(2), other=None) == 3
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'a'"):
        add()
    with pytest.raises(TypeError) as caught:
        add(1, None)
    assert str(caught.value) == "b must be a number; got None."


def test_shown_is_one_short_line():
    class Odd:
        def __repr__(self) -> str:
            raise RuntimeError

    huge = torch.zeros(1).expand(2**20, 2**20)
    values = [
        [huge, huge],
        {"a": [(huge,)]},
        torch.eye(3),
        np.eye(3),
        "a\nb",
        "a" * 99,
        [1] * 99,
        Odd(),
        nn.Sequential(nn.Linear(1, 1)),
    ]
    assert all("\n" not in shown(value) and len(shown(value)) < 70 for value in values)
