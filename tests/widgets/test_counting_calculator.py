"""The counting calculator: it counts as the package does, writes sums that come out, and says what is impossible."""

from __future__ import annotations

import random
import re

import pytest
import torch
from torch import nn

from lenet_utils.counting import layer_table, total
from lenet_utils.models import LeNet5
from lenet_utils.original.layers import RBFOutput, SparseConv2d, Subsampling
from lenet_utils.original.network import LeNet5Original
from lenet_utils.widgets.counting_calculator import CountingCalculator

pytestmark = [pytest.mark.slow, pytest.mark.browser]
QUANTITIES = ("parameters", "connections", "macs")


def field(root, kind: str, name: str):
    return root.locator(f".input [name={name}], [data-kinds~={kind}] [name={name}]")


def enter(root, kind: str, settings: dict) -> None:
    """Choose and type, all at once; text goes in as it is."""
    script = """(root, [kind, settings]) => {
        const set = (field, value) => {
            field[field.type === 'checkbox' ? 'checked' : 'value'] = value;
            field.dispatchEvent(new Event('input', {bubbles: true}));
        };
        set(root.querySelector('.kind'), kind);
        for (const [name, value] of Object.entries(settings))
            set(root.querySelector(`.input [name=${name}], [data-kinds~=${kind}] [name=${name}]`), value);
    }"""
    root.evaluate(script, [kind, settings])


def evaluate(written: str) -> int:
    """The value of a sum as it is written: ``⌊(14 + 2·0 − 5) / 2⌋ + 1``."""
    python = written.replace(",", "").replace("·", "*").replace("−", "-").replace("⌊", "int(").replace("⌋", ")")
    assert re.fullmatch(r"[\d\s()*/+-]+", python.replace("int", "")), written
    value = eval(python)
    assert value == int(value)
    return int(value)


def counted(root) -> dict[str, int]:
    """Every number that stands behind a sum, after checking that the sum comes to it."""
    numbers = {}
    script = "cells => cells.map(cell => [cell.dataset.sum, cell.querySelector('.numbers').textContent])"
    for name, line in root.locator("dd:visible").evaluate_all(script):
        written, _, value = line.rpartition("=")
        numbers[name] = int(value.replace(",", ""))
        assert re.fullmatch(r"\d{1,3}(,\d{3})*", value.strip())
        if written:
            assert evaluate(written) == int(value.replace(",", ""))
        else:
            assert value.strip() == "0"
    return numbers


def configurations():
    """62 layers with their inputs: kind, settings, and the module that the package counts."""
    draw = random.Random(13)
    for number in range(24):
        k, stride, padding = draw.randint(1, 7), draw.randint(1, 4), draw.randint(0, 3)
        side, inputs, maps, bias = draw.randint(7, 40), draw.randint(1, 8), draw.randint(1, 1_200), number % 3 > 0
        settings = {"kernel": k, "maps": maps, "stride": stride, "padding": padding, "sees": "all", "bias": bias}
        yield "convolution", settings, (inputs, side), nn.Conv2d(inputs, maps, k, stride, padding, bias=bias)
    plain = {"stride": 1, "padding": 0, "bias": True}
    for _ in range(4):
        k = draw.randint(1, 9)
        settings = {"kernel": k, "maps": 16, "sees": "table", **plain}
        yield "convolution", settings, (6, draw.randint(9, 40)), SparseConv2d(kernel_size=k)
    for _ in range(6):
        k, inputs, maps = draw.randint(1, 6), draw.randint(2, 9), draw.randint(1, 20)
        table = torch.zeros(inputs, maps, dtype=torch.bool)
        for column in range(maps):
            table[draw.sample(range(inputs), draw.randint(1, inputs)), column] = True
        settings = {"kernel": k, "maps": maps, "sees": "links", "links": int(table.sum()), **plain}
        yield "convolution", settings, (inputs, draw.randint(6, 30)), SparseConv2d(table, k)
    for kind, pooling in (("average", nn.AvgPool2d), ("max", nn.MaxPool2d)) * 5:
        k, stride = draw.randint(1, 5), draw.randint(1, 5)
        yield kind, {"kernel": k, "stride": stride}, (draw.randint(1, 30), draw.randint(5, 40)), pooling(k, stride)
    for _ in range(6):
        inputs = draw.randint(1, 40)
        yield "subsampling", {}, (inputs, 2 * draw.randint(1, 20)), Subsampling(inputs)
    for number in range(8):
        inputs, side, units, bias = (
            draw.randint(1, 200),
            draw.choice([1, 1, 5, 12]),
            draw.randint(1, 300),
            number % 2 > 0,
        )
        dense = nn.Sequential(nn.Flatten(), nn.Linear(inputs * side**2, units, bias=bias))
        yield "dense", {"units": units, "bias": bias}, (inputs, side), dense
    for _ in range(4):
        inputs, units = draw.randint(1, 100), draw.randint(1, 20)
        yield "prototypes", {"units": units}, (inputs, 1), RBFOutput(torch.zeros(units, inputs))


