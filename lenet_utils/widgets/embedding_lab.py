"""The embedding lab: what each layer makes of some thousand images, as points that a reader can look into."""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from lenet_utils.arguments import checked
from lenet_utils.widgets.exchange import describe
from lenet_utils.widgets.page import Widget

SIDE = 16  # of an image, in pixels: 28×28 would be half of all that the page carries
GREYS = 4
PLACES = 1_024  # along each axis of a picture
STEPS = 10  # of a unit's value: 76 % of ten neighbours in F6 stay the same (benchmarks/embedding_lab_speed.json)
DRAWING = ("network", "image", "drawing")  # programs that are needed only where readers draw


class EmbeddingLab(Widget):
    """Pictures of the same images by several layers, untrained and trained, to look into.

    A reader chooses the layer and the network, sees the image of a point, its label and the network's answer, encircles
    points and counts them by class; from layer to layer each point moves to its new place.  Given the network itself,
    the page also takes a drawing, and marks it among the points by its neighbours in ``features``.

    Parameters
    ----------
    images : torch.Tensor, shape (N, S, S), uint8
    labels, answers : sequence of N int
        What each image is, and what the trained network takes it for.
    untrained, trained : dict of str to numpy.ndarray of shape (N, 2)
        A picture for each layer, by its name, from :func:`lenet_utils.embedding.tsne`; the layers are the same for
        both.  Each is turned or mirrored, which changes nothing that it says, so that points move as little as may be.
    features : numpy.ndarray, shape (N, D)
        What the last of these layers of the trained network passes on.
    class_names : sequence of str
    model : torch.nn.Module, optional
        The trained network, with a layer of the last picture's name, in any case; see
        :func:`lenet_utils.widgets.exchange.describe` for what can be computed in a page.

    Raises
    ------
    ValueError
        If these do not belong together.

    Notes
    -----
    The page carries images of 16×16 pixels in four greys, places in 1,024 steps along each axis, and each number of
    ``features`` in ten steps: for 2,000 digits 185 kB, of which the images are 64 and F6 is 58.  A LeNet-5 adds 140.
    """

    name = "embedding-lab"
    programs = ("points", "embedding-lab")

    @checked
    def __init__(
        self,
        images: Tensor,
        labels: Sequence[int] | Tensor,
        answers: Sequence[int] | Tensor,
        untrained: Mapping[str, np.ndarray],
        trained: Mapping[str, np.ndarray],
        features: np.ndarray,
        class_names: Sequence[str | int] = "0123456789",
        model: nn.Module | None = None,
    ) -> None:
        _check(images, labels, answers, untrained, trained, features, class_names)
        distinct, which = _distinct(untrained, trained)
        lowest, step = features.min(0), np.maximum(np.ptp(features, axis=0), 1e-6) / (STEPS - 1)
        parts = [
            np.stack([np.asarray(labels), np.asarray(answers)]),
            *_in_bytes(np.stack(distinct)),
            np.round((features - lowest) / step),
            _four_in_a_byte(_small(images)),
        ]
        drawing = {}
        if model is not None:
            self.programs = (*DRAWING, *self.programs)
            drawing, halves = _to_draw(model, list(trained)[-1], features.shape[1], class_names)
            parts.append(halves)
        squeeze = zlib.compressobj(9, memLevel=6, strategy=zlib.Z_FILTERED)  # 2 % smaller than by default
        packed = squeeze.compress(b"".join(part.astype(np.uint8).tobytes() for part in parts)) + squeeze.flush()
        super().__init__(
            {
                "names": list(class_names),
                "count": len(images),
                "side": SIDE,
                "layers": list(trained),
                "pictures": which,
                "lowest": [float(f"{value:.4g}") for value in lowest],
                "step": [float(f"{value:.4g}") for value in step],
                "packed": base64.b64encode(packed).decode(),
                **drawing,
            }
        )

    def __repr__(self) -> str:
        layers = ", ".join(self.spec["layers"])
        return f"EmbeddingLab({self.spec['count']:,} images, {layers}): shown in notebooks and on the site"


