"""Two cold builds give the same book: chapter by chapter, all is the same but for times, dates, the commit, addresses.

Each build has a tree and a folder of trained networks of its own, so that nothing of the first is used by the second.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from pathlib import Path

import pytest
from conftest import copy_sources, jupyter_book

TIME = r"(?:µs|ms|s|seconds?|minutes?|hours?|images per second|images/s)"
NORMALISED = {
    r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?)?": "DATE",
    r"0x[0-9a-f]{6,}": "ADDRESS",
    r"commit <?[\w/]*>?[0-9a-f]{7,40}(?:-dirty)?": "COMMIT",
    rf"\d[\d,]*(?:\.\d+)?(?:\s|&nbsp;|&#160;|\u00a0)*{TIME}\b": "TIME",
}


def normalised(text: str) -> str:
    """The text without what two builds may not share."""
    for pattern, word in NORMALISED.items():
        text = re.sub(pattern, word, text)
    return text


def page(path: Path) -> list[str]:
    """The lines of a page; a picture in a file of its own is named by what it shows."""

    def named(found: re.Match) -> str:
        picture = path.parent / found[1]
        if not picture.exists():
            return found[0]
        content = picture.read_bytes()
        if picture.suffix == ".svg":
            content = normalised(content.decode()).encode()
        return f'"{hashlib.sha256(content).hexdigest()[:12]}{picture.suffix}"'

    text = re.sub(r'"([\w./-]*_images/[\w.-]+)"', named, path.read_text("utf8"))
    return normalised(text).splitlines()


def differences(first: Path, second: Path) -> dict[str, list[str]]:
    """By page, the first lines that two sites do not share."""
    names = [{str(path.relative_to(site)) for path in site.rglob("*.html")} for site in (first, second)]
    found = {name: ["only one of the builds has this page"] for name in names[0] ^ names[1]}
    for name in sorted(names[0] & names[1]):
        pages = [page(site / name) for site in (first, second)]
        changed = [
            line[:200] for line in difflib.unified_diff(*pages, n=0, lineterm="") if re.match(r"[+-](?![+-])", line)
        ]
        if changed:
            found[name] = changed[:6]
    return found


def test_only_times_dates_commits_and_addresses_are_normalised():
    same = [
        ("It took 3.2 s.", "It took 14.75 s."),
        ("about 12 minutes", "about 9 minutes"),
        ("51,744 images per second", "9 images per second"),
        ("<Linear at 0x7f0012ab34>", "<Linear at 0x7f0012ab99>"),
        ("on 2025-11-27 07:09 UTC", "on 2026-01-02 23:59 UTC"),
        ("commit 6eeb174", "commit 6c611ca-dirty"),
    ]
    assert [pair for pair in same if normalised(pair[0]) != normalised(pair[1])] == []
    others = [("error 0.95 %", "error 0.96 %"), ("61,706 parameters", "61,707 parameters"), ("3 epochs", "4 epochs")]
    assert [pair for pair in others if normalised(pair[0]) == normalised(pair[1])] == []


def test_a_difference_is_named(tmp_path):
    for site, error in (("a", "0.95"), ("b", "0.96")):
        (tmp_path / site).mkdir()
        (tmp_path / site / "same.html").write_text("<p>It took 3 s.</p>")
        (tmp_path / site / "other.html").write_text(f"<p>one</p>\n<p>{error} %</p>")
    assert differences(tmp_path / "a", tmp_path / "b") == {"other.html": ["-<p>0.95 %</p>", "+<p>0.96 %</p>"]}


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_two_cold_builds_give_the_same_pages(digits_build, book_environment, tmp_path):
    tree = copy_sources(tmp_path / "tree")
    done = jupyter_book(tree, book_environment | {"LENET_CACHE_DIR": str(tmp_path / "networks")})
    assert done.returncode == 0, done.stdout[-4_000:]
    found = differences(digits_build.html, tree / "_build" / "html")
    assert not found, "\n".join(f"{name}: {line}" for name, lines in found.items() for line in lines)