def test_it_counts_as_the_package_does_on_62_layers(show):
    root = show(CountingCalculator()).locator(".lenet-widget")
    layers = list(configurations())
    assert len(layers) == 62
    for kind, settings, (inputs, side), module in layers:
        row = layer_table(
            nn.Sequential(module), (inputs, side, side) if not isinstance(module, RBFOutput) else (inputs,)
        )[0]
        enter(root, kind, {"inputs": inputs, "side": side, **settings})
        numbers = counted(root)
        case = f"{kind} {settings} on {inputs} maps of {side}×{side}"
        assert {name: numbers[name] for name in QUANTITIES} == {n: getattr(row, n) for n in QUANTITIES}, case
        shape = f"{row.output_shape[0]:,} "
        if len(row.output_shape) == 3:
            assert numbers["side"] == row.output_shape[1] == row.output_shape[2], case
            shape += f"map{'s' * (row.output_shape[0] != 1)} of {numbers['side']}×{numbers['side']}"
        else:
            shape += f"unit{'s' * (row.output_shape[0] != 1)}"
        assert root.locator("output").inner_text().startswith(f"This layer makes {shape}"), case


@pytest.mark.parametrize(("network", "make_model"), [("1998", LeNet5Original), ("today", LeNet5)])
def test_lenet_5_stands_ready_layer_by_layer_and_whole(show, network, make_model):
    root = show(CountingCalculator()).locator(".lenet-widget")
    rows = layer_table(make_model())
    names = [row.name.upper() if network == "1998" else row.name for row in rows]
    for name, row in zip(names, rows, strict=True):
        root.locator(".preset").select_option(f"{network}/{name}")
        root.get_by_role("button", name="Fill in").click()
        assert {n: counted(root)[n] for n in QUANTITIES} == {n: getattr(row, n) for n in QUANTITIES}, name
    root.locator(".preset").select_option(f"{network}/all")
    root.get_by_role("button", name="Fill in").click()
    written = [[int(td.replace(",", "")) for td in tr.locator("td").all_inner_texts()] for tr in table_rows(root)]
    assert written == [[getattr(row, name) for name in QUANTITIES] for row in [*rows, total(rows)]]
    assert written[-1][:2] == ([60_000, 340_908] if network == "1998" else [61_706, 429_342])


def table_rows(root) -> list:
    return root.locator("tbody tr").all()


