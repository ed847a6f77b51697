"""Verdicts: each is the one that the file expects, and a value that leaves its tolerance turns it."""

from __future__ import annotations

import json
import statistics
from dataclasses import replace

import pytest
import torch
from conftest import DATA_DIR

from lenet_utils.ledger import measures
from lenet_utils.ledger.claims import entries
from lenet_utils.ledger.measures import NETWORKS
from lenet_utils.ledger.verdicts import Finding, agrees, check, main, written
from lenet_utils.original import layers
from lenet_utils.original.network import LeNet5Original
from lenet_utils.paths import results_dir
from lenet_utils.recipes.claims import Claim, verdict
from lenet_utils.run_store import load_results

LEDGER = {entry.name: entry for entry in entries()}
MEASURED = [entry for entry in LEDGER.values() if entry.measure]


@pytest.fixture(autouse=True)
def forget():
    """Tables and runs are read once in a process: tests that change them begin and end without."""
    measures._table.cache_clear()
    measures._runs.cache_clear()
    yield
    measures._table.cache_clear()
    measures._runs.cache_clear()


@pytest.mark.parametrize("entry", MEASURED, ids=lambda entry: entry.name)
def test_each_verdict_is_the_expected_one(entry, monkeypatch):
    monkeypatch.setenv("LENET_DATA_DIR", str(DATA_DIR))
    finding = check(entry)
    if not finding.ours:
        pytest.skip(f"{entry.measure['name']} is not on this machine: run `make data`")
    assert finding.verdict == entry.verdict, finding.row()
    assert finding.as_expected


@pytest.mark.parametrize("entry", [e for e in LEDGER.values() if not e.measure], ids=lambda entry: entry.name)
def test_what_cannot_be_checked_says_why(entry):
    row = check(entry).row()
    assert row["verdict"] == "not checkable"
    assert row["reason"]
    assert (row["ours"], row["how"], row["tolerance"]) == ("", "", "")


# --- a changed measure turns the verdict ---


def test_a_dense_c3_turns_the_counts(monkeypatch):
    """A network of another wiring is built and counted: what it touches differs, the rest holds."""
    monkeypatch.setitem(NETWORKS, "lenet-5", _with_dense_c3)
    found = {name: check(LEDGER[name]).verdict for name in ("lenet-5-parameters", "c3-connections", "c1-parameters")}
    assert found == {"lenet-5-parameters": "differs", "c3-connections": "differs", "c1-parameters": "holds"}
    monkeypatch.setitem(NETWORKS, "lenet-5", LeNet5Original)
    measures._table.cache_clear()
    assert check(LEDGER["lenet-5-parameters"]).verdict == "holds"


def _with_dense_c3():
    model = LeNet5Original()
    model.c3 = layers.SparseConv2d(torch.ones(6, 16, dtype=torch.bool))
    return model


def test_worse_runs_turn_the_verdict_on_an_error_and_better_ones_bring_it_back(tmp_path, monkeypatch):
    runs = load_results("original")
    entry = LEDGER["test-error"]
    for shift, expected in ((0.0, "holds"), (0.5, "differs"), (-0.5, "differs"), (0.05, "holds")):
        changed = [
            run | {"passes": [row | {"test_error": row["test_error"] + shift} for row in run["passes"]]} for run in runs
        ]
        monkeypatch.setattr(measures, "load_results", lambda name, changed=changed: changed)
        measures._runs.cache_clear()
        finding = check(entry)
        assert finding.verdict == expected, shift
        assert finding.as_expected is (expected == "holds")


def test_runs_are_those_of_the_folder(tmp_path, monkeypatch):
    """With results of one's own in their place, verdicts are of these."""
    for run in load_results("original"):
        path = results_dir() / f"original-seed{run['seed']}.json"
        record = json.loads(path.read_text("utf8"))
        for row in record["passes"]:
            row["test_error"] += 1
        (tmp_path / path.name).write_text(json.dumps(record), "utf8")
    monkeypatch.setenv("LENET_RESULTS_DIR", str(tmp_path))
    with pytest.raises(RuntimeError, match="damaged"):  # of a digest that does not fit
        check(LEDGER["test-error"])


