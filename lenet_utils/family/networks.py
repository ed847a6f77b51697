"""The zip-code network of 1989 and LeNet-1 of 1990 as their papers describe them, and a LeNet-4 that is partly ours."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from lenet_utils.checks import check_images, choose
from lenet_utils.original.layers import ScaledTanh, SparseConv2d, Subsampling

BACKGROUND = -1.0  # what lies beyond the rim of a map (LeCun et al. 1989)
# Map m of H2 sees the maps m to m + 7 of H1, counted round: the paper says eight of twelve, and not which.
H2_TABLE = torch.tensor([[(i - m) % 12 < 8 for m in range(12)] for i in range(12)])
# Which maps of the first layer the twelve of LeNet-1's second see (LeCun et al. 1990).
H3_SOURCES = ((0,), (0, 1), (0, 1), (1,), (0, 1), (0, 1), (2,), (2, 3), (2, 3), (3,), (2, 3), (2, 3))
H3_TABLE = torch.tensor([[i in sources for sources in H3_SOURCES] for i in range(4)])
# LeNet-4's: the paper gives none.  Map m sees so many maps from map m on, counted round.
S2_TO_C3 = torch.tensor([[(i - m) % 8 < (4 if m < 12 else 3) for m in range(16)] for i in range(8)])
S4_TO_C5 = torch.tensor([[(i - m) % 16 < (5 if m < 80 else 4) for m in range(120)] for i in range(16)])
SQUASHES = {"tanh": nn.Tanh, "scaled": ScaledTanh, "relu": nn.ReLU}


class LocalBiasConv2d(SparseConv2d):
    """A convolution at every second place, whose kernels are shared and whose biases are not: each unit has its own.

    Fields reach over the map's rim, two units at the top and on the left, one at the bottom and on the right; beyond it
    everything is paper, -1.

    Parameters
    ----------
    table : torch.Tensor, shape (inputs, outputs), bool
        Which maps are joined.
    side : int
        Of an output map; an input map has twice as many units along a side.
    """

    stride = 2

    def __init__(self, table: Tensor, side: int) -> None:
        super().__init__(table)
        self.side = side
        self.bias = nn.Parameter(torch.zeros(table.shape[1], side, side))

    def forward(self, maps: Tensor) -> Tensor:
        """(N, inputs, 2·side, 2·side) to (N, outputs, side, side)."""
        check_images(maps, self.channels[0], 2 * self.side)
        padded = functional.pad(maps, (2, 1, 2, 1), value=BACKGROUND)
        return functional.conv2d(padded, self.dense_weight(), stride=2) + self.bias

    def count_connections(self, output_shape: tuple[int, ...]) -> int:
        """The kernels' weights at each position, and a bias for each unit."""
        return math.prod(output_shape[1:]) * self.weight.numel() + self.bias.numel()


