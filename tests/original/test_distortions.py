"""Distortions: each does as it says, stays in its range, and follows its seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import sentence

from lenet_utils.original.distortions import Distortion, distort


def test_no_distortion_is_the_identity(digits):
    images = digits.train_images[:5]
    assert (distort(images, torch.zeros(5, 5)) == images).all()


def test_a_shift_moves_whole_pixels():
    image = torch.zeros(1, 32, 32, dtype=torch.uint8)
    image[0, 10, 12] = 200
    moved = distort(image, torch.tensor([[2.0, -3.0, 0, 0, 0]]))
    assert moved.nonzero().tolist() == [[0, 7, 14]]
    assert int(moved.max()) == 200


def test_scaling_squeezing_and_shear_do_as_they_say():
    image = torch.zeros(3, 32, 32)
    image[:, 8:24, 12:20] = 1  # 16 rows of 8
    maps = torch.tensor([[0, 0, np.log(1.5), 0, 0], [0, 0, 0, np.log(2), 0], [0, 0, 0, 0, 0.5]], dtype=torch.float32)
    moved = distort(image, maps) > 0.5
    rows, columns = moved.any(2).sum(1), moved.any(1).sum(1)
    assert (int(rows[0]), int(columns[0])) == (24, 12)
    assert (int(rows[1]), int(columns[1])) == (8, 16)
    assert int(rows[2]) == 16
    starts = moved[2, 8:24].int().argmax(1)
    assert int(starts[-1] - starts[0]) in (7, 8)


def test_drawn_maps_stay_in_their_range_and_follow_the_seed():
    ranges = Distortion(translation=3.0, scaling=0.2, squeezing=0.1, shear=0.5)
    first, second = (ranges.draw(2_000, torch.Generator().manual_seed(1)) for _ in range(2))
    assert (first == second).all()
    limits = torch.tensor([3.0, 3.0, 0.2, 0.1, 0.5])
    assert (first.abs().max(0).values <= limits).all()
    assert (first.abs().max(0).values > 0.95 * limits).all()


def test_distort_refuses():
    with pytest.raises(ValueError, match="maps") as caught:
        distort(torch.zeros(2, 32, 32), torch.zeros(3, 5))
    sentence(caught.value, "(2, 32, 32)", "(3, 5)")
