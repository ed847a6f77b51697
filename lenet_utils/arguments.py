"""Arguments, compared with what annotations say of them: fitted where that can be, else refused in one sentence."""

from __future__ import annotations

import inspect
import math
import operator
import os
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from numbers import Real
from pathlib import Path
from typing import TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
import torch
from torch import Tensor, nn

Checked = TypeVar("Checked", bound=Callable)
MOST_VALUES = 2**31  # in one array: 45 times what MNIST's training images have
MOST_ITEMS = 10**7  # in one list
FLOATS = {torch.float16, torch.bfloat16, torch.float32, torch.float64}
READABLE = {torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, *FLOATS}
NUMBERS = "a tensor, array or list of numbers"
WORDS = {
    **{Tensor: NUMBERS, np.ndarray: NUMBERS, int: "a whole number", float: "a number", bool: "True or False"},
    **{str: "a string", Path: "a path", os.PathLike: "a path", type(None): "None", Callable: "a function"},
    **{bytes: "bytes", nn.Module: "a network (torch.nn.Module)", object: "a value"},
}


def checked(function: Checked) -> Checked:
    """Let a function or a class take what its annotations say, and refuse anything else with one sentence.

    Tensors, arrays and lists of numbers stand for each other, and so do NumPy's numbers and Python's.  Sparse, complex
    and meta tensors are refused, and arrays of more than 2,147,483,648 values.

    Raises
    ------
    TypeError, ValueError
        When the function is called: the sentence names the argument, what was expected, and what came.

    Examples
    --------
    >>> @checked
    ... def twice(number: int) -> int:
    ...     return 2 * number
    >>> twice(None)
    Traceback (most recent call last):
    TypeError: number must be a whole number; got None.
    """
    if isinstance(function, type):
        function.__init__ = checked(function.__init__)
        return function
    names = [name for name, p in inspect.signature(function).parameters.items() if p.kind <= p.POSITIONAL_OR_KEYWORD]
    kinds: dict[str, object] = {}

    @wraps(function)
    def with_checks(*positional: object, **named: object) -> object:
        if not kinds:  # not before the first call, for annotations may name what is defined later
            kinds.update(get_type_hints(function))
        fitting = [fitted(value, kinds.get(name, object), name) for name, value in zip(names, positional, strict=False)]
        named = {name: fitted(value, kinds.get(name, object), name) for name, value in named.items()}
        return function(*fitting, *positional[len(names) :], **named)

    return with_checks


def fitted(value: object, kind: object, name: str) -> object:
    """The value as an annotation describes it; TypeError or ValueError, in one sentence, if that cannot be."""
    if kind in FITTING:
        return FITTING[kind](value, name)
    base, inner = get_origin(kind) or kind, get_args(kind)
    if base in (Union, types.UnionType):
        return _one_of(value, inner, name)
    if base in FITTING:
        return FITTING[base](value, name)
    if base is object or not isinstance(base, type):
        return value
    if issubclass(base, Mapping):
        _require(isinstance(value, Mapping), name, "a dict", value)
        return (
            {fitted(k, inner[0], name): fitted(v, inner[1], f"{name}[{shown(k)}]") for k, v in value.items()}
            if inner
            else value
        )
    if base in (list, tuple, Sequence, Iterable):
        return _items(value, base, inner, name)
    if isinstance(value, type) and issubclass(value, base):
        raise TypeError(f"{name} must be {_words(kind)}; got the class {value.__name__}: call it, {value.__name__}().")
    _require(isinstance(value, base), name, _words(kind), value)
    return value


def _one_of(value: object, kinds: tuple, name: str) -> object:
    """What a union of annotations makes of a value."""
    for kind in kinds:
        if (isinstance(kind, type) and isinstance(value, kind)) or (kind is type(None) and value is None):
            return fitted(value, kind, name)
    wanted = [kind for kind in kinds if kind is not type(None)]
    if len(wanted) == 1:
        return fitted(value, wanted[0], name)
    for kind in wanted:
        try:
            return fitted(value, kind, name)
        except (TypeError, ValueError):
            continue
    raise TypeError(f"{name} must be {' or '.join(dict.fromkeys(map(_words, wanted)))}; got {shown(value)}.") from None


