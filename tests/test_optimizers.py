"""Muon: its steps against linear algebra and against PyTorch's own optimizers."""

from __future__ import annotations

import copy

import pytest
import torch
from conftest import sentence
from torch import nn
from torch.nn import functional

from lenet_utils.models import LeNet5, seeded
from lenet_utils.optimizers import Muon, make_optimizer, orthogonalised
from lenet_utils.training import TrainConfig


def network() -> nn.Module:
    return LeNet5("relu")


@pytest.mark.parametrize("shape", [(6, 25), (16, 150), (120, 400), (84, 120), (120, 84), (5, 5), (1, 7)])
def test_a_matrix_keeps_its_directions_and_loses_its_stretches(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    u, before, v = torch.linalg.svd(matrix, full_matrices=False)
    in_its_directions = u.T @ orthogonalised(matrix, 5) @ v.T  # (rank, rank)
    after = in_its_directions.diag()
    assert torch.allclose(in_its_directions, torch.diag(after), atol=1e-9)
    large = before > 0.02 * before.norm()
    assert ((after > 0.6) & (after < 1.25))[large].all()


def test_the_scale_of_a_gradient_does_not_matter():
    matrix = torch.randn(16, 150, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert torch.allclose(orthogonalised(1e-3 * matrix), orthogonalised(matrix), atol=1e-4)
    assert orthogonalised(torch.zeros(3, 4)).abs().max() == 0


def learned(model, optimizer, num_steps=5):
    """The model after some steps on made-up images."""
    generator = torch.Generator().manual_seed(2)
    for _ in range(num_steps):
        loss = functional.cross_entropy(model(torch.randn(8, 1, 32, 32, generator=generator)), torch.arange(8))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


def test_biases_and_the_last_layer_move_as_adam_moves_them():
    ours, theirs = seeded(network, 0), seeded(network, 0)
    frozen = {name for name, p in ours.named_parameters() if p.ndim > 1 and name != "output.weight"}
    assert frozen == {"c1.weight", "c3.weight", "c5.weight", "f6.weight"}
    muon = Muon(ours.parameters(), 0.01, matrix_rate=0.0, betas=(0.85, 0.98))  # the matrices stand still
    rest = [p for name, p in theirs.named_parameters() if name not in frozen]
    learned(ours, muon), learned(theirs, torch.optim.Adam(rest, 0.01, (0.85, 0.98)))
    for (name, one), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=2e-6, rtol=1e-5, msg=name)


def test_matrices_move_by_orthogonal_steps_of_their_mean_gradient():
    layer = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 3)).double()
    before = layer[0].weight.detach().clone()
    optimizer = Muon(layer.parameters(), matrix_rate=0.1, betas=(0.9, 0.98))
    generator, mean = torch.Generator().manual_seed(3), 0.0
    for _ in range(3):
        gradient = torch.randn(6, 4, generator=generator, dtype=torch.float64)
        mean = 0.9 * mean + 0.1 * gradient
        layer[0].weight.grad = gradient.clone()
        optimizer.step()
        before -= 0.1 * (6 / 4) ** 0.5 * orthogonalised(0.1 * gradient + 0.9 * mean)
    torch.testing.assert_close(layer[0].weight.detach(), before)


def test_weight_decay_shrinks_all_parameters_by_their_own_rate():
    model = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 3))
    before = copy.deepcopy(model.state_dict())
    optimizer = Muon(model.parameters(), 0.1, matrix_rate=0.2, weight_decay=0.5)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    torch.testing.assert_close(model[0].weight.detach(), 0.9 * before["0.weight"])
    torch.testing.assert_close(model[1].weight.detach(), 0.95 * before["1.weight"])


def test_its_state_can_be_kept():
    one = seeded(network, 0)
    optimizer = make_optimizer(one, TrainConfig(optimizer="muon"))
    learned(one, optimizer)
    other = copy.deepcopy(one)
    resumed = make_optimizer(other, TrainConfig(optimizer="muon"))
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    learned(one, optimizer), learned(other, resumed)
    for mine, its in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(mine, its)


def test_refusals():
    with pytest.raises(ValueError, match="hidden layer") as caught:
        Muon(nn.Linear(3, 2).parameters())
    sentence(caught.value, "matrix")
    with pytest.raises(ValueError, match="closure") as caught:
        Muon(network().parameters()).step(lambda: 0)
    sentence(caught.value, "backward()")