CONVOLUTION = {"inputs": 6, "side": 14, "kernel": 5, "maps": 16, "stride": 1, "padding": 0, "sees": "all", "bias": True}
IMPOSSIBLE = [
    ("convolution", {"kernel": 15}, "kernel", "No place is left: 15×15 does not fit into 14×14."),
    ("convolution", {"kernel": 19, "padding": 2}, "kernel", "14×14 with a margin of 2, which makes 18×18"),
    ("convolution", {"stride": 0}, "stride", "“stride” is 0: the kernel would never move on; take 1 or more."),
    ("convolution", {"stride": 1.5}, "stride", "“stride” is “1.5”: type a whole number"),
    ("convolution", {"padding": -1}, "padding", "“padding” is -1: a margin cannot be negative; take 0 or more."),
    ("convolution", {"kernel": ""}, "kernel", "“kernel” is empty: type a whole number."),
    ("convolution", {"kernel": "five"}, "kernel", "“kernel” is “five”: type a whole number"),
    ("convolution", {"kernel": 0}, "kernel", "“kernel” is 0: a kernel of no pixels sees nothing"),
    ("convolution", {"maps": 0}, "maps", "“maps” is 0: a layer without maps has no units"),
    ("convolution", {"maps": 1_000_001}, "maps", "“maps” is 1000001: this calculator takes 1,000,000 at most."),
    ("convolution", {"inputs": 0}, "inputs", "“input maps” is 0: without a map there is nothing to look at"),
    ("convolution", {"side": " "}, "side", "“input side” is empty"),
    (
        "convolution",
        {"sees": "table", "inputs": 3},
        "inputs",
        "Table I joins 6 input maps to 16 maps: this input has 3 maps.",
    ),
    (
        "convolution",
        {"sees": "table", "maps": 1},
        "maps",
        "Table I joins 6 input maps to 16 maps: this layer has 1 map.",
    ),
    ("convolution", {"sees": "links", "links": 15}, "links", "too few links: each of the 16 maps needs at least one."),
    ("convolution", {"sees": "links", "links": 97}, "links", "too many links: maps · input maps is 16 · 6 = 96."),
    ("average", {"kernel": 15, "stride": 2}, "kernel", "No place is left: 15×15 does not fit into 14×14."),
    ("max", {"kernel": 2, "stride": "0"}, "stride", "“stride” is 0: the field would never move on"),
    ("subsampling", {"side": 15}, "side", "Fields of 2×2, side by side, do not cover 15×15"),
    ("dense", {"units": 0}, "units", "“units” is 0: a layer needs a unit"),
    ("prototypes", {"units": "1,000"}, "units", "“units” is “1,000”: type a whole number, in digits alone."),
]


def test_what_is_impossible_is_said_in_a_sentence(show):
    root = show(CountingCalculator()).locator(".lenet-widget")
    add = root.get_by_role("button", name="Add this layer")
    for kind, change, marked, reason in IMPOSSIBLE:
        base = CONVOLUTION if kind == "convolution" else {"inputs": 6, "side": 14}
        enter(root, kind, {**base, **change})
        said = root.locator("output").inner_text()
        assert said.startswith("Impossible: ")
        assert reason in said
        assert said.endswith(".")
        assert root.locator("[aria-invalid=true]:visible").all() != []
        assert field(root, kind, marked).get_attribute("aria-invalid") == "true"
        assert set(root.locator("dd:visible").all_inner_texts()) == {"–"}
        add.click(force=True)  # does nothing
        assert add.get_attribute("aria-disabled") == "true"
        assert root.locator("table").is_hidden()
    enter(root, "convolution", CONVOLUTION)
    assert root.locator("[aria-invalid=true]:visible").count() == 0
    assert counted(root)["parameters"] == 2_416


def test_large_numbers_are_exact_and_separated(show):
    root = show(CountingCalculator()).locator(".lenet-widget")
    million = 10**6
    enter(
        root,
        "convolution",
        {**CONVOLUTION, **dict.fromkeys(("inputs", "side", "kernel", "maps"), million), "padding": 3},
    )
    numbers = counted(root)
    assert numbers["parameters"] == million * (million**3 + 1)
    assert numbers["macs"] == million**4 * 7**2


