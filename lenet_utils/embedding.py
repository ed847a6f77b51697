"""From a layer's activations to points in the plane, and numbers that say how far to trust the picture."""

from __future__ import annotations

from functools import cache, partial

import numpy as np
import torch
from torch import Tensor, nn

from lenet_utils.checks import choose
from lenet_utils.counting import record_layers

SQUASHING = (nn.Tanh, nn.ReLU, nn.Sigmoid)


@torch.no_grad()
def activations(model: nn.Module, images: Tensor, layer: str, batch_size: int = 1_000) -> np.ndarray:
    """What a layer passes on, after the squashing function that follows it.

    Parameters
    ----------
    model : torch.nn.Module
    images : torch.Tensor, shape (N, C, H, W), float
        Prepared as in training.
    layer : str
        A name as in :func:`lenet_utils.counting.layer_table`, for instance ``"f6"``.
    batch_size : int
        How many images go through at once.

    Returns
    -------
    numpy.ndarray, shape (N, D), float32
        One flattened row for each image.

    Raises
    ------
    ValueError
        If the network has no such layer, or there is no image.
    """
    if len(images) == 0:
        raise ValueError(f"Expected at least one image; got an empty batch of shape {tuple(images.shape)}: pass one.")
    device = next(model.parameters()).device
    rows = []
    model.eval()
    for batch in images.split(batch_size):
        with record_layers(model) as passed:
            model(batch.to(device))
        outputs: dict[str, Tensor] = {}
        last = ""
        for name, module, output in passed:
            squashes = isinstance(module, SQUASHING) or getattr(module, "is_squashing", False)
            last = last if squashes and last else name
            outputs[last] = output
        if layer not in outputs:
            raise ValueError(f"Unknown layer {layer!r}: choose one of {', '.join(map(repr, outputs))}.")
        rows.append(outputs[layer].flatten(1).float().cpu())
    return torch.cat(rows).numpy()


def reduce(points: np.ndarray, num_components: int = 50, seed: int = 0) -> np.ndarray:
    """The first principal components of ``points`` (N, D): shape (N, at most ``num_components``)."""
    from sklearn.decomposition import PCA

    wanted = min(num_components, *points.shape)
    return PCA(wanted, random_state=seed).fit_transform(points).astype(np.float32)


def tsne(
    points: np.ndarray,
    perplexity: float = 30.0,
    *,
    init: str = "pca",
    learning_rate: float | str = "auto",
    num_iterations: int = 500,
    num_components: int = 50,
    seed: int = 0,
) -> np.ndarray:
    """Points in the plane whose neighbours are, as far as possible, the neighbours in ``points``.

    t-SNE (van der Maaten & Hinton 2008) of the first principal components, started from the first two of them, as Kobak
    & Berens (2019) recommend.  Attraction is summed over the ``3 * perplexity`` nearest neighbours, repulsion over all
    pairs, without approximation: for some thousands of points, that is faster than scikit-learn
    (``benchmarks/tsne_speed.json``).

    Parameters
    ----------
    points : numpy.ndarray, shape (N, D)
    perplexity : float
        About how many neighbours count for each point; below N.
    init : {"pca", "random"}
    learning_rate : float or "auto"
        By default N / 12, and at least 50.
    num_iterations : int
        The first 250 are the early exaggeration.
    num_components : int
        Principal components kept before t-SNE.
    seed : int

    Returns
    -------
    numpy.ndarray, shape (N, 2), float32
    """
    choose("init", init, dict.fromkeys(("pca", "random")))
    if points.ndim != 2 or not 0 < perplexity < len(points):
        raise ValueError(
            f"Expected points of shape (N, D) and a perplexity between 0 and N; got shape {points.shape} and "
            f"{perplexity:g}."
        )
    reduced = reduce(points, num_components, seed)
    start = reduced[:, :2] if init == "pca" else np.random.default_rng(seed).normal(size=(len(points), 2))
    dots = np.ascontiguousarray(1e-4 * (start / start[:, 0].std()).T, dtype=np.float32)  # (2, N)
    rate = max(len(points) / 12, 50.0) if learning_rate == "auto" else learning_rate

    p = neighbour_probabilities(reduced, perplexity)
    forces = _compiled(tsne_forces)
    slope, velocity, gains = np.empty_like(dots), np.zeros_like(dots), np.ones_like(dots)
    for step in range(num_iterations):
        exaggeration, momentum = (12.0, 0.5) if step < 250 else (1.0, 0.8)
        forces(dots, p.indptr, p.indices, p.data, np.float32(exaggeration), slope)
        gains = np.where(slope * velocity < 0, gains + 0.2, 0.8 * gains).clip(min=0.01).astype(np.float32)
        velocity = np.float32(momentum) * velocity - np.float32(rate) * gains * slope
        dots += velocity
    return dots.T.copy()


