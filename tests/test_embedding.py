"""Activations against a forward pass written by hand, and measures against their definitions."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from conftest import ROOT, sentence

from lenet_utils.embedding import (
    activations,
    linear_probe,
    nearest_neighbours,
    neighbour_recall,
    reduce,
    trustworthiness,
    tsne,
)
from lenet_utils.models import MLP, LeNet5, seeded
from lenet_utils.original.network import LeNet5Original
from lenet_utils.preprocessing import prepare

SIZES = {"c1": 4_704, "s2": 1_176, "c3": 1_600, "s4": 400, "c5": 120, "f6": 84, "output": 10}


@pytest.fixture(scope="module")
def images(digits):
    return prepare(digits.test_images[:30])


@pytest.fixture(scope="module")
def cloud():
    """90 points around three far centres in 20 dimensions, and which centre."""
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 30)
    centres = 12 * generator.normal(size=(3, 20))
    return (centres[labels] + generator.normal(size=(90, 20))).astype(np.float32), labels


# --- activations -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", SIZES)
@pytest.mark.parametrize(("activation", "pooling"), [("tanh", "average"), ("relu", "max")])
def test_activations_are_those_of_a_forward_pass_by_hand(images, layer, activation, pooling):
    model = seeded(lambda: LeNet5(activation, pooling), 0)
    f = {"tanh": torch.tanh, "relu": torch.relu}[activation]
    with torch.no_grad():
        x = {"c1": f(model.c1(images))}
        x["s2"] = model.s2(x["c1"])
        x["c3"] = f(model.c3(x["s2"]))
        x["s4"] = model.s4(x["c3"])
        x["c5"] = f(model.c5(x["s4"]))
        x["f6"] = f(model.f6(x["c5"].flatten(1)))
        x["output"] = model.output(x["f6"])
    given = activations(model, images, layer)
    assert given.shape == (30, SIZES[layer])
    assert given.dtype == np.float32
    np.testing.assert_allclose(given, x[layer].flatten(1).numpy(), atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 7, 30])
def test_activations_do_not_depend_on_the_batch_size(images, batch_size):
    model = seeded(LeNet5, 0)
    np.testing.assert_allclose(
        activations(model, images, "f6", batch_size), activations(model, images, "f6"), atol=1e-5
    )


def test_activations_leave_no_hook_behind(images):
    model = seeded(LeNet5, 0)
    activations(model, images, "c5")
    assert [module for module in model.modules() if module._forward_hooks] == []


def test_the_network_of_1998_is_read_after_its_squashing_too(digits):
    model = LeNet5Original(generator=torch.Generator().manual_seed(0))
    images = prepare(digits.test_images[:5], scaling="paper")
    x = images
    with torch.no_grad():
        for stage in model.stages():
            x = stage(x)
    np.testing.assert_allclose(activations(model, images, "f6"), x.numpy(), rtol=1e-6)
    with pytest.raises(ValueError, match="Unknown layer 'activation'"):
        activations(model, images, "activation")


def test_unknown_layer_is_refused_with_those_there(images):
    model = seeded(LeNet5, 0)
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        activations(model, images, "f7")
    sentence(raised.value, "'f7'", *map(repr, SIZES))
    assert [module for module in model.modules() if module._forward_hooks] == []


def test_other_networks_have_layers_too(digits):
    model = seeded(lambda: MLP((30, 20)), 0)
    images = prepare(digits.test_images[:5], 28)
    assert activations(model, images, "layers.1").shape == (5, 30)
    assert activations(model, images, "layers.1").min() >= -1
    assert activations(model, images, "layers.5").shape == (5, 10)


def test_no_image_is_refused():
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        activations(LeNet5(), torch.zeros(0, 1, 32, 32), "f6")
    sentence(raised.value, "at least one image", "empty batch")


# --- pictures --------------------------------------------------------------------------------------------------------


def test_reduce_keeps_distances_when_it_keeps_all_directions(cloud):
    points, _ = cloud
    reduced = reduce(points)
    assert reduced.shape == (90, 20)
    before, after = (np.linalg.norm(x[:, None] - x[None], axis=-1) for x in (points, reduced))
    np.testing.assert_allclose(before, after, atol=1e-3)


def test_reduce_keeps_the_directions_of_largest_spread(cloud):
    points, _ = cloud
    largest = np.linalg.svd(points - points.mean(0), compute_uv=False)[:2]
    np.testing.assert_allclose(np.linalg.norm(reduce(points, 2), axis=0), largest, rtol=1e-4)


def test_reduce_of_fewer_points_than_components(cloud):
    assert reduce(cloud[0][:5]).shape == (5, 5)


def test_tsne_separates_clouds_and_repeats_itself(cloud):
    points, labels = cloud
    picture = tsne(points, perplexity=10, num_iterations=300)
    assert picture.shape == (90, 2)
    assert picture.dtype == np.float32
    np.testing.assert_array_equal(picture, tsne(points, perplexity=10, num_iterations=300))
    distances = np.linalg.norm(picture[:, None] - picture[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    assert np.mean(labels[distances.argmin(1)] == labels) == 1


def test_tsne_keeps_as_many_neighbours_as_scikit_learn_by_itself(digits):
    """The default settings, half of scikit-learn's steps and coarser sums of far points, cost next to nothing."""
    from sklearn.manifold import TSNE

    points = reduce(digits.test_images.flatten(1).float().numpy())
    usual = TSNE(2, perplexity=30, init="pca", random_state=0).fit_transform(points)
    assert neighbour_recall(points, tsne(points)) > neighbour_recall(points, usual) - 0.02


