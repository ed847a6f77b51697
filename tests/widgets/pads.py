"""What tests of the drawing pad share: how to act on one, and how to ask it and torch the same question."""

from __future__ import annotations

import math
import re
from copy import deepcopy

import numpy as np
import torch
from conftest import ROOT
from torch import Tensor, nn

from lenet_utils.counting import record_layers
from lenet_utils.preprocessing import prepare

WEB = ROOT / "lenet_utils" / "widgets" / "web"
SQUASH = {
    None: lambda a: a,
    "tanh": math.tanh,
    "relu": lambda a: max(0, a),
    "sigmoid": lambda a: 1 / (1 + math.exp(-a)),
    "scaled": lambda a: 1.7159 * math.tanh(2 / 3 * a),
}


def call(page, files: str, expression: str, argument: object = None) -> object:
    """The value of an expression in ``argument`` x, computed by the programs of these names alone."""
    program = "\n".join((WEB / f"{name}.js").read_text("utf8") for name in files.split())
    return page.evaluate(f"async (x) => {{ {program}\n return {expression}; }}", argument)


def settle(page) -> None:
    """Wait until what was done has been looked at."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def place(root, x: float, y: float) -> tuple[float, float]:
    """Where on the page a point of the pad is, in parts of its width and height; it is scrolled to."""
    pad = root.locator("canvas.pad")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def draw(page, *points: tuple[float, float], root=None) -> None:
    """One stroke by mouse."""
    page.mouse.move(*place(root or page, *points[0]))
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*place(root or page, *point), steps=4)
    page.mouse.up()
    settle(page)


SEVEN = ((0.2, 0.2), (0.8, 0.25), (0.4, 0.85))


def said(root) -> str:
    return root.locator("output.said").inner_text()


def seen(page) -> Tensor:
    """The 28×28 image that the pad looked at last: the input without its margin, 0 paper and 1 ink."""
    script = """() => { const { input, spec } = document.querySelector('.lenet-draw-pad').network;
        return Array.from(input, (v) => (v - spec.offset) / spec.scale); }"""
    whole = torch.tensor(page.evaluate(script))
    size = math.isqrt(len(whole))
    margin = (size - 28) // 2
    return whole.reshape(size, size)[margin : margin + 28, margin : margin + 28].clamp(0, 1)


def layers(page, image: Tensor | None = None) -> dict[str, np.ndarray]:
    """The values of each layer in the page, by name, after another image if one is given."""
    script = """(image) => { const { network } = document.querySelector('.lenet-draw-pad');
        if (image) network.run(Float32Array.from(image));
        return network.layers.map(({ name, values }) => [name, Array.from(values)]); }"""
    found = page.evaluate(script, None if image is None else image.flatten().tolist())
    return {name: np.array(values) for name, values in found}


def torch_layers(
    model: nn.Module, image: Tensor, names: list[str], scaling: str | None = None
) -> dict[str, np.ndarray]:
    """The same by torch: what stands behind each layer of ``names`` before the next one begins."""
    scaling = scaling or getattr(model, "scaling", "standard")
    found, current = {}, None
    with record_layers(model.eval()) as passed, torch.no_grad():
        model(prepare(image[None], model.input_shape[1], scaling))
    for name, _, output in passed:
        current = name if name in names else current
        if current is not None:
            found[current] = output.flatten().double().numpy()
    return found


def shorten(model: nn.Module) -> nn.Module:
    """The same network with the weights that travel: sixteen bits each."""
    return deepcopy(model).half().float().eval()


def compare(page, model: nn.Module, scaling: str | None = None, image: Tensor | None = None) -> None:
    """Every value of every layer in the page is the one of torch, for the image that the pad looked at last."""
    in_page = layers(page, image)
    by_torch = torch_layers(model, seen(page) if image is None else image, list(in_page), scaling)
    assert list(in_page) == list(by_torch)
    for name, values in in_page.items():
        np.testing.assert_allclose(values, by_torch[name], rtol=1e-4, atol=2e-5, err_msg=name)


def numbers(text: str) -> list[float]:
    """All numbers in a text that the pad wrote."""
    return [float(word) for word in re.findall(r"-?\d+(?:\.\d+)?", text.replace("− ", "-").replace("−", "-"))]


def picture(root, number: int):
    """The picture of a layer; the input's is 0."""
    return root.locator(".layers canvas").nth(number)


def click_unit(root, number: int, x: float, y: float) -> None:
    """Choose the unit at a point of a layer's picture, in parts of its width and height."""
    canvas = picture(root, number)
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    canvas.click(position={"x": x * box["width"], "y": y * box["height"]})


def slide(root, name: str, value: float) -> None:
    script = "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input', { bubbles: true })); }"
    root.locator(f"input[name={name}]").evaluate(script, value)
    settle(root.page if hasattr(root, "page") else root)
