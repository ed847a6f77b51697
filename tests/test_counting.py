"""Counts against the known numbers of LeNet-5, against torchinfo, and fields against gradients."""

import pytest
import torch
from conftest import sentence
from torch import nn
from torchinfo import summary

from lenet_utils.counting import layer_table, receptive_field, record_layers, total
from lenet_utils.models import MLP, LeNet5, seeded
from lenet_utils.recipes.networks import BatchNormLeNet

LENET5 = {  # parameters, connections, multiply-adds, by arithmetic on the paper's shapes
    "c1": ((6, 28, 28), 156, 122_304, 117_600),
    "s2": ((6, 14, 14), 0, 4_704, 0),
    "c3": ((16, 10, 10), 2_416, 241_600, 240_000),
    "s4": ((16, 5, 5), 0, 1_600, 0),
    "c5": ((120, 1, 1), 48_120, 48_120, 48_000),
    "f6": ((84,), 10_164, 10_164, 10_080),
    "output": ((10,), 850, 850, 840),
}


@pytest.mark.parametrize("pooling", ["average", "max"])
def test_lenet5_layer_by_layer(pooling):
    rows = layer_table(LeNet5("relu", pooling))
    assert {r.name: (r.output_shape, r.parameters, r.connections, r.macs) for r in rows} == LENET5
    everything = total(rows)
    assert (everything.name, everything.parameters, everything.connections, everything.macs) == (
        "total",
        61_706,
        429_342,
        416_520,
    )


def test_mlp_connections_are_parameters():
    rows = layer_table(MLP((300, 100)))
    assert [r.parameters for r in rows] == [785 * 300, 301 * 100, 101 * 10]
    assert [r.connections for r in rows] == [r.parameters for r in rows]
    assert [r.macs for r in rows] == [784 * 300, 300 * 100, 100 * 10]


@pytest.mark.parametrize("model", [LeNet5(), MLP((20,))], ids=["LeNet5", "MLP"])
def test_torchinfo_agrees_where_it_says_something(model):
    info = summary(model, (1, *model.input_shape), device="cpu", verbose=0)
    rows = [row for row in layer_table(model) if row.parameters]
    assert info.total_params == total(rows).parameters == sum(p.numel() for p in model.parameters())
    assert info.total_mult_adds == total(rows).connections  # torchinfo counts the biases as well


def test_a_layer_without_bias_has_as_many_connections_as_multiply_adds():
    (row,) = layer_table(nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, bias=False)), (3, 9, 9))
    assert (row.output_shape, row.parameters, row.connections, row.macs) == ((4, 4, 4), 108, 1_728, 1_728)


def test_frozen_parameters_are_not_trainable_ones():
    model = LeNet5()
    model.output.requires_grad_(False)
    assert total(layer_table(model)).parameters == 61_706 - 850


