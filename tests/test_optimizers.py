"""Gradients against finite differences, second derivatives against exact ones, the lean step against the plain one."""

from __future__ import annotations

import shutil
import sys

import numpy as np
import pytest
import torch
from conftest import sentence
from torch import nn
from torch.autograd.functional import hessian, jacobian
from torch.func import functional_call

from lenet_utils.compiled import CompiledLeNet5, compiled, engine, fastest
from lenet_utils.inputs import prepare
from lenet_utils.layers import RBFOutput, ScaledTanh, SparseConv2d, Subsampling
from lenet_utils.lean import LeanLeNet5, by_parity
from lenet_utils.losses import LOSSES, penalty_loss
from lenet_utils.models import LeNet5Original
from lenet_utils.optimizers import StochasticDiagonalLM, curvatures, output_curvature, paper_eta


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
            return penalty_loss(loss)(model.output(x[None]), label[None])

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


@pytest.mark.parametrize("loss", LOSSES)
def test_the_outputs_second_derivatives_are_exact(loss):
    model, images, labels = small()
    with torch.no_grad():
        features = model.features(images)
    found = output_curvature(features, model.output.prototypes, labels, loss)
    for x, label, row in zip(features, labels, found, strict=True):
        exact = hessian(lambda v, label=label: penalty_loss(loss)(model.output(v[None]), label[None]), x)
        torch.testing.assert_close(row, exact.diagonal())
    assert (found >= 0).all()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", ["f6.weight", "f6.bias"])
def test_the_last_layers_diagonal_is_exact(loss, name):
    model, images, labels = small()
    found = curvatures(model, images, labels, loss)[name]
    torch.testing.assert_close(found, exact_diagonal(model, images, labels, loss, name))


@pytest.mark.parametrize("name", ["f5.weight", "f5.bias"])
def test_one_layer_further_down_it_is_exact_for_equation_8_only(name):
    """There the Hessian of the features is 2·I; equation (9) has products of features, which the recursion drops."""
    model, images, labels = small()
    found = {loss: curvatures(model, images, labels, loss)[name] for loss in LOSSES}
    exact = {loss: exact_diagonal(model, images, labels, loss, name) for loss in LOSSES}
    torch.testing.assert_close(found["mse"], exact["mse"])
    assert not torch.allclose(found["map"], exact["map"], rtol=0.01)


@pytest.mark.parametrize("name", ["c1.weight", "c1.bias", "s2.coefficient", "c3.weight"])
def test_shared_weights_are_approximated(name):
    """Below, products of two units and of two places that share a weight are dropped: near the exact, not equal."""
    model, images, labels = small()
    found = curvatures(model, images, labels, "mse")[name]
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

    h = output_curvature(outputs[-1], model.output.prototypes, label[None], loss)[0].numpy()
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


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("reading", ["average", "sum"])
def test_the_recursion_against_plain_loops(loss, reading):
    model, images, labels = small(reading)
    found = curvatures(model, images, labels, loss)
    naive = [naive_curvatures(model, *pair, loss) for pair in zip(images, labels, strict=True)]
    assert set(found) == {name for name, _ in model.named_parameters()}
    for name, value in found.items():
        np.testing.assert_allclose(value.numpy(), np.mean([one[name] for one in naive], 0), rtol=1e-10, err_msg=name)


# --- gradients ---


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("reading", ["average", "sum"])
def test_gradients_of_the_whole_machine_against_finite_differences(loss, reading, digits):
    model = LeNet5Original(reading=reading, generator=torch.Generator().manual_seed(0)).double()
    image, label = prepare(digits.train_images[:1], scaling="paper").double(), digits.train_labels[:1]
    penalty_loss(loss)(model(image), label).backward()
    step = 1e-6
    for name, parameter in model.named_parameters():
        flat, gradient = parameter.data.view(-1), parameter.grad.view(-1)
        for k in (0, len(flat) // 2, int(gradient.abs().argmax())):
            values = []
            for sign in (1, -1):
                flat[k] += sign * step
                values.append(penalty_loss(loss)(model(image), label).item())
                flat[k] -= sign * step
            assert (values[0] - values[1]) / (2 * step) == pytest.approx(gradient[k].item(), rel=1e-4, abs=1e-6), name


# --- the lean step ---


def pair(loss: str, reading: str, dtype: torch.dtype) -> tuple[LeNet5Original, LeanLeNet5, StochasticDiagonalLM]:
    model = LeNet5Original(reading=reading, generator=torch.Generator().manual_seed(0)).to(dtype)
    lean = LeanLeNet5(model, loss, dtype=np.float64 if dtype == torch.float64 else np.float32)
    return model, lean, StochasticDiagonalLM(model, loss=loss)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("reading", ["average", "sum"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-11), (torch.float32, 1e-4)])
