"""The drawing pad taken apart: units by mouse and by keyboard, kernels edited, maps switched off, all as in torch."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from torch import nn

from lenet_utils.counting import receptive_field
from lenet_utils.models import LeNet5, seeded
from lenet_utils.original.layers import C3_TABLE
from lenet_utils.original.network import LeNet5Original
from lenet_utils.preprocessing import prepare
from lenet_utils.recipes.networks import TutorialLeNet5
from lenet_utils.widgets.draw_pad import DrawPad
from widgets.pads import (
    SQUASH,
    call,
    click_unit,
    compare,
    draw,
    layers,
    numbers,
    picture,
    said,
    seen,
    settle,
    shorten,
    slide,
    torch_layers,
)

pytestmark = [pytest.mark.slow, pytest.mark.browser]
NETWORKS = {
    "today": lambda: LeNet5("relu"),
    "max": lambda: LeNet5("tanh", "max"),
    "1998": LeNet5Original,
    "padded": lambda: TutorialLeNet5("sigmoid", 28),
}
ROUNDING = 0.0051  # of what is written with two places


@pytest.fixture
def pad(show, digits, request):
    """A page with a pad and a test digit, and torch's own network beside it."""
    model = seeded(NETWORKS[request.param], 0).eval()
    page = show(DrawPad(model, samples=(digits.test_images[:2], digits.test_labels[:2])))
    page.locator(".samples button").last.wait_for()
    page.locator("output.said", has_text="Read as").wait_for()
    settle(page)
    return page, shorten(model)


every_network = pytest.mark.parametrize("pad", NETWORKS, indirect=True)
today = pytest.mark.parametrize("pad", ["today"], indirect=True)


def chosen(page) -> tuple[str, list[int], float]:
    """Layer, place (map, row, column; or unit) and value, as the panel says."""
    text = page.locator(".unit strong").inner_text()
    name, where, value = re.fullmatch(r"(\w+), (.*): (−?[\d.]+)\.\s*", text).groups()
    return name.lower(), [int(n) for n in numbers(where)], numbers(value)[0]


def check_panel(page, model: nn.Module) -> None:
    """Value, sum and terms that the panel shows are torch's."""
    spec = page.evaluate("() => document.querySelector('.lenet-draw-pad').network.spec.layers")
    by_torch = torch_layers(model, seen(page), [layer["name"] for layer in spec])
    name, where, value = chosen(page)
    layer = next(layer for layer in spec if layer["name"] == name)
    exact = by_torch[name].reshape(layer["shape"])[(*where, 0, 0)[:3] if len(where) == 1 else tuple(where)]
    assert value == pytest.approx(exact, abs=ROUNDING)
    text = page.locator(".unit > div > p").first.inner_text()
    if layer["kind"] == "max":
        assert numbers(text)[0] == pytest.approx(exact, abs=ROUNDING)
    else:
        terms, _, total = text.split(";")[0].rstrip(".").rpartition("= ")
        total = numbers(total or terms)[0]
        assert SQUASH[layer["squash"]](total) == pytest.approx(exact, abs=2 * ROUNDING)
        if terms and not terms.startswith("sum of"):
            assert sum(numbers(terms.replace("(bias)", ""))) == pytest.approx(total, abs=10 * ROUNDING)
    if layer["squash"]:
        assert numbers(text.split("makes of it")[1])[0] == pytest.approx(exact, abs=ROUNDING)


@every_network
def test_a_click_in_any_layer_shows_how_the_unit_comes_to_its_value(pad):
    page, model = pad
    layer_count = page.locator(".layers canvas").count()
    for number in range(1, layer_count):
        for x, y in ((0.02, 0.03), (0.35, 0.6), (0.98, 0.97)):
            click_unit(page, number, x, y)
            check_panel(page, model)
            assert page.locator(".marks .chosen").count() == 1


