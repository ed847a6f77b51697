"""Verdicts on the ledger's claims: each is measured and judged, and put into words for a table.

``python -m lenet_utils.ledger.verdicts`` measures all of them, and tells which verdicts have changed.
"""

from __future__ import annotations

import math
import statistics
import sys
from dataclasses import dataclass

import numpy as np

from lenet_utils.arguments import checked
from lenet_utils.ledger.claims import GROUPS, SOURCES, Entry, entries
from lenet_utils.ledger.measures import MEASURES
from lenet_utils.recipes.claims import prediction_interval
from lenet_utils.recipes.published import RECIPES


@checked
@dataclass(frozen=True)
class Finding:
    """A claim with what was measured for it: one number of each run, one number in all, or none.

    Attributes
    ----------
    entry : Entry
    ours : list of float
    verdict, reason : str
    """

    entry: Entry
    ours: list
    verdict: str
    reason: str

    @property
    def as_expected(self) -> bool:
        """Whether the verdict is the one in the file; a claim whose data are not on this machine cannot tell."""
        return self.verdict == self.entry.verdict or not self.ours

    def row(self) -> dict[str, str]:
        """The claim as words for a table."""
        entry, said = self.entry, self.entry.said
        printed = "" if said.value is None else f"{written(said.value)} {said.unit}".strip()
        return {
            "name": entry.name,
            "group": GROUPS[entry.group],
            "claim": entry.claim,
            "source": f"{SOURCES[said.source]} {said.source if said.source in RECIPES else ''}".strip(),
            "place": said.place,
            "printed": printed,
            "ours": f"{self._measured()} {said.unit}".strip() if self.ours else "",
            "runs": str(len(self.ours)) if len(self.ours) > 1 and entry.tolerance["kind"] != "exact" else "",
            "how": how(entry),
            "tolerance": allowed(entry),
            "verdict": self.verdict,
            "reason": self.reason,
            "page": entry.page,
            "label": entry.label,
        }

    def _measured(self) -> str:
        if self.entry.tolerance["kind"] == "exact":
            return written(self.ours if len(self.ours) > 1 else self.ours[0])
        scale = statistics.stdev(self.ours) if len(self.ours) > 1 else self.entry.tolerance.get("limit", 0) / 10
        digits = max(0, 1 - math.floor(math.log10(scale))) if scale else 2
        mean = statistics.mean(self.ours)
        if len(self.ours) > 1:
            return f"{mean:,.{digits}f} ± {scale:.{digits}f}".replace("-", "−")
        mean = round(mean, digits)
        return written(int(mean) if mean == int(mean) else mean).replace("-", "−")


def allowed(entry: Entry) -> str:
    """A claim's tolerance in words."""
    if not entry.tolerance:
        return ""
    kind, limit = entry.tolerance["kind"], entry.tolerance.get("limit")
    words = {"exact": "exactly so", "seeds": "could be one more run", "within": f"within {limit and written(limit)}"}
    return words.get(kind) or f"{kind} {'the printed number' if limit is None else written(limit)}"


def how(entry: Entry) -> str:
    """What measures a claim, in words."""
    if not entry.measure:
        return ""
    by, given = entry.measure["by"], entry.measure
    if by in ("recipe", "moved", "worn", "gap") or "experiment" in given:
        names = {"recipe": f"recipe-{given.get('name', '').lower()}", "moved": "pooling-shifts", "worn": "robustness"}
        names["gap"] = f"{given.get('higher')} and {given.get('lower')}"
        return f"stored runs: {names.get(by) or given['experiment']}"
    return f"data: {given['name']}" if by == "data" else f"computed: {given.get('network', by.replace('_', ' '))}"


@checked
def written(value: object) -> str:
    """A number as people read it, ``60,000`` or ``0.00007``; of a list, one after the other."""
    if isinstance(value, list | tuple):
        return ", ".join(map(written, value))
    if isinstance(value, float):
        whole, _, rest = np.format_float_positional(value, trim="0").partition(".")
        return f"{int(whole):,}.{rest}" if value >= 0 else f"{whole}.{rest}"
    return f"{value:,}"


@checked
def check(entry: Entry) -> Finding:
    """Measure a claim, and judge it."""
    if entry.measure is None:
        return Finding(entry, [], "not checkable", entry.reason)
    arguments = dict(entry.measure)
    ours = MEASURES[arguments.pop("by")](**arguments)
    if ours is None:
        return Finding(entry, [], "not checkable", "The data that it needs are not on this machine.")
    ours = ours if isinstance(ours, list) else [ours]
    return Finding(entry, ours, "holds" if agrees(entry, ours) else "differs", entry.reason)


@checked
def agrees(entry: Entry, ours: list) -> bool:
    """Whether what was measured lies within a claim's tolerance."""
    kind, value = entry.tolerance["kind"], entry.said.value
    limit = entry.tolerance.get("limit", value)
    if kind == "seeds":
        low, high = prediction_interval(ours)
        slack = 0.5 * 10 ** -entry.tolerance["decimals"]
        return low - slack <= value <= high + slack
    if kind == "exact":
        return ours == (value if isinstance(value, list) else [value])
    mean = statistics.mean(ours)
    return mean > limit if kind == "above" else mean < limit if kind == "below" else abs(mean - value) <= limit


def main() -> int:
    """Measure every claim, from the command line; returns how many verdicts are other than the file expects."""
    changed = [finding for finding in map(check, entries()) if not finding.as_expected]
    for finding in changed:
        row = finding.row()
        print(f"{row['name']}: printed {row['printed']}, measured {row['ours']}: now {row['verdict']!r}.")
    print(f"{len(changed)} of {len(entries())} verdicts have changed.")
    return len(changed)


if __name__ == "__main__":
    sys.exit(main())
