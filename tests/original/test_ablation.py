"""The bridge from 60,000 to 61,706 parameters: one choice at a time, counted, and learning."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional

from lenet_utils.data import load
from lenet_utils.models import LeNet5
from lenet_utils.original.ablation import (
    CHOICES,
    AblationConfig,
    AblationNet,
    Design,
    ablation_steps,
    eta_of_pass,
    learn,
    measure,
)
from lenet_utils.original.network import LeNet5Original
from lenet_utils.original.optimizer import StochasticDiagonalLM, curvatures
from lenet_utils.run_store import Experiment, Run, open_run

STEPS = list(ablation_steps().items())
INPUTS = torch.rand(6, 1, 32, 32, generator=torch.Generator().manual_seed(0)) * 1.275 - 0.1
LABELS = torch.tensor([0, 1, 2, 3, 8, 9])


def seeded_net(design: Design | None = None, seed: int = 0) -> AblationNet:
    return AblationNet(design, torch.Generator().manual_seed(seed))


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_counts_from_60000_to_61706():
    dense_c3 = 16 * (6 * 25 + 1) - (60 * 25 + 16)  # the table leaves 36 kernels out
    of_subsampling, of_output = 2 * (6 + 16), 10 * (84 + 1)
    changes = [0, dense_c3, -of_subsampling, 0, of_output, 0]
    wanted = [60_000 + sum(changes[: i + 1]) for i in range(6)]
    assert [count(seeded_net(design)) for _, design in STEPS] == wanted
    assert (wanted[0], wanted[-1]) == (60_000, 61_706)


def test_neighbours_differ_in_exactly_one_choice():
    for (_, before), (_, after) in pairwise(STEPS):
        a, b = asdict(before), asdict(after)
        assert sum(a[name] != b[name] for name in CHOICES) == 1
    assert STEPS[0][1] == Design()
    assert asdict(STEPS[-1][1]) == {name: today for name, (_, today) in CHOICES.items()}


@pytest.mark.parametrize("name", CHOICES)
def test_unknown_choice_is_one_sentence(name):
    with pytest.raises(ValueError, match=rf"^Unknown {name} 'magic': choose one of .*\.$"):
        Design(**{name: "magic"})


def test_images_in_another_range_are_refused():
    with pytest.raises(ValueError, match=r"^Expected pixels from -0.1 .* to 1.175"):
        seeded_net()(torch.ones(2, 1, 32, 32) * 2)


def test_first_design_is_the_published_network():
    model, original = seeded_net(seed=3), LeNet5Original(generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(model(INPUTS), original(INPUTS))


def test_last_design_is_the_modern_network():
    model, modern = seeded_net(STEPS[-1][1]), LeNet5("relu")
    modern.load_state_dict(model.state_dict())
    torch.testing.assert_close(model(INPUTS), modern(INPUTS))


@pytest.mark.parametrize(("name", "design"), STEPS)
def test_every_part_of_every_design_learns(name, design):
    model = seeded_net(design)
    model.loss(model(INPUTS), LABELS).backward()
    dead = [n for n, parameter in model.named_parameters() if not parameter.grad.abs().sum() > 0]
    assert dead == [], name


@pytest.mark.parametrize("design", [design for _, design in STEPS if design.optimizer == "sdlm"])
def test_second_derivatives_of_the_last_biases_are_exact(design):
    """Between F6's sum and the loss only the squashing's f'' and other units are left out; at logits, other units."""
    model = seeded_net(design).double()
    images = INPUTS.double()
    found = curvatures(model, images, model.loss_name)
    assert sorted(found) == sorted(name for name, _ in model.named_parameters())
    assert all((h >= 0).all() for h in found.values())
    if design.output == "linear":
        with torch.no_grad():
            features = images
            for stage in model.stages():
                features = stage(features)

        def of_bias(bias):
            return functional.cross_entropy(functional.linear(features, model.output.weight, bias), LABELS)

        exact = torch.autograd.functional.hessian(of_bias, model.output.bias.detach()).diagonal()
        torch.testing.assert_close(found["output.bias"], exact)


def test_second_derivatives_through_relu_and_average_agree_with_gradients():
    """For one unit at the end and one path to each weight, Gauss-Newton is (∂z/∂w)² times the output's curvature."""
    model = nn.Module()
    torch.manual_seed(0)
    conv, head = nn.Conv2d(1, 1, 1), nn.Linear(1, 2)
    model.conv, model.head = conv, head
    model.stages = lambda: [conv, relu, pool, flat]
    relu, pool, flat, model.output = nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), head
    with torch.no_grad():
        conv.weight.fill_(0.7), conv.bias.fill_(0.1)
    images = torch.tensor([[[[1.0, -2.0], [0.0, 0.0]]]])  # one of four units is squashed to 0
    found = curvatures(model, images, "cross-entropy")
    z = head(flat(pool(relu(conv(images)))))
    p = z.softmax(1)
    h_pooled = (head.weight.square() * (p * (1 - p)).T).sum()
    passed = (conv(images) > 0).flatten()
    by_hand = (h_pooled / 16 * images.flatten().square() * passed).sum()
    torch.testing.assert_close(found["conv.weight"].squeeze(), by_hand.detach())


def test_unknown_loss_of_logits_is_one_sentence():
    with pytest.raises(ValueError, match=r"^The loss 'map' judges penalties of prototypes, and .* output is Linear\.$"):
        curvatures(seeded_net(STEPS[-1][1]), INPUTS, "map")


def test_rates_follow_the_papers_schedule():
    config = AblationConfig(num_passes=5, eta_factor=2)
    assert [eta_of_pass(n, config) for n in range(1, 6)] == [1e-3, 4e-4, 2e-4, 1e-4, 2e-5]
    assert eta_of_pass(1, AblationConfig(num_passes=1, eta_factor=1)) == 5e-4


@pytest.mark.parametrize("step", [0, 4, 5])
def test_a_pass_learns(step):
    dataset = load("digits").subset(600)
    model = seeded_net(STEPS[step][1])
    config = AblationConfig(num_passes=2, dataset="digits")
    rows = list(learn(model, dataset, config, seed=0))
    assert [row["pass"] for row in rows] == [1, 2]
    assert rows[-1]["test_error"] < 60


def test_measure_stores_one_row_for_each_design_and_goes_on(tmp_path, monkeypatch):
    monkeypatch.setenv("LENET_RESULTS_DIR", str(tmp_path / "results"))
    monkeypatch.setenv("LENET_CACHE_DIR", str(tmp_path))
    config = AblationConfig(num_passes=1, batch_size=400, dataset="digits")
    experiment = Experiment("ablation", "", partial(measure, config=config), asdict(config))
    measure(Run("ablation", 0, asdict(config), last=2), config)
    run = open_run(experiment, 0)
    assert len(run.passes) == 2
    assert not run.complete
    measure(run, config)
    assert run.complete
    assert [row["parameters"] for row in run.passes] == [count(seeded_net(design)) for _, design in STEPS]


def test_optimizer_of_the_paper_takes_logits_too():
    model = seeded_net(STEPS[4][1])
    optimizer = StochasticDiagonalLM(model, 5e-4, loss="cross-entropy")
    optimizer.estimate(INPUTS)
    before = model.loss(model(INPUTS), LABELS).item()
    for _ in range(3):
        optimizer.zero_grad()
        model.loss(model(INPUTS), LABELS).backward()
        optimizer.step()
    assert model.loss(model(INPUTS), LABELS).item() < before
