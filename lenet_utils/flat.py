"""All weights of LeNet-5 in one flat vector, laid out so that a step of learning is quick."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from lenet_utils.checks import choose
from lenet_utils.original import LeNet5Original

SHAPES = {  # of each part of the flat vector; the last axis of c3, and of c5's 5×5×16 inputs, are maps
    "c1.weight": (6, 5, 5),
    "c1.bias": (6, 1),
    "s2.coefficient": (6,),
    "s2.bias": (6,),
    "c3.weight": (5, 5, 6, 16),  # a full table: missing kernels are zeros whose rate is zero
    "c3.bias": (16,),
    "s4.coefficient": (16,),
    "s4.bias": (16,),
    "c5.weight": (120, 400),
    "c5.bias": (120,),
    "f6.weight": (84, 120),
    "f6.bias": (84,),
}


class FlatLeNet5:
    """LeNet-5's weights, and the rate of each, in one vector each; the base of what learns quickly.

    Parameters
    ----------
    model : LeNet5Original
        Where the weights come from; :meth:`write_to` carries them back.
    loss, j
        As in :class:`lenet_utils.optimizers.StochasticDiagonalLM`.
    dtype : numpy dtype
        float32, or float64 to compare more sharply.

    Attributes
    ----------
    theta, rate : numpy.ndarray, shape (60_900,)
        The weights and their rates ε_k; 900 of them stand for the kernels that Table I leaves out, and stay zero.
    weights, rates : dict of numpy.ndarray
        The same memory by the names of the model's parameters, in the shapes of ``SHAPES``.
    """

    def __init__(self, model: LeNet5Original, loss: str = "map", j: float = 0.1, dtype: type = np.float32) -> None:
        if loss == "map" and not 0 < j < 700:  # beyond it exp(-j) is 0 in float64, which stands for equation (8)
            raise ValueError(f"j must lie between 0 and 700; got {j}.")
        self.rubbish = choose("loss", loss, {"mse": 0.0, "map": math.exp(-j)})  # the rubbish class's share in (9)
        self.dtype = np.dtype(dtype)
        self.input_weight = model.s2.input_weight
        self.prototypes = model.output.prototypes.numpy().astype(dtype)
        self.theta, self.weights = self._flat()
        self.rate, self.rates = self._flat()
        self.read_from(model)

    def read_from(self, model: LeNet5Original) -> None:
        """Take over the weights of ``model``."""
        self._scatter(self.weights, dict(model.named_parameters()), model)

    def set_rates(self, curvature: dict[str, Tensor], eta: float, mu: float, model: LeNet5Original) -> None:
        """ε_k = η/(μ + h_kk), from :func:`lenet_utils.optimizers.curvatures`."""
        self._scatter(self.rates, {name: eta / (mu + h) for name, h in curvature.items()}, model)

    @torch.no_grad()
    def write_to(self, model: LeNet5Original, arrays: dict[str, np.ndarray] | None = None) -> None:
        """Give ``model`` these weights (or other ``arrays`` laid out like them, for instance the gradients)."""
        arrays = arrays or self.weights
        links = model.c3.outputs_of_link, model.c3.inputs_of_link
        for name, parameter in model.named_parameters():
            value = torch.from_numpy(arrays[name])
            if name == "c3.weight":
                value = value.permute(3, 2, 0, 1)[links]
            elif name == "c5.weight":
                value = value.view(120, 5, 5, 16).permute(0, 3, 1, 2)
            parameter.copy_(value.reshape(parameter.shape))

    def _flat(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """A vector of zeros, and its parts by name."""
        sizes = [math.prod(shape) for shape in SHAPES.values()]
        flat = np.zeros(sum(sizes), self.dtype)
        parts = np.split(flat, np.cumsum(sizes)[:-1])
        return flat, {name: part.reshape(shape) for (name, shape), part in zip(SHAPES.items(), parts, strict=True)}

    def _scatter(self, arrays: dict[str, np.ndarray], tensors: dict[str, Tensor], model: LeNet5Original) -> None:
        """Lay tensors, shaped like the model's parameters, out as the flat vectors are."""
        for name, tensor in tensors.items():
            value = tensor.detach()
            if name == "c3.weight":
                full = value.new_zeros(16, 6, 5, 5)
                full[model.c3.outputs_of_link, model.c3.inputs_of_link] = value
                value = full.permute(2, 3, 1, 0)
            elif name == "c5.weight":
                value = value.permute(0, 2, 3, 1)
            arrays[name][...] = value.reshape(arrays[name].shape).numpy()