def _items(value: object, base: type, inner: tuple, name: str) -> object:
    """A list, or a tuple, of what stands in the brackets of its annotation."""
    pairs, of_strings = (
        base is tuple and inner and inner[-1] is not ...,
        inner and str in (inner[0], *get_args(inner[0])),
    )
    words = f"{'a tuple' if base is tuple else 'a list'} of {_words(inner[0], plural=True) if inner else 'values'}"
    if isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind == "U":
        value = value.tolist()
    elif isinstance(value, Tensor | np.ndarray):
        array = _array(value, name)
        _require(array.ndim > 0, name, words, value)
        value = list(array[: MOST_ITEMS + 1])
    single = isinstance(value, bytes | Mapping) or (isinstance(value, str) and not (of_strings and base is Sequence))
    _require(isinstance(value, Iterable if base is Iterable else Sequence) and not single, name, words, value)
    value = list(value) if base is Iterable else value
    if len(value) > MOST_ITEMS or (pairs and len(value) != len(inner)):
        wanted = len(inner) if pairs else f"at most {MOST_ITEMS:,}"
        raise ValueError(f"{name} must have {wanted} items; got {len(value):,}.")
    of_each = inner if pairs else inner[:1] * len(value)
    items = [fitted(item, kind, f"{name}[{i}]") for i, (item, kind) in enumerate(zip(value, of_each, strict=False))]
    return value if not inner else tuple(items) if base is tuple else items


def _tensor(value: object, name: str) -> Tensor:
    if not isinstance(value, Tensor):
        value = torch.from_numpy(_native(_array(value, name)))
    kind = str(value.layout).removeprefix("torch.") if value.layout != torch.strided else value.device.type
    if kind.startswith(("sparse", "_mkldnn", "jagged", "meta")) or value.is_nested or value.dtype not in READABLE:
        raise TypeError(f"{name} must be a dense tensor of real numbers; got {shown(value)}: convert it first.")
    if value.numel() > MOST_VALUES:
        raise ValueError(f"{name} has {value.numel():,} values, more than fit into memory: pass a part at a time.")
    return value


def _array(value: object, name: str) -> np.ndarray:
    if isinstance(value, Tensor):
        value = _tensor(value, name).detach()
        value = (value.float() if value.dtype == torch.bfloat16 else value).numpy(force=True)
    try:
        _require(isinstance(value, np.ndarray | np.generic | Sequence | Real), name, NUMBERS, value)
        tensors = isinstance(value, Sequence) and len(value) and isinstance(value[0], Tensor)
        array = np.asarray([_array(item, name) for item in value] if tensors else value)
    except (ValueError, OverflowError, RuntimeError):  # rows of different lengths
        array = np.asarray(None)
    _require(array.dtype.kind in "biuf", name, NUMBERS, value)
    if array.size > MOST_VALUES:
        raise ValueError(f"{name} has {array.size:,} values, more than fit into memory: pass a part at a time.")
    return array


def _native(array: np.ndarray) -> np.ndarray:
    """The same numbers as torch can hold them: in this machine's order of bytes, of a type that it has."""
    kind = {
        "u": array.dtype if array.itemsize == 1 else np.int64,
        "f": np.float64 if array.itemsize > 8 else array.dtype,
    }
    array = array.astype(np.dtype(kind.get(array.dtype.kind, array.dtype)).newbyteorder("="), copy=False)
    return array if array.flags.writeable and min(array.strides, default=0) >= 0 else array.copy()


def _whole(value: object, name: str) -> int:
    try:
        whole = None if isinstance(value, bool | np.bool_) else operator.index(value)
    except Exception:  # of a tensor, any
        whole = None
    _require(whole is not None, name, "a whole number", value)
    if not -(2**63) <= whole < 2**63:
        raise ValueError(f"{name} must have at most 63 bits; got a number of {whole.bit_length()} bits.")
    return whole


