"""The drawing pad as readers use it: by mouse, finger, pen and keyboard, with good files and with bad ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import sentence
from PIL import Image, ImageDraw

from lenet_utils.models import LeNet5, seeded
from lenet_utils.original.network import LeNet5Original
from lenet_utils.preprocessing import center_by_mass, normalise
from lenet_utils.recipes.networks import FullLeNet1
from lenet_utils.widgets.draw_pad import DrawPad
from lenet_utils.widgets.exchange import read_weights
from widgets.pads import SEVEN, call, compare, draw, numbers, place, said, seen, settle, shorten, slide

slow = pytest.mark.slow
browsing = pytest.mark.browser
PHONE = {"viewport": {"width": 390, "height": 800}, "has_touch": True}


@pytest.fixture(scope="module")
def small() -> DrawPad:
    return DrawPad(seeded(FullLeNet1, 0), scaling="unit")


@pytest.fixture(scope="module")
def both(digits) -> DrawPad:
    """Two networks, and ten digits to take."""
    networks = {"Of today": seeded(lambda: LeNet5("relu"), 0), "Of 1998": seeded(LeNet5Original, 0)}
    return DrawPad(networks, samples=(digits.test_images[:10], digits.test_labels[:10]))


def random_drawing(draw: np.random.Generator) -> np.ndarray:
    """Ink of one wild stroke, somewhere on a sheet of 10 to 60 pixels."""
    height, width = draw.integers(10, 61, 2)
    sheet = Image.new("L", (int(width), int(height)))
    points = [tuple(map(float, point)) for point in draw.uniform(0, 1, (draw.integers(2, 6), 2)) * (width, height)]
    ImageDraw.Draw(sheet).line(points, fill=255, width=int(draw.integers(1, 6)))
    ink = np.asarray(sheet, np.float32) / 255
    return ink * draw.uniform(0.3, 1, ink.shape).astype(np.float32)


@slow
@browsing
def test_drawings_are_normalised_as_python_does_it(browser):
    generator = np.random.default_rng(0)
    drawings = [drawing for drawing in (random_drawing(generator) for _ in range(110)) if drawing.any()][:100]
    page = browser.new_page()
    sent = [[drawing.flatten().tolist(), drawing.shape[1], drawing.shape[0]] for drawing in drawings]
    script = "x.map(([ink, width, height]) => Array.from(normalise(Float32Array.from(ink), width, height).image))"
    found = np.array(call(page, "image", script, sent)).reshape(-1, 28, 28)
    empty = call(page, "image", "normalise(new Float32Array(12), 4, 3)")
    page.close()
    assert len(found) == 100
    for image, drawing in zip(found, drawings, strict=True):
        np.testing.assert_allclose(image, normalise(drawing).numpy(), atol=1e-5)
    assert empty is None


@slow
@browsing
def test_a_drawing_by_mouse_reaches_the_network_as_mnist_was_made(show):
    model = seeded(FullLeNet1, 0)
    page = show(DrawPad(model, scaling="unit"))
    assert said(page) == "Draw a digit."
    assert page.locator("td.share").all_inner_texts() == [""] * 10
    draw(page, *SEVEN)
    ink = page.evaluate(
        """() => { const pen = document.querySelector('canvas.pad').getContext('2d');
        const drawn = pen.getImageData(0, 0, 280, 280).data;
        return Array.from({length: 78400}, (_, i) => drawn[4 * i + 3]); }"""
    )
    image = seen(page)
    np.testing.assert_allclose(image, normalise(np.array(ink).reshape(280, 280)), atol=1e-5)
    assert torch.equal(center_by_mass(image), image)
    compare(page, shorten(model), "unit")
    with torch.no_grad():
        outputs = shorten(model)(image[None, None])[0].softmax(0)
    assert said(page) == f"Read as {outputs.argmax()} ({100 * outputs.max():.0f} %)"
    assert [int(text[:-2]) for text in page.locator("td.share").all_inner_texts()] == [
        round(float(100 * share)) for share in outputs
    ]


@slow
@browsing
def test_every_step_can_be_undone_and_an_empty_pad_answers_nothing(show, small):
    page = show(small)
    draw(page, *SEVEN)
    one = seen(page)
    draw(page, (0.3, 0.6), (0.8, 0.6))
    two = seen(page)
    assert not torch.equal(one, two)
    page.get_by_role("button", name="Undo").click()
    settle(page)
    assert torch.equal(seen(page), one)
    page.get_by_role("button", name="Clear").click()
    page.get_by_role("button", name="Clear").click()
    settle(page)
    assert said(page) == "Draw a digit."
    assert page.locator("td.share").all_inner_texts() == [""] * 10
    assert not page.get_by_text("Was it right?").is_visible()
    page.get_by_role("button", name="Undo").click()  # both clearings were one
    settle(page)
    assert torch.equal(seen(page), one)
    for _ in range(3):
        page.get_by_role("button", name="Undo").click()
    settle(page)
    assert said(page) == "Draw a digit."


@slow
@browsing
def test_a_click_is_a_dot_and_the_other_mouse_buttons_draw_nothing(show, small):
    page = show(small)
    page.locator("canvas.pad").click(button="right", position={"x": 50, "y": 50})
    page.mouse.move(*place(page, 0.8, 0.8), steps=3)
    settle(page)
    assert said(page) == "Draw a digit."
    page.keyboard.press("Escape")
    page.locator("canvas.pad").click(position={"x": 50, "y": 50})
    settle(page)
    assert said(page).startswith("Read as ")


def finger(page):
    """Touch the screen at points of the page, as a finger does that may scroll."""
    session = page.context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        touches = [{"x": x, "y": y, "id": n} for n, (x, y) in enumerate(points)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})

    return touch


@slow
@browsing
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_finger_draws_on_the_pad_and_scrolls_beside_it(scheme, show, both):
    page = show(both, **PHONE, color_scheme=scheme)
    page.evaluate("window.scrollTo(0, 0)")
    page.get_by_role("button", name="Clear").click()
    touch = finger(page)
    start, end = place(page, 0.5, 0.9), place(page, 0.5, 0.1)
    before = page.evaluate("scrollY")
    touch("touchStart", start)
    for n in range(1, 9):
        touch("touchMove", (start[0], start[1] + (end[1] - start[1]) * n / 8))
    touch("touchEnd")
    settle(page)
    page.wait_for_timeout(200)
    assert page.evaluate("scrollY") == before
    rows = seen(page).any(1).nonzero().flatten()
    assert rows[-1] - rows[0] == 19  # the whole stroke, not only where it began
    assert said(page).startswith("Read as ")
    box = page.locator(".layers").bounding_box()
    middle = (box["x"] + box["width"] / 2, 700)
    touch("touchStart", middle)
    for n in range(1, 9):
        touch("touchMove", (middle[0], middle[1] - 50 * n))
    touch("touchEnd")
    page.wait_for_function("before => scrollY > before + 100", arg=before, timeout=5_000)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@slow
@browsing
def test_a_second_finger_draws_no_zigzag(show, small):
    page = show(small, **PHONE)
    touch = finger(page)
    first, second = place(page, 0.2, 0.2), place(page, 0.8, 0.8)
    touch("touchStart", first)
    touch("touchStart", first, second)
    for n in range(5):
        touch("touchMove", (first[0], first[1] + 5 * n), second)
    touch("touchEnd")
    settle(page)
    image = seen(page)
    page.get_by_role("button", name="Undo").click()
    settle(page)
    assert said(page) == "Draw a digit."
    columns = image.any(0).nonzero().flatten()
    assert columns[-1] - columns[0] < 19  # an upright stroke


@slow
@browsing
def test_a_tap_and_a_pen_draw_too(show, small):
    page = show(small, **PHONE)
    page.touchscreen.tap(*place(page, 0.4, 0.4))
    page.locator("output.said", has_text="Read as ").wait_for(timeout=10_000)
    page.get_by_role("button", name="Clear").tap()
    page.locator("output.said", has_text="Draw a digit.").wait_for(timeout=10_000)
    session = page.context.new_cdp_session(page)
    for kind, at in (("mousePressed", (0.2, 0.5)), ("mouseMoved", (0.5, 0.5)), ("mouseReleased", (0.8, 0.5))):
        x, y = place(page, *at)
        event = {"type": kind, "x": x, "y": y, "button": "left", "buttons": 1, "clickCount": 1, "pointerType": "pen"}
        session.send("Input.dispatchMouseEvent", event)
    settle(page)
    rows, columns = (seen(page).any(axis).nonzero().flatten() for axis in (1, 0))
    assert columns[-1] - columns[0] == 19
    assert rows[-1] - rows[0] < 10


@slow
@browsing
def test_a_keyboard_draws_sees_its_pen_and_hears_where_it_is(show, small):
    page = show(small)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "pad"
    page.keyboard.press("ArrowUp")
    assert page.locator(".cursor").is_visible()
    heard = page.locator(".drawing .heard")
    assert heard.inner_text() == "Pen up, 50 % from the left, 45 % from the top."
    assert said(page) == "Draw a digit."
    for key in ("Space", *["ArrowDown"] * 6, *["ArrowLeft"] * 40):
        page.keyboard.press(key)
    settle(page)
    assert heard.inner_text() == "Pen down, 5 % from the left, 75 % from the top."
    assert said(page).startswith("Read as ")  # and stays, whatever is heard of the pen
    first = seen(page)
    page.keyboard.press("Space")
    page.keyboard.press("ArrowRight")
    settle(page)
    assert torch.equal(seen(page), first)
    page.keyboard.press("Space")
    page.keyboard.press("ArrowDown")
    settle(page)
    assert not torch.equal(seen(page), first)
    page.keyboard.press("Control+z")
    settle(page)
    assert torch.equal(seen(page), first)
    page.keyboard.press("Delete")
    settle(page)
    assert said(page) == "Draw a digit."
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "undo"
    assert not page.locator(".cursor").is_visible()


@slow
@browsing
def test_test_digits_arrive_as_they_are_and_a_stroke_begins_anew(show, both, digits):
    page = show(both)
    page.locator(".samples button").last.wait_for()
    settle(page)
    grey = (digits.test_images[:10].float() / 255 * 15 + 0.5).floor() / 15  # sixteen greys travel
    assert (seen(page) - grey[0]).abs().max() < 0.04
    assert said(page).startswith("Read as ")  # before the reader does anything
    names = [button.get_attribute("aria-label") for button in page.locator(".samples button").all()]
    assert names == [f"Test digit {label}" for label in digits.test_labels[:10].tolist()]
    page.locator(".samples button").nth(4).click()
    settle(page)
    assert (seen(page) - grey[4]).abs().max() < 0.04
    compare(page, shorten(seeded(lambda: LeNet5("relu"), 0)))
    assert not page.get_by_text("Was it right?").is_visible()
    draw(page, (0.5, 0.1), (0.5, 0.9))
    columns = seen(page).any(0).nonzero().flatten()
    assert columns[-1] - columns[0] < 6  # the stroke alone
    page.get_by_role("button", name="Undo").click()
    settle(page)
    assert (seen(page) - grey[4]).abs().max() < 0.04


@slow
@browsing
def test_another_network_reads_the_same_drawing(show, both):
    page = show(both)
    draw(page, *SEVEN)
    image, first = seen(page), said(page)
    page.get_by_role("button", name="Of 1998").click()
    settle(page)
    np.testing.assert_allclose(seen(page), image, atol=1e-6)
    original = shorten(seeded(LeNet5Original, 0))
    compare(page, original)
    outputs = page.evaluate("() => Array.from(document.querySelector('.lenet-draw-pad').network.layers.at(-1).values)")
    best = int(np.argmin(outputs))
    assert said(page) == f"Read as {best} (distance {outputs[best]:.1f}, the smallest)"
    assert page.locator("canvas.prototype").count() == 10
    assert [float(text) for text in page.locator("td.share").all_inner_texts()] == pytest.approx(outputs, abs=0.51)
    page.get_by_role("button", name="Of today").click()
    settle(page)
    assert said(page) == first
    assert page.locator(".networks [aria-pressed=true]").all_inner_texts() == ["Of today"]


@slow
@browsing
def test_readers_count_what_was_right(show, small):
    page = show(small)
    draw(page, *SEVEN)
    page.get_by_role("button", name="Yes").click()
    assert page.locator(".count").inner_text().startswith("Of your digits, 1 of 1 was read right.")
    assert not page.get_by_text("Was it right?").is_visible()  # counted once
    assert page.evaluate("document.activeElement.className") == "pad"
    page.get_by_role("button", name="Clear").click()
    draw(page, (0.5, 0.1), (0.5, 0.9))
    page.get_by_role("button", name="No").click()
    assert page.locator(".count").inner_text().startswith("Of your digits, 1 of 2 were read right.")


@slow
@browsing
def test_sliders_change_the_image_and_say_at_once_whether_the_answer_holds(show, both):
    page = show(both)
    page.locator(".samples button").first.wait_for()
    draw(page, *SEVEN)
    straight, model = seen(page), shorten(seeded(lambda: LeNet5("relu"), 0))
    first = int(numbers(said(page))[0])
    page.get_by_text("Slide it, turn it").click()
    slide(page, "x", 3)
    np.testing.assert_allclose(seen(page), torch.roll(straight, 3, 1), atol=1e-6)  # nothing stood at the edge
    slide(page, "x", 0)
    slide(page, "turn", 90)
    np.testing.assert_allclose(seen(page), torch.rot90(straight, -1), atol=1e-5)  # clockwise
    slide(page, "turn", 0)
    slide(page, "thick", 1)
    grown = torch.nn.functional.max_pool2d(straight[None, None], (3, 1), 1, (1, 0))
    grown = torch.maximum(grown, torch.nn.functional.max_pool2d(straight[None, None], (1, 3), 1, (0, 1)))[0, 0]
    np.testing.assert_allclose(seen(page), grown, atol=1e-6)
    told = set()
    for value in (-1.5, 0, 0.5, 1, 1.5, 2):
        slide(page, "thick", value)
        for noise in (0, 0.4, 0.8):
            slide(page, "noise", noise)
            compare(page, model)
            answer = int(numbers(said(page))[0])
            held = page.locator(".held").inner_text()
            if (value, noise) == (0, 0):
                assert held == ""
            elif answer == first:
                assert held == f"The answer holds: {first}."
            else:
                assert held == f"The answer breaks: {first} became {answer}."
            told.add(held[:14])
    assert page.locator(".held").is_visible()
    page.get_by_role("button", name="Back to the digit as it was").click()
    settle(page)
    np.testing.assert_allclose(seen(page), straight, atol=1e-6)
    assert page.locator(".sliders output").all_inner_texts() == ["0"] * 5


@slow
@browsing
def test_two_pads_on_a_page_do_not_meet(show, small):
    page = show(small, small)
    roots = [page.locator(".lenet-draw-pad").nth(number) for number in (0, 1)]
    draw(page, *SEVEN, root=roots[1])
    assert said(roots[0]) == "Draw a digit."
    assert said(roots[1]).startswith("Read as ")
    draw(page, (0.5, 0.1), (0.5, 0.9), root=roots[0])
    assert said(roots[0]).startswith("Read as ")
    assert [root.locator("tbody th").count() for root in roots] == [10, 10]


def test_save_writes_what_a_network_can_be_given_back(tmp_path, small):
    small.save(tmp_path / "mine.json")
    other = read_weights(tmp_path / "mine.json", seeded(FullLeNet1, 1), scaling="unit")
    assert torch.equal(other.output.weight, shorten(seeded(FullLeNet1, 0)).output.weight)


def test_what_is_no_set_of_samples_or_networks_is_refused(digits):
    model = seeded(LeNet5, 0)
    with pytest.raises(ValueError, match="at least one network"):
        DrawPad({})
    with pytest.raises(ValueError, match="a label for each sample") as caught:
        DrawPad(model, samples=(digits.test_images[:3], digits.test_labels[:2]))
    sentence(caught.value, "3 images", "2 labels")
    with pytest.raises(ValueError, match="labels from 0 to 9") as caught:
        DrawPad(model, samples=(digits.test_images[:2], torch.tensor([1, 12])))
    sentence(caught.value, "12")


def test_a_pad_says_what_it_is(small):
    assert repr(small) == "DrawPad(FullLeNet1 with 3,246 numbers): shown in notebooks and on the site"


@slow
@browsing
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_pad_is_accessible_with_all_of_it_open(width, scheme, show, both, accessible):
    page = show(both, both, viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.add_style_tag(content="body { background: Canvas; }")  # which axe does not know by itself
    page.locator(".samples button").last.wait_for()
    accessible(page)
    for root in page.locator(".lenet-draw-pad").all():
        root.locator(".layers canvas").nth(3).click()
        root.get_by_role("button", name="Edit this kernel").click()
        for summary in root.locator("summary").all():
            summary.click()
        slide(root, "turn", 60)
        draw(page, *SEVEN, root=root)
    accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    small = """() => [...document.querySelectorAll('button, input, select, summary, label.file, canvas[tabindex]')]
        .map((element) => [element.outerHTML.slice(0, 80), element.getBoundingClientRect()])
        .filter(([, { width, height }]) => width && (width < 24 || height < 24)).map(([name]) => name)"""
    targets = [target for target in page.evaluate(small) if "opacity" not in target]
    assert [t for t in targets if not t.startswith("<canvas")] == []


@slow
@browsing
def test_print_shows_the_state_and_no_controls(show, both):
    page = show(both)
    page.locator(".samples button").last.wait_for()
    page.locator(".layers canvas").nth(1).click()
    page.emulate_media(media="print")
    settle(page)
    for visible in ("canvas.pad", ".steps canvas.seen", "output.said", "td.bars", ".layers canvas", ".unit"):
        assert page.locator(visible).first.is_visible(), visible
    assert page.locator(".networks button:visible").all_inner_texts() == ["Of today"]
    hidden = ".undo, .clear, .file, .samples, .judge, .sliders, .weights, .unit .no-print"
    assert [one.is_visible() for one in page.locator(hidden).all()].count(True) == 0
    assert page.locator(".bar").first.evaluate("(bar) => getComputedStyle(bar).printColorAdjust") == "exact"


@slow
@browsing
def test_nothing_moves_by_itself(show, both):
    page = show(both, reduced_motion="reduce")
    draw(page, *SEVEN)
    page.get_by_role("button", name="Of 1998").click()
    page.locator(".layers canvas").nth(2).click()
    assert page.evaluate("document.getAnimations().length") == 0
    frames = "() => document.querySelector('.lenet-draw-pad').innerHTML"
    before = page.evaluate(frames)
    page.wait_for_timeout(300)
    assert page.evaluate(frames) == before
