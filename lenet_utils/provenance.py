"""Which data, which device and which versions a page's numbers come from."""

from __future__ import annotations

import html
import platform
from dataclasses import dataclass

import numpy as np
import torch

from lenet_utils.data import ImageDataset
from lenet_utils.training import pick_device


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that decide the numbers."""
    return {"Python": platform.python_version(), "torch": torch.__version__, "NumPy": np.__version__}


def device_name() -> str:
    """The device that :func:`lenet_utils.training.pick_device` takes, in words."""
    device = pick_device()
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return (
        f"CPU ({platform.machine()}, {threads} thread{'s' if threads > 1 else ''})" if device.type == "cpu" else "MPS"
    )


@dataclass(frozen=True)
class Provenance:
    """A line to stand on every page that shows measured numbers."""

    dataset: ImageDataset

    def __str__(self) -> str:
        libraries = ", ".join(f"{name} {version}" for name, version in versions().items())
        return f"Measured in this build: on {self.dataset.source}; {device_name()}; {libraries}."

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f'<p class="provenance">{html.escape(str(self))}</p>'
