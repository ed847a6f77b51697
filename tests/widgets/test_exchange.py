"""Networks on their way into a page and back: JavaScript answers as torch does, and nothing damaged is used."""

from __future__ import annotations

import base64
import json
import math
import random
import zlib
from itertools import pairwise

import pytest
import torch
from conftest import sentence
from torch import nn

from lenet_utils.checkpoints import trained
from lenet_utils.evaluation import predict
from lenet_utils.models import MLP, LeNet5, seeded
from lenet_utils.original.network import LeNet5Original
from lenet_utils.preprocessing import prepare
from lenet_utils.recipes.networks import BatchNormLeNet, FullLeNet1, TutorialLeNet5
from lenet_utils.recipes.sweep import SweepNet
from lenet_utils.widgets.draw_pad import DrawPad
from lenet_utils.widgets.exchange import LARGEST_FILE, chain, describe, read_weights, write_weights
from widgets.pads import call, compare, layers, shorten

NETWORKS = {
    "lenet5-tanh": (LeNet5, "standard"),
    "lenet5-relu-max": (lambda: LeNet5("relu", "max"), "paper"),
    "lenet5-sigmoid": (lambda: LeNet5("sigmoid"), "unit"),
    "padded": (lambda: TutorialLeNet5("sigmoid", 28), "unit"),
    "tutorial": (lambda: TutorialLeNet5("relu", 32), "unit"),
    "small": (FullLeNet1, "unit"),
    "deeper": (lambda: SweepNet("relu", "max", 1), "standard"),
    "of-1998": (LeNet5Original, "paper"),
    "of-1998-sums": (lambda: LeNet5Original(reading="sum"), "paper"),
    "strided": (
        lambda: shaped(nn.Conv2d(1, 3, 5, stride=3, padding=2), nn.Tanh(), nn.Flatten(), nn.Linear(300, 10)),
        "unit",
    ),
    "squashed-first": (lambda: shaped(nn.Tanh(), nn.Flatten(), nn.Linear(784, 10, bias=False)), "unit"),
}


def shaped(*parts: nn.Module, shape: tuple[int, ...] = (1, 28, 28)) -> nn.Module:
    network = nn.Sequential(*parts)
    network.input_shape = shape
    return network


@pytest.fixture(scope="module")
def described() -> dict:
    return json.loads(json.dumps(describe(seeded(FullLeNet1, 0), scaling="unit")))


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("name", NETWORKS)
def test_javascript_computes_what_torch_computes_in_every_layer(name, show, digits):
    make_model, scaling = NETWORKS[name]
    model = seeded(make_model, 0).eval()
    page = show(DrawPad(model, digits.class_names, scaling))
    for image in (digits.test_images[:3] / 255).float():
        compare(page, shorten(model), scaling, image)


@pytest.mark.slow
@pytest.mark.browser
def test_sixteen_bits_change_no_answer(show, digits):
    """The book's network, trained on the embedded digits: 500 of them in torch, 100 in the page."""
    model, _ = trained(lambda: LeNet5("relu"), digits, progress=False)
    page = show(DrawPad(model, digits.class_names))
    check_answers(page, model, digits.test_images[:500], 100)


@pytest.mark.slow
@pytest.mark.browser
def test_sixteen_bits_change_no_answer_on_mnist(show, mnist):
    model, _ = trained(lambda: LeNet5("relu"), mnist.subset(12_000), progress=False)
    page = show(DrawPad(model, mnist.class_names))
    check_answers(page, model, mnist.test_images, 200)


def check_answers(page, model: nn.Module, images: torch.Tensor, in_page: int) -> None:
    prepared = prepare(images)
    expected = predict(model, prepared)
    assert torch.equal(predict(shorten(model), prepared), expected)
    script = """(images) => images.map((image) => {
        const outputs = document.querySelector('.lenet-draw-pad').network.run(Float32Array.from(image, (v) => v / 255));
        return outputs.indexOf(Math.max(...outputs)); })"""
    assert page.evaluate(script, images[:in_page].flatten(1).tolist()) == expected[:in_page].tolist()