def test_a_network_grows_layer_by_layer_and_nothing_typed_is_lost(show):
    root = show(CountingCalculator()).locator(".lenet-widget")
    add, undo, clear = (
        root.get_by_role("button", name=name, exact=True) for name in ("Add this layer", "Undo", "Clear")
    )
    enter(root, "dense", {"units": "77", "bias": False})
    enter(root, "convolution", {"inputs": 3, "side": 20, "kernel": 3, "maps": 8})
    add.click()
    enter(root, "average", {"kernel": "x"})
    enter(root, "max", {"kernel": 2})
    add.click()
    assert [field(root, "max", name).input_value() for name in ("inputs", "side")] == ["8", "9"]
    assert field(root, "max", "side").get_attribute("readonly") is not None
    root.locator(".kind").select_option("dense")
    assert field(root, "dense", "units").input_value() == "77"
    assert not field(root, "dense", "bias").is_checked()
    add.click()
    layers = [
        "1. convolution 3×3: 8 maps of 18×18",
        "2. max pooling 2×2: 8 maps of 9×9",
        "3. full connection, no bias: 77 units",
    ]
    assert root.locator("tbody th").all_inner_texts() == [*layers, "together"]
    assert "3 layers, 50,120 parameters" in root.locator(".stack").inner_text()  # 8 · 28 + 77 · 648
    undo.click()
    assert root.locator("tbody th").all_inner_texts() == [*layers[:2], "together"]
    clear.click()
    assert root.locator("table").is_hidden()
    assert [field(root, "dense", name).input_value() for name in ("inputs", "side")] == ["3", "20"]
    undo.click()
    assert root.locator("tbody th").all_inner_texts() == [*layers[:2], "together"]
    for _ in range(2):
        undo.click()
    assert root.locator("table").is_hidden()
    assert undo.get_attribute("aria-disabled") == "true"
    undo.click(force=True)  # does nothing
    assert [field(root, "dense", name).input_value() for name in ("inputs", "side", "units")] == ["3", "20", "77"]


def test_by_keyboard_alone(show):
    page = show(CountingCalculator())

    def tab_to(selector: str) -> None:
        for _ in range(20):
            page.keyboard.press("Tab")
            if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                return
        raise AssertionError(f"no way to {selector}")

    tab_to(".take")
    page.keyboard.press("Space")
    tab_to("[name=maps]")
    page.keyboard.type("8")
    tab_to("[name=padding]")
    for key in ("ArrowUp", "ArrowUp", "ArrowUp", "ArrowDown"):
        page.keyboard.press(key)
    tab_to("[name=bias]")
    page.keyboard.press("Space")
    assert page.locator("output").inner_text() == "This layer makes 8 maps of 32×32: 8 · 32·32 = 8,192 units."
    assert counted(page)["parameters"] == 200
    tab_to(".add")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    assert page.locator("tbody tr").count() == 3
    tab_to(".undo")
    page.keyboard.press("Enter")
    assert page.locator("tbody tr").count() == 2
    assert page.evaluate("document.activeElement.className") == "undo"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_by_touch(show, scheme):
    page = show(CountingCalculator(), viewport={"width": 390, "height": 800}, color_scheme=scheme, has_touch=True)
    page.locator(".preset").select_option("1998/C3")
    page.get_by_role("button", name="Fill in").tap()
    field(page, "convolution", "kernel").tap()
    page.keyboard.press("Control+A")
    page.keyboard.type("3")
    page.get_by_label("bias").first.tap()
    assert counted(page)["parameters"] == 60 * 9
    page.get_by_role("button", name="Add this layer").tap()
    assert "60 links, no bias: 16 maps of 12×12" in page.locator("tbody th").first.inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for control in page.locator(":is(button, select, input:not([type=checkbox])):visible").all():
        assert control.bounding_box()["height"] >= 39
    page.get_by_role("button", name="Clear").tap()
    assert page.locator("table").is_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_accessible_while_it_counts_and_while_it_refuses(show, accessible, scheme):
    page = show(CountingCalculator(), color_scheme=scheme)
    for kernel in ("5", "50"):
        page.get_by_role("button", name="Fill in").click()
        page.get_by_role("button", name="Add this layer").click()
        field(page, "convolution", "kernel").fill(kernel)
        accessible(page)


def test_two_on_a_page_count_each_for_itself(show):
    page = show(CountingCalculator(), CountingCalculator())
    first, second = page.locator(".lenet-widget").all()
    enter(second, "dense", {"inputs": 84, "side": 1, "units": 10})
    second.get_by_role("button", name="Add this layer").click()
    assert (counted(first)["parameters"], first.locator("table:visible").count()) == (156, 0)
    assert second.locator("tbody td").first.inner_text() == "850"


def test_on_paper_stand_the_example_and_its_sums(show):
    page = show(CountingCalculator())
    page.emulate_media(media="print")
    assert page.locator(":is(button, .preset):visible").count() == 0
    assert counted(page) == {"side": 28, "parameters": 156, "connections": 122_304, "macs": 117_600}


def test_it_is_light():
    assert len(CountingCalculator()._repr_html_().encode()) < 40_000
