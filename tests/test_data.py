"""Where the pixels come from: what is promised of each data set, and every way in which a file can be bad."""

from __future__ import annotations

import bz2
import errno
import gzip
import os
import re
import stat
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import DATA_DIR, ROOT, sentence
from mirror import serving
from torchvision import datasets

from lenet_utils import data, downloads
from lenet_utils.data import ImageDataset, load
from lenet_utils.downloads import DataError
from lenet_utils.fingerprints import dataset_fingerprint
from lenet_utils.preprocessing import MNIST_MEAN, MNIST_STD, normalise

MNIST_TRAIN_COUNTS = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
MNIST_TEST_COUNTS = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
PARTS = ("train", "validation", "test")


def idx(values: np.ndarray) -> bytes:
    header = struct.pack(f">2xBB{values.ndim}I", 8, values.ndim, *values.shape)
    return gzip.compress(header + values.astype(np.uint8).tobytes(), mtime=0)


@pytest.fixture
def mirror(monkeypatch):
    """A mirror of a tiny "MNIST" of 60 + 20 images, which takes the canonical one's place in torchvision."""
    draw = np.random.default_rng(0)
    contents = {
        "train-images-idx3-ubyte.gz": idx(draw.integers(0, 256, (60, 28, 28))),
        "train-labels-idx1-ubyte.gz": idx(draw.integers(0, 10, 60)),
        "t10k-images-idx3-ubyte.gz": idx(draw.integers(0, 256, (20, 28, 28))),
        "t10k-labels-idx1-ubyte.gz": idx(draw.integers(0, 10, 20)),
    }
    published = [(name, downloads.md5_of(content)) for name, content in contents.items()]
    monkeypatch.setattr(datasets.MNIST, "resources", published)
    monkeypatch.setattr(data, "NUM_VALIDATION", 10)
    with serving(contents) as server:
        monkeypatch.setattr(datasets.MNIST, "mirrors", [server.address])
        yield server


@pytest.fixture
def stored(mirror, tmp_path) -> Path:
    """The folder of the four files, downloaded well."""
    load("mnist", tmp_path)
    mirror.requests.clear()
    return tmp_path / "MNIST" / "raw"


@pytest.fixture
def offline(mirror, monkeypatch):
    """No mirror answers: nobody listens on that port."""
    monkeypatch.setattr(datasets.MNIST, "mirrors", ["http://127.0.0.1:9/", "https://127.0.0.1:9/"])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- what is promised of the data sets -------------------------------------------------------------------------------


def test_digits_sizes_and_types(digits):
    assert [len(getattr(digits, f"{part}_images")) for part in PARTS] == [1197, 200, 400]
    assert digits.title == "scikit-learn's digits"
    for part in PARTS:
        images, labels = getattr(digits, f"{part}_images"), getattr(digits, f"{part}_labels")
        assert (images.dtype, images.shape[1:]) == (torch.uint8, (28, 28))
        assert (labels.dtype, set(labels.tolist())) == (torch.int64, set(range(10)))


def test_digits_ink_fits_20_by_20_and_is_centred_by_mass(digits):
    for image in torch.cat([digits.train_images, digits.validation_images, digits.test_images]).numpy():
        rows, columns = np.nonzero(image.any(1))[0], np.nonzero(image.any(0))[0]
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert 18 <= max(height, width) <= 20  # a faint rim can round to nothing
        middle = [(image * grid).sum() / image.sum() for grid in np.indices(image.shape, dtype=float)]
        np.testing.assert_allclose(middle, 14, atol=0.51)  # as MNIST: see test_inputs.py


def test_digits_need_neither_disk_nor_network(tmp_path, monkeypatch):
    monkeypatch.setenv("LENET_DATA_DIR", str(tmp_path / "absent"))
    assert load("digits").name == "digits"
    assert not (tmp_path / "absent").exists()


