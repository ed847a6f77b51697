"""One clear sentence for input that a network cannot read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from torch import Tensor

Choice = TypeVar("Choice")


def check_images(images: Tensor, channels: int, size: int) -> None:
    """Refuse a batch of the wrong shape with one sentence that says how to mend it.

    Raises
    ------
    ValueError
        Unless ``images`` has shape (N, channels, size, size) with N > 0.
    TypeError
        Unless its dtype is a floating-point one.
    """
    expected = f"(N, {channels}, {size}, {size})"
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


def choose(kind: str, name: str, choices: Mapping[str, Choice]) -> Choice:
    """Look something up by name, or raise a ValueError that lists the names."""
    if name not in choices:
        raise ValueError(f"Unknown {kind} {name!r}: choose one of {', '.join(map(repr, choices))}.")
    return choices[name]
