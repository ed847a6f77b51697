"""Curves that move: what they show after each epoch, with nobody watching."""

from __future__ import annotations

from lenet_utils.config import History, TrainConfig
from lenet_utils.live import LiveCurves


def test_curves_follow_the_history():
    curves, history = LiveCurves(3, watched="validation"), History(TrainConfig(), "digits", "cpu")
    for epoch in (1, 2):
        history.train_loss.append(2.0 / epoch)
        history.train_error.append(50.0 / epoch)
        history.validation_error.append(40.0 / epoch)
        curves(history)
    ax = curves.figure.axes[0]
    drawn = {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in ax.lines}
    assert drawn == {
        "train loss": ([1, 2], [2.0, 1.0]),
        "train accuracy": ([1, 2], [0.5, 0.75]),
        "validation accuracy": ([1, 2], [0.6, 0.8]),
    }
    assert ax.get_xlim()[1] > 3
