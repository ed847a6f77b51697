"""The zip-code network of 1989, one pattern at a time, as plain loops that Numba compiles.

What is computed is :class:`lenet_utils.family.networks.ZipNet1989`: forward, backward, then every weight moves, by
gradient descent as in 1989 or by AdamW (Loshchilov & Hutter 2019).  Maps keep their margins of background, so that no
loop asks whether it is inside; the fields of a layer's units are gathered into columns, so that each layer is one
product of matrices.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from lenet_utils.checks import choose
from lenet_utils.family.networks import BACKGROUND, ZipNet1989
from lenet_utils.original.fast_step import compiled
from lenet_utils.original.layers import AMPLITUDE, SLOPE

CURVES = {"tanh": (1.0, 1.0), "scaled": (AMPLITUDE, SLOPE), "relu": (0.0, 0.0)}  # A and S of A tanh(Sa)
BETAS, TINY, DECAY = (0.9, 0.999), 1e-8, 0.01  # AdamW, as in torch


@compiled
def squash(a, amplitude, slope):
    """A tanh(Sa), or max(0, a) where A is 0."""
    return amplitude * math.tanh(slope * a) if amplitude else max(0.0, a)


@compiled
def steepness(f, amplitude, slope):
    """The derivative of :func:`squash`, from its value."""
    return slope * (amplitude - f * f / amplitude) if amplitude else 1.0 * (f > 0)


@compiled
def gather(x, side, columns):
    """The field of every unit as a column: (maps · 25, side · side) from maps with margins, two and one wide."""
    for c in range(len(x)):
        for u in range(5):
            for v in range(5):
                row = columns[25 * c + 5 * u + v]
                for i in range(side):
                    for j in range(side):
                        row[side * i + j] = x[c, 2 * i + u, 2 * j + v]


@compiled
def convolve(x, links, kernels, bias, curve, columns, dense, y):
    """y[m] = f(Σ kernels * x + bias) at every second place, as one product of matrices; y has margins as x has."""
    side = bias.shape[1]
    gather(x, side, columns)
    for k in range(len(links)):
        dense[links[k, 1], 25 * links[k, 0] : 25 * links[k, 0] + 25] = kernels[k].ravel()
    a = dense @ columns
    for m in range(len(bias)):
        for i in range(side):
            for j in range(side):
                y[m, i + 2, j + 2] = squash(a[m, side * i + j] + bias[m, i, j], curve[0], curve[1])


@compiled
def convolve_back(links, y, curve, columns, dense, d_y, d_kernels, d_bias):
    """From dE/dy, without margins, to the derivatives by weights and biases."""
    side = d_bias.shape[1]
    for m in range(len(d_bias)):
        for i in range(side):
            for j in range(side):
                d_bias[m, i, j] = d_y[m, i, j] * steepness(y[m, i + 2, j + 2], curve[0], curve[1])
    d_dense = d_bias.reshape(len(d_bias), side * side) @ columns.T
    for k in range(len(links)):
        d_kernels[k] = d_dense[links[k, 1], 25 * links[k, 0] : 25 * links[k, 0] + 25].copy().reshape(5, 5)


@compiled
def scatter(dense, d_bias, d_x):
    """And by what the layer saw: each unit's share goes back to where it was gathered; nobody reads the margins."""
    side = d_bias.shape[1]
    shares = dense.T @ d_bias.reshape(len(d_bias), side * side)
    d_x[:] = 0
    for c in range(len(d_x)):
        for u in range(5):
            for v in range(5):
                row = shares[25 * c + 5 * u + v]
                for i in range(side):
                    for j in range(side):
                        d_x[c, 2 * i + u, 2 * j + v] += row[side * i + j]


@compiled
def score(outputs, label, probabilities):
    """The loss and, in place of the outputs, its derivative: squared error to ±1, or cross-entropy."""
    loss = 0.0
    if probabilities:
        most, total = outputs.max(), 0.0
        for c in range(10):
            total += math.exp(outputs[c] - most)
        loss = math.log(total) + most - outputs[label]
        for c in range(10):
            outputs[c] = math.exp(outputs[c] - most) / total - (c == label)
    else:
        for c in range(10):
            error = outputs[c] - (1.0 if c == label else -1.0)
            loss += error * error / 10  # the mean over the outputs
            outputs[c] = error  # of half the sum: the factor belongs to the rate
    return loss


@compiled
def learn(images, labels, masks, w, g, rows, links, b, curve, rule, step):
    """Learn every pattern once: the number misread and the sum of losses, each taken before its pattern was learned."""
    h1_w, h1_b, h2_w, h2_b, h3_w, h3_b, o_w, o_b = w
    d_h1_w, d_h1_b, d_h2_w, d_h2_b, d_h3_w, d_h3_b, d_o_w, d_o_b = g
    links1, links2 = links
    x, h1, h2, columns1, columns2, dense1, dense2, d_h1, flat, d_flat, h3, d_h3, outputs = b
    rate, probabilities, adamw, keep = rule
    wrong, losses = 0, 0.0
    for n in range(len(images)):
        x[0, 2:18, 2:18] = images[n]
        convolve(x, links1, h1_w, h1_b, curve, columns1, dense1, h1)
        convolve(h1, links2, h2_w, h2_b, curve, columns2, dense2, h2)
        flat[:] = h2[:, 2:6, 2:6].copy().reshape(192)
        if len(masks):
            flat *= masks[n] / keep
        a3 = h3_w @ flat + h3_b
        for i in range(30):
            h3[i] = squash(a3[i], curve[0], curve[1])
        raw = o_w @ h3 + o_b
        for c in range(10):
            outputs[c] = raw[c] if probabilities else squash(raw[c], curve[0], curve[1])
        wrong += outputs.argmax() != labels[n]
        answers = outputs.copy()
        losses += score(outputs, labels[n], probabilities)
        if not probabilities:
            for c in range(10):
                outputs[c] *= steepness(answers[c], curve[0], curve[1])
        d_o_b[:] = outputs
        for c in range(10):
            d_o_w[c] = outputs[c] * h3
        back = outputs @ o_w
        for i in range(30):
            d_h3[i] = back[i] * steepness(h3[i], curve[0], curve[1])
            d_h3_w[i] = d_h3[i] * flat
        d_h3_b[:] = d_h3
        d_flat[:] = d_h3 @ h3_w
        if len(masks):
            d_flat *= masks[n] / keep
        convolve_back(links2, h2, curve, columns2, dense2, d_flat.reshape(12, 4, 4), d_h2_w, d_h2_b)
        scatter(dense2, d_h2_b, d_h1)
        convolve_back(links1, h1, curve, columns1, dense1, d_h1[:, 2:10, 2:10].copy(), d_h1_w, d_h1_b)
        step += 1
        move(*rows, rate, adamw, step)
    return wrong, losses, step


