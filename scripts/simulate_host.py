"""Run the notebooks as a hosted service would: each alone in an empty folder, far from the checkout.

``python scripts/simulate_host.py`` runs all of them, or those that it names, on the embedded digits and without a
network once the package is there; ``--data FOLDER`` has them find MNIST in a folder.  A notebook's first cell fetches
the package as it stands: settings of git's, in the environment alone, lead it to a copy of this working tree instead of
the public address.  The host is a virtual environment of the Python that runs this file, made once in
``_build/hosted`` (gigabytes); whatever a first cell installs is removed again before the next notebook.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# What the book needs of the packages in Colab's image (googlecolab/backend-info on GitHub lists them), and what runs a
# notebook.  Of the book's dependencies those lists lack torchinfo alone.
IMAGE = "torch torchvision numpy scipy scikit-learn matplotlib pillow pandas numba tqdm ipykernel ipywidgets nbclient"
ADDRESS = re.compile(r'"lenet-utils @ git\+([^"]*)"')
FETCHED = "The book's package was installed"
CUT = 'import os\nos.environ |= dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")  # nobody listens'
EXECUTE = """
import sys, nbclient, nbformat
notebook = nbformat.read(sys.argv[1], as_version=4)
nbclient.NotebookClient(notebook, timeout=1_800, kernel_name="python3", allow_errors=True).execute()
nbformat.write(notebook, sys.argv[1])
"""


class Host:
    """An environment that holds what a host carries, and no book."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.python = folder, folder / "bin" / "python"
        self.inventory = folder / "image.json"
        if not self.inventory.exists():
            print(f"Making the host in {folder}: minutes, and gigabytes.", flush=True)
            venv.create(folder, with_pip=True, clear=True)
            self.pip("install", *IMAGE.split())
            self.inventory.write_text(json.dumps(sorted(self.packages())))
        self.image = set(json.loads(self.inventory.read_text()))
        self.restore()

    def pip(self, *arguments: str) -> None:
        subprocess.run([self.python, "-m", "pip", "--quiet", *arguments], check=True)

    def packages(self) -> set[str]:
        """Name and version of each package that is installed."""
        script = "from importlib.metadata import distributions as d; print(*(f'{p.name}=={p.version}' for p in d()))"
        found = subprocess.run([self.python, "-I", "-c", script], capture_output=True, encoding="utf8", check=True)
        return set(found.stdout.split())

    def restore(self) -> None:
        """Remove what is not of the image."""
        if added := self.packages() - self.image:
            self.pip("uninstall", "--yes", *(name.partition("==")[0] for name in added))
            for compiled in self.folder.glob("lib/*/site-packages/lenet_utils"):  # what numba kept
                shutil.rmtree(compiled)
        if missing := self.image - self.packages():
            self.pip("install", *missing)