def test_digits_parts_are_disjoint_and_lose_nothing(digits):
    from sklearn.datasets import load_digits

    assert sum(len(getattr(digits, f"{part}_labels")) for part in PARTS) == len(load_digits().target)
    seen = [image.numpy().tobytes() for part in PARTS for image in getattr(digits, f"{part}_images")]
    assert len(set(seen)) == len(seen)


def test_canonical_counts_and_split(canonical_dataset):
    sizes = [len(getattr(canonical_dataset, f"{part}_images")) for part in PARTS]
    assert sizes == [55_000, 5_000, 10_000]
    train = torch.cat([canonical_dataset.train_labels, canonical_dataset.validation_labels]).bincount().tolist()
    test = canonical_dataset.test_labels.bincount().tolist()
    if canonical_dataset.name == "mnist":
        assert (train, test) == (MNIST_TRAIN_COUNTS, MNIST_TEST_COUNTS)
        images = torch.cat([canonical_dataset.train_images, canonical_dataset.validation_images]).double() / 255
        assert (round(images.mean().item(), 4), round(images.std().item(), 4)) == (MNIST_MEAN, MNIST_STD)
    else:
        assert (train, test) == ([6_000] * 10, [1_000] * 10)
        assert canonical_dataset.class_names[0::9] == ("T-shirt/top", "Ankle boot")


def test_test_part_agrees_with_torchvisions_own_reader(canonical_dataset, tmp_path):
    reader = downloads._torchvision(canonical_dataset.name)
    raw = tmp_path / reader.__name__ / "raw"
    raw.mkdir(parents=True)
    for part, (path, _) in downloads.files(canonical_dataset.name, DATA_DIR).items():
        if part.startswith("t10k"):
            (raw / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
        else:  # torchvision only looks whether these exist
            (raw / path.stem).touch()
    theirs = reader(tmp_path, train=False)
    assert torch.equal(theirs.data, canonical_dataset.test_images)
    assert torch.equal(theirs.targets, canonical_dataset.test_labels)


def test_split_is_seeded_and_disjoint():
    images = torch.arange(100).reshape(100, 1, 1)
    train, train_labels, held_out, held_out_labels = data._split(images, torch.arange(100), 20)
    assert sorted([*train_labels.tolist(), *held_out_labels.tolist()]) == list(range(100))
    assert torch.equal(train.ravel(), train_labels)
    assert torch.equal(held_out.ravel(), held_out_labels)
    torch.manual_seed(1)
    assert torch.equal(data._split(images, torch.arange(100), 20)[1], train_labels)


def test_subset_keeps_the_other_parts(digits):
    small = digits.subset(50)
    assert torch.equal(small.train_labels, digits.train_labels[:50])
    assert small.test_images is digits.test_images


@pytest.mark.parametrize("num_train", [0, -1, 1_198])
def test_subset_refuses_what_is_not_there(digits, num_train):
    with pytest.raises(ValueError, match="num_train") as caught:
        digits.subset(num_train)
    sentence(caught.value, "1..1197", f"got {num_train}")


def test_dataset_cannot_be_changed(digits):
    with pytest.raises(AttributeError):
        digits.name = "mnist"


# --- which data set is taken -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "suggestion"), [("minst", "'mnist'"), ("MNIST", "'mnist'"), ("fashion", "'fashion-mnist'"), ("cifar", "")]
)
def test_unknown_name(name, suggestion):
    with pytest.raises(ValueError, match="Unknown data set") as caught:
        load(name)
    message = sentence(caught.value, repr(name), "'auto'", "'mnist'", "'fashion-mnist'", "'digits'")
    assert message.endswith(f"Did you mean {suggestion}?") if suggestion else "Did you mean" not in message


def test_unknown_name_in_the_environment_is_blamed_on_it(monkeypatch):
    monkeypatch.setenv("LENET_DATASET", "digit")
    with pytest.raises(ValueError, match="LENET_DATASET") as caught:
        load()
    sentence(caught.value, "'digit' in LENET_DATASET", "Did you mean 'digits'?")


def test_environment_decides_what_auto_means(monkeypatch, capsys):
    monkeypatch.setenv("LENET_DATASET", "digits")
    assert load().name == load("auto").name == "digits"
    assert capsys.readouterr() == ("", "")


