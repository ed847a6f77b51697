"""One digit in a photograph, a scan or an array: found whatever surrounds it, and refused where there is none."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from conftest import sentence
from PIL import Image
from scipy import ndimage

from lenet_utils import evaluation, predict
from lenet_utils.models import LeNet5, seeded
from lenet_utils.predict import PictureError, find_digit, otsu, predict_image, read_grey
from lenet_utils.preprocessing import normalise, prepare
from lenet_utils.training import TrainConfig, train


@pytest.fixture(scope="module")
def network(digits):
    model = seeded(lambda: LeNet5("relu"), 0)
    train(model, digits.subset(600), TrainConfig(num_epochs=4), progress=False)
    return model


def found(picture) -> torch.Tensor:
    return normalise(find_digit(read_grey(picture)))


def likeness(one: torch.Tensor, other: torch.Tensor) -> float:
    """The correlation of two images: 1 where they are the same but for contrast."""
    return float(np.corrcoef(one.flatten(), other.flatten())[0, 1])


def on_paper(image: torch.Tensor, size: tuple[int, int] = (300, 260), at: tuple[int, int] = (60, 40), ink=0.6):
    """A digit (28, 28), uint8, enlarged to 168×168 and drawn in grey on white paper: brightness from 0 to 1."""
    large = ndimage.zoom(image.numpy() / 255, 6, order=1, grid_mode=True, mode="grid-constant").clip(0, 1)
    paper = np.ones(size)
    paper[at[0] : at[0] + 168, at[1] : at[1] + 168] -= ink * large
    return paper


def darker_to_the_right(picture: np.ndarray) -> np.ndarray:
    return picture * np.linspace(1, 0.45, picture.shape[1])


def with_noise(picture: np.ndarray) -> np.ndarray:
    return (picture + np.random.default_rng(1).normal(0, 0.05, picture.shape)).clip(0, 1)


def with_specks(picture: np.ndarray) -> np.ndarray:
    picture = picture.copy()
    for row, column in np.random.default_rng(2).integers(5, 250, (15, 2)):
        picture[row : row + 4, column : column + 4] = 0.2
    return picture


def on_ruled_paper(picture: np.ndarray) -> np.ndarray:
    picture = picture.copy()
    for row in range(25, len(picture), 50):
        picture[row : row + 3] = np.minimum(picture[row : row + 3], 0.55)
    return picture


def in_half_a_shadow(picture: np.ndarray) -> np.ndarray:
    shaded = picture.copy()
    shaded[:40] *= 0.6
    return shaded


# --- what is found ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reverse", [False, True])
def test_a_clean_digit_is_found_as_it_is(digits, reverse):
    for image in digits.test_images[:40]:
        picture = 255 - image if reverse else image
        assert likeness(found(picture), normalise(image)) > 0.9


SPOILS = [darker_to_the_right, with_noise, with_specks, on_ruled_paper, in_half_a_shadow]


@pytest.mark.parametrize("spoil", [np.asarray, *SPOILS])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_digit_is_found_whatever_the_light_and_the_paper(digits, spoil, reverse):
    for image in digits.test_images[:8]:
        picture = spoil(on_paper(image))
        assert likeness(found(1 - picture if reverse else picture), normalise(image)) > 0.85


def test_size_and_place_do_not_matter(digits):
    image = digits.test_images[0]
    for size, at in [((170, 170), (1, 1)), ((400, 900), (230, 700)), ((1500, 1400), (700, 700))]:
        assert likeness(found(on_paper(image, size, at)), normalise(image)) > 0.95


def test_every_kind_of_array_gives_the_same(digits):
    grey = np.rint(255 * on_paper(digits.test_images[1])).astype(np.uint8)
    rgb = np.repeat(grey[..., None], 3, axis=2)
    opaque = np.concatenate([rgb, np.full_like(rgb[..., :1], 255)], axis=2)
    wanted = found(grey)
    for other in (rgb, opaque, grey / 255, (grey / 255).astype(np.float32), torch.from_numpy(grey), grey.T.copy().T):
        np.testing.assert_allclose(found(other), wanted, atol=0.02)


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (200, 30, 30)])
def test_ink_on_a_transparent_page(digits, colour):
    image = digits.test_images[2]
    drawn = np.zeros((100, 100, 4), dtype=np.uint8)
    drawn[..., :3] = colour
    drawn[20:76, 30:86, 3] = np.kron(image.numpy(), np.ones((2, 2), dtype=np.uint8))
    assert likeness(found(drawn), normalise(image)) > 0.95


def saved(picture: np.ndarray, kind: str, path) -> str:
    """The picture as a file of some kind."""
    grey = Image.fromarray(np.rint(255 * picture).astype(np.uint8))
    if kind == "16 bits":
        Image.fromarray(np.rint(65535 * picture).astype(np.uint16)).save(path, "PNG")
    elif kind == "palette":
        grey.convert("P").save(path, "PNG")
    elif kind == "one bit":
        grey.point(lambda v: 255 * (v > 160)).convert("1").save(path, "PNG")
    elif kind == "turned photograph":
        exif = Image.Exif()
        exif[274] = 6  # the camera lay on its side: the top of the scene is at the right
        grey.rotate(90, expand=True).convert("RGB").save(path, "JPEG", exif=exif, quality=80)
    elif kind == "ink colours":
        grey.convert("CMYK").save(path, "TIFF")
    else:
        grey.save(path, kind)
    return str(path)


KINDS = ["PNG", "JPEG", "BMP", "GIF", "WEBP", "16 bits", "palette", "one bit", "turned photograph", "ink colours"]


@pytest.mark.parametrize("kind", KINDS)
def test_files_of_many_kinds(digits, tmp_path, kind):
    image = digits.test_images[3]
    assert likeness(found(saved(on_paper(image), kind, tmp_path / "a digit")), normalise(image)) > 0.93


def test_a_digit_in_two_strokes_is_one():
    five = np.ones((200, 200))
    five[40:50, 105:150] = 0  # the bar of a 5, not quite touching
    five[50:100, 60:70] = five[100:110, 60:120] = five[110:150, 120:130] = five[150:160, 60:120] = 0
    five[56:62, 90:100] = 0
    assert np.abs(np.subtract(find_digit(five).shape, (120, 90))).max() <= 4


@pytest.mark.parametrize(("count", "reverse"), [(2, False), (3, True), (5, False)])
def test_several_digits_are_counted(digits, count, reverse):
    row = np.concatenate([on_paper(image, (250, 220)) for image in digits.test_images[:count]], axis=1)
    with pytest.raises(PictureError) as caught:
        find_digit(1 - row if reverse else row)
    sentence(caught.value, f"There are {count} digits in this picture", "cut out one")


def test_digits_above_each_other_are_several(digits):
    column = np.concatenate([on_paper(image, (220, 220), (26, 26)) for image in digits.test_images[:2]])
    with pytest.raises(PictureError, match="2 digits"):
        find_digit(column)


def test_otsus_threshold_parts_two_classes_as_well_as_any_other():
    draw = np.random.default_rng(4)
    values = np.concatenate([draw.normal(0.2, 0.05, 900), draw.normal(0.7, 0.1, 100)])

    def within(threshold):
        below, above = values[values <= threshold], values[values > threshold]
        return len(below) * below.var() + len(above) * above.var()

    assert within(otsu(values)) <= 1.001 * min(within(t) for t in np.linspace(values.min(), values.max(), 500)[1:-1])


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("picture", "parts"),
    [
        (np.full((50, 40), 255, np.uint8), ["no ink"]),
        (np.zeros((50, 40, 3), np.uint8), ["no ink"]),
        (np.zeros((1, 1), np.uint8), ["no ink"]),
        (np.zeros((50, 40, 4)), ["no ink"]),
        (with_noise(np.full((200, 200), 0.7)), ["There is no"]),
        (darker_to_the_right(np.ones((200, 200))), ["There is no"]),
        (on_ruled_paper(np.ones((250, 250))), ["no digit", "specks or lines"]),
        (with_specks(np.ones((400, 400))), ["no digit", "specks or lines"]),
        (np.random.default_rng(0).random((600, 600)), ["There is no"]),
        (1 - np.tile(np.pad(np.ones((20, 20)), 8), (13, 13)), ["169 separate marks", "cut out one digit"]),
        (np.zeros((2, 50, 40, 3), np.uint8), ["shape (2, 50, 40, 3)"]),
        (np.zeros((3, 50, 40), np.uint8), ["shape (3, 50, 40)"]),
        (np.zeros(784), ["shape (784,)"]),
        (np.zeros((0, 9)), ["shape (0, 9)"]),
        (np.zeros((9, 9), np.int64), ["int64"]),
        (np.zeros((9, 9), bool), ["bool"]),
        (np.full((9, 9), np.nan), ["81 values", "NaN"]),
        (np.linspace(0, 255, 81).reshape(9, 9), ["float64 in 0..255"]),
        (torch.full((9, 9), -1.0), ["float32 in -1..-1"]),
        (np.full((9, 9), np.inf), ["in inf..inf"]),
    ],
    ids=range(20),
)
def test_arrays_that_are_no_digit(network, picture, parts):
    with pytest.raises(PictureError) as caught:
        predict_image(network, picture)
    sentence(caught.value, *parts)


def png(picture: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.rint(255 * picture).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (b"a shopping list\n", ["mine.png is no picture"]),
        (b"", ["mine.png is no picture"]),
        (png(with_noise(np.ones((90, 90))))[:3_000], ["mine.png is damaged", "save the picture again"]),
        (png(with_noise(np.ones((90, 90))))[:20], ["mine.png is"]),
    ],
    ids=["text", "empty", "half", "its head"],
)
def test_files_that_are_no_picture(network, tmp_path, content, parts):
    (tmp_path / "mine.png").write_bytes(content)
    with pytest.raises(PictureError) as caught:
        predict_image(network, tmp_path / "mine.png")
    sentence(caught.value, *parts)


def test_a_path_with_no_file(network, tmp_path):
    for path in (tmp_path, tmp_path / "absent.png"):
        with pytest.raises(PictureError) as caught:
            predict_image(network, path)
        sentence(caught.value, str(path), "cannot be read", "check its name")


def test_a_bomb_is_not_unpacked(network, tmp_path, monkeypatch):
    Image.new("1", (20_000, 10_000)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image.Image, "load", lambda _: pytest.fail("its pixels were decoded"))
    with pytest.raises(PictureError) as caught:
        predict_image(network, tmp_path / "bomb.png")
    sentence(caught.value, "bomb.png is too large", "100,000,000 pixels")


def test_a_large_photograph_is_read(digits, tmp_path):
    image = digits.test_images[4]
    large = np.kron(on_paper(image), np.ones((12, 12)))  # 3,600 × 3,120 pixels
    assert likeness(found(saved(large, "JPEG", tmp_path / "large.jpg")), normalise(image)) > 0.95


# --- what is answered ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scaling", ["standard", "unit"])
def test_the_answer_is_the_networks(network, digits, scaling):
    for image in digits.test_images[:10]:
        seen = predict_image(network, image, scaling)
        logits = evaluation.outputs(network, prepare(seen.image[None], 32, scaling))
        assert seen.label == int(logits.argmax()) == int(seen.probabilities.argmax())
        np.testing.assert_allclose(seen.probabilities, logits.softmax(1)[0], atol=1e-6)


def test_most_digits_are_read(network, digits):
    right = [
        predict_image(network, i).label == int(k) for i, k in zip(digits.test_images, digits.test_labels, strict=True)
    ]
    plain = evaluation.error_rate(evaluation.predict(network, prepare(digits.test_images)), digits.test_labels)
    assert sum(right) >= len(right) * (1 - plain / 100) - 4


def test_the_smallest_penalty_wins(digits):
    class Distances(LeNet5):
        smallest_wins = True

    model = seeded(Distances, 0)
    seen = predict_image(model, digits.test_images[0])
    assert seen.label == int(model(prepare(seen.image[None])).argmin()) == int(seen.probabilities.argmax())


def test_the_command_line_reads_files_and_names_those_it_cannot(network, digits, tmp_path, capsys):
    from lenet_utils.widgets.exchange import describe, write_weights

    write_weights(tmp_path / "mine.json", describe(network))
    good, bad = saved(on_paper(digits.test_images[0]), "PNG", tmp_path / "good.png"), tmp_path / "bad.png"
    bad.write_text("no picture")
    answer = predict_image(network, good)
    assert predict.main(["--weights", str(tmp_path / "mine.json"), good]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"{good}: {answer.label} (")
    assert abs(float(out.split("(")[1].split()[0]) - 100 * float(answer.probabilities.max())) < 1
    assert err == ""
    assert predict.main(["--weights", str(tmp_path / "mine.json"), str(bad), good]) == 1
    again, err = capsys.readouterr()
    assert (again, err) == (out, f"{bad}: bad.png is no picture that Pillow can read: give a PNG or JPEG file.\n")


def test_the_command_line_asks_the_network_of_the_first_page(digits, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LENET_DATA_DIR", str(tmp_path / "no-data"))
    images, labels = digits.one_of_each()
    pictures = [saved(on_paper(image), "PNG", tmp_path / f"{n}.png") for n, image in enumerate(images)]
    assert predict.main(pictures) == 0
    out, err = capsys.readouterr()
    answers = [line.split(": ")[1][0] for line in out.splitlines()]
    assert sum(answer == str(int(label)) for answer, label in zip(answers, labels, strict=True)) >= 9
    assert err == ""


def test_a_damaged_network_is_told_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LENET_RESULTS_DIR", str(tmp_path))
    (tmp_path / "pad-network-seed100.json").write_text("{}")
    assert predict.main(["any.png"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "pad-network" in err


def test_the_command_line_refuses_weights_that_are_none(tmp_path, capsys):
    (tmp_path / "mine.json").write_text("[]")
    assert predict.main(["--weights", str(tmp_path / "mine.json"), "any.png"]) == 1
    assert predict.main(["--weights", str(tmp_path / "absent.json"), "any.png"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "mine.json is no file of weights" in err


def test_the_command_line_explains_itself(capsys):
    with pytest.raises(SystemExit) as left:
        predict.main(["--help"])
    assert left.value.code == 0
    assert "--weights" in capsys.readouterr().out
