"""From pixels to what a network reads: against MNIST, against NumPy, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import sentence

from lenet_utils.preprocessing import center_by_mass, normalise, pad, paper_range, prepare, standardise


def test_center_by_mass_leaves_mnist_as_it_is(canonical_dataset):
    """Its makers' own centring must leave nothing to do."""
    if canonical_dataset.name == "mnist":
        images = canonical_dataset.test_images[:1_000]
        assert all(torch.equal(center_by_mass(image), image) for image in images)


def test_center_by_mass_against_numpy():
    draw = np.random.default_rng(1)
    for _ in range(20):
        image = np.zeros((28, 28))
        row, column = draw.integers(0, 18, 2)
        image[row : row + 10, column : column + 10] = draw.random((10, 10))
        centred = center_by_mass(torch.from_numpy(image)).numpy()
        middle = [(centred * grid).sum() / centred.sum() for grid in np.indices(image.shape)]
        np.testing.assert_allclose(middle, 14, atol=0.501)
        np.testing.assert_allclose(np.sort(centred, axis=None), np.sort(image, axis=None))


def test_center_by_mass_pushes_no_ink_over_the_edge():
    image = torch.zeros(9, 9)
    image[0, 0], image[0, 1:8] = 100, 0.5  # the mass is at the left, the faint ink reaches far to the right
    centred = center_by_mass(image)
    assert centred.sum() == image.sum()
    assert centred[:, -1].any()
    assert torch.equal(centred.sum(0), torch.roll(image.sum(0), 1))


def test_center_by_mass_without_ink_gives_a_copy():
    image = torch.zeros(28, 28, dtype=torch.uint8)
    centred = center_by_mass(image)
    assert torch.equal(centred, image)
    assert centred.data_ptr() != image.data_ptr()


def test_center_by_mass_refuses_a_batch():
    with pytest.raises(ValueError, match=r"shape \(H, W\); got shape \(2, 28, 28\)"):
        center_by_mass(torch.zeros(2, 28, 28))


def test_pad_adds_background_on_all_sides():
    images = torch.full((2, 28, 28), 7, dtype=torch.uint8)
    padded = pad(images)
    assert (padded.shape, padded.dtype) == ((2, 32, 32), torch.uint8)
    assert torch.equal(padded[:, 2:-2, 2:-2], images)
    assert padded.sum() == images.sum()


@pytest.mark.parametrize("size", [26, 31])
def test_pad_refuses_what_it_cannot_centre(size):
    with pytest.raises(ValueError, match="Cannot centre") as caught:
        pad(torch.zeros(1, 28, 28), size)
    sentence(caught.value, "28×28", f"{size}×{size}", "even number")


def test_standardise():
    images = torch.tensor([0, 255], dtype=torch.uint8).reshape(2, 1, 1)
    expected = [(0 - 0.1307) / 0.3081, (1 - 0.1307) / 0.3081]
    out = standardise(images)
    assert (out.shape, out.dtype) == ((2, 1, 1, 1), torch.float32)
    torch.testing.assert_close(out.ravel(), torch.tensor(expected))
    torch.testing.assert_close(standardise(images.float() / 255), out)


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"std": 0}, "std must be positive, for images are divided by it; got 0"),
        ({"std": -0.3}, "got -0.3"),
        ({"std": float("nan")}, "std must be finite; got nan"),
        ({"std": float("inf")}, "got inf"),
        ({"mean": float("nan")}, "mean must be finite; got nan"),
        ({"mean": float("-inf")}, "got -inf"),
    ],
)
def test_standardise_refuses_what_scales_nothing(changes, part):
    with pytest.raises(ValueError, match=r"mean|std") as caught:
        standardise(torch.zeros(1, 28, 28), **changes)
    sentence(caught.value, part)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_center_by_mass_refuses_what_is_no_ink(value):
    with pytest.raises(ValueError, match="negative or not finite"):
        center_by_mass(torch.tensor([[0.0, 1.0], [value, 0.0]]))


def test_arrays_lists_and_other_types_are_prepared_alike(digits):
    images = digits.test_images[:2]
    for other in (images.numpy(), images.numpy()[::-1][::-1], images / 255, (images / 255).numpy().astype(">f8")):
        torch.testing.assert_close(prepare(other), prepare(images))
    torch.testing.assert_close(prepare((images / 255).tolist()), prepare(images))


def test_paper_range_is_the_papers():
    images = torch.tensor([0, 255], dtype=torch.uint8).reshape(2, 1, 1)
    torch.testing.assert_close(paper_range(images).ravel(), torch.tensor([-0.1, 1.175]))


@pytest.mark.parametrize("scaling", ["standard", "paper", "unit"])
def test_prepare_pads_before_it_scales(digits, scaling):
    images = digits.test_images[:3]
    out = prepare(images, 32, scaling)
    assert (out.shape, out.dtype) == ((3, 1, 32, 32), torch.float32)
    torch.testing.assert_close(out[:, :, 2:-2, 2:-2], prepare(images, 28, scaling))
    assert (out[:, :, :2] == out.min()).all()