class ZipNet1989(nn.Module):
    """The network that read zip codes: 1,256 units, 64,660 connections, 9,760 parameters (LeCun et al. 1989).

    Twelve maps of 8×8 units, twelve of 4×4, thirty units, ten outputs.  The paper starts weights between ±2.4/F, where
    F is a unit's number of inputs; Σ² of such a sum falls with F, and ±2.4/√F keeps it: both can be had.  Biases start
    at zero, which is our choice.

    Parameters
    ----------
    squash : {"scaled", "tanh", "relu"}
        The paper's is a scaled hyperbolic tangent; its constants are those of 1998, 1.7159 tanh(2a/3).
    spread : float
        Weights start within ±2.4/F**spread.
    linear_outputs : bool
        Leave the outputs as they are, for cross-entropy.

    Examples
    --------
    >>> sum(p.numel() for p in ZipNet1989().parameters())
    9760
    """

    input_shape = (1, 16, 16)

    def __init__(self, squash: str = "scaled", spread: float = 1.0, linear_outputs: bool = False) -> None:
        super().__init__()
        self.h1 = LocalBiasConv2d(torch.ones(1, 12, dtype=torch.bool), 8)
        self.h2 = LocalBiasConv2d(H2_TABLE, 4)
        self.h3 = nn.Linear(192, 30)
        self.output = nn.Linear(30, 10)
        self.squash = choose("squash", squash, SQUASHES)()
        self.linear_outputs = linear_outputs
        for layer, fan_in in ((self.h1, 25), (self.h2, 200), (self.h3, 192), (self.output, 30)):
            bound = 2.4 / fan_in**spread
            nn.init.uniform_(layer.weight, -bound, bound)
            nn.init.zeros_(layer.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Ten outputs for each image (N, 1, 16, 16), float from -1 (paper) to 1 (ink)."""
        check_images(images, *self.input_shape[:2])
        x = self.squash(self.h1(images))  # (N, 12, 8, 8)
        x = self.squash(self.h2(x)).flatten(1)  # (N, 192)
        x = self.output(self.squash(self.h3(x)))  # (N, 10)
        return x if self.linear_outputs else self.squash(x)


class LeNet1(nn.Module):
    """LeNet-1: 4,635 units, 98,442 connections, 2,578 parameters (LeCun et al. 1990; 1998, section III-C).

    Four maps of 24×24, averaged to 12×12; twelve of 8×8, each of which sees one map or two, averaged to 4×4; ten
    outputs, each joined to all 192 units.  The averages have a coefficient and a bias each, as those of LeNet-5.

    Examples
    --------
    >>> sum(p.numel() for p in LeNet1().parameters())
    2578
    """

    input_shape = (1, 28, 28)

    def __init__(self) -> None:
        super().__init__()
        self.h1 = SparseConv2d(torch.ones(1, 4, dtype=torch.bool))
        self.h2 = Subsampling(4)
        self.h3 = SparseConv2d(H3_TABLE)
        self.h4 = Subsampling(12)
        self.output = nn.Linear(192, 10)
        self.squash = ScaledTanh()

    def forward(self, images: Tensor) -> Tensor:
        """Ten outputs for each image (N, 1, 28, 28), float."""
        check_images(images, *self.input_shape[:2])
        x = self.squash(self.h2(self.squash(self.h1(images))))  # (N, 4, 12, 12)
        x = self.squash(self.h4(self.squash(self.h3(x))))  # (N, 12, 4, 4)
        return self.output(x.flatten(1))  # (N, 10)


class LeNet4(nn.Module):
    """A network with LeNet-4's maps and its numbers, to the two digits that are printed; its wiring is ours.

    Four maps of 28×28, each averaged into two of 14×14; sixteen of 10×10, averaged to 5×5; 120 units, ten outputs
    (LeCun et al. 1998, section III-C): about 17,000 parameters and 260,000 connections are printed.  Units that see all
    sixteen maps, as the text has it, would alone have 48,120; here they see four or five of them.

    Examples
    --------
    >>> sum(p.numel() for p in LeNet4().parameters())
    16998
    """

    input_shape = (1, 32, 32)

    def __init__(self) -> None:
        super().__init__()
        self.c1 = SparseConv2d(torch.ones(1, 4, dtype=torch.bool))
        self.s2 = Subsampling(8)
        self.c3 = SparseConv2d(S2_TO_C3)
        self.s4 = Subsampling(16)
        self.c5 = SparseConv2d(S4_TO_C5)
        self.output = nn.Linear(120, 10)
        self.squash = ScaledTanh()

    def forward(self, images: Tensor) -> Tensor:
        """Ten outputs for each image (N, 1, 32, 32), float."""
        check_images(images, *self.input_shape[:2])
        pairs = self.squash(self.c1(images)).repeat_interleave(2, dim=1)  # (N, 8, 28, 28)
        x = self.squash(self.c3(self.squash(self.s2(pairs))))  # (N, 16, 10, 10)
        x = self.squash(self.c5(self.squash(self.s4(x))))  # (N, 120, 1, 1)
        return self.output(x.flatten(1))  # (N, 10)
