"""Each construct of the chapters' MyST as plain Markdown, on a small book; and what is refused."""

from __future__ import annotations

import shutil
import textwrap

import pytest
from conftest import ROOT

if not (ROOT / "_toc.yml").exists():
    pytest.skip("these tests need the book beside the package: run them in a checkout", allow_module_level=True)

from book_index import Book, anchor_of
from plain_markdown import Piece, PlainMarkdown, UnknownMystError

CONFIG = "repository:\n  url: https://github.com/somebody/a-book\n"
TOC = """\
root: book/welcome
parts:
  - caption: One
    numbered: true
    chapters: [{file: book/first}, {file: book/second}]
  - caption: Two
    chapters: [{file: book/words}]
"""
HEAD = "---\nkernelspec:\n  display_name: Python 3\n  name: python3\n---\n\n"
FIGURE = """\
```{{code-cell}} ipython3
---
mystnb:
  figure:
    caption: A picture.
    name: {}
---
draw()
```
"""
PAGES = {
    "welcome": HEAD + "(welcome)=\n# Welcome\n\n" + FIGURE.format("fig-welcome"),
    "first": HEAD
    + "(first)=\n# First steps\n\n"
    + FIGURE.format("fig-one")
    + "\n(here)=\n## A place (of sorts)\n\n$$\na = b\n$$ (eq-first)\n\n"
    + "```python\n# no heading\n```\n\n```{exercise} Think · 5 minutes\n:label: exercise-think\n\nThink.\n```\n"
    + FIGURE.format("fig-two"),
    "second": HEAD + "(second)=\n# Second\n\n## There\n\n" + FIGURE.format("fig-three"),
    "words": "(words)=\n# Words\n\n(words-table)=\n| a |\n|---|\n",
}
REFERENCES = """\
@article{one1998, author = {One, A. and Two, B. and Three, C.}, title = {All_of it}, journal = {J}, year = {1998}}
@article{four1990, author = {Four, D.}, title = {Some}, journal = {J}, year = {1990}}
"""


@pytest.fixture
def book(tmp_path) -> Book:
    (tmp_path / "book" / "_ext").mkdir(parents=True)
    shutil.copy(ROOT / "book" / "_ext" / "author_year.py", tmp_path / "book" / "_ext")
    (tmp_path / "_config.yml").write_text(CONFIG)
    (tmp_path / "_toc.yml").write_text(TOC)
    (tmp_path / "book" / "references.bib").write_text(REFERENCES)
    for name, text in PAGES.items():
        (tmp_path / "book" / f"{name}.md").write_text(text)
    return Book(tmp_path)


@pytest.fixture
def plain(book):
    """The Markdown that a cell of the page "first" becomes; it must be text without measured numbers."""

    def convert(source: str) -> str:
        (piece,) = PlainMarkdown(book, "first").pieces(textwrap.dedent(source).strip())
        assert piece.kind == "markdown"
        return piece.text

    return convert


def test_figures_equations_and_exercises_have_the_numbers_of_the_site(book):
    texts = {label: target.text for label, target in book.targets.items()}
    assert [texts[f"fig-{name}"] for name in ("welcome", "one", "two", "three")] == [
        *("Fig. 1", "Fig. 1.1", "Fig. 1.2", "Fig. 2.1")
    ]
    assert (texts["eq-first"], texts["exercise-think"]) == ("(1)", "Exercise 1.1")
    assert (texts["here"], texts["words-table"]) == ("A place (of sorts)", "")