def test_a_description_holds_the_layers_in_order_and_all_weights():
    found = describe(seeded(LeNet5, 0))
    assert found["count"] == 61_706
    assert [layer["name"] for layer in found["layers"]] == ["c1", "s2", "c3", "s4", "c5", "f6", "output"]
    assert [layer["squash"] for layer in found["layers"]] == ["tanh", None, "tanh", None, "tanh", "tanh", None]
    assert all(a["shape"] == b["inputs"] for a, b in pairwise(found["layers"]))
    assert (found["size"], found["margin"]) == (32, 2)
    assert found["offset"] == pytest.approx(-0.1307 / 0.3081, rel=1e-4)
    assert found["offset"] + found["scale"] == pytest.approx((1 - 0.1307) / 0.3081, rel=1e-4)
    json.dumps(found, allow_nan=False)


def test_flattened_maps_stay_maps():
    """So that each unit of the layer behind can be shown with the places it reads."""
    for model in (seeded(TutorialLeNet5, 0), shaped(nn.Flatten(), nn.Linear(784, 10))):
        found = describe(model, scaling="unit")["layers"]
        assert all(a["shape"] == b["inputs"] for a, b in pairwise(found))
    assert found[0]["inputs"] == [1, 28, 28]


def test_table_i_travels_with_the_network_of_1998():
    c3 = describe(seeded(LeNet5Original, 0))["layers"][2]
    assert c3["links"][:7] == [[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5], [0, 4, 5], [0, 1, 5], [0, 1, 2, 3]]
    assert sum(map(len, c3["links"])) == 60


def test_a_network_in_float64_is_described_too_and_stays_as_it_was():
    model = seeded(FullLeNet1, 0).double().train()
    assert describe(model, scaling="unit")["count"] == 3_246
    assert model.training
    assert next(model.parameters()).dtype == torch.float64


def test_a_network_it_cannot_run_is_refused():
    with pytest.raises(ValueError, match="cannot run layer") as caught:
        describe(BatchNormLeNet())
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
        describe(Residual())


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
    model = shaped(layer, nn.Flatten(), nn.LazyLinear(10))
    model(torch.zeros(1, 1, 28, 28))
    with pytest.raises(ValueError, match="cannot run layer '0'") as caught:
        describe(model)
    sentence(caught.value, "square kernels", "padding")
    assert model.training  # as it was


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 20, 20), (1, 28, 32), (1, 31, 31)])
def test_a_network_for_other_images_is_refused(shape):
    with pytest.raises(ValueError, match="reads shape") as caught:
        describe(shaped(nn.Flatten(), nn.Linear(math.prod(shape), 10), shape=shape))
    sentence(caught.value, str(shape), "28×28")


def test_a_network_without_a_size_is_refused():
    with pytest.raises(ValueError, match="input_shape"):
        describe(nn.Sequential(nn.Flatten(), nn.Linear(784, 10)))


def test_a_class_without_a_name_is_refused():
    with pytest.raises(ValueError, match="10 outputs") as caught:
        describe(seeded(LeNet5, 0), "012")
    sentence(caught.value, "3 names")


class Twice(nn.Linear):
    """A dense layer that says twice what it should."""

    def forward(self, x):
        return 2 * super().forward(x)


@pytest.mark.parametrize(
    "network",
    [
        shaped(nn.Flatten(), Twice(784, 10)),
        shaped(nn.Conv2d(1, 10, 27)),  # leaves 2×2
        shaped(nn.Linear(28, 28), nn.Flatten(), nn.Linear(784, 10)),  # a dense layer on maps
        shaped(nn.Flatten()),
    ],
    ids=["derived", "maps", "dense-on-maps", "no-weights"],
)
def test_what_would_be_computed_otherwise_is_refused_in_one_sentence(network):
    with pytest.raises(ValueError, match=r"cannot run layer|no plain chain|network's 0 outputs|40 outputs") as caught:
        describe(network)
    sentence(caught.value)


@pytest.mark.parametrize("weight", [math.nan, math.inf, 70_000.0])
def test_weights_beyond_sixteen_bits_are_refused(weight):
    model = seeded(FullLeNet1, 0)
    with torch.no_grad():
        next(model.parameters()).flatten()[3] = weight
    with pytest.raises(ValueError, match="not finite") as caught:
        describe(model, scaling="unit")
    sentence(caught.value, "train it again")


