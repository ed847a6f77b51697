"""The ledger: what the papers and the five recipes claim, each claim beside what is measured, with a verdict.

``ledger.json`` says for each claim which printed number it is, how far off ours may lie, what measures it, where the
book shows it, and which verdict is expected.  It holds no number of ours: that is computed whenever it is asked for,
from the networks, the stored runs and the data, by :mod:`lenet_utils.ledger.verdicts`.
"""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass, fields
from pathlib import Path

from lenet_utils.arguments import checked
from lenet_utils.checks import choose
from lenet_utils.ledger.measures import MEASURES
from lenet_utils.literature import Published, published
from lenet_utils.recipes.published import RECIPES

FILE = Path(__file__).with_name("ledger.json")
GROUPS = {
    "counts": "Counts",
    "fields": "Sides and fields",
    "training": "Training in 1998",
    "figures": "Figures 9 to 12",
    "invariance": "Invariance",
    "data": "The data",
    "history": "History",
    "family": "1989 and 1990",
    "recipes": "The five recipes",
}
SOURCES = {
    "fukushima1980neocognitron": "Fukushima 1980",
    "lecun1989backpropagation": "LeCun et al. 1989",
    "lecun1990handwritten": "LeCun et al. 1990",
    "lecun1998gradient": "LeCun et al. 1998",
    "lecun1998mnist": "MNIST's web page",
    "krizhevsky2012imagenet": "Krizhevsky et al. 2012",
    "lecun2014demo": "LeCun 2014",
    "xiao2017fashion": "Xiao et al. 2017",
    "yadav2019qmnist": "Yadav and Bottou 2019",
    "karpathy2022deep": "Karpathy 2022",
    **dict.fromkeys(RECIPES, "recipe"),
}
VERDICTS = ("holds", "differs", "not checkable")
TOLERANCES = ("exact", "within", "seeds", "above", "below")  # of which the last two compare with their own limit


@checked
@dataclass(frozen=True)
class Entry:
    """One claim of the ledger, as it stands in the file.

    Attributes
    ----------
    name : str
        What names it: lower case and hyphens.
    group : str
        One of ``GROUPS``.
    claim : str
        What is claimed, in our words.
    page, label : str
        The chapter that shows it, and the label of its section.
    verdict : {"holds", "differs", "not checkable"}
        What is expected to come out.
    printed : str
        A name in ``literature.json``; for claims of recipes and for claims in words, ``value`` (if there is one),
        ``unit``, ``source`` and ``place`` stand here instead.
    part : list
        The keys or places that lead from a printed row to one number of it.
    tolerance : dict
        ``kind`` is ``"exact"``; ``"within"`` a ``limit`` of the printed number; ``"seeds"``, when one more run of ours
        could have given it, as printed with so many ``decimals``
        (:func:`lenet_utils.recipes.claims.prediction_interval`); ``"above"`` or ``"below"`` a ``limit``.
    measure : dict
        ``by`` names one of ``MEASURES``; the rest are its arguments.  Empty where nothing here can measure it.
    reason : str
        Why it does not hold or cannot be checked; where it holds, what to know.
    """

    name: str
    group: str
    claim: str
    page: str
    label: str
    verdict: str
    printed: str = ""
    part: list = ()
    value: object = None
    unit: str = ""
    source: str = ""
    place: str = ""
    tolerance: dict | None = None
    measure: dict | None = None
    reason: str = ""

    def __post_init__(self) -> None:
        choose("group", self.group, GROUPS)
        choose("verdict", self.verdict, dict.fromkeys(VERDICTS))
        if bool(self.printed) == bool(self.source):
            raise ValueError(f"{self.name}: give either printed, a name of the record, or a source with its place.")
        if self.source:
            choose("source", self.source, SOURCES)
        if self.verdict != "holds" and not self.reason:
            raise ValueError(f"{self.name}: a claim with the verdict {self.verdict!r} needs a reason.")
        if (self.measure is None) != (self.verdict == "not checkable") or (self.measure is None) != (
            not self.tolerance
        ):
            raise ValueError(f"{self.name}: measure and tolerance belong to each other, and to every checkable claim.")
        if self.measure is not None:
            self._check_measure()
        _ = self.said  # which must exist

    def _check_measure(self) -> None:
        kind = choose("kind of tolerance", self.tolerance.get("kind"), {k: k for k in TOLERANCES})
        wanted = {"exact": set(), "seeds": {"decimals"}}.get(kind, {"limit"})
        if kind in ("above", "below") and self.printed:
            wanted = set()  # the printed number is the limit
        if set(self.tolerance) - {"kind"} != wanted:
            raise ValueError(f"{self.name}: a tolerance of kind {kind!r} has {sorted(wanted) or 'nothing'} besides it.")
        arguments = dict(self.measure)
        function = choose("measure", arguments.pop("by", None), MEASURES)
        try:
            inspect.signature(function).bind(**arguments)
        except TypeError as error:
            raise ValueError(f"{self.name}: {self.measure['by']!r} cannot take {arguments}: {error}.") from None

    @property
    def said(self) -> Published:
        """What is printed, with its source and place."""
        if not self.printed:
            return Published(self.value, self.unit, self.source, self.place, self.claim)
        row = published(self.printed)
        value = row.value
        for key in self.part:
            try:
                value = value[key]
            except (LookupError, TypeError):
                raise ValueError(f"{self.name}: {self.printed!r} has no part {key!r}.") from None
        return Published(value, row.unit, row.source, row.place, row.what)


@checked
def entries(path: Path = FILE) -> list[Entry]:
    """All claims of the file.

    Raises
    ------
    ValueError
        If one is not as :class:`Entry` describes it, or there are two of a name; the message says which and why.
    """
    rows = json.loads(path.read_text("utf8"), object_pairs_hook=_without_doubles)
    known = {field.name for field in fields(Entry)} - {"name"}
    for name, row in rows.items():
        if unknown := set(row) - known:
            raise ValueError(f"{name}: unknown field {sorted(unknown)[0]!r}: choose from {', '.join(sorted(known))}.")
        if missing := {"group", "claim", "page", "label", "verdict"} - set(row):
            raise ValueError(f"{name}: the field {sorted(missing)[0]!r} is missing.")
    return [Entry(name, **row) for name, row in rows.items()]


def _without_doubles(pairs: list[tuple[str, object]]) -> dict:
    names = [name for name, _ in pairs]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"The ledger has {sorted(twice)[0]!r} twice: give each claim a name of its own.")
    return dict(pairs)