def _to_draw(
    model: nn.Module, title: str, size: int, class_names: Sequence[str]
) -> tuple[dict[str, object], np.ndarray]:
    """The network that reads drawings, and which of its layers is the last picture's; apart, its weights' bytes.

    The lower bytes of all stand before the higher ones, which are much alike: so they take a sixth less.
    """
    network = describe(model, class_names)
    sizes = {row["name"]: math.prod(row["shape"]) for row in network["layers"]}
    last = title.lower()
    if sizes.get(last) != size:
        raise ValueError(f"{type(model).__name__} has no layer {last!r} of {size} numbers: its layers are {sizes}.")
    halves = np.frombuffer(base64.b64decode(network.pop("weights")), np.uint8).reshape(-1, 2).T
    return {"network": network, "last": last}, halves


def _check(
    images: Tensor,
    labels: Sequence[int] | Tensor,
    answers: Sequence[int] | Tensor,
    untrained: Mapping[str, np.ndarray],
    trained: Mapping[str, np.ndarray],
    features: np.ndarray,
    class_names: Sequence[str],
) -> None:
    """Refuse, in one sentence, what does not belong together."""
    count = len(images) if images.ndim else 0
    if images.ndim != 3 or images.shape[1] != images.shape[2] or images.dtype != torch.uint8 or count < 2:
        raise ValueError(f"Expected square uint8 images, at least two; got {images.dtype} of {tuple(images.shape)}.")
    if not trained or list(untrained) != list(trained):
        raise ValueError(f"Expected the same layers, untrained and trained; got {list(untrained)} and {list(trained)}.")
    for name, kinds in {"label": np.asarray(labels), "answer": np.asarray(answers)}.items():
        if (
            kinds.shape != (count,)
            or kinds.dtype.kind not in "iu"
            or kinds.min() < 0
            or kinds.max() >= min(len(class_names), 256)
        ):
            raise ValueError(
                f"Expected one {name} from 0 to {len(class_names) - 1} for each of {count} images; got shape "
                f"{kinds.shape} of {np.unique(kinds).tolist()[:12]}."
            )
    if features.ndim != 2 or features.size == 0 or len(features) != count or not np.isfinite(features).all():
        raise ValueError(f"Expected a row of finite features for each of {count} images; got shape {features.shape}.")
    for layer, picture in [*untrained.items(), *trained.items()]:
        if picture.shape != (count, 2) or not np.isfinite(picture).all():
            raise ValueError(
                f"Expected finite places of shape {(count, 2)} as the picture of {layer}; got shape {picture.shape}."
            )


def _distinct(
    untrained: Mapping[str, np.ndarray], trained: Mapping[str, np.ndarray]
) -> tuple[list[np.ndarray], list[list[int]]]:
    """Each picture once, turned onto the one before it and fitted into 0 to 1; and for each layer, its two numbers."""
    pictures, which, before = [], [], [None, None]
    for layer in trained:
        same = np.array_equal(untrained[layer], trained[layer])  # the pixels, which no network has touched
        for net, picture in enumerate((untrained[layer],) if same else (untrained[layer], trained[layer])):
            centred = picture - picture.mean(0)
            before[net] = centred if before[net] is None else _turned(centred, before[net])
            low, high = before[net].min(0), before[net].max(0)
            pictures.append((before[net] - (low + high) / 2) / max(float((high - low).max()), 1e-9) + 0.5)
        if same:
            before[1] = before[0]
        which.append([len(pictures) - 1] * 2 if same else [len(pictures) - 2, len(pictures) - 1])
    return pictures, which


def _turned(picture: np.ndarray, onto: np.ndarray) -> np.ndarray:
    """Turned or mirrored so that points lie as near as may be to where they lay (Schönemann 1966)."""
    left, _, right = np.linalg.svd(picture.T @ onto)
    return picture @ left @ right


def _in_bytes(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places of (P, N, 2) pictures, all x of a picture before its y: eight bits of each, then the two that remain."""
    places = np.round(pictures.swapaxes(1, 2) * (PLACES - 1)).astype(int)
    return places // 4, _four_in_a_byte(places % 4)


def _four_in_a_byte(values: np.ndarray) -> np.ndarray:
    """Numbers from 0 to 3, the first in the lowest bits."""
    flat = values.reshape(-1).astype(int)
    return np.pad(flat, (0, -len(flat) % 4)).reshape(-1, 4) @ [1, 4, 16, 64]


def _small(images: Tensor) -> np.ndarray:
    """Images of 16×16 pixels in greys from 0 to 3."""
    shrunk = interpolate(images[:, None].float().cpu(), size=(SIDE, SIDE), mode="bicubic", antialias=True)[:, 0]
    return (shrunk * (GREYS - 1) / 255).round().clamp(0, GREYS - 1).numpy()
