"""The book's sources: complete, paired, in the house's form.  Nothing is executed here."""

from __future__ import annotations

import re
import statistics
import sys
from functools import cache
from urllib.parse import unquote

import nbformat
import pytest
import yaml
from book_index import Book
from pages import ROOT, chapters, config, pages, toc
from pair import notebook_of

from lenet_utils.literature import record

if not (ROOT / "_toc.yml").exists():
    pytest.skip("these tests need the book beside the package: run them in a checkout", allow_module_level=True)

PAGES, CHAPTERS = pages(), chapters()
KEBAB = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
ADDRESS = config()["repository"]["url"]
HOSTED_CELL = f"""\
# On a hosted notebook, fetch the book's package; elsewhere it is installed already.
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("lenet_utils") is None:
    address = "lenet-utils @ git+{ADDRESS}"
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", address], check=True)
    print("The book's package was installed from its repository.")"""

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
each_chapter = pytest.mark.parametrize("page", CHAPTERS, ids=lambda page: page.name)


def tags(cell) -> set[str]:
    return set(cell.metadata.get("tags", []))


@cache
def notebook_cells(page) -> list:
    """The notebook's cells, to be read only: all tests share them."""
    return nbformat.read(page.notebook, as_version=4).cells


@cache
def book() -> Book:
    """The book as the notebooks are made from it."""
    return Book(ROOT)


def without_code(text: str) -> str:
    """A page without its code cells and code blocks."""
    return re.sub(r"^(`{3,})(\{code-cell\}|python|bash|text|console).*?^\1$", "", text, flags=re.DOTALL | re.MULTILINE)


# --- pages and pairs -------------------------------------------------------------------------------------------------


def test_every_page_is_in_the_table_of_contents_and_the_other_way_round():
    assert sorted(toc()) == sorted(f"book/{path.stem}" for path in (ROOT / "book").glob("*.md"))


def test_every_chapter_has_a_notebook_and_the_other_way_round():
    assert sorted(page.name for page in CHAPTERS) == sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))


MADE = {"setup", "paragraph", "solution"}  # the tags of code cells that a notebook has and its chapter has not
FOLDED = {"hide-input", "hide-cell", "remove-input", "remove-cell"}


@each_chapter
def test_notebook_has_the_chapters_code_cell_by_cell(page):
    def essence(cell):
        return cell.source, cell.metadata.get("tags", [])

    theirs = [cell for cell in notebook_cells(page) if cell.cell_type == "code" and not MADE & tags(cell)]
    different = [i for i, (a, b) in enumerate(zip(page.code, theirs, strict=False)) if essence(a) != essence(b)]
    assert (len(page.code), different) == (len(theirs), []), f"run `make notebooks`: {page.notebook.name} is behind"


@each_chapter
def test_notebook_is_what_its_chapter_says_to_the_byte(page):
    ours = nbformat.writes(notebook_of(book(), page.name)) + "\n"
    assert ours == page.notebook.read_text("utf8"), f"run `make notebooks`: {page.notebook.name} is behind"
    assert len(ours.encode()) <= 150_000


