"""The embedding lab: what it shows agrees with what it was given, and every reader can look into it."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest
import torch
from conftest import sentence
from matplotlib.path import Path as Polygon
from PIL import Image

from lenet_utils.embedding import activations
from lenet_utils.evaluation import predict
from lenet_utils.models import LeNet5, seeded
from lenet_utils.modern.augmentation import pad_network
from lenet_utils.preprocessing import normalise, prepare
from lenet_utils.recipes.networks import FullLeNet1
from lenet_utils.widgets.embedding_lab import EmbeddingLab
from widgets.pads import SEVEN, draw, shorten

COUNT, LAYERS = 300, ("pixels", "S4", "F6")
ALPHA = """Array.from(document.querySelector('canvas.pad').getContext('2d').getImageData(0, 0, 280, 280).data)
    .filter((_, i) => i % 4 === 3)"""
in_browser = [pytest.mark.slow, pytest.mark.browser]


@pytest.fixture(scope="module")
def given(digits):
    """What a lab is made of: real digits, at places drawn by lot around their class's, and some of them misread."""
    random = np.random.default_rng(0)
    labels = digits.test_labels[:COUNT].numpy()
    answers = np.where(random.random(COUNT) < 0.05, (labels + 3) % 10, labels)
    middles = 20 * random.normal(size=(10, 2))
    pictures = [middles[labels] + 5 * random.normal(size=(COUNT, 2)) for _ in range(5)]
    features = np.maximum(0, random.normal(size=(COUNT, 84)) + np.eye(10, 84)[labels]).astype(np.float32)
    return {
        "images": digits.test_images[:COUNT],
        "labels": labels,
        "answers": answers,
        "untrained": dict(zip(LAYERS, (pictures[0], pictures[1], pictures[2]), strict=True)),
        "trained": dict(zip(LAYERS, (pictures[0], pictures[3], pictures[4]), strict=True)),
        "features": features,
    }


@pytest.fixture
def show_lab(show, given):
    """Open a page with a lab, or several, and wait until all points lie still."""

    def open_it(number: int = 1, **context):
        context = {"viewport": {"width": 900, "height": 1200}, "reduced_motion": "reduce"} | context
        page = show(*[EmbeddingLab(**given)] * number, **context)
        page.wait_for_function(
            f"[...document.querySelectorAll('.lenet-widget')].filter(e => e.lab).length === {number}"
        )
        return page

    return open_it


def ask(page, expression: str, number: int = 0):
    """Evaluate JavaScript with ``lab`` at hand."""
    return page.evaluate(
        f"() => {{ const lab = document.querySelectorAll('.lenet-widget')[{number}].lab; {expression} }}"
    )


def places(page, pane: int = 0) -> np.ndarray:
    """Where the points are drawn, in the window's pixels; by our own arithmetic from places, size and view."""
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    flat = ask(page, f"return [...lab.points.places({pane})]")
    view = ask(page, "return lab.points.view")
    box = page.evaluate(
        """() => { const canvas = document.querySelector('canvas.picture'), box = canvas.getBoundingClientRect();
        return [box.left + canvas.clientLeft, box.top + canvas.clientTop, canvas.clientWidth, canvas.clientHeight]; }"""
    )
    left, top, width, height = box
    scale = 0.92 * min(width, height) * view["zoom"]
    return np.array([left + width / 2, top + height / 2]) + scale * (
        np.array(flat).reshape(-1, 2) - [view["x"], view["y"]]
    )


def on_its_own(points: np.ndarray, least: float = 3) -> int:
    """A point within the picture that no other one hides."""
    far = np.linalg.norm(points[:, None] - points, axis=-1) + 1e9 * np.eye(len(points))
    inner = np.abs(points - points.mean(0)).max(1) < 150
    return int(np.flatnonzero((far.min(1) > least) & inner)[0])


def told(page) -> str:
    return page.locator(".said").inner_text()


def counted(page) -> tuple[int, Counter]:
    """What the page says of the digits inside: how many, and how many of each class."""
    text = page.locator(".counted").inner_text()
    each = Counter({name: int(many) for many, name in re.findall(r"(\d+) × (\w+)", text)})
    return int(re.search(r"\d+", text)[0]), each


# --- what it holds ---------------------------------------------------------------------------------------------------


