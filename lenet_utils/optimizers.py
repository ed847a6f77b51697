"""What moves the weights, and how fast: optimizers and schedules by name, among them Muon."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from lenet_utils.arguments import check_count, checked, shown
from lenet_utils.checks import check_kind

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # of the odd polynomial that drives singular values towards 1; see Jordan
ITERATIONS = 3  # Jordan et al. take 5; on LeNet-5's validation images 3 did as well, with three fifths of the products
EPSILON = 1e-8


@checked
def orthogonalised(matrix: Tensor, num_iterations: int = ITERATIONS) -> Tensor:
    """A matrix with the singular vectors of the given one and its large singular values near 1, between 0.7 and 1.2.

    Each iteration applies an odd polynomial to the singular values, by multiplying matrices (Newton-Schulz).

    Parameters
    ----------
    matrix : torch.Tensor, shape (rows, columns), float
    num_iterations : int
        Each makes a small singular value 3.4 times as large; five bring all to 1 that are above a hundredth.

    Examples
    --------
    >>> stretched = torch.diag(torch.tensor([4.0, 0.5]))
    >>> orthogonalised(stretched).diag().sub(1).abs().max() < 0.35
    tensor(True)
    """
    if matrix.ndim != 2 or not matrix.is_floating_point():
        raise ValueError(f"Expected a matrix of floating-point numbers; got {shown(matrix)}.")
    check_count("num_iterations", num_iterations, 0, 1_000)
    a, b, c = NEWTON_SCHULZ
    wide = matrix if len(matrix) <= matrix.shape[1] else matrix.T
    values = wide / (wide.norm() + EPSILON)  # now no singular value exceeds 1
    for _ in range(num_iterations):
        squares = values @ values.T
        values = torch.addmm(values, torch.addmm(squares, squares, squares, beta=b, alpha=c), values, beta=a)
    return values if wide is matrix else values.T


class Muon(torch.optim.Optimizer):
    """Muon for the weight matrices of hidden layers, Adam for biases and for the last layer (Jordan et al. 2024).

    A kernel counts as one row of its layer's matrix.  Of each matrix a running mean of the gradients is kept; the step
    is that mean, looked at one step ahead (Nesterov) and orthogonalised, times the square root of rows by columns where
    there are more rows.  So no few directions in which the gradient happens to be large drown the others.

    Parameters
    ----------
    params : iterable of torch.nn.Parameter
        In the network's order: the last matrix is the output layer's.
    lr, matrix_rate : float
        Learning rates of what Adam moves, and of the matrices.
    betas : tuple of float
        Adam's; the first is also the matrices' momentum.
    weight_decay : float
        By how much every parameter shrinks at each step, per unit of its rate.

    Raises
    ------
    ValueError
        If there is no matrix besides the last.
    """

    @checked
    def __init__(
        self,
        params: Iterable[torch.nn.Parameter],
        lr: float = 0.015,
        matrix_rate: float = 0.02,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0.0,
    ) -> None:
        if not (
            all(0 <= rate < math.inf for rate in (lr, matrix_rate, weight_decay)) and all(0 <= b < 1 for b in betas)
        ):
            raise ValueError(
                f"Rates must be finite and not negative, betas lie in 0..1, below 1; got lr={lr}, "
                f"matrix_rate={matrix_rate}, weight_decay={weight_decay} and betas={betas}."
            )
        params = list(params)
        matrices = [parameter for parameter in params if parameter.ndim > 1][:-1]
        if not matrices:
            raise ValueError("Muon needs a network with a hidden layer: it found no weight matrix besides the last.")
        chosen = {id(matrix) for matrix in matrices}
        rest = [parameter for parameter in params if id(parameter) not in chosen]
        groups = [
            {"params": rest, "lr": lr, "matrices": False},
            {"params": matrices, "lr": matrix_rate, "matrices": True},
        ]
        super().__init__(groups, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None) -> None:
        """Move every parameter that has a gradient."""
        if closure is not None:
            raise ValueError("Muon takes no closure: call backward() first, then step().")
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                change = self._of_matrix if group["matrices"] else self._of_adam
                parameter.sub_(change(parameter, *group["betas"]), alpha=group["lr"])

    def _of_matrix(self, parameter: Tensor, momentum: float, _: float) -> Tensor:
        state, gradient = self.state[parameter], parameter.grad
        mean = state.setdefault("mean", torch.zeros_like(gradient))
        mean.lerp_(gradient, 1 - momentum)
        ahead = torch.lerp(gradient, mean, momentum).flatten(1)
        stretch = max(1.0, ahead.shape[0] / ahead.shape[1]) ** 0.5
        return stretch * orthogonalised(ahead).reshape(parameter.shape)

    def _of_adam(self, parameter: Tensor, beta_1: float, beta_2: float) -> Tensor:
        state, gradient = self.state[parameter], parameter.grad
        t = state["step"] = state.get("step", 0) + 1
        mean = state.setdefault("mean", torch.zeros_like(gradient)).lerp_(gradient, 1 - beta_1)
        square = state.setdefault("square", torch.zeros_like(gradient)).lerp_(gradient.square(), 1 - beta_2)
        return mean / (1 - beta_1**t) / ((square / (1 - beta_2**t)).sqrt() + EPSILON)


OPTIMIZERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "muon": Muon}
SCHEDULES = ("constant", "one-cycle", "plateau")


@checked
def make_optimizer(model: nn.Module, config) -> torch.optim.Optimizer:
    """The optimizer that a :class:`lenet_utils.training.TrainConfig` describes, over all parameters of ``model``."""
    check_kind("config", config, "TrainConfig")
    if not any(True for _ in model.parameters()):
        raise ValueError(f"{type(model).__name__} has no parameters: there is nothing that could learn.")
    extra = {"momentum": config.momentum} if config.optimizer == "sgd" else {"betas": config.betas}
    if config.optimizer == "muon":
        extra["matrix_rate"] = config.matrix_rate
    make = OPTIMIZERS[config.optimizer]
    return make(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, **extra)


@checked
def make_schedule(optimizer: torch.optim.Optimizer, config, num_steps: int):
    """What changes the rate, as a :class:`lenet_utils.training.TrainConfig` says; None if nothing does."""
    check_kind("config", config, "TrainConfig")
    check_count("num_steps", num_steps, most=10**9)
    if config.schedule == "one-cycle":
        low, high = config.momentum_range or (0.0, 0.0)
        return torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            [group["lr"] for group in optimizer.param_groups],
            total_steps=num_steps + 1,
            cycle_momentum=config.momentum_range is not None,
            base_momentum=low,
            max_momentum=high,
        )
    if config.schedule == "plateau":
        factor, patience = config.plateau_factor, config.plateau_patience
        return torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=factor, patience=patience)
    return None
