"""Which data, which device and which versions a page's numbers come from."""

from __future__ import annotations

import html
import platform
import re
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

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


def session() -> dict:
    """Date, commit, versions and machine, as they are now."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        "machine": machine(),
    }


def commit() -> str:
    """The checkout's commit, shortened, with ``-dirty`` where the package was edited since; ``"unknown"`` outside."""
    root = Path(__file__).resolve().parent.parent
    if not (root / "pyproject.toml").exists():  # installed, perhaps inside somebody else's checkout
        return "unknown"
    try:
        short, edits = (
            subprocess.run(["git", "-C", root, *words], capture_output=True, text=True, check=True).stdout.strip()
            for words in (["rev-parse", "--short", "HEAD"], ["status", "--porcelain", "--", "lenet_utils"])
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return short + ("-dirty" if edits else "")


def machine() -> str:
    """Processor, instruction sets and threads: what may change the last bits of a result."""
    try:
        cpu = dict(re.findall(r"^(model name|cpu family|model)\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.M))
        name = f"{cpu['model name']} (family {cpu['cpu family']}, model {cpu['model']})"
    except (OSError, KeyError):
        name = platform.processor() or "processor"
    return (
        f"CPU {name}, {platform.machine()}, {torch.backends.cpu.get_cpu_capability()}, {platform.system()}, "
        f"{torch.get_num_threads()} thread{'s' if torch.get_num_threads() > 1 else ''}"
    )
