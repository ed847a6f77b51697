"""A digit in a photograph, a scan or an array: found, brought into MNIST's form, and read by a trained network.

From the command line: ``python -m lenet_utils.predict FILE…``.
"""

from __future__ import annotations

import argparse
import io
import os
import struct
import sys
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from scipy import ndimage
from scipy.sparse.csgraph import connected_components
from torch import Tensor, nn

from lenet_utils.arguments import checked, fitted
from lenet_utils.evaluation import outputs, predicted_classes
from lenet_utils.models import LeNet5
from lenet_utils.modern.augmentation import pad_network
from lenet_utils.paths import read_file
from lenet_utils.preprocessing import normalise, prepare
from lenet_utils.run_store import ResultsError
from lenet_utils.widgets.exchange import read_weights

LARGEST = 100_000_000  # pixels that are decoded
SIDE = 1_024  # pixels, at most, of the picture in which the digit is looked for
CONTRAST = 0.1  # of full brightness: what differs less from the paper is no ink


class PictureError(ValueError):
    """A picture cannot be read as one digit; the message says why, and what to do."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a network took a picture for.

    Attributes
    ----------
    label : int
    probabilities : torch.Tensor, shape (num_classes,), float32
        The softmax of the logits, or of the negative penalties where the smallest wins.
    image : torch.Tensor, shape (28, 28), float32
        The digit as the network saw it: 0 is background, 1 full ink.
    """

    label: int
    probabilities: Tensor
    image: Tensor


@checked
def predict_image(
    model: nn.Module, picture: str | os.PathLike | np.ndarray | Tensor, scaling: str | None = None
) -> Prediction:
    """Read the one digit in a picture.

    Parameters
    ----------
    model : torch.nn.Module
        With an ``input_shape`` of (1, S, S), S at least 28 and even.
    picture : path, numpy.ndarray or torch.Tensor
        A file in any format that Pillow reads, or an array of shape (H, W), (H, W, 3) or (H, W, 4), uint8, or float in
        [0, 1]: grey, red–green–blue, or that and opacity.  Dark on light or light on dark.
    scaling : {"standard", "paper", "unit"}, optional
        As in training; by default the model's own ``scaling``, else ``"standard"``.

    Returns
    -------
    Prediction

    Raises
    ------
    PictureError
        If it is no picture, cannot be read, has no ink, or shows several digits.

    Examples
    --------
    >>> picture = np.full((90, 60), 255, dtype=np.uint8)  # a sheet of paper
    >>> picture[15:75, 27:33] = 40  # one stroke of a pen
    >>> seen = predict_image(LeNet5(), picture).image
    >>> [int(n) for n in (seen.any(1).sum(), seen.any(0).sum())]
    [20, 2]
    """
    image = normalise(find_digit(read_grey(picture)))
    scaling = scaling or getattr(model, "scaling", "standard")
    found = outputs(model, prepare(image[None], getattr(model, "input_shape", (28,))[-1], scaling))
    sign = -1 if getattr(model, "smallest_wins", False) else 1
    return Prediction(int(predicted_classes(model, found)), (sign * found).softmax(1)[0], image)


@checked
def read_grey(picture: str | os.PathLike | np.ndarray | Tensor) -> np.ndarray:
    """The brightness of a picture: shape (H, W), float64 from 0 to 1, no side above 1,024 pixels.

    Transparent parts become white, or black where what can be seen is light; a photograph is turned upright as its
    camera noted.  Parameters and errors are those of :func:`predict_image`.
    """
    if isinstance(picture, np.ndarray | Tensor):
        return _brightness(_from_array(picture))
    path = Path(picture)
    try:
        content = read_file(path)
    except OSError as error:
        raise PictureError(
            f"{' '.join(str(path).split())} cannot be read ({error.strerror}): check its name and who may read it."
        ) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what Pillow finds odd; what it cannot read is an error
            with Image.open(io.BytesIO(content)) as image:
                if image.width * image.height > LARGEST:
                    raise Image.DecompressionBombError
                image.draft(None, (2 * SIDE, 2 * SIDE))
                return _brightness(ImageOps.exif_transpose(image))
    except Image.DecompressionBombError:
        raise PictureError(f"{path.name} is too large: shrink it to at most {LARGEST:,} pixels.") from None
    except Image.UnidentifiedImageError:
        raise PictureError(f"{path.name} is no picture that Pillow can read: give a PNG or JPEG file.") from None
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, MemoryError) as error:
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise PictureError(f"{path.name} is damaged ({reason}): save the picture again.") from None


