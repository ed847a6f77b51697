"""Answers to input that Hypothesis draws, against computations that share nothing with the package."""

from __future__ import annotations

import math
import os

import numpy as np
import pytest
import torch
from torch import nn

from lenet_utils.counting import layer_table, receptive_field
from lenet_utils.evaluation import confusion_matrix, error_rate, rejection_curve, wilson_interval
from lenet_utils.modern.shifts import shifted
from lenet_utils.original.losses import map_loss, mse_penalty_loss
from lenet_utils.preprocessing import center_by_mass, pad, prepare, standardise
from lenet_utils.recipes.claims import prediction_interval

hypothesis = pytest.importorskip("hypothesis", reason="hypothesis is not installed: pip install -e '.[test]'")
st = hypothesis.strategies
TIMES = int(os.environ.get("LENET_FUZZ", "1"))
SEEDS, INDEX = st.integers(0, 2**32 - 1), st.integers(0, 2)


def given(examples: int, **strategies):
    """Hypothesis with the same examples each time, and nothing kept on disk."""
    settings = hypothesis.settings(max_examples=examples * TIMES, derandomize=True, database=None, deadline=None)
    return lambda test: settings(hypothesis.given(**strategies)(test))


@given(80, seed=SEEDS, count=st.integers(1, 60), num_classes=st.integers(1, 30), small=st.booleans())
def test_confusion_matrix_and_error_rate_against_a_loop(seed, count, num_classes, small):
    draw = np.random.default_rng(seed)
    predictions, labels = draw.integers(0, num_classes, (2, count))
    expected, wrong = [[0] * num_classes for _ in range(num_classes)], 0
    for predicted, true in zip(predictions.tolist(), labels.tolist(), strict=True):
        expected[true][predicted] += 1
        wrong += predicted != true
    kind = np.uint8 if small else np.int64
    assert confusion_matrix(predictions.astype(kind), labels.tolist(), num_classes).tolist() == expected
    assert error_rate(torch.from_numpy(predictions), labels.astype(kind)) == pytest.approx(100 * wrong / count)


@given(60, seed=SEEDS, count=st.integers(1, 30))
def test_rejection_curve_against_a_loop(seed, count):
    draw = np.random.default_rng(seed)
    scores, predictions, labels = draw.permutation(count) / 7, *draw.integers(0, 3, (2, count))
    rejected, error = rejection_curve(scores, predictions, labels)
    for number in range(count):
        surest = sorted(range(count), key=lambda i: -scores[i])[: count - number]
        wrong = sum(int(predictions[i] != labels[i]) for i in surest)
        assert rejected[number] == pytest.approx(100 * number / count)
        assert error[number] == pytest.approx(100 * wrong / len(surest))


@given(100, total=st.integers(1, 10**6), share=st.floats(0, 1), level=st.floats(0.01, 0.999))
def test_wilson_interval_against_scipy(total, share, level):
    from scipy.stats import binomtest, norm

    wrong = round(share * total)
    expected = binomtest(wrong, total).proportion_ci(level, "wilson")
    found = wilson_interval(wrong, total, float(norm.ppf(0.5 + level / 2)))
    assert found == pytest.approx((100 * expected.low, 100 * expected.high), abs=1e-8)


@given(60, values=st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20))
def test_prediction_interval_against_its_definition(values):
    """A new value's distance from the mean, in its standard errors, follows Student's distribution."""
    from scipy.integrate import quad
    from scipy.special import gamma

    low, high = prediction_interval(values)
    n, mean = len(values), math.fsum(values) / len(values)
    variance = math.fsum((value - mean) ** 2 for value in values) / (n - 1)
    assert (low + high) / 2 == pytest.approx(mean, abs=1e-6 + 1e-9 * abs(mean))
    if variance > 1e-6:
        t, f = (high - mean) / math.sqrt(variance * (1 + 1 / n)), n - 1
        factor = gamma((f + 1) / 2) / (math.sqrt(f * math.pi) * gamma(f / 2))
        inside = 2 * quad(lambda x: factor * (1 + x * x / f) ** (-(f + 1) / 2), 0, t)[0]
        assert inside == pytest.approx(0.95, abs=1e-4)


@given(
    60, seed=SEEDS, side=st.integers(1, 14), margin=st.integers(0, 4), floats=st.booleans(), scaling=st.integers(0, 2)
)
def test_pad_and_prepare_against_numpy(seed, side, margin, floats, scaling):
    pixels = np.random.default_rng(seed).integers(0, 256, (3, 2 * side, 2 * side)).astype(np.uint8)
    images = (pixels / 255).astype(np.float32) if floats else pixels
    size, around = 2 * (side + margin), [(0, 0), (margin, margin), (margin, margin)]
    padded = np.pad(images, around)
    np.testing.assert_array_equal(pad(images, size).numpy(), padded)
    unit = (padded if floats else padded / 255)[:, None]
    name, expected = [
        ("unit", unit),
        ("standard", (unit - 0.1307) / 0.3081),
        ("paper", unit * 1.275 - 0.1),
    ][scaling]
    np.testing.assert_allclose(prepare(torch.from_numpy(images), size, name).numpy(), expected, atol=1e-5)
    mean, std = float(unit.mean()), float(unit.std()) + 0.01
    np.testing.assert_allclose(standardise(padded, mean, std).numpy(), (unit - mean) / std, atol=1e-3)