@each_chapter
def test_notebook_is_valid_and_carries_no_outputs_but_paragraphs(page):
    notebook = nbformat.read(page.notebook, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    for cell in [cell for cell in notebook.cells if cell.cell_type == "code"]:
        assert cell.execution_count is None
        if "paragraph" in tags(cell):
            (output,) = cell.outputs
            assert list(output.data) == ["text/markdown"]
            assert "…" in output.data["text/markdown"]
            assert "paragraph(" not in output.data["text/markdown"]
        else:
            assert cell.outputs == []


@each_chapter
def test_what_a_reader_need_not_see_is_folded(page):
    for cell in notebook_cells(page):
        hidden = bool(tags(cell) & (MADE | FOLDED))
        assert (cell.metadata.get("jupyter", {}).get("source_hidden", False) is True) == hidden
        assert (cell.metadata.get("cellView") == "form") == hidden
        assert set(cell.metadata) <= {"tags", "jupyter", "cellView"}


@each_chapter
def test_no_myst_in_a_notebook(page):
    code = re.compile(r"^```.*?^```$|`[^`]+`", re.DOTALL | re.MULTILINE)
    for cell in notebook_cells(page):
        if cell.cell_type == "markdown" or "paragraph" in tags(cell):
            assert re.findall(r"\{[\w:-]+\}`", cell.source) == []
            text = code.sub("", cell.source)
            assert re.findall(r":::|^\([\w-]+\)=|^%|\$\$ \(|^`{3,}\{|\[\^|\{\{", text, re.MULTILINE) == []


@each_chapter
def test_links_of_a_notebook_lead_somewhere(page):
    def anchors(cells):
        titles = re.findall(r"^#+ (.*)$", "\n".join(c.source for c in cells if c.cell_type == "markdown"), re.MULTILINE)
        return ["#" + title.replace(" ", "-") for title in titles]

    notebooks = {f"{other.name}.ipynb": other for other in CHAPTERS}
    text = "\n".join(c.source for c in notebook_cells(page) if c.cell_type == "markdown" or "paragraph" in tags(c))
    links = [unquote(link) for link in re.findall(r"(?<!`)\]\(([^)\s]*)\)", text)]
    assert links
    for link in links:
        name, sharp, heading = link.partition("#")
        if name.startswith("http"):
            site = f"https://{ADDRESS.split('/')[-2]}.github.io/{ADDRESS.split('/')[-1]}/book/"
            assert not name.startswith(site) or (ROOT / "book" / name[len(site) :]).with_suffix(".md").exists()
            continue
        there = notebook_cells(notebooks[name]) if name else notebook_cells(page)
        assert not sharp or anchors(there).count(sharp + heading) == 1, link


# --- cells -----------------------------------------------------------------------------------------------------------


@each_chapter
def test_first_cell_fetches_the_package_on_hosted_notebooks(page):
    assert page.code[0].source == HOSTED_CELL
    assert page.code[0].metadata["tags"] == ["remove-cell"]


@each_chapter
def test_cells_are_short(page):
    too_long = {cell.source.splitlines()[0]: n for cell in page.code if (n := len(cell.source.splitlines())) > 30}
    assert too_long == {}
    lengths = [sum(bool(line.strip()) for line in cell.source.splitlines()) for cell in page.code[1:]]
    assert statistics.median(lengths) <= 8, sorted(lengths)


@each_chapter
def test_imports_stand_in_one_cell_in_order(page):
    imports, rest = page.code[1].source, page.code[2:]
    late = [line for cell in rest for line in cell.source.splitlines() if re.match(r"(import|from) ", line)]
    assert late == []
    assert imports.splitlines()[-1] == "use_book_style()"
    groups = [group for group in imports.split("\n\n") if re.match(r"(import|from) ", group)]

    def rank(group: str) -> int:
        module = group.split()[1].split(".")[0]
        return 0 if module in sys.stdlib_module_names else 2 if module == "lenet_utils" else 1

    assert [rank(group) for group in groups] == sorted({rank(group) for group in groups})
    assert "import *" not in imports


@each_chapter
def test_no_shell_and_no_blanket_filters(page):
    for cell in page.code:
        assert not re.search(r"^\s*[!%]|filterwarnings|simplefilter|plt\.show\(", cell.source, re.MULTILINE)


@each_chapter
def test_provenance_is_shown_once(page):
    shown = re.compile(r"Provenance\((dataset|source)\)$")
    assert [bool(shown.search(cell.source.rstrip())) for cell in page.code].count(True) == 1


@each_chapter
def test_model_and_loop_are_never_hidden(page):
    hidden = {"hide-input", "hide-cell", "remove-input", "remove-cell"}
    for cell in page.code:
        if hidden & set(cell.metadata.get("tags", [])):
            assert not re.search(r"\.backward\(\)|optimizer\.step\(\)|\bclass \w+\(nn\.Module", cell.source)


@each_chapter
def test_figures_have_caption_name_and_alternative_text(page):
    for cell in page.code:
        settings = cell.metadata.get("mystnb", {})
        if "figure" not in settings and "image" not in settings:
            continue
        where = cell.source.splitlines()[0]
        assert len(settings["figure"]["caption"]) > 20, where
        assert re.fullmatch(rf"fig-{KEBAB.pattern}", settings["figure"]["name"]), where
        assert len(settings["image"]["alt"]) > 20, where
        assert settings["image"]["alt"] != settings["figure"]["caption"], where
        last = cell.source.rstrip().splitlines()[-1]
        assert last.endswith((";", ")")) or not last.startswith("plot_"), where


# --- numbers ---------------------------------------------------------------------------------------------------------


@each_chapter
def test_every_glued_key_is_used(page):
    used = {key for other in PAGES for name, key in other.used if name == page.name}
    unused = [key for key, pattern in page.glued.items() if not any(pattern.fullmatch(k) for k in used)]
    assert unused == []


@each_page
def test_every_used_key_is_glued(page):
    by_name = {other.name: other for other in CHAPTERS}
    missing = []
    for name, key in page.used:
        patterns = by_name[name].glued.values() if name in by_name else []
        if not any(pattern.fullmatch(key) for pattern in patterns):
            missing.append(f"{name}::{key}")
    assert missing == []


# --- prose -----------------------------------------------------------------------------------------------------------


@each_page
def test_one_title(page):
    assert len(re.findall(r"^# \S", without_code(page.text), re.MULTILINE)) == 1


@each_chapter
def test_objectives_name_the_sections_that_meet_them(page):
    boxes = re.findall(r"^:{3,}\{admonition\} What you will do\n(.*?)^:{3,}$", page.prose, re.DOTALL | re.MULTILINE)
    assert len(boxes) == 1
    assert len(re.findall(r"\{(?:ref|numref)\}`|\]\(", boxes[0])) >= 3
    assert re.search(r"CPU time", boxes[0])
    assert re.search(r"need", boxes[0], re.IGNORECASE)


@each_chapter
def test_ends_with_summary_exercises_and_further_reading(page):
    headings = re.findall(r"^## (.*)", without_code(page.text), re.MULTILINE)
    assert headings[-3:] == ["Summary", "Exercises", "Further reading"]


@each_chapter
def test_three_exercises_each_with_a_solution(page):
    opened = re.split(r"^[`:]{3,}\{exercise(?:-start)?\}", page.prose, flags=re.MULTILINE)[1:]
    exercises = [re.search(r"^:?label: ([\w-]+)", text, re.MULTILINE).group(1) for text in opened]
    solutions = re.findall(r"\{solution(?:-start)?\} ([\w-]+)\n(?:---\n)?:?class: dropdown", page.prose)
    assert len(exercises) >= 3
    assert sorted(exercises) == sorted(solutions)


@each_chapter
def test_cites_its_sources(page):
    keys = {key.strip() for group in re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", page.prose) for key in group.split(",")}
    assert keys - set(bibliography()) == set()
    assert len(keys) >= 2


def bibliography() -> list[str]:
    return re.findall(r"^@\w+\{([^,]+),", (ROOT / "book" / "references.bib").read_text("utf8"), re.MULTILINE)


def test_bibliography_is_sorted_without_doubles():
    assert bibliography() == sorted(set(bibliography()))


@each_page
def test_labels_are_kebab_case(page):
    text = without_code(page.text)
    labels = re.findall(r"^\(([^)\s]+)\)=$", text, re.MULTILINE)
    labels += re.findall(r"^:?(?:label|name): (\S+)$", page.text, re.MULTILINE)
    labels = [label for label in labels if label != "python3"]  # the kernel's name
    assert [label for label in labels if not KEBAB.fullmatch(label)] == []
    assert len(labels) == len(set(labels))


# --- the address, and this machine -----------------------------------------------------------------------------------


def test_the_address_stands_in_one_place():
    """Whatever else names the repository was derived from ``_config.yml`` by ``make notebooks``."""
    files = ["README.md", "CITATION.cff", "pyproject.toml"]
    for path in [ROOT / name for name in files] + [page.path for page in PAGES] + [page.notebook for page in CHAPTERS]:
        if path.exists():
            text = path.read_text("utf8")
            named = set(re.findall(r"(?:github\.com|/github)/([\w.-]+/[\w-]+)", text))
            ours = {name for name in named if name.split("/")[0] == ADDRESS.split("/")[-2] or "lenet" in name}
            assert {f"https://github.com/{name}" for name in ours} <= {ADDRESS}, path.name
            assert ours or path.name not in ("README.md", "CITATION.cff"), path.name


def test_readme_names_the_two_commands_and_every_setting():
    readme = (ROOT / "README.md").read_text("utf8")
    for command in ("make book", "make test", "pip install -r requirements.txt", "jupyter-book build .", "pytest"):
        assert command in readme
    sources = "".join(path.read_text("utf8") for path in (ROOT / "lenet_utils").glob("*.py"))
    settings = set(re.findall(r"\bLENET_[A-Z_]+\b", sources))
    assert {name for name in settings if name not in readme} == set()


def test_no_path_of_a_machine():
    folders = ("book", "notebooks", "lenet_utils", "scripts", "tests", "results", "benchmarks", ".github", ".ci")
    kinds = {".md", ".ipynb", ".py", ".json", ".yml", ".bib", ".css", ".svg", ""}
    found = []
    for path in [*ROOT.glob("*.*"), *(path for folder in folders for path in (ROOT / folder).rglob("*"))]:
        if path.is_file() and path.suffix in kinds and "__pycache__" not in path.parts and path.name != "test_book.py":
            text = path.read_text("utf8", errors="replace")
            if str(ROOT) in text or re.search(r"(?<![\w~.])/(root|home|Users)/\w", text):
                found.append(str(path.relative_to(ROOT)))
    assert found == []


def test_every_module_is_documented():
    paths = [path.relative_to(ROOT / "lenet_utils").with_suffix("") for path in ROOT.glob("lenet_utils/**/*.py")]
    modules = {".".join(path.parts).removesuffix(".__init__") for path in paths}
    page = (ROOT / "book/api.md").read_text("utf8")
    documented = re.findall(r"automodule:: lenet_utils\.([\w.]+)$", page, re.MULTILINE)
    assert sorted(documented) == sorted(
        modules - {"__init__", "family", "ledger", "modern", "original", "recipes", "rivals", "widgets"}
    )  # which hold nothing themselves


def test_configuration_files_are_valid_yaml():
    for path in [ROOT / "CITATION.cff", *ROOT.glob("*.yml"), *ROOT.glob(".github/workflows/*.yml")]:
        assert isinstance(yaml.safe_load(path.read_text("utf8")), dict), path.name


# --- a visible cell teaches ---

PLUMBING = re.compile(r"^\s*glue\(|\bload_results\(|\bjson\.|\bif stored\b|\bexcept ResultsError\b", re.MULTILINE)


@each_chapter
def test_no_bookkeeping_in_a_cell_that_a_reader_sees(page):
    folded = {"remove-cell", "remove-input", "hide-input", "hide-cell"}
    seen = [cell.source for cell in page.code if not folded & set(cell.metadata.get("tags", []))]
    assert [source.splitlines()[0] for source in seen if PLUMBING.search(source)] == []


@each_chapter
def test_code_that_a_reader_sees_fits_its_column(page):
    folded = {"remove-cell", "remove-input", "hide-input", "hide-cell"}
    seen = [cell.source for cell in page.code if not folded & set(cell.metadata.get("tags", []))]
    seen += [code for blocks in page.solutions.values() for code, *_ in blocks]
    assert [line for source in seen for line in source.splitlines() if len(line) > 76] == []


# --- something to do -------------------------------------------------------------------------------------------------

BACK_MATTER = ("welcome", "sources", "pytorch", "lightning")
main_chapters = pytest.mark.parametrize(
    "page", [page for page in CHAPTERS if page.name not in BACK_MATTER], ids=lambda page: page.name
)


@main_chapters
def test_at_least_three_checks(page):
    assert len(re.findall(r"^:{3,}\{check\}$", page.prose, re.MULTILINE)) >= 3


@main_chapters
def test_five_to_eight_exercises(page):
    assert 5 <= len(re.findall(r"^`{3,}\{exercise(?:-start)?\}", page.prose, re.MULTILINE)) <= 8


@each_chapter
def test_every_exercise_says_how_long_it_takes(page):
    titles = re.findall(r"^[`:]{3,}\{exercise(?:-start)?\}(.*)", page.prose, re.MULTILINE)
    assert [title for title in titles if not re.fullmatch(r" .+ · \d+ minutes", title)] == []


# --- the record ------------------------------------------------------------------------------------------------------

PLACE = re.compile(r"\b[Ss]ections? [IVX]+\b|\b[Aa]ppendix [A-D]\b|\bFigs?\. \d|\bTable I\b|\bequations? \(?\d")


def paragraphs(text: str) -> list[str]:
    """A page's paragraphs without code, each admonition or exercise as one of them."""
    plain = without_code(text.partition("---\n")[2].partition("---\n")[2] or text)
    plain = re.sub(
        r"^(:{3,}|`{3,})\{[^\n]*\n.*?^\1$", lambda m: re.sub(r"\n\s*\n", "\n", m[0]), plain, flags=re.S | re.M
    )
    return [part for part in re.split(r"\n\s*\n", plain) if not part.startswith("#")]


@each_page
def test_a_place_in_a_paper_stands_beside_its_source(page):
    """Whoever names a section, figure, table or equation of a publication cites it in the same paragraph."""
    homeless = [
        part[:90] for part in paragraphs(page.path.read_text("utf8")) if PLACE.search(part) and "{cite" not in part
    ]
    assert homeless == []


@each_chapter
def test_rows_of_printed_numbers_are_read_from_the_record(page):
    code = re.sub(r"\s+", " ", "\n".join(cell.source for cell in page.code))
    rows = {name: row.value for name, row in record().items() if isinstance(row.value, list) and len(row.value) > 2}
    assert [name for name, values in rows.items() if ", ".join(map(str, values)) in code] == []
