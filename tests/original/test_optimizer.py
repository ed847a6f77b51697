"""Gradients against finite differences, second derivatives against exact ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import sentence
from torch import nn
from torch.autograd.functional import hessian, jacobian
from torch.func import functional_call

from lenet_utils.original.layers import RBFOutput, ScaledTanh, SparseConv2d, Subsampling
from lenet_utils.original.losses import LOSSES, PENALTY_LOSSES, loss_function
from lenet_utils.original.network import LeNet5Original
from lenet_utils.original.optimizer import StochasticDiagonalLM, curvatures, paper_eta
from lenet_utils.preprocessing import prepare


class Small(nn.Module):
    """A machine like LeNet-5, small enough for exact derivatives: 8×8 pixels, a dense pair of layers at the end."""

    def __init__(self, reading: str = "average") -> None:
        super().__init__()
        self.c1 = nn.Conv2d(1, 2, kernel_size=3)
        self.s2 = Subsampling(2, reading)
        self.c3 = SparseConv2d(torch.tensor([[True, False, True], [False, True, True]]), kernel_size=2)
        self.f5 = nn.Linear(12, 5)
        self.f6 = nn.Linear(5, 4)
        self.output = RBFOutput(torch.tensor([[1.0, -1, 1, 1], [-1, -1, 1, -1], [1, 1, -1, 1]]))
        self.activation = ScaledTanh()

    def stages(self) -> list[nn.Module]:
        f = self.activation
        return [self.c1, f, self.s2, self.c3, f, nn.Flatten(), self.f5, f, self.f6, f]

    def features(self, images: torch.Tensor) -> torch.Tensor:
        for stage in self.stages():
            images = stage(images)
        return images

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.output(self.features(images))


def small(reading: str = "average") -> tuple[Small, torch.Tensor, torch.Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = Small(reading).double()
        with torch.no_grad():
            model.s2.coefficient.uniform_(0.5, 1.5)
            model.s2.bias.uniform_(-0.5, 0.5)
        return model, torch.randn(6, 1, 8, 8, dtype=torch.float64), torch.tensor([0, 1, 2, 0, 1, 1])


def exact_diagonal(model: Small, images: torch.Tensor, labels: torch.Tensor, loss: str, name: str) -> torch.Tensor:
    """The Gauss-Newton diagonal with nothing left out: diag(Jᵀ H J), with H of the features, mean over patterns."""
    parameters = {key: value.detach() for key, value in model.named_parameters()}
    total = torch.zeros_like(parameters[name])
    for image, label in zip(images, labels, strict=True):

        def features(value, image=image):
            changed = parameters | {name: value}
            return functional_call(_Features(model), {f"model.{k}": v for k, v in changed.items()}, image[None])[0]

        def of_features(x, label=label):
            return loss_function(loss)(model.output(x[None]), label[None])

        slopes = jacobian(features, parameters[name]).flatten(1)
        curved = hessian(of_features, features(parameters[name]))
        total += torch.einsum("fk,fg,gk->k", slopes, curved, slopes).view_as(total)
    return total / len(images)


class _Features(nn.Module):
    def __init__(self, model: Small) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.model.features(images)


# --- the paper's recursion ---


@pytest.mark.parametrize("loss", PENALTY_LOSSES)
def test_the_outputs_second_derivatives_are_exact(loss):
    model, images, labels = small()
    with torch.no_grad():
        features = model.features(images)
    found = LOSSES[loss].curvature(features, model.output.prototypes, 0.1)
    for x, label, row in zip(features, labels, found, strict=True):
        exact = hessian(lambda v, label=label: loss_function(loss)(model.output(v[None]), label[None]), x)
        torch.testing.assert_close(row, exact.diagonal())
    assert (found >= 0).all()


@pytest.mark.parametrize("loss", PENALTY_LOSSES)
@pytest.mark.parametrize("name", ["f6.weight", "f6.bias"])
def test_the_last_layers_diagonal_is_exact(loss, name):
    model, images, labels = small()
    found = curvatures(model, images, loss)[name]
    torch.testing.assert_close(found, exact_diagonal(model, images, labels, loss, name))


@pytest.mark.parametrize("name", ["f5.weight", "f5.bias"])
def test_one_layer_further_down_it_is_exact_for_equation_8_only(name):
    """There the Hessian of the features is 2·I; equation (9) has products of features, which the recursion drops."""
    model, images, labels = small()
    found = {loss: curvatures(model, images, loss)[name] for loss in PENALTY_LOSSES}
    exact = {loss: exact_diagonal(model, images, labels, loss, name) for loss in PENALTY_LOSSES}
    torch.testing.assert_close(found["mse"], exact["mse"])
    assert not torch.allclose(found["map"], exact["map"], rtol=0.01)


@pytest.mark.parametrize("name", ["c1.weight", "c1.bias", "s2.coefficient", "c3.weight"])
def test_shared_weights_are_approximated(name):
    """Below, products of two units and of two places that share a weight are dropped: near the exact, not equal."""
    model, images, labels = small()
    found = curvatures(model, images, "mse")[name]
    exact = exact_diagonal(model, images, labels, "mse", name)
    assert not torch.allclose(found, exact, rtol=0.01)
    assert 0.05 < float(found.sum() / exact.sum()) < 20


def naive_curvatures(model: Small, image: torch.Tensor, label: torch.Tensor, loss: str) -> dict[str, np.ndarray]:
    """Appendix C for one pattern, connection by connection, in plain loops."""
    outputs = [image[None]]
    with torch.no_grad():
        for stage in model.stages():
            outputs.append(stage(outputs[-1]))
    value = {name: p.detach().numpy() for name, p in model.named_parameters()}
    pixels, _, c1, s2, _, c3, flat, _, f5, _, f6 = (x[0].numpy() for x in outputs)
    found = {name: np.zeros_like(array) for name, array in value.items()}

    def slope(f):
        return 1.7159 * 2 / 3 * (1 - (f / 1.7159) ** 2)

    h = LOSSES[loss].curvature(outputs[-1], model.output.prototypes, 0.1)[0].numpy()
    for name, inputs, out in (("f6", f5, f6), ("f5", flat, f5)):
        h, below = h * slope(out) ** 2, np.zeros(len(inputs))
        for i, j in np.ndindex(len(out), len(inputs)):
            found[f"{name}.weight"][i, j] += h[i] * inputs[j] ** 2
            below[j] += value[f"{name}.weight"][i, j] ** 2 * h[i]
        found[f"{name}.bias"] += h
        h = below
    h, below = h.reshape(c3.shape) * slope(c3) ** 2, np.zeros_like(s2)
    links = list(zip(model.c3.inputs_of_link.tolist(), model.c3.outputs_of_link.tolist(), strict=True))
    for (link, (source, target)), i, j in ((k, i, j) for k in enumerate(links) for i, j in np.ndindex(2, 2)):
        for p, q in np.ndindex(2, 2):
            found["c3.weight"][link, p, q] += h[target, i, j] * s2[source, i + p, j + q] ** 2
            below[source, i + p, j + q] += value["c3.weight"][link, p, q] ** 2 * h[target, i, j]
    found["c3.bias"] += h.sum((1, 2))
    h, below = below * slope(s2) ** 2, np.zeros_like(c1)
    share = model.s2.input_weight
    for c, i, j in np.ndindex(s2.shape):
        four = (c, slice(2 * i, 2 * i + 2), slice(2 * j, 2 * j + 2))
        found["s2.coefficient"][c] += h[c, i, j] * (c1[four].sum() * share) ** 2
        found["s2.bias"][c] += h[c, i, j]
        below[four] = (value["s2.coefficient"][c] * share) ** 2 * h[c, i, j]
    h = below * slope(c1) ** 2
    for c, i, j, p, q in np.ndindex(*c1.shape, 3, 3):
        found["c1.weight"][c, 0, p, q] += h[c, i, j] * pixels[0, i + p, j + q] ** 2
    found["c1.bias"] += h.sum((1, 2))
    return found


@pytest.mark.parametrize("loss", PENALTY_LOSSES)
@pytest.mark.parametrize("reading", ["average", "sum"])
def test_the_recursion_against_plain_loops(loss, reading):
    model, images, labels = small(reading)
    found = curvatures(model, images, loss)
    naive = [naive_curvatures(model, *pair, loss) for pair in zip(images, labels, strict=True)]
    assert set(found) == {name for name, _ in model.named_parameters()}
    for name, value in found.items():
        np.testing.assert_allclose(value.numpy(), np.mean([one[name] for one in naive], 0), rtol=1e-10, err_msg=name)


# --- gradients ---


@pytest.mark.parametrize("loss", PENALTY_LOSSES)
@pytest.mark.parametrize("reading", ["average", "sum"])
def test_gradients_of_the_whole_machine_against_finite_differences(loss, reading, digits):
    model = LeNet5Original(reading=reading, generator=torch.Generator().manual_seed(0)).double()
    image, label = prepare(digits.train_images[:1], scaling="paper").double(), digits.train_labels[:1]
    loss_function(loss)(model(image), label).backward()
    step = 1e-6
    for name, parameter in model.named_parameters():
        flat, gradient = parameter.data.view(-1), parameter.grad.view(-1)
        for k in (0, len(flat) // 2, int(gradient.abs().argmax())):
            values = []
            for sign in (1, -1):
                flat[k] += sign * step
                values.append(loss_function(loss)(model(image), label).item())
                flat[k] -= sign * step
            assert (values[0] - values[1]) / (2 * step) == pytest.approx(gradient[k].item(), rel=1e-4, abs=1e-6), name


def test_unknown_layers_have_no_curvature(digits):
    model = LeNet5Original()
    c1, _, *others = model.stages()
    model.stages = lambda: [c1, nn.Tanh(), *others]
    with pytest.raises(ValueError, match="Second derivatives") as caught:
        curvatures(model, prepare(digits.train_images[:2], scaling="paper"))
    sentence(caught.value, "Tanh")


# --- the optimiser ---


def test_eta_follows_the_papers_schedule():
    expected = [5e-4] * 2 + [2e-4] * 3 + [1e-4] * 3 + [5e-5] * 4 + [1e-5] * 8
    assert [paper_eta(number) for number in range(1, 21)] == expected
    with pytest.raises(ValueError, match="from 1"):
        paper_eta(0)


def test_a_step_goes_against_the_gradient_by_eta_over_mu_plus_h():
    model, images, labels = small()
    optimizer = StochasticDiagonalLM(model, eta=0.01, mu=0.5, loss="mse")
    optimizer.estimate(images)
    found = curvatures(model, images, "mse")
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    loss = optimizer.step(lambda: _backward(model, images, labels))
    assert loss > 0
    for name, p in model.named_parameters():
        torch.testing.assert_close(p.detach(), before[name] - 0.01 / (0.5 + found[name]) * p.grad)


def _backward(model, images, labels):
    loss = loss_function("mse")(model(images), labels)
    loss.backward()
    return loss.detach()


def test_the_optimiser_refuses():
    model, _, _ = small()
    with pytest.raises(RuntimeError, match="estimate"):
        next(iter(StochasticDiagonalLM(model).rates()))
    with pytest.raises(ValueError, match="positive"):
        StochasticDiagonalLM(model, mu=0)
    with pytest.raises(ValueError, match="'hinge'"):
        StochasticDiagonalLM(model, loss="hinge")  # at once, not at the first estimate
    with pytest.raises(ValueError, match="judges logits") as caught:
        StochasticDiagonalLM(model, loss="cross-entropy")
    sentence(caught.value, "'cross-entropy'", "RBFOutput")


def test_first_rates_lie_in_the_papers_range(digits):
    """The paper reports 7e-5 to 0.016 in the first pass; biases of the S layers, shared by a whole map, lie below."""
    model = LeNet5Original(generator=torch.Generator().manual_seed(0))
    images = prepare(digits.train_images[:500], scaling="paper")
    found = curvatures(model, images)
    rates = {name: 5e-4 / (0.02 + h) for name, h in found.items()}
    of_weights = torch.cat([rate.flatten() for name, rate in rates.items() if name.endswith("weight")])
    assert float(of_weights.min()) > 5e-5
    assert float(of_weights.max()) < 0.025  # the bound, η/μ
    assert all(float(rate.min()) > 5e-6 for rate in rates.values())
