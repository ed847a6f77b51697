"""The site in a browser: every page, in light and dark, on a phone and on a desk.

``LENET_SITE`` names a site that is built already; without it, the book is built on the embedded digits.
"""

from __future__ import annotations

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pages import chapters, pages

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.timeout(600)]

WIDTHS = {"phone": 390, "desk": 1280}
PAGES = [f"book/{page.name}.html" for page in pages()] + ["genindex.html", "search.html"]

# For each inlined figure: the least contrast between what carries its meaning and the page behind it.  Text on a patch
# of its own (an annotation in a box) is left out, because its background is that patch.
CONTRAST = """
() => {
  const channels = colour => (colour.match(/[\\d.]+/g) || []).map(Number);
  const luminance = ([r, g, b]) => [r, g, b].map(c => c / 255)
    .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const contrast = (a, b) => {
    const [x, y] = [luminance(a), luminance(b)];
    return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
  };
  const behind = element => {
    for (let e = element; e; e = e.parentElement) {
      const c = channels(getComputedStyle(e).backgroundColor);
      if (c.length === 3 || c[3] > 0) return c;
    }
    return [255, 255, 255];
  };
  const faint = [];
  document.querySelectorAll("svg.book-figure").forEach((svg, i) => {
    const page = behind(svg.parentElement);
    const check = (element, kind, least) => {
      const colour = channels(getComputedStyle(element)[kind]);
      if (colour.length < 3 || colour[3] === 0) return;
      const value = contrast(colour, page);
      if (value < least) faint.push(`figure ${i}: ${kind} ${colour} on ${page}: ${value.toFixed(1)} < ${least}`);
    };
    svg.querySelectorAll('[style*="--book-ink"]').forEach(e => {
      for (const kind of ["fill", "stroke"])
        if (e.style[kind].includes("--book-ink") && !(e.style.opacity < 1 || e.style.strokeOpacity < 1))
          check(e, kind, 4.5);
    });
    svg.querySelectorAll('g[id*="-text_"]').forEach(text => {
      if (!text.querySelector('[id*="-patch_"]'))
        text.querySelectorAll("use, path").forEach(e => e.closest("defs") || check(e, "fill", 3));
    });
  });
  return [...new Set(faint)];
}
"""


STRUCTURE = {"rules": {"color-contrast": {"enabled": False}}}  # which takes longer than all others together
# Of the elements with text, one for each colour, size and weight on the same backgrounds gets the attribute data-look.
MARK_LOOKS = """
() => {
  const seen = new Set(), behind = new Map();
  const grounds = e => {
    if (!e) return "";
    if (!behind.has(e)) {
      const { backgroundColor, backgroundImage, opacity } = getComputedStyle(e);
      const own = [backgroundColor, backgroundImage, opacity].join();
      behind.set(e, grounds(e.parentElement) + (own === "rgba(0, 0, 0, 0),none,1" ? "" : own));
    }
    return behind.get(e);
  };
  document.querySelectorAll("[data-look]").forEach(e => e.removeAttribute("data-look"));
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const e = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !e.checkVisibility()) continue;
    const { color, fontSize, fontWeight } = getComputedStyle(e);
    const look = [color, fontSize, fontWeight, grounds(e)].join();
    if (!seen.has(look) || e.matches("button, select")) e.toggleAttribute("data-look", true);
    seen.add(look);
  }
  document.querySelectorAll("input, textarea").forEach(e => e.toggleAttribute("data-look", true));
}
"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_) -> None:
        pass


@pytest.fixture(scope="module")
def address(site):
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def open_page(browser, address):
    """A function that opens a page and returns it, with its list of ``complaints``, which must stay empty."""
    contexts = []

    def open_it(name: str, theme: str = "light", width: str = "desk", base: str = address):
        context = browser.new_context(color_scheme=theme, viewport={"width": WIDTHS[width], "height": 844})
        contexts.append(context)
        page = context.new_page()
        page.complaints = []

        def route(request):
            if request.request.url.startswith((base, "data:", "blob:")):
                return request.continue_()
            page.complaints.append(f"asked for {request.request.url}")
            return request.abort()

        page.route("**/*", route)
        page.on("console", lambda m: m.type in ("error", "warning") and page.complaints.append(f"{m.type}: {m.text}"))
        page.on("pageerror", lambda error: page.complaints.append(f"error: {error}"))
        page.on("requestfailed", lambda request: page.complaints.append(f"failed: {request.url}"))
        page.on("response", lambda r: r.status >= 400 and page.complaints.append(f"{r.status}: {r.url}"))
        page.goto(base + name, wait_until="load")
        page.wait_for_function(
            "[...document.querySelectorAll('.math')].every(e => e.querySelector('mjx-container'))", timeout=20_000
        )
        return page

    yield open_it
    for context in contexts:
        context.close()


def too_wide(page) -> list[str]:
    """The innermost elements that stick out of the page sideways, and scroll within nothing."""
    if page.evaluate("document.documentElement.scrollWidth <= innerWidth"):
        return []
    return page.evaluate(
        """() => {
          const sticksOut = e => e.getBoundingClientRect().right > innerWidth + 1;
          const scrolls = e => e &&
            (getComputedStyle(e).overflowX !== "visible" ? !sticksOut(e) : scrolls(e.parentElement));
          return [...document.querySelectorAll("main *, header *")]
            .filter(e => sticksOut(e) && !scrolls(e.parentElement) && ![...e.children].some(sticksOut))
            .slice(0, 8).map(e => `too wide: ${e.tagName.toLowerCase()}: ${e.textContent.slice(0, 60)}`);
        }"""
    ) or ["too wide: something outside main"]


def violations(page, **only: object) -> list[str]:
    """What axe-core finds, one line for each element."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install -e '.[test]'")
    context = {"exclude": [["svg.book-figure > *"]]}  # a figure is one image to those who listen
    options = {"preload": False, "resultTypes": ["violations"]}
    if only:
        context |= {"include": [["[data-look]"]]}
    found = axe.Axe().run(page, context=context, options=options | (only or STRUCTURE)).response["violations"]
    return [
        f"{rule['id']} ({rule['impact']}): {' '.join(node['html'].split())[:200]}"
        for rule in found
        for node in rule["nodes"][:4]
    ]


