"""What all tests share: one thread, no window, no network, and folders that are thrown away."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import pytest
import torch
import warm_builds
from filelock import FileLock

from lenet_utils import data, downloads
from lenet_utils.paths import cache_dir, data_dir

matplotlib.use("Agg")
torch.set_num_threads(1)  # two threads beside another busy process are ten times slower than one

ROOT = Path(__file__).resolve().parent.parent
DATA_DIR, NETWORKS = data_dir(), cache_dir()  # before the tests clear LENET_DATA_DIR and LENET_CACHE_DIR
SITE = Path(os.environ["LENET_SITE"]).resolve() if os.environ.get("LENET_SITE") else None
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CACHES = [".cache", ".jupyter_cache", ".ipynb_checkpoints", ".pytest_cache", ".ruff_cache", "__pycache__"]
NOT_SOURCES = [*CACHES, ".git", ".venv", "data", "_build", "lightning_logs", "*.egg-info", "kernel-ipc-*"]


@pytest.fixture(autouse=True)
def clean_environment(tmp_path_factory, monkeypatch):
    """No setting of the caller's reaches a test, and no test writes into the checkout."""
    for name in [name for name in os.environ if name.startswith("LENET_")]:
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


@pytest.fixture(scope="session")
def few(digits):
    """64 images to learn from, 40 to validate on."""
    return replace(
        digits.subset(64),
        validation_images=digits.validation_images[:40],
        validation_labels=digits.validation_labels[:40],
    )


@pytest.fixture(scope="session", params=["mnist", "fashion-mnist"])
def canonical_dataset(request):
    """MNIST and Fashion-MNIST, where they are on disk; tests never download them."""
    missing = [path for path, _ in downloads.files(request.param, DATA_DIR).values() if not path.exists()]
    if missing:
        pytest.skip(f"{missing[0]} is missing: run `make data`, or set LENET_DATA_DIR")
    return data.load(request.param, DATA_DIR)


@pytest.fixture(scope="session")
def mnist() -> data.ImageDataset:
    """MNIST, where it is on disk; tests never download it."""
    missing = [path for path, _ in downloads.files("mnist", DATA_DIR).values() if not path.exists()]
    if missing:
        pytest.skip(f"{missing[0]} is missing: run `make data`, or set LENET_DATA_DIR")
    return data.load("mnist", DATA_DIR)


@pytest.fixture(scope="session")
def book_environment(tmp_path_factory) -> dict[str, str]:
    """The environment of processes that run chapters: the embedded digits, folders of their own, no network."""
    ours = {
        "LENET_DATASET": "digits",
        "LENET_DATA_DIR": str(tmp_path_factory.mktemp("no-data")),
        "LENET_CACHE_DIR": str(tmp_path_factory.mktemp("checkpoints")),
        "LENET_DEVICE": "cpu",
        "LENET_PROGRESS": "0",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
        **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9"),
    }
    return {key: value for key, value in os.environ.items() if not key.startswith("LENET_")} | ours


@dataclass(frozen=True)
class Build:
    """A build of the book: the tree it was made in, and all that it printed."""

    tree: Path
    log: str

    @property
    def html(self) -> Path:
        return self.tree / "_build" / "html"


def copy_sources(target: Path) -> Path:
    """A copy of the checkout without what is made, fetched or cached in it."""
    return Path(shutil.copytree(ROOT, target, ignore=shutil.ignore_patterns(*NOT_SOURCES)))


def jupyter_book(
    tree: Path, environment: dict[str, str], *options: str, warm: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run README's build command in ``tree``; by default every page is written, and warnings are errors.

    A ``warm`` one may run in a process that has imported other people's libraries before.
    """
    options, environment = options or ("--all", "-W", "--keep-going"), environment | {"PYTHONPATH": str(tree)}
    if warm and sys.platform == "linux":
        return warm_builds.build(tree, environment, options)
    program = "import sys; from jupyter_book.cli.main import main; sys.argv[0] = 'jupyter-book'; main()"
    return subprocess.run(
        [sys.executable, "-c", program, "build", ".", *options],
        cwd=tree,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf8",
        timeout=1_200,
        check=False,
    )


@pytest.fixture(scope="session")
def digits_build(tmp_path_factory, book_environment) -> Build:
    """The book, built once for all of pytest's processes, on the embedded digits, from a copy of the tree, offline."""
    if not (ROOT / "_toc.yml").exists():
        pytest.skip("the book is not beside the package: run this in a checkout")
    pytest.importorskip("jupyter_book", reason="Jupyter Book is not installed: pip install -r requirements.txt")
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    tree, said = folder / "book" / "tree", folder / "book" / "log"
    with FileLock(folder / "book.lock"):
        if not said.exists():
            shutil.rmtree(tree, ignore_errors=True)  # of a build that failed in another process
            done = jupyter_book(copy_sources(tree), book_environment)
            log = re.sub(r"\x1b\[[\d;]*m", "", done.stdout)
            complaints = "\n".join(re.findall(r"^.*(?:WARNING|ERROR|failed:).*$", log, re.MULTILINE))
            last = f"{complaints}\n--- its last words:\n{log[-4_000:]}"
            assert done.returncode == 0, f"no build on the embedded digits:\n{last}"
            said.write_text(log, "utf8")
    return Build(tree, said.read_text("utf8"))


@pytest.fixture(scope="session")
def site(request) -> Path:
    """The site to look at: the one that LENET_SITE names, else one built on the embedded digits."""
    if SITE is None:
        return request.getfixturevalue("digits_build").html
    assert (SITE / "index.html").exists(), f"LENET_SITE={SITE} holds no index.html: run `make book` first"
    return SITE


@pytest.fixture(scope="module")
def browser():
    """One Chromium for a module: while Playwright runs, no test can start an event loop of its own."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is missing: pip install -e '.[test]'")
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is on the PATH")
    with playwright.sync_playwright() as running:
        arguments = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        opened = running.chromium.launch(executable_path=program, args=arguments)
        yield opened
        opened.close()


def sentence(error: BaseException, *parts: str) -> str:
    """The error's message, after checking that it names each of ``parts`` in one line."""
    message = str(error)
    assert "\n" not in message
    assert [part for part in parts if part not in message] == [], message
    return message
