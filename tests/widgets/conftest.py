"""What tests of widgets share: a browser, and a page of their own, opened from a file."""

from __future__ import annotations

import pytest

PAGE = (
    "<!doctype html><html lang=en><meta charset=utf-8><title>Widget</title>"
    "<meta name=viewport content='width=device-width,initial-scale=1'>"
    "<style>:root {{ color-scheme: light dark; }}</style>"
    "<body><main><h1>Widget</h1>{}</main></body></html>"
)


@pytest.fixture
def show(browser, tmp_path):
    """Put widgets on a page of their own, opened from a file, and wait until they are ready.

    Any error, console message or request to another address fails the test.
    """
    pages, troubles = [], []

    def open_page(*widgets, **context):
        (tmp_path / "widget.html").write_text(PAGE.format("".join(w._repr_html_() for w in widgets)), "utf8")
        page = browser.new_page(**context)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("console", lambda message: troubles.append(message.text))
        ours = ("file:", "data:", "blob:")
        page.on("request", lambda request: None if request.url.startswith(ours) else troubles.append(request.url))
        page.goto((tmp_path / "widget.html").as_uri())
        ready = f"document.querySelectorAll('.lenet-widget[data-ready]').length === {len(widgets)}"
        page.wait_for_function(ready, timeout=60_000)
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert troubles == []


@pytest.fixture
def accessible():
    """Ask axe about a page."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")

    def check(page) -> None:
        found = axe.Axe().run(page, options={"preload": False})
        assert found.violations_count == 0, found.generate_report()

    return check