@pytest.mark.parametrize("make_model", [LeNet5, LeNet5Original, FullLeNet1], ids=lambda make: make.__name__)
def test_weights_come_back(make_model, tmp_path):
    model = seeded(make_model, 0)
    write_weights(tmp_path / "mine.json", describe(model))
    other = seeded(make_model, 1)
    assert read_weights(tmp_path / "mine.json", other) is other
    assert not other.training
    for read, own in zip(chain(other)[1], chain(model)[1], strict=True):
        assert torch.equal(read, own.half().float())


def test_weights_of_another_scaling_are_refused(tmp_path):
    write_weights(tmp_path / "mine.json", describe(seeded(FullLeNet1, 0), scaling="unit"))
    model = seeded(FullLeNet1, 1)
    before = [tensor.clone() for tensor in chain(model)[1]]
    with pytest.raises(ValueError, match="pass that scaling") as caught:
        read_weights(tmp_path / "mine.json", model)
    sentence(caught.value, "mine.json", "scaled as 'unit'")
    assert all(map(torch.equal, before, chain(model)[1]))
    assert read_weights(tmp_path / "mine.json", model, "unit") is model


def damaged(kept: dict) -> dict[str, bytes]:
    """What a file of weights may look like that is none."""
    whole, letters = json.dumps(kept).encode(), kept["weights"]
    other = {**kept, "layers": kept["layers"][:-1]}
    return {
        "empty": b"",
        "truncated": whole[: len(whole) // 2],
        "bytes": bytes(range(256)),
        "text": b"a text, and no JSON",
        "list": b"[1, 2, 3]",
        "null": b"null",
        "deep": b"[" * 100_000,
        "another-format": whole.replace(b"lenet-book network 1", b"another network 1"),
        "another-network": json.dumps(other).encode(),
        "layers-no-list": json.dumps({**kept, "layers": 7}).encode(),
        "one-letter": json.dumps(kept | {"weights": ("B" if letters[0] == "A" else "A") + letters[1:]}).encode(),
        "another-check": json.dumps(kept | {"check": kept["check"] ^ 1}).encode(),
        "too-few": json.dumps(kept | {"weights": letters[:-8]}).encode(),
        "no-weights": json.dumps({name: value for name, value in kept.items() if name != "weights"}).encode(),
        "weights-no-text": json.dumps(kept | {"weights": [1, 2]}).encode(),
        "not-base64": json.dumps(kept | {"weights": "ä" * len(letters)}).encode(),
        "nan": json.dumps(not_finite(kept)).encode(),
        "huge": whole + b" " * LARGEST_FILE,
    }


def not_finite(kept: dict) -> dict:
    """The same with a NaN among the weights, and a checksum that agrees."""
    raw = bytearray(base64.b64decode(kept["weights"]))
    raw[10:12] = b"\x00\x7e"
    return kept | {"weights": base64.b64encode(raw).decode(), "check": zlib.crc32(raw)}


DAMAGES = [*damaged({"layers": [0, 0], "weights": "A" * 80, "check": 0})]


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_no_file_of_weights_is_refused_and_changes_nothing(damage, described, tmp_path):
    path = tmp_path / "mine.json"
    path.write_bytes(damaged(described)[damage])
    model = seeded(FullLeNet1, 1)
    before = [tensor.clone() for tensor in chain(model)[1]]
    with pytest.raises(ValueError, match=r"is no file of weights|another network's weights|cannot be used") as caught:
        read_weights(path, model, "unit")
    sentence(caught.value, "mine.json")
    assert all(map(torch.equal, before, chain(model)[1]))


def test_what_is_no_file_at_all_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.json"):
        read_weights(tmp_path / "nothing.json", seeded(FullLeNet1, 0))
    with pytest.raises(OSError, match="no regular file"):
        read_weights(tmp_path, seeded(FullLeNet1, 0))
    with pytest.raises(OSError, match="cannot be stored"):
        write_weights(tmp_path, {})


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("damage", [*(name for name in DAMAGES if name != "huge"), "good"])
def test_a_page_refuses_what_python_refuses(damage, described, browser):
    """Only the size of the file is looked at before, by the pad; another network may be another one here."""
    page = browser.new_page()
    content = json.dumps(described).encode() if damage == "good" else damaged(described)[damage]
    text = content.decode("utf8", "replace")
    script = "(() => { let read = null; try { read = JSON.parse(x); } catch {} return refusal(read); })()"
    told = call(page, "network", script, text)
    page.close()
    if damage == "good":
        assert told == ""
    else:
        assert told.count(".") >= 1
        assert "\n" not in told


@pytest.mark.slow
@pytest.mark.browser
def test_a_page_never_fails_at_a_file_of_weights(described, browser):
    """600 files with one to three entries changed at random: refused, or computed to ten numbers."""
    draw = random.Random(0)
    strange = [None, True, -1, 0, 1, 2.5, 7, 1e300, 10**9, "", "x", "__proto__", [], [0], {}, "convolution", "relu"]

    def spoil(spec: dict) -> dict:
        spec = json.loads(json.dumps(spec))
        for _ in range(draw.randint(1, 3)):
            owner = draw.choice([spec, *spec["layers"]]) if isinstance(spec.get("layers"), list) else spec
            if not isinstance(owner, dict) or not owner:
                continue
            name = draw.choice([*owner, "links"])
            value = owner.get(name)
            if isinstance(value, list) and value and draw.random() < 0.7:
                value[draw.randrange(len(value))] = draw.choice(strange)
            elif draw.random() < 0.15:
                owner.pop(name, None)
            else:
                owner[name] = draw.choice(strange)
        return spec

    of_1998 = json.loads(json.dumps(describe(seeded(LeNet5Original, 0))))
    of_1998 |= {"weights": "", "count": 0}  # structure only: it is refused at the latest for these
    specs = [spoil(described if n % 4 else of_1998) for n in range(600)]
    page = browser.new_page()
    script = """x.map((spec) => {
        const told = refusal(spec);
        if (told) return told;
        const network = makeNetwork(spec);
        return Array.from(network.run(new Float32Array(784).fill(0.5)));
    })"""
    results = call(page, "network", script, specs)
    page.close()
    refused = [result for result in results if isinstance(result, str)]
    assert all("\n" not in result and result.endswith((".", "again.")) for result in refused)
    assert all(len(result) == 10 for result in results if not isinstance(result, str))
    assert 300 < len(refused) < 600  # both happened


@pytest.mark.slow
@pytest.mark.browser
def test_a_plain_multilayer_perceptron_is_shown_too(show, digits):
    model = seeded(lambda: MLP((30,)), 0)
    page = show(DrawPad(model, digits.class_names))
    compare(page, shorten(model), "standard", (digits.test_images[0] / 255).float())
    assert [len(values) for values in layers(page).values()] == [30, 10]


class TwoPaths(nn.Module):
    """A network whose image takes two ways, which join before the output."""

    input_shape = (1, 28, 28)

    def __init__(self, maps: int, squashed: bool) -> None:
        super().__init__()
        self.left = nn.Conv2d(1, maps, 3, padding=1)
        self.right = nn.Conv2d(1, maps, 3, padding=1)
        self.squash = nn.ReLU() if squashed else nn.Identity()
        self.output = nn.Linear(784 * maps, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.output((self.squash(self.left(images)) + self.squash(self.right(images))).flatten(1))


@pytest.mark.parametrize("maps", [1, 3])
@pytest.mark.parametrize("squashed", [True, False])
def test_a_network_with_two_paths_is_refused(maps, squashed):
    with pytest.raises(ValueError, match="no plain chain of layers") as caught:
        describe(TwoPaths(maps, squashed))
    sentence(caught.value, "TwoPaths")


@pytest.mark.parametrize("names", [range(10), list(range(10)), tuple(map(str, range(10)))])
def test_classes_may_be_named_by_numbers(names):
    assert describe(seeded(FullLeNet1, 0), names)["names"] == list("0123456789")
