"""Where things lie, and how a file is put there: whole or not at all, and one sentence where it cannot be."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, sentence

from lenet_utils import data, paths, run_store, runs
from lenet_utils.paths import cache_dir, data_dir, results_dir, stored_results, write_file

FOLDERS = {"LENET_DATA_DIR": data_dir, "LENET_CACHE_DIR": cache_dir, "LENET_RESULTS_DIR": results_dir}


@pytest.mark.parametrize("variable", FOLDERS)
def test_the_environment_names_a_folder(variable, monkeypatch, tmp_path):
    monkeypatch.setenv(variable, str(tmp_path))
    assert FOLDERS[variable]() == tmp_path
    monkeypatch.setenv(variable, "~/somewhere")
    assert FOLDERS[variable]() == Path.home() / "somewhere"
    monkeypatch.delenv(variable)
    assert FOLDERS[variable]().parent == ROOT


@pytest.mark.parametrize("variable", FOLDERS)
def test_a_user_that_is_not_there_is_one_sentence(variable, monkeypatch):
    monkeypatch.setenv(variable, "~nosuchuser/x")
    with pytest.raises(ValueError, match="no such user") as caught:
        FOLDERS[variable]()
    sentence(caught.value, variable, "~nosuchuser/x")


@pytest.mark.parametrize("variable", FOLDERS)
def test_the_command_lines_say_it_too(variable, monkeypatch, capsys):
    monkeypatch.setenv(variable, "~nosuchuser/x")
    status = data.main(["mnist"]) if variable == "LENET_DATA_DIR" else runs.main(["lenet5-digits"])
    assert status == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_another_projects_pyproject_beside_an_installed_package_makes_no_checkout(tmp_path):
    """Some wheels drop their pyproject.toml into site-packages."""
    shutil.copytree(ROOT / "lenet_utils", tmp_path / "lenet_utils", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "something-else"\n')
    script = "from lenet_utils import paths; print(paths.checkout(), paths.data_dir())"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "HOME": str(tmp_path / "home")}
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout.split() == ["None", str(tmp_path / "home" / ".cache" / "lenet_utils")]


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "kept"
    write_file(path, b"old")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(paths.os, "replace", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_file(path, b"new")
    sentence(caught.value, "kept", str(tmp_path), "make room")
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]
    assert path.read_bytes() == b"old"


def test_a_folder_that_cannot_be_written_is_one_sentence_without_a_temporary_name(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="cannot be stored") as caught:
        write_file(tmp_path / "file" / "results.json", b"")
    assert ".writing-" not in sentence(caught.value, "results.json", str(tmp_path / "file"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.timeout(20)
def test_a_pipe_or_a_device_in_place_of_a_file_is_not_read(tmp_path, monkeypatch):
    pipe, device = tmp_path / "pipe", tmp_path / "device"
    os.mkfifo(pipe)
    device.symlink_to("/dev/zero")
    for path in (pipe, device):
        with pytest.raises(OSError, match="no regular file"):
            paths.read_file(path)
        with pytest.raises(run_store.ResultsError, match="no regular file"):
            run_store.read(path)
    monkeypatch.setenv("LENET_DATA_DIR", str(tmp_path))
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    os.mkfifo(raw / "train-images-idx3-ubyte.gz")
    with pytest.raises(data.DataError, match="no regular file") as caught:
        data.load("mnist")
    sentence(caught.value, "train-images-idx3-ubyte.gz cannot be read")
    assert "missing" in data.fingerprint("mnist")


def test_results_that_came_with_the_package_are_read_beside_ones_own(tmp_path, monkeypatch):
    """A first run in an empty folder used to hide all that had come along."""
    packaged, own = tmp_path / "installed" / "results", tmp_path / "own"
    packaged.mkdir(parents=True)
    for name in ("a-seed0.json", "b-seed0.json"):
        (packaged / name).touch()
    monkeypatch.setattr(paths, "PACKAGE", tmp_path / "installed")
    monkeypatch.setenv("LENET_RESULTS_DIR", str(own))
    assert stored_results() == [packaged / "a-seed0.json", packaged / "b-seed0.json"]
    own.mkdir()
    (own / "b-seed0.json").touch()
    assert stored_results() == [packaged / "a-seed0.json", own / "b-seed0.json"]
