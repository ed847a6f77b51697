"""Setting digits upright: a leaning bar, an upright one, the ink, the corners, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import sentence

from lenet_utils.rivals.deslanting import crop, deslant, slant


def bar(lean: int, size: int = 28) -> torch.Tensor:
    """A bar of 13 rows, three pixels wide, that moves by ``lean`` columns from row to row."""
    image = torch.zeros(size, size)
    for row in range(-6, 7):
        middle = size // 2 + lean * row
        image[size // 2 + row, middle - 1 : middle + 2] = 1
    return image


@pytest.mark.parametrize("lean", [-1, 0, 1])
def test_a_leaning_bar_becomes_upright_and_an_upright_one_stays(lean):
    found = slant(bar(lean)[None])
    assert found.item() == pytest.approx(lean)
    torch.testing.assert_close(deslant(bar(lean)[None])[0], bar(0))


def test_the_slant_is_the_slope_of_the_line_that_numpy_fits_to_the_ink(digits):
    for image in digits.test_images[:30]:
        rows, columns = np.nonzero(image.numpy())
        weights = np.sqrt(image.double().numpy()[rows, columns])
        slope, _ = np.polyfit(rows, columns, 1, w=weights)
        assert slant(image[None]).item() == pytest.approx(slope, abs=1e-5)


def test_ink_is_kept_row_by_row_and_the_principal_axis_is_upright(digits):
    images = torch.nn.functional.pad(digits.test_images.float() / 255, (14, 14))  # so that nothing leaves on a side
    upright = deslant(images)
    torch.testing.assert_close(upright.sum(2), images.sum(2), atol=1e-4, rtol=0)
    for image in upright[:50].double().numpy():
        rows, columns = np.indices(image.shape)
        covariance = np.cov(rows.ravel(), columns.ravel(), aweights=image.ravel(), ddof=0)
        assert abs(covariance[0, 1]) < 1e-5


def test_a_deslanted_digit_is_left_alone():
    once = deslant(torch.stack([bar(1), bar(-1)]))
    torch.testing.assert_close(deslant(once), once, atol=1e-5, rtol=0)


def test_bytes_stay_bytes_and_near_what_floats_give(digits):
    images = digits.test_images[:20]
    found = deslant(images)
    assert found.dtype == torch.uint8
    assert (found.float() / 255 - deslant(images.float() / 255)).abs().max() <= 0.5 / 255 + 1e-6


@pytest.mark.parametrize("image", [torch.zeros(1, 9, 9), torch.eye(9)[None] * (torch.arange(9) == 4)[:, None]])
def test_no_ink_and_one_row_of_ink_have_no_slant(image):
    assert slant(image).item() == 0
    torch.testing.assert_close(deslant(image), image)


def test_the_square_lies_in_the_middle_and_moves_for_ink_only():
    inked = torch.zeros(3, 28, 28)
    inked[0, 14, 14] = inked[1, 1, 14] = inked[2, 14, 27] = 1
    assert [tuple(int(n) for n in one.nonzero()[0]) for one in crop(inked)] == [(10, 10), (0, 10), (10, 19)]
    assert crop(torch.zeros(1, 28, 28)).shape == (1, 20, 20)


def test_no_ink_of_a_digit_is_cut_off(digits):
    images = digits.test_images
    assert (crop(images).long().sum((1, 2)) == images.long().sum((1, 2))).all()
    assert (crop(images, 28) == images).all()


@pytest.mark.parametrize("function", [slant, deslant, crop])
@pytest.mark.parametrize(
    ("images", "names"),
    [(torch.zeros(28, 28), "(28, 28)"), (torch.zeros(0, 28, 28), "at least one"), (torch.full((1, 4, 4), -1.0), "ink")],
)
def test_what_is_no_batch_of_images_is_one_sentence(function, images, names):
    with pytest.raises(ValueError, match="Expected") as caught:
        function(images)
    sentence(caught.value, names)


def test_a_square_larger_than_the_images_is_one_sentence():
    with pytest.raises(ValueError, match="size") as caught:
        crop(torch.zeros(1, 28, 28), 29)
    sentence(caught.value, "28")
