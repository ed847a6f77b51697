"""What helps a reader along: questions with hints in the page, words explained where they first stand, a list of all.

Each part is a node or a directive with its function; :func:`setup` at the end is the index.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode
from sphinx_exercise.nodes import exercise_enumerable_node, exercise_node, exercise_subtitle

GLOSSARY = "book/notation"
WITHOUT_TIPS = (GLOSSARY, "book/api", "book/references", "book/exercises")

# --- Checks: a question, an answer that the page can judge, and a hint -----------------------------------------------


class check(nodes.General, nodes.Element):
    """A question; ``number`` counts in the page, ``answers`` are those accepted if the reader types."""


class check_choice(nodes.General, nodes.Element):
    """One of several answers; what it contains is shown beside its button."""


class check_words(nodes.General, nodes.Element):
    """What is said after an answer: ``after`` is "right", "wrong", or the number of the choice."""


class Check(SphinxDirective):
    """A question with a typed answer (``answer``, ``hint``, ``why``) or with choices (``right``, a definition list)."""

    has_content = True
    option_spec: ClassVar = {
        "answer": directives.unchanged_required,
        "tolerance": float,
        "hint": directives.unchanged_required,
        "why": directives.unchanged_required,
        "right": directives.positive_int,
    }

    def run(self) -> list[nodes.Node]:
        given = set(self.options) - {"tolerance"}
        if given not in ({"answer", "hint", "why"}, {"right"}):
            raise self.error(
                f"A check takes answer, hint and why, or right and a list of choices; got {sorted(given)}."
            )
        number = self.env.temp_data["checks"] = self.env.temp_data.get("checks", 0) + 1
        node = check(number=number, ids=[f"check-{number}"])
        self.set_source_info(node)
        self.state.nested_parse(self.content, self.content_offset, node)
        if "answer" in given:
            node["answers"] = [answer.strip() for answer in self.options["answer"].split("|")]
            node["tolerance"] = self.options.get("tolerance", 0.0)
            node += [self._words("right", self.options["why"]), self._words("wrong", self.options["hint"])]
            return [node]
        lists = [child for child in node.children if isinstance(child, nodes.definition_list)]
        if len(lists) != 1 or not 1 <= self.options["right"] <= len(lists[0].children):
            raise self.error("A check with choices needs one definition list, and right is the number of a choice.")
        node["right"] = self.options["right"]
        node.remove(lists[0])
        said = []
        for place, item in enumerate(lists[0].children, 1):
            term, definition = item.children
            node += check_choice("", *term.children, place=place)
            said.append(check_words("", *definition.children, after=str(place)))
        node += said
        return [node]

    def _words(self, after: str, text: str) -> nodes.Element:
        words = check_words(after=after)
        self.state.nested_parse(StringList([text], self.state.document.current_source), self.content_offset, words)
        return words


def visit_check(translator, node: check) -> None:
    if "answers" in node:
        judged = f'data-answers="{escape("|".join(node["answers"]))}" data-tolerance="{node["tolerance"]}"'
    else:
        judged = f'data-right="{node["right"]}"'
    name = f"check-{node['number']}"
    translator.body.append(
        f'<form class="check" id="{name}" {judged} aria-labelledby="{name}-title" novalidate>'
        f'<p class="check-title" id="{name}-title">Check {node["number"]}</p>'
    )


def depart_check(translator, node: check) -> None:
    translator.body.append("</div></form>")


def visit_choice(translator, node: check_choice) -> None:
    name = f"check-{node.parent['number']}"
    translator.body.append(
        f'<label class="check-choice"><input type="radio" name="{name}" value="{node["place"]}"><span>'
    )


def visit_words(translator, node: check_words) -> None:
    if not isinstance(node.parent[node.parent.index(node) - 1], check_words):  # the first: all before it is asked
        field = '<input type="text" autocomplete="off" spellcheck="false">'
        field = f"<label>Your answer {field}</label>" if "answers" in node.parent else ""
        translator.body.append(
            f'<p class="check-answer">{field}<button type="submit">Check</button></p>'
            '<div class="check-said" role="status"><strong class="check-verdict"></strong>'
        )
    translator.body.append(f'<div class="check-words" data-after="{node["after"]}" hidden>')


# --- Tips: a word of the glossary, explained where a chapter uses it first -------------------------------------------


class word_tip(nodes.Inline, nodes.TextElement):
    """A word of the text, with its ``meaning``."""


def meanings(env: BuildEnvironment) -> dict[str, str]:
    """What the glossary says of each of its words, in one paragraph."""
    found = {}
    for item in env.get_doctree(GLOSSARY).findall(nodes.definition_list_item):
        if isinstance(item.parent.parent, addnodes.glossary):
            meaning = next(iter(item.findall(nodes.paragraph))).astext()
            found |= {term.astext().strip(): " ".join(meaning.split()) for term in item.findall(nodes.term)}
    return found


def explain_words(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Give each word of the glossary a tip where the page uses it first, unless the page defines it there."""
    if app.builder.format != "html" or docname in WITHOUT_TIPS or GLOSSARY not in app.env.found_docs:
        return
    waiting = {}
    for word, meaning in meanings(app.env).items():
        waiting.setdefault(meaning, []).append(word)
    for text in [text for text in doctree.findall(nodes.Text) if _is_prose(text)]:
        pieces, rest = [], text.astext()
        while found := _first(rest, waiting):
            place, meaning = found
            del waiting[meaning]
            if not isinstance(text.parent, nodes.strong):
                word = place.group()
                pieces += [nodes.Text(rest[: place.start()]), word_tip(word, word, meaning=meaning)]
                rest = rest[place.end() :]
        if pieces:
            text.parent.replace(text, [*pieces, nodes.Text(rest)])


