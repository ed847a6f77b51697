"""Every plot_* draws into the axes it is given, returns axes, and shows nothing by itself."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from conftest import sentence
from matplotlib.axes import Axes

from lenet_utils import diagrams, plotting
from lenet_utils.counting import layer_table
from lenet_utils.models import MLP, LeNet5

RANDOM = np.random.default_rng(0)
ONE_AX = {
    "learning_curves": lambda ax: plotting.plot_learning_curves({"train": [3, 2], "test": [4, 3]}, "error (%)", ax=ax),
    "confusion_matrix": lambda ax: plotting.plot_confusion_matrix(np.array([[5, 1], [0, 7]]), ["a", "b"], ax=ax),
    "embedding": lambda ax: plotting.plot_embedding(RANDOM.normal(size=(20, 2)), [0, 1] * 10, ["a", "b"], ax=ax),
    "trials": lambda ax: plotting.plot_trials(
        np.array([3.0, 2.0, np.nan, 4.0]), ("activation", "pooling"), (("tanh", "relu"), ("average", "max")), ax
    ),
    "images": lambda ax: plotting.plot_images(RANDOM.random((3, 8, 8)), ["a", "b", "c"], ax=ax),
    "feature_maps": lambda ax: plotting.plot_feature_maps(RANDOM.random((3, 8, 8)), ax=ax),
    "architecture": lambda ax: diagrams.plot_architecture(layer_table(LeNet5()), ax),
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
    names = {name for module in (plotting, diagrams) for name in vars(module) if name.startswith("plot_")}
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


@pytest.mark.parametrize("num_lines", [1, 2])
def test_architecture_says_every_shape(num_lines):
    ax = diagrams.plot_architecture(layer_table(LeNet5("relu", "max")), num_lines=num_lines)
    texts = {text.get_text() for text in ax.texts}
    shapes = {"Input: 32×32", "C1: 6@28×28", "S2: 6@14×14", "C3: 16@10×10", "S4: 16@5×5", "C5: 120", "F6: 84"}
    assert shapes | {"Output: 10", "5×5\nconvolution", "2×2\nmaximum", "full\nconnection"} == texts


def test_architecture_is_drawn_to_scale_within_its_frame():
    ax = diagrams.plot_architecture(layer_table(LeNet5()))
    sides = {round(patch.get_width()) for patch in ax.patches if hasattr(patch, "get_width")}
    assert {32, 28, 14, 10, 5} <= sides
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    for patch in ax.patches:
        box = patch.get_path().get_extents(patch.get_patch_transform())
        assert left <= box.x0
        assert box.x1 <= right
        assert bottom <= box.y0
        assert box.y1 <= top


def test_architecture_of_a_network_without_maps():
    ax = diagrams.plot_architecture(layer_table(MLP((30,))), input_shape=(1, 28, 28), num_lines=1)
    assert {"Input: 28×28", "full\nconnection"} <= {text.get_text() for text in ax.texts}


def test_architecture_of_nothing():
    with pytest.raises(ValueError, match="at least one row"):
        diagrams.plot_architecture([])


def test_book_style_sets_the_papers_colour():
    with mpl.rc_context():
        plotting.use_book_style()
        assert mpl.rcParams["figure.facecolor"] == plotting.PAPER
        assert mpl.rcParams["text.color"] == plotting.INK