def test_a_claim_that_comes_true_is_noticed():
    """The expected verdict is wrong as soon as a number comes back into its tolerance, too."""
    entry = LEDGER["train-error-15000"]
    assert agrees(entry, check(entry).ours) is False
    truly = replace(entry, part=[2])  # the number for 60,000 images
    ours = [value - 0.17 for value in check(entry).ours]
    finding = Finding(truly, ours, "holds" if agrees(truly, ours) else "differs", "")
    assert finding.verdict == "holds"
    assert not finding.as_expected


def test_main_counts_what_has_changed(monkeypatch, capsys):
    rows = [LEDGER["c1-parameters"], replace(LEDGER["c3-parameters"], part=["c5"]), LEDGER["training-days"]]
    monkeypatch.setattr("lenet_utils.ledger.verdicts.entries", lambda: rows)
    assert main() == 1
    said = capsys.readouterr().out
    assert "c3-parameters: printed 48,120, measured 1,516: now 'differs'." in said
    assert "1 of 3 verdicts have changed." in said


# --- the rules ---


def test_seeds_are_judged_as_the_recipes_are():
    """Two ways to one verdict: the recipes' own, and the ledger's."""
    entry = LEDGER["r1-test-accuracy-9"]
    for value in (0.9, 0.983, 0.9835, 0.985, 0.9874, 0.99, 0.9915, 0.995):
        ours = check(entry).ours
        same = verdict(Claim("test accuracy", 9, value, 4), ours) == "holds"
        assert agrees(replace(entry, value=value), ours) is same


@pytest.mark.parametrize(
    ("tolerance", "inside", "outside"),
    [
        ({"kind": "exact"}, [[60_000]], [[59_999], [60_000, 60_000]]),
        ({"kind": "within", "limit": 5}, [[60_005], [59_995], [59_000, 61_000]], [[60_006], [59_994]]),
        ({"kind": "above"}, [[60_001]], [[60_000], [59_999]]),
        ({"kind": "below"}, [[59_999]], [[60_000], [60_001]]),
        ({"kind": "seeds", "decimals": 0}, [[59_990, 60_010]], [[61_000, 61_010]]),
    ],
)
def test_tolerances(tolerance, inside, outside):
    entry = replace(LEDGER["lenet-5-parameters"], tolerance=tolerance)
    assert [agrees(entry, ours) for ours in inside] == [True] * len(inside)
    assert [agrees(entry, ours) for ours in outside] == [False] * len(outside)


def test_data_that_are_not_here_say_so(tmp_path, monkeypatch):
    monkeypatch.setenv("LENET_DATA_DIR", str(tmp_path))
    for name in ("mnist-train", "fashion-mnist-classes", "zip-train-images"):
        finding = check(LEDGER[name])
        assert finding.verdict == "not checkable"
        assert "not on this machine" in finding.reason
        assert finding.as_expected
    assert list(tmp_path.iterdir()) == []  # nothing was fetched


def test_a_row_says_mean_and_spread_as_they_are():
    finding = check(LEDGER["test-error"])
    row = finding.row()
    mean, sd = statistics.mean(finding.ours), statistics.stdev(finding.ours)
    assert row["ours"] == f"{mean:.3f} ± {sd:.3f} %"
    assert (row["printed"], row["runs"], row["source"]) == ("0.95 %", str(len(finding.ours)), "LeCun et al. 1998")
    assert (row["how"], row["tolerance"]) == ("stored runs: original", "could be one more run")
    count = check(LEDGER["lenet-5-connections"]).row()
    assert (count["ours"], count["runs"], count["tolerance"]) == ("340,908", "", "exactly so")
    assert check(LEDGER["no-over-training"]).row()["ours"].startswith("−")


def test_numbers_are_written_for_people():
    values = [60_000, 0.00007, 0.95, 12.0, [2, 3], 51_744.9, -9.18]
    assert [written(value) for value in values] == ["60,000", "0.00007", "0.95", "12.0", "2, 3", "51,744.9", "-9.18"]