def faint(page) -> list[str]:
    """Text of too little contrast: axe-core's rule, asked of one element for each look that the page has."""
    page.evaluate(MARK_LOOKS)
    return violations(page, runOnly=["color-contrast"])


def quiet(page) -> None:
    """Fail with one line for each complaint."""
    if page.complaints:
        pytest.fail("\n".join([page.url, *dict.fromkeys(page.complaints)]), pytrace=False)


# Figures in cells without a caption; figures whose type of 10 points shrinks to fewer than 5 pixels; equations and
# elements that stick out; images without alternative text.
BARE = """
() => [...document.querySelectorAll(".cell_output svg.book-figure, .cell_output img")]
  .filter(e => !e.closest("figure")?.querySelector("figcaption"))
  .map(e => `no figure around it: ${e.closest(".cell").innerText.slice(0, 200)}`)
"""
SMALL = """
() => [...document.querySelectorAll("svg.book-figure")]
  .map(svg => [svg.getAttribute("aria-label"), 10 * svg.getBoundingClientRect().width / svg.viewBox.baseVal.width])
  .filter(([_, points]) => points < 5).map(([label, _]) => `type too small, draw it narrower: ${label}`)
"""
WIDE_EQUATIONS = """
() => [...document.querySelectorAll("div.math mjx-container")]
  .filter(e => e.firstElementChild.getBoundingClientRect().width > e.closest("div.math").clientWidth + 1)
  .map(e => `equation too wide: ${e.closest("div.math").id || e.closest("section").id}`)
"""
NO_ALT = "() => [...document.querySelectorAll('main img')].filter(e => !e.alt).map(e => `no alt text: ${e.src}`)"


@pytest.mark.parametrize("name", PAGES)
def test_page(open_page, name):
    """It is opened once, and looked at on a desk and on a phone, on both in both themes."""
    page = open_page(name)

    def look(width: str, theme: str, *checks) -> None:
        page.set_viewport_size({"width": WIDTHS[width], "height": 844})
        page.emulate_media(color_scheme=theme)
        page.wait_for_timeout(400)  # the theme makes what scrolls focusable a third of a second after a change of size
        assert page.evaluate("document.documentElement.dataset.theme") == theme
        found = too_wide(page) + [what for check in checks for what in check(page)] + page.evaluate(CONTRAST)
        page.complaints += [f"{width}, {theme}: {what}" for what in found]

    look("desk", "light", violations)
    page.complaints += page.evaluate(BARE) + page.evaluate(NO_ALT)
    look("phone", "light", violations, faint)
    page.complaints += page.evaluate(SMALL) + page.evaluate(WIDE_EQUATIONS)
    look("phone", "dark", violations, faint)
    look("desk", "dark")
    quiet(page)


