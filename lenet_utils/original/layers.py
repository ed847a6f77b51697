"""The parts of the 1998 machine that a modern library does not have (LeCun et al. 1998, section II-B).

Every part with units counts its own connections, as the paper does: for each unit its inputs, and one for its bias.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from lenet_utils.arguments import check_count, checked
from lenet_utils.checks import check_fit, choose

AMPLITUDE, SLOPE = 1.7159, 2 / 3  # appendix A
READINGS = ("average", "sum")

C3_TABLE = torch.tensor(
    [
        [c == "X" for c in row]
        for row in (
            "X...XXX..XXXX.XX",
            "XX...XXX..XXXX.X",
            "XXX...XXX..X.XXX",
            ".XXX..XXXX..X.XX",
            "..XXX..XXXX.XX.X",
            "...XXX..XXXX.XXX",
        )
    ]
)
"""Which S2 maps (rows, 6) feed which C3 maps (columns, 16), as in Table I."""


@checked
def scaled_tanh(a: Tensor) -> Tensor:
    """f(a) = 1.7159 tanh(2a/3), element by element (appendix A)."""
    return AMPLITUDE * torch.tanh(SLOPE * a)


@checked
def scaled_tanh_slope(output: Tensor) -> Tensor:
    """f'(a), from the output f(a): with f = A tanh(Sa) it is AS - (S/A) f²."""
    return AMPLITUDE * SLOPE - SLOPE / AMPLITUDE * output.square()


class ScaledTanh(nn.Module):
    """The paper's squashing function, 1.7159 tanh(2a/3): f(±1) is ±1 within three millionths.

    Examples
    --------
    >>> f"{float(ScaledTanh()(torch.tensor(1.0))):.6f}"
    '0.999997'
    """

    is_squashing = True

    def forward(self, a: Tensor) -> Tensor:
        """Same shape out as in."""
        return scaled_tanh(a)


