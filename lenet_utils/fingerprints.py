"""What a trained network depends on, as short strings: code, data, weights, structure.

A checkpoint's name is made of them, so that no stale network is ever used.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from functools import partial
from pathlib import Path
from types import CellType, CodeType, FunctionType, MethodType, ModuleType, SimpleNamespace

import numpy as np
import torch
from torch import Tensor, nn

from lenet_utils.arguments import checked
from lenet_utils.checks import check_kind
from lenet_utils.paths import PACKAGE

PLAIN = (int, float, complex, str, bytes, bool, type(None), slice, range, np.generic, torch.dtype, torch.device)
STANDARD = {*vars(nn.Module()), "training"} - {"_forward_hooks", "_forward_pre_hooks"}  # what every network has
NO_MATTER = {"__doc__", "__module__", "__qualname__", "__firstlineno__", "__dict__", "__weakref__"}  # of a class


def code_fingerprint() -> str:
    """A digest of this package's Python source, sub-folders included, and of the versions that decide its numbers."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        digest.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0" + path.read_bytes())
    versions = [platform.python_version(), torch.__version__, np.__version__, platform.machine()]
    return hashlib.sha256(digest.digest() + " ".join(versions).encode()).hexdigest()


def dataset_fingerprint(dataset) -> str:
    """A digest of every pixel and label of a :class:`lenet_utils.data.ImageDataset`, of all three parts."""
    check_kind("dataset", dataset, "ImageDataset")
    digest = hashlib.sha256()
    for part in ("train", "validation", "test"):
        for kind in ("images", "labels"):
            digest.update(getattr(dataset, f"{part}_{kind}").contiguous().numpy())
    return digest.hexdigest()


@checked
def state_fingerprint(state: dict[str, Tensor]) -> str:
    """A digest of weights, their names and their shapes."""
    digest = hashlib.sha256()
    for name, value in state.items():
        digest.update(f"{name}{tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


@checked
def structure_fingerprint(model: nn.Module) -> str:
    """A digest of what a network computes with its weights: layers, settings, and code that a notebook or script wrote.

    Code of this package is in :func:`code_fingerprint`, that of installed libraries in their versions; of the reader's
    own classes and functions the compiled code counts, with all that it refers to.
    """
    parts: list[str] = [repr(model)]
    seen: dict[int, object] = {}  # by identity; kept, so that no number is given twice
    for module in model.modules():
        _describe(type(module), parts, seen)
        own = {name: value for name, value in sorted(vars(module).items()) if name not in STANDARD}
        _describe([own, dict(module.named_buffers(recurse=False))], parts, seen)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _describe(value: object, parts: list[str], seen: dict[int, object]) -> None:
    """Append to ``parts`` what decides how ``value`` behaves, as far as the reader wrote it."""
    parts.append(type(value).__name__)
    if isinstance(value, PLAIN):
        parts.append(repr(value))
    elif isinstance(value, Tensor):
        parts.append(state_fingerprint({"": value}))
    elif isinstance(value, np.ndarray):
        parts.append(f"{value.dtype}{value.tolist()}")
    elif isinstance(value, CodeType):
        parts += [value.co_code.hex(), *value.co_names]
        _describe(value.co_consts, parts, seen)
    elif id(value) not in seen:
        seen[id(value)] = value
        parts.append(getattr(value, "__qualname__", ""))
        for item in _contents(value):
            _describe(item, parts, seen)


def _contents(value: object) -> list:
    """What a container holds, and what a function, class or module of the reader's consists of."""
    if isinstance(value, dict):
        return [item for pair in value.items() for item in pair]
    if isinstance(value, list | tuple):
        return list(value)
    if isinstance(value, set | frozenset):
        return sorted(value, key=repr)
    if isinstance(value, partial):
        return [value.func, value.args, value.keywords]
    if isinstance(value, MethodType):
        return [value.__func__, value.__self__]
    if isinstance(value, nn.Module):  # one that the network's code refers to
        return [type(value), repr(value), value.state_dict()]
    if hasattr(value, "__wrapped__"):  # a function within a cache or another decorator
        return [value.__wrapped__]
    if isinstance(value, staticmethod | classmethod):
        return [value.__func__]
    if isinstance(value, property):
        return [value.fget]
    if isinstance(value, ModuleType):
        file = getattr(value, "__file__", None)
        return [Path(file).read_bytes()] if file and _is_own(value.__name__) else []
    if isinstance(value, FunctionType) and _is_own(value.__module__):
        used = {name: value.__globals__[name] for name in sorted(_names(value.__code__)) if name in value.__globals__}
        cells = [cell.cell_contents for cell in value.__closure__ or () if cell != CellType()]
        return [value.__code__, value.__defaults__, value.__kwdefaults__, cells, used]
    if isinstance(value, type) and _is_own(value.__module__):
        own = {name: item for name, item in sorted(vars(value).items()) if name not in NO_MATTER}
        return [*value.__bases__, own]
    if isinstance(value, SimpleNamespace) or (hasattr(value, "__dict__") and _is_own(type(value).__module__)):
        return [type(value), vars(value)]
    return []


def _is_own(module: str | None) -> bool:
    """Whether a module is the reader's, a notebook or a script, and neither this package nor a library."""
    if module is None or module == "__main__":
        return module is not None
    top = module.partition(".")[0]
    if top in ("lenet_utils", "torch") or top in sys.stdlib_module_names:
        return False
    file = getattr(sys.modules.get(module), "__file__", None) or ""
    return not {"site-packages", "dist-packages"} & set(Path(file).parts)


def _names(code: CodeType) -> set[str]:
    """The global names that a function, and the functions inside it, may use."""
    return set(code.co_names).union(*(_names(inner) for inner in code.co_consts if isinstance(inner, CodeType)))


def combined_fingerprint(**parts: object) -> str:
    """One short digest of named parts, each of which JSON can hold."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:20]
