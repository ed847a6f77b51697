"""The paper's optimiser: one pattern at a time, one rate for each weight (LeCun et al. 1998, appendix C)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.func import functional_call, vjp
from torch.nn import functional

from lenet_utils.checks import choose
from lenet_utils.layers import ScaledTanh, SparseConv2d, Subsampling, scaled_tanh_slope

NUM_SAMPLES = 500  # on which the second derivatives are estimated before each pass
MU = 0.02
ETAS = ((2, 5e-4), (3, 2e-4), (3, 1e-4), (4, 5e-5))  # (passes, eta), in order; 1e-5 after them
LAST_ETA = 1e-5


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
        A network with ``stages()`` and ``output``, such as :class:`lenet_utils.models.LeNet5Original`.
    eta : float
        The global rate; :func:`paper_eta` gives the paper's schedule, and ``optimizer.param_groups[0]["eta"]`` sets it.
    mu : float
        Keeps a rate from growing without bound where the error surface is flat.
    loss : {"map", "mse"}
        Of equation (9) or (8), see :mod:`lenet_utils.losses`.
    j : float
        Of equation (9).

    Notes
    -----
    Call :meth:`estimate` before the first step and, as the paper does, before each pass.
    """

    def __init__(
        self, model: nn.Module, eta: float = ETAS[0][1], mu: float = MU, loss: str = "map", j: float = 0.1
    ) -> None:
        if not (eta > 0 and mu > 0):
            raise ValueError(f"eta and mu must be positive; got {eta} and {mu}.")
        super().__init__(model.parameters(), {"eta": eta, "mu": mu})
        self.model, self.loss, self.j = model, loss, j

    def estimate(self, images: Tensor, labels: Tensor) -> None:
        """Estimate the second derivatives h_kk on these patterns; parameters as in :func:`curvatures`."""
        found = curvatures(self.model, images, labels, self.loss, self.j)
        for name, parameter in self.model.named_parameters():
            self.state[parameter]["curvature"] = found[name]

    def rates(self) -> Iterable[tuple[nn.Parameter, Tensor]]:
        """Each parameter with its ε_k, of the same shape."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if "curvature" not in self.state[parameter]:
                    raise RuntimeError("The second derivatives are not known yet: call estimate(images, labels) first.")
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


@torch.no_grad()
def curvatures(
    model: nn.Module, images: Tensor, labels: Tensor, loss: str = "map", j: float = 0.1
) -> dict[str, Tensor]:
    """The paper's second derivatives of the loss, one for each parameter: Gauss-Newton, diagonal, by backpropagation.

    Parameters
    ----------
    model : torch.nn.Module
        With ``stages()``, a list of layers, and ``output``: an :class:`lenet_utils.layers.RBFOutput`, or a linear layer
        of logits, for which ``loss`` is ``"cross-entropy"``.  Squashing by ReLU and 2×2 average pooling are understood.
    images : torch.Tensor, shape (N, 1, H, W), float
    labels : torch.Tensor, shape (N,), int64
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
    linear = isinstance(model.output, nn.Linear)
    stages = [*model.stages(), *([model.output] if linear else [])]
    for stage in stages:
        inputs.append(x)
        x = stage(x)
    names = {parameter: name for name, parameter in model.named_parameters()}
    if linear:
        h = choose("loss", loss, {"cross-entropy": logit_curvature})(x) / len(images)
    else:
        h = output_curvature(x, model.output.prototypes, labels, loss, j) / len(images)
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


def output_curvature(features: Tensor, prototypes: Tensor, labels: Tensor, loss: str = "map", j: float = 0.1) -> Tensor:
    """∂²E/∂x² for each input x of the output layer, exactly; shape (N, features), for each pattern by itself.

    The penalties are squares, so equation (8) has 2 everywhere.  With p_i the posterior of class i in equation (9)
    and p_0 that of its rubbish class, it is 2 p_0 plus the variance under p of ∂y_i/∂x = 2 (x - w_i), where rubbish
    counts as 0.
    """
    if choose("loss", loss, {"mse": False, "map": True}) is False:
        return torch.full_like(features, 2.0)
    differences = 2 * (features[:, None] - prototypes)  # (N, classes, features)
    penalties = differences.square().sum(2) / 4
    p = torch.softmax(-torch.cat([torch.full_like(penalties[:, :1], j), penalties], 1), 1)  # (N, 1 + classes)
    mean = torch.einsum("nc,ncf->nf", p[:, 1:], differences)
    mean_square = torch.einsum("nc,ncf->nf", p[:, 1:], differences.square())
    return 2 * p[:, :1] + (mean_square - mean.square()).clamp_min(0)


def logit_curvature(logits: Tensor) -> Tensor:
    """∂²E/∂z² of the cross-entropy by each logit z, exactly: p(1 - p); shape (N, classes)."""
    p = logits.softmax(1)
    return p * (1 - p)
