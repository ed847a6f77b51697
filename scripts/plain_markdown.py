"""A chapter's MyST as plain Markdown, which every viewer of notebooks understands; what is not known is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from itertools import groupby

from book_index import EQUATION, HEADING, Book, Target
from myst_blocks import Block, UnknownMystError, blocks

OPTION = re.compile(r":([\w-]+): ?(.*)")
REFUSED = re.compile(r" {4}|\t|>|<|!\[|\+\+\+|---|\*\*\*|===|\{")  # at the beginning of a line: not in use here
INLINE = re.compile(
    r"(?P<escaped>\\[^\w\s])"
    r"|\{(?P<role>[\w:+-]+)\}(?P<ticks>`+)(?P<content>.+?)(?P=ticks)"
    r"|(?P<code>(?P<quote>`+).+?(?P=quote)(?!`))"
    r"|(?P<math>\$\$.+?\$\$|\$[^$]+\$)"
    r"|\[\^(?P<note>[\w-]+)\]"
    r"|\[(?P<text>(?:[^][]|\[[^][]*\])*)\]\((?P<target>[^)\s]*)\)"
    r"|(?P<web><https?://[^>\s]+>)"
    r"|(?P<refused>\{[\w:+-]*\}|\{\{|:::|«|»|<[a-zA-Z/!]|!\[|\]\()",
    re.DOTALL,
)


@dataclass(frozen=True)
class Piece:
    """What becomes a cell: "markdown", a "paragraph" with measured numbers, or the code of a "solution"."""

    kind: str
    text: str


class PlainMarkdown:
    """The text of the chapter ``name``, cell by cell, in order: checks and footnotes are numbered on the way."""

    def __init__(self, book: Book, name: str) -> None:
        self.book, self.name = book, name
        self.line = self.num_checks = 0
        self.notes: list[str] = []
        self.cited: set[str] = set()

    def pieces(self, source: str, line: int = 1) -> list[Piece]:
        """What a Markdown cell, which begins in ``line`` of the page, becomes.

        Raises
        ------
        UnknownMystError
            If there is anything in it that this module does not know; the message names the page and the line.
        """
        with self._named():
            found = [piece for block in blocks(source.splitlines(), line) for piece in self._pieces_of(block)]
        merged = []
        for kind, group in groupby(found, key=lambda piece: piece.kind):
            texts = [piece.text for piece in group]
            merged += [Piece(kind, text) for text in (texts if kind == "solution" else ["\n\n".join(texts)])]
        return merged

    def caption(self, figure: dict, line: int = 1) -> list[Piece]:
        """What stands below a figure."""
        self.line = line
        with self._named():
            return [_text(f"**{self._target(figure['name']).text}.** {self._inline(figure['caption'])}")]

    def references(self) -> str:
        """The list of what was cited so far, or nothing."""
        items = [f"- **{label}.** {text}" for key, (label, text) in self.book.references.items() if key in self.cited]
        return "\n".join([f"{place_of('References')}## References\n", *items]) if items else ""

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except UnknownMystError as problem:
            raise UnknownMystError(f"book/{self.name}.md:{problem}") from None

    def refuse(self, what: str) -> None:
        raise UnknownMystError(f"{self.line}: {what}")

    # --- blocks ---

    def _pieces_of(self, block: Block) -> list[Piece]:
        self.line = block.line
        if block.kind == "solution":
            return self._solution(block)
        if block.kind == "glue":  # a picture that the page shows before the cell that draws it; a notebook, below it
            return []
        return [_text(self._plain(block))]

    def _plain(self, block: Block) -> str:
        """A block as Markdown."""
        self.line = block.line
        forms: dict[str, Callable[[Block], str]] = {
            **dict.fromkeys(("paragraph", "list"), self._prose),
            **dict.fromkeys(("admonition", "note", "warning"), self._admonition),
            **{"code": self._code, "math": self._math, "heading": self._heading, "definition": self._definition},
            **{"check": self._check, "exercise": self._exercise, "grid": self._grid, "grid-item-card": self._card},
        }
        if block.kind not in forms:
            self.line -= 1  # the fence
            self.refuse(f"{{{block.kind}}} has no plain form: write it otherwise, or teach it to plain_markdown.py.")
        return forms[block.kind](block)

    def _all(self, lines: list[str], line: int) -> str:
        """The blocks within another one; neighbouring definitions stay one list."""
        inside = list(blocks(lines, line))
        text = ""
        for before, block in zip([None, *inside], inside, strict=False):
            close = before is not None and before.kind == block.kind == "definition"
            text += ("\n" if close else "\n\n" if before else "") + self._plain(block)
        return text

    def _code(self, block: Block) -> str:
        return "\n".join(block.lines)

    def _math(self, block: Block) -> str:
        *lines, last = block.lines
        if label := EQUATION.fullmatch(last):
            number = self._target(label[1]).text.strip("()")
            return "\n".join([*lines, f"\\tag{{{number}}}", "$$"])
        return "\n".join(block.lines)

    def _heading(self, block: Block) -> str:
        if re.search(r"[$`{*_\[<]", block.lines[0]):
            self.refuse("a heading with markup cannot be linked to in every viewer: write it in plain words.")
        title = HEADING.fullmatch(block.lines[0])[2]
        sections = (one for one in self.book.targets.values() if one.page == self.name and one.kind == "section")
        return f"{place_of(title)}{block.lines[0]}" if any(one.heading == title for one in sections) else block.lines[0]

    def _prose(self, block: Block) -> str:
        for offset, line in enumerate(block.lines):
            if REFUSED.match(line) and not INLINE.match(line) and block.kind == "paragraph":
                self.line = block.line + offset
                self.refuse(f"a line that begins with {line[:4]!r} has no plain form: write it otherwise.")
        text = "\n".join(block.lines)
        if note := re.match(r"\[\^([\w-]+)\]: ", text):
            return f"<sup>{self._note(note[1])}</sup> {self._inline(text[note.end() :])}"
        return self._inline(text)

    def _definition(self, block: Block) -> str:
        term, meaning = self._term(block)
        return f"- **{term}**: {meaning}"

    def _term(self, block: Block) -> tuple[str, str]:
        """A term and its meaning; a long term, such as an answer to choose, may take several lines."""
        at = next(place for place, line in enumerate(block.lines) if line.startswith(": "))
        meaning = [line.removeprefix(": ").strip() for line in block.lines[at:]]
        return self._inline("\n".join(block.lines[:at])), self._inline("\n".join(meaning))

    def _options(self, block: Block, allowed: str) -> tuple[dict[str, str], list[str], int]:
        """A directive's options, the lines below them, and where these begin."""
        options, lines = {}, list(block.lines)
        while lines and (option := OPTION.fullmatch(lines[0])):
            options[option[1]] = option[2]
            del lines[0]
        if set(options) - set(allowed.split()) or (lines and lines[0] == "---"):
            self.refuse(f"{{{block.kind}}} takes the options {allowed} here, as lines :option: value: remove others.")
        return options, lines, block.line + len(options)

    def _admonition(self, block: Block) -> str:
        _, lines, line = self._options(block, "class")
        title = self._inline(block.argument) or block.kind.capitalize()
        text = f"**{title}**\n\n{self._all(lines, line)}"
        return "\n".join(f"> {line}".rstrip() for line in text.splitlines())

    def _grid(self, block: Block) -> str:
        _, lines, line = self._options(block, "gutter")
        return self._all(lines, line)

    def _card(self, block: Block) -> str:
        _, lines, line = self._options(block, "")
        return f"**{self._inline(block.argument)}:** {self._all(lines, line)}"

    # --- something to do ---

    def _check(self, block: Block) -> str:
        options, lines, line = self._options(block, "answer tolerance hint why right")
        self.num_checks += 1
        number = self.num_checks
        inside = list(blocks(lines, line))
        choices = [self._term(one) for one in inside if one.kind == "definition"]
        question = "\n\n".join(self._plain(one) for one in inside if one.kind != "definition")
        if "right" in options:
            parts = ["\n".join(f"{place}. {choice}" for place, (choice, _) in enumerate(choices, 1))]
            said = "\n".join(f"{place}. {why}" for place, (_, why) in enumerate(choices, 1))
            parts += [_folded("Answer", f"The answer is {options['right']}.\n\n{said}")]
        else:
            answer = options["answer"].split("|")[0].strip()
            parts = [_folded("Hint", self._inline(options["hint"]))]
            parts += [_folded("Answer", f"**{self._inline(answer)}.** {self._inline(options['why'])}")]
        gap = " " if inside and inside[0].kind == "paragraph" else "\n\n"
        return "\n\n".join([f"**Check {number}.**{gap}{question}", *parts])

    def _exercise(self, block: Block) -> str:
        options, lines, line = self._options(block, "label")
        return f"### {self._target(options.get('label', '')).heading}\n\n{self._all(lines, line)}"

    def _solution(self, block: Block) -> list[Piece]:
        """A solution, folded, and below it each piece of its Python, to be run."""
        _, lines, line = self._options(block, "class")
        inside = list(blocks(lines, line))
        python = [one.lines[1:-1] for one in inside if one.kind == "code" and one.lines[0] == "```python"]
        text = _text(_folded("Solution", self._all(lines, line)))
        return [text, *(Piece("solution", "\n".join(code)) for code in python)]

    # --- within a line ---

    def _inline(self, text: str) -> str:
        return INLINE.sub(self._inline_one, text)

    def _inline_one(self, found: re.Match) -> str:
        if found["role"]:
            return self._role(found["role"], found["content"])
        if found["note"]:
            return f"<sup>{self._note(found['note'])}</sup>"
        if found["target"] is not None:
            return self._link(found["text"], found["target"])
        if found["refused"]:
            self.refuse(f"{found[0]} has no plain form here: write it otherwise, or teach it to plain_markdown.py.")
        return found[0]

    def _role(self, role: str, content: str) -> str:
        if role == "glue:text":
            page, _, key = content.rpartition("::")
            return f"«{page.removesuffix('.md')}::{key}»" if page else f"«{key}»"
        if role in ("cite", "cite:t"):
            return self._citation(content.split(","), in_text=role == "cite:t")
        if role in ("func", "meth", "class", "mod"):
            name = content.split(".")[-1] if content.startswith("~") else content
            return f"`{name}{'()' * (role in ('func', 'meth'))}`"
        if role == "ref":
            named = re.fullmatch(r"(.*?)\s*<([\w-]+)>", content, re.DOTALL)
            return self._link(named[1], named[2]) if named else self._link("", content)
        if role in ("numref", "eq"):
            target = self._target(content)
            return target.text if target.page == self.name else self._link(target.text, content)
        self.refuse(f"the role {{{role}}} has no plain form: write it otherwise, or teach it to plain_markdown.py.")

    def _link(self, text: str, address: str) -> str:
        if re.match(r"https?://", address):
            return f"[{self._inline(text)}]({address})"
        target = self._target(address.removeprefix("#"))
        if not (text or target.text):
            self.refuse(f"{target.label} labels no heading: write words for the link, as text <{target.label}>.")
        return f"[{self._inline(text) or target.text}]({self.book.address(target, self.name)})"

    def _target(self, label: str) -> Target:
        if label not in self.book.targets:
            self.refuse(f"no page has the label {label!r}: correct it.")
        return self.book.targets[label]

    def _note(self, key: str) -> int:
        if key not in self.notes:
            self.notes.append(key)
        return self.notes.index(key) + 1

    def _citation(self, keys: list[str], in_text: bool) -> str:
        known = self.book.references
        if missing := [key for key in keys if key not in known]:
            self.refuse(f"references.bib has no {missing[0]!r}: correct the key, or add the reference.")
        self.cited.update(keys)
        if not in_text:
            return "[" + "; ".join(f"[{known[key][0]}](#References)" for key in keys) + "]"
        parts = [known[key][0].rpartition(", ") for key in keys]
        return ", ".join(f"{names} [[{year}](#References)]" for names, _, year in parts)


def place_of(heading: str) -> str:
    """A mark before a heading that links find in Colab and VS Code; JupyterLab finds the heading itself."""
    name = escape(heading.replace(" ", "-"))
    return f'<a id="{name}" name="{name}"></a>\n\n'


def _folded(summary: str, text: str) -> str:
    return f"<details><summary>{summary}</summary>\n\n{text}\n\n</details>"


def _text(text: str) -> Piece:
    return Piece("paragraph" if "«" in text else "markdown", text)
