"""Plain numbers about a trained network, each computed over all images and none left out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from lenet_utils.arguments import check_count, check_finite, checked
from lenet_utils.checks import check_batch, check_labels


@checked
@torch.no_grad()
def outputs(model: nn.Module, images: Tensor, batch_size: int = 250) -> Tensor:
    """What the network says: logits, or penalties where the smallest wins.

    Parameters
    ----------
    model : torch.nn.Module
    images : torch.Tensor, shape (N, C, H, W), float
        Prepared as in training; see :func:`lenet_utils.preprocessing.prepare`.
    batch_size : int
        How many images go through at once; it changes the time, not the result.

    Returns
    -------
    torch.Tensor, shape (N, num_classes), on the CPU

    Raises
    ------
    ValueError
        If there is no image, or one holds what is not finite.
    """
    check_batch(images)
    check_count("batch_size", batch_size, most=2**62)
    model.eval()
    weight = next(model.parameters(), images)
    dtype = weight.dtype if images.is_floating_point() else images.dtype
    return torch.cat([model(batch.to(weight.device, dtype)).cpu() for batch in images.split(batch_size)])


@checked
def predicted_classes(model: nn.Module, outputs: Tensor) -> Tensor:
    """The class that each row of ``outputs`` (N, num_classes) stands for: the largest, or the smallest penalty."""
    if outputs.ndim != 2 or outputs.numel() == 0:
        raise ValueError(f"Expected outputs of shape (N, num_classes); got shape {tuple(outputs.shape)}.")
    return outputs.argmin(1) if getattr(model, "smallest_wins", False) else outputs.argmax(1)


@checked
def predict(model: nn.Module, images: Tensor, batch_size: int = 250) -> Tensor:
    """The class that the network gives each image: shape (N,), int64; parameters as in :func:`outputs`.

    Raises
    ------
    ValueError
        If an output is not finite, for then no class is the largest.
    """
    found = outputs(model, images, batch_size)
    if not found.isfinite().all():
        count = int((~found.isfinite()).any(1).sum())
        raise ValueError(
            f"For {count:,} of {len(found):,} images the network's outputs are not finite: train it again."
        )
    return predicted_classes(model, found)


@checked
@torch.no_grad()
def evaluate(
    model: nn.Module, images: Tensor, labels: Tensor, loss: Callable[[Tensor, Tensor], Tensor]
) -> tuple[float, float]:
    """Mean loss, and error rate in per cent, over all images; parameters as in :func:`outputs`.

    Parameters
    ----------
    labels : torch.Tensor, shape (N,), int64
    loss : callable
        Takes outputs (N, num_classes) and labels, returns their mean loss.
    """
    found, labels = outputs(model, images), labels.cpu()
    predictions = predicted_classes(model, found)
    check_labels(labels, *found.shape)
    return float(loss(found, labels.long())), error_rate(predictions, labels)


@checked
def error_rate(predictions: Tensor, labels: Tensor) -> float:
    """Wrong predictions in per cent of all.

    Parameters
    ----------
    predictions, labels : torch.Tensor, shape (N,), int64

    Examples
    --------
    >>> error_rate(torch.tensor([1, 2, 3, 4]), torch.tensor([1, 2, 3, 5]))
    25.0
    """
    _check_classes(predictions, labels)
    return 100 * int((predictions != labels).sum()) / len(labels)


@checked
def confusion_matrix(predictions: Tensor, labels: Tensor, num_classes: int = 10) -> np.ndarray:
    """How often each true class (row) was given each predicted class (column): shape (num_classes, num_classes)."""
    _check_classes(predictions, labels)
    check_count("num_classes", num_classes, most=4_096)
    for name, values in (("predictions", predictions), ("labels", labels)):
        if values.min() < 0 or values.max() >= num_classes:
            raise ValueError(
                f"{name} must lie in 0..{num_classes - 1}; found {int(values.min())}..{int(values.max())}."
            )
    places = labels.long() * num_classes + predictions.long()  # which uint8 could not hold
    counts = torch.bincount(places, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes).cpu().numpy()


@checked
def wilson_interval(num_wrong: int, num_images: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's score interval for an error rate, in per cent: by default the one that covers 95 %.

    It answers how far the rate over all possible images may lie from the one over these; it says nothing about
    another seed (Wilson 1927).

    Examples
    --------
    >>> low, high = wilson_interval(95, 10_000)
    >>> f"{low:.2f} to {high:.2f}"
    '0.78 to 1.16'
    """
    if not 0 <= num_wrong <= num_images or num_images == 0:
        raise ValueError(f"Expected 0 <= num_wrong <= num_images > 0; got {num_wrong} of {num_images}.")
    if not 0 < z < np.inf:
        raise ValueError(f"z is a number of standard deviations, above 0, such as 1.96 for 95 %; got {z}.")
    rate, spread = num_wrong / num_images, z**2 / num_images
    middle = rate + spread / 2
    half = z * np.sqrt(rate * (1 - rate) / num_images + spread / (4 * num_images))
    return 100 * float((middle - half) / (1 + spread)), 100 * float((middle + half) / (1 + spread))


