"""The architecture's drawing: every shape, to scale, and the kernels that the layers have."""

from __future__ import annotations

import pytest
from torch import nn

from lenet_utils import architecture_diagram
from lenet_utils.counting import layer_table
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
