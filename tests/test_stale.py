"""Never stale: what a chapter's numbers rest on is part of its cache's name, and a failing cell fails the build."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import textwrap
from pathlib import Path

import pytest
from conftest import ROOT, jupyter_book

if not (ROOT / "book" / "_ext").exists():
    pytest.skip("the book is not beside the package: run this in a checkout", allow_module_level=True)


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
    monkeypatch.setenv("LENET_DATASET", "digits")
    return tmp_path


@pytest.mark.parametrize("name", [path.name for path in sorted((ROOT / "lenet_utils").glob("*.py"))])
def test_fingerprint_sees_every_module(book_build, tree, name):
    before = book_build.fingerprint(tree)
    with (tree / "lenet_utils" / name).open("a") as file:
        file.write("# edited")
    assert book_build.fingerprint(tree) != before


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


def test_fingerprint_is_steady(book_build, tree):
    before = book_build.fingerprint(tree)
    (tree / "lenet_utils" / "__pycache__").mkdir()
    (tree / "lenet_utils" / "__pycache__" / "data.cpython-311.py").touch()
    assert book_build.fingerprint(tree) == before


PAGE = """\
    ---
    jupytext:
      text_representation: {extension: .md, format_name: myst}
    kernelspec: {display_name: Python 3, language: python, name: python3}
    ---
    # A page

    ```{code-cell} ipython3
    from lenet_utils import answer
    print(f"The answer is {answer.ANSWER}.")
    ```
    """


@pytest.fixture
def small_book(tmp_path) -> Path:
    """A book of one page, with this book's own settings and extension, that shows a number of ``lenet_utils``."""
    tree = tmp_path / "tree"
    ignored = shutil.ignore_patterns("*.md", "__pycache__", "kernel-ipc-*")
    shutil.copytree(ROOT / "book", tree / "book", ignore=ignored)
    shutil.copytree(ROOT / "lenet_utils", tree / "lenet_utils", ignore=ignored)
    for name in ("_config.yml", "requirements.txt"):
        shutil.copy2(ROOT / name, tree)
    (tree / "notebooks").mkdir()
    (tree / "_toc.yml").write_text("format: jb-book\nroot: book/page\n")
    (tree / "book" / "page.md").write_text(textwrap.dedent(PAGE))
    (tree / "lenet_utils" / "answer.py").write_text("ANSWER = 41\n")
    return tree


@pytest.mark.slow
def test_an_edit_of_the_package_executes_pages_again(small_book, book_environment):
    page = small_book / "_build" / "html" / "book" / "page.html"
    first = jupyter_book(small_book, book_environment)
    assert first.returncode == 0, first.stdout[-4_000:]
    assert "The answer is 41." in page.read_text("utf8")
    unchanged = jupyter_book(small_book, book_environment)
    assert "executing" not in unchanged.stdout, unchanged.stdout[-4_000:]
    (small_book / "lenet_utils" / "answer.py").write_text("ANSWER = 42\n")
    again = jupyter_book(small_book, book_environment)
    assert again.returncode == 0, again.stdout[-4_000:]
    assert "The answer is 42." in page.read_text("utf8")


@pytest.mark.slow
def test_a_failing_cell_fails_the_build_and_is_named(small_book, book_environment):
    (small_book / "lenet_utils" / "answer.py").write_text("raise RuntimeError('no answer')\n")
    for _ in range(2):  # the second time, too: a failure is not remembered as a success
        done = jupyter_book(small_book, book_environment)
        assert done.returncode != 0
        assert "no answer" in done.stdout
        assert "page.md" in done.stdout