def test_the_benchmark_says_what_the_book_says_of_it():
    """A third of scikit-learn's usual time at the same recall, and openTSNE no more than a sixth below that."""
    path = ROOT / "benchmarks" / "tsne_speed.json"
    if not path.exists():
        pytest.skip("the benchmarks are not installed with the package")
    stored = json.loads(path.read_text("utf8"))
    for layer in ("pixels", "s4", "f6"):
        usual, ours = f"{layer}: scikit-learn, 1,000 iterations", f"{layer}: scikit-learn, the book's settings"
        barnes_hut, fourier = (f"{layer}: openTSNE by {way}, 400 iterations" for way in ("Barnes-Hut", "FFT"))
        seconds, recall = stored["medians"], stored["recall"]
        assert 0.28 < seconds[ours] / seconds[usual] < 0.38
        assert 5 / 6 < seconds[barnes_hut] / seconds[ours] < 1 < seconds[fourier] / seconds[ours]
        assert max(recall[row] for row in (usual, barnes_hut, fourier)) - recall[ours] < 0.01


def test_tsne_seed_matters_for_a_random_start(cloud):
    one, other = (tsne(cloud[0], 10, init="random", num_iterations=250, seed=seed) for seed in (0, 1))
    assert not np.array_equal(one, other)


@pytest.mark.parametrize(
    ("shape", "perplexity", "part"),
    [((20, 5), 20, "20"), ((20, 5), 0, "0"), ((20, 5), -3, "-3"), ((20,), 5, "(20,)"), ((20, 5, 5), 5, "(20, 5, 5)")],
)
def test_tsne_refuses_what_it_cannot_embed(shape, perplexity, part):
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        tsne(np.zeros(shape, dtype=np.float32), perplexity)
    sentence(raised.value, "shape (N, D)", "perplexity between 0 and N", part)


# --- measures --------------------------------------------------------------------------------------------------------


def test_recall_and_trustworthiness_of_the_identity_are_one(cloud):
    points, _ = cloud
    assert neighbour_recall(points, points) == 1
    assert trustworthiness(points, points) == 1


def test_recall_does_not_mind_turning_moving_and_scaling(cloud):
    points = cloud[0][:, :2].astype(np.float64)
    turned = 3 * points @ np.array([[0.0, 1.0], [-1.0, 0.0]]) + 7
    assert neighbour_recall(points, turned) == 1


def test_recall_counts(cloud):
    points, _ = cloud
    picture = np.random.default_rng(1).normal(size=(90, 2))
    share = []
    for i in range(90):
        nearest = []
        for x in (points, picture):
            distances = np.linalg.norm(x - x[i], axis=1)
            distances[i] = np.inf
            nearest.append(set(np.argsort(distances)[:5].tolist()))
        share.append(len(nearest[0] & nearest[1]) / 5)
    assert neighbour_recall(points, picture, 5) == pytest.approx(np.mean(share))


def test_shuffled_picture_is_not_trusted(cloud):
    points, _ = cloud
    shuffled = np.random.default_rng(2).permutation(points)
    assert neighbour_recall(points, shuffled) < 0.3
    assert trustworthiness(points, shuffled) < 0.7


def test_nearest_neighbours_are_others_nearest_first(cloud):
    points, labels = cloud
    near = nearest_neighbours(points, 7)
    for i in range(90):
        distances = np.linalg.norm(points - points[i], axis=1)
        distances[i] = np.inf
        assert near[i].tolist() == np.argsort(distances)[:7].tolist()
    assert (labels[near] == labels[:, None]).all()


@pytest.mark.parametrize("num_neighbours", [0, -1, 90, 91])
def test_nearest_neighbours_refuses_what_is_not_there(cloud, num_neighbours):
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        nearest_neighbours(cloud[0], num_neighbours)
    sentence(raised.value, "more points than neighbours", "90 points", f"{num_neighbours} neighbours")


def test_recall_refuses_what_it_cannot_compare(cloud):
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        neighbour_recall(cloud[0], cloud[0][:89])
    sentence(raised.value, "as many points", "90 and 89")
    with pytest.raises(ValueError, match="more points than neighbours"):
        neighbour_recall(cloud[0], cloud[0], 90)


def test_probe_reads_what_is_linear_and_not_what_is_noise(cloud):
    points, labels = cloud
    labels = torch.from_numpy(labels)
    train, test = slice(0, None, 2), slice(1, None, 2)
    assert linear_probe(points[train], labels[train], points[test], labels[test]) == 0
    noise = np.random.default_rng(3).normal(size=points.shape)
    assert linear_probe(noise[train], labels[train], noise[test], labels[test]) > 30


def test_probe_cannot_read_what_is_not_linear():
    """Four corners of a square, opposite ones of one class: no line separates them."""
    corners = np.tile(np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), (10, 1))
    labels = torch.tensor([0, 1, 1, 0] * 10)
    assert linear_probe(corners, labels, corners, labels) >= 25
