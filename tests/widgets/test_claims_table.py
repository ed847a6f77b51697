"""The table of claims: all of it without JavaScript; by group, verdict and words with it, on a phone as well."""

from __future__ import annotations

import re

import pytest
from conftest import sentence

from lenet_utils.ledger.claims import GROUPS, entries
from lenet_utils.ledger.verdicts import check
from lenet_utils.widgets.claims_table import ClaimsTable

in_browser = [pytest.mark.slow, pytest.mark.browser]


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    """The ledger's own claims; those on data only if these are here, which makes no difference to the table."""
    return [check(entry).row() for entry in entries() if not entry.measure or entry.measure["by"] != "data"]


def shown(root) -> list[str]:
    return root.locator("tbody tr:visible th").evaluate_all("all => all.map(th => th.firstChild.textContent)")


def expected(rows, **wanted) -> list[str]:
    return [row["claim"] for row in rows if all(row[name] == value for name, value in wanted.items())]


def test_words_stand_as_text_and_not_as_html(rows):
    first = rows[0] | {"claim": "<b>1 & 2</b>", "reason": '"<script>"'}
    text = ClaimsTable([first])._repr_html_()
    assert "&lt;b&gt;1 &amp; 2&lt;/b&gt;" in text
    assert "<script>&quot;" not in text
    assert text.count("<script") == 2


def test_links_lead_to_sections_on_the_site_and_to_notebooks_elsewhere(rows, monkeypatch):
    here = ClaimsTable(rows[:1]).content()
    assert f'href="{rows[0]["page"]}.ipynb"' in here
    monkeypatch.setenv("LENET_BOOK", "1")
    there = ClaimsTable(rows).content()
    assert re.findall('href="([^"]+)"', there) == [f"{row['page']}.html#{row['label']}" for row in rows]


@pytest.mark.parametrize(
    ("change", "part"), [(lambda row: None, "at least one"), (lambda row: row.pop("how"), "'how'")]
)
def test_what_is_no_claim_is_refused_in_one_sentence(rows, change, part):
    row = dict(rows[0])
    given = [row] if change(row) is not None else []
    with pytest.raises(ValueError, match="claim") as caught:
        ClaimsTable(given)
    sentence(caught.value, part)


class TestInBrowser:
    pytestmark = in_browser

    def test_all_are_shown_at_first_and_counted(self, show, rows):
        root = show(ClaimsTable(rows)).locator(".lenet-widget")
        assert shown(root) == [row["claim"] for row in rows]
        said = root.locator(".said")
        assert said.get_attribute("aria-live") == "polite"
        assert said.inner_text().startswith(f"{len(rows)} of {len(rows)} claims are shown (holds: ")

    def test_group_and_verdict_narrow_it_down_together(self, show, rows):
        root = show(ClaimsTable(rows)).locator(".lenet-widget")
        for group in (GROUPS["counts"], GROUPS["recipes"]):
            root.get_by_role("combobox", name="Group").select_option(group)
            root.get_by_role("combobox", name="Verdict").select_option("")
            assert shown(root) == expected(rows, group=group)
            root.get_by_role("combobox", name="Verdict").select_option("differs")
            assert shown(root) == expected(rows, group=group, verdict="differs")
            assert 0 < len(shown(root)) < len(expected(rows, group=group))
        options = root.get_by_role("combobox", name="Group").locator("option").all_inner_texts()
        present = list(dict.fromkeys(row["group"] for row in rows))
        assert options == ["all", *[f"{name} ({len(expected(rows, group=name))})" for name in present]]

    def test_words_are_sought_in_all_cells_by_keyboard(self, show, rows):
        page = show(ClaimsTable(rows))
        root = page.locator(".lenet-widget")
        root.get_by_role("combobox", name="Group").focus()
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        page.keyboard.type("IEEE c3")
        wanted = [r["claim"] for r in rows if all(w in " ".join(r.values()).lower() for w in ("ieee", "c3"))]
        assert shown(root) == wanted
        assert 0 < len(wanted) < 5
        said = root.locator(".said").inner_text()
        assert said == f"{len(wanted)} of {len(rows)} claims are shown (differs: {len(wanted)})."
        page.keyboard.type(" zzz")
        assert shown(root) == []
        assert root.locator(".said").inner_text().startswith("No claim is like this: ")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        assert len(shown(root)) == len(rows)
        assert root.get_by_role("searchbox").input_value() == ""

    def test_two_tables_on_a_page_do_not_meddle(self, show, rows):
        first, second = show(ClaimsTable(rows), ClaimsTable(rows[:5])).locator(".lenet-widget").all()
        first.get_by_role("combobox", name="Verdict").select_option("not checkable")
        assert shown(first) == expected(rows, verdict="not checkable")
        assert len(shown(second)) == 5

    @pytest.mark.parametrize("width", [390, 800])
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_it_fits_the_screen_and_can_be_read_by_all(self, show, rows, accessible, width, scheme):
        rows = rows[::5]
        page = show(ClaimsTable(rows), viewport={"width": width, "height": 800}, color_scheme=scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        cells = page.locator("tbody tr").first.locator("th, td")
        tops = {round(cell.bounding_box()["y"]) for cell in cells.all()}
        assert len(tops) == (4 if width == 390 else 1)  # one under the other on a phone
        assert page.get_by_role("columnheader").count() == 4
        without = len(expected(rows, printed="")) if width == 390 else 0  # a phone leaves out what is empty
        assert page.get_by_role("cell").count() == 3 * len(rows) - without
        accessible(page)

    def test_without_javascript_the_whole_table_stands(self, browser, rows, tmp_path):
        path = tmp_path / "page.html"
        path.write_text(f"<!doctype html><meta charset=utf-8>{ClaimsTable(rows)._repr_html_()}", "utf8")
        page = browser.new_page(java_script_enabled=False)
        page.goto(path.as_uri())
        assert page.locator("tbody tr:visible").count() == len(rows)
        assert not page.locator(".filter").is_visible()  # which would do nothing
        page.close()

    def test_on_paper_the_claims_stand_without_the_controls(self, show, rows):
        page = show(ClaimsTable(rows))
        page.emulate_media(media="print")
        assert not page.locator(".filter").is_visible()
        assert page.locator("tbody tr:visible").count() == len(rows)