def test_a_label_is_in_use_once(book):
    with book.path("second").open("a") as file:
        file.write("\n(here)=\n## Again\n")
    with pytest.raises(ValueError, match=r"book/second\.md: the label here is in use already"):
        _ = book.targets


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("Plain *text*, `{ref}` in code, $a_{[1]}(x)$.", "Plain *text*, `{ref}` in code, $a_{[1]}(x)$."),
        ("a\n\n% remark\n(here-too)=\n\nb", "a\n\nb"),
        ("{ref}`here`", "[A place (of sorts)](#A-place-%28of-sorts%29)"),
        ("{ref}`*that* place <here>`", "[*that* place](#A-place-%28of-sorts%29)"),
        ("{ref}`first`", "[First steps](#First-steps)"),
        ("{ref}`second`", "[Second](second.ipynb)"),
        ("[a table](#words-table)", "[a table](https://somebody.github.io/a-book/book/words.html#words-table)"),
        ("[there](words)", "[there](https://somebody.github.io/a-book/book/words.html#words)"),
        ("[out](https://a.org/x)", "[out](https://a.org/x)"),
        ("{numref}`fig-two` and {eq}`eq-first`", "Fig. 1.2 and (1)"),
        ("{numref}`fig-three`", "[Fig. 2.1](second.ipynb#There)"),
        ("{ref}`exercise-think`", "[Exercise 1.1](#Exercise-1.1-·-Think-·-5-minutes)"),
        ("So {cite}`one1998,four1990`.", "So [[One et al., 1998](#References); [Four, 1990](#References)]."),
        ("{cite:t}`one1998` say", "One et al. [[1998](#References)] say"),
        ("{func}`a.b`, {meth}`~a.b.c`, {class}`a.B`, {mod}`a`", "`a.b()`, `c()`, `a.B`, `a`"),
        ("a[^n]\n\n[^n]: A *note*.", "a<sup>1</sup>\n\n<sup>1</sup> A *note*."),
        ("$$\nx\n$$ (eq-first)", "$$\nx\n\\tag{1}\n$$"),
        ("a\n$$ y $$\nb", "a\n\n$$ y $$\n\nb"),
        (
            "Term\n: Its meaning,\n  all of it.\n\nOther\n: Too.",
            "- **Term**: Its meaning,\nall of it.\n\n- **Other**: Too.",
        ),
        ("1. one\n2. {eq}`eq-first`\n\n   more\n\nend", "1. one\n2. (1)\n\n   more\n\nend"),
        ("| a |\n|---|\n| {eq}`eq-first` |", "| a |\n|---|\n| (1) |"),
        ("```python\nx = {ref}\n```", "```python\nx = {ref}\n```"),
        ("### Free", "### Free"),
        (
            "## A place (of sorts)",
            '<a id="A-place-(of-sorts)" name="A-place-(of-sorts)"></a>\n\n## A place (of sorts)',
        ),
    ],
)
def test_text(plain, source, wanted):
    assert plain(source) == wanted


def test_admonitions_are_quoted_with_their_titles(plain):
    source = ":::{admonition} Our *choice*\n:class: note\nFirst.\n\n- {eq}`eq-first`\n:::\n\n:::{warning}\nMind.\n:::"
    assert plain(source) == "> **Our *choice***\n>\n> First.\n>\n> - (1)\n\n> **Warning**\n>\n> Mind."


def test_cards_are_paragraphs(plain):
    source = "::::{grid} 1 2\n:gutter: 2\n\n:::{grid-item-card} A day\n**Learn**\n\n1. one\n:::\n::::"
    assert plain(source) == "**A day:** **Learn**\n\n1. one"


def test_a_typed_check_hides_hint_and_answer(plain):
    text = plain(":::{check}\n:answer: 7 | seven\n:hint: Count $x$.\n:why: Three and four.\n\nHow many?\n:::")
    assert text.startswith("**Check 1.** How many?\n\n<details><summary>Hint</summary>\n\nCount $x$.\n\n</details>")
    assert text.endswith("<details><summary>Answer</summary>\n\n**7.** Three and four.\n\n</details>")


def test_a_check_with_choices_lists_them_and_hides_what_is_right(plain):
    text = plain(
        ":::{check}\n:right: 2\n\nWhich?\n\n**one**\n: No.\n\ntwo\n: Yes.\n:::\n\n"
        ":::{check}\n:right: 1\n\nQ\n\na\n: b\n:::"
    )
    assert text.startswith("**Check 1.** Which?\n\n1. **one**\n2. two\n\n<details><summary>Answer</summary>")
    assert "The answer is 2.\n\n1. No.\n2. Yes.\n\n</details>\n\n**Check 2.** Q" in text


