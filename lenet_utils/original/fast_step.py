"""LeNet-5 of 1998, one pattern at a time: its step and its optimiser's as plain loops, which Numba compiles.

What is computed is :class:`lenet_utils.original.network.LeNet5Original` with
:class:`lenet_utils.original.optimizer.StochasticDiagonalLM`: forward, backward, and every weight moves by -ε ∂E/∂w as
soon as its gradient is known and its old value was used.

Maps are arrays (maps, rows, columns).  A convolution's output keeps its input's row length, 32 or 16, so that each tap
of a kernel is one long loop over whole maps, which becomes vector instructions.  The last four columns of C1 and the
last six of C3 mean nothing; S4 does not read them, and no derivative flows into them.

Constants take the type of the arrays (``real``): a bare 0.5 is a float64, and would make one of all that it touches.
"""

from __future__ import annotations

import math
import sys
import threading
from collections import namedtuple
from functools import partial

import numba
import numpy as np
from torch import Tensor

from lenet_utils.arguments import checked
from lenet_utils.checks import choose
from lenet_utils.device import is_watched
from lenet_utils.original import layers
from lenet_utils.original.losses import PENALTY_LOSSES
from lenet_utils.original.network import LeNet5Original

AMPLITUDE, SLOPE = 1.7159, 2 / 3  # once more, because what Numba keeps is as old as this file, whatever others say
if (AMPLITUDE, SLOPE) != (layers.AMPLITUDE, layers.SLOPE):
    raise ImportError("fast_step.py squashes by other constants than layers.py: change both.")
MARGIN = 5  # rows of zeros above and below a map of derivatives
SATURATED = 9.5  # beyond it tanh is 1 in float32
COMPILING = "Compiling LeNet-5's step: some ten seconds, once on this machine."
PATIENCE = 1.0  # seconds until that is said; what was compiled before is read in less
NAMES = "c1_weight c1_bias s2_coefficient s2_bias c3_weight c3_bias s4_coefficient s4_bias c5_weight c5_bias"
Parameters = namedtuple("Parameters", f"{NAMES} f6_weight f6_bias")
BUFFERS = {
    **{"x": (1, 33, 32), "c1": (6, 28, 32), "d_c1": (6, 28 + 2 * MARGIN, 32)},
    **{"s2": (6, 15, 16), "pooled2": (6, 14, 16), "d_s2": (6, 14, 16)},
    **{"c3": (16, 10, 16), "d_c3": (16, 10 + 2 * MARGIN, 16)},
    **{"s4": (16, 5, 5), "pooled4": (16, 5, 5), "d_s4": (16, 5, 5)},
    **{"c5": (120,), "d_c5": (120,), "f6": (84,), "d_f6": (84,)},
}
Buffers = namedtuple("Buffers", [*BUFFERS, "s4_flat", "d_s4_flat", "penalties"])


def compiled(function):
    """Let Numba compile a function, and keep the result beside this file or in the user's cache, where it can."""
    allowed = {"reassoc", "contract", "arcp", "nsz"}  # and not "nnan": what is no number stays none
    compile_it = partial(numba.njit, fastmath=allowed, error_model="numpy", no_cfunc_wrapper=True)
    try:
        return compile_it(cache=True)(function)
    except RuntimeError:  # neither can be written
        return compile_it()(function)


@compiled
def squash(flat):
    """f(a) = A tanh(Sa) in place of a.

    In float32, tanh(2y) = 2nd/(d² + n²) with tanh(y) = n/d, a continued fraction cut off: within 2e-7, and vectorised.
    """
    real = flat.dtype.type
    amplitude, slope, saturated, half, two = real(AMPLITUDE), real(SLOPE), real(SATURATED), real(0.5), real(2)
    if flat.itemsize == 8:
        for i in range(len(flat)):
            flat[i] = amplitude * math.tanh(slope * flat[i])
    else:
        n0, n1, n2 = real(135135), real(17325), real(378)
        d0, d1, d2, d3 = real(135135), real(62370), real(3150), real(28)
        for i in range(len(flat)):
            y = half * min(max(slope * flat[i], -saturated), saturated)
            q = y * y
            n = y * (n0 + q * (n1 + q * (n2 + q)))
            d = d0 + q * (d1 + q * (d2 + q * d3))
            flat[i] = amplitude * (two * n * d / (d * d + n * n))


