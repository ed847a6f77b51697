"""A long run on disk: what it was, what it measured pass by pass, and how to go on after it was killed.

Each pair of experiment and seed has one JSON file in ``results/``, rewritten in one move after every pass, and one
file with its state (weights) in the cache, from which an interrupted run goes on.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from lenet_utils import storage
from lenet_utils.arguments import checked
from lenet_utils.paths import cache_dir, read_file, results_dir, stored_results, write_file
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
OWN = [name for name in FIELDS if name not in ("kind", "schema")]  # those of a run


class ResultsError(RuntimeError):
    """A results file is damaged or was not written by a run; the message says which and what to do."""


class MissingResultsError(ResultsError):
    """Nothing of the experiment is stored; the message says how to run it."""


@checked
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
        Takes a :class:`Run` and carries it on from where it stands: calls :meth:`Run.begin`, then after each pass
        :meth:`Run.finish_pass`.
    configuration : dict
        Everything that decides the outcome besides seed and data; JSON can hold it.
    seeds : tuple of int
        Those that are run by default.
    """

    name: str
    summary: str
    measure: Callable[[Run], None]
    configuration: dict
    seeds: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        _check_name(self.name)


@dataclass
class Run:
    """One seed of one experiment, while it runs.

    Attributes
    ----------
    configuration : dict
        That of the experiment, and what :meth:`begin` adds.
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

    def begin(self, data: str, device: torch.device, anew: bool = False, **more: object) -> None:
        """Say what is run; call it once, before anything is measured.  On a CPU, one thread computes from now on.

        Parameters
        ----------
        data : str
        device : torch.device
            The one that computes.
        anew : bool
            Forget what an interrupted run left: for what cannot go on in the middle.
        **more
            What decides the outcome as well, and is only known now.

        Raises
        ------
        ResultsError
            If the run was begun with another configuration or other data.
        """
        if device.type == "cpu":
            torch.set_num_threads(1)
        if anew:
            self.passes, self.notes, self.sessions, self.seconds = [], {}, [], 0.0
        configuration = self.configuration | as_json(more)
        if self.passes and (configuration, data) != (self.configuration, self.data):
            raise _other(self.experiment, self.seed)
        self.configuration, self.data = configuration, data
        self.sessions.append({"from_pass": len(self.passes) + 1, **session(device)})
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
        storage.save(state_path(self.experiment, self.seed), kept)
        return not complete and (self.last is None or len(self.passes) < self.last)

    def record(self) -> dict:
        """What goes into the results file."""
        return storage.finite({"kind": KIND, "schema": SCHEMA, **{name: getattr(self, name) for name in OWN}})


def open_run(experiment: Experiment, seed: int, again: bool = False) -> Run:
    """The run as it was left; one that is complete in ``results/`` counts as such without its state; else a new one.

    With ``again`` it is a new one in any case.

    Raises
    ------
    ResultsError
        If what there is was measured with another configuration.
    """
    new = Run(experiment.name, seed, as_json(experiment.configuration))
    if again:
        return new
    kept = storage.load(state_path(experiment.name, seed))
    try:
        run = Run(**_own(json.loads(kept["record"])), state=kept["state"])
    except (TypeError, KeyError, ValueError):  # there is none, or it was damaged
        run = new
    path = results_path(experiment.name, seed)
    if not run.complete and path.exists():
        try:
            record = read(path)
        except ResultsError:  # to be written anew
            record = {"complete": False}
        if record["complete"]:
            run = Run(**_own(record))
    if run.passes and run.configuration | new.configuration != run.configuration:
        raise _other(experiment.name, seed)
    return run if run.passes else new


def mend(run: Run) -> None:
    """Write the results file of a run again where it is missing, damaged or behind."""
    path = results_path(run.experiment, run.seed)
    try:
        stored = read(path)
    except ResultsError:  # missing or damaged
        stored = {}
    if stored != as_json(run.record()):
        write(run.record())


def _own(record: dict) -> dict:
    return {name: record[name] for name in OWN}


def _other(experiment: str, seed: int) -> ResultsError:
    return ResultsError(
        f"The stored run of {experiment!r}, seed {seed}, was begun with another configuration or other data: start it "
        f"anew with --seeds {seed} --again, or restore what it was begun with."
    )


def _check_name(experiment: str) -> None:
    """Only what cannot lead out of a folder."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name := str(experiment)):
        raise ValueError(f"An experiment's name has small letters, digits, dots and hyphens only; got {name!r}.")


