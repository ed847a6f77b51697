"""What readers hand to the drawing pad: pictures and weights, good and bad; a bad one ends in one sentence."""

from __future__ import annotations

import base64
import io
import json
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch import nn

from lenet_utils.models import LeNet5, seeded
from lenet_utils.original.network import LeNet5Original
from lenet_utils.preprocessing import normalise
from lenet_utils.recipes.networks import FullLeNet1
from lenet_utils.widgets.draw_pad import DrawPad
from widgets.pads import SEVEN, compare, draw, said, seen, settle, shorten

pytestmark = [pytest.mark.slow, pytest.mark.browser]
STROKES = [(60, 50), (230, 60), (120, 260)]


@pytest.fixture
def page(show):
    """A pad with a drawing on it."""
    page = show(DrawPad({"Small": seeded(FullLeNet1, 0)}, scaling="unit"))
    draw(page, *SEVEN)
    return page


def seven(mode: str = "L", paper: object = 235, ink: object = 40, size: tuple[int, int] = (300, 320)) -> Image.Image:
    """A picture of a seven, of any size and colour."""
    picture = Image.new(mode, size, paper)
    scale = (size[0] / 300, size[1] / 320)
    points = [(x * scale[0], y * scale[1]) for x, y in STROKES]
    ImageDraw.Draw(picture).line(points, fill=ink, width=round(22 * scale[0]), joint="curve")
    return picture


def packed(picture: Image.Image, kind: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def give(page, name: str, content: bytes, kind: str = "picture") -> None:
    """Choose a file, and wait until the pad has read it."""
    page.locator(f"input.{kind}").set_input_files({"name": name, "mimeType": "image/png", "buffer": content})
    page.wait_for_timeout(150)
    settle(page)


PICTURES = {
    "png": lambda: packed(seven()),
    "light on dark": lambda: packed(seven(paper=20, ink=240)),
    "jpeg": lambda: packed(seven("RGB", (200, 190, 170), (20, 30, 90)), "JPEG", quality=80),
    "transparent": lambda: packed(seven("RGBA", (0, 0, 0, 0), (10, 10, 10, 255))),
    "one bit": lambda: packed(seven("1", 1, 0)),
    "gif": lambda: packed(seven().convert("P"), "GIF"),
    "webp": lambda: packed(seven("RGB", (255, 255, 255), (0, 0, 0)), "WEBP"),
    "large": lambda: packed(seven(size=(6000, 6000))),
    "tiny": lambda: packed(seven(size=(60, 64))),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_a_picture_of_a_digit_is_read_as_the_same_drawing(kind, page):
    """Whatever the colours, all end in nearly the image that Python makes of dark ink on light paper."""
    page.get_by_role("button", name="Clear").click()
    give(page, f"{kind}.png", PICTURES[kind]())
    page.locator("output.said", has_text="Read as").wait_for(timeout=20_000)
    size = {"large": (300, 300), "tiny": (60, 64)}.get(kind, (300, 320))
    expected = normalise(255 - np.asarray(seven(paper=255, ink=0, size=size)))
    assert (seen(page) - expected).abs().mean() < 0.03
    assert torch.corrcoef(torch.stack([seen(page).flatten(), expected.flatten()]))[0, 1] > 0.93
    compare(page, shorten(seeded(FullLeNet1, 0)), "unit")
    assert page.get_by_text("Was it right?").is_visible()
    page.get_by_role("button", name="Undo").click()
    settle(page)
    assert said(page) == "Draw a digit."


SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40"><path d="M5 5h30L15 35"/></svg>'


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"this is a text, whatever its name says", "no picture that the browser can read"),
        (b"", "no picture that the browser can read"),
        (packed(seven())[:200], "no picture that the browser can read"),
        (SVG, "no picture that the browser can read"),
        (packed(Image.new("L", (100, 100), 128)), "no digit in this picture"),
        (packed(Image.new("RGBA", (100, 100), (0, 0, 0, 0))), "no digit in this picture"),
        (packed(Image.new("L", (1, 1), 0)), "no digit in this picture"),
    ],
    ids=["text", "empty", "truncated", "svg", "grey", "clear", "pixel"],
)
def test_what_is_no_picture_of_a_digit_ends_in_one_sentence_and_the_drawing_stays(content, told, page):
    before = seen(page)
    give(page, "photo.png", content)
    page.locator("output.said", has_text=told).wait_for(timeout=20_000)
    assert said(page).endswith(".")
    assert torch.equal(seen(page), before)
    draw(page, (0.3, 0.6), (0.8, 0.6))
    assert said(page).startswith("Read as ")
    assert not torch.equal(seen(page), before)


