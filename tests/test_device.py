"""Devices by name, and provenance that names the device that computed."""

from __future__ import annotations

import pytest
import torch

from lenet_utils import device
from lenet_utils.device import device_name, machine_name
from lenet_utils.run_store import Run


@pytest.fixture
def gpu(monkeypatch):
    """A GPU as far as its name goes."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA Test")
    monkeypatch.delenv("LENET_DEVICE", raising=False)
    return torch.device("cuda")


def test_a_run_on_a_gpu_says_so_and_one_beside_it_on_the_cpu_too(gpu, tmp_path, monkeypatch):
    monkeypatch.setenv("LENET_RESULTS_DIR", str(tmp_path))
    on_gpu, on_cpu = Run("a", 0), Run("b", 0)
    on_gpu.begin("data", device.pick_device())
    on_cpu.begin("data", torch.device("cpu"))
    assert on_gpu.sessions[0]["machine"].startswith("NVIDIA Test beside CPU ")
    assert on_cpu.sessions[0]["machine"].startswith("CPU ")
    assert "NVIDIA" not in on_cpu.sessions[0]["machine"]


def test_names_of_devices(gpu):
    assert device_name(gpu) == "NVIDIA Test"
    assert device_name(torch.device("cpu")).startswith("CPU (")
    assert device_name(torch.device("mps")) == "MPS"
    assert machine_name(torch.device("cpu")).endswith("1 thread")
