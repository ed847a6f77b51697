"""One pattern at a time, without autograd: LeNet-5's step written out in NumPy, an order of magnitude faster.

All 60,000 weights lie in one flat vector, with their gradients and rates in two more, so that a step of the optimiser
is two operations.  Nothing is allocated while learning.  What is computed is that of
:class:`lenet_utils.models.LeNet5Original` with :class:`lenet_utils.optimizers.StochasticDiagonalLM`; the tests compare.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.lib.stride_tricks import as_strided
from torch import Tensor

from lenet_utils.flat import FlatLeNet5
from lenet_utils.layers import AMPLITUDE, SLOPE
from lenet_utils.original import LeNet5Original


def by_parity(images: Tensor, dtype: type = np.float32) -> np.ndarray:
    """Pixels sorted by whether their row and column are even or odd, as :meth:`LeanLeNet5.step` reads them.

    Parameters
    ----------
    images : torch.Tensor, shape (N, 1, 32, 32), float

    Returns
    -------
    numpy.ndarray, shape (N, 2, 2, 16, 16)
        ``[n, r, c, i, j]`` is pixel (2i + r, 2j + c).
    """
    split = images.reshape(-1, 16, 2, 16, 2).permute(0, 2, 4, 1, 3)
    return np.ascontiguousarray(split.numpy(), dtype=dtype)


class LeanLeNet5(FlatLeNet5):
    """The network, its buffers and its step; parameters as in :class:`lenet_utils.flat.FlatLeNet5`."""

    def __init__(self, model: LeNet5Original, loss: str = "map", j: float = 0.1, dtype: type = np.float32) -> None:
        super().__init__(model, loss, j, dtype)
        self.gradient, self.gradients = self._flat()
        self._make_buffers()

    def step(self, image: np.ndarray, label: int) -> tuple[float, int]:
        """Learn one pattern, a row of :func:`by_parity`; returns its loss and the class that it was given."""
        loss, winner = self.forward(image, label)
        self.backward()
        np.multiply(self.gradient, self.rate, out=self.gradient)
        np.subtract(self.theta, self.gradient, out=self.theta)
        return loss, winner

    def learn(self, images: Tensor, labels: Tensor) -> tuple[int, float]:
        """Learn patterns one after the other, each once.

        Parameters
        ----------
        images : torch.Tensor, shape (N, 1, 32, 32), float
        labels : torch.Tensor, shape (N,), int64

        Returns
        -------
        wrong, loss : int, float
            Wrong answers and the sum of the losses, each taken just before its pattern was learned.
        """
        return self._each(self.step, images, labels)

    def judge(self, images: Tensor, labels: Tensor) -> tuple[int, float]:
        """Wrong answers and the sum of the losses, as :meth:`learn`, but nothing is learned."""
        return self._each(self.forward, images, labels)

    def _each(self, step, images: Tensor, labels: Tensor) -> tuple[int, float]:
        wrong, total = 0, 0.0
        for image, label in zip(by_parity(images, self.dtype.type), labels.tolist(), strict=True):
            loss, winner = step(image, label)
            wrong += winner != label
            total += loss
        return wrong, total

    def forward(self, image: np.ndarray, label: int) -> tuple[float, int]:
        """The loss and the winner; everything that :meth:`backward` needs stays in the buffers."""
        w = self.weights
        # C1 at the four pixels that S2 will join, as one 6×6 convolution with stride 2 and 4·6 maps.
        np.copyto(self.image, image)
        np.copyto(self.windows1, self.image_windows)
        np.copyto(self.kernels1_view, w["c1.weight"][:, None, None])
        np.dot(self.kernels1, self.columns1, out=self.c1)  # (24, 196): maps and places in the 2×2, positions
        self.c1_maps += w["c1.bias"]
        _squash(self.c1)
        np.dot(self.c1.T, self.join, out=self.pooled2)  # (196, 6)
        np.multiply(self.pooled2, w["s2.coefficient"], out=self.s2)
        self.s2 += w["s2.bias"]
        _squash(self.s2)
        # C3, with the map as the last axis.
        np.copyto(self.windows3, self.s2_windows)
        np.dot(self.columns3, w["c3.weight"].reshape(150, 16), out=self.c3)  # (100, 16)
        self.c3 += w["c3.bias"]
        _squash(self.c3)
        np.add(self.c3_by_twos[:, 0], self.c3_by_twos[:, 1], out=self.halves)
        np.add(self.halves[:, :, 0], self.halves[:, :, 1], out=self.pooled4)  # (5, 5, 16)
        self.pooled4 *= self.input_weight
        np.multiply(self.pooled4, w["s4.coefficient"], out=self.s4)
        self.s4 += w["s4.bias"]
        _squash(self.s4)
        np.dot(w["c5.weight"], self.s4_flat, out=self.c5)
        self.c5 += w["c5.bias"]
        _squash(self.c5)
        np.dot(w["f6.weight"], self.c5, out=self.f6)
        self.f6 += w["f6.bias"]
        _squash(self.f6)
        np.subtract(self.f6, self.prototypes, out=self.differences)  # (10, 84)
        penalties = np.einsum("cf,cf->c", self.differences, self.differences)
        self.d_penalties[:] = 0
        loss = float(penalties[label])
        if self.rubbish:  # equation (9)
            likelihoods = np.exp(-penalties)
            total = float(likelihoods.sum()) + self.rubbish
            loss += math.log(total)
            np.divide(likelihoods, -total, out=self.d_penalties)
        self.d_penalties[label] += 1
        return loss, int(penalties.argmin())

    def backward(self) -> None:
        """Fill ``gradient`` with that of the loss of the last :meth:`forward`."""
        w, g = self.weights, self.gradients
        np.dot(self.d_penalties, self.differences, out=self.d_f6)
        self.d_f6 *= 2
        _unsquash(self.d_f6, self.f6, g["f6.bias"])
        np.dot(g["f6.bias"][:, None], self.c5[None], out=g["f6.weight"])
        np.dot(g["f6.bias"], w["f6.weight"], out=self.d_c5)
        _unsquash(self.d_c5, self.c5, g["c5.bias"])
        np.dot(g["c5.bias"][:, None], self.s4_flat[None], out=g["c5.weight"])
        np.dot(g["c5.bias"], w["c5.weight"], out=self.d_s4_flat)
        # S4: the sum over its 25 positions is a product with ones.
        _unsquash(self.d_s4, self.s4, self.d_s4)
        np.dot(self.ones[:25], self.d_s4.reshape(25, 16), out=g["s4.bias"])
        self.pooled4 *= self.d_s4
        np.dot(self.ones[:25], self.pooled4.reshape(25, 16), out=g["s4.coefficient"])
        np.multiply(w["s4.coefficient"], self.input_weight, out=self.scale4)
        self.d_s4 *= self.scale4
        np.copyto(self.d_c3_by_twos, self.d_s4[:, None, :, None])
        _unsquash(self.d_c3, self.c3, self.d_c3)
        np.dot(self.ones[:100], self.d_c3, out=g["c3.bias"])
        np.dot(self.columns3.T, self.d_c3, out=g["c3.weight"].reshape(150, 16))
        # Back to S2: for each row of the kernel one product, added where that row looked; then the same for columns.
        np.matmul(self.d_c3, w["c3.weight"].reshape(5, 30, 16).transpose(0, 2, 1), out=self.d_columns3)
        self.d_rows[:] = 0
        for row in range(5):
            self.d_rows[row : row + 10] += self.d_columns3_by_row[row]
        np.dot(self.d_rows_flat, self.join_columns, out=self.d_s2.reshape(14, 84))
        _unsquash(self.d_s2, self.s2, self.d_s2)
        np.dot(self.ones, self.d_s2, out=g["s2.bias"])
        self.pooled2 *= self.d_s2
        np.dot(self.ones, self.pooled2, out=g["s2.coefficient"])
        self.d_s2 *= w["s2.coefficient"]
        np.dot(self.join, self.d_s2.T, out=self.d_c1)
        _unsquash(self.d_c1, self.c1, self.d_c1)
        np.sum(self.d_c1.reshape(6, 784), axis=1, keepdims=True, out=g["c1.bias"])
        np.dot(self.d_c1, self.columns1.T, out=self.d_kernels1)
        np.sum(self.d_kernels1_view, axis=(1, 2), out=g["c1.weight"])

    def _make_buffers(self) -> None:
        def zeros(*shape: int) -> np.ndarray:
            return np.zeros(shape, self.dtype)

        self.ones = zeros(196) + 1
        # Input and C1
        self.image, self.windows1 = zeros(2, 2, 16, 16), zeros(3, 2, 3, 2, 14, 14)
        self.image_windows = _view(self.image, (3, 2, 3, 2, 14, 14), (16, 512, 1, 256, 16, 1))
        self.columns1 = self.windows1.reshape(36, 196)
        self.kernels1, self.d_kernels1 = zeros(24, 36), zeros(24, 36)
        shape, steps = (6, 2, 2, 5, 5), (144, 72 + 6, 36 + 1, 6, 1)  # the 5×5 kernel at four places in 6×6
        self.kernels1_view, self.d_kernels1_view = (_view(a, shape, steps) for a in (self.kernels1, self.d_kernels1))
        self.c1, self.d_c1 = zeros(24, 196), zeros(24, 196)
        self.c1_maps = self.c1.reshape(6, 784)
        # S2
        self.join = np.repeat(np.eye(6, dtype=self.dtype), 4, axis=0) * self.dtype.type(self.input_weight)
        self.pooled2, self.s2, self.d_s2 = zeros(196, 6), zeros(196, 6), zeros(196, 6)
        # C3
        self.windows3 = zeros(10, 10, 5, 30)
        self.s2_windows = _view(self.s2, (10, 10, 5, 30), (84, 6, 84, 1))
        self.columns3 = self.windows3.reshape(100, 150)
        self.c3, self.d_c3 = zeros(100, 16), zeros(100, 16)
        self.d_columns3, self.d_rows = zeros(5, 100, 30), zeros(14, 10, 30)
        self.d_columns3_by_row = self.d_columns3.reshape(5, 10, 10, 30)
        self.d_rows_flat = self.d_rows.reshape(14, 300)
        self.join_columns = zeros(10, 5, 6, 14, 6)
        for j, column, channel in np.ndindex(10, 5, 6):
            self.join_columns[j, column, channel, j + column, channel] = 1
        self.join_columns = self.join_columns.reshape(300, 84)
        # S4
        self.c3_by_twos, self.d_c3_by_twos = (a.reshape(5, 2, 5, 2, 16) for a in (self.c3, self.d_c3))
        self.halves, self.pooled4, self.s4, self.d_s4 = zeros(5, 5, 2, 16), *(zeros(5, 5, 16) for _ in range(3))
        self.s4_flat, self.d_s4_flat, self.scale4 = self.s4.reshape(400), self.d_s4.reshape(400), zeros(16)
        # C5, F6, output
        self.c5, self.d_c5, self.f6, self.d_f6 = zeros(120), zeros(120), zeros(84), zeros(84)
        self.differences, self.d_penalties = zeros(10, 84), zeros(10)


def _view(array: np.ndarray, shape: tuple[int, ...], steps: tuple[int, ...]) -> np.ndarray:
    """A view of ``array`` whose neighbours along each axis lie ``steps`` elements apart."""
    return as_strided(array, shape, tuple(step * array.itemsize for step in steps))


def _squash(a: np.ndarray) -> None:
    """f(a) in place of a."""
    a *= SLOPE
    np.tanh(a, out=a)
    a *= AMPLITUDE


def _unsquash(d: np.ndarray, f: np.ndarray, out: np.ndarray) -> None:
    """The gradient before the squashing, from that after it; the output f is used up."""
    f *= f
    f *= -SLOPE / AMPLITUDE
    f += AMPLITUDE * SLOPE
    np.multiply(d, f, out=out)