def results_path(experiment: str, seed: int) -> Path:
    """The results file of one run."""
    _check_name(experiment)
    return results_dir() / f"{experiment}-seed{seed}.json"


def state_path(experiment: str, seed: int) -> Path:
    """The file from which one run goes on."""
    return cache_dir() / "runs" / f"{experiment}-seed{seed}.pt"


def write(record: dict) -> None:
    """Put a record, and its digest, into its results file, all of it or nothing."""
    record = record | {"digest": _digest(record)}
    text = re.sub(r"\n\s{6,}|\n\s{4}(?=[\]}])", " ", json.dumps(record, indent=2, allow_nan=False))  # a line for a pass
    write_file(results_path(record["experiment"], record["seed"]), f"{text}\n".encode())


def read(path: Path) -> dict:
    """One results file, checked.

    Raises
    ------
    ResultsError
        If it is missing or damaged, or holds something else than a run.
    """
    experiment, _, seed = path.stem.rpartition("-seed")
    repair = f"restore it, or run python -m lenet_utils.runs {experiment} --seeds {seed}."
    try:
        record = json.loads(read_file(path), parse_constant=_refuse)
    except OSError as error:
        raise ResultsError(f"The results file {path.name} cannot be read ({error.strerror}).") from None
    except (ValueError, RecursionError) as error:
        raise ResultsError(f"The results file {path.name} is damaged ({error}): {repair}") from None
    if not isinstance(record, dict) or record.get("kind") != KIND or record.get("schema") != SCHEMA:
        raise ResultsError(f"{path.name} is no results file: expected kind {KIND!r} with schema {SCHEMA}.")
    digest = record.pop("digest", None)
    for name, expected in FIELDS.items():
        value = record.get(name)
        if not isinstance(value, expected) or (expected is int and isinstance(value, bool)):
            raise ResultsError(
                f"The results file {path.name} is damaged: {name!r} should be {expected.__name__}, "
                f"not {type(value).__name__}: {repair}"
            )
    if not all(isinstance(row, dict) for row in record["passes"]):
        raise ResultsError(f"The results file {path.name} is damaged: every pass should be a dict: {repair}")
    if digest != _digest(record):
        raise ResultsError(f"The results file {path.name} is damaged: it does not agree with its digest: {repair}")
    if (experiment, seed) != (record["experiment"], str(record["seed"])):
        raise ResultsError(
            f"The results file {path.name} was copied or renamed, for it holds {record['experiment']!r}, seed "
            f"{record['seed']}: {repair}"
        )
    return record


def _digest(record: dict) -> str:
    """Of what a record says, however it is laid out."""
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:16]


def _refuse(constant: str) -> None:
    raise ValueError(f"it holds {constant}, which is no number")


@checked
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
    records = [read(path) for path in stored_results() if pattern.fullmatch(path.name)]
    records = sorted((r for r in records if r["complete"] or not complete), key=lambda record: record["seed"])
    if not records:
        raise MissingResultsError(
            f"No results of {experiment!r} are stored: run python -m lenet_utils.runs {experiment}."
        )
    return records


def learned(experiment: str, model: nn.Module) -> nn.Module:
    """Give a network what the first stored run of an experiment learned; ResultsError if that was not kept."""
    try:
        storage.unpack(load_results(experiment)[0]["notes"].get("learned"), model.parameters())
    except ValueError as error:
        raise ResultsError(f"{error} Run python -m lenet_utils.runs {experiment} --again.") from None
    return model.eval()


@checked
def as_json(configuration: dict) -> dict:
    """The same as it comes back from a file: tuples as lists."""
    return json.loads(json.dumps(configuration))
