"""What all tests share: one thread, no window, no network, and folders that are thrown away."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import pytest
import torch

from lenet_utils import canonical, data

matplotlib.use("Agg")
torch.set_num_threads(1)  # two threads beside another busy process are ten times slower than one

ROOT = Path(__file__).resolve().parent.parent
DATA_DIR = data.data_dir()  # before the tests clear LENET_DATA_DIR


@pytest.fixture(autouse=True)
def clean_environment(tmp_path_factory, monkeypatch):
    """No setting of the caller's reaches a test, and no test writes into the checkout."""
    for name in ("LENET_DATASET", "LENET_DATA_DIR", "LENET_PROGRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LENET_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "lenet-cache"))
    monkeypatch.setenv("LENET_DEVICE", "cpu")
    data._say_once.cache_clear()
    yield
    plt.close("all")


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """A test that reaches for another machine fails, whether or not there is a network."""
    connect = socket.socket.connect

    def only_here(self, address):
        if self.family != getattr(socket, "AF_UNIX", None) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise ConnectionRefusedError(f"this test has no network, and asked for {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", only_here)
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture(scope="session")
def digits():
    """The embedded data set."""
    return data.load("digits")


@pytest.fixture(scope="session", params=["mnist", "fashion-mnist"])
def canonical_dataset(request):
    """MNIST and Fashion-MNIST, where they are on disk; tests never download them."""
    missing = [path for path, _ in canonical.files(request.param, DATA_DIR).values() if not path.exists()]
    if missing:
        pytest.skip(f"{missing[0]} is missing: run `make data`, or set LENET_DATA_DIR")
    return data.load(request.param, DATA_DIR)


@pytest.fixture(scope="session")
def book_environment(tmp_path_factory) -> dict[str, str]:
    """The environment of a child process that runs chapters on the embedded digits, in folders of its own."""
    ours = {
        "LENET_DATASET": "digits",
        "LENET_CACHE_DIR": str(tmp_path_factory.mktemp("checkpoints")),
        "LENET_DEVICE": "cpu",
        "LENET_PROGRESS": "0",
        "OMP_NUM_THREADS": "1",
    }
    return {k: v for k, v in os.environ.items() if not k.startswith("LENET_")} | ours


def sentence(error: BaseException, *parts: str) -> str:
    """The error's message, after checking that it names each of ``parts`` in one line."""
    message = str(error)
    assert "\n" not in message
    assert [part for part in parts if part not in message] == [], message
    return message