def renew_tips(app: Sphinx, env: BuildEnvironment, added: set, changed: set, removed: set) -> set[str]:
    """All pages are written again when the glossary changed: their tips are its sentences."""
    return set(env.found_docs) if GLOSSARY in added | changed else set()


def _is_prose(text: nodes.Text) -> bool:
    parents = list(_parents(text))
    allowed = (nodes.paragraph, nodes.emphasis, nodes.strong)
    outside = (nodes.figure, nodes.table, nodes.reference, check, exercise_node, exercise_enumerable_node)
    return isinstance(text.parent, allowed) and not any(isinstance(parent, outside) for parent in parents)


def _parents(node: nodes.Node) -> Iterator[nodes.Node]:
    while node.parent is not None:
        node = node.parent
        yield node


def _first(text: str, waiting: dict[str, list[str]]) -> tuple[re.Match, str] | None:
    """The first of the waiting words in a text, and its meaning."""
    found = []
    for meaning, words in waiting.items():
        pattern = "|".join(rf"{re.escape(word)}(?:s|es)?" for word in sorted(words, key=len, reverse=True))
        place = re.search(rf"(?<![\w-])(?:{pattern})(?![\w-])", text, re.IGNORECASE)
        if place:
            found.append((place.start(), -place.end(), place, meaning))
    return min(found, key=lambda one: one[:2])[2:] if found else None


def visit_tip(translator, node: word_tip) -> None:
    translator.tips = getattr(translator, "tips", 0) + 1
    name = f"tip-{translator.tips}"
    translator.body.append(f'<span class="tip"><button type="button" class="tip-word" aria-describedby="{name}">')
    node["name"] = name


def depart_tip(translator, node: word_tip) -> None:
    meaning = escape(node["meaning"])
    translator.body.append(
        f'</button><span role="tooltip" class="tip-text" id="{node["name"]}">{meaning}</span></span>'
    )


# --- The list of all exercises and checks ----------------------------------------------------------------------------


class exercise_index(nodes.General, nodes.Element):
    """Where the list goes."""


class ExerciseIndex(SphinxDirective):
    """The list of all exercises and checks, wherever it stands."""

    def run(self) -> list[nodes.Node]:
        return [exercise_index("")]


def fill_index(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Write the list of all exercises and checks, chapter by chapter, in the book's order."""
    for place in list(doctree.findall(exercise_index)):
        place.replace_self([part for name in _in_order(app.env) for part in _of_chapter(app, docname, name)])


def renew_index(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """The page with the list is written again whenever anything is."""
    return [name for name in env.found_docs if name == "book/exercises"]


def _in_order(env: BuildEnvironment) -> list[str]:
    root = env.config.root_doc
    names = [root]
    for name in names:
        names += [other for other in env.toctree_includes.get(name, []) if other not in names]
    return names


def _of_chapter(app: Sphinx, docname: str, name: str) -> list[nodes.Node]:
    tree = app.env.get_doctree(name)
    found = [one for one in tree.findall(nodes.Element) if isinstance(one, exercise_node | exercise_enumerable_node)]
    checks = [one["ids"][0] for one in tree.findall(check)]
    if not found and not checks:
        return []
    title = app.env.titles[name].astext()

    def link(target: str, text: str) -> nodes.reference:
        return make_refnode(app.builder, docname, name, target, nodes.Text(text))

    items = nodes.bullet_list()
    for one in found:
        words = [part.astext() for part in one.findall(exercise_subtitle)]
        what = words[0].strip("() ") if words else one["label"]
        items += nodes.list_item("", nodes.paragraph("", "", link(one["label"], what)))
    if checks:
        numbers = [
            part for place, target in enumerate(checks, 1) for part in (nodes.Text(" "), link(target, str(place)))
        ]
        items += nodes.list_item("", nodes.paragraph("", "", nodes.Text("Checks in the page:"), *numbers))
    return [nodes.rubric("", "", link("", title)), items]


def _skip(translator, node: nodes.Node) -> None:
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict:
    app.add_directive("check", Check)
    app.add_directive("exercise-index", ExerciseIndex)
    plain = (lambda *_: None, lambda *_: None)
    rest = {"latex": (_skip, None), "text": (_skip, None)}
    app.add_node(check, html=(visit_check, depart_check), **rest)
    end = lambda closing: lambda translator, node: translator.body.append(closing)  # noqa: E731
    app.add_node(check_choice, html=(visit_choice, end("</span></label>")), **rest)
    app.add_node(check_words, html=(visit_words, end("</div>")), **rest)
    app.add_node(word_tip, html=(visit_tip, depart_tip), latex=plain, text=plain)
    app.add_node(exercise_index, html=plain, latex=plain, text=plain)
    app.connect("doctree-resolved", explain_words)
    app.connect("env-get-outdated", renew_tips)
    app.connect("doctree-resolved", fill_index)
    app.connect("env-updated", renew_index)
    app.add_css_file("learning_aids.css")
    app.add_js_file("learning_aids.js", loading_method="defer")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
