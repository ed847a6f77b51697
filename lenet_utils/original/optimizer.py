"""The paper's optimiser: one pattern at a time, one rate for each weight (LeCun et al. 1998, appendix C)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.func import functional_call, vjp
from torch.nn import functional

from lenet_utils.arguments import checked
from lenet_utils.checks import check_images, choose
from lenet_utils.original.layers import RBFOutput, ScaledTanh, SparseConv2d, Subsampling, scaled_tanh_slope
from lenet_utils.original.losses import LOSSES, Loss

NUM_SAMPLES = 500  # on which the second derivatives are estimated before each pass
MU = 0.02
ETAS = ((2, 5e-4), (3, 2e-4), (3, 1e-4), (4, 5e-5))  # (passes, eta), in order; 1e-5 after them
LAST_ETA = 1e-5


@checked
def paper_eta(pass_number: int) -> float:
    """The global rate η of a pass, counted from 1 (section III-B).

    Examples
    --------
    >>> [paper_eta(n) for n in (1, 3, 6, 9, 13, 20)]
    [0.0005, 0.0002, 0.0001, 5e-05, 1e-05, 1e-05]
    """
    if pass_number < 1:
        raise ValueError(f"Passes are counted from 1; got {pass_number}.")
    for passes, eta in ETAS:
        pass_number -= passes
        if pass_number <= 0:
            return eta
    return LAST_ETA


class StochasticDiagonalLM(torch.optim.Optimizer):
    """The stochastic diagonal Levenberg-Marquardt method: w_k moves by -ε_k ∂E/∂w_k, with ε_k = η/(μ + h_kk).

    Parameters
    ----------
    model : torch.nn.Module
        A network with ``stages()`` and ``output``, such as :class:`lenet_utils.original.network.LeNet5Original`.
    eta : float
        The global rate; :func:`paper_eta` gives the paper's schedule, and ``optimizer.param_groups[0]["eta"]`` sets it.
    mu : float
        Keeps a rate from growing without bound where the error surface is flat.
    loss : {"map", "mse", "cross-entropy"}
        Of equation (9) or (8), or of logits; see :mod:`lenet_utils.original.losses`.
    j : float
        Of equation (9).

    Notes
    -----
    Call :meth:`estimate` before the first step and, as the paper does, before each pass.
    """

    @checked
    def __init__(
        self, model: nn.Module, eta: float = ETAS[0][1], mu: float = MU, loss: str = "map", j: float = 0.1
    ) -> None:
        if not (0 < eta < math.inf and 0 < mu < math.inf):
            raise ValueError(f"eta and mu must be positive and finite; got {eta} and {mu}.")
        _find(loss, model)
        super().__init__(model.parameters(), {"eta": eta, "mu": mu})
        self.model, self.loss, self.j = model, loss, j

    def estimate(self, images: Tensor) -> None:
        """Estimate the second derivatives h_kk on these patterns (N, 1, H, W); see :func:`curvatures`."""
        found = curvatures(self.model, images, self.loss, self.j)
        for name, parameter in self.model.named_parameters():
            self.state[parameter]["curvature"] = found[name]

    def rates(self) -> Iterable[tuple[nn.Parameter, Tensor]]:
        """Each parameter with its ε_k, of the same shape."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if "curvature" not in self.state[parameter]:
                    raise RuntimeError("The second derivatives are not known yet: call estimate(images) first.")
                yield parameter, group["eta"] / (group["mu"] + self.state[parameter]["curvature"])

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """Move every weight once, against its gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for parameter, rate in self.rates():
            if parameter.grad is not None:
                parameter -= rate * parameter.grad
        return loss


@checked
@torch.no_grad()
def curvatures(model: nn.Module, images: Tensor, loss: str = "map", j: float = 0.1) -> dict[str, Tensor]:
    """The paper's second derivatives of the loss, one for each parameter: Gauss-Newton, diagonal, by backpropagation.

    Parameters
    ----------
    model : torch.nn.Module
        With ``stages()``, a list of layers, and ``output``: an :class:`lenet_utils.original.layers.RBFOutput`, or a
        linear layer of logits, for which ``loss`` is ``"cross-entropy"``.  ReLU and 2×2 average pooling are understood.
    images : torch.Tensor, shape (N, 1, H, W), float
        No labels: which class is right does not enter the second derivatives.
    loss, j
        As in :class:`StochasticDiagonalLM`.

    Returns
    -------
    dict of torch.Tensor
        By the parameter's name, in its shape, never negative: the mean over the N patterns.

    Notes
    -----
    For a weighted sum a_i = Σ_j u_ij x_j the paper's appendix C gives (h stands for ∂²E/∂a_i²)

    - ∂²E/∂u_ij² = h_i x_j², summed over all connections that share a weight,
    - ∂²E/∂x_j² = Σ_i u_ij² h_i, and through the squashing function f'(a_j)² times that.

    Both are what ordinary backpropagation gives in the same layer with all weights and inputs squared; so that is how
    they are computed here.  Three things are left out: the term with f'' (Gauss-Newton; h cannot become negative), the
    second derivatives by two different units, and those by two places where one weight is used.  At the output nothing
    is left out.
    """
    inputs, x = [], images
    judged = _find(loss, model)
    check_images(images, *getattr(model, "input_shape", images.shape[1:3])[:2], model)
    stages = [*model.stages(), *([] if judged.on_penalties else [model.output])]
    for stage in stages:
        inputs.append(x)
        x = stage(x)
    names = {parameter: name for name, parameter in model.named_parameters()}
    h = judged.curvature(x, getattr(model.output, "prototypes", None), j) / len(images)
    found: dict[str, Tensor] = {}
    for stage, x_in, x_out in zip(reversed(stages), reversed(inputs), reversed([*inputs[1:], x]), strict=True):
        if isinstance(stage, ScaledTanh):
            h = scaled_tanh_slope(x_out).square() * h
        elif isinstance(stage, nn.ReLU):
            h = (x_out > 0) * h
        elif isinstance(stage, nn.AvgPool2d):
            h = functional.interpolate(h / 4**2, scale_factor=2)
        elif isinstance(stage, Subsampling):
            h = scaled_tanh_slope(x_out).square() * h
            found[names[stage.bias]] = h.sum((0, 2, 3))
            found[names[stage.coefficient]] = (h * stage.pool(x_in).square()).sum((0, 2, 3))
            h = h * (stage.coefficient[:, None, None] * stage.input_weight).square()
            h = functional.interpolate(h, scale_factor=2)
        elif isinstance(stage, nn.Conv2d | nn.Linear | nn.Flatten | SparseConv2d):
            squares = {name: parameter.square() for name, parameter in stage.named_parameters()}
            _, pull = vjp(lambda p, s, stage=stage: functional_call(stage, p, (s,)), squares, x_in.square())
            of_parameters, h = pull(h)
            found.update({names[stage.get_parameter(name)]: value for name, value in of_parameters.items()})
        else:
            raise ValueError(f"Second derivatives through a {type(stage).__name__} are not known here.")
    return found


def _find(name: str, model: nn.Module) -> Loss:
    """The loss of that name, if it can judge what the model puts out."""
    loss = choose("loss", name, LOSSES)
    if not (hasattr(model, "stages") and hasattr(model, "output")):
        raise ValueError(f"{type(model).__name__} has no stages() and output, as LeNet5Original has them.")
    if loss.on_penalties != isinstance(model.output, RBFOutput):
        wanted = "penalties of prototypes" if loss.on_penalties else "logits"
        raise ValueError(
            f"The loss {name!r} judges {wanted}, and the network's output is {type(model.output).__name__}."
        )
    return loss