def test_the_lean_step_is_the_plain_step(loss, reading, dtype, tolerance, digits):
    model, lean, optimizer = pair(loss, reading, dtype)
    images, labels = prepare(digits.train_images[:60], scaling="paper").to(dtype), digits.train_labels[:60]
    rows = by_parity(images, lean.dtype.type)
    optimizer.estimate(images, labels)
    found = {name: optimizer.state[p]["curvature"] for name, p in model.named_parameters()}
    lean.set_rates(found, 5e-4, 0.02, model)
    other = LeNet5Original().to(dtype)

    value, winner = lean.forward(rows[0], int(labels[0]))
    lean.backward()
    penalties = model(images[:1])
    plain = penalty_loss(loss)(penalties, labels[:1])
    plain.backward()
    assert value == pytest.approx(plain.item(), rel=tolerance)
    assert winner == int(penalties.argmin())
    lean.write_to(other, lean.gradients)
    for (name, parameter), of_lean in zip(model.named_parameters(), other.parameters(), strict=True):
        scale = parameter.grad.abs().max()
        torch.testing.assert_close(of_lean / scale, parameter.grad / scale, rtol=0, atol=tolerance, msg=name)

    lean.write_to(other, lean.rates)
    for (parameter, rate), of_lean in zip(optimizer.rates(), other.parameters(), strict=True):
        torch.testing.assert_close(of_lean, rate, rtol=1e-6, atol=0)
        assert parameter.shape == rate.shape

    for i in range(len(images)):
        lean.step(rows[i], int(labels[i]))
        optimizer.zero_grad()
        penalty_loss(loss)(model(images[i : i + 1]), labels[i : i + 1]).backward()
        optimizer.step()
    lean.write_to(other)
    for (name, parameter), of_lean in zip(model.named_parameters(), other.named_parameters(), strict=True):
        torch.testing.assert_close(of_lean[1], parameter, rtol=0, atol=10 * tolerance, msg=name)


def needs_a_compiler():
    if not any(map(shutil.which, ("cc", "gcc", "clang"))) or sys.platform == "win32":
        pytest.skip("this machine has no C compiler that is used")
    assert compiled() is not None


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("reading", ["average", "sum"])
def test_compiled_steps_are_the_lean_ones(loss, reading, digits):
    needs_a_compiler()
    model = LeNet5Original(reading=reading, generator=torch.Generator().manual_seed(0))
    images, labels = prepare(digits.train_images[:60], scaling="paper"), digits.train_labels[:60]
    of_numpy, of_c = LeanLeNet5(model, loss), CompiledLeNet5(model, loss)
    found = curvatures(model, images, labels, loss)
    for lean in (of_numpy, of_c):
        lean.set_rates({name: torch.ones_like(h) for name, h in found.items()}, 2.0, 1.0, model)  # all rates 1
        lean.learn(images[:1], labels[:1])
    before = LeanLeNet5(model).weights
    for name, old in before.items():  # one step at rate 1 moves by the gradient itself
        scale = float(np.abs(of_numpy.weights[name] - old).max())
        np.testing.assert_allclose(of_c.weights[name], of_numpy.weights[name], rtol=0, atol=1e-5 * scale, err_msg=name)
    results = []
    for lean in (of_numpy, of_c):
        lean.read_from(model)
        lean.set_rates(found, 5e-4, 0.02, model)
        results += [lean.learn(images, labels), lean.judge(images, labels)]
    np.testing.assert_allclose(of_c.theta, of_numpy.theta, rtol=0, atol=1e-5)
    assert [wrong for wrong, _ in results[:2]] == [wrong for wrong, _ in results[2:]]
    for (_, plain), (_, fast) in zip(results[:2], results[2:], strict=True):
        assert fast == pytest.approx(plain, rel=1e-5)


def test_without_a_compiler_numpy_does_it(monkeypatch):
    compiled.cache_clear()
    monkeypatch.setenv("LENET_COMPILE", "0")
    assert type(fastest(LeNet5Original())) is LeanLeNet5
    assert engine() == "NumPy"
    monkeypatch.delenv("LENET_COMPILE")
    monkeypatch.setenv("PATH", "")
    compiled.cache_clear()
    assert compiled() is None
    compiled.cache_clear()


def test_the_compiled_steps_refuse_what_does_not_fit():
    needs_a_compiler()
    with pytest.raises(ValueError, match="one label") as caught:
        CompiledLeNet5(LeNet5Original()).learn(torch.zeros(2, 1, 28, 28), torch.zeros(2))
    sentence(caught.value, "(N, 1, 32, 32)", "(2, 1, 28, 28)")
    for label in (-1, 10):
        with pytest.raises(ValueError, match="labels") as caught:
            CompiledLeNet5(LeNet5Original()).learn(torch.zeros(1, 1, 32, 32), torch.tensor([label]))
        sentence(caught.value, "0 to 9", str(label))