@compiled
def slope(f, at_zero, falling):
    """f'(a) from f(a): AS - (S/A) f²."""
    return at_zero - falling * f * f


@compiled
def add_taps(source, kernel, width, target):
    """target[p] += Σ kernel[r, c] source[p + r width + c], on maps whose rows, width long, lie end to end."""
    for r in range(5):
        k, row = kernel[r], source[r * width :]
        for p in range(len(target)):
            target[p] += k[0] * row[p] + k[1] * row[p + 1] + k[2] * row[p + 2] + k[3] * row[p + 3] + k[4] * row[p + 4]


@compiled
def convolve(x, links, kernels, bias, y):
    """y = f(Σ x * kernel + bias), with one kernel for each link (from, to) between maps."""
    flat_x, flat_y = x.reshape(len(x), -1), y.reshape(len(y), -1)
    for m in range(len(y)):
        flat_y[m] = bias[m]
    for k in range(len(links)):
        add_taps(flat_x[links[k, 0]], kernels[k], x.shape[2], flat_y[links[k, 1]])
    squash(y.ravel())


@compiled
def convolve_back(links, kernels, d_y, d_x):
    """From d_y, which has margins, to d_x: the same taps, turned around."""
    flat_x, flat_y, width = d_x.reshape(len(d_x), -1), d_y.reshape(len(d_y), -1), d_x.shape[2]
    d_x[:] = 0
    for k in range(len(links)):
        add_taps(flat_y[links[k, 1]][(MARGIN - 4) * width - 4 :], kernels[k, ::-1, ::-1], width, flat_x[links[k, 0]])


@compiled
def move_kernels(x, links, d_y, kernels, bias, rate, bias_rate):
    """Every shared weight moves by its rate times the sum of its gradients over all places."""
    flat_x, flat_y, width = x.reshape(len(x), -1), d_y.reshape(len(d_y), -1), x.shape[2]
    for m in range(len(bias)):
        bias[m] -= bias_rate[m] * flat_y[m].sum()
    for k in range(len(links)):
        source, d = flat_x[links[k, 0]], flat_y[links[k, 1]][MARGIN * width : -MARGIN * width]
        for r in range(5):
            for c in range(5):
                seen, gradient = source[r * width + c :], d.dtype.type(0)
                for p in range(len(d)):
                    gradient += d[p] * seen[p]
                kernels[k, r, c] -= rate[k, r, c] * gradient


@compiled
def pool(y, share, coefficient, bias, pooled, s):
    """s = f(coefficient · pooled + bias), where pooled is the sum of 2×2 of y or, with a share of 1/4, the average."""
    for m in range(len(y)):
        for i in range(pooled.shape[1]):
            up, down = y[m, 2 * i], y[m, 2 * i + 1]
            for j in range(pooled.shape[2]):
                pooled[m, i, j] = share * (up[2 * j] + up[2 * j + 1] + down[2 * j] + down[2 * j + 1])
                s[m, i, j] = coefficient[m] * pooled[m, i, j] + bias[m]
    squash(s.ravel())


@compiled
def pool_back(y, share, pooled, s, d_s, coefficient, bias, rate, bias_rate, d_y):
    """From d_s to d_y, both before their squashing; coefficient and bias move."""
    real = d_s.dtype.type
    at_zero, falling = real(AMPLITUDE * SLOPE), real(SLOPE / AMPLITUDE)
    for m in range(len(y)):
        of_coefficient, of_bias, weight = real(0), real(0), share * coefficient[m]
        for i in range(pooled.shape[1]):
            for j in range(pooled.shape[2]):
                d = d_s[m, i, j] * slope(s[m, i, j], at_zero, falling)
                of_coefficient += d * pooled[m, i, j]
                of_bias += d
                for row in (2 * i, 2 * i + 1):
                    for column in (2 * j, 2 * j + 1):
                        d_y[m, MARGIN + row, column] = d * weight * slope(y[m, row, column], at_zero, falling)
        coefficient[m] -= rate[m] * of_coefficient
        bias[m] -= bias_rate[m] * of_bias


@compiled
def dense(x, weights, bias, y):
    """y = f(weights · x + bias)."""
    for i in range(len(y)):
        a = bias[i]
        for j in range(len(x)):
            a += weights[i, j] * x[j]
        y[i] = a
    squash(y)


