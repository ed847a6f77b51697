"""Arrays to Axes: every ``plot_*`` draws into ``ax`` (a new one by default) and returns it.

Ink and paper are two fixed colours, ``INK`` and ``PAPER``.  In a notebook they are near-black on near-white;
the book's site replaces them by the page's own colours, so that figures read well in light and in dark.
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lenet_utils.arguments import check_count, checked
from lenet_utils.checks import check_kind, choose

INK, PAPER = "#1a1b1c", "#fdfcfb"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe & Ito (2008), without black
CLASS_COLOURS = mpl.colormaps["tab10"].colors
SIGNED = mpl.colors.LinearSegmentedColormap.from_list(
    "signed",  # orange below zero, the page itself at zero, blue above
    [
        (place, (*mpl.colors.to_rgb(COLOURS[i]), opacity))
        for place, i, opacity in ((0, 1, 1), (0.5, 1, 0), (0.5, 0, 0), (1, 0, 1))
    ],
    N=33,  # few colours make small files; one of them is zero
)


def use_book_style() -> None:
    """Make figures as the book shows them: sharp (SVG) in notebooks, one type size, colours all readers tell apart."""
    plt.rcParams.update(
        {
            "figure.facecolor": PAPER,
            "figure.dpi": 110,
            "figure.figsize": (6.4, 3.6),
            "figure.constrained_layout.use": True,
            "savefig.facecolor": PAPER,
            "axes.facecolor": "none",
            "axes.edgecolor": INK,
            "axes.labelcolor": INK,
            "axes.titlecolor": INK,
            "axes.titlesize": "medium",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": mpl.cycler(color=COLOURS),
            "axes.grid": False,
            "font.size": 10.0,
            "grid.alpha": 0.25,
            "grid.color": INK,
            "image.cmap": "gray_r",
            "legend.frameon": False,
            "patch.edgecolor": INK,
            "svg.fonttype": "path",
            "svg.hashsalt": "lenet",
            "text.color": INK,
            "xtick.color": INK,
            "ytick.color": INK,
        }
    )
    try:
        from IPython import get_ipython
        from matplotlib_inline.backend_inline import set_matplotlib_formats
    except ImportError:
        return
    if get_ipython() is not None:
        set_matplotlib_formats("svg")


@checked
def plot_images(
    images: Sequence[np.ndarray],
    titles: Sequence[str] | None = None,
    num_columns: int = 10,
    ax: Axes | None = None,
    size: float = 0.8,
    *,
    row_titles: Sequence[str] | None = None,
    fontsize: float | str = "small",
    frame: bool = False,
    **imshow: object,
) -> Axes:
    """A grid of small pictures, all on one scale, without ticks.

    Parameters
    ----------
    images : sequence of N arrays, each of shape (H, W)
    titles : sequence of N str, optional
        One above each picture.
    num_columns : int
    ax : Axes, optional
        All pictures are drawn into this one, because an Axes for each takes a second for every forty.
    size : float
        Inches for each picture, when the figure is new.
    row_titles : sequence of str, optional
        One to the left of each row.
    fontsize : float or str
        Of the titles.
    frame : bool
        Draw a thin line around each picture, for those whose rim would not be seen.
    **imshow
        Passed on to :meth:`matplotlib.axes.Axes.imshow`.  With ``interpolation="none"``, an SVG keeps the pixels as
        they are, sharp at any size.

    Raises
    ------
    ValueError
        If there is no image, if they differ in shape, or if there is not one title for each, or for each row.
    """
    shapes = {image.shape for image in images}
    if len(shapes) != 1 or len(min(shapes)) != 2 or 0 in min(shapes):
        found = ", ".join(str(tuple(shape)) for shape in sorted(shapes)) or "none"
        raise ValueError(f"Expected images of one shape (H, W), at least one; got {found}.")
    if titles is not None and len(titles) != len(images):
        raise ValueError(f"Expected a title for each of the {len(images)} images; got {len(titles)}.")
    check_count("num_columns", num_columns, most=2**62)
    if not 0 < size <= 100:
        raise ValueError(f"size must be a number of inches, above 0; got {size}.")
    if isinstance(fontsize, str):
        choose("font size", fontsize, mpl.font_manager.font_scalings)
    pictures = np.stack([np.asarray(image, dtype=float) for image in images])  # (N, H, W)
    num, height, width = pictures.shape
    num_columns = min(num_columns, num)
    num_rows = -(-num // num_columns)
    if row_titles is not None and len(row_titles) != num_rows:
        raise ValueError(f"Expected a title for each of the {num_rows} rows; got {len(row_titles)}.")
    gap = max(2, width // 14)
    down, right = height + (gap if titles is None else max(gap, round(0.35 * height))), width + gap
    corners = [(down * row + down - height, right * column) for row in range(num_rows) for column in range(num_columns)]
    sheet = np.full((down * num_rows, right * num_columns - gap), np.nan)
    for picture, (top, left) in zip(pictures, corners, strict=False):
        sheet[top : top + height, left : left + width] = picture
    ax = _axes(ax, figsize=(size * num_columns, size * num_rows * down / right))
    ax.imshow(sheet, **{"interpolation_stage": "rgba"} | imshow)  # so that no gap eats into a picture's rim
    for title, (top, left) in zip([] if titles is None else titles, corners, strict=False):
        ax.text(left + (width - 1) / 2, top - 1, title, ha="center", va="bottom", fontsize=fontsize)
    for title, (top, left) in zip([] if row_titles is None else row_titles, corners[::num_columns], strict=False):
        ax.text(left - gap, top + (height - 1) / 2, title, ha="right", va="center", fontsize=fontsize)
    if frame:
        rims = [Rectangle((left - 0.5, top - 0.5), width, height) for top, left in corners[:num]]
        ax.add_collection(PatchCollection(rims, facecolor="none", edgecolor=INK, linewidth=0.5))
    ax.set_axis_off()
    return ax


@checked
def plot_signed(
    images: Sequence[np.ndarray],
    titles: Sequence[str] | None = None,
    num_columns: int = 10,
    ax: Axes | None = None,
    **more: object,
) -> Axes:
    """:func:`plot_images` for values of both signs, such as weights: blue is positive, orange negative, nothing zero.

    The strongest colour is the largest absolute value; ``vmax=`` in ``more`` sets another one.
    """
    limit = more.pop("vmax", None) or max((np.abs(x.astype(float)).max(initial=0) for x in images), default=0) or 1.0
    scale = {"cmap": SIGNED, "vmin": -limit, "vmax": limit, "interpolation": "none"}
    return plot_images(images, titles, num_columns, ax, **scale | more)


@checked
def plot_learning_curves(
    curves: dict[str, Sequence[float]], ylabel: str, xlabel: str = "epoch", ax: Axes | None = None
) -> Axes:
    """Named values after each epoch (1, 2, ...), one line for each name."""
    if not curves:
        raise ValueError("There is nothing to draw: expected at least one named curve.")
    ax = _axes(ax)
    for i, (name, values) in enumerate(curves.items()):
        ax.plot(range(1, len(values) + 1), values, marker="os^Dv"[i % 5], label=name)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.grid(axis="y")
    ax.legend()
    return ax


@checked
def plot_confusion_matrix(counts: np.ndarray, class_names: Sequence[str], ax: Axes | None = None) -> Axes:
    """True classes down, predicted classes across; only the mistakes are shaded, so that they can be seen.

    Parameters
    ----------
    counts : numpy.ndarray, shape (C, C), int
        As :func:`lenet_utils.evaluation.confusion_matrix` gives them.
    class_names : sequence of C str

    Raises
    ------
    ValueError
        If there is not one name for each row and column.
    """
    if counts.shape != 2 * (len(class_names),) or counts.size == 0:
        raise ValueError(f"Expected a row and a column for each class; got {counts.shape}, {len(class_names)} names.")
    ax = _axes(ax, figsize=(5.2, 4.8))
    mistakes = np.where(np.eye(len(counts), dtype=bool), 0, counts)
    shades = np.zeros((*counts.shape, 4))
    shades[..., :3] = mpl.colors.to_rgb(COLOURS[1])
    shades[..., 3] = 0.75 * mistakes / max(1, mistakes.max())
    ax.imshow(shades)
    for row, column in np.argwhere(counts):
        weight = "bold" if row == column else "normal"
        ax.text(column, row, str(counts[row, column]), ha="center", va="center", fontsize="small", weight=weight)
    long = max(map(len, class_names)) > 2
    ax.set_xticks(range(len(counts)), class_names, rotation=45 if long else 0, ha="right" if long else "center")
    ax.set_yticks(range(len(counts)), class_names)
    ax.set(xlabel="predicted", ylabel="true")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax


@checked
def plot_embedding(
    points: np.ndarray, labels: Sequence[int], class_names: Sequence[str], ax: Axes | None = None, legend: bool = True
) -> Axes:
    """Points in the plane, coloured by class; each class is named where most of it lies.

    Parameters
    ----------
    points : numpy.ndarray, shape (N, 2)
        Its axes mean nothing, so none are drawn.
    labels : sequence of N int
    class_names : sequence of str
    legend : bool
        Write the names into the picture.
    """
    labels = np.asarray(labels)
    if points.shape != (len(labels), 2) or not len(labels) or not np.isfinite(points).all():
        raise ValueError(f"Expected a finite point for each of {len(labels)} labels, (N, 2); got {points.shape}.")
    if not 0 <= labels.min() <= labels.max() < len(class_names):
        raise ValueError(f"Expected labels from 0 to {len(class_names) - 1}; got {labels.min()} to {labels.max()}.")
    ax = _axes(ax, figsize=(4.6, 4.6))
    colours = np.asarray(CLASS_COLOURS)[labels % len(CLASS_COLOURS)]
    ax.scatter(*points.T, s=5, c=colours, linewidths=0, alpha=0.8, rasterized=True)
    ax.set_axis_off()
    ax.set_aspect("equal", "datalim")
    if legend:
        for label in np.unique(labels):
            middle = np.median(points[labels == label], axis=0)
            box = {"boxstyle": "round,pad=0.15", "facecolor": PAPER, "edgecolor": CLASS_COLOURS[label % 10]}
            ax.text(*middle, class_names[label], ha="center", va="center", fontsize="small", bbox=box)
    return ax


class LiveCurves:
    """Train loss, train accuracy and accuracy on what is watched, redrawn after each epoch.

    Pass it to :func:`lenet_utils.training.train` as ``on_epoch``.

    Parameters
    ----------
    num_epochs : int
        How far the horizontal axis reaches.
    watched : str
        What the history's ``validation_*`` are of, for the legend.

    Attributes
    ----------
    figure : matplotlib.figure.Figure
    """

    @checked
    def __init__(self, num_epochs: int, watched: str = "test") -> None:
        self.num_epochs, self.watched = num_epochs, watched
        self.figure, self._ax = plt.subplots(figsize=(5.4, 3.2))
        plt.close(self.figure)  # shown by the handle, not once more at the end of the cell
        self._handle = _display(self.figure)

    def __call__(self, history) -> None:
        """Redraw with what a :class:`lenet_utils.training.History` holds by now."""
        plot_history(history, self.num_epochs, self.watched, self._ax)
        if self._handle is not None:
            self._handle.update(self.figure)


@checked
def plot_history(history, num_epochs: int, watched: str, ax: Axes | None = None) -> Axes:
    """One run, a :class:`lenet_utils.training.History`: losses and accuracies on one axis, as tutorials draw them."""
    check_kind("history", history, "History")
    curves = {
        "train loss": history.train_loss,
        "train accuracy": [1 - error / 100 for error in history.train_error],
        f"{watched} accuracy": [1 - error / 100 for error in history.validation_error],
    }
    ax = _axes(ax)
    ax.clear()
    for (name, values), style, colour in zip(curves.items(), ("-", "--", "-."), COLOURS[1:], strict=False):
        ax.plot(range(1, len(values) + 1), values, style, color=colour, marker="o", markersize=3, label=name)
    ax.set(xlabel="epoch", ylabel="loss (nats), accuracy (0 to 1)", xlim=(0.8, num_epochs + 0.2), ylim=(0, None))
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.grid(axis="y")
    ax.legend()
    return ax


def _display(figure: Figure):
    """A handle by which the shown figure can be changed, or None where nobody would see it."""
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        return None
    return display(figure, display_id=True) if get_ipython() is not None else None


def _axes(ax: Axes | None, **figure: object) -> Axes:
    return plt.subplots(**figure)[1] if ax is None else ax
