"""Draw README's picture: LeNet-5 with what its maps show of a digit, from a network trained on the embedded digits."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt

from lenet_utils.architecture_diagram import plot_architecture
from lenet_utils.checkpoints import trained
from lenet_utils.counting import layer_table
from lenet_utils.data import load
from lenet_utils.embedding import activations
from lenet_utils.models import LeNet5
from lenet_utils.plotting import use_book_style
from lenet_utils.preprocessing import prepare

TARGET = Path(__file__).resolve().parents[1] / "book" / "figures" / "lenet-5.png"


def main() -> None:
    """Train on the embedded digits, show a test digit to the network, and draw all its maps."""
    mpl.use("Agg")
    use_book_style()
    dataset = load("digits")
    model, _ = trained(LeNet5, dataset, progress=False)
    image = prepare(dataset.test_images[:1])  # (1, 1, 32, 32)
    rows = layer_table(model)
    maps = {row.name: row.output_shape for row in rows if len(row.output_shape) == 3 and row.output_shape[1] > 1}
    pictures = {name: activations(model, image, name).reshape(shape) for name, shape in maps.items()}
    axes = plot_architecture(rows, pictures=pictures | {"input": image[0].numpy()})
    TARGET.parent.mkdir(exist_ok=True)
    axes.figure.savefig(TARGET, dpi=150, metadata={"Software": None})
    plt.close(axes.figure)
    print(f"{TARGET}: {TARGET.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
