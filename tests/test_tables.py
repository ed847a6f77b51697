"""Tables: what a reader sees, in a terminal and on the site."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from lenet_utils.tables import Table

ROWS = [
    {"layer": "c1", "output": (6, 28, 28), "parameters": 156, "share (%)": 0.2528},
    {"layer": "total", "output": None, "parameters": np.int64(61706), "share (%)": 100.0},
]


def test_text_is_aligned_and_numbers_are_formatted():
    assert str(Table(ROWS, formats={"share (%)": ".1f"})).splitlines() == [
        "layer  output   parameters  share (%)",
        "c1     6×28×28         156        0.3",
        "total               61,706      100.0",
    ]


def test_html_is_well_formed_and_says_what_heads_what():
    root = ElementTree.fromstring(Table(ROWS, "Costs <of> LeNet-5")._repr_html_())
    assert root.find(".//caption").text == "Costs <of> LeNet-5"
    assert [cell.text for cell in root.findall(".//th[@scope='col']")] == list(ROWS[0])
    assert [cell.text for cell in root.findall(".//th[@scope='row']")] == ["c1", "total"]
    assert [cell.get("style") for cell in root.findall(".//tbody/tr[1]/td")] == [
        "text-align: left",
        "text-align: right",
        "text-align: right",
    ]


def test_a_table_needs_rows_of_the_same_columns():
    with pytest.raises(ValueError, match="at least one row"):
        Table([])
    with pytest.raises(ValueError, match=r"columns \['a'\] in every row; got \['b'\]"):
        Table([{"a": 1}, {"b": 2}])
    with pytest.raises(ValueError, match="formats names"):
        Table([{"a": 1}], formats={"b": ".2f"})
