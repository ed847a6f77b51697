"""How long one prediction with all maps takes in the page: Chromium, the drawing pad's own program, 500 images each."""

from __future__ import annotations

import shutil

from common import report  # which also puts the checkout on the path
from playwright.sync_api import sync_playwright

from lenet_utils.models import LeNet5, seeded
from lenet_utils.original.network import LeNet5Original
from lenet_utils.widgets.draw_pad import DrawPad

REPEATS, WARM = 500, 50
NETWORKS = {
    "LeNet-5 of today, ReLU": lambda: LeNet5("relu"),
    "LeNet-5 of today, tanh": LeNet5,
    "LeNet-5 of 1998": LeNet5Original,
}
# A page may see the clock only in steps of 0.1 ms: ten runs at a time, divided by ten.
SCRIPT = """([repeats, warm]) => {
    const { network } = document.querySelector('.lenet-draw-pad');
    const images = Array.from({ length: 10 }, () => Float32Array.from({ length: 784 }, () => Math.random()));
    const times = [];
    for (let n = 0; n < warm + repeats; n += 10) {
        const start = performance.now();
        for (const image of images) network.run(image);
        if (n >= warm) times.push((performance.now() - start) / images.length);
    }
    return times;
}"""


def main() -> None:
    """Time networks with random weights: what is computed does not depend on their values."""
    measured = {}
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        return print("There is no Chromium on this machine: nothing is measured.")
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage"])
        for name, make_model in NETWORKS.items():
            page = browser.new_page()
            page.set_content(DrawPad(seeded(make_model, 0))._repr_html_())
            page.wait_for_selector("[data-ready]")
            measured[name] = page.evaluate(SCRIPT, [REPEATS, WARM])
            page.close()
        version = browser.version
        browser.close()
    report("draw_pad_speed", measured, "ms", runs=REPEATS, runs_per_time=10, chromium=version)


if __name__ == "__main__":
    main()
