"""Two cold builds give the same book: chapter by chapter, all is the same but for times, dates, the commit, addresses.

Each build has a tree and a folder of trained networks of its own, so that nothing of the first is used by the second.
"""

from __future__ import annotations

import difflib
import hashlib
import html
import re
from pathlib import Path

import pytest
from conftest import copy_sources, jupyter_book

NUMBER = r"\d[\d,]*(?:\.\d+)?"
UNIT = r"(?:µs|ms|s|seconds?|minutes?|hours?|images (?:per|a) second|(?:images|examples)/s)"
NORMALISED = {
    r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?)?": "DATE",
    r"0x[0-9a-f]{6,}": "ADDRESS",
    r"commit [0-9a-f]{7,40}(?:-dirty)?": "COMMIT",
    rf"{NUMBER}\s*{UNIT}\b": "TIME",
    rf"(?<=TIME in 1998 to ){NUMBER}( in the last row is a factor of about ){NUMBER}": r"TIME\1TIME",  # of sources.md
}


def normalised(text: str) -> str:
    """The text without what two builds may not share."""
    for pattern, word in NORMALISED.items():
        text = re.sub(pattern, word, text)
    return text


def without_times(table: re.Match) -> str:
    """A table in which each number that its column's or its row's heading calls a time, or a speed, is one word."""
    columns: list[str] = []
    rows = []
    for row in re.findall(r"<tr.*?</tr>", table[0], re.DOTALL):
        cells = [re.sub(r"<[^>]+>", "", cell).strip() for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.DOTALL)]
        columns = columns or cells
        headings = [f"{column} {cells[0]}" for column in columns]
        timed = [re.search(r"second|speed|\bms\b|\(s\)", heading) for heading in headings]
        pairs = zip(cells, timed, strict=False)
        rows.append(" | ".join("TIME" if time and re.fullmatch(NUMBER, cell) else cell for cell, time in pairs))
    return "\n".join(rows)


def page(path: Path) -> list[str]:
    """The lines of a page's text; a picture is named by what it shows, and blank lines do not count."""

    def named(found: re.Match) -> str:
        picture = path.parent / found[1]
        if not picture.exists():
            return f" {found[1]} "
        content = picture.read_bytes()
        if picture.suffix == ".svg":
            content = normalised(content.decode()).encode()
        return f" picture {hashlib.sha256(content).hexdigest()[:12]} "

    text = re.sub(r"<table.*?</table>", without_times, path.read_text("utf8"), flags=re.DOTALL)
    text = re.sub(r'<[^>]*"([\w./-]*_images/[\w.-]+)"[^>]*>', named, text)
    text = html.unescape(re.sub(r"<[^>]+>", "", text)).replace("\xa0", " ")
    return [line for line in map(str.strip, normalised(text).splitlines()) if line]


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
        ("Linear at 0x7f0012ab34", "Linear at 0x7f0012ab99"),
        ("on 2025-11-27 07:09 UTC", "on 2026-01-02 23:59 UTC"),
        ("commit 6eeb174", "commit 6c611ca-dirty"),
    ]
    assert [pair for pair in same if normalised(pair[0]) != normalised(pair[1])] == []
    others = [("error 0.95 %", "error 0.96 %"), ("61,706 parameters", "61,707 parameters"), ("3 epochs", "4 epochs")]
    assert [pair for pair in others if normalised(pair[0]) == normalised(pair[1])] == []


def test_speeds_in_tables_are_found_by_their_headings(tmp_path):
    for site, speed in (("a", "972"), ("b", "1,066")):
        (tmp_path / site).mkdir()
        head, cells = "<tr><th>network</th><th>images per second</th><th>error</th></tr>", f"<td>{speed}</td><td>3</td>"
        (tmp_path / site / "page.html").write_text(f"<table>{head}<tr><th>ours</th>{cells}</tr></table>")
    assert page(tmp_path / "a" / "page.html") == ["network | images per second | error", "ours | TIME | 3"]
    assert differences(tmp_path / "a", tmp_path / "b") == {}


def test_a_difference_is_named(tmp_path):
    for site, error in (("a", "0.95"), ("b", "0.96")):
        (tmp_path / site).mkdir()
        (tmp_path / site / "same.html").write_text("<p>It took 3 s.</p>")
        (tmp_path / site / "other.html").write_text(f"<p>one</p>\n<p>{error} %</p>")
    assert differences(tmp_path / "a", tmp_path / "b") == {"other.html": ["-0.95 %", "+0.96 %"]}


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_two_cold_builds_give_the_same_pages(digits_build, book_environment, tmp_path):
    tree = copy_sources(tmp_path / "tree")
    done = jupyter_book(tree, book_environment | {"LENET_CACHE_DIR": str(tmp_path / "networks")})
    assert done.returncode == 0, done.stdout[-4_000:]
    found = differences(digits_build.html, tree / "_build" / "html")
    assert not found, "\n".join(f"{name}: {line}" for name, lines in found.items() for line in lines)
