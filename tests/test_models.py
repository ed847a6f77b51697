"""Networks: their published counts, their layers' names, and what they refuse."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from lenet_utils.checks import check_images
from lenet_utils.models import ACTIVATIONS, MLP, POOLINGS, LeNet5, seeded

# By hand, from (inputs + 1 bias) per map or unit; C1, C5 and F6 also stand in LeCun et al. (1998), section II-B.
COUNTS = {
    "c1": 6 * (5 * 5 + 1),
    "s2": 0,
    "c3": 16 * (6 * 5 * 5 + 1),
    "s4": 0,
    "c5": 120 * (16 * 5 * 5 + 1),
    "f6": 84 * (120 + 1),
    "output": 10 * (84 + 1),
}


def num_parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_lenet5_has_61706_parameters():
    assert num_parameters(LeNet5()) == sum(COUNTS.values()) == 61_706


@pytest.mark.parametrize(("layer", "count"), COUNTS.items())
def test_lenet5_layer_counts(layer, count):
    assert num_parameters(getattr(LeNet5(), layer)) == count


def test_lenet5_layers_in_the_papers_order():
    names = [name for name, _ in LeNet5().named_children()]
    assert [name for name in names if name != "activation"] == list(COUNTS)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_activation_and_pooling_leave_count_and_shape(activation, pooling):
    model = LeNet5(activation=activation, pooling=pooling)
    assert num_parameters(model) == 61_706
    assert model(torch.zeros(3, 1, 32, 32)).shape == (3, 10)


def test_activation_and_pooling_are_the_ones_named():
    model = LeNet5(activation="relu", pooling="max")
    assert isinstance(model.activation, nn.ReLU)
    assert isinstance(model.s2, nn.MaxPool2d)
    assert isinstance(model.s4, nn.MaxPool2d)


def test_num_classes():
    assert LeNet5(num_classes=26)(torch.zeros(1, 1, 32, 32)).shape == (1, 26)


def test_lenet5_forward_against_numpy():
    """The whole network once more, in loops over NumPy arrays."""
    model = seeded(LeNet5, 3).double()
    image = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weights = {name: value.detach().numpy() for name, value in model.named_parameters()}

    def convolve(x, name):
        kernel, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        size = x.shape[1] - 4
        out = np.empty((len(kernel), size, size))
        for m, i, j in np.ndindex(*out.shape):
            out[m, i, j] = (x[:, i : i + 5, j : j + 5] * kernel[m]).sum() + bias[m]
        return np.tanh(out)

    def pool(x):
        return (x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4

    x = convolve(pool(convolve(pool(convolve(image[0].numpy(), "c1")), "c3")), "c5").ravel()
    x = np.tanh(weights["f6.weight"] @ x + weights["f6.bias"])
    x = weights["output.weight"] @ x + weights["output.bias"]
    np.testing.assert_allclose(model(image)[0].detach().numpy(), x, rtol=0, atol=1e-12)


def test_gradients_against_finite_differences():
    model = seeded(LeNet5, 1).double()
    image = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    labels = torch.tensor([3, 8])

    def loss() -> torch.Tensor:
        return nn.functional.cross_entropy(model(image), labels)

    loss().backward()
    for parameter in model.parameters():
        where = tuple(n // 2 for n in parameter.shape)
        gradient, step = parameter.grad[where].item(), 1e-5
        with torch.no_grad():
            parameter[where] += step
            above = loss().item()
            parameter[where] -= 2 * step
            below = loss().item()
            parameter[where] += step
        assert math.isclose(gradient, (above - below) / (2 * step), rel_tol=1e-5, abs_tol=1e-9)


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (
            torch.zeros(2, 1, 28, 28),
            ["(N, 1, 32, 32)", "(2, 1, 28, 28)", "lenet_utils.preprocessing.prepare(pixels, 32)"],
        ),
        (torch.zeros(2, 32, 32), ["(N, 1, 32, 32)", "(2, 32, 32)", "images.unsqueeze(1)"]),
        (torch.zeros(2, 3, 32, 32), ["(N, 1, 32, 32)", "(2, 3, 32, 32)"]),
        (torch.zeros(2, 1, 40, 40), ["(N, 1, 32, 32)", "(2, 1, 40, 40)"]),
        (torch.zeros(0, 1, 32, 32), ["(N, 1, 32, 32)", "(0, 1, 32, 32)", "empty", "pass at least one"]),
        (torch.zeros(0, 1, 28, 28), ["(N, 1, 32, 32)", "(0, 1, 28, 28)", "empty", "pass at least one"]),
        (torch.tensor(0.0), ["(N, 1, 32, 32)", "()"]),
    ],
    ids=["28x28", "no-channel", "three-channels", "too-large", "empty", "empty-and-small", "scalar"],
)
def test_wrong_shapes_are_refused_in_a_sentence(images, expected):
    with pytest.raises(ValueError, match="Expected images of shape") as caught:
        LeNet5()(images)
    assert [part for part in expected if part not in str(caught.value)] == []


def test_a_28x28_batch_does_as_the_sentence_says(digits):
    from lenet_utils.preprocessing import prepare, standardise

    pixels = digits.test_images[:2]
    with pytest.raises(ValueError, match=r"prepare\(pixels, 32\)"):
        LeNet5()(standardise(pixels))
    assert LeNet5()(prepare(pixels, 32)).shape == (2, 10)


@pytest.mark.parametrize("shape", [(2, 3, 28, 28), (2, 1, 28, 40)])
def test_no_padding_is_advised_where_it_would_not_help(shape):
    with pytest.raises(ValueError, match="Expected images of shape") as caught:
        LeNet5()(torch.zeros(shape))
    assert "prepare" not in str(caught.value)


def test_raw_pixels_are_refused():
    with pytest.raises(TypeError, match=r"floating-point.*got torch.uint8.*standardise\(images\)"):
        LeNet5()(torch.zeros(1, 1, 32, 32, dtype=torch.uint8))


@pytest.mark.parametrize("kind", ["activation", "pooling"])
def test_unknown_names_are_refused_with_the_known_ones(kind):
    with pytest.raises(ValueError, match=f"Unknown {kind} 'swish': choose one of '") as caught:
        LeNet5(**{kind: "swish"})
    known = {"activation": ACTIVATIONS, "pooling": POOLINGS}[kind]
    assert all(repr(name) in str(caught.value) for name in known)


def test_mlp_300_100_has_fig_9s_count():
    """LeCun et al. (1998) round it to 267,000 variables (Fig. 12)."""
    model = MLP((300, 100))
    assert num_parameters(model) == 300 * 785 + 100 * 301 + 10 * 101 == 266_610
    assert model(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


def test_mlp_without_hidden_layers_is_linear():
    model = seeded(lambda: MLP((), input_size=4, num_classes=3), 0)
    images = torch.rand(5, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    linear = model.layers[-1]
    torch.testing.assert_close(model(images), images.flatten(1) @ linear.weight.T + linear.bias)


def test_mlp_refuses_another_size():
    with pytest.raises(ValueError, match=r"\(N, 1, 28, 28\).*got \(2, 1, 32, 32\)"):
        MLP()(torch.zeros(2, 1, 32, 32))


def test_check_images_passes_what_is_right():
    check_images(torch.zeros(1, 3, 8, 8, dtype=torch.float16), 3, 8)


def test_same_seed_same_weights_bit_for_bit():
    first, again, other = (seeded(LeNet5, seed).state_dict() for seed in (7, 7, 8))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)


def test_seeded_leaves_the_global_generator_alone():
    before = torch.random.get_rng_state()
    seeded(LeNet5, 0)
    assert torch.equal(before, torch.random.get_rng_state())
