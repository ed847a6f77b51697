"""The book as `jupyter-book build .` leaves it: built on the embedded digits, from a copy of the tree, offline."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import pytest
from conftest import CACHES, ROOT
from pages import chapters, pages

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_200)]


class Reader(HTMLParser):
    """Collects a page's ids, and the addresses of what it links to and loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids, self.links, self.loads = set(), [], []
        self.feed(path.read_text("utf8"))

    def handle_starttag(self, tag, attrs) -> None:
        named = dict(attrs)
        self.ids |= {named.get("id"), named.get("name")} - {None}
        if tag == "a" and named.get("href"):
            self.links.append(named["href"])
        for kind in ("src", "srcset", "poster", "data"):
            if named.get(kind) and tag != "a":
                self.loads.append(named[kind])
        if tag == "link" and "stylesheet" in named.get("rel", ""):
            self.loads.append(named["href"])


@pytest.fixture(scope="module")
def html(site) -> dict[Path, Reader]:
    """Every page of the site, read."""
    return {path: Reader(path) for path in sorted(site.rglob("*.html")) if "_static" not in path.parts}


def test_every_page_was_built(digits_build):
    built = {f"{page.name}.html" for page in pages()}
    assert built <= {path.name for path in (digits_build.html / "book").iterdir()}
    assert (digits_build.html / "index.html").exists()


def test_a_build_leaves_the_sources_as_they_were(digits_build):
    def sources(tree: Path) -> set[str]:
        made = [*CACHES, "_build", "data", ".git", ".venv", "lightning_logs", "*.egg-info"]
        relative = [path.relative_to(tree) for path in tree.rglob("*") if not path.is_dir()]
        return {str(path) for path in relative if not any(fnmatch(part, name) for part in path.parts for name in made)}

    assert sources(digits_build.tree) - sources(ROOT) == set()


@pytest.mark.parametrize("page", chapters(), ids=lambda page: page.name)
def test_chapter_ran_silently_on_the_digits(digits_build, page):
    text = (digits_build.html / "book" / f"{page.name}.html").read_text("utf8")
    for trace in ("output stderr", "Traceback (most recent call last)", "Warning:"):
        assert trace not in text
    assert "scikit-learn carries" in text  # its provenance
    assert not re.search(r"\bnan\b|\{glue:", re.sub(r"<(script|pre|svg).*?</\1>", "", text, flags=re.DOTALL))


def test_pages_tell_nothing_of_the_machine_they_were_built_on(digits_build):
    for path in digits_build.html.rglob("*.html"):
        assert str(digits_build.tree) not in path.read_text("utf8"), path.name


def test_every_link_inside_the_site_leads_somewhere(html):
    broken = []
    for path, page in html.items():
        for link in page.links:
            parts, fragment = urlsplit(urldefrag(link).url), unquote(urldefrag(link).fragment)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.exists() or (fragment and target in html and fragment not in html[target].ids):
                broken.append(f"{path.name}: {link}")
    assert broken == []


def test_pages_load_nothing_from_elsewhere(html):
    for path, page in html.items():
        assert [address for address in page.loads if urlsplit(address).netloc] == [], path.name


@pytest.mark.parametrize("page", chapters(), ids=lambda page: page.name)
def test_buttons_open_the_paired_notebook(site, html, page):
    links = html[site / "book" / f"{page.name}.html"].links
    for host in ("colab.research.google.com", "mybinder.org"):
        hosted = [link for link in links if urlsplit(link).netloc == host]
        assert len(hosted) == 1
        assert hosted[0].endswith(f"/notebooks/{page.name}.ipynb")
        assert "/./" not in hosted[0]
    sources = [link for link in links if urlsplit(link).path.endswith(f"/blob/main/book/{page.name}.md")]
    assert len(sources) == 1
    downloads = [link for link in links if urlsplit(link).path.endswith(".ipynb") and not urlsplit(link).netloc]
    assert len(downloads) == 1
    assert (site / "book" / downloads[0]).resolve().read_bytes() == page.notebook.read_bytes()


def test_figures_of_one_page_share_their_letters_and_miss_none(site):
    figures = 0
    for path in (site / "book").glob("*.html"):
        svgs = re.findall(r'<svg[^>]*class="book-figure".*?</svg>', path.read_text("utf8"), re.DOTALL)
        ids = re.findall(r'\bid="([^"]+)"', "".join(svgs))
        used = re.findall(r'(?:href="|url\()#([^")]+)', "".join(svgs))
        assert len(ids) == len(set(ids)), path.name
        assert set(used) <= set(ids), path.name
        figures += len(svgs)
    assert figures > 50