def main() -> None:
    """Run the notebooks, tell what each did, and fail if one was not as a reader expects it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="notebooks, without .ipynb; by default all")
    parser.add_argument("--data", type=Path, help="a folder that holds MNIST; without it, the digits and no network")
    parser.add_argument("--keep", type=Path, help="a folder for the notebooks as they were executed")
    arguments = parser.parse_args()
    names = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
    if unknown := set(arguments.names) - set(names):
        parser.error(f"there is no notebook {min(unknown)!r}: choose among {', '.join(names)}.")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    host, failed = Host(ROOT / "_build" / "hosted" / version), False
    with tempfile.TemporaryDirectory(prefix="repository-") as repository:
        publish(Path(repository))
        for name in arguments.names or names:
            with tempfile.TemporaryDirectory(prefix="host-") as home:
                path = run(host, name, Path(home), repository, arguments.data)
                if arguments.keep:
                    arguments.keep.mkdir(parents=True, exist_ok=True)
                    shutil.copy(path, arguments.keep)
                told, problems = report(json.loads(path.read_text("utf8"))["cells"])
            if replaced := host.image - host.packages():
                problems.append(f"the first cell replaced {', '.join(replaced)}")
            added = ", ".join(sorted(host.packages() - host.image))
            print(f"{name}: {told} (installed: {added})", *problems, sep="\n  ", flush=True)
            failed |= bool(problems)
            host.restore()
    sys.exit(failed)


def publish(repository: Path) -> None:
    """Make a repository whose only commit is this working tree as it stands."""
    git = ["git", f"--git-dir={repository}", f"--work-tree={ROOT}", "-c", "user.name=x", "-c", "user.email=x"]
    subprocess.run([*git[:2], "init", "--quiet", "--bare"], check=True)
    for command in ("add --all", "commit --quiet --message=now", "config uploadpack.allowFilter true"):
        subprocess.run([*git, *command.split()], cwd=ROOT, check=True)


def run(host: Host, name: str, home: Path, repository: str, data: Path | None) -> Path:
    """Execute a notebook in ``home``, which holds nothing else; returns its file."""
    notebook = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text("utf8"))
    cells = notebook["cells"]
    place, address = next((i, found[1]) for i, cell in enumerate(cells) if (found := ADDRESS.search(text(cell))))
    if data is None:
        cell = {"cell_type": "code", "id": "cut", "execution_count": None, "metadata": {}, "outputs": []}
        cells.insert(place + 1, cell | {"source": CUT})
    path = home / f"{name}.ipynb"
    path.write_text(json.dumps(notebook), "utf8")
    ours = {"HOME": str(home), "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_VALUE_0": address}
    ours |= {"GIT_CONFIG_KEY_0": f"url.file://{repository}.insteadOf", "PATH": f"{host.python.parent}{os.pathsep}"}
    ours["PATH"] += os.environ["PATH"]
    ours |= {"LENET_DATA_DIR": str(data.resolve())} if data else {}
    left = {key: value for key, value in os.environ.items() if not key.startswith(("LENET_", "PYTHON", "VIRTUAL_"))}
    command = [host.python, "-c", EXECUTE, path.name]
    done = subprocess.run(command, cwd=home, env=left | ours, capture_output=True, encoding="utf8", check=False)
    if done.returncode:
        sys.exit(f"{name} could not be executed:\n{done.stderr}")
    return path


def report(cells: list[dict]) -> tuple[str, list[str]]:
    """What an executed notebook did, in a line, and what a reader would not expect."""
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    first = next(cell for cell in code if ADDRESS.search(text(cell)))
    outputs = [(number, output) for number, cell in enumerate(code) for output in cell["outputs"]]
    problems = [f"cell {n}: {o['ename']}: {o['evalue'][:300]}" for n, o in outputs if o["output_type"] == "error"]
    problems += [
        f"cell {n} wrote to stderr: {line[:300]}"
        for n, output in outputs
        if output.get("name") == "stderr"
        for line in "".join(output["text"]).splitlines()
        if line.strip() and not re.search(r"%\|.*(step|run)|^Compiling ", line)  # progress
    ]
    said = "".join("".join(output["text"]) for output in first["outputs"] if output.get("name") == "stdout")
    if not said.startswith(FETCHED) or said.count("\n") > 1:
        problems.append(f"the first cell did not say in one line what it did, but: {said!r}")
    printed = "".join("".join(output["text"]) for _, output in outputs if output.get("name") == "stdout")
    data = re.search(r"^Data: .*", printed, re.MULTILINE)
    fetching, running = duration(first), sum(map(duration, code)) - duration(first)
    told = f"{fetching:.0f} s to install, {running:.0f} s to run. {data[0] if data else 'No line about data.'}"
    return told, problems


def duration(cell: dict) -> float:
    """Seconds that a cell took."""
    times = cell["metadata"].get("execution", {})
    begin, end = (times.get(key) for key in ("iopub.status.busy", "shell.execute_reply"))
    return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds() if begin and end else 0.0


def text(cell: dict) -> str:
    return "".join(cell["source"])


if __name__ == "__main__":
    main()
