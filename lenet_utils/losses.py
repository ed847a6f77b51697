"""What the 1998 machine minimises: the penalties of LeNet-5's output, judged (LeCun et al. 1998, section II-C)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from lenet_utils.checks import choose


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
    return penalties.gather(1, labels[:, None]).mean()


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
    rubbish = penalties.new_full((len(penalties), 1), j)
    return mse_penalty_loss(penalties, labels) + torch.logsumexp(-torch.cat([rubbish, penalties], 1), 1).mean()


LOSSES: dict[str, Callable[..., Tensor]] = {"mse": mse_penalty_loss, "map": map_loss}


def penalty_loss(name: str, j: float = 0.1) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss called ``"mse"`` (equation 8) or ``"map"`` (equation 9), as a function of penalties and labels.

    Raises
    ------
    ValueError
        If there is no loss of that name.
    """
    loss = choose("loss", name, LOSSES)
    return partial(loss, j=j) if loss is map_loss else loss
