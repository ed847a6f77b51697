"""The compiled step of the zip-code network computes what autograd and torch's optimisers compute."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import sentence
from torch.nn import functional

from lenet_utils.family.networks import ZipNet1989
from lenet_utils.family.zip_step import ZipSteps
from lenet_utils.models import seeded


def patterns(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(count, 16, 16, generator=generator, dtype=torch.float64) * 2 - 1
    return images, torch.randint(10, (count,), generator=generator)


@pytest.mark.parametrize(
    ("squash", "linear", "optimizer", "dropout"),
    [
        ("scaled", False, "sgd", 0.0),
        ("tanh", False, "sgd", 0.0),
        ("tanh", True, "sgd", 0.0),
        ("tanh", True, "adamw", 0.0),
        ("relu", True, "adamw", 0.25),
    ],
)
def test_a_step_is_that_of_autograd(squash, linear, optimizer, dropout):
    images, labels = patterns(40)
    model, other = (seeded(lambda: ZipNet1989(squash, 0.5, linear), 0).double() for _ in range(2))
    steps = ZipSteps(model, squash, optimizer, dropout)
    wrong, losses = steps.learn(images, labels, rate=0.01, seed=7)
    masks = torch.ones(40, 192, dtype=torch.float64)
    if dropout:
        masks = torch.from_numpy(np.random.default_rng(7).random((40, 192)) >= dropout) / (1 - dropout)
    make = {"sgd": torch.optim.SGD, "adamw": lambda p, lr: torch.optim.AdamW(p, lr, weight_decay=0.01)}[optimizer]
    rule = make(other.parameters(), lr=0.01)
    expected_wrong, expected_loss = 0, 0.0
    for image, label, mask in zip(images, labels, masks, strict=True):
        hidden = other.squash(other.h2(other.squash(other.h1(image[None, None])))).flatten(1) * mask
        outputs = other.output(other.squash(other.h3(hidden)))
        expected_wrong += int(outputs.argmax() != label)
        if linear:
            loss = told = functional.cross_entropy(outputs, label[None])
        else:
            error = other.squash(outputs) - (2 * functional.one_hot(label[None], 10) - 1)
            loss, told = error.square().sum() / 2, error.square().mean()
        rule.zero_grad()
        loss.backward()
        rule.step()
        expected_loss += told.item()
    assert wrong == expected_wrong
    assert losses == pytest.approx(expected_loss, rel=1e-7)
    assert steps.steps == 40
    for mine, theirs in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-7)


def test_what_does_not_fit_is_refused():
    model = ZipNet1989().double()
    with pytest.raises(ValueError, match="float64") as caught:
        ZipSteps(ZipNet1989())
    sentence(caught.value, "model.cpu().double()")
    for wrong in ({"squash": "step"}, {"optimizer": "newton"}, {"dropout": 1.0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            ZipSteps(model, **wrong)
    images, labels = patterns(3)
    with pytest.raises(ValueError, match="one label for each image"):
        ZipSteps(model).learn(images, labels[:2], 0.1)
    with pytest.raises(ValueError, match="labels from 0 to 9"):
        ZipSteps(model).learn(images, labels + 9, 0.1)
