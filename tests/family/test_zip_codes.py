"""Runs of the zip-code network: what they learn from, what they store, and how they go on."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from conftest import DATA_DIR

from lenet_utils import downloads, runs
from lenet_utils.data import load
from lenet_utils.family import zip_codes
from lenet_utils.family.networks import BACKGROUND, ZipNet1989
from lenet_utils.family.zip_codes import ZipConfig, ZipDigits, judge, measure, shifted, zip_digits
from lenet_utils.models import seeded
from lenet_utils.run_store import Experiment, load_results


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("LENET_RESULTS_DIR", str(tmp_path / "results"))
    monkeypatch.setenv("LENET_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def few_zip_codes(monkeypatch):
    """60 digits to learn and 20 to test, drawn by lot; four of the 60 are held out where settings are chosen."""
    generator = torch.Generator().manual_seed(0)
    parts = {
        part: ZipDigits(
            torch.rand(count, 16, 16, generator=generator, dtype=torch.float64) * 2 - 1,
            torch.randint(10, (count,), generator=generator),
        )
        for part, count in (("train", 60), ("test", 20))
    }
    monkeypatch.setattr(zip_codes, "zip_digits", lambda: (parts, "by lot"))
    monkeypatch.setattr(zip_codes, "NUM_HELD_OUT", 4)
    return parts


def tiny(**changes) -> Experiment:
    config = ZipConfig(num_passes=3, **changes)
    return Experiment("tiny-zip", "", partial(measure, config=config), {"config": str(config)})


@pytest.mark.parametrize("changes", [{}, {"optimizer": "adamw", "shifts": True, "dropout": 0.3, "last_rate": 0.001}])
def test_an_interrupted_run_ends_as_one_in_one_go(few_zip_codes, changes):
    runs.run(tiny(**changes), seed=5)
    (whole,) = load_results("tiny-zip")
    runs.run(tiny(**changes), seed=5, again=True, until=1)
    runs.run(tiny(**changes), seed=5)
    (parts,) = load_results("tiny-zip")
    assert parts["passes"] == whole["passes"]
    assert [row["rate"] for row in whole["passes"]] == pytest.approx(
        [0.003, (0.003 + changes.get("last_rate", 0.003)) / 2, changes.get("last_rate", 0.003)]
    )


def test_what_chooses_sees_no_test_digit(few_zip_codes):
    few_zip_codes["test"].images.fill_(float("nan"))
    runs.run(tiny(held_out=True), seed=0)
    (record,) = load_results("tiny-zip")
    assert [(row["train_size"], row["test_size"]) for row in record["passes"]] == [(56, 4)] * 3


def test_judging_counts_mistakes_and_the_mean_square():
    model = seeded(ZipNet1989, 0).double()
    images = torch.rand(7, 16, 16, dtype=torch.float64)
    with torch.no_grad():
        outputs = model(images[:, None])
    answers = outputs.argmax(1)
    found = judge(model, images, answers)
    assert (found["wrong"], found["size"]) == (0, 7)
    found = judge(model, images, (answers + 1) % 10)
    assert (found["wrong"], found["error"]) == (7, 100)
    errors = [
        (float(row[c]) - (1 if c == (int(best) + 1) % 10 else -1)) ** 2
        for row, best in zip(outputs, answers, strict=True)
        for c in range(10)
    ]
    assert found["loss"] == pytest.approx(sum(errors) / 70)


def test_digits_move_by_at_most_one_pixel():
    images = torch.full((300, 16, 16), BACKGROUND, dtype=torch.float64)
    images[:, 5, 9] = 1
    images[:, 0, 0] = 0.5
    moved = shifted(images, seed=1)
    places = {tuple(place) for image in moved for place in (image == 1).nonzero().tolist()}
    assert places == {(i, j) for i in (4, 5, 6) for j in (8, 9, 10)}
    assert set(moved.unique().tolist()) == {BACKGROUND, 0.5, 1.0}
    assert torch.equal(shifted(images, seed=1), moved)


def test_the_digits_are_those_given_away(monkeypatch):
    monkeypatch.setenv("LENET_DATA_DIR", str(DATA_DIR))
    missing = [downloads.zip_file(part, DATA_DIR) for part in downloads.USPS_DIGITS]
    if not all(path.exists() for path in missing):
        pytest.skip(f"{missing[0]} is missing: set LENET_DATA_DIR")
    digits, source = zip_digits()
    assert {part: len(d.labels) for part, d in digits.items()} == {"train": 7_291, "test": 2_007}
    assert digits["train"].images.min() == -1
    assert digits["train"].images.max() == 1
    assert "USPS" in source


def test_where_zip_codes_are_missing_other_digits_stand_in_and_say_so(monkeypatch):
    def missing(folder):
        raise downloads.DataError("usps.bz2 is missing.")

    monkeypatch.setattr(downloads, "read_usps", missing)
    with pytest.raises(downloads.DataError, match="is missing"):
        zip_digits()
    for chosen, why in (("auto", "for usps.bz2 is missing."), ("digits", "as LENET_DATASET says")):
        monkeypatch.setenv("LENET_DATASET", chosen)
        digits, source = zip_digits(stand_in=True)
        assert {part: tuple(d.images.shape) for part, d in digits.items()} == {
            "train": (1_397, 16, 16),
            "test": (400, 16, 16),
        }
        assert source == f"{load('digits').source}, made 16×16, in place of the zip codes, {why}"
        assert all(d.images.abs().max() <= 1 and d.images.dtype == torch.float64 for d in digits.values())


def test_experiments_that_choose_and_that_report_share_no_seed():
    for name, experiment in zip_codes.EXPERIMENTS.items():
        chooses = "search" in name
        assert experiment.configuration["held_out"] is chooses
        assert all((seed < 100) is chooses for seed in experiment.seeds)
