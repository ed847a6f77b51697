"""The paper's distortions: random planar affine maps of the digits (LeCun et al. 1998, section III-B)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from lenet_utils.arguments import check_count, check_finite, checked


@checked
@dataclass(frozen=True)
class Distortion:
    """How far each of the paper's four distortions goes; all ranges are our choice, for the paper gives none.

    Attributes
    ----------
    translation : float
        Pixels, at most, along each axis.
    scaling, squeezing : float
        The logarithm of a factor, at most: scaling multiplies both axes by it, squeezing one while the other is
        divided.
    shear : float
        Columns, at most, that a digit leans for each row.
    """

    translation: float = 2.0
    scaling: float = 0.15
    squeezing: float = 0.15
    shear: float = 0.25

    def __post_init__(self) -> None:
        check_finite(**vars(self))

    @checked
    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Random maps, as :func:`distort` takes them.

        Returns
        -------
        torch.Tensor, shape (count, 5)
            Translation across and down (pixels), log of scaling, log of squeezing, shear; each uniform.
        """
        check_count("count", count, 0, 10**8)
        limits = torch.tensor([self.translation, self.translation, self.scaling, self.squeezing, self.shear])
        return (torch.rand(count, 5, generator=generator) * 2 - 1) * limits


@checked
def distort(images: Tensor, maps: Tensor) -> Tensor:
    """Move every image by its own affine map, about its middle, with bilinear interpolation.

    Parameters
    ----------
    images : torch.Tensor, shape (N, H, W), uint8, or float in [0, 1]
        What comes in from outside is background, 0.
    maps : torch.Tensor, shape (N, 5)
        From :meth:`Distortion.draw`.

    Returns
    -------
    torch.Tensor, shape (N, H, W), same dtype
    """
    if images.ndim != 3 or maps.shape != (len(images), 5) or images.numel() == 0:
        raise ValueError(f"Expected images (N, H, W) and maps (N, 5); got {tuple(images.shape)}, {tuple(maps.shape)}.")
    check_finite(pixels=float(images.detach().double().sum()), maps=float(maps.detach().double().sum()))
    across, down, scaling, squeezing, shear = maps.float().unbind(1)
    height, width = images.shape[1:]
    # Where each output pixel comes from, in units of half the image: the inverse of scale, then shear, then shift.
    x, y = (-scaling - squeezing).exp(), (-scaling + squeezing).exp()
    dx, dy = -2 * across / width, -2 * down / height
    rows = [x, -shear * y * height / width, x * dx - shear * y * dy * height / width, 0 * x, y, y * dy]
    grid = functional.affine_grid(
        torch.stack(rows, 1).view(-1, 2, 3), [len(images), 1, height, width], align_corners=False
    )
    moved = functional.grid_sample(images[:, None].float(), grid, padding_mode="zeros", align_corners=False)[:, 0]
    return moved.round().to(torch.uint8) if images.dtype == torch.uint8 else moved.to(images.dtype)