@compiled
def move(weights, slopes, first, second, rate, adamw, step):
    """Every weight goes down its gradient, by Adam's step with decay apart from it where ``adamw`` says so."""
    if not adamw:
        weights -= rate * slopes
        return
    scale, root = rate / (1 - BETAS[0] ** step), math.sqrt(1 - BETAS[1] ** step)
    for i in range(len(weights)):
        first[i] += (1 - BETAS[0]) * (slopes[i] - first[i])
        second[i] += (1 - BETAS[1]) * (slopes[i] * slopes[i] - second[i])
        weights[i] -= rate * DECAY * weights[i] + scale * first[i] / (math.sqrt(second[i]) / root + TINY)


@dataclass
class ZipSteps:
    """Learns one pattern at a time, in place: the parameters of ``model`` are moved where they lie.

    Attributes
    ----------
    model : ZipNet1989
        On the CPU, in float64.
    squash : str
        That of the model.
    optimizer : {"sgd", "adamw"}
    dropout : float
        Which share of H2's units is silent for each pattern; the others count for more.
    steps : int
        How many were made.
    """

    model: ZipNet1989
    squash: str = "scaled"
    optimizer: str = "sgd"
    dropout: float = 0.0
    steps: int = 0

    def __post_init__(self) -> None:
        self.curve = choose("squash", self.squash, CURVES)
        choose("optimizer", self.optimizer, {"sgd": 0, "adamw": 1})
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be a share from 0 to below 1; got {self.dropout}.")
        if {(p.device.type, p.dtype) for p in self.model.parameters()} != {("cpu", torch.float64)}:
            raise ValueError("ZipSteps computes on the CPU in float64: pass model.cpu().double().")
        row = parameters_to_vector(self.model.parameters()).detach()
        vector_to_parameters(row, self.model.parameters())  # which lie in it from now on
        slopes, first, second = (torch.zeros_like(row) for _ in range(3))
        self.rows = tuple(each.numpy() for each in (row, slopes, first, second))
        sizes = [p.numel() for p in self.model.parameters()]
        self.weights, self.slopes = (
            tuple(part.view_as(p).numpy() for part, p in zip(each.split(sizes), self.model.parameters(), strict=True))
            for each in (row, slopes)
        )
        layers = self.model.h1, self.model.h2
        self.links = tuple(np.stack([h.inputs_of_link.numpy(), h.outputs_of_link.numpy()], 1) for h in layers)
        margins = (np.full(shape, BACKGROUND) for shape in ((1, 19, 19), (12, 11, 11), (12, 7, 7)))
        matrices = ((25, 64), (300, 16), (12, 25), (12, 300))  # columns and kernels of both layers
        shapes = (*matrices, (12, 11, 11), (192,), (192,), (30,), (30,), (10,))
        self.buffers = (*margins, *map(np.zeros, shapes))

    def learn(self, images: Tensor, labels: Tensor, rate: float, seed: int = 0) -> tuple[int, float]:
        """Learn images (N, 16, 16), from -1 to 1, with labels (N,) from 0 to 9, one after the other, each once.

        ``seed`` decides which units are silent.  Returns the number of wrong answers and the sum of the losses, each
        taken just before its pattern was learned.
        """
        pixels, classes = images.double().contiguous().numpy(), labels.long().contiguous().numpy()
        if pixels.shape != (len(classes), 16, 16):
            raise ValueError(f"Expected one label for each image (N, 16, 16); got {pixels.shape}, {classes.shape}.")
        if len(classes) and not 0 <= classes.min() <= classes.max() <= 9:
            raise ValueError(f"Expected labels from 0 to 9; got {classes.min()} to {classes.max()}.")
        masks = np.zeros((0, 192))
        if self.dropout:
            masks = (np.random.default_rng(seed).random((len(classes), 192)) >= self.dropout).astype(float)
        rule = (rate, self.model.linear_outputs, self.optimizer == "adamw", 1 - self.dropout)
        state = (self.weights, self.slopes, self.rows, self.links, self.buffers, self.curve, rule)
        wrong, losses, self.steps = learn(pixels, classes, masks, *state, self.steps)
        return int(wrong), float(losses)

    def state(self) -> dict[str, Tensor]:
        """What :meth:`load_state` needs to go on from here."""
        weights, _, first, second = (torch.from_numpy(row).clone() for row in self.rows)
        return {"weights": weights, "first": first, "second": second, "steps": torch.tensor(self.steps)}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on from what :meth:`state` returned."""
        for name, row in zip(("weights", "first", "second"), (self.rows[0], *self.rows[2:]), strict=True):
            row[:] = state[name].numpy()
        self.steps = int(state["steps"])