@compiled
def dense_back(x, y, d_y, weights, bias, rate, bias_rate, d_x):
    """From d_y to d_x; weights and biases move."""
    real = d_y.dtype.type
    at_zero, falling = real(AMPLITUDE * SLOPE), real(SLOPE / AMPLITUDE)
    d_x[:] = 0
    for i in range(len(y)):
        d = d_y[i] * slope(y[i], at_zero, falling)
        for j in range(len(x)):
            d_x[j] += d * weights[i, j]
            weights[i, j] -= rate[i, j] * (d * x[j])
        bias[i] -= bias_rate[i] * d


@compiled
def output(x, label, prototypes, rubbish, penalties, d_x):
    """The winner and the loss, of equation (9) or, without rubbish, (8); its derivatives go to d_x."""
    total, winner = rubbish, 0
    for c in range(len(prototypes)):
        penalties[c] = 0
        for i in range(len(x)):
            penalties[c] += (x[i] - prototypes[c, i]) ** 2
        total += math.exp(-penalties[c]) if rubbish else 0.0
        winner = c if penalties[c] < penalties[winner] else winner
    d_x[:] = 0
    for c in range(len(prototypes)):
        d = x.dtype.type(2 * ((c == label) - (math.exp(-penalties[c]) / total if rubbish else 0.0)))
        for i in range(len(x)):
            d_x[i] += d * (x[i] - prototypes[c, i])
    return winner, penalties[label] + (math.log(total) if rubbish else 0.0)


@compiled
def learn(images, labels, w, rate, b, links1, links3, prototypes, share, rubbish):
    """Each pattern once, in the buffers b; wrong answers and the sum of the losses, from before each is learned."""
    wrong, losses = 0, 0.0
    for n in range(len(labels)):
        for row in range(32):
            for column in range(32):
                b.x[0, row, column] = images[n, 0, row, column]
        convolve(b.x, links1, w.c1_weight, w.c1_bias, b.c1)
        pool(b.c1, share, w.s2_coefficient, w.s2_bias, b.pooled2, b.s2)
        convolve(b.s2, links3, w.c3_weight, w.c3_bias, b.c3)
        pool(b.c3, share, w.s4_coefficient, w.s4_bias, b.pooled4, b.s4)
        dense(b.s4_flat, w.c5_weight, w.c5_bias, b.c5)
        dense(b.c5, w.f6_weight, w.f6_bias, b.f6)
        winner, loss = output(b.f6, labels[n], prototypes, rubbish, b.penalties, b.d_f6)
        wrong += winner != labels[n]
        losses += loss
        dense_back(b.c5, b.f6, b.d_f6, w.f6_weight, w.f6_bias, rate.f6_weight, rate.f6_bias, b.d_c5)
        dense_back(b.s4_flat, b.c5, b.d_c5, w.c5_weight, w.c5_bias, rate.c5_weight, rate.c5_bias, b.d_s4_flat)
        pool_back(
            b.c3, share, b.pooled4, b.s4, b.d_s4, w.s4_coefficient, w.s4_bias, rate.s4_coefficient, rate.s4_bias, b.d_c3
        )
        convolve_back(links3, w.c3_weight, b.d_c3, b.d_s2)
        move_kernels(b.s2, links3, b.d_c3, w.c3_weight, w.c3_bias, rate.c3_weight, rate.c3_bias)
        pool_back(
            b.c1, share, b.pooled2, b.s2, b.d_s2, w.s2_coefficient, w.s2_bias, rate.s2_coefficient, rate.s2_bias, b.d_c1
        )
        move_kernels(b.x, links1, b.d_c1, w.c1_weight, w.c1_bias, rate.c1_weight, rate.c1_bias)
    return wrong, losses


