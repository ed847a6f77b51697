"""What computes: the device that training takes, and how devices and machines are named beside a result."""

from __future__ import annotations

import os
import platform
import re
import sys
from pathlib import Path

import torch

from lenet_utils.arguments import checked


def pick_device() -> torch.device:
    """The device to compute on: what ``LENET_DEVICE`` names, else CUDA, else MPS, else the CPU.

    Raises
    ------
    ValueError
        If ``LENET_DEVICE`` names a device that this machine or this build of torch does not have.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    present = [name for name, there in available.items() if there]
    wanted = os.environ.get("LENET_DEVICE") or present[0]
    kind, _, index = wanted.partition(":")
    count = torch.cuda.device_count() if kind == "cuda" else 1
    if kind not in present or (":" in wanted and index not in map(str, range(count))):
        raise ValueError(f"LENET_DEVICE={wanted!r} is not available here: choose one of {', '.join(present)}.")
    return torch.device(wanted)


@checked
def device_name(device: torch.device) -> str:
    """A device in words, for instance ``"CPU (x86_64, 1 thread)"``."""
    if device.type == "cuda":
        if not (device.index or 0) < torch.cuda.device_count():
            raise ValueError(f"{device} is not there: this machine has {torch.cuda.device_count()} CUDA devices.")
        return torch.cuda.get_device_name(device)
    return f"CPU ({platform.machine()}, {_threads()})" if device.type == "cpu" else device.type.upper()


@checked
def machine_name(device: torch.device) -> str:
    """What may change the last bits of a result: processor, instruction sets and threads, or the GPU and its host."""
    try:
        cpu = dict(re.findall(r"^(model name|cpu family|model)\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.M))
        name = f"{cpu['model name']} (family {cpu['cpu family']}, model {cpu['model']})"
    except (OSError, KeyError):
        name = platform.processor() or "processor"
    capability = torch.backends.cpu.get_cpu_capability()
    host = f"CPU {name}, {platform.machine()}, {capability}, {platform.system()}, {_threads()}"
    return host if device.type == "cpu" else f"{device_name(device)} beside {host}"


def is_watched() -> bool:
    """Whether somebody watches: a terminal or a live notebook, not the book's build (which sets LENET_PROGRESS=0)."""
    return os.environ.get("LENET_PROGRESS", "1") != "0" and (sys.stderr.isatty() or "ipykernel" in sys.modules)


def _threads() -> str:
    threads = torch.get_num_threads()
    return f"{threads} thread{'s' if threads > 1 else ''}"