@every_network
def test_arrow_keys_choose_in_every_layer_and_keep_the_focus(pad):
    page, model = pad
    for number in range(1, page.locator(".layers canvas").count()):
        canvas = picture(page, number)
        canvas.focus()
        page.keyboard.press("ArrowRight")  # the first one chooses the middle of the first map
        shape = page.evaluate(f"() => document.querySelector('.lenet-draw-pad').network.layers[{number - 1}].shape")
        name, where, _ = chosen(page)
        assert where == ([0, shape[1] // 2, shape[2] // 2] if shape[1] > 1 else [0])
        for key in ("ArrowRight", "ArrowDown", "ArrowDown", "ArrowLeft"):
            page.keyboard.press(key)
        check_panel(page, model)
        assert chosen(page)[0] == name
        assert canvas.evaluate("(canvas) => canvas === document.activeElement")
        assert page.locator(".unit .unseen").inner_text().startswith(page.locator(".unit strong").inner_text().strip())


@today
def test_arrow_keys_walk_over_the_edges_of_maps_and_stop_at_the_picture_s(pad):
    page, _ = pad
    picture(page, 1).focus()  # six maps in two lines of three
    for keys, expected in (
        (["ArrowUp"], [0, 14, 14]),
        (["ArrowRight"] * 14, [1, 14, 0]),
        (["ArrowLeft"], [0, 14, 27]),
        (["ArrowDown"] * 14, [3, 0, 27]),
        (["ArrowUp"], [0, 27, 27]),
        (["ArrowUp"] * 30, [0, 0, 27]),
        (["ArrowRight"] * 60, [2, 0, 27]),
        (["ArrowDown"] * 60, [5, 27, 27]),
        (["ArrowLeft"] * 90, [3, 27, 0]),
    ):
        for key in keys:
            page.keyboard.press(key)
        assert chosen(page)[1] == expected
    assert "map 3" in page.locator("figure.layer figcaption").nth(1).inner_text()


@today
def test_a_click_between_two_maps_chooses_one(pad):
    page, model = pad
    click_unit(page, 3, 0.5, 0.4)  # C3: four maps a line, so that a gap lies in the middle
    assert chosen(page)[1][0] in (4, 5)
    check_panel(page, model)


@today
def test_windows_fields_and_readers_are_marked_where_they_are(pad):
    page, model = pad
    click_unit(page, 3, 0.4, 0.4)
    name, (m, i, j), _ = chosen(page)
    assert name == "c3"
    field, step = receptive_field(model)["c3"]
    text = page.locator(".unit > p").first.inner_text()
    places = re.search(r"rows (\d+)–(\d+) and columns (\d+)–(\d+)", text).groups()
    assert [int(n) for n in places] == [i * step, i * step + field - 1, j * step, j * step + field - 1]
    counts = [page.locator(f".layers figure:nth-child({n + 1}) .marks span").count() for n in range(8)]
    assert counts == [1, 0, 6, 2, 1, 0, 0, 0]  # field; six windows of S2; unit and map; one reader in S4
    box = page.locator(".marks .field").bounding_box()
    whole = picture(page, 0).bounding_box()
    assert (box["x"] - whole["x"]) / whole["width"] == pytest.approx(j * step / 32, abs=0.02)
    assert box["height"] / whole["height"] == pytest.approx(field / 32, abs=0.02)
    assert f"map {m}" in page.locator("figure.layer figcaption").nth(3).inner_text()
    goes = page.locator(".unit > div > p").nth(1).inner_text()
    assert goes == f"It goes to S4: 1 map ({m}), row {i // 2}, column {j // 2}."


@pytest.mark.parametrize("pad", ["1998"], indirect=True)
def test_a_unit_of_c3_reads_its_column_of_table_i(pad):
    page, model = pad
    spots = [((m % 4 + 0.5) / 4, (m // 4 + 0.5) / 4) for m in range(16)]
    for m, (x, y) in enumerate(spots):
        click_unit(page, 3, x, y)
        reads = C3_TABLE[:, m].nonzero().flatten().tolist()
        assert chosen(page)[:2] == ("c3", [m, *chosen(page)[1][1:]])
        text = page.locator(".unit > p").first.inner_text()
        assert f"S2’s maps {', '.join(map(str, reads))} (its column of Table I)" in text
        buttons = page.locator(".unit .maps button").all_inner_texts()
        assert [text.split(":")[0] for text in buttons] == [f"S2 {n}" for n in reads]
        check_panel(page, model)
    click_unit(page, 2, 0.1, 0.1)
    assert "10 maps" in page.locator(".unit > div > p").nth(1).inner_text()  # of C3 read S2's map 0
    click_unit(page, 7, 0.02, 0.5)
    assert "F6" in page.locator(".unit .grids table").inner_text()
    check_panel(page, model)


@today
def test_terms_are_input_times_kernel(pad):
    page, model = pad
    click_unit(page, 3, 0.4, 0.4)
    page.locator(".unit .maps button").nth(2).click()
    assert page.locator(".unit .maps button").nth(2).evaluate("(button) => button === document.activeElement")
    _, (m, i, j), _ = chosen(page)
    under, kernel, products = (
        np.array(numbers(table.inner_text())) for table in page.locator(".unit .grids table").all()
    )
    s2 = torch_layers(model, seen(page), ["c1", "s2", "c3"])["s2"].reshape(6, 14, 14)
    window = s2[2, i : i + 5, j : j + 5]
    weights = model.c3.weight[m, 2].detach().numpy()
    np.testing.assert_allclose(under, window.flatten(), atol=ROUNDING)
    np.testing.assert_allclose(kernel, weights.flatten(), atol=ROUNDING)
    np.testing.assert_allclose(products, (window * weights).flatten(), atol=ROUNDING)
    text = page.locator(".unit .maps button").nth(2).inner_text()
    assert numbers(text.split(":")[1])[0] == pytest.approx((window * weights).sum(), abs=ROUNDING)


@today
def test_an_edited_kernel_works_at_once_and_is_restored(pad):
    page, model = pad
    learned, before, values = model.c1.weight[4, 0].clone(), said(page), layers(page)
    click_unit(page, 1, 0.5, 0.75)
    assert chosen(page)[1][0] == 4
    page.get_by_role("button", name="Edit this kernel").click()
    cells = page.locator(".unit .grids input")
    assert cells.count() == 25
    assert cells.nth(7).get_attribute("aria-label") == "weight in row 1, column 2"
    with torch.no_grad():
        model.c1.weight[4, 0, 1, 2] = 5.0
    cells.nth(7).fill("5")
    settle(page)
    compare(page, model)
    check_panel(page, model)
    cells.nth(7).press("Backspace")  # an empty cell changes nothing
    settle(page)
    compare(page, model)
    assert cells.nth(7).evaluate("(cell) => cell === document.activeElement")
    middle = torch.arange(5) - 2
    with torch.no_grad():
        model.c1.weight[4, 0] = middle.sign()[None] / 5
    page.get_by_role("button", name="Upright edge").click()
    settle(page)
    compare(page, model)
    check_panel(page, model)
    assert page.get_by_role("button", name="Upright edge").evaluate("(b) => b === document.activeElement")
    with torch.no_grad():
        model.c1.weight[4, 0] = middle.sign()[:, None] / 5
    page.get_by_role("button", name="Level edge").click()
    settle(page)
    compare(page, model)
    with torch.no_grad():
        model.c1.weight[4, 0] = learned
    page.get_by_role("button", name="As learned", exact=True).click()
    settle(page)
    compare(page, model)
    assert said(page) == before
    for name, kept in layers(page).items():
        assert np.array_equal(kept, values[name])


@today
def test_a_weight_beyond_all_measure_is_cut(pad):
    page, _ = pad
    click_unit(page, 1, 0.1, 0.1)
    page.get_by_role("button", name="Edit this kernel").click()
    page.locator(".unit .grids input").first.fill("1e300")
    settle(page)
    assert page.evaluate("() => Math.max(...document.querySelector('.lenet-draw-pad').network.weights)") == 100
    assert said(page).startswith("Read as ")


@pytest.mark.parametrize("pad", ["today", "1998"], indirect=True)
def test_a_map_switched_off_is_zero_behind_its_squashing_function(pad):
    page, model = pad
    before = said(page)
    for number, name in ((1, "c1"), (3, "c3"), (6, "f6")):
        click_unit(page, number, 0.4, 0.1)
        m = chosen(page)[1][0]
        what = "unit" if name == "f6" else "map"
        button = page.get_by_role("button", name=f"Switch {what} {m} off")
        button.click()
        settle(page)
        assert button.get_attribute("aria-pressed") == "true"
        assert button.evaluate("(button) => button === document.activeElement")
        assert "switched off, it passes on 0" in page.locator(".unit > div > p").first.inner_text()
        in_page = layers(page)
        by_torch = outputs_without(model, seen(page), name, m)
        np.testing.assert_allclose(in_page["output"], by_torch, rtol=1e-4, atol=2e-5)
        assert not in_page[name].reshape(len(in_page[name]), -1).any() or chosen(page)[2] == 0
        button.click()
        settle(page)
        compare(page, model)
    click_unit(page, 1, 0.4, 0.1)
    page.get_by_role("button", name="Switch map").click()
    page.get_by_role("button", name="Edit this kernel").click()
    page.get_by_role("button", name="Blur").click()
    page.get_by_role("button", name="Whole network as learned").click()
    settle(page)
    compare(page, model)
    check_panel(page, model)
    assert said(page) == before


def outputs_without(model: nn.Module, image: torch.Tensor, name: str, m: int) -> np.ndarray:
    """The network's outputs when map ``m`` of a layer is zero, behind the squashing function that follows it."""
    parts = dict(model.named_children())
    squashes = [part for part in model.modules() if type(part) in (nn.ReLU, nn.Tanh) or hasattr(part, "is_squashing")]
    state = {"passed": False}

    def note(*_):
        state["passed"] = True

    def silence(_, __, output):
        if state["passed"]:
            state["passed"] = False
            output = output.clone()
            output[:, m] = 0
            return output
        return None

    hooks = [parts[name].register_forward_hook(note)]
    hooks += [part.register_forward_hook(silence) for part in dict.fromkeys(squashes)]
    with torch.no_grad():
        outputs = model(prepare(image[None], 32, getattr(model, "scaling", "standard")))[0].numpy()
    for hook in hooks:
        hook.remove()
    assert not state["passed"]
    return outputs


@today
def test_the_input_can_be_chosen_too_and_hints_come_back(pad):
    page, _ = pad
    hint = "Click any unit in the pictures above"
    assert page.locator(".unit > p").first.inner_text().startswith(hint)
    click_unit(page, 0, 0.51, 0.51)
    text = page.locator(".unit").inner_text()
    value = page.evaluate("() => document.querySelector('.lenet-draw-pad').network.input[16 * 32 + 16]")
    assert f"Input, row 16, column 16: {value:.2f}".replace("-", "−") in text
    assert "It goes to C1: 6 maps, rows 12–16, columns 12–16 of each." in text
    page.locator("tbody th button").nth(3).click()
    assert chosen(page)[:2] == ("output", [3])
    assert "This is an answer: the largest of the 10 wins." in page.locator(".unit").inner_text()


@today
def test_the_panel_follows_the_drawing(pad):
    page, model = pad
    click_unit(page, 3, 0.4, 0.4)
    draw(page, (0.3, 0.1), (0.4, 0.9), (0.8, 0.5))
    check_panel(page, model)
    page.get_by_text("Slide it, turn it").click()
    slide(page, "turn", 40)
    check_panel(page, model)
    assert page.locator(".unit .unseen").inner_text() != page.locator(".unit > p").first.inner_text()  # heard once


def test_outputs_that_are_no_numbers_are_no_answer(browser):
    """Weights of 60,000 in five layers overflow; the pad says so."""
    page = browser.new_page()
    assert call(page, "network", "answerOf({}, Float32Array.of(1, NaN))") is None
    assert call(page, "network", "answerOf({}, Float32Array.of(1, Infinity))") is None
    found = call(page, "network", "answerOf({ smallestWins: true }, Float32Array.of(3, 1, 2))")
    page.close()
    assert found["best"] == 1
    np.testing.assert_allclose(found["shares"], torch.softmax(-torch.tensor([3.0, 1, 2]), 0), rtol=1e-6)
