"""Every plot_* draws into the axes it is given, returns axes, and shows nothing by itself."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from conftest import sentence
from matplotlib.axes import Axes

from lenet_utils import architecture_diagram, plotting
from lenet_utils.counting import layer_table
from lenet_utils.models import LeNet5
from lenet_utils.training import History, TrainConfig

RANDOM = np.random.default_rng(0)
SMALL_AND_LARGE = {
    "small": [("input", 1, 16), ("convolution", 4, 12), ("full", 10, 1)],
    "large": [("input", 3, 96), ("convolution", 8, 40), ("full", 10, 1)],
}
HISTORY = History(TrainConfig(), "digits", "cpu", train_loss=[2.0], train_error=[50.0], validation_error=[40.0])
ONE_AX = {
    "learning_curves": lambda ax: plotting.plot_learning_curves({"train": [3, 2], "test": [4, 3]}, "error (%)", ax=ax),
    "confusion_matrix": lambda ax: plotting.plot_confusion_matrix(np.array([[5, 1], [0, 7]]), ["a", "b"], ax=ax),
    "embedding": lambda ax: plotting.plot_embedding(RANDOM.normal(size=(20, 2)), [0, 1] * 10, ["a", "b"], ax=ax),
    "history": lambda ax: plotting.plot_history(HISTORY, 3, "test", ax),
    "images": lambda ax: plotting.plot_images(RANDOM.random((3, 8, 8)), ["a", "b", "c"], ax=ax),
    "signed": lambda ax: plotting.plot_signed(RANDOM.normal(size=(4, 5, 5)), num_columns=2, ax=ax),
    "architecture": lambda ax: architecture_diagram.plot_architecture(layer_table(LeNet5()), ax),
    "to_one_scale": lambda ax: architecture_diagram.plot_to_one_scale(SMALL_AND_LARGE, ax),
}


@pytest.fixture(autouse=True)
def _no_figure_stays_open(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a plot_* called plt.show()")

    monkeypatch.setattr(plt, "show", refuse)
    yield
    plt.close("all")


@pytest.mark.parametrize("draw", ONE_AX.values(), ids=ONE_AX)
def test_draws_into_the_given_ax(draw):
    _, ax = plt.subplots()
    assert draw(ax) is ax
    assert ax.has_data()
    assert len(plt.get_fignums()) == 1
    ax.figure.canvas.draw()


@pytest.mark.parametrize("draw", ONE_AX.values(), ids=ONE_AX)
def test_makes_an_ax_where_none_is_given(draw):
    ax = draw(None)
    assert isinstance(ax, Axes)
    ax.figure.canvas.draw()


def test_every_plot_function_is_tried():
    names = {name for module in (plotting, architecture_diagram) for name in vars(module) if name.startswith("plot_")}
    assert names == {f"plot_{name}" for name in ONE_AX}


def test_images_stand_in_a_grid_with_their_titles_above():
    images = RANDOM.random((5, 8, 6))
    ax = plotting.plot_images(images, list("abcde"), num_columns=3)
    sheet = ax.images[0].get_array()
    found = {text.get_text(): text.get_position() for text in ax.texts}
    for image, name in zip(images, "abcde", strict=True):
        x, y = found[name]
        top, left = int(y) + 1, int(x - 2.5)
        assert np.array_equal(sheet[top : top + 8, left : left + 6], image)
    assert sheet.count() == images.size  # and nothing else
    assert found["a"][1] == found["c"][1] < found["d"][1]
    assert found["a"][0] == found["d"][0] <= found["b"][0] - (6 + 2)  # with a gap


def test_images_share_one_scale():
    assert plotting.plot_images([np.zeros((2, 2)), np.full((2, 2), 5)]).images[0].get_clim() == (0, 5)
    assert plotting.plot_images([np.zeros((2, 2))], vmin=-1, vmax=1).images[0].get_clim() == (-1, 1)


def test_rows_have_titles_of_their_own_and_pictures_a_frame():
    ax = plotting.plot_images(RANDOM.random((5, 4, 4)), num_columns=2, row_titles=list("abc"), frame=True, fontsize=9)
    middles = [text.get_position() for text in ax.texts]
    assert [text.get_text() for text in ax.texts] == list("abc")
    assert len({x for x, _ in middles}) == 1
    assert middles[0][0] < 0
    rims = [path.get_extents().extents.tolist() for path in ax.collections[0].get_paths()]
    assert len(rims) == 5
    for y, (left, top, right, bottom) in zip([y for _, y in middles], rims[::2], strict=True):
        assert (left, right, (top + bottom) / 2) == (-0.5, 3.5, y)
    with pytest.raises(ValueError, match="Expected") as caught:
        plotting.plot_images(RANDOM.random((5, 4, 4)), num_columns=2, row_titles=["a"])
    sentence(caught.value, "each of the 3 rows", "got 1")


def test_signs_have_colours_and_zero_is_the_page():
    image = plotting.plot_signed([np.array([[-2.0, 0.0], [1.0, 2.0]])]).images[0]
    low, zero, half, high = image.to_rgba(image.get_array()).reshape(-1, 4)[-4:]  # below the gap
    assert image.get_clim() == (-2, 2)
    assert zero[3] == pytest.approx(0, abs=0.01)
    assert half[3] == pytest.approx(0.5, abs=0.01)
    assert [low[3], high[3]] == [1, 1]
    assert np.allclose(low[:3], mpl.colors.to_rgb(plotting.COLOURS[1]))
    assert np.allclose(high[:3], mpl.colors.to_rgb(plotting.COLOURS[0]))
    assert plotting.plot_signed(np.zeros((1, 2, 2))).images[0].get_clim() == (-1, 1)
    assert plotting.plot_signed(np.ones((1, 2, 2)), vmax=4).images[0].get_clim() == (-4, 4)


@pytest.mark.parametrize(
    ("images", "titles", "parts"),
    [
        ([], None, ("at least one", "none")),
        ([np.zeros((2, 2)), np.zeros((2, 3))], None, ("one shape", "(2, 2), (2, 3)")),
        ([np.zeros((2, 2, 3))], None, ("(H, W)", "(2, 2, 3)")),
        ([np.zeros((2, 2))], ["a", "b"], ("title for each of the 1 images", "got 2")),
    ],
)
def test_images_that_do_not_fit_are_refused(images, titles, parts):
    with pytest.raises(ValueError, match="Expected") as caught:
        plotting.plot_images(images, titles)
    sentence(caught.value, *parts)


def test_curves_are_labelled_and_start_at_epoch_one():
    ax = ONE_AX["learning_curves"](None)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "error (%)")
    assert [line.get_xdata().tolist() for line in ax.lines] == [[1, 2], [1, 2]]


def test_confusion_matrix_shades_only_mistakes():
    shades = ONE_AX["confusion_matrix"](None).images[0].get_array()
    assert shades[..., 3].tolist() == [[0, 0.75], [0, 0]]


def test_book_style_sets_the_papers_colour():
    with mpl.rc_context():
        plotting.use_book_style()
        assert mpl.rcParams["figure.facecolor"] == plotting.PAPER
        assert mpl.rcParams["text.color"] == plotting.INK


def test_curves_follow_the_history():
    curves, history = plotting.LiveCurves(3, watched="validation"), History(TrainConfig(), "digits", "cpu")
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
