"""Never stale: what a chapter's numbers rest on is part of its cache's name, and a failing cell fails the build."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torture
from conftest import ROOT, jupyter_book

if not (ROOT / "book" / "_ext").exists():
    pytest.skip("the book is not beside the package: run this in a checkout", allow_module_level=True)

build = partial(jupyter_book, warm=True)
pytestmark = pytest.mark.timeout(900)  # some build a book three times, perhaps on a busy machine


@pytest.fixture
def book_build(monkeypatch):
    """The book's Sphinx extension, imported from its file."""
    pytest.importorskip("myst_nb", reason="Jupyter Book is not installed: pip install -r requirements.txt")
    monkeypatch.setattr(sys, "path", [str(ROOT / "book" / "_ext"), *sys.path])
    spec = importlib.util.spec_from_file_location("book_build", ROOT / "book" / "_ext" / "book_build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tree(tmp_path, monkeypatch) -> Path:
    """A copy of what the fingerprint reads."""
    for name in ("lenet_utils", "results"):
        if (ROOT / name).exists():
            shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(ROOT / "requirements.txt", tmp_path)
    monkeypatch.setenv("LENET_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("LENET_RESULTS_DIR", str(tmp_path / "results"))
    monkeypatch.setenv("LENET_DATASET", "digits")
    return tmp_path


PACKAGED = [
    path for path in sorted((ROOT / "lenet_utils").rglob("*")) if path.suffix in (".py", ".js", ".css", ".html")
]
FILES = [path.relative_to(ROOT / "lenet_utils").as_posix() for path in PACKAGED]


def test_fingerprint_sees_every_module(book_build, tree):
    shutil.rmtree(tree / "results")  # read each time, and not asked about here
    last, unseen = book_build.fingerprint(tree), []
    for name in FILES:
        with (tree / "lenet_utils" / name).open("a") as file:
            file.write("# edited")
        before, last = last, book_build.fingerprint(tree)
        if last == before:
            unseen.append(name)
    assert len(FILES) > 80
    assert unseen == []


def test_fingerprint_sees_a_new_module_and_a_lost_one(book_build, tree):
    seen = [book_build.fingerprint(tree)]
    (tree / "lenet_utils" / "new.py").touch()
    seen.append(book_build.fingerprint(tree))
    (tree / "lenet_utils" / "provenance.py").unlink()
    seen.append(book_build.fingerprint(tree))
    assert len(set(seen)) == 3


def test_fingerprint_sees_requirements_and_results(book_build, tree):
    seen = [book_build.fingerprint(tree)]
    with (tree / "requirements.txt").open("a") as file:
        file.write("nothing-else\n")
    seen.append(book_build.fingerprint(tree))
    (tree / "results").mkdir(exist_ok=True)
    (tree / "results" / "run.json").write_text("{}")
    seen.append(book_build.fingerprint(tree))
    assert len(set(seen)) == 3


def test_fingerprint_sees_the_data_and_the_choice_of_it(book_build, tree, monkeypatch):
    seen = [book_build.fingerprint(tree)]
    monkeypatch.setenv("LENET_DATASET", "auto")
    seen.append(book_build.fingerprint(tree))  # no file
    raw = tree / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "train-images-idx3-ubyte.gz").write_bytes(b"some")
    seen.append(book_build.fingerprint(tree))
    (raw / "train-images-idx3-ubyte.gz").write_bytes(b"other")
    seen.append(book_build.fingerprint(tree))
    monkeypatch.setenv("LENET_DATASET", "mnist")
    seen.append(book_build.fingerprint(tree))
    assert len(set(seen)) == 5


def test_fingerprint_sees_versions_and_device(book_build, tree, monkeypatch):
    seen = [book_build.fingerprint(tree)]
    monkeypatch.setenv("LENET_DEVICE", "cuda")
    seen.append(book_build.fingerprint(tree))
    version = book_build.metadata.version
    monkeypatch.setattr(book_build.metadata, "version", lambda name: "0" if name == "torch" else version(name))
    seen.append(book_build.fingerprint(tree))
    assert len(set(seen)) == 3


def test_fingerprint_sees_fashion_mnist_the_optional_libraries_and_results_elsewhere(book_build, tree, monkeypatch):
    seen = [book_build.fingerprint(tree)]
    fashion = tree / "data" / "FashionMNIST" / "raw" / "train-images-idx3-ubyte.gz"
    fashion.parent.mkdir(parents=True)
    fashion.write_bytes(b"some")
    seen.append(book_build.fingerprint(tree))
    version = book_build.metadata.version

    def without_lightning(name):
        if name == "lightning":
            raise book_build.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(book_build.metadata, "version", lambda name: "9" if name == "lightning" else version(name))
    seen.append(book_build.fingerprint(tree))
    monkeypatch.setattr(book_build.metadata, "version", without_lightning)
    seen.append(book_build.fingerprint(tree))
    (tree / "elsewhere").mkdir()
    (tree / "elsewhere" / "run-seed0.json").write_text("{}")
    monkeypatch.setenv("LENET_RESULTS_DIR", str(tree / "elsewhere"))
    seen.append(book_build.fingerprint(tree))
    assert len(set(seen)) == 5


def test_all_chapters_read_the_data_that_was_there_at_the_start(book_build, monkeypatch, digits):
    from lenet_utils import data

    asked = []

    def load(name):
        asked.append(name)
        if name in ("fashion-mnist", "usps"):
            raise data.DataError("out of reach")
        return replace(digits, name="mnist") if len(asked) == 1 else digits

    monkeypatch.setattr(data, "load", load)
    monkeypatch.setenv("LENET_DATASET", "")
    book_build.settle_data()
    assert asked == ["auto", "fashion-mnist", "usps"]  # the last two may be out of reach
    assert os.environ["LENET_DATASET"] == "mnist"
    book_build.settle_data()
    assert asked == ["auto", "fashion-mnist", "usps", "auto"]
    assert os.environ["LENET_DATASET"] == "digits"


def test_fingerprint_is_steady(book_build, tree):
    before = book_build.fingerprint(tree)
    (tree / "lenet_utils" / "__pycache__").mkdir()
    (tree / "lenet_utils" / "__pycache__" / "data.cpython-311.py").touch()
    assert book_build.fingerprint(tree) == before


@pytest.fixture
def small_book(tmp_path) -> Path:
    """A book of one page, with this book's own settings and extension, that shows a number of ``lenet_utils``."""
    return torture.small_book(tmp_path / "tree")


@pytest.mark.slow
def test_an_edit_of_the_package_executes_pages_again(small_book, book_environment):
    page = small_book / "_build" / "html" / "book" / "page.html"
    first = build(small_book, book_environment)
    assert first.returncode == 0, first.stdout[-4_000:]
    assert "The answer is 41." in page.read_text("utf8")
    unchanged = build(small_book, book_environment)
    assert "executing" not in unchanged.stdout, unchanged.stdout[-4_000:]
    (small_book / "lenet_utils" / "answer.py").write_text("ANSWER = 42\n")
    again = build(small_book, book_environment)
    assert again.returncode == 0, again.stdout[-4_000:]
    assert "The answer is 42." in page.read_text("utf8")


@pytest.mark.slow
def test_a_failing_cell_fails_the_build_and_is_named_in_the_last_line(small_book, book_environment):
    (small_book / "lenet_utils" / "answer.py").write_text("raise RuntimeError('no answer')\n")
    for _ in range(2):  # the second time, too: a failure is not remembered as a success
        done = build(small_book, book_environment)
        assert done.returncode != 0
        last = done.stdout.strip().splitlines()[-1]
        assert last.startswith("The book was not built. book/page.md, code cell 1 failed: RuntimeError: no answer.")
        assert "Traceback" not in done.stdout
    loud = build(small_book, book_environment, "--all", "-v")
    assert "Traceback" in loud.stdout
    assert "answer.py" in loud.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value", "parts"),
    [
        ("LENET_DATASET", "mnisst", ("'mnisst'", "Did you mean 'mnist'?")),
        ("LENET_DATASET", "fashion-mnist", ("train-images-idx3-ubyte.gz is missing", "set LENET_DATASET=digits")),
    ],
)
def test_an_impossible_setting_is_named_in_the_last_line(small_book, book_environment, name, value, parts):
    done = build(small_book, book_environment | {name: value})
    assert done.returncode != 0
    last = done.stdout.strip().splitlines()[-1]
    assert last.startswith("The book was not built. ")
    assert [part for part in parts if part not in last] == []


