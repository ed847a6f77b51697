"""One clear sentence for input that a function or a network cannot read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from lenet_utils.arguments import MOST_VALUES, article, shown

Choice = TypeVar("Choice")


def check_images(images: Tensor, channels: int, size: int, model: nn.Module | None = None) -> None:
    """Refuse a batch that a network cannot read with one sentence that says how to mend it.

    Raises
    ------
    ValueError
        Unless ``images`` has shape (N, channels, size, size) with N > 0 and, given a ``model``, lies where its weights
        lie.
    TypeError
        Unless its dtype is a floating-point one and, given a ``model``, that of its weights.
    """
    expected = f"(N, {channels}, {size}, {size})"
    if not isinstance(images, Tensor) or images.layout != torch.strided:
        raise TypeError(f"Expected images as a tensor of shape {expected}; got {shown(images)}.")
    if images.ndim > 0 and len(images) == 0:
        raise ValueError(
            f"Expected images of shape {expected} with N of at least 1; got an empty batch of shape "
            f"{tuple(images.shape)}: pass at least one image."
        )
    if images.ndim != 4 or tuple(images.shape[1:]) != (channels, size, size):
        hint = ""
        if images.ndim == 4 and images.shape[1] == channels and images.shape[2] == images.shape[3] < size:
            hint = f" Pad smaller images, then scale them: lenet_utils.preprocessing.prepare(pixels, {size}) does both."
        elif images.ndim == 3 and channels == 1:
            hint = " Add the channel: images.unsqueeze(1)."
        raise ValueError(f"Expected images of shape {expected}; got {tuple(images.shape)}.{hint}")
    if not images.is_floating_point():
        raise TypeError(
            f"Expected floating-point images of shape {expected}; got {images.dtype}. "
            f"Scale pixels first: lenet_utils.preprocessing.standardise(images)."
        )
    if model is not None:
        check_fit(images, next(model.parameters(), images), "images")


def check_fit(values: Tensor, weight: Tensor, name: str) -> None:
    """Refuse values of another type than the weights that they shall meet, on another device, or too many of them."""
    if values.device != weight.device:
        raise ValueError(f"The {name} are on {values.device}, the weights on {weight.device}: move one of them.")
    if values.dtype != weight.dtype and not torch.is_autocast_enabled():
        raise TypeError(f"Expected {name} of {weight.dtype}, as the weights; got {values.dtype}: convert one of them.")
    if values.numel() > MOST_VALUES:
        raise ValueError(f"The {name} have {values.numel():,} values, too many at once: pass a part at a time.")


def check_batch(images: Tensor) -> None:
    """Refuse what is no batch of numbers that a network could read, before one is asked."""
    if images.ndim == 0 or images.numel() == 0:
        raise ValueError(f"Expected at least one image; got an empty batch of shape {tuple(images.shape)}: pass one.")
    if not images.isfinite().all():
        raise ValueError(
            f"{int((~images.isfinite()).sum()):,} values of the images are not finite: look for NaN in them."
        )


def check_labels(labels: Tensor, count: int, num_classes: int) -> None:
    """Refuse labels that are not one class from 0 to ``num_classes - 1`` for each of ``count`` images."""
    if labels.is_floating_point() or labels.dtype == torch.bool:
        raise TypeError(f"Expected labels as whole numbers, int64; got {labels.dtype}.")
    if labels.shape != (count,):
        raise ValueError(f"Expected one label for each of {count:,} images; got shape {tuple(labels.shape)}.")
    if count and not 0 <= int(labels.min()) <= int(labels.max()) < num_classes:
        found = f"{int(labels.min())} to {int(labels.max())}"
        raise ValueError(f"Expected labels from 0 to {num_classes - 1}; got {found}.")


def check_kind(name: str, value: object, kind: str) -> None:
    """Refuse what is no object of a class that this module must not import."""
    if kind not in [one.__name__ for one in type(value).__mro__]:
        raise TypeError(f"{name} must be {article(kind)} {kind}; got {shown(value)}.")


def choose(kind: str, name: object, choices: Mapping[str, Choice]) -> Choice:
    """Look something up by name, or raise a ValueError that lists the names."""
    if not isinstance(name, str | int) or name not in choices:
        raise ValueError(f"Unknown {kind} {shown(name)}: choose one of {', '.join(map(repr, choices))}.")
    return choices[name]
