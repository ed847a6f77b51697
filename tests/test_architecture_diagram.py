"""The architecture's drawing: every shape, to scale, and the kernels that the layers have."""

from __future__ import annotations

import pytest
from torch import nn

from lenet_utils import architecture_diagram
from lenet_utils.counting import layer_table
from lenet_utils.literature import published
from lenet_utils.models import MLP, LeNet5
from lenet_utils.recipes.networks import BatchNormLeNet, TutorialLeNet5


@pytest.mark.parametrize("num_lines", [1, 2])
def test_architecture_says_every_shape(num_lines):
    ax = architecture_diagram.plot_architecture(layer_table(LeNet5("relu", "max")), num_lines=num_lines)
    texts = {text.get_text() for text in ax.texts}
    shapes = {"Input: 32×32", "C1: 6@28×28", "S2: 6@14×14", "C3: 16@10×10", "S4: 16@5×5", "C5: 120", "F6: 84"}
    assert shapes | {"Output: 10", "5×5\nconvolution", "2×2\nmaximum", "full\nconnection"} == texts


def test_architecture_is_drawn_to_scale_within_its_frame():
    ax = architecture_diagram.plot_architecture(layer_table(LeNet5()))
    sides = {round(patch.get_width()) for patch in ax.patches if hasattr(patch, "get_width")}
    assert {32, 28, 14, 10, 5} <= sides
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    for patch in ax.patches:
        box = patch.get_path().get_extents(patch.get_patch_transform())
        assert left <= box.x0
        assert box.x1 <= right
        assert bottom <= box.y0
        assert box.y1 <= top


def test_architecture_of_a_network_without_maps():
    ax = architecture_diagram.plot_architecture(layer_table(MLP((30,))), input_shape=(1, 28, 28), num_lines=1)
    assert {"Input: 28×28", "full\nconnection"} <= {text.get_text() for text in ax.texts}


def test_architecture_of_nothing():
    with pytest.raises(ValueError, match="at least one row"):
        architecture_diagram.plot_architecture([])


def operations(model: nn.Module) -> list[str]:
    ax = architecture_diagram.plot_architecture(layer_table(model), input_shape=model.input_shape)
    return [text.get_text() for text in ax.texts if "\n" in text.get_text()]


def test_kernels_are_the_layers_own_with_padding_and_stride_too():
    """They were guessed from the maps' sizes: 1×1 for a padded 5×5, 16×16 for a 4×4 with stride 2."""
    assert operations(TutorialLeNet5(input_size=28))[:2] == ["5×5\nconvolution", "2×2\naverage"]
    assert operations(BatchNormLeNet()).count("4×4\nconvolution") == 2


# --- several networks to one scale ---

NAMES = ("neocognitron", "zip-1989", "lenet-1", "lenet-5", "alexnet")


def family() -> dict[str, list]:
    return {name: published(f"{name}/layers").value for name in NAMES}


def boxes(ax) -> list:
    return [patch.get_path().get_extents(patch.get_patch_transform()) for patch in ax.patches]


def test_networks_to_one_scale_say_every_layer_of_all():
    texts = [text.get_text() for text in architecture_diagram.plot_to_one_scale(family()).texts]
    assert {"24@10", "12@8", "4@24", "6@28", "16@5", "120", "256@27", "4096", "alexnet: its input, 3@224"} <= set(texts)
    assert texts.count("16×16") == 2  # the inputs of 1980 and 1989
    assert set(NAMES[:-1]) <= set(texts)


def test_networks_to_one_scale_are_to_scale_in_the_last_ones_input():
    ax = architecture_diagram.plot_to_one_scale(family())
    sides = {round(box.width) for box in boxes(ax) if abs(box.width - box.height) < 1e-9}
    assert {side for layers in family().values() for _, _, side in layers if side > 1} <= sides
    assert ax.get_aspect() == 1
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    frame = max(boxes(ax), key=lambda box: (box.width, -box.y0))
    for box in boxes(ax):
        assert left <= box.x0 < box.x1 <= right
        assert bottom <= box.y0 < box.y1 <= top
        inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
        assert inside or box.width == frame.width or box.y1 < frame.y0  # an old network, the frame, a layer of the last


@pytest.mark.parametrize(("number", "planes"), [(1, 1), (4, 3), (16, 5), (24, 6), (384, 10)])
def test_each_doubling_of_the_maps_adds_a_plane(number, planes):
    last = [("input", 1, 64), ("convolution", number, 7)]
    ax = architecture_diagram.plot_to_one_scale({"first": [("input", 1, 9)], "last": last})
    fronts = {(box.x0, box.y0) for box in boxes(ax) if round(box.width) == 7}
    assert len(fronts) == planes


def test_networks_that_do_not_fit_and_layers_of_no_kind():
    small, large = [("input", 1, 32)], [("input", 1, 300)]
    with pytest.raises(ValueError, match="do not fit into its input of 32×32"):
        architecture_diagram.plot_to_one_scale({"first": large, "last": small})
    with pytest.raises(ValueError, match="got 'dense'"):
        architecture_diagram.plot_to_one_scale({"first": [("dense", 10, 1)], "last": large})


def test_recorded_layers_agree_with_what_else_is_known():
    """LeNet-5's with the model's; the others' units with the numbers that their papers print."""
    outputs = [row.output_shape for row in layer_table(LeNet5())]
    shapes = [(shape[0], shape[-1] if len(shape) == 3 else 1) for shape in outputs]
    assert [tuple(layer[1:]) for layer in family()["lenet-5"][1:]] == shapes
    units = {name: [number * side**2 for _, number, side in layers] for name, layers in family().items()}
    assert sum(units["zip-1989"]) == 1256
    printed = {186_624, 64_896, 43_264, 4096, 1000}  # AlexNet's Fig. 2, without the first layer, which is no square
    assert units["alexnet"][0] == 150_528
    assert printed <= set(units["alexnet"])