def damages(cache: Path) -> dict[str, list[Path]]:
    """What a kill or a full disk can have left of the cache: files to cut in half, by kind."""
    return {"database": [cache / "global.db"], "notebook": sorted(cache.rglob("*.ipynb"))}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["database", "notebook"])
@pytest.mark.parametrize("left", [0.5, 0.0, None])
def test_a_damaged_cache_is_dropped_and_the_book_built(small_book, book_environment, kind, left):
    assert build(small_book, book_environment).returncode == 0
    (cache,) = (small_book / "_build" / ".jupyter_cache").iterdir()
    files = damages(cache)[kind]
    assert files
    for file in files:
        content = file.read_bytes()
        file.unlink()
        if left is not None:
            file.write_bytes(content[: int(left * len(content))])
    again = build(small_book, book_environment)
    assert again.returncode == 0, again.stdout[-4_000:]
    assert "executing book/page.md" in again.stdout
    assert "The answer is 41." in (small_book / "_build" / "html" / "book" / "page.html").read_text("utf8")


@pytest.mark.slow
def test_two_builds_at_once_in_one_tree_take_turns(small_book, book_environment):
    add_page(small_book, "slow", "import time; print('it', end='', flush=True); time.sleep(5); print(' slept')")
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: build(small_book, book_environment), range(2)))
    assert [done.returncode for done in both] == [0, 0], both[0].stdout[-2_000:] + both[1].stdout[-2_000:]
    assert sorted("waits for it" in done.stdout for done in both) == [False, True]
    assert sorted("executing book/slow.md" in done.stdout for done in both) == [False, True]
    shown = (small_book / "_build" / "html" / "book" / "slow.html").read_text("utf8")
    assert "it slept" in shown  # one line, although it was written in two pieces