def test_a_huge_file_is_not_even_opened(page):
    before = seen(page)
    page.evaluate(
        """() => { const data = new DataTransfer(), pad = document.querySelector('canvas.pad');
        data.items.add(new File([new Uint8Array(31e6)], 'photo.png'));
        pad.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true })); }"""
    )
    page.locator("output.said", has_text="more than 30 megabytes").wait_for(timeout=20_000)
    assert torch.equal(seen(page), before)


HAND_OVER = """([selector, event, name, content]) => {
    const file = new File([Uint8Array.from(atob(content), (c) => c.charCodeAt(0))], name), data = new DataTransfer();
    data.items.add(file);
    const place = document.querySelector(selector);
    place.dispatchEvent(event === 'paste' ? new ClipboardEvent('paste', { clipboardData: data, bubbles: true })
        : new DragEvent(event, { dataTransfer: data, bubbles: true, cancelable: true }));
}"""


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_pictures_are_dropped_and_pasted(event, page):
    before, content = seen(page), base64.b64encode(packed(seven())).decode()
    if event == "drop":
        page.evaluate(HAND_OVER, ["canvas.pad", "dragover", "seven.png", content])
        assert "is-over" in page.locator(".lenet-draw-pad").get_attribute("class")
    page.evaluate(HAND_OVER, ["canvas.pad", event, "seven.png", content])
    page.wait_for_timeout(300)
    settle(page)
    assert not torch.equal(seen(page), before)
    assert "is-over" not in page.locator(".lenet-draw-pad").get_attribute("class")
    assert said(page).startswith("Read as ")


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_nothing_in_particular_is_dropped_or_pasted(event, page):
    before = seen(page)
    page.evaluate(
        """(event) => { const data = new DataTransfer(), place = document.querySelector('canvas.pad');
        data.setData('text/plain', 'seven');
        place.dispatchEvent(event === 'paste' ? new ClipboardEvent('paste', { clipboardData: data, bubbles: true })
            : new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true })); }""",
        event,
    )
    settle(page)
    assert torch.equal(seen(page), before)
    assert said(page).startswith("Read as ")


@pytest.mark.parametrize("make_model", [lambda: LeNet5("relu"), LeNet5Original], ids=["today", "1998"])
def test_weights_of_another_network_are_at_work_at_once(make_model, page, tmp_path):
    model = seeded(make_model, 7)
    DrawPad(model).save(tmp_path / "mine.json")
    image = seen(page)
    give(page, "mine.json", (tmp_path / "mine.json").read_bytes(), "weights")
    loaded = page.locator(".loaded", has_text="at work now")
    loaded.wait_for(timeout=20_000)
    settle(page)
    count = "60,840" if make_model is LeNet5Original else "61,706"
    assert loaded.inner_text() == f"mine.json: {count} numbers, at work now."
    np.testing.assert_allclose(seen(page), image, atol=1e-6)  # the drawing stays
    compare(page, shorten(model))
    assert page.locator(".networks button").all_inner_texts() == ["Small", "mine.json"]
    give(page, "mine.json", (tmp_path / "mine.json").read_bytes(), "weights")  # takes its own place
    assert page.locator(".networks button").all_inner_texts() == ["Small", "mine.json"]
    page.get_by_role("button", name="Small").click()
    settle(page)
    compare(page, shorten(seeded(FullLeNet1, 0)), "unit")


