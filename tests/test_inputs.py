"""Centring against MNIST itself: its makers' own centring must leave nothing to do."""

import pytest
import torch

from lenet_utils import canonical
from lenet_utils.data import data_dir, load
from lenet_utils.inputs import center_by_mass


def test_center_by_mass_leaves_mnist_as_it_is():
    if not all(path.exists() for path, _ in canonical.files("mnist", data_dir()).values()):
        pytest.skip("needs MNIST on disk")
    images = load("mnist").test_images[:1_000]
    assert all(torch.equal(center_by_mass(image), image) for image in images)


def test_center_by_mass_aims_at_pixel_14():
    image = torch.zeros(28, 28)
    image[3, 20] = 1
    assert center_by_mass(image)[14, 14] == 1