def test_receptive_fields_of_lenet5_are_those_that_gradients_show():
    model = seeded(LeNet5, 0).double()
    derived = receptive_field(model)
    assert derived == {"c1": (5, 1), "s2": (6, 2), "c3": (14, 2), "s4": (16, 4), "c5": (32, 4)}
    for name, (size, _) in derived.items():
        image = torch.rand(1, 1, 32, 32, dtype=torch.float64, requires_grad=True)
        with record_layers(model) as passed:
            model(image)
        maps = next(output for layer, _, output in passed if layer == name)
        maps[0, 0, maps.shape[2] // 2, maps.shape[3] // 2].backward()
        seen = image.grad[0, 0] != 0
        assert seen.any(0).sum() == seen.any(1).sum() == size
        assert seen.sum() == size**2


def test_neighbouring_fields_lie_as_far_apart_as_derived():
    model = seeded(LeNet5, 0).double()
    _, distance = receptive_field(model)["s4"]
    edges = []
    for column in (1, 2):
        image = torch.rand(1, 1, 32, 32, dtype=torch.float64, requires_grad=True)
        with record_layers(model) as passed:
            model(image)
        next(output for layer, _, output in passed if layer == "s4")[0, 0, 2, column].backward()
        edges.append(int((image.grad[0, 0] != 0).any(0).nonzero()[0]))
    assert edges[1] - edges[0] == distance == 4


def test_a_kernel_that_is_not_square_has_no_single_field():
    with pytest.raises(ValueError, match=r"square kernel and equal strides; got \(3, 5\)"):
        receptive_field(nn.Sequential(nn.Conv2d(1, 1, (3, 5))), (1, 9, 9))


def test_a_model_that_does_not_say_its_input_shape_must_be_told():
    with pytest.raises(ValueError, match=r"does not say its input_shape: pass one, such as \(1, 32, 32\)"):
        layer_table(nn.Sequential(nn.Linear(2, 2)))


def test_counting_leaves_the_model_as_it_was():
    model = LeNet5()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.train()
    layer_table(model)
    assert model.training
    assert all(not layer._forward_hooks for layer in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_record_layers_removes_its_hooks_after_an_error():
    model = LeNet5()
    with pytest.raises(ValueError, match="Expected images of shape"), record_layers(model) as passed:
        model(torch.zeros(1, 1, 28, 28))
    assert passed == []
    assert all(not layer._forward_hooks for layer in model.modules())


class Twice(nn.Module):
    """A dense layer that is used two times."""

    input_shape = (4,)

    def __init__(self):
        super().__init__()
        self.shared = nn.Linear(4, 4)

    def forward(self, x):
        return self.shared(self.shared(x))


def test_batch_normalisation_is_counted():
    rows = layer_table(BatchNormLeNet())
    assert total(rows).parameters == sum(p.numel() for p in BatchNormLeNet().parameters())
    row = next(row for row in rows if row.kind == "BatchNorm2d")
    units = row.output_shape[0] * row.output_shape[1] * row.output_shape[2]
    assert (row.parameters, row.connections, row.macs) == (2 * row.output_shape[0], 2 * units, units)


def test_a_shared_layer_has_its_parameters_once_and_its_work_twice():
    rows = layer_table(Twice())
    assert [row.parameters for row in rows] == [20, 0]
    assert [row.macs for row in rows] == [16, 16]


def test_a_layer_that_cannot_be_counted_is_refused_by_name():
    with pytest.raises(ValueError, match="cannot be counted") as caught:
        layer_table(nn.Sequential(nn.ConvTranspose2d(1, 1, 3)), (1, 9, 9))
    sentence(caught.value, "'0'", "ConvTranspose2d")


@pytest.mark.parametrize("kernel", [(2, 3), 2])
def test_pooling_counts_its_whole_field(kernel):
    (row,) = layer_table(nn.Sequential(nn.AvgPool2d(kernel, stride=1)), (1, 5, 5))
    height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
    assert row.connections == (6 - height) * (6 - width) * height * width


def test_dilation_widens_the_field():
    model = nn.Sequential(nn.Conv2d(1, 1, 3, dilation=4, bias=False))
    assert receptive_field(model, (1, 20, 20)) == {"0": (9, 1)}
    nn.init.ones_(model[0].weight)
    image = torch.zeros(1, 1, 20, 20, requires_grad=True)
    model(image)[0, 0, 5, 5].backward()
    rows = image.grad[0, 0].any(1).nonzero().flatten()
    assert rows[-1] - rows[0] + 1 == 9


@pytest.mark.parametrize("layer", [nn.Upsample(scale_factor=2), nn.AdaptiveAvgPool2d(2), nn.ConvTranspose2d(1, 1, 3)])
def test_a_field_that_is_not_known_is_refused_by_name(layer):
    with pytest.raises(ValueError, match="is not known") as caught:
        receptive_field(nn.Sequential(layer), (1, 8, 8))
    sentence(caught.value, "'0'", type(layer).__name__)


@pytest.mark.parametrize("count", [layer_table, receptive_field])
def test_each_part_keeps_its_mode_after_an_error_too(count):
    model = nn.Sequential(nn.Conv2d(1, 1, 3), nn.Dropout(), nn.Conv2d(1, 1, 3))
    model[1].eval()
    count(model, (1, 9, 9))
    modes = [True, True, False, True]  # the whole, and its three parts
    assert [part.training for part in model.modules()] == modes
    with pytest.raises(ValueError, match="cannot read images"):
        count(model, (2, 9, 9))
    assert [part.training for part in model.modules()] == modes
