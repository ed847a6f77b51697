"""Kill what writes files, at random moments, and see that nothing good is lost and that the same command ends well.

``python tests/torture.py --rounds 100`` (``make torture``) prints a line of counts for each of ``SCENARIOS``; the
ordinary tests take a few rounds.  Victims are forks of this process, which has imported everything, so that a round
costs little more than what it kills; a build is a process of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
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
Round = Callable[[random.Random, Path], Counter]


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns 1 if a round ended badly."""
    parser = argparse.ArgumentParser(prog="python tests/torture.py", description=__doc__.partition("\n")[0])
    parser.add_argument("scenario", nargs="*", default=list(SCENARIOS), help=f"some of {', '.join(SCENARIOS)}")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    for name in options.scenario:
        start, counts, draw = time.perf_counter(), Counter(), random.Random(f"{name} {options.seed}")
        with tempfile.TemporaryDirectory(prefix="torture-") as folder, SCENARIOS[name](Path(folder)) as one_round:
            for number in range(options.rounds):
                try:
                    counts += one_round(draw, Path(folder) / f"round-{number}")
                except AssertionError as problem:
                    print(f"{name}, seed {options.seed}, round {number}: {problem}", flush=True)
                    return 1
                shutil.rmtree(Path(folder) / f"round-{number}", ignore_errors=True)
        told = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
        print(f"{name}: {options.rounds} rounds in {time.perf_counter() - start:.0f} s: {told}.", flush=True)
    return 0