def _from_array(array: np.ndarray | Tensor) -> Image.Image:
    array = fitted(array, np.ndarray, "picture")
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))) or array.size == 0:
        raise PictureError(f"Expected a picture of shape (H, W), (H, W, 3) or (H, W, 4); got shape {array.shape}.")
    if array.dtype != np.uint8:
        if not np.issubdtype(array.dtype, np.floating):
            raise PictureError(f"Expected pixels as uint8 in 0..255 or as floats in [0, 1]; got {array.dtype}.")
        if np.isnan(array).any():
            raise PictureError(f"{int(np.isnan(array).sum())} values of the picture are not a number (NaN).")
        if array.min() < 0 or array.max() > 1:
            found = f"{array.dtype} in {array.min():g}..{array.max():g}"
            raise PictureError(f"Expected pixels as uint8 in 0..255 or as floats in [0, 1]; got {found}.")
        array = np.rint(array * 255).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(array))


def _brightness(image: Image.Image) -> np.ndarray:
    if image.mode.startswith(("I", "F")):  # 16 or 32 bits for each pixel
        values = np.asarray(image, dtype=np.float64)
        if not np.isfinite(values).all():
            raise ValueError("some of its values are not finite")
        image = Image.fromarray(np.rint(255 * (values / max(values.max(), 1e-9)).clip(0, 1)).astype(np.uint8))
    transparent = image.has_transparency_data
    image = image.convert("RGBA" if transparent else "L")
    image.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    if transparent:
        grey, opacity = (np.asarray(part, dtype=np.float64) / 255 for part in (image.convert("L"), image.split()[3]))
        seen = (grey * opacity).sum() / max(opacity.sum(), 1e-9)
        return grey * opacity + (1 - opacity) * (seen < 0.5)
    return np.asarray(image, dtype=np.float64) / 255


