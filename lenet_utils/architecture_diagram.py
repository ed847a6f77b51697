"""A network drawn from its own shapes: stacked planes for feature maps, bars for vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, Rectangle

from lenet_utils.counting import LayerRow
from lenet_utils.plotting import COLOURS, INK, PAPER

GAP, LABEL_HEIGHT, CAPTION_HEIGHT, LANE = 13.0, 9.0, 17.0, 4.0  # in pixels of the input, as everything here
UNITS_PER_INCH = 45.0
CHARACTER_WIDTH = 3.3
BAR_WIDTH, BAR_SCALE, STACK_DEPTH = 4.5, 0.36, 13.0
OPERATIONS = {"AvgPool2d": "average", "MaxPool2d": "maximum", "Linear": "full\nconnection", "RBFOutput": "distances"}


@dataclass
class _Block:
    """A layer in the picture: where its front plane or its bar stands."""

    row: LayerRow
    x: float = 0.0
    y: float = 0.0
    bottom: float = 0.0  # of its whole line, where captions hang

    @property
    def is_maps(self) -> bool:
        return len(self.row.output_shape) == 3 and self.row.output_shape[-1] > 1

    @property
    def number(self) -> int:
        return self.row.output_shape[0]

    @property
    def side(self) -> float:
        return float(self.row.output_shape[-1])

    @property
    def shift(self) -> float:
        """How far each plane stands behind the one before it."""
        return min(2.6, STACK_DEPTH / max(1, self.number - 1)) if self.is_maps else 0.0

    @property
    def size(self) -> tuple[float, float]:
        behind = self.shift * (self.number - 1)
        return (self.side + behind,) * 2 if self.is_maps else (BAR_WIDTH, BAR_SCALE * self.number)

    @property
    def label(self) -> str:
        name = self.row.name.upper() if len(self.row.name) <= 2 else self.row.name.capitalize()
        maps = f"{self.side:.0f}×{self.side:.0f}" if self.is_maps else ""
        number = str(self.number) if self.number > 1 or not maps else ""
        return f"{name}: {'@'.join(filter(None, (number, maps)))}"

    @property
    def is_short(self) -> bool:
        """Whether a label above would stand in the way of the lines that lead here."""
        return self.size[1] < 10

    @property
    def room(self) -> float:
        text = CHARACTER_WIDTH * len(self.label)
        return self.size[0] + 1 + text if self.is_short else max(self.size[0], text)

    @property
    def colour(self) -> str:
        kind = self.row.kind.lower()
        return COLOURS[2] if "pool" in kind or "sub" in kind else COLOURS[0] if "conv" in kind else COLOURS[1]


def plot_architecture(
    rows: Sequence[LayerRow],
    ax: Axes | None = None,
    *,
    input_shape: tuple[int, ...] = (1, 32, 32),
    pictures: Mapping[str, np.ndarray] | None = None,
    num_lines: int = 2,
) -> Axes:
    """Draw a network of convolutions, pooling and full connections, to scale, in the manner of the 1998 paper's Fig. 2.

    Parameters
    ----------
    rows : sequence of LayerRow
        As :func:`lenet_utils.counting.layer_table` gives them; sizes and numbers come from nowhere else.
    ax : Axes, optional
    input_shape : tuple of int
        Of one image, such as ``(1, 32, 32)``.
    pictures : mapping of str to numpy.ndarray of shape (C, H, W), optional
        By layer name, or ``"input"``: what to show on the planes, for instance a layer's activations.
    num_lines : int
        Over how many lines the layers are spread; two stay legible on a telephone.

    Returns
    -------
    matplotlib.axes.Axes
        One unit is one pixel of the input, so that a map of 14×14 is half as wide as one of 28×28.
    """
    if not rows:
        raise ValueError("Nothing to draw: expected at least one row of layer_table.")
    blocks = [_Block(row) for row in (LayerRow("input", "", tuple(input_shape), 0, 0, 0), *rows)]
    per_line = -(-len(blocks) // num_lines)
    lines = [blocks[i : i + per_line] for i in range(0, len(blocks), per_line)]
    width, height = _place(lines)
    if ax is None:
        _, ax = plt.subplots(figsize=(width / UNITS_PER_INCH, height / UNITS_PER_INCH))
    ax.set(xlim=(0, width), ylim=(0, height), aspect="equal")
    ax.set_axis_off()
    for block in blocks:
        _draw(ax, block, (pictures or {}).get(block.row.name))
    for line in lines:
        for before, after in pairwise(line):
            _connect(ax, before, after)
    for before, after in pairwise(lines):
        _wrap(ax, before[-1], after[0])
    return ax


def _place(lines: list[list[_Block]]) -> tuple[float, float]:
    """Give every block its position, line by line from the top; return the picture's width and height."""
    widths = [sum(block.room for block in line) + GAP * (len(line) - 1) for line in lines]
    tallest = [max(block.size[1] for block in line) for line in lines]
    width = max(widths) + 4
    height = y = sum(tallest) + len(lines) * (LABEL_HEIGHT + CAPTION_HEIGHT) + (len(lines) - 1) * LANE
    for line, line_width, line_height in zip(lines, widths, tallest, strict=True):
        y -= LABEL_HEIGHT + line_height
        spare = (width - 4 - line_width) / len(line)  # shorter lines get wider gaps
        x = 2 + spare / 2
        for block in line:
            block.x = x if block.is_short else x + (block.room - block.size[0]) / 2
            block.y = y + (line_height - block.size[1]) / 2
            block.bottom = y
            x += block.room + GAP + spare
        y -= CAPTION_HEIGHT + LANE
    return width, height


