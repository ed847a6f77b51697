"""Many small images in one picture that every browser can read."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image
from torch import Tensor

from lenet_utils.arguments import checked

COLUMNS = 50
LEVELS = 16  # of grey: half the bytes of 256


@checked
def sheet(images: Tensor) -> dict[str, object]:
    """Images of 28×28 pixels side by side in one PNG of 16 grey levels, as a page carries it.

    Parameters
    ----------
    images : torch.Tensor, shape (N, 28, 28), uint8

    Returns
    -------
    dict
        The picture as an address that holds it whole, how many images it has, and in how many columns they stand;
        ``readSheet`` of ``web/widget.js`` reads it.
    """
    if images.ndim != 3 or images.shape[1:] != (28, 28) or images.numel() == 0 or str(images.dtype) != "torch.uint8":
        raise ValueError(f"Expected uint8 images of shape (N, 28, 28); got {images.dtype} of {tuple(images.shape)}.")
    columns = min(COLUMNS, len(images))
    rows = -(-len(images) // columns)
    levels = np.zeros((rows * columns, 28, 28), np.uint8)
    levels[: len(images)] = (images.cpu().numpy().astype(np.uint16) * (LEVELS - 1) + 127) // 255
    grid = levels.reshape(rows, columns, 28, 28).swapaxes(1, 2).reshape(rows * 28, columns * 28)
    picture = Image.fromarray(grid, "P")
    picture.putpalette([grey for level in range(LEVELS) for grey in [255 * level // (LEVELS - 1)] * 3])
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True, bits=4)
    address = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    return {"picture": address, "count": len(images), "columns": columns}
