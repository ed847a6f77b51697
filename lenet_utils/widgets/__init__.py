"""Pieces of HTML and JavaScript that work in a notebook and in the site, with no server and no other file."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from lenet_utils.counting import record_layers
from lenet_utils.preprocessing import prepare

SQUASHES = {nn.Tanh: "tanh", nn.ReLU: "relu", nn.Sigmoid: "sigmoid"}


class DrawPad:
    """A pad on which to draw a digit, and what a trained network takes it for, computed in the reader's browser.

    The drawing is treated as MNIST's digits were: scaled into 20×20 pixels, centred by mass in 28×28 (LeCun et al.
    1998, section III-A).  Mouse, pen, finger and keyboard all draw.

    Parameters
    ----------
    model : torch.nn.Module
        Trained; a plain chain of convolutions, pooling, squashing functions and dense layers, with an ``input_shape``.
    class_names : sequence of str
    scaling : {"unit", "standard", "paper"}
        As in training; see :func:`lenet_utils.preprocessing.prepare`.

    Raises
    ------
    ValueError
        If the network has a layer of another kind, is no plain chain, reads other images, or has other classes.
    """

    def __init__(self, model: nn.Module, class_names: Sequence[str] = "0123456789", scaling: str = "standard") -> None:
        shape = getattr(model, "input_shape", None)
        if shape is None or len(shape) != 3:
            raise ValueError(f"{type(model).__name__} does not say its input_shape: set one, such as (1, 32, 32).")
        maps, size, width = shape
        if maps != 1 or size != width or size < 28 or size % 2:
            raise ValueError(
                f"A DrawPad draws grey images of 28×28 pixels, with an even margin around them; {type(model).__name__} "
                f"reads shape {tuple(model.input_shape)}."
            )
        self.layers, self.weights = chain(model)
        sized = [row.get("outputs") or row["maps"] for row in self.layers if "from" in row]
        num_outputs = sized[-1] if sized else 0
        if num_outputs != len(class_names):
            raise ValueError(
                f"Expected a name for each of the network's {num_outputs} outputs; got {len(class_names)} names."
            )
        paper, ink = (float(prepare(torch.full((1, 28, 28), v), 28, scaling).mean()) for v in (0.0, 1.0))
        self.spec = {
            "layers": self.layers,
            "size": size,
            "margin": (size - 28) // 2,
            "offset": paper,
            "scale": ink - paper,
            "names": list(class_names),
            "weights": base64.b64encode(self.weights.numpy().astype("<f2").tobytes()).decode(),
        }

    def __repr__(self) -> str:
        return (
            f"DrawPad({len(self.layers)} layers, {len(self.weights):,} parameters): shown in notebooks and on the site"
        )

    def _repr_html_(self) -> str:
        spec = json.dumps(self.spec).replace("<", "\\u003c")  # so that no name ends the script or opens a comment
        return (
            f"<style>{_read('draw_pad.css')}</style>"
            f'<div class="lenet-pad"><script type="application/json">{spec}</script>{_read("draw_pad.html")}</div>'
            f"<script>(() => {{\n{_read('network.js', 'draw_pad.js')}}})();</script>"
        )


def _read(*names: str) -> str:
    """Files that lie beside this module, one after the other."""
    return "\n".join(Path(__file__).with_name(name).read_text("utf8") for name in names)


def chain(model: nn.Module) -> tuple[list[dict], Tensor]:
    """A network's layers in the order of computation, and all their weights in one row.

    Parameters
    ----------
    model : torch.nn.Module
        With an ``input_shape``.

    Returns
    -------
    layers : list of dict
        Kind, sizes, and where the weights begin.
    weights : torch.Tensor, shape (N,), float32, on the CPU
    """
    like = next(model.parameters(), torch.zeros(()))
    probe = torch.rand(2, *model.input_shape, generator=torch.Generator().manual_seed(0)).to(like)
    was_training = model.training
    try:
        with record_layers(model.eval()) as passed, torch.no_grad():
            answers = model(probe)
        return _join(passed, probe, answers, type(model).__name__)
    finally:
        model.train(was_training)


def _join(passed: list, probe: Tensor, answers: Tensor, owner: str) -> tuple[list[dict], Tensor]:
    """What :func:`chain` returns, from the layers passed on the way from ``probe`` to ``answers``."""
    layers: list[dict] = []
    weights: list[Tensor] = []
    x, shape = probe, tuple(probe.shape[1:])
    for name, layer, output in passed:
        row = _describe(name, layer, shape)
        if row:
            if row["kind"] in ("convolution", "dense"):
                row["from"] = sum(map(len, weights))
                bias = layer.bias if layer.bias is not None else torch.zeros(len(layer.weight))
                weights += [layer.weight.detach().flatten().float().cpu(), bias.detach().float().cpu()]
            layers.append(row)
        with torch.no_grad():
            x = layer(x.flatten(1) if type(layer) is nn.Linear else x)
        shape = tuple(output.shape[1:])
    x = x.flatten(1)
    if x.shape != answers.shape or not torch.allclose(x, answers, atol=1e-5):
        raise ValueError(f"{owner} is no plain chain of layers: its output is computed in another way.")
    return layers, torch.cat(weights) if weights else torch.zeros(0)


def _describe(name: str, layer: nn.Module, shape: tuple[int, ...]) -> dict | None:
    def one(value: int | tuple[int, ...]) -> int:
        return value if isinstance(value, int) else value[0]

    if isinstance(layer, nn.Flatten | nn.Identity | nn.Dropout):
        return None
    if type(layer) in SQUASHES:
        return {"kind": SQUASHES[type(layer)]}
    if type(layer) is nn.Linear and math.prod(shape) == layer.in_features:
        return {"kind": "dense", "inputs": layer.in_features, "outputs": layer.out_features}
    if type(layer) in (nn.Conv2d, nn.AvgPool2d, nn.MaxPool2d):  # and no class derived from them
        sides = (layer.kernel_size, layer.stride, layer.padding)
        uneven = any(isinstance(side, str) or (isinstance(side, tuple) and len(set(side)) > 1) for side in sides)
        special = getattr(layer, "dilation", 1) not in (1, (1, 1)) or getattr(layer, "groups", 1) > 1
        special |= getattr(layer, "padding_mode", "zeros") != "zeros"
        special |= bool(getattr(layer, "divisor_override", None) or getattr(layer, "return_indices", False))
        padded = not isinstance(layer, nn.Conv2d) and (one(layer.padding) != 0 or layer.ceil_mode)
        if uneven or special or padded:
            raise ValueError(
                f"A DrawPad cannot run layer {name!r}: it knows square kernels without dilation or groups, padded with "
                f"zeros, and pooling without padding."
            )
        kinds = {nn.Conv2d: "convolution", nn.AvgPool2d: "average", nn.MaxPool2d: "max"}
        row = {"kind": kinds[type(layer)], "k": one(layer.kernel_size), "s": one(layer.stride)}
        row |= {"p": one(layer.padding), "c": shape[0], "h": shape[1], "w": shape[2]}
        return row | ({"maps": layer.out_channels} if isinstance(layer, nn.Conv2d) else {})
    raise ValueError(
        f"A DrawPad cannot run layer {name!r} of type {type(layer).__name__}: it knows convolutions, average and max "
        f"pooling, dense layers, tanh, ReLU and the logistic function."
    )
