"""The fast step against the plain one: autograd with StochasticDiagonalLM, pattern by pattern."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from conftest import ROOT, sentence

from lenet_utils.original import fast_step, layers
from lenet_utils.original.fast_step import FastLeNet5
from lenet_utils.original.losses import PENALTY_LOSSES, loss_function
from lenet_utils.original.network import LeNet5Original
from lenet_utils.original.optimizer import StochasticDiagonalLM, curvatures
from lenet_utils.preprocessing import prepare


def network(reading: str = "average", dtype: torch.dtype = torch.float32) -> LeNet5Original:
    return LeNet5Original(reading=reading, generator=torch.Generator().manual_seed(0)).to(dtype)


def distance(one: LeNet5Original, other: LeNet5Original) -> float:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max(float((p - q).detach().abs().max()) for p, q in pairs)


def learn_both(images, labels, loss="map", reading="average", mu=0.1):
    """The same patterns learned by autograd and by the fast step: both networks, then what each counted."""
    plain, fast = network(reading, images.dtype), network(reading, images.dtype)
    optimizer = StochasticDiagonalLM(plain, mu=mu, loss=loss)
    optimizer.estimate(images[:60])
    wrong, total = 0, 0.0
    for image, label in zip(images.split(1), labels.split(1), strict=True):
        penalties = plain(image)
        value = loss_function(loss)(penalties, label)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        wrong, total = wrong + int(penalties.argmin() != label), total + value.item()
    steps = FastLeNet5(fast, loss)
    steps.set_rates(curvatures(fast, images[:60], loss), 5e-4, mu)
    return plain, fast, (wrong, total), steps.learn(images, labels)


@pytest.mark.parametrize("loss", PENALTY_LOSSES)
@pytest.mark.parametrize("reading", ["average", "sum"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-14), (torch.float32, 2e-6)])
def test_the_fast_step_is_the_plain_step(loss, reading, dtype, tolerance, digits):
    images, labels = prepare(digits.train_images[:100], scaling="paper").to(dtype), digits.train_labels[:100]
    plain, fast, counted, counted_fast = learn_both(images, labels, loss, reading)
    assert distance(plain, network(reading, dtype)) > 1e-2  # something was learned
    assert distance(plain, fast) < tolerance
    assert counted_fast == (counted[0], pytest.approx(counted[1], rel=1e-5))


@pytest.mark.slow
def test_two_thousand_steps_agree_to_rounding(mnist):
    images, labels = prepare(mnist.train_images[:2_000], scaling="paper").double(), mnist.train_labels[:2_000]
    plain, fast, counted, counted_fast = learn_both(images, labels)
    assert distance(plain, fast) < 1e-12
    assert counted_fast == (counted[0], pytest.approx(counted[1], rel=1e-12))


def test_it_squashes_as_the_layers_do():
    """Numba's cache knows this one file; other constants elsewhere must not go unseen."""
    assert (fast_step.AMPLITUDE, fast_step.SLOPE) == (layers.AMPLITUDE, layers.SLOPE)


def test_it_trains_the_models_own_parameters(digits):
    model = network()
    model.c5.weight.data = model.c5.weight.data.to(memory_format=torch.channels_last)
    steps, before = FastLeNet5(model), {name: p.detach().clone() for name, p in model.named_parameters()}
    images, labels = prepare(digits.train_images[:5], scaling="paper"), digits.train_labels[:5]
    assert steps.learn(images, labels)[0] <= 5
    assert distance(model, network()) == 0  # no rates yet
    steps.set_rates(curvatures(model, images), 5e-4, 0.1)
    steps.learn(images, labels)
    assert [name for name, p in model.named_parameters() if torch.equal(p, before[name])] == []


def test_what_is_no_number_stays_none(digits):
    """The compiler may reorder sums, but not assume that there is no NaN."""
    model = network()
    with torch.no_grad():
        model.f6.weight[3, 4] = torch.nan
    images, labels = prepare(digits.train_images[:3], scaling="paper"), digits.train_labels[:3]
    steps = FastLeNet5(model)
    steps.set_rates({name: torch.ones_like(p) for name, p in model.named_parameters()}, 1e-3, 1.0)
    _, loss = steps.learn(images, labels)
    assert loss != loss


def test_it_refuses_what_does_not_fit():
    steps = FastLeNet5(LeNet5Original())
    with pytest.raises(ValueError, match="one label") as caught:
        steps.learn(torch.zeros(2, 1, 28, 28), torch.zeros(2).long())
    sentence(caught.value, "(N, 1, 32, 32)", "(2, 1, 28, 28)")
    for label in (-1, 10):
        with pytest.raises(ValueError, match="labels") as caught:
            steps.learn(torch.zeros(1, 1, 32, 32), torch.tensor([label]))
        sentence(caught.value, "0 to 9", str(label))
    with pytest.raises(TypeError, match="whole numbers") as caught:  # 0.9 would be taken for 0
        steps.learn(torch.zeros(1, 1, 32, 32), torch.tensor([0.9]))
    sentence(caught.value, "torch.float32")
    with pytest.raises(ValueError, match="not finite") as caught:
        steps.learn(torch.full((1, 1, 32, 32), torch.nan), torch.tensor([1]))
    sentence(caught.value, "1,024 pixels")
    with pytest.raises(ValueError, match="second derivative for each weight"):
        steps.set_rates({"c1.weight": torch.ones(6, 1, 5, 5)}, 1e-3, 0.1)


@pytest.mark.parametrize("j", [0.0, -1.0, 800.0])
def test_a_rubbish_class_that_cannot_compete_is_refused(j):
    with pytest.raises(ValueError, match="j must") as caught:
        FastLeNet5(LeNet5Original(), j=j)
    sentence(caught.value, str(j))


@pytest.mark.parametrize("loss", ["hinge", "cross-entropy"])
def test_it_knows_no_other_loss(loss):
    with pytest.raises(ValueError, match="loss") as caught:
        FastLeNet5(LeNet5Original(), loss)
    sentence(caught.value, repr(loss), "'mse'", "'map'")


def test_a_network_elsewhere_is_refused():
    with pytest.raises(ValueError, match=r"model\.cpu\(\)"):
        FastLeNet5(LeNet5Original().to("meta"))


SCRIPT = """
import sys, torch
from lenet_utils.original import fast_step
from lenet_utils.original.network import LeNet5Original
fast_step.is_watched, fast_step.PATIENCE = lambda: True, float(sys.argv[1])
fast_step.FastLeNet5(LeNet5Original()).learn(torch.zeros(1, 1, 32, 32), torch.zeros(1, dtype=torch.int64))
"""


@pytest.mark.slow
def test_the_first_call_on_a_machine_says_that_it_compiles(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(tmp_path)}
    notice = "Compiling LeNet-5's step: some ten seconds, once on this machine.\n"
    for patience, expected in (("0.5", notice), ("30", "")):  # what is kept is read in less, however busy the machine
        call = [sys.executable, "-c", SCRIPT, patience]
        done = subprocess.run(call, env=environment, capture_output=True, encoding="utf8")
        assert (done.returncode, done.stderr) == (0, expected)