def _draw(ax: Axes, block: _Block, pictures: np.ndarray | None) -> None:
    width, height = block.size
    tint = mpl.colors.to_rgb(block.colour if block.row.kind else INK)
    if block.is_maps:
        for i in reversed(range(block.number)):
            x, y = block.x + i * block.shift, block.y + i * block.shift
            ax.add_patch(Rectangle((x, y), block.side, block.side, facecolor=PAPER, edgecolor=INK, linewidth=0.7))
            if pictures is not None:
                _picture(ax, np.asarray(pictures)[i], x, y, block, tint)
            elif block.row.kind:
                ax.add_patch(Rectangle((x, y), block.side, block.side, facecolor=tint, alpha=0.18, linewidth=0))
    else:
        ax.add_patch(Rectangle((block.x, block.y), width, height, facecolor=PAPER, edgecolor=INK, linewidth=0.7))
        ax.add_patch(Rectangle((block.x, block.y), width, height, facecolor=tint, alpha=0.3, linewidth=0))
    if block.is_short:
        ax.text(block.x + width + 1, block.y + height / 2, block.label, ha="left", va="center", fontsize=9)
    else:
        ax.text(block.x + width / 2, block.y + height + 2, block.label, ha="center", va="bottom", fontsize=9)


def _picture(ax: Axes, values: np.ndarray, x: float, y: float, block: _Block, tint: tuple[float, ...]) -> None:
    """Show values as a tint of the layer's colour, so that the page's own paper shines through."""
    low, high = float(values.min()), float(values.max())
    shades = np.zeros((*values.shape, 4))
    shades[..., :3] = tint if block.row.kind else mpl.colors.to_rgb("#7f7f7f")
    shades[..., 3] = (values - low) / max(high - low, 1e-9)
    ax.imshow(shades, extent=(x, x + block.side, y, y + block.side), interpolation="nearest", zorder=1)


def _operation(after: _Block) -> str:
    kind = after.row.kind
    word = "convolution" if "conv" in kind.lower() else OPERATIONS.get(kind, kind.lower())
    return "\n".join(filter(None, ["×".join(map(str, after.row.kernel or ())), word]))


def _connect(ax: Axes, before: _Block, after: _Block) -> None:
    """Draw one unit's field in the layer before, or all-to-all lines between vectors, and name the operation."""
    thin = {"color": INK, "linewidth": 0.7, "zorder": 3}
    if before.is_maps:
        height, width = after.row.kernel or before.row.output_shape[-2:]
        x = before.x + 0.92 * (before.side - width)
        y = before.y + 0.30 * (before.side - height)
        ax.add_patch(Rectangle((x, y), width, height, facecolor="none", edgecolor=INK, linewidth=1.0, zorder=3))
        unit = 1.0 if after.is_maps else BAR_WIDTH
        target = after.x, after.y + (0.3 * after.side if after.is_maps else 0.5 * after.size[1])
        ax.add_patch(Rectangle(target, unit, 1.0, facecolor=INK, edgecolor=INK, linewidth=0.7, zorder=3))
        for corner, end in ((y, target[1]), (y + height, target[1] + 1)):
            ax.plot([x + width, target[0]], [corner, end], **thin)
    else:
        right = before.x + before.size[0]
        for start in (before.y, before.y + before.size[1]):
            for end in (after.y, after.y + after.size[1]):
                ax.plot([right, after.x], [start, end], **thin)
    middle = (before.x + before.size[0] + after.x) / 2
    ax.text(middle, after.bottom - 2, _operation(after), ha="center", va="top", fontsize=9, linespacing=1.1)


def _wrap(ax: Axes, before: _Block, after: _Block) -> None:
    """An arrow from the end of one line to the start of the next."""
    x = before.x + (before.side if before.is_maps else before.size[0]) / 2
    left, middle = after.x, after.y + (after.side if after.is_maps else after.size[1]) / 2
    lane = before.bottom - CAPTION_HEIGHT - LANE / 2
    bend = after.x + after.size[0] / 2 - after.room / 2 - 4
    path = mpl.path.Path([(x, before.y), (x, lane), (bend, lane), (bend, middle), (left - 1, middle)])
    ax.add_patch(FancyArrowPatch(path=path, arrowstyle="-", color=INK, linewidth=0.7))
    ax.plot([left - 2], [middle], marker=">", markersize=4, color=INK)
    ax.text(x + 2, before.bottom - 2, _operation(after), ha="left", va="top", fontsize=9, linespacing=1.1)
