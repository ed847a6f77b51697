"""What a network costs: parameters, connections and multiply-adds, layer by layer, and what each unit sees."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lenet_utils.arguments import checked

POOLING = (nn.AvgPool2d, nn.MaxPool2d)
NORMALISING = (nn.BatchNorm1d, nn.BatchNorm2d)
POINTWISE = (nn.Flatten, nn.Unflatten, nn.Identity, nn.Dropout, nn.Dropout2d, nn.ReLU, nn.Tanh, nn.Sigmoid)


@dataclass(frozen=True)
class LayerRow:
    """One layer's cost, for one image.

    Attributes
    ----------
    name, kind : str
        The layer's name in the network, and its type.
    output_shape : tuple of int
        Without the batch, for instance ``(6, 28, 28)``.
    parameters : int
        Trainable ones; a shared weight counts once.
    connections : int
        As the 1998 paper counts (section II-B): for every unit its inputs, and one more for its bias.
    macs : int
        Multiply-adds: one for every input that is multiplied by a weight.  Adding a bias is none, nor is pooling
        without weights.
    kernel : tuple of int, optional
        Height and width of the field from which a unit takes its inputs in each map; None where there are no places.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    connections: int
    macs: int
    kernel: tuple[int, int] | None = None


@checked
def layer_table(model: nn.Module, input_shape: tuple[int, ...] | None = None) -> list[LayerRow]:
    """Count every layer that has units of its own, by sending one blank image through the network.

    Layers that only squash or reshape have no row.  Batch normalisation has one, with a scale and a shift for each map:
    a multiply-add and two connections for each unit.  A layer of another type counts itself, through methods
    ``count_connections(output_shape)`` and ``count_macs(output_shape)``.  Where a layer is used twice, its second row
    has no parameters, for they are shared.

    Parameters
    ----------
    model : torch.nn.Module
    input_shape : tuple of int, optional
        Without the batch; by default the model's own ``input_shape``.

    Returns
    -------
    list of LayerRow
        In the order of computation.

    Raises
    ------
    ValueError
        If a layer has parameters and cannot be counted, or the network does not say what it reads.

    Examples
    --------
    >>> from lenet_utils.models import LeNet5
    >>> row = layer_table(LeNet5())[0]
    >>> row.name, row.output_shape, row.parameters, row.connections, row.kernel
    ('c1', (6, 28, 28), 156, 122304, (5, 5))
    """
    rows, counted = [], set()
    for name, layer, output in _run(model, input_shape):
        counts = _count(name, layer, tuple(output.shape[1:]))
        if counts:
            own = [p for p in layer.parameters() if p.requires_grad and id(p) not in counted]
            counted |= {id(p) for p in own}
            parameters = sum(p.numel() for p in own)
            rows.append(
                LayerRow(name, type(layer).__name__, tuple(output.shape[1:]), parameters, *counts, _kernel(layer))
            )
    return rows


@checked
def total(rows: list[LayerRow]) -> LayerRow:
    """The sum of a :func:`layer_table`, as a row named ``"total"``."""
    if not rows:
        raise ValueError("There is no layer to add up: expected at least one row of layer_table.")
    sums = (sum(getattr(row, what) for row in rows) for what in ("parameters", "connections", "macs"))
    return LayerRow("total", "", rows[-1].output_shape, *sums)


@checked
def receptive_field(model: nn.Module, input_shape: tuple[int, ...] | None = None) -> dict[str, tuple[int, int]]:
    """How many input pixels, along one side, a unit of each layer sees, and how far apart neighbours' fields lie.

    A layer with kernel k, whose taps lie t apart (its dilation), and stride s, over units that see r pixels at a
    distance of d, sees r + (k - 1)·t·d at a distance of s·d.  The table ends where positions end: at the first dense
    layer.

    Returns
    -------
    dict
        By layer name: size and distance in pixels, for instance ``{"c1": (5, 1), "s2": (6, 2), ...}``.

    Raises
    ------
    ValueError
        If a kernel is not square, or a layer has no field of this form, such as upsampling or adaptive pooling.
    """
    fields, size, distance = {}, 1, 1
    for name, layer, _ in _run(model, input_shape):
        if isinstance(layer, nn.Linear):
            break
        if hasattr(layer, "kernel_size") and not isinstance(layer, nn.ConvTranspose2d):
            size += (_side(layer.kernel_size) - 1) * _side(getattr(layer, "dilation", 1)) * distance
            distance *= _side(layer.stride)
            fields[name] = (size, distance)
        elif not (isinstance(layer, (*POINTWISE, *NORMALISING)) or getattr(layer, "is_squashing", False)):
            raise ValueError(
                f"The field of layer {name!r}, of type {type(layer).__name__}, is not known: this counts convolutions, "
                f"pooling with a fixed kernel, batch normalisation, dropout and squashing functions."
            )
    return fields


