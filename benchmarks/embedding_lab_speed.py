"""The embedding lab in Chromium: frames a second with 2,000 digits, what the page carries, and what rounding loses.

The digits and pictures are the chapter's.  Each row moves the picture in every frame, for 120 frames.  Frames come at
most 60 times a second.  Takes some minutes, most of them for training and t-SNE.
"""

from __future__ import annotations

import base64
import shutil
import tempfile
import zlib
from pathlib import Path

import numpy as np
import torch
from common import report  # which also puts the checkout on the path
from playwright.sync_api import sync_playwright

from lenet_utils.checkpoints import trained
from lenet_utils.data import load
from lenet_utils.embedding import activations, neighbour_recall, tsne
from lenet_utils.evaluation import predict
from lenet_utils.models import LeNet5, seeded
from lenet_utils.preprocessing import prepare
from lenet_utils.training import default_config
from lenet_utils.widgets.embedding_lab import STEPS, EmbeddingLab

REPEATS, FRAMES, NUM_IMAGES, LAYERS = 5, 120, 2_000, ("s2", "s4", "c5", "f6")
SIZES = {"desk": (1280, 900, 1), "phone": (390, 844, 3)}
PAGE = "<!doctype html><meta charset=utf-8><body style='max-width: 43rem'>{}</body>"  # as wide as the book's pages
START = {"whole": 1, "enlarged 3 times": 3, "enlarged 6 times, as images": 6}
MOVE = """([zoom, frames]) => new Promise((done) => {
  const { points } = document.querySelector(".lenet-widget").lab, painting = [];
  points.whole();
  points.zoomBy(zoom);
  let frame = 0, began;
  function step(now) {
    if (frame === 0) began = now;
    if (frame++ === frames) { done([(1000 * frames) / (now - began), painting]); return; }
    points.view.x += 0.002 * Math.sin(frame / 10);
    points.zoomBy(frame % 40 < 20 ? 1.01 : 1 / 1.01);
    const start = performance.now();
    points.paint();
    painting.push(performance.now() - start);
    requestAnimationFrame(step);
  }
  requestAnimationFrame(step);
})"""


def make_lab() -> tuple[EmbeddingLab, np.ndarray]:
    """The chapter's lab, and F6's numbers."""
    dataset = load()
    model, _ = trained(lambda: LeNet5("relu"), dataset, progress=False)
    untrained = seeded(lambda: LeNet5("relu"), default_config(dataset).seed)
    order = torch.randperm(len(dataset.test_images), generator=torch.Generator().manual_seed(0))[:NUM_IMAGES]
    images, labels = prepare(dataset.test_images[order]), dataset.test_labels[order]
    pixels = {"pixels": tsne(images.flatten(1).numpy())}
    before, after = (
        pixels | {layer.upper(): tsne(activations(net, images, layer)) for layer in LAYERS}
        for net in (untrained, model)
    )
    f6 = activations(model, images, "f6")
    return EmbeddingLab(dataset.test_images[order], labels, predict(model, images), before, after, f6), f6


def carried(lab: EmbeddingLab, features: np.ndarray) -> np.ndarray:
    """F6's numbers as the page has them."""
    held = np.frombuffer(zlib.decompress(base64.b64decode(lab.spec["packed"])), np.uint8)
    steps = held[: -(NUM_IMAGES * lab.spec["side"] ** 2) // 4][-features.size :].reshape(features.shape)
    return np.array(lab.spec["lowest"]) + np.array(lab.spec["step"]) * steps


def main() -> None:
    """Open the lab at each size, and move it."""
    torch.set_num_threads(1)
    lab, f6 = make_lab()
    measured: dict[str, list[float]] = {}
    painting: dict[str, list[float]] = {}
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        file = Path(folder) / "lab.html"
        file.write_text(PAGE.format(lab._repr_html_()), "utf8")
        for size, (width, height, ratio) in SIZES.items():
            page = browser.new_page(viewport={"width": width, "height": height}, device_scale_factor=ratio)
            page.goto(file.as_uri())
            page.wait_for_function("document.querySelector('.lenet-widget').lab")
            page.wait_for_timeout(2_000)
            for view, zoom in START.items():
                took: list[float] = []
                for _ in range(REPEATS):
                    frames, paints = page.evaluate(MOVE, [zoom, FRAMES])
                    measured.setdefault(f"{size}, {view}", []).append(frames)
                    took += paints
                painting[f"{size}, {view}"] = [round(float(np.quantile(took, q)), 2) for q in (0.1, 0.5)]
        version = browser.version
        browser.close()
    report(
        "embedding_lab_speed",
        measured,
        "frames/s",
        images=NUM_IMAGES,
        frames=FRAMES,
        chromium=version,
        ms_to_draw_10th_percentile_and_median=painting,
        bytes={"page": len(lab._repr_html_().encode()), "packed": len(lab.spec["packed"])},
        steps_of_f6=STEPS,
        recall_of_ten_neighbours_after_rounding=round(neighbour_recall(f6, carried(lab, f6)), 4),
    )


if __name__ == "__main__":
    main()