def test_faint_text_is_found(open_page):
    page = open_page("search.html")
    assert faint(page) == []
    script = """(colour) => document.querySelector("main").insertAdjacentHTML(
        "beforeend", `<p style="color: ${colour}">one</p><p style="color: ${colour}">two</p>`)"""
    page.evaluate(script, "#595959")
    assert faint(page) == []
    page.evaluate(script, "#ccc")
    assert len(faint(page)) == 1  # for both of one look


def test_search_finds(open_page):
    page = open_page("search.html?q=convolution")
    page.wait_for_selector("#search-results li a", timeout=15_000)
    page.wait_for_timeout(500)
    assert page.locator("#search-results li").count() >= 2
    quiet(page)


@pytest.mark.parametrize("name", ["index.html", *(f"book/{page.name}.html" for page in chapters()[:2])])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_works_from_a_folder(open_page, site, name, theme):
    page = open_page(name, theme, "phone", base=site.as_uri() + "/")
    page.wait_for_timeout(300)
    assert page.locator("article h1").count() == 1
    quiet(page)


def test_search_works_from_a_folder(open_page, site):
    page = open_page("search.html?q=convolution", base=site.as_uri() + "/")
    page.wait_for_selector("#search-results li a", timeout=15_000)


def test_theme_button_switches_and_is_remembered(open_page):
    page = open_page(f"book/{chapters()[0].name}.html")
    seen = {page.evaluate("document.documentElement.dataset.theme")}
    for _ in range(3):
        page.locator("button.theme-switch-button:visible").first.click()
        seen.add(page.evaluate("document.documentElement.dataset.theme"))
    assert seen == {"light", "dark"}
    chosen = page.evaluate("document.documentElement.dataset.mode")
    page.reload()
    assert page.evaluate("document.documentElement.dataset.mode") == chosen


# --- something to do in the page ---


@pytest.mark.parametrize("name", [page.name for page in chapters()])
def test_a_page_weighs_less_than_a_megabyte(site, name):
    assert (site / "book" / f"{name}.html").stat().st_size < 1_000_000


@pytest.mark.parametrize("width", ["desk", "phone"])
def test_a_typed_answer_is_judged_and_a_wrong_one_gets_a_hint(open_page, width):
    page = open_page("book/training.html", width=width)
    form = page.locator("form.check[data-answers^='469']")
    field, said = form.get_by_label("Your answer"), form.get_by_role("status")
    field.focus()
    for typed, verdict in {
        "": "Type an answer first.",
        "468": "Not yet.",
        " 469 ": "Right.",
        "469.0": "Right.",
    }.items():
        field.fill(typed)
        page.keyboard.press("Enter")
        assert said.inner_text().startswith(verdict)
        shown = [part for part in form.locator(".check-words").all() if part.is_visible()]
        assert [part.get_attribute("data-after") for part in shown] == (
            [] if not typed else ["right" if verdict == "Right." else "wrong"]
        )
    assert "469" not in form.locator("[data-after=wrong]").inner_text()
    quiet(page)


def test_a_choice_is_made_with_the_keyboard(open_page):
    page = open_page("book/training.html")
    form = page.locator("form.check[data-right='2']").first
    form.get_by_role("button", name="Check").click()
    assert form.get_by_role("status").inner_text().strip() == "Choose an answer first."
    form.get_by_role("radio").first.focus()
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    assert form.get_by_role("status").inner_text().startswith("Not yet.")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert form.get_by_role("status").inner_text().startswith("Right.")
    quiet(page)


@pytest.mark.parametrize("width", ["desk", "phone"])
def test_a_word_is_explained_on_focus_and_leaves_on_escape(open_page, width):
    page = open_page("book/architecture.html", width=width)
    words = page.locator("article .tip-word")
    for word in [words.nth(k) for k in range(min(3, words.count()))]:
        meaning = page.locator(f"#{word.get_attribute('aria-describedby')}")
        assert not meaning.is_visible()
        word.focus()
        box = meaning.bounding_box()
        assert 0 <= box["x"] <= WIDTHS[width] - box["width"]
        page.keyboard.press("Escape")
        assert not meaning.is_visible()
        word.hover()
        assert meaning.is_visible()
        word.blur()
        page.mouse.move(0, 0)
        assert not meaning.is_visible()
    assert words.count() >= 3
    quiet(page)