def bad_files() -> dict[str, tuple[bytes, str]]:
    kept = json.loads(json.dumps(DrawPad(seeded(FullLeNet1, 1), scaling="unit").spec["networks"][0]["network"]))
    layers = json.loads(json.dumps(kept["layers"]))
    layers[2]["inputs"] = [6, 12, 12]
    raw = bytearray(base64.b64decode(kept["weights"]))
    raw[1::2] = b"\x7e" * len(raw[1::2])
    nan = kept | {"weights": base64.b64encode(raw).decode(), "check": zlib.crc32(raw)}
    other = kept["weights"][:-8] + "AAAAAAA="
    return {
        "no-json": (b"weights, please", "no file of weights"),
        "empty": (b"", "no file of weights"),
        "a-list": (b"[1, 2]", "no file of weights"),
        "deep": (b"[" * 200_000, "no file of weights"),
        "10-megabytes": (b" " * 10_000_000, "more than 4 megabytes"),
        "wrong-chain": (json.dumps(kept | {"layers": layers}).encode(), "does not fit the layer before it"),
        "wrong-check": (json.dumps(kept | {"weights": other}).encode(), "do not agree with their checksum"),
        "nan": (json.dumps(nan).encode(), "not finite"),
        "few-names": (json.dumps(kept | {"names": ["0"]}).encode(), "another number of outputs than names"),
        "other-size": (json.dumps(kept | {"size": 30}).encode(), "images of another size"),
        "no-layers": (json.dumps(kept | {"layers": []}).encode(), "1 to 50 layers"),
    }


BAD = bad_files()


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_file_of_weights_ends_in_one_sentence_and_the_old_network_works_on(name, page):
    content, told = BAD[name]
    before = said(page)
    give(page, "mine.json", content, "weights")
    page.locator(".loaded", has_text=told).wait_for(timeout=20_000)
    assert page.locator(".loaded").is_visible()
    assert page.locator(".loaded").inner_text().strip().endswith(".")
    assert page.locator(".networks").is_hidden()
    assert said(page) == before
    draw(page, (0.3, 0.6), (0.8, 0.6))
    compare(page, shorten(seeded(FullLeNet1, 0)), "unit")


def test_a_file_of_weights_can_be_dropped(page, tmp_path):
    model = seeded(LeNet5, 3)
    DrawPad(model).save(tmp_path / "mine.json")
    content = base64.b64encode((tmp_path / "mine.json").read_bytes()).decode()
    page.evaluate(HAND_OVER, [".lenet-draw-pad", "drop", "mine.json", content])
    page.locator(".loaded", has_text="at work now").wait_for(state="attached", timeout=20_000)
    settle(page)
    compare(page, shorten(model))


def test_weights_that_overflow_are_no_answer(page, tmp_path):
    parts = [part for width in (784, *[10] * 7) for part in (nn.Linear(width, 10), nn.ReLU())]
    model = nn.Sequential(nn.Flatten(), *parts)
    model.input_shape = (1, 28, 28)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(60_000.0)
    DrawPad(model).save(tmp_path / "mine.json")
    give(page, "mine.json", (tmp_path / "mine.json").read_bytes(), "weights")
    page.locator(".loaded", has_text="at work now").wait_for(timeout=20_000)
    settle(page)
    assert said(page) == "No answer: the outputs are no finite numbers."
    page.locator(".layers canvas").nth(3).click()
    assert page.locator(".unit strong").inner_text()
    page.get_by_role("button", name="Small").click()
    settle(page)
    assert said(page).startswith("Read as ")
    compare(page, shorten(seeded(FullLeNet1, 0)), "unit")
