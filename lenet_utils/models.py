"""The networks, each layer under the name that its paper gives it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from lenet_utils.arguments import check_count, checked, shown
from lenet_utils.checks import check_images, choose

ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU, "sigmoid": nn.Sigmoid}
POOLINGS: dict[str, Callable[[int], nn.Module]] = {
    "average": nn.AvgPool2d,
    "max": nn.MaxPool2d,
    "none": lambda stride: nn.AvgPool2d(1, stride),  # takes every second unit of every second row
}


@checked
def seeded(make_model: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Build a network with initial weights drawn from ``seed``, leaving torch's global generator as it was.

    Parameters
    ----------
    make_model : callable
        Takes nothing and returns a network: a class such as :class:`LeNet5`, or a lambda.
    seed : int

    Examples
    --------
    >>> bool((seeded(LeNet5, 0).c1.weight == seeded(LeNet5, 0).c1.weight).all())
    True
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # and no other device's
        model = make_model()
    if not isinstance(model, nn.Module):
        raise TypeError(f"make_model must return a network; it returned {shown(model)}.")
    return model


class LeNet5(nn.Module):
    """LeNet-5 as most of today's code writes it: 61,706 trainable parameters.

    It keeps the seven layers of LeNet-5 (LeCun et al. 1998, section II-B) and simplifies three of them: every S2 map
    feeds every C3 map, the S layers are plain pooling without parameters, and the output is linear.

    Parameters
    ----------
    activation : {"tanh", "relu", "sigmoid"}
        The squashing function after C1, C3, C5 and F6.
    pooling : {"average", "max", "none"}
        What S2 and S4 do with each 2×2 neighbourhood; ``"none"`` passes on one unit of the four.
    num_classes : int

    Examples
    --------
    >>> model = LeNet5()
    >>> sum(p.numel() for p in model.parameters())
    61706
    >>> tuple(model(torch.zeros(2, 1, 32, 32)).shape)
    (2, 10)
    """

    input_shape = (1, 32, 32)
    channels_last = True

    @checked
    def __init__(self, activation: str = "tanh", pooling: str = "average", num_classes: int = 10) -> None:
        super().__init__()
        check_count("num_classes", num_classes)
        pool = choose("pooling", pooling, POOLINGS)
        self.c1 = nn.Conv2d(1, 6, kernel_size=5)
        self.s2 = pool(2)
        self.c3 = nn.Conv2d(6, 16, kernel_size=5)
        self.s4 = pool(2)
        self.c5 = nn.Conv2d(16, 120, kernel_size=5)
        self.f6 = nn.Linear(120, 84)
        self.output = nn.Linear(84, num_classes)
        self.activation = choose("activation", activation, ACTIVATIONS)()

    def forward(self, images: Tensor) -> Tensor:
        """Logits of shape (N, num_classes) for images of shape (N, 1, 32, 32), float."""
        check_images(images, *self.input_shape[:2], self)
        f = self.activation
        x = self.s2(f(self.c1(images)))  # (N, 6, 14, 14)
        x = self.s4(f(self.c3(x)))  # (N, 16, 5, 5)
        x = f(self.c5(x)).flatten(1)  # (N, 120)
        x = f(self.f6(x))  # (N, 84)
        return self.output(x)  # (N, 10)


class MLP(nn.Module):
    """A network without convolution, for comparison: fully connected layers with a squashing function between them.

    Parameters
    ----------
    hidden : sequence of int
        Units in each hidden layer; (300, 100) is one of those in Fig. 9 of LeCun et al. (1998).
    activation : {"tanh", "relu", "sigmoid"}
    input_size : int
        Height and width of the images it reads.
    num_classes : int
    """

    @checked
    def __init__(
        self,
        hidden: tuple[int, ...] = (300, 100),
        activation: str = "tanh",
        input_size: int = 28,
        num_classes: int = 10,
    ) -> None:
        super().__init__()
        check_count("input_size", input_size, most=1_000)
        check_count("num_classes", num_classes)
        for units in hidden:
            check_count("hidden", units)
        self.input_shape = (1, input_size, input_size)
        make_activation = choose("activation", activation, ACTIVATIONS)
        widths = [input_size**2, *hidden]
        layers: list[nn.Module] = [nn.Flatten()]
        for inputs, outputs in pairwise(widths):
            layers += [nn.Linear(inputs, outputs), make_activation()]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], num_classes))

    def forward(self, images: Tensor) -> Tensor:
        """Logits of shape (N, num_classes) for images of shape (N, 1, input_size, input_size), float."""
        check_images(images, *self.input_shape[:2], self)
        return self.layers(images)
