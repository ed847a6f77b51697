"""A few rounds of what ``make torture`` does a hundred times: kill a writer, then give the same command again."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from conftest import ROOT

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="victims are forks of a process: not on Windows")


def tortured(environment: dict[str, str], *options: str) -> dict[str, dict[str, int]]:
    """By scenario, what was counted; the test fails if a round ended badly."""
    command = [sys.executable, str(ROOT / "tests" / "torture.py"), *options]
    done = subprocess.run(command, env=environment, capture_output=True, encoding="utf8", timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-2_000:]
    lines = re.findall(r"^(\w+): (\d+) rounds in \d+ s: (.*)\.$", done.stdout, re.MULTILINE)
    counts = {name: dict(part.split(" ", 1)[::-1] for part in told.split(", ")) for name, _, told in lines}
    return {name: {what: int(count) for what, count in told.items()} for name, told in counts.items()}


@pytest.mark.timeout(600)
def test_what_is_killed_loses_nothing_and_ends_well(book_environment):
    counts = tortured(book_environment, "download", "run", "checkpoint", "results", "--rounds", "3")
    assert list(counts) == ["download", "run", "checkpoint", "results"]
    assert {told["ended well"] for told in counts.values()} == {3}
    assert counts["results"]["killed"] == 3  # it never ends by itself


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_killed_build_is_built_by_the_same_command(book_environment):
    pytest.importorskip("jupyter_book", reason="Jupyter Book is not installed: pip install -r requirements.txt")
    assert tortured(book_environment, "build", "--rounds", "2")["build"]["ended well"] == 2
