"""LeNet-5 as published: its counts, what each unit sees, where it starts, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import sentence

from lenet_utils import counting
from lenet_utils.evaluation import predict
from lenet_utils.original.fast_step import FastLeNet5
from lenet_utils.original.losses import loss_function, map_loss, mse_penalty_loss
from lenet_utils.original.network import LeNet5Original
from lenet_utils.original.optimizer import curvatures
from lenet_utils.preprocessing import paper_range, prepare

# LeCun et al. (1998), section II-B; C3's connections as in the authors' preprint (the print has 156,000).
ROWS = {
    "c1": ((6, 28, 28), 156, 122_304),
    "s2": ((6, 14, 14), 12, 5_880),
    "c3": ((16, 10, 10), 1_516, 151_600),
    "s4": ((16, 5, 5), 32, 2_000),
    "c5": ((120, 1, 1), 48_120, 48_120),
    "f6": ((84,), 10_164, 10_164),
    "output": ((10,), 0, 840),
}


@pytest.fixture
def model() -> LeNet5Original:
    return LeNet5Original(generator=torch.Generator().manual_seed(0))


def blank(count: int = 1) -> torch.Tensor:
    return torch.full((count, 1, 32, 32), -0.1)


# --- counts ---


@pytest.mark.parametrize("name", ROWS)
def test_each_layer_counts_as_published(model, name):
    (row,) = (row for row in counting.layer_table(model) if row.name == name)
    assert (row.output_shape, row.parameters, row.connections) == ROWS[name]


def test_sixty_thousand_parameters_and_340908_connections(model):
    total = counting.total(counting.layer_table(model))
    assert (total.parameters, total.connections) == (60_000, 340_908)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 60_000
    assert [row.name for row in counting.layer_table(model)] == list(ROWS)


def test_its_smallest_output_wins():
    assert LeNet5Original.smallest_wins


# --- what a unit sees ---


def test_receptive_fields_by_gradient(model):
    stages = model.stages()
    after = {"c1": 1, "s2": 3, "c3": 4, "s4": 6, "c5": 7}
    generator = torch.Generator().manual_seed(1)
    found = {}
    for name, count in after.items():
        images = (torch.rand(1, 1, 32, 32, generator=generator) - 0.1).requires_grad_()
        x = images
        for stage in stages[:count]:
            x = stage(x)
        middle = x.shape[-1] // 2
        x[0, -1, middle, middle].backward()
        seen = images.grad[0, 0] != 0
        found[name] = (int(seen.any(1).sum()), int(seen.any(0).sum()))
    assert found == {"c1": (5, 5), "s2": (6, 6), "c3": (14, 14), "s4": (16, 16), "c5": (32, 32)}


# --- where it starts ---


@pytest.mark.parametrize(("initialisation", "power"), [("printed", 1), ("practice", 0.5)])
def test_initial_weights_fill_their_range(initialisation, power):
    model = LeNet5Original(initialisation, generator=torch.Generator().manual_seed(0))
    fan_in_of_c3 = 25 * torch.bincount(model.c3.outputs_of_link)
    assert sorted(set(fan_in_of_c3.tolist())) == [75, 100, 150]
    for layer, fan_in in ((model.c1, 25), (model.c5, 400), (model.f6, 120)):
        bound = 2.4 / fan_in**power
        assert 0.95 * bound < float(layer.weight.detach().abs().max()) <= bound
        assert not layer.bias.any()
    for kernel, target in zip(model.c3.weight.detach(), model.c3.outputs_of_link, strict=True):
        assert float(kernel.abs().max()) <= 2.4 / float(fan_in_of_c3[target]) ** power
    assert model.s2.coefficient.tolist() == [1] * 6
    assert not any(p.any() for name, p in model.named_parameters() if name.endswith("bias"))


def test_activity_dies_with_the_printed_range_and_not_with_its_root(digits):
    images = prepare(digits.train_images[:200], scaling="paper")
    spread = {}
    for initialisation in ("printed", "practice"):
        x = images
        with torch.no_grad():
            for stage in LeNet5Original(initialisation, generator=torch.Generator().manual_seed(0)).stages():
                x = stage(x)
        spread[initialisation] = float(x.std(0).mean())
    assert spread["printed"] < 0.005
    assert spread["practice"] > 0.2


def test_same_seed_same_weights():
    first, second, other = (LeNet5Original(generator=torch.Generator().manual_seed(s)) for s in (3, 3, 4))
    assert all((p == q).all() for p, q in zip(first.parameters(), second.parameters(), strict=True))
    assert not (first.c5.weight == other.c5.weight).any()


# --- what comes out ---


def test_outputs_are_distances_to_the_prototypes_and_the_smallest_wins(model, digits):
    images = prepare(digits.test_images[:20], scaling="paper")
    penalties = model(images)
    assert tuple(penalties.shape) == (20, 10)
    assert (penalties >= 0).all()
    assert (predict(model, images) == penalties.argmin(1)).all()


def test_losses_against_naive_ones():
    penalties = torch.tensor([[1.0, 5.0, 2.0], [4.0, 0.5, 3.0]], dtype=torch.float64)
    labels = torch.tensor([0, 2])
    assert float(mse_penalty_loss(penalties, labels)) == pytest.approx((1 + 3) / 2)
    expected = np.mean([y[d] + np.log(np.exp(-0.3) + np.exp(-y).sum()) for y, d in zip(penalties.numpy(), (0, 2))])  # noqa: B905
    assert float(map_loss(penalties, labels, j=0.3)) == pytest.approx(expected)
    assert float(loss_function("map", j=0.3)(penalties, labels)) == pytest.approx(expected)
    assert loss_function("mse") is mse_penalty_loss


def test_unknown_names_are_refused():
    for make, parts in (
        (lambda: loss_function("hinge"), ("loss", "'hinge'", "'mse'", "'map'")),
        (lambda: LeNet5Original(reading="max"), ("reading", "'max'", "'average'", "'sum'")),
        (lambda: LeNet5Original("normal"), ("initialisation", "'normal'", "'printed'", "'practice'")),
        (lambda: map_loss(torch.ones(1, 3), torch.tensor([0]), j=0), ("j must be positive", "0")),
    ):
        with pytest.raises(ValueError, match=parts[0]) as caught:
            make()
        sentence(caught.value, *parts)


# --- what goes in ---


@pytest.mark.parametrize(
    ("images", "parts"),
    [
        (torch.zeros(1, 1, 28, 28), ("(N, 1, 32, 32)", "(1, 1, 28, 28)", "Pad")),
        (torch.zeros(1, 3, 32, 32), ("(N, 1, 32, 32)", "(1, 3, 32, 32)")),
        (blank() * 4, ("-0.1", "1.175", "-0.4 to -0.4", "paper_range")),
        (blank() + 3, ("-0.1", "1.175", "paper_range")),
        (torch.linspace(0, 1, 1024).view(1, 1, 32, 32), ("0 to 1", "paper_range")),
        (torch.full((1, 1, 32, 32), float("nan")), ("nan", "paper_range")),
    ],
)
def test_wrong_shapes_and_ranges_are_refused(model, images, parts):
    with pytest.raises(ValueError, match="Expected") as caught:
        model(images)
    sentence(caught.value, *parts)


def test_integers_are_refused(model):
    with pytest.raises(TypeError, match="floating-point"):
        model(torch.zeros(1, 1, 32, 32, dtype=torch.uint8))


def test_paper_range_is_accepted(model):
    assert torch.isfinite(model(paper_range(torch.rand(2, 32, 32)))).all()


# --- it learns ---


def test_it_learns_forty_digits_by_heart(digits):
    model = LeNet5Original(generator=torch.Generator().manual_seed(0))
    images, labels = prepare(digits.train_images[:40], scaling="paper"), digits.train_labels[:40]
    steps = FastLeNet5(model)
    for number in range(60):
        if number % 10 == 0:
            steps.set_rates(curvatures(model, images), 5e-4, 0.02)
        steps.learn(images, labels)
    assert (predict(model, images) == labels).all()


def test_mnists_variance_is_not_roughly_one(mnist):
    """The paper says so of its input range; at 32×32, most of MNIST is background."""
    images = prepare(torch.cat([mnist.train_images, mnist.validation_images]), scaling="paper")
    assert float(images.mean()) == pytest.approx(0.0275, abs=5e-5)
    assert float(images.var()) == pytest.approx(0.123, abs=5e-4)