def test_environment_does_not_touch_an_explicit_name(stored, monkeypatch):
    monkeypatch.setenv("LENET_DATASET", "digits")
    assert load("mnist", stored.parent.parent).name == "mnist"


def test_auto_takes_mnist_from_disk_and_says_so_once(stored, mirror, monkeypatch, capsys):
    monkeypatch.setenv("LENET_DATA_DIR", str(stored.parent.parent))
    capsys.readouterr()
    assert load().name == load().name == "mnist"
    out, err = capsys.readouterr()
    assert (out.count("\n"), err) == (1, "")
    assert "MNIST" in out
    assert mirror.requests == []


def test_auto_downloads_mnist_where_it_is_missing(mirror, tmp_path):
    assert load("auto", tmp_path).name == "mnist"


def test_auto_falls_back_to_the_digits_and_says_why_once(offline, tmp_path, capsys):
    assert load("auto", tmp_path).name == load("auto", tmp_path).name == "digits"
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("Downloading")]
    assert len(lines) == 1
    for part in ("1,797 digits instead of MNIST", "is missing", "LENET_DATASET=digits"):
        assert part in lines[0]


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_an_explicit_name_never_falls_back(offline, tmp_path, monkeypatch, name):
    monkeypatch.setattr(datasets.FashionMNIST, "mirrors", datasets.MNIST.mirrors)
    with pytest.raises(DataError) as caught:
        load(name, tmp_path)
    sentence(caught.value, "train-images-idx3-ubyte.gz is missing", "connect to the network", "LENET_DATASET=digits")


def test_data_dir(monkeypatch, tmp_path):
    assert data.data_dir() == Path(data.__file__).resolve().parent.parent / "data"
    monkeypatch.setenv("LENET_DATA_DIR", str(tmp_path / "from-environment"))
    assert data.data_dir() == tmp_path / "from-environment"
    assert data.data_dir(tmp_path / "named") == tmp_path / "named"
    monkeypatch.setenv("LENET_DATA_DIR", "~/digits")
    assert data.data_dir() == Path.home() / "digits"


def test_fingerprint_sees_the_choice_and_the_bytes(stored, monkeypatch):
    root = stored.parent.parent
    assert data.fingerprint("digits", root) != data.fingerprint("mnist", root)
    before = data.fingerprint("mnist", root)
    path = stored / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-1])
    damaged = data.fingerprint("mnist", root)
    path.unlink()
    assert len({before, damaged, data.fingerprint("mnist", root)}) == 3
    monkeypatch.setenv("LENET_DATASET", "digits")
    assert data.fingerprint("auto", root) == data.fingerprint("digits", root)


# --- bad files, bad folders, bad networks ----------------------------------------------------------------------------