class FastLeNet5:
    """Learns one pattern at a time, in place: the parameters of ``model`` are read and moved where they lie.

    Parameters are those of :class:`lenet_utils.original.optimizer.StochasticDiagonalLM`; the model lies on the CPU, in
    float32 or, to compare more sharply, float64.  ValueError for another device, loss or range of j.
    """

    @checked
    def __init__(self, model: LeNet5Original, loss: str = "map", j: float = 0.1) -> None:
        self.rubbish = math.exp(-j) if choose("loss", loss, PENALTY_LOSSES).has_rubbish else 0.0
        if loss == "map" and not (j > 0 < self.rubbish):  # exp(-j) is 0 in float64 beyond 745, and 0 stands for (8)
            raise ValueError(f"j must be positive, and so small that exp(-j) is not 0; got {j}.")
        parameters = dict(model.named_parameters())
        if {p.device.type for p in parameters.values()} != {"cpu"}:
            raise ValueError("FastLeNet5 computes on the CPU: move the network there first, with model.cpu().")
        for parameter in parameters.values():
            parameter.data = parameter.data.contiguous()
        self.weights = _arrays({name: p.detach() for name, p in parameters.items()})
        self.rates = Parameters(*(np.zeros_like(weight) for weight in self.weights))
        self.dtype, self.tensor_dtype = self.weights.c1_weight.dtype, model.c1.weight.dtype
        links1 = np.array([[0, m] for m in range(6)])
        links3 = np.stack([model.c3.inputs_of_link.numpy(), model.c3.outputs_of_link.numpy()], 1)
        prototypes = model.output.prototypes.numpy().astype(self.dtype)
        buffers = {name: np.zeros(shape, self.dtype) for name, shape in BUFFERS.items()}
        flat = {"s4_flat": buffers["s4"].reshape(400), "d_s4_flat": buffers["d_s4"].reshape(400)}
        self.constants = (
            Buffers(**buffers, **flat, penalties=np.zeros(10)),
            links1,
            links3,
            prototypes,
            self.dtype.type(model.s2.input_weight),
            self.rubbish,
        )

    @checked
    def set_rates(self, curvature: dict[str, Tensor], eta: float, mu: float) -> None:
        """ε_k = η/(μ + h_kk), from :func:`lenet_utils.original.optimizer.curvatures`."""
        if not (0 < eta < math.inf and 0 < mu < math.inf):
            raise ValueError(f"eta and mu must be positive and finite; got {eta} and {mu}.")
        expected = {name.replace("_", ".", 1): array.size for name, array in self.weights._asdict().items()}
        if {name: h.numel() for name, h in curvature.items()} != expected:
            raise ValueError("Expected a second derivative for each weight, by its name, as curvatures() gives them.")
        self.rates = _arrays({name: (eta / (mu + h)).to(self.tensor_dtype) for name, h in curvature.items()})

    @checked
    def learn(self, images: Tensor, labels: Tensor) -> tuple[int, float]:
        """Learn images (N, 1, 32, 32) with labels (N,), one after the other, each once.

        Returns the number of wrong answers and the sum of the losses, each taken just before its pattern was learned.
        The first call on a machine compiles, which takes some ten seconds; afterwards the result is kept on disk.
        """
        if labels.is_floating_point():
            raise TypeError(f"Expected labels as whole numbers, int64; got {labels.dtype}.")
        pixels = np.ascontiguousarray(images.to(self.tensor_dtype).numpy(force=True), self.dtype)
        classes = np.ascontiguousarray(labels.numpy(force=True), int)
        if pixels.shape[1:] != (1, 32, 32) or classes.shape != pixels.shape[:1]:
            raise ValueError(f"Expected one label for each image (N, 1, 32, 32); got {pixels.shape}, {classes.shape}.")
        if len(classes) and not 0 <= classes.min() <= classes.max() <= 9:
            raise ValueError(f"Expected labels from 0 to 9; got {classes.min()} to {classes.max()}.")
        if not np.isfinite(pixels).all():
            raise ValueError(f"{int((~np.isfinite(pixels)).sum()):,} pixels are not finite, such as NaN.")
        notice = threading.Timer(PATIENCE, print, [COMPILING], {"file": sys.stderr, "flush": True})
        if is_watched() and not learn.signatures:
            notice.start()
        try:
            return learn(pixels, classes, self.weights, self.rates, *self.constants)
        finally:
            notice.cancel()


def _arrays(tensors: dict[str, Tensor]) -> Parameters:
    """The same memory as arrays: kernels (links, 5, 5), the weights of C5 and F6 (outputs, inputs)."""
    shapes = {"c1.weight": (-1, 5, 5), "c3.weight": (-1, 5, 5), "c5.weight": (120, 400)}
    arrays = {name: tensor.numpy().reshape(shapes.get(name, tensor.shape)) for name, tensor in tensors.items()}
    return Parameters(**{name.replace(".", "_"): array for name, array in arrays.items()})
