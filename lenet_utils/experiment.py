"""A long run on disk: what it was, what it measured pass by pass, and how to go on after it was killed.

Each pair of experiment and seed has one JSON file in ``results/``, rewritten in one move after every pass, and one
file with its state (weights) in the cache, from which an interrupted run goes on.
"""

from __future__ import annotations

import json
import math
import os
import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from lenet_utils import checkpoints
from lenet_utils.provenance import session

KIND, SCHEMA = "lenet-book-run", 1
FIELDS: dict[str, type] = {
    "kind": str,
    "schema": int,
    "experiment": str,
    "seed": int,
    "complete": bool,
    "data": str,
    "configuration": dict,
    "sessions": list,
    "seconds": float,
    "notes": dict,
    "passes": list,
}


class ResultsError(RuntimeError):
    """A results file is damaged or was not written by a run; the message says which and what to do."""


class MissingResultsError(ResultsError):
    """Nothing of the experiment is stored; the message says how to run it."""


@dataclass(frozen=True)
class Experiment:
    """Something that takes long enough to be done once and kept.

    Attributes
    ----------
    name : str
        Lower case and hyphens; it names the files.
    summary : str
        One line, for ``--help``.
    measure : callable
        Takes a :class:`Run` and carries it on from where it stands, calling :meth:`Run.finish_pass` after each pass.
    seeds : tuple of int
        Those that are run by default.
    """

    name: str
    summary: str
    measure: Callable[[Run], None]
    seeds: tuple[int, ...] = (0,)


@dataclass
class Run:
    """One seed of one experiment, while it runs.

    Attributes
    ----------
    configuration : dict
        Everything that decides the outcome besides the seed; JSON can hold it.  Set it before the first pass.
    data : str
        Which data, as the ``source`` of an :class:`lenet_utils.data.ImageDataset` says.
    passes : list of dict
        What each finished pass measured.
    notes : dict
        What was measured once, for instance before the first pass.
    state : dict of torch.Tensor
        What :meth:`finish_pass` was given last; empty in a new run.
    """

    experiment: str
    seed: int
    configuration: dict = field(default_factory=dict)
    data: str = ""
    passes: list[dict] = field(default_factory=list)
    notes: dict = field(default_factory=dict)
    state: dict[str, torch.Tensor] = field(default_factory=dict)
    sessions: list[dict] = field(default_factory=list)
    seconds: float = 0.0
    complete: bool = False
    last: int | None = None  # the pass after which this session stops, if not at the end
    _since: float = field(default_factory=time.perf_counter)

    def begin(self, configuration: dict, data: str) -> None:
        """Say what is run; call it once, before anything is measured.

        Raises
        ------
        ResultsError
            If the run was begun with another configuration or other data.
        """
        given = (json.loads(json.dumps(configuration)), data)
        if self.passes and (self.configuration, self.data) != given:
            raise ResultsError(
                f"The unfinished run of {self.experiment!r}, seed {self.seed}, was begun with another configuration or "
                f"other data: start it anew with --again, or restore what it was begun with."
            )
        self.configuration, self.data = given
        self.sessions.append({"from_pass": len(self.passes) + 1, **session()})
        self._since = time.perf_counter()

    def finish_pass(self, measured: dict, state: dict[str, torch.Tensor], complete: bool = False) -> bool:
        """Store one pass's numbers and the state to go on from; False says that this session shall stop here."""
        now = time.perf_counter()
        self.passes.append(measured)
        self.seconds, self._since = self.seconds + now - self._since, now
        self.state, self.complete = state, complete
        record = self.record()
        kept = {"record": json.dumps(record), "state": state}  # in one file, so that they belong together
        write(record)
        checkpoints.save(state_path(self.experiment, self.seed), kept)
        return not complete and (self.last is None or len(self.passes) < self.last)

    def record(self) -> dict:
        """What goes into the results file."""
        own = {name: getattr(self, name) for name in FIELDS if name not in ("kind", "schema")}
        return _finite({"kind": KIND, "schema": SCHEMA, **own})


