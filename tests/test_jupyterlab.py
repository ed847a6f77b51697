"""Two notebooks in a real JupyterLab: read before they run, then run, and looked at again."""

from __future__ import annotations

import io
import re
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress

import pytest
import torch
from conftest import copy_sources
from widgets.pads import SEVEN, compare, draw, said, seen, shorten

from lenet_utils.preprocessing import prepare

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.timeout(900)]
SETTINGS = {"apputils-extension/notification": '{"fetchNews": "false", "checkForUpdates": false}'}
RAW = re.compile(r"\{[\w:-]+\}`|:::|^\([\w-]+\)=|«|»|\$\$", re.MULTILINE)
SHOWN = ".jp-Notebook .jp-RenderedMarkdown"
OWN = """\
import torch
from torch import nn
from lenet_utils.data import load
from lenet_utils.training import TrainConfig, train
from lenet_utils.widgets.draw_pad import DrawPad
model = nn.Sequential(nn.Flatten(), nn.Linear(784, 20), nn.Tanh(), nn.Linear(20, 10))
model.input_shape = (1, 28, 28)
train(model, load("digits"), TrainConfig(num_epochs=3, input_size=28))
torch.save(model, "mine.pt")
DrawPad(model)
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory, book_environment):
    """The address of a JupyterLab that serves a copy of the notebooks."""
    pytest.importorskip("jupyterlab", reason="JupyterLab is not installed: pip install jupyterlab")
    folder = copy_sources(tmp_path_factory.mktemp("lab") / "tree") / "notebooks"
    own = tmp_path_factory.mktemp("jupyter")
    for name, text in SETTINGS.items():
        path = own / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folders = {f"JUPYTER_{kind}_DIR": str(own / kind.lower()) for kind in ("CONFIG", "RUNTIME")}
    folders |= {"JUPYTERLAB_SETTINGS_DIR": str(own / "settings"), "JUPYTERLAB_WORKSPACES_DIR": str(own / "workspaces")}
    arguments = [f"--port={port}", "--no-browser", f"--ServerApp.root_dir={folder}", "--ServerApp.allow_root=True"]
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", *arguments, "--IdentityProvider.token="],
        env=book_environment | folders | {"PYTHONPATH": str(folder.parent)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}/lab"
    try:
        for _ in range(240):
            with suppress(OSError):
                urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address, timeout=5)
                break
            assert server.poll() is None, "JupyterLab did not start"
            time.sleep(0.5)
        yield address
    finally:
        server.terminate()
        server.wait(60)


def opened(browser, lab: str, name: str):
    """A notebook in JupyterLab, all of it rendered."""
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.goto(f"{lab}/tree/{name}.ipynb?reset", timeout=120_000)  # and no notebook that was open before
    page.wait_for_selector(f"{SHOWN} h1", timeout=120_000)
    return page


def texts(page) -> str:
    """All text that is rendered, from top to bottom, as the reader scrolls."""
    panel, seen, place = page.locator(".jp-WindowedPanel-outer").first, [], 0
    while True:
        panel.evaluate("(panel, place) => panel.scrollTo(0, place)", place)
        page.wait_for_timeout(150)
        seen += page.locator(SHOWN).all_inner_texts()
        place += 800
        if place > panel.evaluate("panel => panel.scrollHeight"):
            panel.evaluate("panel => panel.scrollTo(0, 0)")
            return "\n".join(dict.fromkeys(seen))


def run_all(page) -> None:
    """Run every cell and wait until the last has run."""
    idle, busy = (f".jp-Notebook-ExecutionIndicator[data-status={status}]" for status in ("idle", "busy"))
    page.wait_for_selector(idle, timeout=120_000)
    page.locator("div.lm-MenuBar-itemLabel", has_text=re.compile("^Run$")).click()
    page.locator('li[data-command="runmenu:run-all"]').click()
    page.wait_for_selector(busy, timeout=120_000)
    page.wait_for_selector(idle, timeout=700_000)


def read_run_and_read(page, sentence: str) -> None:
    """No markup is left in the notebook; the sentence has "…" for each NUMBER before it runs, and numbers after it."""
    before = texts(page)
    assert RAW.findall(before) == []
    assert re.search(sentence.replace("NUMBER", "…"), before)
    run_all(page)
    after = texts(page)
    assert RAW.findall(after) == []
    assert re.search(sentence.replace("NUMBER", r"[\d.,]+"), after)


def test_a_notebook_reads_like_the_page_and_its_widget_answers(browser, lab):
    page = opened(browser, lab, "counting")
    read_run_and_read(page, "and do NUMBER % of the work")
    cell = page.locator(".jp-CodeCell", has=page.locator("[name=padding]"))
    said = cell.locator("[data-sum=connections]")
    said.scroll_into_view_if_needed()
    assert said.text_content().strip().endswith("= 122,304")
    cell.locator("[name=padding]").fill("2")
    page.wait_for_timeout(500)
    assert said.text_content().strip().endswith("= 159,744")  # 156 parameters at 32×32 places
    page.close()


def test_a_sentence_on_top_has_the_numbers_of_later_cells(browser, lab):
    page = opened(browser, lab, "sources")
    read_run_and_read(page, "all but NUMBER have their centre of mass")
    page.close()


def test_folded_code_opens_on_a_click(browser, lab):
    page = opened(browser, lab, "counting")
    first = page.locator(".jp-CodeCell").first
    assert not first.locator(".jp-InputArea-editor").is_visible()
    first.locator(".jp-InputPlaceholder").click()
    first.locator(".jp-InputArea-editor").wait_for(state="visible")
    assert "importlib" in first.inner_text()
    page.close()


def test_a_link_leads_to_its_section(browser, lab):
    page = opened(browser, lab, "training")
    panel = page.locator(".jp-WindowedPanel-outer").first
    for _ in range(20):  # JupyterLab finds a section once it has drawn it, which takes a while
        page.locator(f"{SHOWN} a", has_text="The loop").first.click()
        page.wait_for_timeout(3_000)
        if panel.evaluate("panel => panel.scrollTop") > 2_000:
            break
    assert page.locator("h2", has_text="The loop").is_visible()
    page.close()


def test_a_reader_trains_a_network_and_draws_for_it(browser, lab):
    page = opened(browser, lab, "counting")
    page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]", timeout=120_000)
    page.locator(f"{SHOWN} h1").click()
    page.keyboard.press("Escape")
    page.keyboard.press("b")  # a new cell below
    page.locator(".jp-CodeCell.jp-mod-active .cm-content").click()
    page.keyboard.insert_text(OWN)
    page.keyboard.press("Shift+Enter")
    pad = page.locator(".lenet-draw-pad")
    pad.wait_for(timeout=120_000)
    draw(page, *SEVEN, root=pad)
    file = page.request.get(lab.replace("/lab", "/files/mine.pt"), headers={"Referer": lab})
    model = torch.load(io.BytesIO(file.body()), weights_only=False)
    compare(page, shorten(model))
    with torch.no_grad():
        logits = model(prepare(seen(page)[None], 28))[0]
    assert said(pad) == f"Read as {logits.argmax()} ({100 * logits.softmax(0).max():.0f} %)"
    label, bars = (pad.locator(what).first.bounding_box() for what in (".answer th button", "td.bars"))
    assert label["x"] + label["width"] <= bars["x"]  # JupyterLab's style of tables leaves ours alone
    page.close()
