"""The network that learns in the page: seconds in Chromium until it reads 95 % of 500 digits that it never learns from.

The widget as the book has it, with its preset, opened from a file; a fresh page for each seed.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from pathlib import Path

from common import report  # which also puts the checkout on the path
from playwright.sync_api import Page, sync_playwright

from lenet_utils.data import load
from lenet_utils.widgets.trainer import Trainer

SEEDS = range(100, 110)
DONE = "document.querySelector('.lenet-trainer .said').textContent.startsWith('95 %')"


def measure(page: Page, file: Path, widget: Trainer) -> tuple[float, float]:
    """Seconds from the click on Start until the widget says 95 %, and the passes that it took."""
    file.write_text(f"<!doctype html><meta charset=utf-8>{widget._repr_html_()}", "utf8")
    page.goto(file.as_uri())
    page.locator(".numbers", has_text="errors").wait_for(timeout=120_000)
    began = time.perf_counter()
    page.get_by_role("button", name="Start").click()
    page.wait_for_function(DONE, timeout=600_000)
    took = time.perf_counter() - began
    return took, float(re.search(r"after ([\d.]+) passes", page.locator(".said").inner_text())[1])


def main() -> None:
    """Time each seed, and keep the passes beside the seconds."""
    dataset = load("mnist")
    measured: dict[str, list[float]] = {"seconds to 95 %": []}
    passes = []
    with sync_playwright() as running, tempfile.TemporaryDirectory() as folder:
        chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        browser = running.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"])
        for seed in SEEDS:
            page = browser.new_page()
            took, num_passes = measure(page, Path(folder) / "page.html", Trainer(dataset, seed=seed))
            measured["seconds to 95 %"].append(took)
            passes.append(num_passes)
            page.close()
        version = browser.version
        browser.close()
    report("trainer_speed", measured, "s", passes=passes, seeds=list(SEEDS), chromium=version)


if __name__ == "__main__":
    main()
