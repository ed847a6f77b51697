"""The networks of the five published recipes (:mod:`lenet_utils.recipes.published`), as their authors describe them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lenet_utils.arguments import checked
from lenet_utils.checks import check_images, choose
from lenet_utils.models import ACTIVATIONS


@checked
def xavier_uniform(model: nn.Module, zero_biases: bool = False) -> nn.Module:
    """Draw the weights of every convolution and dense layer anew, after Glorot & Bengio (2010), and return ``model``.

    Weights are uniform in ±√(6 / (fan-in + fan-out)).

    Parameters
    ----------
    model : torch.nn.Module
        Changed in place.
    zero_biases : bool
        Set biases to zero; by default they stay as they are.
    """
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if zero_biases and layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return model


class TutorialLeNet5(nn.Module):
    """LeNet-5 as tutorials write it, with C5 as a dense layer on 400 flattened values: 61,706 trainable parameters.

    It computes what :class:`lenet_utils.models.LeNet5` computes: on maps of 5×5, a convolution with 5×5 kernels *is* a
    dense layer.

    Parameters
    ----------
    activation : {"relu", "sigmoid", "tanh"}
    input_size : {32, 28}
        28 lets C1 add the two pixels of margin on each side itself (``padding=2``).

    Examples
    --------
    >>> model = TutorialLeNet5("sigmoid", input_size=28)
    >>> sum(p.numel() for p in model.parameters())
    61706
    >>> tuple(model(torch.zeros(2, 1, 28, 28)).shape)
    (2, 10)
    """

    channels_last = True

    @checked
    def __init__(self, activation: str = "relu", input_size: int = 32) -> None:
        super().__init__()
        padding = choose("input size", input_size, {32: 0, 28: 2})
        make_activation = choose("activation", activation, ACTIVATIONS)
        self.input_shape = (1, input_size, input_size)
        self.c1 = nn.Conv2d(1, 6, kernel_size=5, padding=padding)
        self.a1 = make_activation()
        self.s2 = nn.AvgPool2d(2)
        self.c3 = nn.Conv2d(6, 16, kernel_size=5)
        self.a3 = make_activation()
        self.s4 = nn.AvgPool2d(2)
        self.flatten = nn.Flatten()
        self.c5 = nn.Linear(400, 120)
        self.a5 = make_activation()
        self.f6 = nn.Linear(120, 84)
        self.a6 = make_activation()
        self.output = nn.Linear(84, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of shape (N, 10) for images of shape (N, 1, input_size, input_size), float."""
        check_images(images, *self.input_shape[:2], self)
        x = self.s2(self.a1(self.c1(images)))  # (N, 6, 14, 14)
        x = self.s4(self.a3(self.c3(x)))  # (N, 16, 5, 5)
        x = self.flatten(x)  # (N, 400)
        x = self.a5(self.c5(x))  # (N, 120)
        x = self.a6(self.f6(x))  # (N, 84)
        return self.output(x)  # (N, 10)


class BatchNormLeNet(nn.Module):
    """Two strided convolutions with batch normalisation and a global average: 8,922 trainable parameters."""

    input_shape = (1, 28, 28)
    channels_last = True

    def __init__(self) -> None:
        super().__init__()
        self.c1 = nn.Conv2d(1, 16, kernel_size=4, stride=2)
        self.n1 = nn.BatchNorm2d(16)
        self.a1 = nn.ReLU()
        self.c2 = nn.Conv2d(16, 32, kernel_size=4, stride=2)
        self.n2 = nn.BatchNorm2d(32)
        self.a2 = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.output = nn.Linear(32, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of shape (N, 10) for images of shape (N, 1, 28, 28), float."""
        check_images(images, *self.input_shape[:2], self)
        x = self.a1(self.n1(self.c1(images)))  # (N, 16, 13, 13)
        x = self.a2(self.n2(self.c2(x)))  # (N, 32, 5, 5)
        x = self.pool(x).flatten(1)  # (N, 32)
        return self.output(x)  # (N, 10)


class FullLeNet1(nn.Module):
    """LeNet-1 with every first-layer map joined to every second-layer map: 3,246 trainable parameters.

    The historical network joins only some of them, and has trainable subsampling: 2,578 parameters.  Weights are
    Xavier-uniform, biases zero.
    """

    input_shape = (1, 28, 28)
    channels_last = True

    def __init__(self) -> None:
        super().__init__()
        self.c1 = nn.Conv2d(1, 4, kernel_size=5)
        self.a1 = nn.Tanh()
        self.s2 = nn.AvgPool2d(2)
        self.c3 = nn.Conv2d(4, 12, kernel_size=5)
        self.a3 = nn.Tanh()
        self.s4 = nn.AvgPool2d(2)
        self.output = nn.Linear(192, 10)
        xavier_uniform(self, zero_biases=True)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of shape (N, 10) for images of shape (N, 1, 28, 28), float."""
        check_images(images, *self.input_shape[:2], self)
        x = self.s2(self.a1(self.c1(images)))  # (N, 4, 12, 12)
        x = self.s4(self.a3(self.c3(x)))  # (N, 12, 4, 4)
        return self.output(torch.flatten(x, 1))  # (N, 10)
