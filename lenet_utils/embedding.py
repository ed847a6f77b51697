"""From a layer's activations to points in the plane, and numbers that say how far to trust the picture."""

from __future__ import annotations

from numbers import Real

import numpy as np
import torch
from torch import Tensor, nn

from lenet_utils.arguments import check_count, checked
from lenet_utils.checks import check_batch, check_labels, choose
from lenet_utils.counting import record_layers

SQUASHING = (nn.Tanh, nn.ReLU, nn.Sigmoid)
COARSENESS = 0.8  # Barnes & Hut's angle: how soon far points are taken together; 0.5 takes half as long again


@checked
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
    check_batch(images)
    check_count("batch_size", batch_size, most=2**62)
    weight = next(model.parameters(), images.float())
    rows = []
    model.eval()
    for batch in images.split(batch_size):
        with record_layers(model) as passed:
            model(batch.to(weight.device, weight.dtype))
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


@checked
def reduce(points: np.ndarray, num_components: int = 50, seed: int = 0) -> np.ndarray:
    """The first principal components of ``points`` (N, D): shape (N, at most ``num_components``)."""
    from sklearn.decomposition import PCA

    _check_points(points)
    check_count("num_components", num_components, most=2**62)
    check_count("seed", seed, 0, 2**32 - 1)
    wanted = min(num_components, *points.shape)
    return PCA(wanted, random_state=seed).fit_transform(points).astype(np.float32)


@checked
def tsne(
    points: np.ndarray,
    perplexity: float = 30.0,
    *,
    init: str = "pca",
    learning_rate: float | str = "auto",
    num_iterations: int = 400,
    num_components: int = 50,
    seed: int = 0,
) -> np.ndarray:
    """Points in the plane whose neighbours are, as far as possible, the neighbours in ``points``.

    PCA first, then scikit-learn's t-SNE (van der Maaten & Hinton 2008), started from the principal components, as Kobak
    & Berens (2019) recommend.  Steps are longer than scikit-learn's automatic ones, so that 400 do: on 2,000 digits
    they keep as many neighbours as its usual 1,000, up to 0.01 of the recall (``benchmarks/tsne_speed.json``).

    Parameters
    ----------
    points : numpy.ndarray, shape (N, D)
    perplexity : float
        About how many neighbours count for each point; below N.
    init : {"pca", "random"}
    learning_rate : float or "auto"
        By default N / 12, and at least 50.
    num_iterations : int
        At least 250, which are spent on the early exaggeration.
    num_components : int
        Principal components kept before t-SNE.
    seed : int

    Returns
    -------
    numpy.ndarray, shape (N, 2), float32
    """
    from sklearn.manifold import TSNE

    choose("init", init, {"pca": 0, "random": 0})
    check_count("num_iterations", num_iterations, 250, 10**6)
    if learning_rate != "auto" and not (isinstance(learning_rate, Real) and 0 < learning_rate < np.inf):
        raise ValueError(f"learning_rate must be positive and finite, or 'auto'; got {learning_rate!r}.")
    if points.ndim != 2 or not 0 < perplexity < len(points):
        raise ValueError(
            f"Expected points of shape (N, D) and a perplexity between 0 and N; got shape {points.shape} and "
            f"{perplexity:g}."
        )
    _check_points(points)
    embed = TSNE(
        2,
        perplexity=perplexity,
        init=init,
        learning_rate=max(len(points) / 12, 50.0) if learning_rate == "auto" else learning_rate,
        max_iter=num_iterations,
        angle=COARSENESS,
        random_state=seed,
    )
    return embed.fit_transform(reduce(points, num_components, seed))


@checked
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

    _check_points(points)
    if not 0 < num_neighbours < len(points):
        raise ValueError(
            f"Expected more points than neighbours, and at least one neighbour; got {len(points)} points and "
            f"{num_neighbours} neighbours."
        )
    return NearestNeighbors(n_neighbors=num_neighbours).fit(points).kneighbors(return_distance=False)


@checked
def neighbour_recall(points: np.ndarray, embedded: np.ndarray, num_neighbours: int = 10) -> float:
    """How many of each point's nearest neighbours stay among its nearest in the picture: mean share, 0 to 1.

    Parameters
    ----------
    points, embedded : numpy.ndarray, shape (N, D) and (N, 2)
    num_neighbours : int
        Below N.
    """
    _check_points(points, embedded)
    before, after = (nearest_neighbours(x, num_neighbours) for x in (points, embedded))
    kept = [len(np.intersect1d(a, b, assume_unique=True)) for a, b in zip(before, after, strict=True)]
    return float(np.mean(kept)) / num_neighbours


@checked
def trustworthiness(points: np.ndarray, embedded: np.ndarray, num_neighbours: int = 10) -> float:
    """How few strangers the picture puts among each point's neighbours: 1 is none (Venna & Kaski 2001)."""
    from sklearn.manifold import trustworthiness as measure

    _check_points(points, embedded)
    if not 0 < num_neighbours < len(points) / 2:
        raise ValueError(
            f"Expected 1 to {(len(points) - 1) // 2} neighbours, below half the points; got {num_neighbours}."
        )
    return float(measure(points, embedded, n_neighbors=num_neighbours))


@checked
def linear_probe(
    train_points: np.ndarray, train_labels: Tensor, test_points: np.ndarray, test_labels: Tensor, seed: int = 0
) -> float:
    """Error rate in per cent of a linear classifier that is given these activations (Alain & Bengio 2016).

    Logistic regression on standardised activations, fitted on the training points, judged on the test points.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    for points, labels in ((train_points, train_labels), (test_points, test_labels)):
        _check_points(points)
        check_labels(labels, len(points), 2**62)
    if len(train_labels.unique()) < 2 or train_points.shape[1] != test_points.shape[1]:
        raise ValueError(
            f"Expected two classes to learn, and training and test points of one length; got "
            f"{len(train_labels.unique())} class, and shapes {train_points.shape} and {test_points.shape}."
        )
    check_count("seed", seed, 0, 2**32 - 1)
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2_000, random_state=seed))
    probe.fit(train_points, np.asarray(train_labels))
    return 100 * float(np.mean(probe.predict(test_points) != np.asarray(test_labels)))


def _check_points(points: np.ndarray, embedded: np.ndarray | None = None) -> None:
    for array in (points,) if embedded is None else (points, embedded):
        if array.ndim != 2 or array.size == 0 or not np.isfinite(array).all():
            raise ValueError(f"Expected finite points of shape (N, D); got {array.dtype} of shape {array.shape}.")
    if embedded is not None and len(points) != len(embedded):
        raise ValueError(f"Expected as many points as embedded ones; got {len(points)} and {len(embedded)}.")
