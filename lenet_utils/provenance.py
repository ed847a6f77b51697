"""Which data, which device and which versions a page's numbers come from."""

from __future__ import annotations

import html
import platform
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import torch

from lenet_utils.arguments import checked
from lenet_utils.data import ImageDataset
from lenet_utils.device import device_name, machine_name, pick_device
from lenet_utils.paths import checkout


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that decide the numbers."""
    return {"Python": platform.python_version(), "torch": torch.__version__, "NumPy": np.__version__}


@checked
@dataclass(frozen=True)
class Provenance:
    """A line to stand on every page that shows measured numbers; of data that are no data set, their source will do."""

    dataset: ImageDataset | str

    def __str__(self) -> str:
        libraries = ", ".join(f"{name} {version}" for name, version in versions().items())
        source = self.dataset if isinstance(self.dataset, str) else self.dataset.source
        return f"Measured in this build: on {source}; {device_name(pick_device())}; {libraries}."

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f'<p class="provenance">{html.escape(str(self))}</p>'


@checked
def session(device: torch.device) -> dict:
    """Date, commit, versions and machine, as they are now; ``device`` is the one that computes."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit(),
        "versions": {name.lower(): version for name, version in versions().items()},
        "machine": machine_name(device),
    }


def commit() -> str:
    """The checkout's commit, shortened, with ``-dirty`` where the package was edited since; ``"unknown"`` outside."""
    root = checkout()
    if root is None:  # installed, perhaps inside somebody else's checkout
        return "unknown"
    try:
        short, edits = (
            subprocess.run(["git", "-C", root, *words], capture_output=True, text=True, check=True).stdout.strip()
            for words in (["rev-parse", "--short", "HEAD"], ["status", "--porcelain", "--", "lenet_utils"])
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return short + ("-dirty" if edits else "")
