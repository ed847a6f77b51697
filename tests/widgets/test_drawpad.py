"""The drawing pad: the same answers in a browser's JavaScript as in torch, and usable by all."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, sentence
from torch import nn

from lenet_utils.models import LeNet5, seeded
from lenet_utils.preprocessing import center_by_mass, prepare
from lenet_utils.recipes.networks import BatchNormLeNet, FullLeNet1, TutorialLeNet5
from lenet_utils.recipes.sweep import SweepNet
from lenet_utils.widgets import DrawPad, chain

NETWORKS = {
    "lenet5-tanh": (LeNet5, "standard"),
    "lenet5-paper": (lambda: LeNet5("relu", "max"), "paper"),
    "padded": (lambda: TutorialLeNet5("sigmoid", 28), "unit"),
    "small": (FullLeNet1, "unit"),
    "deeper": (lambda: SweepNet("relu", "max", 1), "standard"),
}
PAGE = "<!doctype html><html lang=en><title>Pad</title><body><main><h1>Pad</h1>{}</main></body></html>"


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as running:
        arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
        opened = running.chromium.launch(executable_path=chromium, args=arguments)
        yield opened
        opened.close()


@pytest.fixture
def show(browser, tmp_path):
    """Put a pad on a page of its own, opened from a file; any error or request on it fails the test."""
    pages, troubles = [], []

    def open_pad(*pads: DrawPad, **context):
        (tmp_path / "pad.html").write_text(PAGE.format("".join(pad._repr_html_() for pad in pads)), "utf8")
        page = browser.new_page(**context)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda request: troubles.append(request.url) if "pad.html" not in request.url else None)
        page.goto((tmp_path / "pad.html").as_uri())
        pages.append(page)
        return page

    yield open_pad
    for page in pages:
        page.close()
    assert troubles == []


def answer(page, image: torch.Tensor) -> np.ndarray:
    script = "image => [...document.querySelector('.lenet-pad').network.forward(Float32Array.from(image))]"
    return np.array(page.evaluate(script, image.flatten().tolist()))


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("name", NETWORKS)
def test_javascript_computes_what_torch_computes(name, show, digits):
    make_model, scaling = NETWORKS[name]
    model = seeded(make_model, 0).eval()
    page = show(DrawPad(model, digits.class_names, scaling))
    model = model.half().float()  # its weights travel with sixteen bits each
    for image in digits.test_images[:3]:
        with torch.no_grad():
            expected = model(prepare(image[None], model.input_shape[1], scaling))[0]
        np.testing.assert_allclose(answer(page, image / 255), expected.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.browser
def test_a_drawing_is_scaled_and_centred_as_mnist_was(show, digits):
    page = show(DrawPad(seeded(FullLeNet1, 0), digits.class_names, "unit"))
    page.mouse.move(*place(page, 60, 40))
    page.mouse.down()
    page.mouse.move(*place(page, 60, 200), steps=5)
    page.mouse.move(*place(page, 120, 200), steps=5)
    page.mouse.up()
    ink = page.evaluate(
        """() => { const pad = document.querySelector('.pad');
        const drawn = pad.getContext('2d').getImageData(0, 0, 280, 280).data;
        const ink = Float32Array.from({length: 78400}, (_, i) => drawn[4 * i + 3] / 255);
        return [...document.querySelector('.lenet-pad').network.centre(ink, 280, 280)]; }"""
    )
    image = torch.tensor(ink).reshape(28, 28)
    rows, columns = image.any(1).nonzero().flatten(), image.any(0).nonzero().flatten()
    assert max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1 == 20
    assert torch.equal(center_by_mass(image), image)
    assert page.locator("output").inner_text().startswith("Read as ")
    page.get_by_role("button", name="Clear").click()
    assert page.locator("output").inner_text() == "Draw a digit."


@pytest.mark.slow
@pytest.mark.browser
def test_two_copies_of_one_pad_both_answer(show, digits):
    pad = DrawPad(seeded(FullLeNet1, 0), digits.class_names, "unit")
    page = show(pad, pad)
    for number in (0, 1):
        root = page.locator(".lenet-pad").nth(number)
        root.locator(".pad").click(position={"x": 60, "y": 60})
        assert root.locator("output").inner_text().startswith("Read as ")
        assert root.locator("th").count() == 10


@pytest.mark.slow
@pytest.mark.browser
def test_names_that_look_like_markup_are_only_names(show):
    names = ["</script>", "<!--<script>", "<b>bold</b>", "&amp;", *"456789"]
    page = show(DrawPad(seeded(FullLeNet1, 0), names, "unit"))
    assert page.locator("th").all_inner_texts() == names


def place(page, x: float, y: float) -> tuple[float, float]:
    box = page.locator(".pad").bounding_box()
    return box["x"] + x, box["y"] + y


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pad_on_a_phone_by_touch_and_by_keyboard(scheme, show, digits):
    page = show(
        DrawPad(seeded(FullLeNet1, 0), digits.class_names, "unit"),
        viewport={"width": 390, "height": 800},
        color_scheme=scheme,
        has_touch=True,
    )
    page.touchscreen.tap(*place(page, 100, 100))
    page.locator("output", has_text="Read as ").wait_for(timeout=10_000)
    page.locator(".pad").focus()
    page.keyboard.press("Delete")
    assert page.locator("output").inner_text() == "Draw a digit."
    for key in ("Space", *["ArrowDown"] * 6):
        page.keyboard.press(key)
    assert page.locator("output").inner_text().startswith("Read as ")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.slow
@pytest.mark.browser
def test_pad_is_accessible(show, digits):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = show(DrawPad(seeded(FullLeNet1, 0), digits.class_names, "unit"))
    found = axe.Axe().run(page, options={"preload": False})
    assert found.violations_count == 0, found.generate_report()


def test_weights_travel_whole():
    model = seeded(LeNet5, 0)
    layers, weights = chain(model)
    assert len(weights) == 61_706
    assert [layer["kind"] for layer in layers].count("tanh") == 4
    assert json.dumps(layers)


def test_a_network_it_cannot_run_is_refused():
    with pytest.raises(ValueError, match="cannot run layer") as caught:
        DrawPad(BatchNormLeNet(), "0123456789")
    sentence(caught.value, "'n1'", "BatchNorm2d", "max pooling")


def test_a_network_that_is_no_chain_is_refused():
    class Residual(nn.Module):
        input_shape = (1, 28, 28)

        def __init__(self):
            super().__init__()
            self.c1, self.output = nn.Conv2d(1, 1, 3, padding=1), nn.Linear(784, 10)

        def forward(self, images):
            return self.output((images + self.c1(images)).flatten(1))

    with pytest.raises(ValueError, match="Residual is no plain chain"):
        DrawPad(Residual(), "0123456789")


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(1, 2, (3, 5)),
        nn.Conv2d(1, 2, 3, padding="same"),
        nn.Conv2d(1, 2, 3, dilation=2),
        nn.Conv2d(1, 2, 3, padding=1, padding_mode="reflect"),
        nn.MaxPool2d(2, padding=1),
        nn.AvgPool2d(3, ceil_mode=True),
        nn.AvgPool2d(2, divisor_override=1),
    ],
    ids=str,
)
def test_a_layer_of_unknown_settings_is_refused(layer):
    model = nn.Sequential(layer, nn.Flatten(), nn.LazyLinear(10))
    model(torch.zeros(1, 1, 28, 28))
    model.input_shape = (1, 28, 28)
    with pytest.raises(ValueError, match="cannot run layer '0'") as caught:
        DrawPad(model)
    sentence(caught.value, "square kernels", "padding")
    assert model.training  # as it was


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 20, 20), (1, 28, 32), (1, 31, 31)])
def test_a_network_for_other_images_is_refused(shape):
    model = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), 10))
    model.input_shape = shape
    with pytest.raises(ValueError, match="reads shape") as caught:
        DrawPad(model)
    sentence(caught.value, str(shape), "28×28")


def test_a_class_without_a_name_is_refused():
    with pytest.raises(ValueError, match="10 outputs") as caught:
        DrawPad(seeded(LeNet5, 0), "012")
    sentence(caught.value, "3 names")


def test_the_widgets_files_pass_their_linter():
    biome = shutil.which("biome", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if biome is None:
        pytest.skip("biome is not installed: pip install -e '.[test]'")
    done = subprocess.run([biome, "lint", "--error-on-warnings"], cwd=ROOT, capture_output=True, encoding="utf8")
    assert done.returncode == 0, done.stdout + done.stderr


class Twice(nn.Linear):
    """A dense layer that says twice what it should."""

    def forward(self, x):
        return 2 * super().forward(x)


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(nn.Flatten(), Twice(784, 10)),
        nn.Sequential(nn.Conv2d(1, 10, 27)),  # leaves 2×2
        nn.Sequential(nn.Linear(28, 28), nn.Flatten(), nn.Linear(784, 10)),  # a dense layer on maps
        nn.Sequential(nn.Flatten()),
    ],
    ids=["derived", "maps", "dense-on-maps", "no-weights"],
)
def test_what_would_be_computed_otherwise_is_refused_in_one_sentence(network):
    network.input_shape = (1, 28, 28)
    with pytest.raises(ValueError, match=r"cannot run layer|no plain chain|network's 0 outputs|40 outputs") as caught:
        DrawPad(network)
    sentence(caught.value)


def test_a_network_without_a_size_is_refused():
    with pytest.raises(ValueError, match="input_shape"):
        DrawPad(nn.Sequential(nn.Flatten(), nn.Linear(784, 10)))


def test_a_network_in_float64_is_shown_too():
    model = seeded(FullLeNet1, 0).double()
    assert len(DrawPad(model, "0123456789", "unit").weights) == 3_246
