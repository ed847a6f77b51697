"""Checks, explained words and the list of exercises, in a book of three pages."""

from __future__ import annotations

import re
import sys

import pytest
from conftest import ROOT
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace, patch_docutils

CONF = """
extensions = ["myst_parser", "sphinx_exercise", "learning_aids"]
root_doc = "book/first"
myst_enable_extensions = ["colon_fence", "deflist"]
"""
FIRST = """
(first)=
# First

A kernel slides, and kernels slide again. In `kernel` code and [kernel](second) links nothing is explained.
It makes a **feature map**; the map is a picture. The Logits come last, a logit each.

:::{check}
:answer: 576 | 24×24
:tolerance: 0.5
:hint: How many places along a side?
:why: It is 24 times 24 < 1,000.

How many units has the map?
:::

:::{check}
:right: 2

Which wins?

the **first**
: Why should it?

the largest
: It is the score.
:::

```{exercise-start} Padding · 10 minutes
:label: exercise-padding
```
A kernel again.
```{exercise-end}
```

```{toctree}
second
notation
exercises
```
"""
SECOND = "# Second\n\nHere the feature maps come before a kernel.\n"
NOTATION = """# Words\n
```{glossary}
kernel
  The small array.
  In two lines.

  More of it.

feature map
map
  A *picture* of "where".

logit
  A score.
```
"""
INDEX = "# All\n\n```{exercise-index}\n```\n"


def build(folder, **pages) -> str:
    """The warnings of a build of these pages."""
    (folder / "book").mkdir(parents=True, exist_ok=True)
    (folder / "conf.py").write_text(CONF)
    for name, text in pages.items():
        (folder / "book" / f"{name}.md").write_text(text, "utf8")
    warnings = folder / "warnings"
    with patch_docutils(), docutils_namespace(), warnings.open("w") as log:
        Sphinx(folder, folder, folder / "out", folder / "trees", "html", status=None, warning=log).build()
    return warnings.read_text()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The pages of a small book, by name."""
    patch = pytest.MonkeyPatch()
    patch.setattr(sys, "path", [str(ROOT / "book" / "_ext"), *sys.path])
    folder = tmp_path_factory.mktemp("aids")
    assert build(folder, first=FIRST, second=SECOND, notation=NOTATION, exercises=INDEX) == ""
    yield {path.stem: path.read_text("utf8") for path in (folder / "out" / "book").glob("*.html")}
    patch.undo()


def tips(page: str) -> list[tuple[str, str]]:
    found = re.findall(
        r'<button type="button" class="tip-word" aria-describedby="(tip-\d)">(.*?)</button>(.*?)</span>', page
    )
    assert all(f'id="{name}"' in text for name, _, text in found)
    return [(word, re.sub("<.*?>", "", text)) for _, word, text in found]


def test_a_word_is_explained_once_where_it_first_stands(site):
    assert tips(site["first"]) == [("kernel", "The small array. In two lines."), ("Logits", "A score.")]
    assert tips(site["second"]) == [
        ("feature maps", "A picture of “where”."),
        ("kernel", "The small array. In two lines."),
    ]
    assert tips(site["notation"]) == [] == tips(site["exercises"])


def test_a_typed_answer_has_its_hint_and_its_reason(site):
    (form,) = re.findall(r'<form class="check" id="check-1".*?</form>', site["first"], re.DOTALL)
    assert 'data-answers="576|24×24" data-tolerance="0.5" aria-labelledby="check-1-title"' in form
    assert '<label>Your answer <input type="text"' in form
    assert 'data-after="right" hidden><p>It is 24 times 24 &lt; 1,000.</p>' in form
    assert 'data-after="wrong" hidden><p>How many places along a side?</p>' in form


@pytest.fixture(scope="module")
def typed_check(site, browser):
    """The first page's check in Chromium: a function of answers, tolerance and typed text that returns the verdict."""
    page = browser.new_page()
    page.set_content(re.search(r'<form class="check" id="check-1".*?</form>', site["first"], re.DOTALL)[0])
    page.add_script_tag(path=ROOT / "book" / "_static" / "learning_aids.js")

    def verdict(answers: str, tolerance: float, typed: str) -> str:
        given = {"answers": answers, "tolerance": str(tolerance)}
        page.evaluate("given => Object.assign(document.querySelector('form').dataset, given)", given)
        page.get_by_label("Your answer").fill(typed)
        page.get_by_role("button", name="Check").click()
        return page.locator(".check-verdict").inner_text()

    yield verdict
    page.close()