def neighbour_probabilities(points: np.ndarray, perplexity: float):
    """t-SNE's p: how likely each two points are to be neighbours, by the ``3 * perplexity`` nearest ones of each.

    Returns
    -------
    scipy.sparse.csr_array, shape (N, N), float32
        Symmetric; all entries sum to 1.
    """
    from scipy.sparse import csr_array
    from sklearn.neighbors import NearestNeighbors

    num, k = len(points), min(len(points) - 1, int(3 * perplexity) + 1)
    distances, others = NearestNeighbors(n_neighbors=k).fit(points).kneighbors()  # (N, k) each
    squared = distances.astype(np.float64) ** 2
    squared -= squared[:, :1]  # which changes no share, and leaves at least one that is not 0
    low, high = np.full((num, 1), 1e-12), np.full((num, 1), 1e12)  # of 1 / 2σ²
    for _ in range(60):
        middle = np.sqrt(low * high)
        shares = np.exp(-middle * squared)
        shares /= shares.sum(axis=1, keepdims=True)
        entropy = -(shares * np.log(np.maximum(shares, 1e-300))).sum(axis=1, keepdims=True)
        too_wide = entropy > np.log(perplexity)
        low, high = np.where(too_wide, middle, low), np.where(too_wide, high, middle)
    one_way = csr_array((shares.ravel(), others.ravel(), np.arange(0, num * k + 1, k)), shape=(num, num))
    return ((one_way + one_way.T) / (2 * num)).astype(np.float32).tocsr()


def tsne_forces(dots, starts, others, p, exaggeration, slope):
    """The slope of t-SNE's cost by each coordinate of ``dots`` (2, N), written into ``slope``; p is sparse, by rows."""
    x, y = dots[0], dots[1]  # contiguous, so that the loops become vector instructions
    one, four = np.float32(1), np.float32(4)
    total = 0.0
    for i in range(len(x)):  # all others push
        around, push_x, push_y = np.float32(0), np.float32(0), np.float32(0)
        for j in range(len(x)):
            dx, dy = x[i] - x[j], y[i] - y[j]
            w = one / (one + dx * dx + dy * dy)
            around += w
            push_x += w * w * dx
            push_y += w * w * dy
        total += around - one  # its own w
        slope[0, i], slope[1, i] = push_x, push_y
    whole = np.float32(total)
    for i in range(len(x)):  # neighbours pull
        pull_x, pull_y = np.float32(0), np.float32(0)
        for place in range(starts[i], starts[i + 1]):
            j = others[place]
            dx, dy = x[i] - x[j], y[i] - y[j]
            spring = p[place] / (one + dx * dx + dy * dy)
            pull_x += spring * dx
            pull_y += spring * dy
        slope[0, i] = four * (exaggeration * pull_x - slope[0, i] / whole)
        slope[1, i] = four * (exaggeration * pull_y - slope[1, i] / whole)


@cache
def _compiled(function):
    """By Numba, which keeps what it compiled beside this file or in the user's cache, where it can."""
    import numba

    compile_it = partial(numba.njit, fastmath={"reassoc", "contract", "arcp", "nsz"}, error_model="numpy")
    try:
        return compile_it(cache=True)(function)
    except RuntimeError:  # neither can be written
        return compile_it()(function)


def nearest_neighbours(points: np.ndarray, num_neighbours: int = 10) -> np.ndarray:
    """The nearest other points of each point, nearest first.

    Parameters
    ----------
    points : numpy.ndarray, shape (N, D)
    num_neighbours : int
        Below N.

    Returns
    -------
    numpy.ndarray, shape (N, num_neighbours), int
        Rows of ``points``, by their numbers.

    Examples
    --------
    >>> nearest_neighbours(np.array([[0.0], [1.0], [3.0]]), 1).tolist()
    [[1], [0], [1]]
    """
    from sklearn.neighbors import NearestNeighbors

    if not 0 < num_neighbours < len(points):
        raise ValueError(
            f"Expected more points than neighbours, and at least one neighbour; got {len(points)} points and "
            f"{num_neighbours} neighbours."
        )
    return NearestNeighbors(n_neighbors=num_neighbours).fit(points).kneighbors(return_distance=False)


def neighbour_recall(points: np.ndarray, embedded: np.ndarray, num_neighbours: int = 10) -> float:
    """How many of each point's nearest neighbours stay among its nearest in the picture: mean share, 0 to 1.

    Parameters
    ----------
    points, embedded : numpy.ndarray, shape (N, D) and (N, 2)
    num_neighbours : int
        Below N.
    """
    if len(points) != len(embedded):
        raise ValueError(f"Expected as many points as embedded ones; got {len(points)} and {len(embedded)}.")
    before, after = (nearest_neighbours(x, num_neighbours) for x in (points, embedded))
    kept = [len(np.intersect1d(a, b, assume_unique=True)) for a, b in zip(before, after, strict=True)]
    return float(np.mean(kept)) / num_neighbours


def trustworthiness(points: np.ndarray, embedded: np.ndarray, num_neighbours: int = 10) -> float:
    """How few strangers the picture puts among each point's neighbours: 1 is none (Venna & Kaski 2001)."""
    from sklearn.manifold import trustworthiness as measure

    return float(measure(points, embedded, n_neighbors=num_neighbours))


def linear_probe(
    train_points: np.ndarray, train_labels: Tensor, test_points: np.ndarray, test_labels: Tensor, seed: int = 0
) -> float:
    """Error rate in per cent of a linear classifier that is given these activations (Alain & Bengio 2016).

    Logistic regression on standardised activations, fitted on the training points, judged on the test points.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2_000, random_state=seed))
    probe.fit(train_points, np.asarray(train_labels))
    return 100 * float(np.mean(probe.predict(test_points) != np.asarray(test_labels)))