def forked(work: Callable[[], object]) -> int:
    """Start some work in a fork that says nothing; its process id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        work()
        os._exit(0)
    except BaseException:
        os._exit(1)


def killed_after(seconds: float, work: Callable[[], object]) -> str:
    """Kill the work after so many seconds; how it ended."""
    pid = forked(work)
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    assert not os.WIFEXITED(status) or os.WEXITSTATUS(status) == 0, "the work failed before it was killed"
    return "killed" if os.WIFSIGNALED(status) else "over before the kill"


def seconds_of(work: Callable[[], object]) -> float:
    """How long the work takes when nobody disturbs it."""
    start = time.perf_counter()
    _, status = os.waitpid(forked(work), 0)
    assert os.waitstatus_to_exitcode(status) == 0, "the work fails though nobody disturbs it"
    return time.perf_counter() - start


def files(folder: Path) -> dict[str, bytes]:
    """What lies in a folder, but for what a killed writer left unfinished."""
    found = [path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".lock")]
    names = {path: path.relative_to(folder) for path in found}
    return {
        str(name): path.read_bytes() for path, name in names.items() if not any(p.startswith(".") for p in name.parts)
    }


def unfinished(folder: Path) -> Counter:
    """How many files or folders a killed writer left unfinished; all have a name of their own."""
    count = sum(1 for path in folder.rglob(".*") if path.name.startswith((".writing-", ".download-", ".probe-")))
    return Counter({"with unfinished files left": 1} if count else {})


@contextlib.contextmanager
def downloads(folder: Path):
    """A data set is fetched from a server on this machine, some of its files being there already."""
    import numpy as np
    from mirror import Mirror
    from torchvision import datasets

    from lenet_utils import data
    from lenet_utils import downloads as module

    draw = np.random.default_rng(0)
    sizes = {
        "train-images": (6_000, 28, 28),
        "train-labels": (6_000,),
        "t10k-images": (500, 28, 28),
        "t10k-labels": (500,),
    }
    contents = {}
    for part, shape in sizes.items():
        values = draw.integers(0, 10, shape).astype(np.uint8)
        head = struct.pack(f">2xBB{values.ndim}I", 8, values.ndim, *shape)
        contents[f"{part}-idx{values.ndim}-ubyte.gz"] = gzip.compress(head + values.tobytes(), 1, mtime=0)
    datasets.MNIST.resources = [(name, module.md5_of(content)) for name, content in contents.items()]
    with Mirror(contents) as server:
        datasets.MNIST.mirrors = [server.address]
        serving = forked(server.serve_forever)
        server.socket.close()  # this process only asks
        os.environ["NO_PROXY"] = "127.0.0.1"
        seconds = seconds_of(lambda: data.load("mnist", folder / "first"))

        def one_round(draw: random.Random, folder: Path) -> Counter:
            raw = folder / "MNIST" / "raw"
            raw.mkdir(parents=True)
            there = [name for name in contents if draw.random() < 0.3]
            for name in there:
                (raw / name).write_bytes(contents[name])
            end = killed_after(draw.uniform(0, 0.6 * seconds), lambda: data.load("mnist", folder))
            found = files(raw)
            assert set(there) <= found.keys(), f"lost: {set(there) - found.keys()}"
            wrong = [name for name, content in found.items() if content != contents.get(name)]
            assert not wrong, f"not whole: {wrong}"
            left = unfinished(folder)
            again = forked(lambda: data.load("mnist", folder))
            assert os.waitstatus_to_exitcode(os.waitpid(again, 0)[1]) == 0, "the same command fails"
            assert files(raw) == contents, "the files are not those of the server"
            return Counter({end: 1, "files kept": len(found), "ended well": 1}) + left

        try:
            yield one_round
        finally:
            os.kill(serving, signal.SIGKILL)
            os.waitpid(serving, 0)


def of_its_own(folder: Path) -> None:
    """Let results and caches lie in a folder of this round."""
    os.environ |= {"LENET_RESULTS_DIR": str(folder / "results"), "LENET_CACHE_DIR": str(folder / "cache")}


@contextlib.contextmanager
def a_run(folder: Path):
    """A run of three passes is killed, perhaps twice, and carried on."""
    import torch
    from tiny import measured, tiny

    from lenet_utils import runs
    from lenet_utils.run_store import as_json, read, results_path

    torch.set_num_threads(1)
    of_its_own(folder / "whole")
    whole = as_json(measured(runs.run(tiny(), seed=0).record()))  # which also compiles what it needs
    of_its_own(folder / "timed")
    seconds = seconds_of(lambda: runs.run(tiny(), seed=0))

    def one_round(draw: random.Random, folder: Path) -> Counter:
        of_its_own(folder)
        counts, kept = Counter(), []
        for _ in range(draw.randint(1, 2)):
            counts[killed_after(draw.uniform(0, seconds), lambda: runs.run(tiny(), seed=0))] += 1
            path = results_path("tiny", 0)
            passes = read(path)["passes"] if path.exists() else []
            assert passes[: len(kept)] == kept, f"{len(kept)} passes were stored, and {len(passes)} are left"
            assert passes == whole["passes"][: len(passes)], "a stored pass is another one"
            kept = passes
        counts["passes kept"] += len(kept)
        counts += unfinished(folder)
        assert as_json(measured(runs.run(tiny(), seed=0).record())) == whole, "the run ended otherwise"
        assert measured(read(results_path("tiny", 0))) == whole, "another record was stored"
        counts["ended well"] += 1
        return counts

    yield one_round


@contextlib.contextmanager
def a_checkpoint(folder: Path):
    """A network is trained and kept beside another, which was kept before."""
    from dataclasses import replace

    import torch
    from tqdm import tqdm

    from lenet_utils import storage
    from lenet_utils.checkpoints import trained
    from lenet_utils.data import load
    from lenet_utils.models import LeNet5
    from lenet_utils.training import TrainConfig

    torch.set_num_threads(1)
    tqdm.set_lock(threading.RLock())  # its own is shared with forks, and a killed one would hold it for ever
    digits = load("digits").subset(64)
    few = replace(
        digits, validation_images=digits.validation_images[:20], validation_labels=digits.validation_labels[:20]
    )
    config = TrainConfig(num_epochs=1, batch_size=32)
    of_its_own(folder / "whole")
    whole = trained(LeNet5, few, config, progress=False)[0].state_dict()
    of_its_own(folder / "timed")
    seconds = seconds_of(lambda: trained(LeNet5, few, config, progress=False))

    def one_round(draw: random.Random, folder: Path) -> Counter:
        of_its_own(folder)
        trained(LeNet5, few, replace(config, seed=7), progress=False)
        before = files(folder)
        end = killed_after(draw.uniform(0, 0.6 * seconds), lambda: trained(LeNet5, few, config, progress=False))
        after = files(folder)
        assert {name: after.get(name) for name in before} == before, "the other network was touched"
        for name in after:
            assert storage.load(folder / name) is not None, f"{name} is not whole"
        left = unfinished(folder)
        state = trained(LeNet5, few, config, progress=False)[0].state_dict()
        assert all(torch.equal(state[name], value) for name, value in whole.items()), "another network came of it"
        return Counter({end: 1, "kept already": len(after) - len(before), "ended well": 1}) + left

    yield one_round


@contextlib.contextmanager
def a_results_file(folder: Path):
    """A results file is written again and again, and killed in between."""
    from lenet_utils.run_store import Run, read, results_path, write

    def version(number: int) -> dict:
        passes = [{"pass": n, "version": number, "values": [n / 7] * 40} for n in range(1, 60)]
        return Run("tiny", 0, passes=passes, complete=True).record()

    def for_ever() -> None:
        for number in range(1, 10**9):
            write(version(number))

    def one_round(draw: random.Random, folder: Path) -> Counter:
        of_its_own(folder)
        write(version(0))
        end = killed_after(draw.uniform(0, 0.3), for_ever)
        found = read(results_path("tiny", 0))
        number = found["passes"][0]["version"]
        assert found == version(number), "the file holds no version whole"
        left = unfinished(folder)
        write(version(-1))
        assert read(results_path("tiny", 0)) == version(-1), "it cannot be written again"
        return Counter({end: 1, "written before the kill": number, "ended well": 1}) + left

    yield one_round


def small_book(tree: Path) -> Path:
    """A book of one page, with this book's own settings and extension, that shows a number of ``lenet_utils``."""
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


