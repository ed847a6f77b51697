"""Sheets of small images: the same sixteen greys in Python and in the page, and nothing else is taken."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import torch
from conftest import sentence
from PIL import Image

from lenet_utils.widgets.pictures import COLUMNS, LEVELS, sheet
from widgets.pads import call


def opened(found: dict) -> Image.Image:
    kind, _, letters = found["picture"].partition(",")
    assert kind == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(letters)))


def cut(found: dict) -> np.ndarray:
    """The images of a sheet, (N, 28, 28), read by another program than the page's."""
    grid = np.asarray(opened(found).convert("L"))
    rows, columns = grid.shape[0] // 28, found["columns"]
    return grid.reshape(rows, 28, columns, 28).swapaxes(1, 2).reshape(-1, 28, 28)[: found["count"]]


@pytest.mark.parametrize("count", [1, COLUMNS, COLUMNS + 3])
def test_images_come_back_in_the_nearest_of_sixteen_greys(count, digits):
    images = digits.test_images[:count]
    found = sheet(images)
    assert found["count"] == count
    assert opened(found).size == (28 * min(count, COLUMNS), 28 * -(-count // COLUMNS))
    difference = np.abs(cut(found).astype(int) - images.numpy())
    assert difference.max() <= 255 / (LEVELS - 1) / 2 + 0.5
    assert len(np.unique(cut(found))) <= LEVELS
    assert {0, 255} <= set(np.unique(cut(found)).tolist())


def test_a_digit_weighs_little(digits):
    assert len(sheet(digits.test_images[:200])["picture"]) < 200 * 200


@pytest.mark.parametrize(
    "images",
    [
        torch.zeros(28, 28, dtype=torch.uint8),
        torch.zeros(2, 27, 28, dtype=torch.uint8),
        torch.zeros(0, 28, 28, dtype=torch.uint8),
        torch.zeros(2, 28, 28),
        torch.zeros(2, 1, 28, 28, dtype=torch.uint8),
    ],
    ids=lambda images: f"{images.dtype}{tuple(images.shape)}",
)
def test_other_shapes_and_types_are_refused(images):
    with pytest.raises(ValueError, match="Expected uint8 images") as caught:
        sheet(images)
    sentence(caught.value, str(tuple(images.shape)), str(images.dtype))


@pytest.mark.slow
@pytest.mark.browser
def test_a_page_reads_the_same_greys(digits, browser):
    found = sheet(digits.test_images[: COLUMNS + 3])
    page = browser.new_page()
    read = np.array(call(page, "widget", "(await readSheet(x)).map((image) => Array.from(image))", found))
    page.close()
    np.testing.assert_allclose(read.reshape(-1, 28, 28), cut(found) / 255, atol=1e-6)
