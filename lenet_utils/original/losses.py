"""What the 1998 machine minimises: the penalties of LeNet-5's output, judged (LeCun et al. 1998, section II-C)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from lenet_utils.arguments import check_finite, checked, shown
from lenet_utils.checks import check_fit, check_labels, choose


@checked
def mse_penalty_loss(penalties: Tensor, labels: Tensor) -> Tensor:
    """The mean penalty of the right class, equation (8): with fixed prototypes, a mean squared error.

    Parameters
    ----------
    penalties : torch.Tensor, shape (N, C), float
        Squared distances to the prototypes; the smallest wins.
    labels : torch.Tensor, shape (N,), int64

    Returns
    -------
    torch.Tensor, shape ()
    """
    _check(penalties, labels)
    return penalties.gather(1, labels[:, None].long()).mean()


@checked
def map_loss(penalties: Tensor, labels: Tensor, j: float = 0.1) -> Tensor:
    """Equation (9): besides pulling the right class in, it pushes the others away.

    It is the negative log posterior of the right class ("maximum a posteriori") when one more class, rubbish, always
    has the penalty ``j``; that keeps classes from being pushed away that are far already.

    Parameters
    ----------
    penalties, labels
        As in :func:`mse_penalty_loss`.
    j : float
        Positive; the paper gives no value, 0.1 is our choice.

    Returns
    -------
    torch.Tensor, shape ()
    """
    if not j > 0:
        raise ValueError(f"j must be positive; got {j}.")
    _check(penalties, labels)
    rubbish = penalties.new_full((len(penalties), 1), j)
    return mse_penalty_loss(penalties, labels) + torch.logsumexp(-torch.cat([rubbish, penalties], 1), 1).mean()


@checked
def mse_curvature(features: Tensor, prototypes: Tensor, j: float) -> Tensor:
    """∂²E/∂x² of equation (8) by each input x of the output layer, (N, features): a square has 2 everywhere."""
    _check_features(features, prototypes)
    return torch.full_like(features, 2.0)


@checked
def map_curvature(features: Tensor, prototypes: Tensor, j: float) -> Tensor:
    """∂²E/∂x² of equation (9) by each input x of the output layer, exactly, for each pattern: shape (N, features).

    With p_i the posterior of class i and p_0 that of the rubbish class, it is 2 p_0 plus the variance under p of
    ∂y_i/∂x = 2 (x - w_i), where rubbish counts as 0; which class is right does not matter.
    """
    _check_features(features, prototypes)
    check_finite(j=j)
    differences = 2 * (features[:, None] - prototypes)  # (N, classes, features)
    penalties = differences.square().sum(2) / 4
    p = torch.softmax(-torch.cat([torch.full_like(penalties[:, :1], j), penalties], 1), 1)  # (N, 1 + classes)
    mean = torch.einsum("nc,ncf->nf", p[:, 1:], differences)
    mean_square = torch.einsum("nc,ncf->nf", p[:, 1:], differences.square())
    return 2 * p[:, :1] + (mean_square - mean.square()).clamp_min(0)


@checked
def logit_curvature(logits: Tensor, prototypes: None, j: float) -> Tensor:
    """∂²E/∂z² of the cross-entropy by each logit z, exactly: p(1 - p), (N, classes)."""
    if logits.ndim != 2 or not logits.is_floating_point():
        raise ValueError(f"Expected logits of shape (N, classes), float; got {shown(logits)}.")
    p = logits.softmax(1)
    return p * (1 - p)


def _check(penalties: Tensor, labels: Tensor) -> None:
    if penalties.ndim != 2 or penalties.numel() == 0 or not penalties.is_floating_point():
        raise ValueError(f"Expected penalties of shape (N, classes), float; got {shown(penalties)}.")
    check_labels(labels, *penalties.shape)


def _check_features(features: Tensor, prototypes: Tensor) -> None:
    flat = features.ndim == prototypes.ndim == 2 and features.is_floating_point()
    if not flat or features.shape[1] != prototypes.shape[1]:
        raise ValueError(f"Expected features (N, F), prototypes (C, F); got {shown(features)}, {shown(prototypes)}.")
    check_fit(features, prototypes, "features")


@dataclass(frozen=True)
class Loss:
    """One way to judge outputs.

    Attributes
    ----------
    function : callable
        Takes outputs (N, C) and labels (N,), and ``j`` where it has a rubbish class; returns the mean.
    curvature : callable
        The second derivatives that start the paper's way back: takes features, prototypes and ``j``, or logits.
    on_penalties : bool
        Whether outputs are penalties, of which the smallest wins, or logits.
    has_rubbish : bool
        Whether a further class with a fixed penalty ``j`` competes.
    """

    function: Callable[..., Tensor]
    curvature: Callable[..., Tensor]
    on_penalties: bool = True
    has_rubbish: bool = False


LOSSES: dict[str, Loss] = {
    "mse": Loss(mse_penalty_loss, mse_curvature),
    "map": Loss(map_loss, map_curvature, has_rubbish=True),
    "cross-entropy": Loss(functional.cross_entropy, logit_curvature, on_penalties=False),
}
PENALTY_LOSSES = {name: loss for name, loss in LOSSES.items() if loss.on_penalties}


@checked
def loss_function(name: str, j: float = 0.1) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss of that name in ``LOSSES``, as a function of outputs and labels.

    Raises
    ------
    ValueError
        If there is no loss of that name.
    """
    loss = choose("loss", name, LOSSES)
    return partial(loss.function, j=j) if loss.has_rubbish else loss.function