@pytest.mark.parametrize(
    "form",
    [
        "```{{exercise}} Think · 5 minutes\n:label: exercise-think\n\nThink.\n```\n\n"
        "````{{solution}} exercise-think\n:class: dropdown\n\n{}\n````",
        "```{{exercise-start}} Think · 5 minutes\n:label: exercise-think\n```\nThink.\n\n```{{exercise-end}}\n```\n\n"
        "```{{solution-start}} exercise-think\n:class: dropdown\n```\n{}\n\n```{{solution-end}}\n```",
    ],
)
def test_solutions_are_folded_and_their_code_can_be_run(book, form):
    inside = "So:\n\n```python\nprint(1)\n```\n\n% remark\n```text\n1\n```\n\n```python\nx\n```\n\nThus {eq}`eq-first`."
    text, *code = PlainMarkdown(book, "first").pieces(form.format(inside))
    assert code == [Piece("solution", "print(1)"), Piece("solution", "x")]
    assert text.text == (
        "### Exercise 1.1 · Think · 5 minutes\n\nThink.\n\n<details><summary>Solution</summary>\n\n"
        "So:\n\n```python\nprint(1)\n```\n\n```text\n1\n```\n\n```python\nx\n```\n\nThus (1).\n\n</details>"
    )


def test_blocks_with_measured_numbers_are_pieces_of_their_own(book):
    source = "## Some\n\nA {glue:text}`n:,` b.\n\n- {glue:text}`second.md::k` $x$\n\nrest\n\n> x"
    *pieces, rest = PlainMarkdown(book, "first").pieces(source.removesuffix("\n\n> x"))
    assert pieces == [Piece("markdown", "## Some"), Piece("paragraph", "A «n:,» b.\n\n- «second::k» $x$")]
    assert rest == Piece("markdown", "rest")


def test_captions_have_the_number_of_the_figure(book):
    plain = PlainMarkdown(book, "first")
    figure = {"name": "fig-two", "caption": "Of {glue:text}`n` images {cite}`four1990`."}
    assert plain.caption(figure) == [Piece("paragraph", "**Fig. 1.2.** Of «n» images [[Four, 1990](#References)].")]


def test_references_list_what_is_cited_and_no_more(book):
    plain = PlainMarkdown(book, "first")
    assert plain.references() == ""
    plain.pieces("{cite}`one1998`")
    assert plain.references().startswith(
        '<a id="References" name="References"></a>\n\n## References\n\n- **One et al., 1998.**'
    )
    assert "All\\_of it. *J*, 1998." in plain.references()
    assert "Four" not in plain.references()


@pytest.mark.parametrize(
    ("source", "where", "says"),
    [
        ("{glue:md}`x`", 5, "the role {glue:md} has no plain form"),
        ("a\n\n:::{tip}\nb\n:::", 7, "{tip} has no plain form"),
        ("a\n\n{ref}`nowhere`", 7, "no page has the label 'nowhere'"),
        ("[x](other.md)", 5, "no page has the label 'other.md'"),
        ("{ref}`words-table`", 5, "labels no heading"),
        ("{cite}`nobody2000`", 5, "references.bib has no 'nobody2000'"),
        ("{{ substitution }}", 5, "has no plain form"),
        ("![alt](picture.png)", 5, "has no plain form"),
        ("<div>", 5, "has no plain form"),
        ("a <b>c</b>", 5, "<b has no plain form"),
        ("> quoted", 5, "has no plain form"),
        ("one\n---", 6, "has no plain form"),
        ("«x»", 5, "« has no plain form"),
        ("## A `heading`", 5, "a heading with markup"),
        ("a\n\n:::{note}\nb", 7, "no line ::: ends what begins here"),
        ("a\n\n:::", 7, "closes nothing"),
        ("```{solution-start} x\n```\na", 5, "{solution-end} ends what begins here"),
        (":::{note}\n:name: x\na\n:::", 6, "takes the options class"),
        ("- {unknown}`x`", 5, "the role {unknown}"),
        (":::{note}\nfine\n\n{unknown}`x`\n:::", 8, "the role {unknown}"),
    ],
)
def test_what_is_not_known_is_refused_with_its_place(book, source, where, says):
    with pytest.raises(UnknownMystError) as error:
        PlainMarkdown(book, "first").pieces(source, line=5)
    assert says in str(error.value)
    assert str(error.value).startswith(f"book/first.md:{where}: ")


def test_anchors_are_those_of_jupyterlab():
    assert anchor_of("What it “sees”: a map (C1)") == "#What-it-“sees”:-a-map-%28C1%29"