def _number(value: object, name: str) -> float:
    if isinstance(value, Tensor | np.ndarray) and value.ndim == 0:
        value = _array(value, name).item()
    _require(isinstance(value, Real), name, "a number", value)
    try:
        float(value)
    except OverflowError:
        raise ValueError(
            f"{name} must be a number that fits into 64 bits; got one of {value.bit_length()} bits."
        ) from None
    value = value.item() if isinstance(value, np.generic) else value
    return float(value) if isinstance(value, bool) or (isinstance(value, int) and abs(value) >= 2**63) else value


def _yes_or_no(value: object, name: str) -> bool:
    _require(isinstance(value, bool | np.bool_), name, "True or False", value)
    return bool(value)


def _path(value: object, name: str) -> Path:
    _require(isinstance(value, str | os.PathLike) and "\0" not in os.fspath(value), name, "a path", value)
    return Path(value)


def _device(value: object, name: str) -> torch.device:
    try:
        return torch.device(value)
    except (RuntimeError, TypeError, ValueError):
        raise TypeError(f"{name} must be a torch.device, such as torch.device('cpu'); got {shown(value)}.") from None


def _function(value: object, name: str) -> object:
    _require(callable(value), name, "a function", value)
    return value


FITTING = {
    **{Tensor: _tensor, np.ndarray: _array, int: _whole, float: _number, bool: _yes_or_no},
    **{Path: _path, os.PathLike: _path, torch.device: _device, Callable: _function},
}


def _require(fits: bool, name: str, words: str, value: object) -> None:
    if not fits:
        raise TypeError(f"{name} must be {words}; got {shown(value)}.")


def _words(kind: object, plural: bool = False) -> str:
    base = get_origin(kind) or kind
    if base in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_words(one, plural) for one in get_args(kind)))
    name = getattr(base, "__name__", str(base))
    if plural:
        return {str: "strings", int: "whole numbers", float: "numbers", np.ndarray: "arrays"}.get(
            base, f"{name} objects"
        )
    return WORDS.get(
        base, f"a list ({name})" if base in (list, tuple, Sequence, Iterable) else f"{article(name)} {name}"
    )


def article(name: str) -> str:
    """The article that goes before a name."""
    return "an" if name[:1] in "AEIOaeio" else "a"


def shown(value: object) -> str:
    """A value as a sentence can name it: in one line, and not too long."""
    if isinstance(value, Tensor | np.ndarray):
        sort = (
            "array" if isinstance(value, np.ndarray) else "tensor" if value.layout == torch.strided else "sparse tensor"
        )
        where = " on meta" if isinstance(value, Tensor) and value.is_meta else ""
        return f"{article(sort)} {sort}{where} of {value.dtype}, shape {tuple(value.shape)}"
    try:
        text = "" if _is_large(value) else repr(value)
    except Exception:  # a class of the reader's may do anything
        text = ""
    kind = type(value).__name__
    return text if 0 < len(text) <= 60 and text.isprintable() else f"{article(kind)} {kind}"


def _is_large(value: object) -> bool:
    """Whether it takes long to print: some versions of torch copy an expanded tensor whole for that."""
    inner = (
        [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list | tuple | set) else ()
    )
    return isinstance(value, Tensor | np.ndarray) or len(inner) > 20 or any(map(_is_large, inner))


def check_count(name: str, value: int, least: int = 1, most: int = 100_000) -> None:
    """Refuse a number that is no sensible count, in one sentence."""
    if not least <= value <= most:
        raise ValueError(f"{name} must lie in {least:,}..{most:,}; got {value:,}.")


def check_finite(**numbers: float) -> None:
    """Refuse numbers that are NaN or infinite, by name."""
    for name, number in numbers.items():
        if not math.isfinite(number):
            raise ValueError(f"{name} must be finite; got {number}.")
