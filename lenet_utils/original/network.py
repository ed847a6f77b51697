"""LeNet-5 as it was published in 1998: 60,000 trainable parameters and 340,908 connections."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lenet_utils.arguments import checked
from lenet_utils.checks import check_images, choose
from lenet_utils.original.layers import RBFOutput, ScaledTanh, SparseConv2d, Subsampling
from lenet_utils.preprocessing import PAPER_BACKGROUND, PAPER_FOREGROUND

INITIALISATIONS = {"printed": 1.0, "practice": 0.5}  # the power of the fan-in that divides 2.4
TOLERANCE = 1e-3


class LeNet5Original(nn.Module):
    """LeNet-5 of LeCun et al. (1998), section II-B: a sparse C3, trainable S layers, and an output of fixed prototypes.

    Parameters
    ----------
    initialisation : {"practice", "printed"}
        Weights start uniform in ±2.4/F, as the paper prints, or in ±2.4/√F, which keeps the layers active; F is the
        number of inputs of the unit.  The printed range learns only if the loss is small beside the paper's μ; see
        :class:`lenet_utils.original.experiments.OriginalConfig`.  Biases start at 0: our choice.
    reading : {"average", "sum"}
        What the S layers do with their four inputs; see :class:`lenet_utils.original.layers.Subsampling`.
    generator : torch.Generator, optional
        Draws the initial weights; torch's global one by default.

    Examples
    --------
    >>> model = LeNet5Original(generator=torch.Generator().manual_seed(0))
    >>> sum(p.numel() for p in model.parameters())
    60000
    >>> tuple(model(torch.full((2, 1, 32, 32), -0.1)).shape)
    (2, 10)
    """

    input_shape = (1, 32, 32)
    channels_last = True
    scaling = "paper"
    smallest_wins = True

    @checked
    def __init__(
        self,
        initialisation: str = "practice",
        reading: str = "average",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        power = choose("initialisation", initialisation, INITIALISATIONS)
        self.c1 = nn.Conv2d(1, 6, kernel_size=5)
        self.s2 = Subsampling(6, reading)
        self.c3 = SparseConv2d()
        self.s4 = Subsampling(16, reading)
        self.c5 = nn.Conv2d(16, 120, kernel_size=5)
        self.f6 = nn.Linear(120, 84)
        self.output = RBFOutput(digit_bitmaps())
        self.activation = ScaledTanh()
        self._initialise(power, generator)

    def forward(self, images: Tensor) -> Tensor:
        """Penalties of shape (N, 10), the smallest of which wins, for images (N, 1, 32, 32) in -0.1..1.175.

        Raises
        ------
        ValueError
            If the images have another shape, or were not scaled by :func:`lenet_utils.preprocessing.paper_range`.
        """
        check_paper_images(images, self)
        for layer in self.stages():
            images = layer(images)
        return self.output(images)

    def stages(self) -> list[nn.Module]:
        """What computes the output's 84 inputs, in order; the squashing function comes up several times."""
        f = self.activation
        return [self.c1, f, self.s2, self.c3, f, self.s4, self.c5, f, nn.Flatten(), self.f6, f]

    @torch.no_grad()
    def _initialise(self, power: float, generator: torch.Generator | None) -> None:
        links = torch.bincount(self.c3.outputs_of_link)  # input maps of each C3 map
        for layer, fan_in in (
            (self.c1, torch.tensor([25])),
            (self.c3, 25 * links),
            (self.c5, torch.tensor([400])),
            (self.f6, torch.tensor([120])),
        ):
            bound = 2.4 / fan_in.float() ** power
            of_weight = bound[self.c3.outputs_of_link] if layer is self.c3 else bound
            shape = (-1, *[1] * (layer.weight.ndim - 1))
            layer.weight.uniform_(-1, 1, generator=generator).mul_(of_weight.view(shape))
            layer.bias.zero_()


def check_paper_images(images: Tensor, model: nn.Module | None = None) -> None:
    """Refuse a batch that does not look like 32×32 pixels from -0.1 (background) to 1.175 (ink) with one sentence.

    Raises
    ------
    ValueError
        If shape or range are wrong.
    TypeError
        If the images are not floating-point.
    """
    check_images(images, 1, 32, model)
    if images.is_meta:  # it has a shape, and no pixels
        return
    low, high = float(images.detach().min()), float(images.detach().max())
    inside = low >= PAPER_BACKGROUND - TOLERANCE and high <= PAPER_FOREGROUND + TOLERANCE
    if not inside or low >= 0 < high:
        raise ValueError(
            f"Expected pixels from {PAPER_BACKGROUND} (background) to {PAPER_FOREGROUND} (ink); got {low:.4g} to "
            f"{high:.4g}: scale them with lenet_utils.preprocessing.paper_range(images)."
        )


# The ten digits as bitmaps of 7×12 pixels: the fixed weights of the output.  The paper's were drawn by hand (section
# II-B) and are printed in Fig. 3, whose resolution is low.  These are our own in that spirit, not a copy.
WIDTH, HEIGHT = 7, 12
INK = "#"

DRAWINGS = """
.......  .......  .......  .......  .......  .......  .......  .......  .......  .......
..###..  ...##..  .#####.  #######  ....##.  #######  ..####.  #######  .#####.  .#####.
.##.##.  ..###..  ##...##  .....##  ...##..  ##.....  .##....  ##...##  ##...##  ##...##
##...##  .####..  .....##  ....##.  ..##...  ##.....  ##.....  .....##  ##...##  ##...##
##...##  ...##..  .....##  ...##..  .##.##.  ##.....  ##.....  ....##.  ##...##  ##...##
##...##  ...##..  ....##.  ..####.  ##..##.  ######.  ######.  ....##.  .#####.  .######
##...##  ...##..  ...##..  .....##  ##..##.  .....##  ##...##  ...##..  ##...##  .....##
##...##  ...##..  ..##...  .....##  #######  .....##  ##...##  ...##..  ##...##  .....##
##...##  ...##..  .##....  .....##  ....##.  .....##  ##...##  ..##...  ##...##  .....##
.##.##.  ...##..  ##.....  ##...##  ....##.  ##...##  ##...##  ..##...  ##...##  ....##.
..###..  .######  #######  .#####.  ....##.  .#####.  .#####.  ..##...  .#####.  .####..
.......  .......  .......  .......  .......  .......  .......  .......  .......  .......
"""


def digit_bitmaps() -> Tensor:
    """The drawings as weights: +1 where there is ink, -1 elsewhere.

    Returns
    -------
    torch.Tensor, shape (10, 84), float32
        Row i is digit i, its 12 rows of 7 pixels one after the other.

    Examples
    --------
    >>> tuple(digit_bitmaps().shape)
    (10, 84)
    """
    rows = [line.split() for line in DRAWINGS.strip().splitlines()]  # [row][digit]
    ink = [[[pixel == INK for pixel in row[digit]] for row in rows] for digit in range(10)]
    return torch.tensor(ink, dtype=torch.float32).flatten(1) * 2 - 1