def open_run(experiment: str, seed: int) -> Run:
    """The run as it was left; one that is complete in ``results/`` counts as such without its state; else a new one."""
    kept = checkpoints.load(state_path(experiment, seed))
    try:
        run = Run(**_own(json.loads(kept["record"])), state=kept["state"])
    except (TypeError, KeyError, ValueError):  # there is none, or it is damaged
        run = Run(experiment, seed)
    if not run.complete and results_path(experiment, seed).exists():
        try:
            record = read(results_path(experiment, seed))
        except ResultsError:  # to be written anew
            return run
        if record["complete"]:
            return Run(**_own(record))
    return run


def _own(record: dict) -> dict:
    """What of a record are a run's own fields."""
    return {name: record[name] for name in FIELDS if name not in ("kind", "schema")}


def results_dir() -> Path:
    """Where results lie: ``LENET_RESULTS_DIR``, else ``results/`` in the checkout, else in the working directory."""
    if os.environ.get("LENET_RESULTS_DIR"):
        return Path(os.environ["LENET_RESULTS_DIR"]).expanduser()
    checkout = Path(__file__).resolve().parent.parent
    return (checkout if (checkout / "pyproject.toml").exists() else Path.cwd()) / "results"


def stored_dir() -> Path:
    """Where stored results are read: :func:`results_dir`, or those that came with an installed package."""
    packaged = Path(__file__).resolve().parent / "results"
    return packaged if packaged.is_dir() and not results_dir().is_dir() else results_dir()


def results_path(experiment: str, seed: int) -> Path:
    """The results file of one run."""
    return results_dir() / f"{experiment}-seed{seed}.json"


def state_path(experiment: str, seed: int) -> Path:
    """The file from which one run goes on."""
    return checkpoints.cache_dir() / "runs" / f"{experiment}-seed{seed}.pt"


def write(record: dict) -> None:
    """Put a record into its results file, all of it or nothing."""
    path = results_path(record["experiment"], record["seed"])
    path.parent.mkdir(parents=True, exist_ok=True)
    text = re.sub(r"\n\s{6,}|\n\s{4}(?=[\]}])", " ", json.dumps(record, indent=2, allow_nan=False))  # a line for a pass
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text + "\n")
        Path(temporary).chmod(0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read(path: Path) -> dict:
    """One results file, checked.

    Raises
    ------
    ResultsError
        If it is missing or damaged, or holds something else than a run.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ResultsError(f"The results file {path.name} cannot be read ({error.strerror}).") from None
    except ValueError as error:
        raise ResultsError(f"The results file {path.name} is damaged ({error}): restore it, or run it again.") from None
    if not isinstance(record, dict) or record.get("kind") != KIND or record.get("schema") != SCHEMA:
        raise ResultsError(f"{path.name} is no results file: expected kind {KIND!r} with schema {SCHEMA}.")
    for name, expected in FIELDS.items():
        value = record.get(name)
        if not isinstance(value, expected) or (expected is int and isinstance(value, bool)):
            raise ResultsError(
                f"The results file {path.name} is damaged: {name!r} should be {expected.__name__}, "
                f"not {type(value).__name__}."
            )
    if not all(isinstance(row, dict) for row in record["passes"]):
        raise ResultsError(f"The results file {path.name} is damaged: every pass should be a dict.")
    return record


def load_results(experiment: str, complete: bool = True) -> list[dict]:
    """The stored runs of an experiment, ordered by seed.

    Parameters
    ----------
    experiment : str
    complete : bool
        Leave out runs that have not come to their end.

    Raises
    ------
    MissingResultsError
        If there is none.
    ResultsError
        If a file is damaged or foreign.
    """
    pattern = re.compile(re.escape(experiment) + r"-seed\d+\.json")
    paths = [path for path in stored_dir().glob("*.json") if pattern.fullmatch(path.name)]
    records = [read(path) for path in paths]
    records = sorted((r for r in records if r["complete"] or not complete), key=lambda record: record["seed"])
    if not records:
        raise MissingResultsError(
            f"No results of {experiment!r} are stored: run python -m lenet_utils.runs {experiment}."
        )
    return records


def _finite(value: object) -> object:
    """The same with None for numbers that JSON does not have."""
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
