"""The list of references labelled as the text cites them: "LeCun et al., 1998" instead of an abbreviation."""

from __future__ import annotations

from collections import Counter
from string import ascii_lowercase

from pybtex.database import Entry
from pybtex.plugin import register_plugin
from pybtex.style.formatting.unsrt import Style as UnsortedStyle
from pybtex.style.labels import BaseLabelStyle
from sphinx.application import Sphinx


class AuthorYearLabels(BaseLabelStyle):
    """One label for each entry; those that would be equal get a letter: 1998a, 1998b."""

    def format_labels(self, sorted_entries: list[Entry]):
        labels = [f"{_names(entry)}, {entry.fields.get('year', 'n.d.')}" for entry in sorted_entries]
        times, seen = Counter(labels), Counter()
        for label in labels:
            yield label if times[label] == 1 else label + ascii_lowercase[seen[label]]
            seen[label] += 1


def _names(entry: Entry) -> str:
    people = entry.persons.get("author") or entry.persons.get("editor") or []
    names = [" ".join([*person.prelast_names, *person.last_names]) for person in people]
    if not names:
        return entry.fields.get("organization") or entry.key
    return names[0] + (" et al." if len(names) > 2 else f" and {names[1]}" if len(names) == 2 else "")


class AuthorYearStyle(UnsortedStyle):
    default_label_style = AuthorYearLabels
    default_sorting_style = "author_year_title"


def setup(app: Sphinx) -> dict:
    register_plugin("pybtex.style.formatting", "author_year", AuthorYearStyle)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
