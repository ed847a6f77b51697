"""The parts of 1998: Table I column by column, and each layer against a naive one."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from conftest import sentence

from lenet_utils.original.layers import (
    C3_TABLE,
    RBFOutput,
    ScaledTanh,
    SparseConv2d,
    Subsampling,
    scaled_tanh,
    scaled_tanh_slope,
)
from lenet_utils.original.network import HEIGHT, WIDTH, digit_bitmaps

# Which S2 maps each C3 map sees: three in a row, four in a row, four with a gap, all (LeCun et al. 1998, Table I).
SOURCES = [
    {0, 1, 2},
    {1, 2, 3},
    {2, 3, 4},
    {3, 4, 5},
    {4, 5, 0},
    {5, 0, 1},
    {0, 1, 2, 3},
    {1, 2, 3, 4},
    {2, 3, 4, 5},
    {3, 4, 5, 0},
    {4, 5, 0, 1},
    {5, 0, 1, 2},
    {0, 1, 3, 4},
    {1, 2, 4, 5},
    {0, 2, 3, 5},
    {0, 1, 2, 3, 4, 5},
]


def random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape)), dtype=torch.float64)


# --- Table I ---


@pytest.mark.parametrize("column", range(16))
def test_each_column_of_table_one(column):
    assert set(C3_TABLE[:, column].nonzero().flatten().tolist()) == SOURCES[column]


def test_table_one_has_sixty_links_ten_in_each_row():
    assert tuple(C3_TABLE.shape) == (6, 16)
    assert C3_TABLE.dtype == torch.bool
    assert C3_TABLE.sum(1).tolist() == [10] * 6


# --- ScaledTanh ---


def test_scaled_tanh_is_one_at_one_within_three_millionths():
    assert f"{float(scaled_tanh(torch.tensor(1.0, dtype=torch.float64))):.6f}" == "0.999997"
    assert float(scaled_tanh(torch.tensor(-1.0))) == pytest.approx(-1, abs=3e-6)


def test_scaled_tanh_bends_most_near_one():
    a = torch.linspace(0, 3, 30_001, dtype=torch.float64)
    f = scaled_tanh(a)
    second = (f[2:] - 2 * f[1:-1] + f[:-2]).abs()
    assert float(a[1 + second.argmax()]) == pytest.approx(0.988, abs=1e-3)


def test_scaled_tanh_slope_is_the_derivative():
    a = random(50).requires_grad_()
    f = ScaledTanh()(a)
    f.sum().backward()
    torch.testing.assert_close(scaled_tanh_slope(f.detach()), a.grad)


# --- Subsampling ---


@pytest.mark.parametrize("reading", ["average", "sum"])
def test_subsampling_against_a_naive_one(reading):
    layer = Subsampling(3, reading).double()
    with torch.no_grad():
        layer.coefficient.copy_(random(3))
        layer.bias.copy_(random(3, 1).flatten())
    maps = random(2, 3, 4, 6)
    expected = np.zeros((2, 3, 2, 3))
    for n, c, i, j in np.ndindex(expected.shape):
        four = [float(maps[n, c, 2 * i + p, 2 * j + q]) for p in (0, 1) for q in (0, 1)]
        pooled = sum(four) / 4 if reading == "average" else sum(four)
        a = layer.coefficient[c].item() * pooled + layer.bias[c].item()
        expected[n, c, i, j] = 1.7159 * math.tanh(2 / 3 * a)
    np.testing.assert_allclose(layer(maps).detach().numpy(), expected, rtol=1e-12)
    assert torch.autograd.gradcheck(layer, maps.requires_grad_())


def test_both_readings_start_as_the_same_function():
    maps = random(2, 6, 4, 4).float()
    torch.testing.assert_close(Subsampling(6, "average")(maps), Subsampling(6, "sum")(maps))


def test_subsampling_counts():
    layer = Subsampling(6)
    assert sum(p.numel() for p in layer.parameters()) == 12
    assert layer.count_connections((6, 14, 14)) == 5_880
    assert layer.count_macs((6, 14, 14)) == 1_176
    assert Subsampling(16).count_connections((16, 5, 5)) == 2_000


def test_subsampling_refuses():
    with pytest.raises(ValueError, match="reading") as caught:
        Subsampling(6, "maximum")
    sentence(caught.value, "'maximum'", "'average'", "'sum'")
    with pytest.raises(ValueError, match="even") as caught:
        Subsampling(6)(torch.zeros(1, 6, 5, 4))
    sentence(caught.value, "(1, 6, 5, 4)")
    with pytest.raises(ValueError, match="6 maps"):
        Subsampling(6)(torch.zeros(1, 4, 4, 4))


# --- SparseConv2d ---


def test_sparse_convolution_against_a_naive_one():
    table = torch.tensor([[True, False, True], [False, True, True]])
    layer = SparseConv2d(table, kernel_size=3).double()
    maps = random(2, 2, 5, 6)
    links = list(zip(layer.inputs_of_link.tolist(), layer.outputs_of_link.tolist(), strict=True))
    assert sorted(links) == [(0, 0), (0, 2), (1, 1), (1, 2)]
    expected = np.zeros((2, 3, 3, 4))
    for n, c, i, j in np.ndindex(expected.shape):
        expected[n, c, i, j] = layer.bias[c].item()
        for kernel, (source, target) in enumerate(links):
            if target == c:
                window = maps[n, source, i : i + 3, j : j + 3]
                expected[n, c, i, j] += (window * layer.weight[kernel]).sum().item()
    np.testing.assert_allclose(layer(maps).detach().numpy(), expected, rtol=1e-12, atol=1e-12)
    assert torch.autograd.gradcheck(layer, maps.requires_grad_())


def test_sparse_convolution_holds_exactly_its_kernels():
    layer = SparseConv2d()
    assert {name: tuple(p.shape) for name, p in layer.named_parameters()} == {"weight": (60, 5, 5), "bias": (16,)}
    assert sum(p.numel() for p in layer.parameters()) == 1_516
    assert sum(value.numel() for value in layer.state_dict().values()) == 1_516
    assert layer.count_connections((16, 10, 10)) == 151_600
    assert layer.count_macs((16, 10, 10)) == 150_000


def test_a_map_that_is_not_linked_has_no_influence():
    layer = SparseConv2d()
    maps = random(1, 6, 14, 14).float()
    for source in range(6):
        changed = maps.clone()
        changed[:, source] += 1
        moved = (layer(changed) != layer(maps)).flatten(2).any(2)[0]
        assert moved.tolist() == C3_TABLE[source].tolist()


def test_sparse_convolution_refuses():
    with pytest.raises(ValueError, match="bool table") as caught:
        SparseConv2d(torch.ones(6, 16))
    sentence(caught.value, "float32", "(6, 16)")
    with pytest.raises(ValueError, match="every output"):
        SparseConv2d(torch.zeros(2, 3, dtype=torch.bool))
    with pytest.raises(ValueError, match="6 maps") as caught:
        SparseConv2d()(torch.zeros(1, 16, 14, 14))
    sentence(caught.value, "(1, 16, 14, 14)")


# --- RBFOutput and its prototypes ---


def test_rbf_against_a_naive_one():
    prototypes, features = digit_bitmaps().double(), random(3, 84)
    expected = [[sum((x - w) ** 2 for x, w in zip(f, p, strict=True)) for p in prototypes] for f in features]
    layer = RBFOutput(prototypes)
    np.testing.assert_allclose(layer(features).numpy(), np.array(expected, dtype=float), rtol=1e-12)
    assert list(layer.parameters()) == []
    assert layer.count_connections((10,)) == layer.count_macs((10,)) == 840
    assert torch.autograd.gradcheck(layer, features.requires_grad_())


def test_rbf_refuses():
    with pytest.raises(ValueError, match="features") as caught:
        RBFOutput(digit_bitmaps())(torch.zeros(2, 83))
    sentence(caught.value, "(N, 84)", "(2, 83)")
    with pytest.raises(ValueError, match="floating-point"):
        RBFOutput(torch.ones(10, 84, dtype=torch.int64))


def test_prototypes_are_ten_different_drawings_in_plus_and_minus_one():
    bitmaps = digit_bitmaps()
    assert tuple(bitmaps.shape) == (10, WIDTH * HEIGHT) == (10, 84)
    assert bitmaps.unique().tolist() == [-1, 1]
    pixels_apart = (bitmaps[:, None] != bitmaps).sum(2) + 84 * torch.eye(10, dtype=torch.long)
    assert int(pixels_apart.min()) >= 10
    assert (bitmaps == 1).float().mean(1).min() > 0.25


def test_the_drawn_digits_read_from_the_top():
    seven = digit_bitmaps()[7].view(HEIGHT, WIDTH)
    assert (seven[1] == 1).all()  # its bar
    assert (seven[8:11, 5:] == -1).all()  # its foot stands to the left
    zero = digit_bitmaps()[0].view(HEIGHT, WIDTH)
    assert (zero == zero.flip(1)).all()
