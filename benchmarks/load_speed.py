"""How long load() takes from the compressed files to tensors: without the imports, the files in the system's cache."""

from __future__ import annotations

from common import report, seconds  # which also puts the checkout on the path

from lenet_utils import data, downloads
from lenet_utils.paths import data_dir

REPEATS = 7


def main() -> None:
    """Time each data set that is on disk, and the embedded one from scratch."""
    data._load_digits()  # imports scikit-learn
    measured = {}
    for name in ("mnist", "fashion-mnist"):  # downloads.files imports torchvision, which takes a second by itself
        if all(path.exists() for path, _ in downloads.files(name, data_dir()).values()):
            measured[name] = [seconds(lambda name=name: data.load(name)) for _ in range(REPEATS)]
    measured["digits"] = [seconds(data._load_digits.__wrapped__) for _ in range(REPEATS)]
    report("load_speed", measured, "s")


if __name__ == "__main__":
    main()
