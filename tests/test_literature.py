"""The record of printed numbers: each has a source in the bibliography, and agrees with what the code builds."""

from __future__ import annotations

import re

import pytest
from conftest import ROOT, sentence

from lenet_utils.counting import layer_table, total
from lenet_utils.literature import published, record
from lenet_utils.original.network import LeNet5Original
from lenet_utils.original.optimizer import MU, NUM_SAMPLES, paper_eta
from lenet_utils.preprocessing import PAPER_BACKGROUND, PAPER_FOREGROUND


@pytest.mark.parametrize("name", record())
def test_every_number_has_a_source_and_a_place(name):
    row = published(name)
    assert f"{{{row.source}," in (ROOT / "book" / "references.bib").read_text("utf8")
    assert re.match(r"(section|Fig\.|Table|appendix|equation|results)", row.place)
    assert row.what


def test_counts_are_those_of_the_network():
    rows = layer_table(LeNet5Original())
    assert {row.name: row.parameters for row in rows[:-1]} == published("lenet-5/layer-parameters").value
    assert {row.name: row.connections for row in rows[:-1]} == published("lenet-5/layer-connections").value
    assert total(rows).parameters == published("lenet-5/parameters").value
    assert total(rows).connections == published("lenet-5/connections").value


def test_constants_of_the_package_are_those_printed():
    etas = [eta for passes, eta in published("lenet-5/etas").value for _ in range(passes)]
    assert [paper_eta(number) for number in range(1, 21)] == etas
    assert published("lenet-5/mu").value == MU
    assert published("lenet-5/samples").value == NUM_SAMPLES
    assert published("lenet-5/input-range").value == [PAPER_BACKGROUND, PAPER_FOREGROUND]


def test_an_unknown_name_is_one_sentence():
    with pytest.raises(ValueError, match="Nothing") as caught:
        published("lenet-5/test-eror")
    sentence(caught.value, "lenet-5/test-error")


def test_a_printed_number_is_shown_with_its_unit():
    assert str(published("lenet-5/test-error")).startswith("0.95 % (lecun1998gradient, section III-B): ")
    assert str(published("lenet-5/parameters")).startswith("60000 (lecun1998gradient, section II-A): ")
    assert {row.unit for name, row in record().items() if name.endswith("-error")} == {"%"}