@checked
def margins(scores: Tensor) -> Tensor:
    """How far the best score of each row of (N, C) lies above the second, (N,): how sure an answer is.

    Raises
    ------
    ValueError
        If there are fewer than two classes, or a score is not finite.
    """
    if scores.ndim != 2 or scores.shape[1] < 2 or not scores.isfinite().all():
        raise ValueError(f"Expected finite scores of at least two classes, (N, C); got shape {tuple(scores.shape)}.")
    best = scores.topk(2, dim=1).values
    return best[:, 0] - best[:, 1]


@checked
def rejection_curve(scores: Tensor, predictions: Tensor, labels: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Error among the accepted images when the least certain are rejected (LeCun et al. 1998, Fig. 10).

    Parameters
    ----------
    scores : torch.Tensor, shape (N,)
        How certain each prediction is, larger is surer; the paper takes the difference of the two best outputs.
    predictions, labels : torch.Tensor, shape (N,), int64

    Returns
    -------
    rejected, error : numpy.ndarray, shape (N,)
        In per cent: of all images, those rejected (0, 1/N, ...); of those accepted, the wrong ones.
    """
    _check_classes(predictions, labels)
    _check_pair(scores, labels)
    if not scores.isfinite().all():
        raise ValueError(
            f"Scores must be finite; {int((~scores.isfinite()).sum())} of {len(scores)} are not: did the training "
            f"diverge?"
        )
    wrong = (predictions != labels)[scores.double().argsort(descending=True, stable=True)].cpu().numpy()
    accepted = np.arange(1, len(wrong) + 1)
    error = 100 * wrong.cumsum() / accepted
    return (100 * (1 - accepted / len(wrong)))[::-1], error[::-1]


@checked
def rejected_for(scores: Tensor, labels: Tensor, goal: float = 0.5) -> float:
    """The smallest share of images, in per cent, whose rejection leaves at most ``goal`` per cent errors (Fig. 10).

    Those with the smallest margin between the two best scores are rejected first.

    Parameters
    ----------
    scores : torch.Tensor, shape (N, C)
    labels : torch.Tensor, shape (N,), int64
    goal : float
        In per cent of the images that are accepted.

    Returns
    -------
    float
        100 if even the surest answer is wrong.

    Examples
    --------
    >>> scores = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4], [0.3, 0.7]])
    >>> rejected_for(scores, torch.tensor([0, 0, 1, 1]))
    25.0
    """
    check_finite(goal=goal)
    rejected, error = rejection_curve(margins(scores), scores.argmax(1), labels)
    enough = (error <= goal).nonzero()[0]
    return float(rejected[enough[0]]) if len(enough) else 100.0


@checked
def judge(scores: Tensor, labels: Tensor) -> dict[str, int | float]:
    """What a results file keeps of a test: ``test_size``, ``test_wrong``, ``test_error`` and ``rejected``.

    Parameters
    ----------
    scores : torch.Tensor, shape (N, C)
        The largest wins.
    labels : torch.Tensor, shape (N,), int64

    Returns
    -------
    dict
        The last two in per cent; ``rejected`` is :func:`rejected_for` half a per cent of errors.
    """
    rejected, answers = rejected_for(scores, labels), scores.argmax(1)
    wrong = int((answers != labels).sum())
    return {
        "test_size": len(labels),
        "test_wrong": wrong,
        "test_error": 100 * wrong / len(labels),
        "rejected": rejected,
    }


def _check_classes(predictions: Tensor, labels: Tensor) -> None:
    _check_pair(predictions, labels)
    for name, values in (("predictions", predictions), ("labels", labels)):
        if values.is_floating_point() or values.dtype == torch.bool:
            raise TypeError(f"Expected {name} as whole numbers, the classes; got {values.dtype}.")


def _check_pair(values: Tensor, labels: Tensor) -> None:
    if values.shape != labels.shape or labels.ndim != 1 or len(labels) == 0:
        raise ValueError(
            f"Expected one value for each label, in two tensors of shape (N,) with N > 0; "
            f"got {tuple(values.shape)} and {tuple(labels.shape)}."
        )