class TestNumbers:
    pytestmark = in_browser

    def test_labels_and_answers_are_those_given(self, show_lab, given):
        page = show_lab()
        assert ask(page, "return [...lab.labels]") == given["labels"].tolist()
        assert ask(page, "return [...lab.answers]") == given["answers"].tolist()

    def test_points_lie_as_in_each_picture_up_to_turning_and_mirroring(self, show_lab, given):
        page = show_lab()
        apart = lambda picture: np.linalg.norm(picture[:, None] - picture, axis=-1)  # noqa: E731
        for layer in LAYERS:
            page.locator(".layer").select_option(layer)
            for net, name in enumerate(("untrained", "trained")):
                page.locator(".net").select_option(str(net))
                shown = np.array(ask(page, "return [...lab.points.places(0)]")).reshape(-1, 2)
                expected = apart(given[name][layer])
                scale = apart(shown).max() / expected.max()
                np.testing.assert_allclose(apart(shown), scale * expected, atol=4 / 1023)
                assert shown.min() >= 0
                assert shown.max() <= 1

    def test_pictures_are_turned_so_that_points_move_little(self, given):
        turn = np.array([[0, -1], [1, 0]]) @ np.diag([1, -1])
        picture = given["trained"]["F6"]
        both = {"a": picture, "b": picture @ turn}
        lab = EmbeddingLab(**given | {"untrained": both, "trained": both})
        before, after = lab_places(lab)
        np.testing.assert_allclose(before, after, atol=2 / 1023)

    def test_images_are_those_given_made_small(self, show_lab, given):
        page = show_lab()
        for n in (0, 7, COUNT - 1):
            shown = np.array(ask(page, f"return [...lab.image({n})]")).reshape(16, 16)
            small = Image.fromarray(given["images"][n].numpy()).resize((16, 16), Image.Resampling.BICUBIC)
            assert np.abs(shown - np.asarray(small, float) * 3 / 255).max() < 0.6

    def test_a_training_digits_own_features_find_itself_first(self, show_lab, given):
        page = show_lab()
        for n in range(0, COUNT, 29):
            found = ask(page, f"return lab.place({given['features'][n].tolist()})")
            assert found[0] == n

    def test_neighbours_are_those_that_python_finds(self, show_lab, given):
        page = show_lab()
        features = given["features"].astype(float)
        step = np.ptp(features, axis=0) / 9
        rounded = features.min(0) + step * np.round((features - features.min(0)) / step)
        for n in (3, 50, 200):
            query = features[n] + 0.3
            found = ask(page, f"return lab.place({query.tolist()})")
            far = np.linalg.norm(rounded - query, axis=1)
            np.testing.assert_allclose(far[found], np.sort(far)[:10], rtol=1e-3)
            many, each = counted(page)
            assert (many, each) == (10, Counter(str(label) for label in given["labels"][found]))
        assert "t-SNE itself has no place for a new image" in page.locator(".counted").inner_text()
        ask(page, "lab.place(null)")
        assert not page.locator(".counted").is_visible()

    def test_features_of_another_length_are_refused(self, show_lab):
        page = show_lab()
        refusal = ask(page, "try { lab.place([1, 2]); } catch (error) { return error.message; }")
        assert refusal == "place() needs the 84 numbers of F6; got 2."


def test_with_two_thousand_digits_and_a_network_it_weighs_at_most_400_kb(mnist):
    random, images, model = np.random.default_rng(0), mnist.test_images[:2_000], pad_network()
    pictures = [{name: random.normal(size=(2_000, 2)) for name in ("pixels", "S2", "S4", "C5", "F6")} for _ in range(2)]
    pictures[1]["pixels"] = pictures[0]["pixels"]
    features, labels = activations(model, prepare(images), "f6"), mnist.test_labels[:2_000]
    lab = EmbeddingLab(images, labels, labels, *pictures, features, model=model)
    assert len(lab._repr_html_().encode()) <= 400_000


