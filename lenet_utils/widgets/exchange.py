"""A trained network as numbers that a page can compute with, and back: layer by layer, sixteen bits a weight."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from lenet_utils import storage
from lenet_utils.arguments import checked
from lenet_utils.counting import answer, evaluating, record_layers
from lenet_utils.original.layers import RBFOutput, ScaledTanh, SparseConv2d, Subsampling
from lenet_utils.paths import read_file, write_file
from lenet_utils.preprocessing import SCALINGS, prepare

FORMAT = "lenet-book network 1"
SQUASHES = {nn.Tanh: "tanh", nn.ReLU: "relu", nn.Sigmoid: "sigmoid", ScaledTanh: "scaled"}
SILENT = (nn.Flatten, nn.Identity, nn.Dropout)
LARGEST_FILE = 4_000_000  # bytes


@checked
def describe(model: nn.Module, class_names: Sequence[str | int] = "0123456789", scaling: str | None = None) -> dict:
    """A network's layers in the order of computation, and all their weights in one row, as ``web/network.js`` reads it.

    Parameters
    ----------
    model : torch.nn.Module
        A plain chain of convolutions, pooling, squashing functions, dense layers and the parts of the 1998 machine,
        with an ``input_shape``.
    class_names : sequence of str
        One for each output.
    scaling : {"standard", "paper", "unit"}, optional
        As in training; by default the model's own ``scaling``, else ``"standard"``.

    Returns
    -------
    dict
        Of numbers, strings and lists: it can be written as JSON.

    Raises
    ------
    ValueError
        If the network has a layer of another kind, is no plain chain, reads other images, has other classes, or holds
        weights that are not finite or too large for sixteen bits.
    """
    size = _input_size(model)
    layers, tensors = chain(model)
    outputs = math.prod(layers[-1]["shape"]) if layers else 0
    if outputs != len(class_names):
        raise ValueError(f"Expected a name for each of the network's {outputs} outputs; got {len(class_names)} names.")
    return {
        "format": FORMAT,
        "layers": layers,
        "size": size,
        "margin": (size - 28) // 2,
        **_range(model, scaling),
        "names": [str(name) for name in class_names],
        "smallestWins": getattr(model, "smallest_wins", False),
        **storage.pack(tensors),
    }


@checked
def write_weights(path: str | os.PathLike, network: dict) -> None:
    """Write what :func:`describe` returns as JSON, whole or not at all; a page or :func:`read_weights` reads it.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    write_file(Path(path), json.dumps(network).encode())


@checked
def read_weights(path: str | os.PathLike, model: nn.Module, scaling: str | None = None) -> nn.Module:
    """Give a network the weights of a file that ``DrawPad(...).save`` or a page wrote.

    Nothing is executed from the file; its length, checksum, layers and scaling are compared before a weight is used.

    Parameters
    ----------
    path : path
    model : torch.nn.Module
        With the layers that the file describes; its weights are replaced.
    scaling : {"standard", "paper", "unit"}, optional
        How its images will be prepared; by default as in :func:`describe`.

    Returns
    -------
    torch.nn.Module
        The same model, in evaluation mode.

    Raises
    ------
    ValueError
        If the file is none of these, is damaged, describes other layers, or learned from images of another scaling.
    OSError
        If there is no such file.
    """
    path = Path(path)
    content = read_file(path)
    if len(content) > LARGEST_FILE:
        raise ValueError(f"{path.name} is no file of weights: it has {len(content):,} bytes. Write one with save().")
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ValueError(f"{path.name} is no file of weights: write one with DrawPad(model).save({path.name!r}).")
    layers, tensors = chain(model)
    if found.get("layers") != json.loads(json.dumps(layers)):
        raise ValueError(f"{path.name} holds another network's weights than {type(model).__name__}'s: build that one.")
    if not _same_range(found, _range(model, scaling)):
        fitting = [name for name in SCALINGS if _same_range(found, _range(model, name))]
        told = f"scaled as {fitting[0]!r}: pass that scaling" if fitting else "of no scaling that is known: train again"
        raise ValueError(f"{path.name} learned from images {told}.")
    try:
        storage.unpack(found, tensors)
    except ValueError as error:
        raise ValueError(f"{path.name} cannot be used. {error} Write it again.") from None
    return model.eval()


@checked
def chain(model: nn.Module) -> tuple[list[dict], list[Tensor]]:
    """A network's layers in the order of computation, and what they learned, in the same order.

    Parameters
    ----------
    model : torch.nn.Module
        With an ``input_shape``.

    Returns
    -------
    layers : list of dict
        Name, kind, shapes, squashing function, and where the weights begin if all stand in one row.
    tensors : list of torch.Tensor
        The model's own: kernels or weights of a layer, then its biases.
    """
    _input_size(model)
    like = next(model.parameters(), torch.zeros(()))
    noise = torch.rand(2, *model.input_shape, generator=torch.Generator().manual_seed(0))
    probe = (1.1 * noise - 0.1).to(like)  # within the range that any of the book's networks reads
    with evaluating(model), record_layers(model) as passed, torch.no_grad():
        answers = answer(model, probe)
    return _join(passed, probe, answers, type(model).__name__)


def _range(model: nn.Module, scaling: str | None) -> dict[str, float]:
    """What paper is to the network, and how much more full ink is."""
    scaling = scaling or getattr(model, "scaling", "standard")
    paper, ink = (float(prepare(torch.full((1, 28, 28), v), 28, scaling).mean()) for v in (0.0, 1.0))
    return {"offset": paper, "scale": ink - paper}


