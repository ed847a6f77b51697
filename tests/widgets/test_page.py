"""What every widget's HTML must keep: its data whole, no other file, nothing that ends a script too early."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from conftest import ROOT

from lenet_utils.models import LeNet5, seeded
from lenet_utils.original.network import LeNet5Original
from lenet_utils.recipes.networks import FullLeNet1
from lenet_utils.widgets.draw_pad import DrawPad
from lenet_utils.widgets.page import NOT_NEEDED, Widget
from widgets.pads import WEB

WEIGHT = 400_000  # bytes


class Parts(HTMLParser):
    """Elements by tag, with what stands in them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict, str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes), ""))

    def handle_data(self, data):
        tag, attributes, text = self.found[-1]
        self.found[-1] = (tag, attributes, text + data)


def test_html_holds_style_data_and_program_in_this_order():
    pad = DrawPad(seeded(FullLeNet1, 0), scaling="unit")
    parts = Parts(pad._repr_html_()).found
    assert [(tag, attributes.get("type")) for tag, attributes, _ in parts if tag in ("style", "script")] == [
        ("style", None),
        ("script", "application/json"),
        ("script", None),
    ]
    assert json.loads(next(text for tag, a, text in parts if tag == "script" and a)) == json.loads(json.dumps(pad.spec))
    assert any(tag == "noscript" for tag, _, _ in parts)
    assert not any({"src", "href", "id"} & attributes.keys() for _, attributes, _ in parts)


@pytest.mark.parametrize("name", ["</script>", "<!--<script>", "<b>bold</b>", '"', "&amp;", "\u2028"])
def test_names_end_no_script(name):
    pad = DrawPad(seeded(FullLeNet1, 0), [name, *"123456789"], "unit")
    parts = Parts(pad._repr_html_()).found
    assert sum(tag == "script" for tag, _, _ in parts) == 2
    assert json.loads(next(text for tag, a, text in parts if tag == "script" and a))["networks"][0]["network"][
        "names"
    ] == [name, *"123456789"]


@pytest.mark.slow
@pytest.mark.browser
def test_names_that_look_like_markup_are_only_names(show):
    names = ["</script>", "<!--<script>", "<b>bold</b>", "&amp;", *"456789"]
    page = show(DrawPad(seeded(FullLeNet1, 0), names, "unit"))
    assert page.locator("tbody th").all_inner_texts() == names


def test_a_worker_travels_as_text():
    class Counter(Widget):
        name, programs, workers = "draw-pad", (), ("network",)

    parts = Parts(Counter({})._repr_html_()).found
    worker = next(text for tag, a, text in parts if a.get("type") == "text/plain")
    assert "function makeNetwork(spec)" in worker
    assert "function makeNetwork" not in next(text for tag, a, text in parts if tag == "script" and not a)


@pytest.mark.parametrize("path", sorted(WEB.iterdir()), ids=lambda path: path.name)
def test_only_comments_and_indentation_are_left_out(path):
    """Nothing is left out but blank lines, lines of comment and what stands before the first letter of a line."""
    text = path.read_text("utf8")
    kept = NOT_NEEDED.sub("", text)
    without = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL) if path.suffix != ".html" else text
    lines = [line.strip() for line in without.splitlines() if line.strip() and not line.strip().startswith("//")]
    assert [re.sub(r"/\*.*?\*/", "", line).strip() for line in kept.splitlines() if line.strip()] == lines
    assert "`\n" not in text.replace("`\n  ", ""), "a template over several lines would lose its indentation"


def test_a_pad_with_two_networks_and_ten_digits_is_light(digits):
    """The 61,706 numbers of today's network, and all 60,000 and the 840 of the drawings of 1998."""
    networks = {"LeNet-5 of today": seeded(LeNet5, 0), "LeNet-5 of 1998": seeded(LeNet5Original, 0)}
    pad = DrawPad(networks, samples=(digits.test_images[:10], digits.test_labels[:10]))
    assert [len(one["network"]["weights"]) <= 170_000 for one in pad.spec["networks"]] == [True, True]
    assert len(pad._repr_html_().encode()) <= WEIGHT


def test_the_widgets_files_pass_their_linter():
    biome = shutil.which("biome", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if biome is None:
        pytest.skip("biome is not installed: pip install -e '.[test]'")
    done = subprocess.run([biome, "lint", "--error-on-warnings"], cwd=ROOT, capture_output=True, encoding="utf8")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("change", ["data-theme", "color-scheme"])
def test_canvases_turn_with_the_page(change, show, digits):
    """A drawing made in the light can be seen in the dark."""
    style = "html[data-theme=dark] body { color: #eee; background: #111; }"
    page = show(DrawPad(seeded(FullLeNet1, 0), digits.class_names, "unit"), color_scheme="light")
    page.add_style_tag(content=style)
    page.locator("canvas.pad").click(position={"x": 100, "y": 100})
    ink = """document.querySelector('canvas.pad').getContext('2d').getImageData(0, 0, 280, 280).data
        .reduce((most, value, n) => n % 4 < 3 ? Math.max(most, value) : most, 0)"""
    page.wait_for_function(f"{ink} < 100")
    if change == "data-theme":
        page.evaluate("() => { document.documentElement.dataset.theme = 'dark'; }")
    else:
        page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"{ink} > 200")