@contextlib.contextmanager
def a_build(folder: Path):
    """A book of one page is built in one tree, which is never cleaned; its number is another in each round."""
    tree = small_book(folder / "tree")
    program = "import sys; from jupyter_book.cli.main import main; sys.argv[0] = 'jupyter-book'; main()"
    settings = {"LENET_DATASET": "digits", "LENET_DEVICE": "cpu", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(tree)}

    def started() -> subprocess.Popen:
        command = [sys.executable, "-c", program, "build", ".", "--all", "-W", "--keep-going"]
        with (folder / "log").open("w") as log:
            return subprocess.Popen(
                command, cwd=tree, env=os.environ | settings, stdout=log, stderr=log, start_new_session=True
            )

    def built() -> float:
        start = time.perf_counter()
        assert started().wait() == 0, f"the same command fails: {(folder / 'log').read_text()[-1_000:]}"
        return time.perf_counter() - start

    seconds = built()

    def one_round(draw: random.Random, _: Path) -> Counter:
        number = draw.randrange(10**6)
        (tree / "lenet_utils" / "answer.py").write_text(f"ANSWER = {number}\n")
        build = started()
        time.sleep(draw.uniform(0, seconds))
        end = "killed" if build.poll() is None else "over before the kill"
        with contextlib.suppress(ProcessLookupError):
            os.killpg(build.pid, signal.SIGKILL)
        build.wait()
        built()
        shown = (tree / "_build" / "html" / "book" / "page.html").read_text("utf8")
        assert f"The answer is {number}." in shown, "the page shows another number"
        return Counter({end: 1, "ended well": 1})

    yield one_round


SCENARIOS = {
    "download": downloads,
    "run": a_run,
    "checkpoint": a_checkpoint,
    "results": a_results_file,
    "build": a_build,
}

if __name__ == "__main__":
    sys.exit(main())