class TestDrawing:
    pytestmark = in_browser

    @pytest.fixture
    def drawn_on(self, show, given, digits):
        """A page with a lab whose features are a network's own, and that network."""
        model = shorten(seeded(lambda: LeNet5("relu"), 0))
        features = activations(model, prepare(digits.test_images[:COUNT]), "f6")
        page = show(
            EmbeddingLab(**given | {"features": features, "model": model}), viewport={"width": 900, "height": 1200}
        )
        page.get_by_text("Place a drawing of your own").click()
        return page, model, features

    def test_a_drawing_lies_among_its_neighbours_in_f6(self, drawn_on):
        page, model, features = drawn_on
        draw(page, *SEVEN)
        page.wait_for_function("document.querySelector('.lenet-widget').lab.inside().length === 10")
        image = normalise(np.array(page.evaluate(ALPHA)).reshape(280, 280))
        query = activations(model, prepare(image[None]), "f6")[0]
        step = np.maximum(np.ptp(features, axis=0), 1e-6) / 9
        rounded = features.min(0) + step * np.round((features - features.min(0)) / step)
        far = np.linalg.norm(rounded - query, axis=1)
        np.testing.assert_allclose(np.sort(far[ask(page, "return lab.inside()")]), np.sort(far)[:10], rtol=1e-3)
        assert page.locator(".read").inner_text().startswith(f"Read as {int(predict(model, prepare(image[None])))} (")
        page.locator(".yours .clear").click()
        page.wait_for_function("document.querySelector('.lenet-widget').lab.inside().length === 0")
        assert page.locator(".read").inner_text() == "Draw a digit."
        page.locator(".yours .undo").click()
        page.wait_for_function("document.querySelector('.lenet-widget').lab.inside().length === 10")

    def test_keys_and_fingers_draw_too_and_it_is_accessible(self, drawn_on, accessible):
        page, _, _ = drawn_on
        page.locator("canvas.pad").focus()
        for key in ("Space", *["ArrowDown"] * 5):
            page.keyboard.press(key)
        page.wait_for_function("document.querySelector('.lenet-widget').lab.inside().length === 10")
        assert "Pen down" in page.locator(".heard").inner_text()
        accessible(page)

    def test_another_network_is_refused(self, given):
        with pytest.raises(ValueError, match="has no layer 'f6' of 84 numbers") as caught:
            EmbeddingLab(**given, model=seeded(FullLeNet1, 0))
        sentence(caught.value, "FullLeNet1")


