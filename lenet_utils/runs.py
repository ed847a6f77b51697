"""Long runs, from the command line: ``python -m lenet_utils.runs original --seeds 100 101``.

Every experiment and seed has one file in ``results/``, brought up to date after each pass.  A run that was killed goes
on after its last finished pass when the same command is given again; one that is complete is left alone.

To add an experiment, write a function that takes a :class:`lenet_utils.run_store.Run` and

1. calls ``run.begin(data, device)``,
2. sets everything up from ``run.seed``, and goes on from ``run.state`` (tensors) and ``len(run.passes)`` if the run was
   begun before,
3. after each pass (or whatever its unit of work is) calls ``run.finish_pass(measured, state, complete=...)``, and
   returns when that says False;

wrap it in an :class:`lenet_utils.run_store.Experiment`, and add it to the ``EXPERIMENTS`` of its folder.  Chapters read
what it measured with :func:`lenet_utils.run_store.load_results`.
"""

from __future__ import annotations

import argparse
import sys
import time

from lenet_utils import storage
from lenet_utils.arguments import checked
from lenet_utils.checks import choose
from lenet_utils.downloads import DataError
from lenet_utils.family import boosting, line_reading, relatives, zip_codes
from lenet_utils.modern import augmentation, data_amount, maps_off, search, shifts
from lenet_utils.modern import experiments as of_today
from lenet_utils.original import ablation
from lenet_utils.original import experiments as of_1998
from lenet_utils.paths import check_writable, results_dir
from lenet_utils.recipes import experiments as since_then
from lenet_utils.rivals import experiments as rivals_of_1998
from lenet_utils.rivals import robustness, timing
from lenet_utils.run_store import Experiment, ResultsError, Run, mend, open_run, state_path
from lenet_utils.training import TrainingError

EXPERIMENTS: dict[str, Experiment] = {
    **of_today.EXPERIMENTS,
    **search.EXPERIMENTS,
    **shifts.EXPERIMENTS,
    **maps_off.EXPERIMENTS,
    **augmentation.EXPERIMENTS,
    **data_amount.EXPERIMENTS,
    **zip_codes.EXPERIMENTS,
    **relatives.EXPERIMENTS,
    **boosting.EXPERIMENTS,
    **line_reading.EXPERIMENTS,
    **of_1998.EXPERIMENTS,
    **ablation.EXPERIMENTS,
    **since_then.EXPERIMENTS,
    **rivals_of_1998.EXPERIMENTS,
    **robustness.EXPERIMENTS,
    **timing.EXPERIMENTS,
}


@checked
def run(experiment: Experiment, seed: int, again: bool = False, until: int | None = None) -> Run:
    """Carry one seed of an experiment on to its end.

    Parameters
    ----------
    experiment : Experiment
    seed : int
        Not negative.
    again : bool
        Begin anew; what was measured before stays until the first pass is over.
    until : int, optional
        Stop after this pass; the rest can follow later.

    Raises
    ------
    ResultsError
        If what is stored was measured with another configuration.
    """
    if seed < 0:
        raise ValueError(f"A seed is a whole number from 0 on; got {seed}.")
    if until is not None and until < 1:
        raise ValueError(f"Passes are counted from 1; got --until {until}.")
    with storage.exclusively(state_path(experiment.name, seed)):
        current = open_run(experiment, seed, again)
        if current.complete or (until is not None and len(current.passes) >= until):
            mend(current)
            return current
        for folder in (results_dir(), state_path(experiment.name, seed).parent):
            check_writable(folder)
        current.last = until
        experiment.measure(current)
        return current


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    names = "\n".join(f"  {e.name:24} {e.summary} (seeds {', '.join(map(str, e.seeds))})" for e in EXPERIMENTS.values())
    parser = argparse.ArgumentParser(
        prog="python -m lenet_utils.runs",
        description="Measure what takes long, and keep it in results/.  Interrupted runs go on where they stopped.",
        epilog=f"experiments:\n{names}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("experiment", nargs="+", help="names from below, in the order wanted, or all")
    parser.add_argument("--seeds", type=int, nargs="+", help="whole numbers from 0 on, instead of the experiment's own")
    parser.add_argument("--until", type=int, metavar="PASS", help="stop after this pass")
    parser.add_argument("--again", action="store_true", help="forget what was measured before")
    options = parser.parse_args(arguments)
    try:
        wanted = EXPERIMENTS if options.experiment == ["all"] else options.experiment
        chosen = [choose("experiment", name, EXPERIMENTS) for name in wanted]
        for experiment in chosen:
            for seed in options.seeds or experiment.seeds:
                start = time.perf_counter()
                done = run(experiment, seed, options.again, options.until)
                print(f"{experiment.name}, seed {seed}: {len(done.passes)} passes", end="")
                print(f", {time.perf_counter() - start:.0f} s in this session.", flush=True)
    except (ResultsError, DataError, TrainingError, ImportError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