@pytest.mark.browser
@pytest.mark.parametrize(
    ("answers", "tolerance", "typed", "right"),
    [
        ("61706", 0, "61,706", True),
        ("61,706", 0, "61 706", True),
        ("1234567.5", 0, "1,234,567.5", True),
        ("300000 | 300,000", 0, "300\u202f000", True),
        ("0.12", 0.001, "0,12", True),
        ("0.125", 0, "0,125", True),
        ("-0.8", 0.001, "−0,8", True),
        ("15.5", 0, "15,5", True),
        ("1234.5", 0, "1234,500", True),
        ("0.12|±0.12", 0.001, "± 0,12", True),
        ("5|5 %", 0, "5%", True),
        ("8", 0, "0,8", False),
        ("12", 0, "0,12", False),
        ("155", 0, "15,5", False),
        ("61.706", 0, "61,706", False),
        ("61706", 0, "61,7060", False),
    ],
)
def test_a_comma_groups_digits_or_is_a_decimal_point(typed_check, answers, tolerance, typed, right):
    assert typed_check(answers, tolerance, typed) == ("Right." if right else "Not yet.")


def test_a_choice_has_words_for_each_answer(site):
    (form,) = re.findall(r'<form class="check" id="check-2".*?</form>', site["first"], re.DOTALL)
    assert re.findall(r'<input type="radio" name="(.*?)" value="(.)"><span>(.*?)</span>', form) == [
        ("check-2", "1", "the <strong>first</strong>"),
        ("check-2", "2", "the largest"),
    ]
    assert 'data-right="2"' in form
    assert re.findall(r'data-after="(.)" hidden><p>(.*?)</p>', form) == [
        ("1", "Why should it?"),
        ("2", "It is the score."),
    ]


def test_the_list_holds_all(site):
    (listed,) = re.findall(r'<p class="rubric">.*?</ul>', site["exercises"], re.DOTALL)
    links = re.findall(r'href="(.*?)">(.*?)</a>', listed)
    assert links == [
        ("first.html", "First"),
        ("first.html#exercise-padding", "Padding · 10 minutes"),
        ("first.html#check-1", "1"),
        ("first.html#check-2", "2"),
    ]


def test_a_changed_glossary_reaches_every_page(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "book" / "_ext"))
    assert build(tmp_path, first=FIRST, second=SECOND, notation=NOTATION, exercises=INDEX) == ""
    build(tmp_path, notation=NOTATION.replace("The small array.", "Something else."))
    pages = [(tmp_path / "out" / "book" / f"{name}.html").read_text("utf8") for name in ("first", "second")]
    assert all(("kernel", "Something else. In two lines.") in tips(page) for page in pages)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (":::{check}\n:answer: 3\n\nHow many?\n:::", "answer, hint and why"),
        (":::{check}\n:right: 1\n:hint: no\n\nHow?\n:::", "answer, hint and why"),
        (":::{check}\n:right: 3\n\nWhich?\n\none\n: no\n\ntwo\n: yes\n:::", "the number of a choice"),
        (":::{check}\n:right: 1\n\nWhich?\n:::", "one definition list"),
    ],
)
def test_a_check_that_cannot_be_judged_is_refused(tmp_path, monkeypatch, text, problem):
    monkeypatch.syspath_prepend(str(ROOT / "book" / "_ext"))
    assert problem in build(tmp_path, first=f"# First\n\n{text}\n")
