"""The ledger's file: complete, with sources and places that exist, and refused in one sentence where it is wrong."""

from __future__ import annotations

import json
import re
from dataclasses import fields, replace

import pytest
from conftest import ROOT, sentence

from lenet_utils.ledger.claims import FILE, GROUPS, SOURCES, Entry, entries
from lenet_utils.literature import published, record
from lenet_utils.recipes.published import RECIPES

LEDGER = entries()
BY_NAME = {entry.name: entry for entry in LEDGER}
EXAMPLE = json.loads(FILE.read_text("utf8"))["test-error"]


def test_it_has_claims_of_every_group_and_sixty_at_least():
    assert len(LEDGER) >= 60
    assert {entry.group for entry in LEDGER} == set(GROUPS)
    assert {"1", "2", "3", "4", "5"} == {entry.source[1:] for entry in LEDGER if entry.source in RECIPES}


@pytest.mark.parametrize("source", [name for name in SOURCES if name not in RECIPES])
def test_sources_are_in_the_bibliography(source):
    if not (ROOT / "book" / "references.bib").exists():
        pytest.skip("the book is not beside the package")
    assert f"{{{source}," in (ROOT / "book" / "references.bib").read_text("utf8")


def test_every_source_is_used_and_known():
    assert {entry.said.source for entry in LEDGER} <= set(SOURCES)


@pytest.mark.parametrize("entry", LEDGER, ids=lambda entry: entry.name)
def test_the_section_that_shows_it_exists(entry):
    chapter = ROOT / "book" / f"{entry.page}.md"
    if not chapter.parent.exists():
        pytest.skip("the book is not beside the package")
    assert re.search(rf"^\({re.escape(entry.label)}\)=$", chapter.read_text("utf8"), re.MULTILINE)


@pytest.mark.parametrize("entry", LEDGER, ids=lambda entry: entry.name)
def test_words_are_sentences_without_a_number_of_ours(entry):
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", entry.name)
    assert entry.claim.endswith(".")
    assert not entry.reason or entry.reason.endswith(".")
    assert "±" not in entry.reason  # means and spreads are computed
    assert entry.said.place


def test_no_printed_number_is_held_twice():
    """A number of a paper stands in the record alone; claims in words and recipes' claims have theirs here."""
    for entry in LEDGER:
        assert (entry.value is None) or entry.source in RECIPES, entry.name
        assert not entry.printed or published(entry.printed) is record()[entry.printed]
    claimed = {(c.what, c.epoch, c.value) for recipe in RECIPES.values() for c in recipe.claims}
    here = {
        (e.measure["what"], e.measure["epoch"], e.value) for e in LEDGER if e.measure and e.measure["by"] == "recipe"
    }
    assert here == {claim for claim in claimed if claim[0] != "images per second"}
    for name, recipe in RECIPES.items():
        assert BY_NAME[f"{name.lower()}-parameters"].value == recipe.num_parameters


WRONG = [
    ({"group": "opinions"}, "group", "opinions"),
    ({"verdict": "perhaps"}, "verdict", "perhaps"),
    ({"printed": "lenet-5/test-eror"}, "lenet-5/test-error", "lenet-5/test-eror"),
    ({"printed": ""}, "test-error", "source"),
    ({"source": "lecun1998gradient"}, "test-error", "either"),
    ({"printed": "", "source": "somebody2024", "place": "section 1"}, "source", "somebody2024"),
    ({"verdict": "differs"}, "test-error", "needs a reason"),
    ({"verdict": "not checkable", "reason": "Lost."}, "test-error", "belong to each other"),
    ({"tolerance": None}, "test-error", "belong to each other"),
    ({"measure": None}, "test-error", "belong to each other"),
    ({"tolerance": {"kind": "nearly"}}, "kind of tolerance", "nearly"),
    ({"tolerance": {"kind": "seeds"}}, "test-error", "decimals"),
    ({"tolerance": {"kind": "exact", "limit": 3}}, "test-error", "nothing"),
    ({"measure": {"by": "guess"}}, "measure", "guess"),
    ({"measure": {"by": "stored", "value": "test_error"}}, "test-error", "experiment"),
    ({"measure": {"by": "stored", "experiment": "original", "value": "test_error", "speed": 1}}, "test-error", "speed"),
    ({"part": ["c9"]}, "test-error", "c9"),
]


@pytest.mark.parametrize(("changes", "kind", "named"), WRONG)
def test_a_wrong_entry_is_refused_in_one_sentence(changes, kind, named):
    with pytest.raises((ValueError, TypeError)) as caught:
        replace(BY_NAME["test-error"], **changes)
    sentence(caught.value, kind, named)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ('{"a": {"group": "counts"}}', ["a", "missing"]),
        (json.dumps({"a": EXAMPLE | {"ours": 0.97}}), ["a", "'ours'", "unknown"]),
        (f'{{"a": {json.dumps(EXAMPLE)}, "a": {json.dumps(EXAMPLE)}}}', ["'a'", "twice"]),
    ],
)
def test_a_wrong_file_is_refused_in_one_sentence(tmp_path, text, parts):
    (tmp_path / "ledger.json").write_text(text, "utf8")
    with pytest.raises(ValueError, match=r"ledger|field") as caught:
        entries(tmp_path / "ledger.json")
    sentence(caught.value, *parts)


def test_the_file_has_a_line_for_each_claim_and_only_known_fields():
    assert len(FILE.read_text("utf8").splitlines()) == len(LEDGER) + 2
    known = {field.name for field in fields(Entry)}
    assert all(set(row) <= known for row in json.loads(FILE.read_text("utf8")).values())