class Subsampling(nn.Module):
    """2×2 sub-sampling with a trainable coefficient and bias for each map, then the squashing function.

    Parameters
    ----------
    channels : int
    reading : {"average", "sum"}
        Section II-A takes the average of the four inputs, section II-B says that they are added.  The same functions
        can be had with either, at coefficients four times apart, but learning takes other steps.

    Notes
    -----
    Coefficients start at 1 for the average and at 1/4 for the sum, so that both start as the same function; biases
    start at 0.  The paper does not say where they start: our choice.
    """

    kernel_size = 2
    stride = 2

    @checked
    def __init__(self, channels: int, reading: str = "average") -> None:
        super().__init__()
        check_count("channels", channels)
        choose("reading", reading, dict.fromkeys(READINGS))
        self.reading = reading
        self.input_weight = 0.25 if reading == "average" else 1.0  # of each of the four inputs
        self.coefficient = nn.Parameter(torch.full((channels,), 0.25 / self.input_weight))
        self.bias = nn.Parameter(torch.zeros(channels))

    def pool(self, maps: Tensor) -> Tensor:
        """The four inputs' average or sum: (N, C, H, W) to (N, C, H/2, W/2)."""
        if maps.ndim != 4 or maps.shape[1] != len(self.bias) or maps.shape[2] % 2 or maps.shape[3] % 2:
            raise ValueError(
                f"Expected {len(self.bias)} maps of even height and width, (N, {len(self.bias)}, H, W); "
                f"got shape {tuple(maps.shape)}."
            )
        check_fit(maps, self.bias, "maps")
        average = functional.avg_pool2d(maps, 2)
        return average if self.reading == "average" else 4 * average

    def forward(self, maps: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, H/2, W/2)."""
        return scaled_tanh(self.pool(maps) * self.coefficient[:, None, None] + self.bias[:, None, None])

    def count_connections(self, output_shape: tuple[int, ...]) -> int:
        """Four inputs and a bias for each unit of ``output_shape`` (C, H, W)."""
        return math.prod(output_shape) * 5

    def count_macs(self, output_shape: tuple[int, ...]) -> int:
        """One product for each unit: the four inputs are added before the coefficient multiplies them."""
        return math.prod(output_shape)

    def extra_repr(self) -> str:
        return f"{len(self.bias)}, reading={self.reading!r}"


class SparseConv2d(nn.Module):
    """A convolution in which each output map sees only some of the input maps; there are no weights for the others.

    Parameters
    ----------
    table : torch.Tensor, shape (inputs, outputs), bool
        True where an input map feeds an output map, for instance :data:`C3_TABLE`.
    kernel_size : int

    Attributes
    ----------
    weight : torch.nn.Parameter, shape (links, kernel_size, kernel_size)
        One kernel for each True in ``table``, ordered by output map and then by input map.
    bias : torch.nn.Parameter, shape (outputs,)
    inputs_of_link, outputs_of_link : torch.Tensor, shape (links,), int64
        Which maps each kernel joins.
    """

    stride = 1

    @checked
    def __init__(self, table: Tensor = C3_TABLE, kernel_size: int = 5) -> None:
        super().__init__()
        check_count("kernel_size", kernel_size, most=1_000)
        if table.ndim != 2 or table.dtype != torch.bool or table.numel() == 0 or not table.any(0).all():
            raise ValueError(
                f"Expected a bool table of shape (inputs, outputs) in which every output has an input; "
                f"got {table.dtype} of shape {tuple(table.shape)}."
            )
        self.kernel_size = kernel_size
        self.channels = (table.shape[0], table.shape[1])
        outputs, inputs = table.T.nonzero().T
        self.register_buffer("inputs_of_link", inputs.contiguous(), persistent=False)
        self.register_buffer("outputs_of_link", outputs.contiguous(), persistent=False)
        bound = (table.sum(0).float() * kernel_size**2).rsqrt()  # of each output, as torch's own layers start
        self.weight = nn.Parameter(
            (torch.rand(len(inputs), kernel_size, kernel_size) * 2 - 1) * bound[outputs, None, None]
        )
        self.bias = nn.Parameter((torch.rand(table.shape[1]) * 2 - 1) * bound)

    def dense_weight(self) -> Tensor:
        """The kernels where an ordinary convolution would have them, zeros elsewhere: (outputs, inputs, k, k)."""
        inputs, outputs = self.channels
        zeros = self.weight.new_zeros(outputs, inputs, self.kernel_size, self.kernel_size)
        return zeros.index_put((self.outputs_of_link, self.inputs_of_link), self.weight)

    def forward(self, maps: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, H - k + 1, W - k + 1)."""
        if maps.ndim != 4 or maps.shape[1] != self.channels[0] or min(maps.shape[2:]) < self.kernel_size:
            raise ValueError(
                f"Expected {self.channels[0]} maps of at least {self.kernel_size}×{self.kernel_size}; "
                f"got shape {tuple(maps.shape)}."
            )
        check_fit(maps, self.weight, "maps")
        return functional.conv2d(maps, self.dense_weight(), self.bias)

    def count_connections(self, output_shape: tuple[int, ...]) -> int:
        """The kernels' weights and the biases, at each position of ``output_shape`` (C, H, W)."""
        return math.prod(output_shape[1:]) * (self.weight.numel() + self.bias.numel())

    def count_macs(self, output_shape: tuple[int, ...]) -> int:
        """The kernels' weights, at each position of ``output_shape`` (C, H, W)."""
        return math.prod(output_shape[1:]) * self.weight.numel()

    def extra_repr(self) -> str:
        return f"{self.channels[0]}, {self.channels[1]}, kernel_size={self.kernel_size}, links={len(self.weight)}"


class RBFOutput(nn.Module):
    """Euclidean radial basis function units: penalties, the squared distances to fixed prototypes (equation 7).

    Parameters
    ----------
    prototypes : torch.Tensor, shape (classes, features), float
        Fixed: they are no parameters.  Those of LeNet-5 are :func:`lenet_utils.original.network.digit_bitmaps`.
    """

    @checked
    def __init__(self, prototypes: Tensor) -> None:
        super().__init__()
        if prototypes.ndim != 2 or prototypes.numel() == 0 or not prototypes.is_floating_point():
            raise ValueError(
                f"Expected floating-point prototypes of shape (classes, features); "
                f"got {prototypes.dtype} of shape {tuple(prototypes.shape)}."
            )
        self.register_buffer("prototypes", prototypes.clone())

    def forward(self, features: Tensor) -> Tensor:
        """(N, features) to penalties (N, classes), the smallest of which wins."""
        if features.ndim != 2 or features.shape[1] != self.prototypes.shape[1]:
            raise ValueError(
                f"Expected features of shape (N, {self.prototypes.shape[1]}); got {tuple(features.shape)}."
            )
        check_fit(features, self.prototypes, "features")
        return (features[:, None] - self.prototypes).square().sum(2)

    def count_connections(self, output_shape: tuple[int, ...]) -> int:
        """One for each feature of each unit; there is no bias."""
        return math.prod(output_shape) * self.prototypes.shape[1]

    def count_macs(self, output_shape: tuple[int, ...]) -> int:
        """One square, added, for each feature of each unit."""
        return math.prod(output_shape) * self.prototypes.shape[1]

    def extra_repr(self) -> str:
        return f"{self.prototypes.shape[0]} prototypes of {self.prototypes.shape[1]}"