def test_without_a_compiler_the_compiled_class_says_so(monkeypatch):
    compiled.cache_clear()
    monkeypatch.setenv("LENET_COMPILE", "0")
    with pytest.raises(RuntimeError, match="compiler") as caught:
        CompiledLeNet5(LeNet5Original())
    sentence(caught.value, "fastest(model)", "LeanLeNet5")
    compiled.cache_clear()


def test_an_infinite_rubbish_penalty_is_refused():
    with pytest.raises(ValueError, match="j must lie") as caught:
        LeanLeNet5(LeNet5Original(), j=800)
    sentence(caught.value, "700", "800")


def test_unknown_layers_have_no_curvature(digits):
    model = LeNet5Original()
    c1, _, *others = model.stages()
    model.stages = lambda: [c1, nn.Tanh(), *others]
    with pytest.raises(ValueError, match="Second derivatives") as caught:
        curvatures(model, prepare(digits.train_images[:2], scaling="paper"), digits.train_labels[:2])
    sentence(caught.value, "Tanh")


def test_weights_survive_the_way_into_the_lean_step_and_back():
    model, other = (LeNet5Original(generator=torch.Generator().manual_seed(s)) for s in (0, 1))
    lean = LeanLeNet5(model)
    assert int((lean.theta == 0).sum()) >= 36 * 25  # the kernels that Table I leaves out
    assert len(lean.theta) == 60_000 + 36 * 25
    lean.write_to(other)
    assert all((p == q).all() for p, q in zip(model.parameters(), other.parameters(), strict=True))


def test_kernels_that_are_not_there_stay_so(digits):
    model, lean, _ = pair("map", "average", torch.float32)
    images, labels = prepare(digits.train_images[:30], scaling="paper"), digits.train_labels[:30]
    lean.set_rates(curvatures(model, images, labels), 5e-4, 0.02, model)
    for image, label in zip(by_parity(images), labels.tolist(), strict=True):
        lean.step(image, label)
    missing = ~(model.c3.dense_weight().detach().permute(2, 3, 1, 0).numpy() != 0)
    assert missing.sum() == 36 * 25
    assert (lean.weights["c3.weight"][missing] == 0).all()


def test_the_lean_step_knows_no_other_loss():
    with pytest.raises(ValueError, match="loss") as caught:
        LeanLeNet5(LeNet5Original(), "hinge")
    sentence(caught.value, "'hinge'", "'mse'", "'map'")


# --- the optimiser ---


def test_eta_follows_the_papers_schedule():
    expected = [5e-4] * 2 + [2e-4] * 3 + [1e-4] * 3 + [5e-5] * 4 + [1e-5] * 8
    assert [paper_eta(number) for number in range(1, 21)] == expected
    with pytest.raises(ValueError, match="from 1"):
        paper_eta(0)


def test_a_step_goes_against_the_gradient_by_eta_over_mu_plus_h():
    model, images, labels = small()
    optimizer = StochasticDiagonalLM(model, eta=0.01, mu=0.5, loss="mse")
    optimizer.estimate(images, labels)
    found = curvatures(model, images, labels, "mse")
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    loss = optimizer.step(lambda: _backward(model, images, labels))
    assert loss > 0
    for name, p in model.named_parameters():
        torch.testing.assert_close(p.detach(), before[name] - 0.01 / (0.5 + found[name]) * p.grad)


def _backward(model, images, labels):
    loss = penalty_loss("mse")(model(images), labels)
    loss.backward()
    return loss.detach()


def test_the_optimiser_refuses():
    model, images, labels = small()
    with pytest.raises(RuntimeError, match="estimate"):
        next(iter(StochasticDiagonalLM(model).rates()))
    with pytest.raises(ValueError, match="positive"):
        StochasticDiagonalLM(model, mu=0)
    with pytest.raises(ValueError, match="'hinge'"):
        StochasticDiagonalLM(model, loss="hinge").estimate(images, labels)


def test_first_rates_lie_in_the_papers_range(digits):
    """The paper reports 7e-5 to 0.016 in the first pass; biases of the S layers, shared by a whole map, lie below."""
    model = LeNet5Original(generator=torch.Generator().manual_seed(0))
    images = prepare(digits.train_images[:500], scaling="paper")
    found = curvatures(model, images, digits.train_labels[:500])
    rates = {name: 5e-4 / (0.02 + h) for name, h in found.items()}
    of_weights = torch.cat([rate.flatten() for name, rate in rates.items() if name.endswith("weight")])
    assert float(of_weights.min()) > 5e-5
    assert float(of_weights.max()) < 0.025  # the bound, η/μ
    assert all(float(rate.min()) > 5e-6 for rate in rates.values())
