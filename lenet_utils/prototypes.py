"""The ten digits as bitmaps of 7×12 pixels: the fixed weights of LeNet-5's output.

LeCun et al. (1998) drew theirs by hand "in a stylized image of the corresponding character class" (section II-B) and
print them in Fig. 3, whose resolution is low.  These are our own drawing in that spirit, not a copy of it.
"""

from __future__ import annotations

import torch
from torch import Tensor

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