@given(40, seed=SEEDS, height=st.integers(1, 20), width=st.integers(1, 20))
def test_centering_loses_nothing_and_leaves_less_to_do_than_before(seed, height, width):
    draw = np.random.default_rng(seed)
    image = draw.random((height, width)) * (draw.random((height, width)) < 0.2)
    centred = center_by_mass(image).numpy()
    np.testing.assert_allclose(np.sort(centred, axis=None), np.sort(image, axis=None))
    if image.any():
        for axis, side in enumerate(image.shape):
            place = np.indices(image.shape)[axis]
            before, after = ((x * place).sum() / x.sum() - side / 2 for x in (image, centred))
            assert abs(after) <= max(abs(before), 0.5) + 1e-9


@given(40, seed=SEEDS, down=st.integers(-32, 32), right=st.integers(-32, 32))
def test_shifted_against_loops(seed, down, right):
    pixels = np.random.default_rng(seed).integers(0, 256, (1, 28, 28)).astype(np.uint8)
    expected = np.zeros((32, 32), np.uint8)
    for row in range(28):
        for column in range(28):
            i, j = row + 2 + down, column + 2 + right
            if 0 <= i < 32 and 0 <= j < 32:
                expected[i, j] = pixels[0, row, column]
    np.testing.assert_array_equal(shifted(pixels, down, right)[0].numpy(), expected)


@given(40, seed=SEEDS, count=st.integers(1, 5), num_classes=st.integers(1, 6), j=st.floats(0.01, 3))
def test_losses_against_their_equations(seed, count, num_classes, j):
    draw = np.random.default_rng(seed)
    penalties, labels = draw.random((count, num_classes)) * 5, draw.integers(0, num_classes, count)
    right = [penalties[n, labels[n]] for n in range(count)]
    assert float(mse_penalty_loss(penalties, labels)) == pytest.approx(sum(right) / count)
    logs = [math.log(math.exp(-j) + sum(math.exp(-y) for y in row)) for row in penalties]
    assert float(map_loss(torch.from_numpy(penalties), labels, j)) == pytest.approx((sum(right) + sum(logs)) / count)


@st.composite
def networks(draw) -> nn.Sequential:
    """A chain of convolutions and pooling over 24×24 pixels, then a dense layer."""
    layers, maps, side = [], 1, 24
    for _ in range(draw(st.integers(1, 3))):
        kernel, stride, dilation = draw(st.integers(1, 3)), draw(st.integers(1, 2)), draw(st.integers(1, 2))
        if draw(st.booleans()):
            outputs = draw(st.integers(1, 3))
            layers.append(nn.Conv2d(maps, outputs, kernel, stride, 0, dilation, bias=draw(st.booleans())))
            maps, side = outputs, (side - dilation * (kernel - 1) - 1) // stride + 1
        else:
            layers.append(draw(st.sampled_from([nn.AvgPool2d, nn.MaxPool2d]))(kernel, stride))
            side = (side - kernel) // stride + 1
        layers.append(nn.BatchNorm2d(maps) if draw(st.booleans()) else nn.Tanh())
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(maps * side * side, 2))


@given(25, model=networks())
def test_layer_table_against_loops_over_units(model):
    rows = {row.name: row for row in layer_table(model, (1, 24, 24))}
    x = torch.zeros(1, 1, 24, 24)
    model.eval()
    for name, layer in model.named_children():
        y = layer(x)
        connections = macs = 0
        for _ in np.ndindex(*y.shape[1:]):
            if isinstance(layer, nn.Conv2d):
                for _ in np.ndindex(x.shape[1], *layer.kernel_size):
                    connections, macs = connections + 1, macs + 1
                connections += layer.bias is not None
            elif isinstance(layer, nn.AvgPool2d | nn.MaxPool2d):
                connections += layer.kernel_size**2
            elif isinstance(layer, nn.BatchNorm2d):
                connections, macs = connections + 2, macs + 1
            elif isinstance(layer, nn.Linear):
                connections, macs = connections + x.shape[1] + 1, macs + x.shape[1]
        counted = isinstance(layer, nn.Conv2d | nn.AvgPool2d | nn.MaxPool2d | nn.BatchNorm2d | nn.Linear)
        assert (name in rows) is counted
        if counted:
            parameters = sum(1 for p in layer.parameters() for _ in range(p.numel()))
            found = rows[name]
            assert (found.connections, found.macs, found.parameters) == (connections, macs, parameters), name
        x = y


@given(25, model=networks())
def test_receptive_field_against_gradients(model):
    """The pixels on which a unit in the middle depends, and how far those of its neighbour lie."""
    fields = receptive_field(model, (1, 24, 24))
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.uniform_(layer.weight, 0.5, 1)
    x, layers = torch.rand(1, 1, 24, 24, dtype=torch.float64), []
    for name, layer in model.double().eval().named_children():
        if isinstance(layer, nn.Flatten):
            break
        # maxima hide pixels, and squashing may lose small gradients: neither changes what a unit sees
        layers.append(nn.AvgPool2d(layer.kernel_size, layer.stride) if isinstance(layer, nn.MaxPool2d) else layer)
        if name in fields:
            kept = nn.Sequential(*[one for one in layers if not isinstance(one, nn.Tanh)])
            seen = [rows_seen(kept, x, i) for i in range(min(2, kept(x).shape[2]))]
            size, distance = fields[name]
            assert seen[0][1] - seen[0][0] + 1 == size, name
            assert len(seen) == 1 or seen[1][0] - seen[0][0] == distance


def rows_seen(network: nn.Module, x: torch.Tensor, row: int) -> tuple[int, int]:
    """The first and the last row of pixels with which a unit in this row changes."""
    x = x.clone().requires_grad_()
    network(x)[0, :, row].sum().backward()
    rows = x.grad[0, 0].abs().sum(1).nonzero().flatten()
    return int(rows[0]), int(rows[-1])
