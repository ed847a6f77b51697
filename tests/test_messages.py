"""The page of messages is read from the package's source, and misses none of its refusals."""

from __future__ import annotations

import sys

import pytest
from conftest import ROOT

if not (ROOT / "book" / "_ext").exists():
    pytest.skip("the book is not beside the package: run this in a checkout", allow_module_level=True)


@pytest.fixture
def messages(monkeypatch):
    """The extension, imported from its file."""
    pytest.importorskip("sphinx", reason="Sphinx is not installed: pip install -r requirements.txt")
    monkeypatch.setattr(sys, "path", [str(ROOT / "book" / "_ext"), *sys.path])
    import messages

    return messages


def test_sentences_are_found_with_gaps_for_what_is_filled_in(messages):
    source = """
def f(n):
    if n < 0:
        raise ValueError(f"n must be positive; got {n}: pass " "another.")
    raise problem


def g():
    return TrainingError("It diverged.")
"""
    assert sorted(messages.messages(source)) == [
        ("TrainingError", "It diverged."),
        ("ValueError", "n must be positive; got …: pass another."),
    ]


def test_no_module_that_raises_is_left_out(messages):
    for path in messages.PACKAGE.rglob("*.py"):
        source = path.read_text("utf8")
        if "raise ValueError(" in source:
            assert [*messages.messages(source)], path.name


@pytest.mark.slow
def test_the_page_shows_them(site):
    page = (site / "book" / "trouble.html").read_text("utf8")
    assert "cannot be counted: give its class the methods" in page
    assert page.count("ValueError") > 50