def lab_places(lab: EmbeddingLab) -> np.ndarray:
    """The places that a lab carries, (pictures, N, 2), read from its bytes."""
    import base64
    import zlib

    held = np.frombuffer(zlib.decompress(base64.b64decode(lab.spec["packed"])), np.uint8)
    count, many = lab.spec["count"], max(map(max, lab.spec["pictures"])) + 1
    high = held[2 * count :][: many * 2 * count].astype(int)
    low = held[2 * count + len(high) :][: len(high) // 4]
    low = (low[:, None] >> np.array([0, 2, 4, 6])) & 3
    return ((4 * high + low.reshape(-1)) / 1023).reshape(many, 2, count).swapaxes(1, 2)


# --- mouse -----------------------------------------------------------------------------------------------------------


class TestMouse:
    pytestmark = in_browser

    def test_pointing_shows_a_digit_and_a_click_keeps_it(self, show_lab, given):
        page = show_lab()
        at_first, points = told(page), places(page)
        n = on_its_own(points)
        label, answer = given["labels"][n], given["answers"][n]
        expected = f"Label: {label}. The network's answer: {answer}{'.' if label == answer else ', misread.'}"
        page.mouse.move(*points[n])
        assert told(page) == expected
        page.mouse.move(1, 1)
        assert told(page) == at_first
        page.mouse.click(*points[n])
        page.mouse.move(1, 1)
        assert told(page) == expected
        assert ask(page, "return lab.current()") == n

    def test_a_lasso_counts_what_lies_inside(self, show_lab, given):
        page = show_lab()
        points = places(page)
        middle = points.mean(0)
        corners = middle + np.array([[-90, -60], [80, -120], [20, 0], [130, 100], [-70, 130]])  # not convex
        page.get_by_role("button", name="Lasso").click()
        page.mouse.move(*corners[0])
        page.mouse.down()
        for corner in corners[1:]:
            page.mouse.move(*corner, steps=4)
        page.mouse.up()
        inside = np.flatnonzero(Polygon(corners).contains_points(points))
        assert ask(page, "return lab.inside()") == inside.tolist()
        many, each = counted(page)
        assert many == len(inside) > 10
        assert each == Counter(str(label) for label in given["labels"][inside])
        wrong = int((given["labels"] != given["answers"])[inside].sum())
        assert f"misreads {wrong or 'none'} of them" in page.locator(".counted").inner_text()
        page.locator(".layer").select_option("S4")
        assert ask(page, "return lab.inside()") == inside.tolist()  # so that one sees where they go
        page.get_by_role("button", name="Clear").click()
        assert ask(page, "return lab.inside()") == []

    def test_an_empty_lasso_says_so(self, show_lab):
        page = show_lab()
        box = page.locator(".picture").bounding_box()
        page.get_by_role("button", name="Lasso").click()
        page.mouse.move(box["x"] + 3, box["y"] + 3)
        page.mouse.down()
        page.mouse.move(box["x"] + 12, box["y"] + 3, steps=3)
        page.mouse.move(box["x"] + 3, box["y"] + 12, steps=3)
        page.mouse.up()
        assert page.locator(".counted").inner_text() == "Nothing lies inside: draw the line around some marks."
        assert not page.locator(".digits").is_visible()

    def test_the_wheel_scrolls_the_page_and_with_ctrl_enlarges(self, show_lab):
        page = show_lab(viewport={"width": 700, "height": 500})
        box = page.locator(".picture").bounding_box()
        page.mouse.move(box["x"] + 100, box["y"] + 100)
        page.mouse.wheel(0, 60)
        page.wait_for_function("scrollY > 0")
        assert ask(page, "return lab.points.view.zoom") == 1
        scrolled = page.evaluate("scrollY")
        point = np.array([box["x"] + 100, box["y"] + 100 - scrolled])
        page.mouse.move(*point)
        before = places(page)
        page.keyboard.down("Control")
        page.mouse.wheel(0, -250)
        page.keyboard.up("Control")
        page.wait_for_timeout(300)
        assert ask(page, "return lab.points.view.zoom") == pytest.approx(2)
        assert page.evaluate("scrollY") == scrolled
        assert page.evaluate("visualViewport.scale") == 1
        np.testing.assert_allclose(places(page) - point, 2 * (before - point), atol=2)  # about the mouse

    def test_dragging_moves_the_picture(self, show_lab):
        page = show_lab()
        for _ in range(3):
            page.get_by_role("button", name="Enlarge").click()
        before, box = places(page), page.locator(".picture").bounding_box()
        page.mouse.move(box["x"] + 200, box["y"] + 200)
        page.mouse.down()
        page.mouse.move(box["x"] + 220, box["y"] + 230, steps=5)
        page.mouse.up()
        moved = places(page) - before
        assert np.ptp(moved, axis=0).max() < 0.01
        assert np.abs(moved[0] - [20, 30]).max() < 8  # the first few pixels might have been a click
        page.get_by_role("button", name="All", exact=True).click()
        assert ask(page, "return lab.points.view") == {"x": 0.5, "y": 0.5, "zoom": 1}


# --- fingers ---------------------------------------------------------------------------------------------------------

PHONE = {"viewport": {"width": 390, "height": 500}, "has_touch": True, "is_mobile": True}


def swipe(page, start, by) -> None:
    """One finger down, along, and up."""
    session = page.context.new_cdp_session(page)
    send = lambda kind, *points: session.send(  # noqa: E731
        "Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y} for x, y in points]}
    )
    send("touchStart", start)
    for part in np.linspace(0, 1, 8)[1:]:
        send("touchMove", (start[0] + part * by[0], start[1] + part * by[1]))
    send("touchEnd")
    page.wait_for_timeout(300)


class TestFingers:
    pytestmark = in_browser

    def open_below_the_top(self, show_lab):
        page = show_lab(**PHONE)
        page.evaluate("document.querySelector('.picture').scrollIntoView({block: 'center'})")
        return page

    def test_a_finger_scrolls_the_page_until_it_has_tapped_the_picture(self, show_lab, given):
        page = self.open_below_the_top(show_lab)
        ask(page, "lab.points.zoomBy(3)")
        view, scrolled = ask(page, "return lab.points.view"), page.evaluate("scrollY")
        swipe(page, (195, 300), (0, -90))
        assert page.evaluate("scrollY") > scrolled
        assert ask(page, "return lab.points.view") == view

        points, window = places(page), [[20, 60], [370, 440]]
        seen = np.flatnonzero(((points > window[0]) & (points < window[1])).all(1))
        n = int(seen[0])
        page.touchscreen.tap(*points[n])
        page.wait_for_timeout(300)  # a browser asks what was drawn last whether a finger scrolls
        current = ask(page, "return lab.current()")
        assert np.linalg.norm(points[current] - points[n]) < 1
        assert told(page).startswith(f"Label: {given['labels'][current]}.")

        scrolled = page.evaluate("scrollY")
        swipe(page, (195, 250), (10, -60))
        assert page.evaluate("scrollY") == scrolled
        assert ask(page, "return lab.points.view") != view
        view = ask(page, "return lab.points.view")

        page.locator(".seen").tap()  # beside the picture
        swipe(page, (195, 250), (0, -60))
        assert page.evaluate("scrollY") != scrolled
        assert ask(page, "return lab.points.view") == view

    def test_two_fingers_enlarge_what_was_tapped(self, show_lab):
        page = self.open_below_the_top(show_lab)
        box = page.locator(".picture").bounding_box()
        page.touchscreen.tap(box["x"] + 5, box["y"] + 50)
        session = page.context.new_cdp_session(page)
        for kind, apart in (("touchStart", 30), *[("touchMove", width) for width in range(34, 64, 4)]):
            both = [{"x": 195 + side * apart, "y": box["y"] + 150, "id": k} for k, side in enumerate((-1, 1))]
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": both})
        session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        assert ask(page, "return lab.points.view.zoom") == pytest.approx(62 / 30, rel=0.1)
        assert page.evaluate("visualViewport.scale") == 1

    def test_a_lasso_by_finger(self, show_lab):
        page = self.open_below_the_top(show_lab)
        page.get_by_role("button", name="Lasso").tap()
        page.evaluate("document.querySelector('.picture').scrollIntoView({block: 'center'})")
        points, scrolled = places(page), page.evaluate("scrollY")
        corners = points.mean(0) + np.array([[-80, -80], [80, -80], [80, 80], [-80, 80]])
        session = page.context.new_cdp_session(page)
        for kind, corner in zip(("touchStart", *["touchMove"] * 3), corners.tolist(), strict=True):
            point = {"x": corner[0], "y": corner[1]}
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
        session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        inside = np.flatnonzero(Polygon(corners).contains_points(points))
        assert ask(page, "return lab.inside()") == inside.tolist() != []
        assert page.evaluate("scrollY") == scrolled
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


# --- keys ------------------------------------------------------------------------------------------------------------


class TestKeys:
    pytestmark = in_browser

    def test_arrows_go_from_digit_to_digit_and_enter_takes_the_nearest(self, show_lab, given):
        page = show_lab()
        points = places(page)
        page.locator(".picture").focus()
        for key, axis, sign in (
            ("ArrowRight", 0, 1),
            ("ArrowDown", 1, 1),
            ("ArrowLeft", 0, -1),
            ("ArrowUp", 1, -1),
        ):
            before = ask(page, "return lab.current()")
            page.keyboard.press(key)
            after = ask(page, "return lab.current()")
            step = points[after] - points[before]
            assert after != before
            assert step[axis] * sign >= abs(step[1 - axis])
            assert told(page).startswith(f"Label: {given['labels'][after]}.")
        page.keyboard.press("Enter")
        found = ask(page, "return lab.inside()")
        far = np.linalg.norm(points - points[after], axis=1)
        far[after] = np.inf
        np.testing.assert_allclose(far[found], np.sort(far)[:25], rtol=1e-5)
        assert counted(page) == (25, Counter(str(label) for label in given["labels"][found]))
        page.keyboard.press("Escape")
        assert ask(page, "return lab.inside()") == []

    def test_keys_enlarge_and_move_and_leave_the_browsers_own_alone(self, show_lab):
        page = show_lab()
        page.locator(".picture").focus()
        page.keyboard.press("+")
        page.keyboard.press("+")
        assert ask(page, "return lab.points.view.zoom") == pytest.approx(2.25)
        before = places(page)
        page.keyboard.press("Shift+ArrowRight")
        page.keyboard.press("Shift+ArrowLeft")
        page.keyboard.press("Shift+ArrowLeft")
        assert not np.allclose(places(page), before)
        page.keyboard.press("-")
        assert ask(page, "return lab.points.view.zoom") == pytest.approx(1.5)
        page.keyboard.press("0")
        assert ask(page, "return lab.points.view.zoom") == 1
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Lasso"

    def test_a_digit_beyond_the_rim_is_brought_into_view(self, show_lab):
        page = show_lab()
        page.locator(".picture").focus()
        for _ in range(6):
            page.keyboard.press("+")
        box = page.locator(".picture").bounding_box()
        for _ in range(25):
            page.keyboard.press("ArrowDown")
            x, y = places(page)[ask(page, "return lab.current()")]
            assert box["x"] <= x <= box["x"] + box["width"]
            assert box["y"] <= y <= box["y"] + box["height"]


# --- what is seen ----------------------------------------------------------------------------------------------------


def drawn(page) -> str:
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return page.evaluate("document.querySelector('canvas.picture').toDataURL()")


class TestPicture:
    pytestmark = in_browser

    def test_points_move_unless_the_reader_wants_no_motion(self, show_lab):
        for motion, moves in (("no-preference", True), ("reduce", False)):
            page = show_lab(reduced_motion=motion)
            page.wait_for_timeout(1_500)
            page.locator(".layer").select_option("S4")
            early = ask(page, "return [...lab.points.places(0)]")
            page.wait_for_timeout(2_000)
            late = ask(page, "return [...lab.points.places(0)]")
            assert np.allclose(early, late) is not moves
            page.locator(".net").select_option("0")
            page.wait_for_timeout(2_000)
            expected = ask(page, "return [...lab.places[1]]")
            np.testing.assert_allclose(ask(page, "return [...lab.points.places(0)]"), expected)

    def test_marks_are_labels_answers_or_errors(self, show_lab, given):
        page = show_lab()
        pictures = {}
        for marks in ("label", "answer", "errors"):
            page.locator(".marks").select_option(marks)
            pictures[marks] = drawn(page)
        assert len(set(pictures.values())) == 3
        wrong = int((given["labels"] != given["answers"]).sum())
        assert f"it misreads {wrong}" in page.locator(".seen").inner_text()

    def test_a_mark_is_drawn_at_its_point_and_dimly_where_only_errors_count(self, show_lab, given):
        page = show_lab()
        points = places(page)
        right = given["labels"] == given["answers"]
        far = np.linalg.norm(points[:, None] - points, axis=-1) + 1e9 * np.eye(COUNT)
        n = int(np.argmax(np.where(right, far.min(1), 0)))
        box = page.locator(".picture").bounding_box()
        x, y = (points[n] - [box["x"] + 1, box["y"] + 1]).round().tolist()
        ink = """([x, y]) => Math.max(...document.querySelector("canvas.picture").getContext("2d")
            .getImageData(x - 6, y - 6, 12, 12).data.filter((_, k) => k % 4 === 3))"""
        assert page.evaluate(ink, [x, y]) > 200
        page.locator(".marks").select_option("errors")
        drawn(page)
        assert 0 < page.evaluate(ink, [x, y]) < 70
        ask(page, f"lab.points.zoomBy(12, lab.points.at({n}))")
        drawn(page)
        assert 0 < page.evaluate(ink, [x, y]) < 70  # the image itself

    def test_both_networks_side_by_side(self, show_lab):
        page = show_lab()
        page.locator(".net").select_option("2")
        page.wait_for_timeout(300)
        first, second = (np.array(ask(page, f"return [...lab.points.places({k})]")) for k in (0, 1))
        expected = [np.array(ask(page, f"return [...lab.places[{k}]]")) for k in (3, 4)]
        np.testing.assert_allclose([first, second], expected)
        box = page.locator(".picture").bounding_box()
        assert box["width"] > 1.8 * box["height"]
        assert "before training and after it" in page.locator(".seen").inner_text()

    def test_enlarged_marks_become_images(self, show_lab):
        page = show_lab()
        far = drawn(page)
        ask(page, "lab.points.zoomBy(6)")
        near = drawn(page)
        assert near != far
        assert ask(page, "return lab.points.view.zoom") == pytest.approx(6)

    def test_two_on_a_page_keep_to_themselves(self, show_lab):
        page = show_lab(2)
        roots = page.locator(".lenet-widget")
        roots.nth(1).locator(".layer").select_option("S4")
        roots.nth(1).get_by_role("button", name="The 25 nearest to it").click()
        assert roots.nth(0).locator(".layer").input_value() == "F6"
        assert [len(ask(page, "return lab.inside()", k)) for k in (0, 1)] == [0, 25]

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("width", [390, 900])
    def test_accessible_and_no_wider_than_the_page(self, show_lab, accessible, scheme, width):
        page = show_lab(color_scheme=scheme, viewport={"width": width, "height": 800})
        page.get_by_role("button", name="The 25 nearest to it").click()
        page.get_by_text("Mouse, fingers, keys").click()
        accessible(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.locator(".net").select_option("2")
        assert page.evaluate("document.documentElement.scrollWidth") <= width

    def test_printed_it_is_a_picture(self, show_lab):
        page = show_lab()
        page.emulate_media(media="print")
        assert page.locator(".picture").is_visible()
        assert page.locator(".seen").is_visible()
        assert page.locator("button:visible, select:visible").count() == 0

    def test_names_of_several_letters_are_said(self, show, given):
        names = [f"Class <{k}>" for k in range(10)]
        page = show(EmbeddingLab(**given, class_names=names))
        page.wait_for_function("document.querySelector('.lenet-widget').lab")
        assert re.match(r"Label: Class <\d>\. The network's answer: Class <\d>", told(page))
        assert "(0 Class <0>, 1 Class <1>," in page.locator(".seen").inner_text()  # the marks are numbers

    def test_an_old_browser_is_told(self, browser, given):
        page = browser.new_page()
        page.add_init_script("delete window.DecompressionStream")
        page.goto("about:blank")
        page.set_content(EmbeddingLab(**given)._repr_html_())
        page.locator(".seen", has_text="too old").wait_for()
        page.close()


# --- in Python -------------------------------------------------------------------------------------------------------


def test_two_thousand_digits_leave_room_for_a_network(mnist, given):
    """With a network of 165 kB the page's part stays below 400 kB."""
    random = np.random.default_rng(0)
    count = 2_000
    pictures = [{name: random.random((count, 2)) for name in ("S2", "S4", "C5", "F6")} for _ in range(2)]
    pixels = {"pixels": random.random((count, 2))}
    labels = mnist.test_labels[:count]
    features = np.maximum(0, random.normal(-0.3, 1, (count, 84)))  # three in five are 0
    untrained, trained = (pixels | those for those in pictures)
    lab = EmbeddingLab(mnist.test_images[:count], labels, labels, untrained, trained, features)
    assert len(lab._repr_html_().encode()) < 230_000
    assert repr(lab) == "EmbeddingLab(2,000 images, pixels, S2, S4, C5, F6): shown in notebooks and on the site"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"images": torch.zeros(COUNT, 28, 28)}, ("square uint8 images", "float32")),
        ({"images": torch.zeros(COUNT, 28, 20, dtype=torch.uint8)}, ("square", "(300, 28, 20)")),
        ({"labels": [0, 1]}, ("one label from 0 to 9", "300 images", "(2,)")),
        ({"answers": [10] * COUNT}, ("one answer from 0 to 9", "[10]")),
        ({"answers": []}, ("one answer", "(0,)")),
        ({"untrained": {}}, ("the same layers", "'F6'")),
        ({"features": np.zeros((2, 84))}, ("row of finite features", "(2, 84)")),
        ({"features": np.full((COUNT, 84), np.nan)}, ("finite features",)),
        ({"trained": dict.fromkeys(LAYERS, np.zeros((COUNT, 3)))}, ("picture of pixels", "(300, 3)")),
        ({"trained": dict.fromkeys(LAYERS, np.full((COUNT, 2), np.inf))}, ("finite places", "pixels")),
    ],
)
def test_what_does_not_belong_together_is_refused(given, change, words):
    with pytest.raises(ValueError, match="Expected") as caught:
        EmbeddingLab(**given | change)
    sentence(caught.value, *words)
