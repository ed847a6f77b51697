"""Networks drawn from their own shapes: stacked planes for feature maps, bars for vectors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, Rectangle

from lenet_utils.arguments import checked
from lenet_utils.counting import LayerRow
from lenet_utils.plotting import COLOURS, INK, PAPER

GAP, LABEL_HEIGHT, CAPTION_HEIGHT, LANE = 13.0, 9.0, 17.0, 4.0  # in pixels of the input, as everything here
UNITS_PER_INCH, CHARACTER_WIDTH = 45.0, 3.3
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


@checked
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
            _plane(ax, x, y, block.side, block.side, tint, 0.18 if block.row.kind and pictures is None else 0)
            if pictures is not None:
                _picture(ax, np.asarray(pictures)[i], x, y, block, tint)
    else:
        _plane(ax, block.x, block.y, width, height, tint, 0.3)
    if block.is_short:
        ax.text(block.x + width + 1, block.y + height / 2, block.label, ha="left", va="center", fontsize=9)
    else:
        ax.text(block.x + width / 2, block.y + height + 2, block.label, ha="center", va="bottom", fontsize=9)


def _plane(ax: Axes, x: float, y: float, width: float, height: float, tint: object, alpha: float) -> None:
    """One map or bar: opaque, so that it hides what stands behind, with a tint of the layer's colour."""
    ax.add_patch(Rectangle((x, y), width, height, facecolor=PAPER, edgecolor=INK, linewidth=0.7))
    if alpha:
        ax.add_patch(Rectangle((x, y), width, height, facecolor=tint, alpha=alpha, linewidth=0))


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
        x, y = before.x + 0.92 * (before.side - width), before.y + 0.30 * (before.side - height)
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
    lane, bend = before.bottom - CAPTION_HEIGHT - LANE / 2, after.x + after.size[0] / 2 - after.room / 2 - 4
    path = mpl.path.Path([(x, before.y), (x, lane), (bend, lane), (bend, middle), (left - 1, middle)])
    ax.add_patch(FancyArrowPatch(path=path, arrowstyle="-", color=INK, linewidth=0.7))
    ax.plot([left - 2], [middle], marker=">", markersize=4, color=INK)
    ax.text(x + 2, before.bottom - 2, _operation(after), ha="left", va="top", fontsize=9, linespacing=1.1)


STEP, THIN, SPACE, SMALL, TITLE = 1.7, 2.6, 5.0, 8.0, 10.0  # between planes, bar, between layers, lines of text
KINDS = {"input": INK, "convolution": COLOURS[0], "pooling": COLOURS[2], "full": COLOURS[1]}


@dataclass
class _Stack:
    """A layer among several networks: of 1, 2, 4, 8, ... maps it shows 1, 2, 3, 4, ... planes."""

    kind: str
    number: int
    side: int

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"Expected a layer of the kind {', '.join(KINDS)}; got {self.kind!r}.")

    @property
    def depth(self) -> float:
        return STEP * round(math.log2(self.number))

    @property
    def size(self) -> tuple[float, float]:
        return (THIN, 1 + self.depth) if self.side == 1 else (self.side + self.depth,) * 2

    @property
    def label(self) -> str:
        maps = f"{self.side}×{self.side}" if self.number == 1 else f"{self.number}@{self.side}"
        return str(self.number) if self.side == 1 else maps

    @property
    def room(self) -> float:
        return max(self.size[0], 4.1 * len(self.label))

    def draw(self, ax: Axes, x: float, y: float, title: str = "") -> None:
        """Draw it in its room, which begins at ``x``, on the base line ``y``, and write its label below."""
        left, alpha = x + (self.room - self.size[0]) / 2, 0.05 if self.kind == "input" else 0.3
        if self.side == 1:
            _plane(ax, left, y, *self.size, KINDS[self.kind], 0.5)
        else:
            for behind in range(round(self.depth / STEP), -1, -1):
                at = left + behind * STEP, y + behind * STEP
                _plane(ax, *at, self.side, self.side, KINDS[self.kind], alpha)
        ax.text(x + self.room / 2, y - 1, title + self.label, ha="center", va="top", fontsize=8)


@checked
def plot_to_one_scale(networks: Mapping[str, Sequence[tuple[str, int, int]]], ax: Axes | None = None) -> Axes:
    """Draw several networks to one scale, a line for each: all but the last *inside the input of the last*.

    Parameters
    ----------
    networks : mapping of str to sequence of (str, int, int)
        By title, the layers from the input on: what a layer is (``"input"``, ``"convolution"``, ``"pooling"`` or
        ``"full"``), how many maps it has, and the side of one of them in units.  A vector has the side 1.
    ax : Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
        One unit is one pixel, in every direction and for every network.  Stacks are too deep for that: each doubling of
        the number of maps adds one plane, and each doubling of a vector the same step to the length of its bar.

    Raises
    ------
    ValueError
        If the input of the last network has no room for the others, or a layer is of another kind.
    """
    *others, (last, (frame, *layers)) = ((title, [_Stack(*layer) for layer in row]) for title, row in networks.items())
    lines, tall = [[]], sum(TITLE + max(s.size[1] for s in row) + SMALL for _, row in others) + SMALL + SPACE
    for stack in layers:
        if _width([*lines[-1], stack]) > frame.side:
            lines.append([])
        lines[-1].append(stack)
    if max([tall, *(_width(row) + 2 * SPACE for _, row in others)]) > frame.side:
        raise ValueError(f"The networks before {last!r} do not fit into its input of {frame.side}×{frame.side}.")
    height = frame.size[1] + 2 * SMALL + sum(max(s.size[1] for s in line) + SMALL for line in lines) + TITLE + 2
    if ax is None:
        _, ax = plt.subplots(figsize=(4.2, 4.2 * height / (frame.size[0] + 2)))
    ax.set(xlim=(-1, frame.size[0] + 1), ylim=(-height, 1), aspect="equal")
    ax.set_axis_off()
    frame.draw(ax, 0, -frame.size[1], f"{last}: its input, ")
    gap = (frame.side - tall) / max(1, len(others))
    y = -frame.depth - gap / 2
    for title, row in others:
        y = _line(ax, title, row, SPACE, y) - gap
    y = -frame.size[1] - SMALL - 2
    for number, line in enumerate(lines):
        y = _line(ax, "" if number else f"{last}: its layers", line, 0, y)
    return ax


def _width(row: Sequence[_Stack]) -> float:
    return sum(stack.room for stack in row) + SPACE * (len(row) - 1)


def _line(ax: Axes, title: str, row: Sequence[_Stack], x: float, y: float) -> float:
    """Draw layers side by side under their title, from (x, y) down; return where the next line may begin."""
    ax.text(x, y - 1, title, ha="left", va="top", fontsize=9, weight="bold")
    y -= max(stack.size[1] for stack in row) + (TITLE if title else 0)
    for stack in row:
        stack.draw(ax, x, y)
        x += stack.room + SPACE
    return y - SMALL
