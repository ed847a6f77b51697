"""Published numbers, and whether runs of our own bear them out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lenet_utils.arguments import check_count, check_finite, checked
from lenet_utils.checks import choose

QUANTITIES = ("train loss", "train accuracy", "test loss", "test accuracy", "images per second")


@checked
@dataclass(frozen=True)
class Claim:
    """One published number.

    Attributes
    ----------
    what : str
        ``"train loss"``, ``"train accuracy"``, ``"test loss"``, ``"test accuracy"`` (between 0 and 1) or
        ``"images per second"``.
    epoch : int
        After which epoch, from 1.
    value : float
    decimals : int
        How many were printed: the claim is no sharper than half of the last one.

    Raises
    ------
    ValueError
        If the quantity is another, or the value is not finite.
    """

    what: str
    epoch: int
    value: float
    decimals: int

    def __post_init__(self) -> None:
        choose("quantity", self.what, dict.fromkeys(QUANTITIES))
        check_count("epoch", self.epoch, most=10**6)
        check_finite(value=self.value)
        check_count("decimals", self.decimals, 0, 300)

    @property
    def larger_is_better(self) -> bool:
        """False for a loss."""
        return "loss" not in self.what


@checked
def prediction_interval(values: Sequence[float]) -> tuple[float, float]:
    """Where one more run would fall with a probability of 95 %, were runs normally distributed.

    That is mean ± t·sd·√(1 + 1/n), with t from Student's distribution of n - 1 degrees of freedom.

    Parameters
    ----------
    values : sequence of n > 1 float
        One of each run.

    Examples
    --------
    >>> low, high = prediction_interval([1.0, 2.0, 3.0])
    >>> f"{low:.2f} to {high:.2f}"
    '-2.97 to 6.97'
    """
    from scipy.stats import t

    if len(values) < 2:
        raise ValueError(f"A spread needs at least two runs; got {len(values)}.")
    if not np.isfinite(values).all():
        raise ValueError(
            f"Every run must have given a finite number; got {list(values)}: leave out those that diverged, and say so."
        )
    half = float(t.ppf(0.975, len(values) - 1)) * float(np.std(values, ddof=1)) * (1 + 1 / len(values)) ** 0.5
    middle = float(np.mean(values))
    return middle - half, middle + half


@checked
def verdict(claim: Claim, values: Sequence[float]) -> str:
    """``"holds"``, ``"better than claimed"`` or ``"worse than claimed"``: could the claimed run be one of ours?

    A claim holds when it lies in the :func:`prediction_interval` of our runs, widened by half of its last printed
    digit.  Otherwise the other two say on which side of it our runs lie.

    Examples
    --------
    >>> verdict(Claim("test accuracy", 10, 0.99, 2), [0.988, 0.990, 0.989])
    'holds'
    >>> verdict(Claim("test loss", 10, 0.05, 2), [0.101, 0.100, 0.102])
    'worse than claimed'
    """
    low, high = prediction_interval(values)
    slack = 0.5 * 10**-claim.decimals
    if low - slack <= claim.value <= high + slack:
        return "holds"
    return "better than claimed" if (claim.value < low) == claim.larger_is_better else "worse than claimed"