def add_page(tree: Path, name: str, code: str) -> Path:
    """A second page; its file."""
    path = tree / "book" / f"{name}.md"
    head, _, tail = textwrap.dedent(torture.PAGE).partition("from lenet_utils import answer\n")
    path.write_text(f"{head}{code}\n{tail.partition(chr(10))[2]}")
    with (tree / "_toc.yml").open("a") as toc:
        toc.write(("" if "chapters:" in (tree / "_toc.yml").read_text() else "chapters:\n") + f"- file: book/{name}\n")
    return path


@pytest.mark.slow
def test_a_dead_kernel_is_named_and_the_other_chapter_is_kept(small_book, book_environment):
    add_page(small_book, "dying", "import os; os._exit(3)")
    done = build(small_book, book_environment)
    assert done.returncode != 0
    assert "dying.md failed:" in done.stdout, done.stdout[-4_000:]
    assert "Kernel died" in done.stdout
    again = build(small_book, book_environment)
    assert "executing book/dying.md" in again.stdout
    assert "executing book/page.md" not in again.stdout


@pytest.mark.slow
def test_another_pages_number_is_never_stale(small_book, book_environment):
    """Also without ``--all``, which writes every page anyway."""
    other = add_page(small_book, "other", "from myst_nb import glue; glue('number', 1001, display=False)")
    with (small_book / "book" / "page.md").open("a") as page:
        page.write("\nThe number is {glue:text}`other.md::number:d`.\n")
    shown = small_book / "_build" / "html" / "book" / "page.html"
    first = build(small_book, book_environment, "-W")
    assert first.returncode == 0, first.stdout[-4_000:]
    assert "1001" in shown.read_text("utf8")
    other.write_text(other.read_text().replace("1001", "2002"))
    again = build(small_book, book_environment, "-W")
    assert again.returncode == 0, again.stdout[-4_000:]
    assert "2002" in shown.read_text("utf8")


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is no signal on Windows")
def test_an_interrupt_ends_the_build_and_its_kernels(small_book, book_environment, tmp_path):
    for name in ("first", "second", "third"):
        told = str(tmp_path / name)
        code = f"import os, pathlib, time\npathlib.Path({told!r}).write_text(str(os.getpid()))\ntime.sleep(200)"
        add_page(small_book, name, code)
    program = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "  # a shell's & would ignore it
        "from jupyter_book.cli.main import main; sys.argv[0] = 'jupyter-book'; main()"
    )
    building = subprocess.Popen(
        [sys.executable, "-c", program, "build", "."],
        cwd=small_book,
        env=book_environment | {"PYTHONPATH": str(small_book)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + 120
    while not any((tmp_path / name).exists() for name in ("first", "second", "third")) and time.monotonic() < end:
        time.sleep(0.2)
    time.sleep(1)
    building.send_signal(signal.SIGINT)
    assert building.wait(30) != 0
    time.sleep(2)
    for name in ("first", "second", "third"):
        if (tmp_path / name).exists():
            with pytest.raises(ProcessLookupError):
                os.kill(int((tmp_path / name).read_text()), 0)