@checked
def find_digit(grey: np.ndarray) -> np.ndarray:
    """The ink of the one digit in a picture, its surroundings cut off.

    The paper's brightness is taken to be that of the picture's rim, and may change over it: what a closing with a
    square of half the picture leaves is the paper, and how much darker a pixel is than that is its ink.  Otsu's
    threshold tells ink from paper.  Ruled lines and specks are left out; parts that lie close together are one digit.

    Parameters
    ----------
    grey : numpy.ndarray, shape (H, W), float
        Brightness from 0 to 1.

    Returns
    -------
    numpy.ndarray, shape (h, w), float64
        0 for paper, 1 for full ink, as :func:`lenet_utils.preprocessing.normalise` takes it.

    Raises
    ------
    PictureError
        If there is no ink, or several digits.
    """
    if grey.ndim != 2 or grey.size == 0 or not (grey.min() >= 0 and grey.max() <= 1):
        raise PictureError(f"Expected brightness from 0 to 1, of shape (H, W); got {grey.dtype} of shape {grey.shape}.")
    ink = _ink(grey.astype(np.float64))
    threshold = max(otsu(ink), ink.min())
    for _ in range(3):  # where there is little ink, Otsu's threshold may lie within the paper's noise
        light = ink[ink <= threshold]
        level = np.median(light)
        noise = level + 6 * np.median(np.abs(light - level))  # four standard deviations of a normal one
        threshold = max(threshold, noise)
    mask = ink > threshold
    if not mask.any() or ink[mask].mean() - level < CONTRAST:
        raise PictureError("There is no ink in this picture: give one with a digit darker or lighter than its paper.")
    mask = _without_lines(mask)
    digits = _digits(mask)
    if not digits:
        raise PictureError("There is no digit in this picture, only specks or lines: cut the digit out, or enlarge it.")
    if len(digits) > 1:
        raise PictureError(f"There are {len(digits)} digits in this picture: cut out one.")
    near = ndimage.binary_dilation(digits[0], np.ones((3, 3)), iterations=1 + max(mask.shape) // 200)
    full = np.percentile(ink[digits[0]], 90)
    clean = np.where(near, ((ink - noise) / max(full - noise, 1e-9)).clip(0, 1), 0)
    return clean[ndimage.find_objects((clean > 0).astype(int))[0]]


def _ink(grey: np.ndarray) -> np.ndarray:
    """How much darker than the paper each pixel is; where the paper is dark, how much lighter."""
    if min(grey.shape) >= 100:  # smaller pictures have no pixels to spare
        grey = ndimage.gaussian_filter(ndimage.median_filter(grey, 3), max(grey.shape) / 800)
    flat = grey - _plane(grey)
    light = flat > otsu(flat)
    rim = np.ones(grey.shape, dtype=bool)
    rim[1:-1, 1:-1] = False
    grey = grey if light[rim].mean() >= 0.5 else 1 - grey
    paper = ndimage.grey_closing(grey, [max(3, side // 2) for side in grey.shape])
    return (paper - grey).clip(0)


def _plane(grey: np.ndarray) -> np.ndarray:
    """The plane nearest to a picture's brightness: light that falls from one side."""
    plane = grey.mean()
    for axis, side in enumerate(grey.shape):
        at = np.arange(side) - (side - 1) / 2
        plane = plane + np.expand_dims(at * (grey.mean(1 - axis) @ at) / max(at @ at, 1), 1 - axis)
    return plane


@checked
def otsu(values: np.ndarray) -> float:
    """The threshold that parts values into two classes as far from each other as can be (Otsu 1979), in 256 steps."""
    if (values := values.astype(np.float64)).size == 0 or not np.isfinite(values).all():
        raise ValueError(f"Expected finite values, at least one; got {values.dtype} of shape {values.shape}.")
    if np.ptp(values) <= 1e-9 * np.abs(values).max():  # too near each other for 256 steps
        return float(values.mean())
    counts, edges = np.histogram(values, 256)
    below = counts.cumsum()[:-1]
    above, sums = counts.sum() - below, (counts * (edges[:-1] + edges[1:]) / 2).cumsum()
    apart = sums[:-1] / below.clip(1) - (sums[-1] - sums[:-1]) / above.clip(1)  # between the classes' means
    best = below * above * apart**2
    return float(edges[1:-1][best == best.max()].mean())  # the middle of the gap between them


def _without_lines(mask: np.ndarray) -> np.ndarray:
    """A mask of ink without thin straight lines across the picture, as on ruled paper and forms."""
    for axis, side in enumerate(mask.shape):
        if side >= 100:
            long = mask.mean(1 - axis) > 0.6  # rows, then columns
            thin = long & ~ndimage.binary_opening(long, np.ones(1 + side // 30))
            lines = np.expand_dims(ndimage.binary_dilation(thin, iterations=1 + side // 200), 1 - axis)
            left = mask & ~lines
            across = [1, 1]
            across[axis] = 3 + 2 * (side // 30)
            mask = left | (mask & lines & ndimage.binary_closing(left, np.ones(across)))  # what crosses a line stays
    return mask


def _digits(mask: np.ndarray) -> list[np.ndarray]:
    """A mask of each digit: connected parts, those joined that lie above each other, or near and much lower."""
    labels, _ = ndimage.label(mask, np.ones((3, 3)))
    if min(mask.shape) >= 100:  # what lies along a third of an edge is a shadow or a table, if there is anything else
        edges = (labels[0], labels[-1], labels[:, 0], labels[:, -1])
        inside = ~np.isin(labels, [k for edge in edges for k in np.unique(edge) if (edge == k).mean() > 1 / 3])
        if mask[inside].any():
            labels, _ = ndimage.label(mask & inside, np.ones((3, 3)))
    if not labels.any():
        return []
    boxes = ndimage.find_objects(labels)
    low, high = (np.array([[getattr(s, end) for s in box] for box in boxes]) for end in ("start", "stop"))  # (N, 2)
    longer = (high - low).max(1)
    if longer.max() < max(4, 0.03 * max(mask.shape)):
        return []
    kept = (longer >= 0.2 * longer.max()).nonzero()[0]
    if len(kept) > 100:
        raise PictureError(f"There are {len(kept)} separate marks in this picture: cut out one digit.")
    low, high = low[kept], high[kept]
    heights, widths = (high - low).T
    gaps = np.maximum(low[:, None], low) - np.minimum(high[:, None], high)  # (N, N, 2); negative where they overlap
    near = (gaps <= 0.15 * np.maximum.outer(longer[kept], longer[kept])[..., None]).all(2)
    above = -gaps[..., 1] >= 0.3 * np.minimum.outer(widths, widths)
    small = np.minimum.outer(heights, heights) < 0.5 * np.maximum.outer(heights, heights)
    _, groups = connected_components(near & (above | small))
    masks = [np.isin(labels, kept[groups == g] + 1) for g in range(groups.max() + 1)]
    sizes = [max(map(len, map(np.unique, one.nonzero()))) for one in masks]
    return [one for one, size in zip(masks, sizes, strict=True) if size >= 0.4 * max(sizes)]


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status: 1 if any file could not be read."""
    parser = argparse.ArgumentParser(
        prog="python -m lenet_utils.predict",
        description="Read the one handwritten digit in each picture: a photograph, a scan or a drawing, dark on light "
        "or light on dark.  The network is that of the book's first page.",
    )
    parser.add_argument("file", nargs="+", help="a picture in any format that Pillow reads")
    parser.add_argument("--weights", metavar="FILE", help="weights that a page or DrawPad(model).save(FILE) wrote")
    options = parser.parse_args(arguments)
    try:
        model = read_weights(options.weights, LeNet5("relu")) if options.weights else pad_network()
    except (ResultsError, OSError, ValueError) as problem:
        print(problem, file=sys.stderr)
        return 1
    failed = False
    for file in options.file:
        try:
            found = predict_image(model, file)
            print(f"{file}: {found.label} ({100 * float(found.probabilities[found.label]):.1f} %)", flush=True)
        except PictureError as problem:
            failed = True
            print(f"{file}: {problem}", file=sys.stderr)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