def _kernel(layer: nn.Module) -> tuple[int, int] | None:
    kernel = getattr(layer, "kernel_size", None)
    return (kernel, kernel) if isinstance(kernel, int) else kernel


def _side(value: int | tuple[int, ...]) -> int:
    sides = set(value) if isinstance(value, tuple) else {value}
    if len(sides) != 1:
        raise ValueError(f"Expected a square kernel and equal strides; got {value}.")
    return sides.pop()


def _count(name: str, layer: nn.Module, output_shape: tuple[int, ...]) -> tuple[int, int] | None:
    """Connections and multiply-adds, or None for a layer without units of its own."""
    units = math.prod(output_shape)
    if hasattr(layer, "count_connections"):
        return layer.count_connections(output_shape), layer.count_macs(output_shape)
    if isinstance(layer, nn.Conv2d | nn.Linear):
        inputs = layer.weight[0].numel()
        return units * (inputs + (layer.bias is not None)), units * inputs
    if isinstance(layer, POOLING):
        return units * math.prod(_kernel(layer)), 0
    if isinstance(layer, NORMALISING):
        return 2 * units, units
    if any(True for _ in layer.parameters()):
        raise ValueError(
            f"Layer {name!r}, of type {type(layer).__name__}, cannot be counted: give its class the methods "
            f"count_connections(output_shape) and count_macs(output_shape)."
        )
    return None


def _run(model: nn.Module, input_shape: tuple[int, ...] | None) -> list[tuple[str, nn.Module, Tensor]]:
    """Name, module and output of every innermost layer, in the order in which one blank image passes them."""
    shape = input_shape or getattr(model, "input_shape", None)
    if shape is None:
        raise ValueError(f"{type(model).__name__} does not say its input_shape: pass one, such as (1, 32, 32).")
    if len(shape) == 0 or not all(0 < size <= 100_000 for size in shape) or math.prod(shape) > 10**8:
        raise ValueError(f"input_shape must hold the sizes of one image, such as (1, 32, 32); got {tuple(shape)}.")
    parameter = next(model.parameters(), torch.zeros(()))
    with record_layers(model) as passed, evaluating(model), torch.no_grad():
        answer(model, torch.zeros(1, *shape, device=parameter.device, dtype=parameter.dtype))
    for name, layer, output in passed:
        if not isinstance(output, Tensor):
            raise ValueError(f"Layer {name!r}, of type {type(layer).__name__}, does not return one tensor.")
    return passed


def answer(model: nn.Module, images: Tensor) -> Tensor:
    """What the network computes; a ValueError with one sentence if its layers cannot read such images."""
    try:
        return model(images)
    except (RuntimeError, IndexError) as error:  # of torch's own layers
        reason = next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")
        name, shape = type(model).__name__, tuple(images.shape)
        raise ValueError(f"{name} cannot read images of {images.dtype} and shape {shape}: {reason}.") from error


@checked
@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode for as long as it is open; then each part gets its own mode back, after errors, too."""
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


@checked
@contextmanager
def record_layers(model: nn.Module) -> Iterator[list[tuple[str, nn.Module, Tensor]]]:
    """While open, collect (name, module, output) of every innermost layer each time it computes."""
    passed: list[tuple[str, nn.Module, Tensor]] = []
    handles = [
        layer.register_forward_hook(lambda module, _, output, name=name: passed.append((name, module, output)))
        for name, layer in model.named_modules()
        if name and not any(layer.children())
    ]
    try:
        yield passed
    finally:
        for handle in handles:
            handle.remove()
