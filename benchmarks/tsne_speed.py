"""t-SNE of 2,000 test digits: scikit-learn beside openTSNE, and what share of the neighbours each picture keeps.

Settings that both libraries start with, then those of ``lenet_utils.embedding.tsne`` and their like.  One thread, in
turns, in seconds of the processor; openTSNE is none of the book's requirements: ``pip install openTSNE`` first, or its
rows are left out.  Takes a quarter of an hour.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import sklearn
import torch
from common import report  # which also puts the checkout on the path
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from lenet_utils.checkpoints import trained
from lenet_utils.data import load
from lenet_utils.embedding import activations, neighbour_recall, reduce, tsne
from lenet_utils.models import LeNet5
from lenet_utils.preprocessing import prepare

try:
    import openTSNE
except ImportError:
    openTSNE = None

REPEATS, NUM_IMAGES, LAYERS = 3, 2_000, ("pixels", "s4", "f6")


def by_sklearn(points: np.ndarray) -> np.ndarray:
    """1,000 iterations from principal components, all else as scikit-learn has it."""
    return TSNE(2, init="pca", random_state=0, n_jobs=1).fit_transform(points)


def by_open_tsne(points: np.ndarray, method: str, num_iterations: int = 750, theta: float = 0.5) -> np.ndarray:
    """By openTSNE, which does not count its 250 iterations of early exaggeration, and chooses longer steps itself."""
    embed = openTSNE.TSNE(
        initialization="pca",
        negative_gradient_method=method,
        n_iter=num_iterations,
        theta=theta,
        neighbors="exact",
        n_jobs=1,
        random_state=0,
    )
    return np.asarray(embed.fit(points))


WAYS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "scikit-learn, 1,000 iterations": by_sklearn,
    "scikit-learn, the book's settings": tsne,
}
if openTSNE:
    WAYS |= {
        "openTSNE by Barnes-Hut, 1,000 iterations": lambda points: by_open_tsne(points, "bh"),
        "openTSNE by Barnes-Hut, 400 iterations": lambda points: by_open_tsne(points, "bh", 150, 0.8),
        "openTSNE by FFT, 1,000 iterations": lambda points: by_open_tsne(points, "fft"),
        "openTSNE by FFT, 400 iterations": lambda points: by_open_tsne(points, "fft", 150),
    }


def main() -> None:
    """Draw each layer in each way, in turns."""
    if openTSNE is None:
        print("openTSNE is not installed: scikit-learn alone.")
    torch.set_num_threads(1)
    dataset = load()
    model, _ = trained(lambda: LeNet5("relu"), dataset, progress=False)
    order = torch.randperm(len(dataset.test_images), generator=torch.Generator().manual_seed(0))
    images = prepare(dataset.test_images[order[:NUM_IMAGES]])  # those that the chapter draws
    measured: dict[str, list[float]] = {}
    recalls: dict[str, list[float]] = {}
    with threadpool_limits(1):
        for layer in LAYERS:
            rows = images.flatten(1).numpy() if layer == "pixels" else activations(model, images, layer)
            points = reduce(rows)
            for _ in range(REPEATS):
                for way, draw in WAYS.items():
                    start = time.process_time()
                    picture = draw(points)
                    measured.setdefault(f"{layer}: {way}", []).append(time.process_time() - start)
                    recalls.setdefault(f"{layer}: {way}", []).append(neighbour_recall(rows, picture))
                    print(f"{layer}: {way} {measured[f'{layer}: {way}'][-1]:.2f} s", flush=True)
    report(
        "tsne_speed",
        measured,
        "s of one core",
        data=dataset.title,
        images=len(images),
        recall={row: round(statistics.median(values), 4) for row, values in recalls.items()},
        repeats_itself=all(len(set(values)) == 1 for values in recalls.values()),
        scikit_learn=sklearn.__version__,
        openTSNE=openTSNE.__version__ if openTSNE else None,
    )


if __name__ == "__main__":
    main()