def _same_range(found: dict, wanted: dict[str, float]) -> bool:
    """Whether a file's range is the wanted one, but for the last digits of another processor."""
    return all(
        isinstance(found.get(name), (int, float)) and math.isclose(found[name], value, rel_tol=1e-4, abs_tol=1e-6)
        for name, value in wanted.items()
    )


def _input_size(model: nn.Module) -> int:
    shape = getattr(model, "input_shape", None)
    if shape is None or len(shape) != 3:
        raise ValueError(f"{type(model).__name__} does not say its input_shape: set one, such as (1, 32, 32).")
    maps, size, width = shape
    if any(parameter.is_meta for parameter in model.parameters()):
        raise ValueError(f"{type(model).__name__} lies on the meta device and has no weights: build it on a real one.")
    if maps != 1 or size != width or size < 28 or size % 2:
        raise ValueError(
            f"A DrawPad draws grey images of 28×28 pixels, with an even margin around them; {type(model).__name__} "
            f"reads shape {tuple(shape)}."
        )
    return size


def _join(passed: list, probe: Tensor, answers: Tensor, owner: str) -> tuple[list[dict], list[Tensor]]:
    """What :func:`chain` returns, from the layers passed on the way from ``probe`` to ``answers``."""
    rows: list[dict] = []
    tensors: list[Tensor] = []
    x, shape = probe, tuple(probe.shape[1:])
    for name, layer, output in passed:
        if type(layer) in SQUASHES:
            if not rows or rows[-1]["squash"]:
                rows.append({"name": name, "kind": "same", "inputs": _maps(shape), "squash": None})
            rows[-1]["squash"] = SQUASHES[type(layer)]
        elif not isinstance(layer, SILENT):
            row = {"name": name, **_kind(name, layer, shape), "inputs": _maps(shape), "squash": None}
            if learned := _tensors(layer):
                row["from"] = sum(tensor.numel() for tensor in tensors)
                tensors += learned
            rows.append(row | ({"squash": "scaled"} if isinstance(layer, Subsampling) else {}))
        try:
            with torch.no_grad():
                x = layer(x.flatten(1) if isinstance(layer, nn.Linear | RBFOutput) else x)
        except (RuntimeError, ValueError):
            raise ValueError(f"{owner} is no plain chain of layers: {name!r} cannot read what comes before.") from None
        if not isinstance(layer, SILENT):  # flattened maps stay maps
            shape = tuple(output.shape[1:])
            rows[-1]["shape"] = _maps(shape)
    x = x.flatten(1)
    if x.shape != answers.shape or not torch.allclose(x, answers, atol=1e-5, equal_nan=True):
        raise ValueError(f"{owner} is no plain chain of layers: its output is computed in another way.")
    return rows, tensors


def _maps(shape: tuple[int, ...]) -> list[int]:
    """Maps, height, width: a vector's are numbers of one unit each."""
    return list(shape) if len(shape) == 3 else [math.prod(shape), 1, 1]


def _tensors(layer: nn.Module) -> list[Tensor]:
    """What travels of a layer, in order: the kernels or weights, then the biases."""
    if isinstance(layer, nn.Conv2d | nn.Linear | SparseConv2d):
        return [layer.weight, layer.bias if layer.bias is not None else torch.zeros(len(layer.weight))]
    if isinstance(layer, Subsampling):
        return [layer.coefficient, layer.bias]
    return [layer.prototypes] if isinstance(layer, RBFOutput) else []


def _kind(name: str, layer: nn.Module, shape: tuple[int, ...]) -> dict:
    """What a page must know of a layer to compute it, but for its weights."""
    if type(layer) is nn.Linear and math.prod(shape) == layer.in_features:
        return {"kind": "dense"}
    if type(layer) is RBFOutput:
        return {"kind": "distances"}
    if type(layer) is Subsampling:
        return {"kind": "subsampling", "k": 2, "s": 2, "p": 0, "weight": layer.input_weight}
    if type(layer) is SparseConv2d:
        links = [layer.inputs_of_link[layer.outputs_of_link == m].tolist() for m in range(layer.channels[1])]
        return {"kind": "convolution", "k": layer.kernel_size, "s": 1, "p": 0, "links": links}
    if type(layer) in (nn.Conv2d, nn.AvgPool2d, nn.MaxPool2d):  # and no class derived from them
        _check_square(name, layer)
        kinds = {nn.Conv2d: "convolution", nn.AvgPool2d: "average", nn.MaxPool2d: "max"}
        k, s, p = (side if isinstance(side, int) else side[0] for side in _sides(layer))
        return {"kind": kinds[type(layer)], "k": k, "s": s, "p": p}
    raise ValueError(
        f"A DrawPad cannot run layer {name!r} of type {type(layer).__name__}: it knows convolutions, average and max "
        f"pooling, dense layers, tanh, ReLU and the logistic function, and the layers of 1998."
    )


def _sides(layer: nn.Module) -> tuple:
    return layer.kernel_size, layer.stride, layer.padding


def _check_square(name: str, layer: nn.Module) -> None:
    uneven = any(isinstance(side, str) or (isinstance(side, tuple) and len(set(side)) > 1) for side in _sides(layer))
    special = getattr(layer, "dilation", 1) not in (1, (1, 1)) or getattr(layer, "groups", 1) > 1
    special |= getattr(layer, "padding_mode", "zeros") != "zeros"
    special |= bool(getattr(layer, "divisor_override", None) or getattr(layer, "return_indices", False))
    padded = not isinstance(layer, nn.Conv2d) and (layer.padding not in (0, (0, 0)) or layer.ceil_mode)
    if uneven or special or padded:
        raise ValueError(
            f"A DrawPad cannot run layer {name!r}: it knows square kernels without dilation or groups, padded with "
            f"zeros, and pooling without padding."
        )