def test_a_good_file_is_neither_fetched_nor_written_again(stored, mirror):
    before = {path: path.stat().st_mtime_ns for path in stored.iterdir()}
    load("mnist", stored.parent.parent)
    assert mirror.requests == []
    assert {path: path.stat().st_mtime_ns for path in stored.iterdir()} == before


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    damaged = {
        "truncated": content[: len(content) // 2],
        "altered": content[:-9] + bytes([content[-9] ^ 1]) + content[-8:],
        "emptied": b"",
        "another-file": gzip.compress(b"something else"),
    }
    path.write_bytes(damaged[how])


@pytest.mark.parametrize("how", ["truncated", "altered", "emptied", "another-file"])
@pytest.mark.parametrize("name", ["train-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"])
class TestDamagedFile:
    def test_is_fetched_again(self, stored, mirror, how, name):
        before = contents(stored)
        damage(stored / name, how)
        load("mnist", stored.parent.parent)
        assert contents(stored) == before
        assert set(mirror.requests) == {name}

    def test_is_named_when_it_cannot_be_fetched(self, stored, offline, how, name):
        damage(stored / name, how)
        before = contents(stored)
        with pytest.raises(DataError) as caught:
            load("mnist", stored.parent.parent)
        found, expected = before[name], dict(datasets.MNIST.resources)[name]
        sentence(
            caught.value,
            f"{stored / name} is damaged",
            f"{len(found):,} bytes with MD5 {downloads.md5_of(found)}, expected {expected}",
            "connect to the network",
        )
        assert contents(stored) == before

    def test_makes_auto_take_the_digits(self, stored, offline, how, name, capsys):
        damage(stored / name, how)
        assert load("auto", stored.parent.parent).name == "digits"
        assert "is damaged" in capsys.readouterr().out


@pytest.mark.parametrize("behaviour", ["truncated", "altered", "missing", "garbage", "hanging"])
class TestBadMirror:
    name = "t10k-images-idx3-ubyte.gz"

    def test_leaves_nothing_half_finished(self, stored, mirror, monkeypatch, behaviour):
        monkeypatch.setattr(downloads, "TIMEOUT_SECONDS", 0.3)
        (stored / self.name).unlink()
        before = contents(stored.parent.parent)
        mirror.behaviour = behaviour
        with pytest.raises(DataError) as caught:
            load("mnist", stored.parent.parent)
        sentence(caught.value, f"{self.name} is missing", "downloading it failed (", "try again")
        assert re.search(re.escape(mirror.address) + r": \w", str(caught.value))
        assert contents(stored.parent.parent) == before
        assert len(list(stored.iterdir())) == len(before)  # no folder is left either

    def test_keeps_the_damaged_file_it_could_not_replace(self, stored, mirror, monkeypatch, behaviour):
        monkeypatch.setattr(downloads, "TIMEOUT_SECONDS", 0.3)
        damage(stored / self.name, "truncated")
        before = contents(stored)
        mirror.behaviour = behaviour
        with pytest.raises(DataError):
            load("mnist", stored.parent.parent)
        assert contents(stored) == before

    def test_is_passed_over_for_a_better_one(self, stored, mirror, monkeypatch, behaviour):
        monkeypatch.setattr(downloads, "TIMEOUT_SECONDS", 0.3)
        (stored / self.name).unlink()
        mirror.behaviour = behaviour
        with serving(mirror.contents) as second:
            monkeypatch.setattr(datasets.MNIST, "mirrors", [mirror.address, second.address])
            assert load("mnist", stored.parent.parent).name == "mnist"
        assert (stored / self.name).read_bytes() == mirror.contents[self.name]


def test_leftovers_of_a_killed_download_do_no_harm(stored, mirror):
    name = "train-images-idx3-ubyte.gz"
    (stored / name).unlink()
    leftover = stored / ".download-killed"
    leftover.mkdir()
    (leftover / name).write_bytes(mirror.contents[name][:100])
    load("mnist", stored.parent.parent)
    assert (stored / name).read_bytes() == mirror.contents[name]


def test_an_interrupted_download_leaves_the_files_as_they_were(stored, mirror, monkeypatch):
    import torchvision.datasets.utils

    name = "train-images-idx3-ubyte.gz"
    damage(stored / name, "altered")
    before = contents(stored)

    def interrupted(url, folder, filename, md5):
        Path(folder, filename).write_bytes(mirror.contents[name][:100])
        raise KeyboardInterrupt

    monkeypatch.setattr(torchvision.datasets.utils, "download_url", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load("mnist", stored.parent.parent)
    assert contents(stored) == before


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("when", ["the folder is made", "the file is written"])
def test_folder_that_takes_nothing(mirror, tmp_path, monkeypatch, number, when):
    import torchvision.datasets.utils

    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    if when == "the folder is made":
        monkeypatch.setattr(Path, "mkdir", refuse)
    else:
        monkeypatch.setattr(torchvision.datasets.utils, "_urlretrieve", refuse)
    with pytest.raises(DataError) as caught:
        load("mnist", tmp_path)
    sentence(
        caught.value,
        "train-images-idx3-ubyte.gz is missing",
        f"nothing can be stored in its folder ({os.strerror(number)})",
        "LENET_DATA_DIR",
    )
    assert contents(tmp_path) == {}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions do not bind this user")
def test_a_folder_that_is_really_read_only(mirror, tmp_path):
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        with pytest.raises(DataError, match="nothing can be stored in its folder"):
            load("mnist", tmp_path)
    finally:
        tmp_path.chmod(stat.S_IRWXU)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no RLIMIT_FSIZE")
def test_a_disk_that_is_really_full(mirror, tmp_path):
    """In a process that may write no file of more than 1,000 bytes."""
    published, addresses = datasets.MNIST.resources, datasets.MNIST.mirrors
    program = f"""
import resource, signal
from torchvision import datasets
from lenet_utils.data import load
from lenet_utils.downloads import DataError
datasets.MNIST.resources, datasets.MNIST.mirrors = {published!r}, {addresses!r}
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, 1_000))
try:
    load("mnist", {str(tmp_path)!r})
except DataError as error:
    print("DataError:", error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert "nothing can be stored in its folder (File too large)" in done.stdout, done.stderr
    assert contents(tmp_path) == {}


def test_a_file_where_the_folder_should_be(mirror, tmp_path):
    (tmp_path / "data").write_text("not a folder")
    with pytest.raises(DataError) as caught:
        load("mnist", tmp_path / "data")
    sentence(caught.value, "is missing", "nothing can be stored", "LENET_DATA_DIR")
    assert (tmp_path / "data").read_text() == "not a folder"


def test_a_file_that_may_not_be_read(stored, monkeypatch):
    def refuse(_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(DataError) as caught:
        load("mnist", stored.parent.parent)
    sentence(caught.value, "train-images-idx3-ubyte.gz cannot be read (Permission denied)", "who may read it")


def test_the_socket_timeout_is_put_back(mirror, tmp_path):
    import socket

    load("mnist", tmp_path)
    assert socket.getdefaulttimeout() is None


# --- USPS, which exists in two forms ---------------------------------------------------------------------------------


def text(images: np.ndarray, labels: np.ndarray, numbered: bool) -> bytes:
    """Pixels from -1 to 1 as the text of zip.*.gz, or of libsvm."""
    lines = []
    for image, label in zip(images.reshape(-1, 256), labels, strict=True):
        values = [f"{i}:{v:g}" if numbered else f"{v:.4f}" for i, v in enumerate(image, 1)]
        lines.append(" ".join([str(label + 1) if numbered else f"{label}.0000", *values, "\n"]))
    return "".join(lines).encode()


@pytest.fixture
def usps(monkeypatch):
    """A mirror of a tiny "USPS" of 40 + 20 images, which takes the real one's place; and both forms of each part."""
    draw, both = np.random.default_rng(1), {}
    for part, count in (("train", 40), ("test", 20)):
        images = np.round(draw.uniform(-1, 1, (count, 16, 16)), 3)
        labels = draw.integers(0, 10, count)
        plain, numbered = (text(images, labels, numbered) for numbered in (False, True))
        both[part] = gzip.compress(plain, mtime=0), bz2.compress(numbered)
        monkeypatch.setitem(downloads.USPS_DIGITS, part, downloads._digest_of(*downloads.parse_usps(plain)))
    names = {"train": "usps.bz2", "test": "usps.t.bz2"}
    monkeypatch.setattr(data, "NUM_USPS_VALIDATION", 10)
    with serving({names[part]: packed for part, (_, packed) in both.items()}) as server:
        published = {
            part: [server.address + name, name, downloads.md5_of(both[part][1])] for part, name in names.items()
        }
        monkeypatch.setattr(datasets.USPS, "split_list", published)
        server.zipped = {part: zipped for part, (zipped, _) in both.items()}
        yield server


@pytest.fixture
def zipped(usps, tmp_path) -> Path:
    """The folder of zip.train.gz and zip.test.gz."""
    for part, content in usps.zipped.items():
        path = downloads.zip_file(part, tmp_path)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "USPS"


def test_both_forms_hold_the_same_digits_and_torchvision_reads_them_so(usps, zipped, tmp_path):
    downloaded = tmp_path / "other"
    assert dataset_fingerprint(load("usps", tmp_path)) == dataset_fingerprint(load("usps", downloaded))
    assert list(dict.fromkeys(usps.requests)) == ["usps.bz2", "usps.t.bz2"]  # for the second folder alone
    ours, _ = downloads.read_usps(tmp_path)
    for part, (images, labels) in ours.items():
        theirs = datasets.USPS(downloaded / "USPS", train=part == "train")
        assert theirs.targets == labels.tolist()
        apart = images.int() - torch.from_numpy(theirs.data).int()
        assert set(apart.unique().tolist()) == {0, 1}  # they cut off, we round


def test_usps_comes_in_mnists_form(usps, zipped):
    dataset = load("usps", zipped.parent)
    assert [len(getattr(dataset, f"{part}_images")) for part in PARTS] == [30, 10, 20]
    small, labels = downloads.read_usps(zipped.parent)[0]["test"]
    for image, digit in zip(dataset.test_images, small, strict=True):
        assert torch.equal(image, (normalise(digit) * 255).round().to(torch.uint8))
    assert torch.equal(dataset.test_labels, labels.long())
    assert usps.requests == []


@pytest.mark.parametrize("how", ["truncated", "altered", "emptied", "another-file"])
@pytest.mark.parametrize("part", ["train", "test"])
def test_damaged_zip_code_digits_are_replaced_by_the_other_form_or_named(usps, zipped, how, part):
    whole = dataset_fingerprint(load("usps", zipped.parent))
    damage(zipped / f"zip.{part}.gz", how)
    usps.behaviour = "missing"
    with pytest.raises(DataError) as caught:
        load("usps", zipped.parent)
    name = {"train": "usps.bz2", "test": "usps.t.bz2"}[part]
    sentence(caught.value, f"zip.{part}.gz is damaged", f"{name} is missing", "downloading it failed", "try again")
    usps.behaviour = "good"
    assert dataset_fingerprint(load("usps", zipped.parent)) == whole


def test_a_wrong_pixel_is_found_in_a_whole_file(usps, zipped):
    content = bytearray(gzip.decompress(usps.zipped["test"]))
    content[-9:-8] = b"1" if content[-9:-8] != b"1" else b"2"
    (zipped / "zip.test.gz").write_bytes(gzip.compress(bytes(content)))
    usps.behaviour = "missing"
    with pytest.raises(DataError, match=r"zip\.test\.gz is damaged"):
        load("usps", zipped.parent)


def test_usps_missing_and_out_of_reach(usps, tmp_path):
    usps.behaviour = "missing"
    with pytest.raises(DataError) as caught:
        load("usps", tmp_path)
    sentence(caught.value, "usps.bz2 is missing", "downloading it failed", "connect to the network")
    assert "damaged" not in str(caught.value)


@pytest.mark.parametrize("how", ["truncated", "altered", "emptied"])
def test_a_damaged_download_of_usps_is_fetched_again(usps, tmp_path, how):
    before = dataset_fingerprint(load("usps", tmp_path))
    damage(tmp_path / "USPS" / "usps.t.bz2", how)
    usps.requests.clear()
    assert dataset_fingerprint(load("usps", tmp_path)) == before
    assert set(usps.requests) == {"usps.t.bz2"}


def test_the_fingerprint_of_usps_sees_both_forms(usps, zipped):
    seen = [data.fingerprint("usps", zipped.parent)]
    (zipped / "zip.test.gz").unlink()
    seen.append(data.fingerprint("usps", zipped.parent))
    load("usps", zipped.parent)
    seen.append(data.fingerprint("usps", zipped.parent))
    assert len(set(seen)) == 3


def test_the_real_usps():
    forms = {
        part: (downloads.zip_file(part, DATA_DIR), path)
        for part, (path, _) in downloads.files("usps", DATA_DIR).items()
    }
    if not all(one.exists() or other.exists() for one, other in forms.values()):
        pytest.skip("USPS is not on disk: python -m lenet_utils.data usps")
    raw, _ = downloads.read_usps(DATA_DIR)
    assert raw["train"][1].bincount().tolist() == [1194, 1005, 731, 658, 652, 556, 664, 645, 542, 644]
    assert raw["test"][1].bincount().tolist() == [359, 264, 198, 166, 200, 160, 170, 147, 166, 177]
    dataset = load("usps", DATA_DIR)
    assert [len(getattr(dataset, f"{part}_images")) for part in PARTS] == [6_562, 729, 2_007]
    assert dataset.title == "USPS"
    for images in (dataset.train_images, dataset.validation_images, dataset.test_images):
        assert images.amax((1, 2)).min() == 255
        assert max(int(images.amax(axis).gt(0).sum(1).max()) for axis in (1, 2)) == 20


# --- datasets that contradict themselves -----------------------------------------------------------------------------


def make(**changes) -> ImageDataset:
    parts = {f"{part}_images": torch.zeros(3, 28, 28, dtype=torch.uint8) for part in PARTS}
    parts |= {f"{part}_labels": torch.tensor([0, 1, 2]) for part in PARTS}
    return ImageDataset(name="mine", class_names=("a", "b", "c"), source="a test", **(parts | changes))


def test_a_sound_dataset_passes():
    assert make().title == "mine"


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"train_images": torch.rand(3, 28, 28) * 9}, ["train_images must be uint8", "got torch.float32"]),
        ({"test_images": torch.zeros(3, 1, 28, 28, dtype=torch.uint8)}, ["test_images", "got", "(3, 1, 28, 28)"]),
        (
            {
                "validation_images": torch.zeros(0, 28, 28, dtype=torch.uint8),
                "validation_labels": torch.zeros(0, dtype=torch.int64),
            },
            ["validation_images", "N > 0", "(0, 28, 28)"],
        ),
        ({"train_labels": torch.tensor([0, 1, 3])}, ["train_labels must lie in 0..2", "found 0..3"]),
        ({"train_labels": torch.tensor([0, -1, 2])}, ["train_labels must lie in 0..2", "found -1..2"]),
        ({"test_labels": torch.tensor([0, 1])}, ["test_labels must be int64 of shape (3,)", "(2,)"]),
        ({"test_labels": torch.tensor([0.0, 1.0, 2.0])}, ["test_labels must be int64", "got torch.float32"]),
    ],
    ids=["float", "channel", "empty", "label-too-large", "label-negative", "labels-missing", "labels-float"],
)
def test_unsound_datasets_are_refused(changes, parts):
    with pytest.raises(ValueError, match="must") as caught:
        make(**changes)
    sentence(caught.value, *parts)


def test_the_digits_are_the_same_on_every_processor(digits):
    """As far as one can tell on one: without its vector instructions, which round otherwise."""
    program = "from lenet_utils import data, fingerprints; print(fingerprints.dataset_fingerprint(data.load('digits')))"
    environment = os.environ | {"ATEN_CPU_CAPABILITY": "default", "PYTHONPATH": str(ROOT)}
    found = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == dataset_fingerprint(digits)


def test_the_command_line_explains_itself(capsys):
    with pytest.raises(SystemExit) as left:
        data.main(["--help"])
    assert left.value.code == 0
    assert "fashion-mnist" in capsys.readouterr().out
    assert data.main(["digits"]) == 0
    assert data.main(["fruit"]) == 1
    assert "'fruit'" in capsys.readouterr().err


def test_one_of_each_is_the_first_of_each(digits):
    images, labels = digits.one_of_each()
    assert labels.tolist() == list(range(10))
    for image, label in zip(images, labels, strict=True):
        first = digits.test_labels.tolist().index(int(label))
        assert torch.equal(image, digits.test_images[first])
    few = replace(digits, test_images=digits.test_images[:3], test_labels=torch.tensor([5, 2, 5]))
    assert few.one_of_each()[1].tolist() == [2, 5]