def test_prepare_refuses_an_unknown_scaling(digits):
    with pytest.raises(ValueError, match="Unknown scaling 'z': choose one of 'unit', 'standard', 'paper'"):
        prepare(digits.test_images, 32, "z")


@pytest.mark.parametrize("function", [pad, standardise, paper_range, prepare])
class TestBadPixels:
    @pytest.mark.parametrize("scale", [255.0, -1.0, float("nan"), float("inf")])
    def test_floats_out_of_range(self, function, scale):
        with pytest.raises(ValueError, match=r"floats in \[0, 1\]") as caught:
            function(torch.ones(2, 28, 28) * scale)
        sentence(caught.value, "uint8 in 0..255", "got torch.float32", "Divide by 255")

    def test_integers_of_another_type(self, function):
        with pytest.raises(ValueError, match=r"got torch.int64 in 0\.\.0"):
            function(torch.zeros(2, 28, 28, dtype=torch.int64))

    def test_empty_batch(self, function):
        with pytest.raises(ValueError, match="at least one image") as caught:
            function(torch.zeros(0, 28, 28))
        sentence(caught.value, "(0, 28, 28)", "empty batch", "pass one")

    def test_a_row_of_pixels(self, function):
        with pytest.raises(ValueError, match="reshape") as caught:
            function(torch.zeros(784))
        sentence(caught.value, "(784,)", "(N, H, W)")


@pytest.mark.parametrize("function", [standardise, paper_range])
def test_a_channel_too_many(function):
    with pytest.raises(ValueError, match=r"\(N, H, W\), without a channel; got shape \(2, 1, 28, 28\)"):
        function(torch.zeros(2, 1, 28, 28))


# --- one digit as MNIST has them -------------------------------------------------------------------------------------


def test_normalise_leaves_mnist_nearly_as_it_is(mnist):
    images = mnist.validation_images[:500].float() / 255
    apart = torch.stack([normalise(image) - image for image in images]).abs()
    assert float(apart.mean()) < 0.001
    assert float((apart.amax((1, 2)) < 1 / 255).float().mean()) > 0.9


def test_normalise_does_what_its_description_says():
    """Written out pixel by pixel, on a digit that is cropped, shrunk along both axes and stretched."""
    draw = np.random.default_rng(3)
    ink = np.zeros((70, 60))
    ink[11:58, 20:41] = draw.uniform(0.1, 0.7, (47, 21))
    ink[3, 5] = ink.max() / 21  # too faint to count
    box, height, width = ink[11:58, 20:41], 20, 9  # 20 · 21 / 47 = 8.94
    scaled = np.zeros((height, width))
    for i in range(height):
        for j in range(width):
            for r in range(47):
                for c in range(21):
                    down = min((i + 1) * 47 / height, r + 1) - max(i * 47 / height, r)
                    across = min((j + 1) * 21 / width, c + 1) - max(j * 21 / width, c)
                    scaled[i, j] += max(down, 0) * max(across, 0) * box[r, c]
    field = torch.zeros(28, 28, dtype=torch.float64)
    field[:height, :width] = torch.from_numpy(scaled / scaled.max())
    np.testing.assert_allclose(normalise(ink), center_by_mass(field), atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (16, 16), (28, 28), (300, 7), (5, 400)])
def test_normalised_ink_is_20_pixels_long_and_full(shape):
    image = normalise(np.full(shape, 0.3))
    assert (image.shape, image.dtype, float(image.max())) == ((28, 28), torch.float32, 1.0)
    sides = [int(image.any(axis).sum()) for axis in (1, 0)]
    assert sides == [max(1, int(20 * side / max(shape) + 0.5)) for side in shape]


def test_normalise_knows_no_unit_and_no_surroundings():
    ink = np.random.default_rng(5).random((23, 17))
    inside = np.pad(ink, ((9, 2), (0, 31)))
    for other in (inside, torch.from_numpy(inside), 200 * inside):
        np.testing.assert_allclose(normalise(other), normalise(ink), atol=1e-6)


@pytest.mark.parametrize(
    ("ink", "part"),
    [
        (np.zeros((5, 5)), "no ink"),
        (np.ones((2, 5, 5)), "(2, 5, 5)"),
        (np.ones(9), "(9,)"),
        (np.full((5, 5), np.nan), "not finite"),
        (np.full((5, 5), -1.0), "negative"),
        (np.zeros((0, 5)), "no ink"),
    ],
    ids=["blank", "batch", "row", "nan", "negative", "empty"],
)
def test_normalise_refuses_what_is_no_ink(ink, part):
    with pytest.raises(ValueError, match=r"ink|shape") as caught:
        normalise(ink)
    sentence(caught.value, part)
