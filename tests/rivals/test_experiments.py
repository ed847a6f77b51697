"""What the rivals' runs measure, on the embedded digits; and that what is stored is what their configurations say."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from conftest import sentence

from lenet_utils.counting import layer_table, total
from lenet_utils.family.relatives import made_small
from lenet_utils.literature import published
from lenet_utils.models import MLP
from lenet_utils.original.distortions import Distortion, distort
from lenet_utils.rivals import experiments
from lenet_utils.rivals.deslanting import crop, deslant
from lenet_utils.rivals.experiments import (
    CANDIDATES,
    EXPERIMENTS,
    RIVALS,
    Rival,
    as_seen,
    compare,
    rows,
    with_copies,
)
from lenet_utils.run_store import load_results
from lenet_utils.runs import run
from lenet_utils.training import TrainConfig


@pytest.mark.parametrize(("view", "side"), [("regular", 28), ("cropped", 20), ("deslanted", 20), ("small", 16)])
def test_a_view_changes_all_three_parts(view, side, few):
    seen = as_seen(few, view)
    change = {
        "regular": lambda images: images,
        "cropped": crop,
        "deslanted": lambda images: crop(deslant(images)),
        "small": lambda images: crop(made_small(images), 16),
    }[view]
    for part in ("train_images", "validation_images", "test_images"):
        assert getattr(seen, part).shape[1:] == (side, side)
        assert torch.equal(getattr(seen, part), change(getattr(few, part)))
    assert torch.equal(seen.train_labels, few.train_labels)


def test_an_unknown_view_is_one_sentence(few):
    with pytest.raises(ValueError, match="view") as caught:
        as_seen(few, "upright")
    sentence(caught.value, "deslanted")


def test_copies_are_distorted_as_in_the_paper_and_follow_the_images(few):
    seen = with_copies(few, 2, seed=7)
    count = len(few.train_images)
    assert torch.equal(seen.train_images[:count], few.train_images)
    assert torch.equal(seen.train_labels, few.train_labels.repeat(3))
    generator = torch.Generator().manual_seed(7)
    for number in (1, 2):
        wanted = distort(few.train_images, Distortion().draw(count, generator))
        assert torch.equal(seen.train_images[number * count : (number + 1) * count], wanted)
    assert torch.equal(seen.test_images, few.test_images)


@pytest.mark.parametrize(
    "name", ["linear", "pairwise", "knn", "pca-quadratic", "tangent-distance", "mlp-300-deslanted"]
)
def test_what_is_kept_of_a_rival_agrees_with_what_it_is(name, digits):
    rival = RIVALS[name]
    seen = as_seen(digits, rival.view)
    found, again = compare(rival, seen, 3), compare(rival, seen, 3)
    assert found["test_size"] == 400
    assert found["test_error"] == pytest.approx(100 * found["test_wrong"] / 400)
    assert found["test_error"] < 15
    assert 0 <= found["rejected"] <= 100
    assert found["train_seconds"] > 0 < found["answer_seconds"]
    timeless = [{key: value for key, value in one.items() if "seconds" not in key} for one in (found, again)]
    assert timeless[0] == timeless[1]


@pytest.mark.parametrize(
    ("hidden", "side", "printed"),
    [
        ((300,), 20, "mlp-300-deslanted"),
        ((1000,), 28, "mlp-1000"),
        ((300, 100), 28, "mlp-300-100"),
        ((500, 150), 28, "mlp-500-150"),
    ],
)
def test_costs_of_the_networks_are_the_printed_thousands(hidden, side, printed):
    costs = total(layer_table(MLP(hidden, input_size=side)))
    assert abs(costs.macs / 1_000 - published("rivals/multiply-adds").value[printed]) < 2
    assert abs(costs.parameters / 1_000 - published("rivals/numbers-stored").value[printed]) < 2
    view = {28: "regular", 20: "deslanted"}[side]
    assert (RIVALS[printed].settings["hidden"], RIVALS[printed].view) == (hidden, view)


def test_rows_are_pixels_from_0_to_1(few):
    found = rows(few.train_images)
    assert found.shape == (64, 784)
    assert (found.min(), found.max()) == (0, 1)
    assert torch.equal(found[3].unflatten(0, (28, 28)) * 255, few.train_images[3].float())


def test_plain_and_distorted_networks_learn_as_many_patterns():
    for name, rival in RIVALS.items():
        if name.endswith("-distorted"):
            plain = RIVALS[name.removesuffix("-distorted")]
            changes = {"num_epochs": plain.settings["num_epochs"] // (1 + rival.copies)}
            assert rival.settings == plain.settings | changes
            assert changes["num_epochs"] * (1 + rival.copies) == plain.settings["num_epochs"]


def test_all_settings_of_the_networks_are_ones_that_training_knows():
    for rival in (*RIVALS.values(), *CANDIDATES):
        if rival.kind == "network":
            TrainConfig(**{name: value for name, value in rival.settings.items() if name != "hidden"})


def test_seeds_that_report_have_chosen_nothing():
    for name, experiment in EXPERIMENTS.items():
        assert all((seed >= 100) == name.startswith("rival-") for seed in experiment.seeds)
    assert {name.removeprefix("rival-") for name in EXPERIMENTS if name != "rivals-search"} == set(RIVALS)


def test_a_run_keeps_one_pass_and_the_search_one_for_each_candidate(digits, monkeypatch, tmp_path):
    monkeypatch.setenv("LENET_RESULTS_DIR", str(tmp_path))
    monkeypatch.setattr(experiments, "load", lambda name: digits)
    assert run(EXPERIMENTS["rival-linear-deslanted"], 100).complete
    (record,) = load_results("rival-linear-deslanted")
    assert record["configuration"] == RIVALS["linear-deslanted"].configuration
    assert record["passes"][0]["numbers"] == 4_010
    seen = as_seen(digits.with_test_as_validation(), "deslanted")  # it learns from all but the test part
    wanted = compare(RIVALS["linear-deslanted"], seen, 100)
    assert record["passes"][0]["test_wrong"] == wanted["test_wrong"]

    few_candidates = (CANDIDATES[0], CANDIDATES[2])
    monkeypatch.setattr(experiments, "CANDIDATES", few_candidates)
    searching = replace(EXPERIMENTS["rivals-search"], measure=lambda one: experiments.search(one, few_candidates))
    assert run(searching, 0).complete
    (record,) = load_results("rivals-search")
    assert [row["settings"] for row in record["passes"]] == [{"gain": 0.0}, {"gain": 3.0}]
    held_out = replace(digits, test_images=digits.validation_images, test_labels=digits.validation_labels)
    assert record["passes"][1]["validation_error"] == compare(few_candidates[1], held_out, 0)["test_error"]


def test_a_configuration_names_what_decides():
    plain = Rival("a", "A", "linear")
    assert plain.configuration == {"kind": "linear", "view": "regular", "settings": {}, "copies": 0}
    assert Rival("a", "A", "network", copies=1).configuration["distortion"] == vars(Distortion())


def test_the_defaults_of_the_classes_are_what_the_search_found_best():
    (record,) = load_results("rivals-search")
    rows_of = {}
    for row in record["passes"]:
        rows_of.setdefault((row["kind"], "virtual" in row["settings"]), []).append(row)
    best = {kind: min(found, key=lambda row: row["validation_error"])["settings"] for kind, found in rows_of.items()}
    for (kind, virtual), settings in best.items():
        if kind == "network":
            assert settings["learning_rate"] == experiments.PASSES["learning_rate"]
        else:
            chosen = RIVALS["virtual-svm"].settings if virtual else {}
            made = experiments.CLASSIFIERS[kind](**chosen)
            assert all(getattr(made, name) == value for name, value in settings.items()), kind
