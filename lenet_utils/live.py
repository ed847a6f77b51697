"""Curves that move while a network trains, in a live notebook; anywhere else, the figure as it is at the end."""

from __future__ import annotations

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lenet_utils.config import History
from lenet_utils.plotting import COLOURS


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

    def __init__(self, num_epochs: int, watched: str = "test") -> None:
        self.num_epochs, self.watched = num_epochs, watched
        self.figure, self._ax = plt.subplots(figsize=(5.4, 3.2))
        plt.close(self.figure)  # shown by the handle, not once more at the end of the cell
        self._handle = _display(self.figure)

    def __call__(self, history: History) -> None:
        """Redraw with what ``history`` holds by now."""
        plot_history(history, self.num_epochs, self.watched, self._ax)
        if self._handle is not None:
            self._handle.update(self.figure)


def plot_history(history: History, num_epochs: int, watched: str, ax: Axes) -> Axes:
    """One run: losses and accuracies on one axis, as such tutorials draw them."""
    curves = {
        "train loss": history.train_loss,
        "train accuracy": [1 - error / 100 for error in history.train_error],
        f"{watched} accuracy": [1 - error / 100 for error in history.validation_error],
    }
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
