"""What the book needs from Sphinx beyond ``_config.yml``: never stale, never online, figures for light and dark.

Each part is one function connected to one event; :func:`setup` at the end is the index.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import nullcontext, suppress
from importlib import metadata, util
from pathlib import Path
from types import TracebackType

import joblib
from docutils import nodes
from filelock import FileLock, Timeout
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn, JupyterCacheAbstract
from myst_nb.core.read import create_nb_reader
from nbclient import NotebookClient
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.errors import ExtensionError, SphinxError
from sphinx.util import logging
from warm_kernels import WarmKernels

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # autodoc and the fingerprint read this checkout, wherever another may be installed

LIBRARIES = (
    *("torch", "torchvision", "numpy", "scikit-learn", "scipy", "matplotlib", "torchinfo", "ipykernel"),
    *("lightning", "torchmetrics"),  # which may be absent
)

logger = logging.getLogger(__name__)


# --- Never stale -----------------------------------------------------------------------------------------------------


def fingerprint(root: Path = ROOT) -> str:
    """A digest of all that decides a chapter's numbers besides its own cells.

    These are the package's files, those in sub-folders included, the requirements, what long runs measured
    (``results/``), the data that ``load("auto")`` would read, Fashion-MNIST, USPS, the versions of the libraries that
    compute, and the environment's choices.
    """
    from lenet_utils import data, paths

    digest = hashlib.sha256()
    package = [path for path in root.glob("lenet_utils/**/*") if path.is_file() and "__pycache__" not in path.parts]
    for path in [*sorted(package), root / "requirements.txt", *paths.stored_results()]:
        name = path.relative_to(root) if path.is_relative_to(root) else path.name
        digest.update(f"{name}\0".encode() + path.read_bytes())
    facts = [f"{name} {_version(name)}" for name in LIBRARIES]
    facts += [
        platform.python_version(),
        platform.machine(),
        data.fingerprint("auto"),
        data.fingerprint("fashion-mnist"),
        data.fingerprint("usps"),
    ]
    facts += [f"{key}={os.environ.get(key, '')}" for key in ("LENET_DATASET", "LENET_DEVICE", "OMP_NUM_THREADS")]
    digest.update("\n".join(facts).encode())
    return digest.hexdigest()[:16]


def _version(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return "absent"


def settle_data() -> None:
    """Fetch what chapters read before any of them runs, and let all of them read the same."""
    from lenet_utils import data

    dataset = data.load("auto")
    os.environ["LENET_DATASET"] = dataset.name
    if dataset.name != "digits":
        for name in ("fashion-mnist", "usps"):
            try:
                data.load(name)
            except data.DataError as problem:
                logger.info("%s", problem)  # the chapter that wants it says what it does without


def prepare_kernels(app: Sphinx, config) -> None:
    """Give chapters this checkout's package, one thread each, and a cache that knows what their outputs rest on."""
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ["LENET_PROGRESS"] = "0"
    os.environ["LENET_BOOK"] = "1"  # measured numbers go to the pages; see lenet_utils.notebook
    caches = Path(app.outdir).parent / ".jupyter_cache"
    take_turns(app, caches.parent)
    app.warm_kernels = None if caches.exists() else WarmKernels()  # they import while the fingerprint is taken
    settle_data()
    current = caches / fingerprint()
    for old in caches.glob("*") if caches.exists() else ():
        if old != current:
            shutil.rmtree(old, ignore_errors=True) if old.is_dir() else old.unlink()
    config.nb_execution_cache_path = str(current)


def take_turns(app: Sphinx, folder: Path) -> None:
    """Let one build at a time work in a tree; where no lock can be written, there is none."""
    app.turn = FileLock(folder / ".building.lock")
    app.connect("build-finished", lambda *_: app.turn.release())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        app.turn.acquire(timeout=0)
    except Timeout:
        logger.info("Another build is at work in this tree: this one waits for it.")
        app.turn.acquire()
    except (OSError, NotImplementedError):
        pass


# --- Chapters side by side -------------------------------------------------------------------------------------------


def execute_side_by_side(app: Sphinx, env: BuildEnvironment, docnames: list[str]) -> None:
    """Execute the chapters that the cache does not hold, each in its own kernel, as many at a time as there are cores.

    The pages find their outputs in the cache afterwards.  A chapter with a failing cell fails the build, once the
    others are done and kept.
    """
    if app.config.nb_execution_mode != "cache":
        return
    cache = sound_cache(app.config.nb_execution_cache_path)
    chapters, stale = [], {}
    first = app.config.book_longest_first
    for docname in sorted(env.found_docs, key=lambda name: (first.index(name) if name in first else len(first), name)):
        path = Path(env.doc2path(docname))
        text = path.read_text("utf8")
        reader = create_nb_reader(str(path), env.myst_config, env.mystnb_config, text)
        if reader is None:
            continue
        chapters.append(docname)
        notebook = reader.read(text)
        try:
            cache.match_cache_notebook(notebook)
        except KeyError:
            stale[path] = notebook
    if not stale:
        return
    docnames[:] = sorted({*docnames, *chapters})  # a page may show another page's numbers
    failures = []
    kernels = app.warm_kernels or (WarmKernels() if len(stale) > 1 else nullcontext())
    with kernels, _Executions(app.config) as executions:
        for path, seconds, error in executions.of(stale):
            name = path.relative_to(ROOT)
            if error is not None:
                failures.append(_told(name, stale[path], error))
                logger.verbose("%s", error)  # with its traceback: jupyter-book build . -v
                continue
            logger.info("executed %s in %.1f s", name, seconds)
            bundle = CacheBundleIn(stale[path], str(path), data={"execution_seconds": seconds})
            cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
    if failures:
        raise ExtensionError("\n".join(failures))


def sound_cache(path: str) -> JupyterCacheAbstract:
    """The cache of executed chapters, every one of which can be read; a damaged one is dropped, with a line.

    A build that is killed, or whose disk is full, can leave a record without its notebook, or half of either.
    """
    cache = get_cache(path)
    try:
        for record in cache.list_cache_records():
            cache.get_cache_bundle(record.pk)
    except Exception as problem:  # whatever reading half a file raises
        logger.info("The executed chapters in _build are damaged (%s): all run again.", type(problem).__name__)
        shutil.rmtree(path, ignore_errors=True)
        cache = get_cache(path)
    return cache


def _told(name: Path, notebook, error: Exception) -> str:
    """What went wrong in a chapter, in one line: where, the cause, and what to do."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    failed = [n for n, cell in enumerate(code, 1) if any(out.output_type == "error" for out in cell.outputs)]
    where = f"{name}, code cell {failed[0]}" if failed else f"{name}"
    cause = f"{error.ename}: {error.evalue}" if hasattr(error, "ename") else f"{type(error).__name__}: {error}"
    cause = " ".join(re.sub(r"\x1b\[[\d;]*m", "", cause).split())
    return f"{where} failed: {cause[:500]}. Mend it and build again; jupyter-book build . -v shows the whole traceback."


class _Executions:
    """Notebooks executed side by side; leaving early, by Ctrl-C for instance, ends their kernels."""

    def __init__(self, config) -> None:
        self.config = config
        self.clients: list[NotebookClient] = []
        self.ended = threading.Event()
        self.pool = ThreadPoolExecutor(joblib.cpu_count())

    def __enter__(self) -> _Executions:
        return self

    def __exit__(self, *exception) -> None:
        self.ended.set()
        self.pool.shutdown(wait=False, cancel_futures=True)
        for client in self.clients:
            process = getattr(getattr(client.km, "provisioner", None), "process", None)
            with suppress(OSError):
                if process is not None:
                    process.kill()
        self.pool.shutdown()

    def of(self, notebooks: dict) -> Iterator[tuple[Path, float, Exception | None]]:
        """Path, seconds and what went wrong, of each notebook as it ends."""
        jobs = {self.pool.submit(self._execute, notebook, path): path for path, notebook in notebooks.items()}
        for job in as_completed(jobs):
            yield jobs[job], 0.0 if job.exception() else job.result(), job.exception()

    def _execute(self, notebook, path: Path) -> float:
        logger.info("executing %s …", path.relative_to(ROOT))
        start = time.perf_counter()
        client = NotebookClient(
            notebook,
            timeout=self.config.nb_execution_timeout,
            startup_timeout=300,
            coalesce_streams=True,  # one print may arrive in pieces, which MyST-NB would put on lines of their own
            record_timing=False,  # times in a cell's metadata would make it another cell to the cache
            resources={"metadata": {"path": str(path.parent)}},
            shutdown_kernel="immediate",  # a polite one takes two seconds, and there is nothing left to finish
            extra_arguments=["--IPKernelApp.log_level=40"],  # else a warning that its local port is not encrypted
        )
        self.clients.append(client)
        if not self.ended.is_set():
            client.execute()
        return time.perf_counter() - start


# --- Never online ----------------------------------------------------------------------------------------------------


def copy_mathjax(app: Sphinx, exception: Exception | None) -> None:
    """Serve MathJax from the site itself: the part of it that renders TeX, from the package that carries it."""
    if exception or app.builder.format != "html":
        return
    package = util.find_spec("sphinx-mathjax-offline")
    source = Path(package.origin).parent / "static" / "mathjax"
    target = Path(app.outdir) / "_static" / "mathjax"
    fonts = Path("output", "chtml", "fonts", "woff-v2")
    shutil.copytree(source / fonts, target / fonts, dirs_exist_ok=True)
    shutil.copy2(source / "tex-mml-chtml.js", target)


def drop_thebe(app: Sphinx, config) -> None:
    """Jupyter Book always loads sphinx-thebe, which names a CDN on every page; disconnect all of it."""
    for listeners in list(app.events.listeners.values()):
        for listener in [one for one in listeners if one.handler.__module__ == "sphinx_thebe"]:
            app.disconnect(listener.id)
    app.registry.css_files = [file for file in app.registry.css_files if "thebe" not in file[0]]


# --- For readers who listen -------------------------------------------------------------------------------------------

MENDED = {  # what the theme and docutils write, and what accessibility checkers ask for
    ' role="doc-biblioentry"': ' role="listitem"',
    '<div id="pst-primary-sidebar"': '<div role="navigation" aria-label="The book" id="pst-primary-sidebar"',
}


def mend_roles(app: Sphinx, exception: Exception | None) -> None:
    """Give every part of a page a role that assistive software knows."""
    if exception or app.builder.format != "html":
        return
    for path in Path(app.outdir).rglob("*.html"):
        before = after = path.read_text("utf8")
        for written, wanted in MENDED.items():
            after = after.replace(written, wanted)
        if after != before:
            path.write_text(after, "utf8")


# --- Buttons open the paired notebooks -------------------------------------------------------------------------------


def point_to_notebooks(app: Sphinx, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Launch buttons open ``notebooks/x.ipynb`` instead of ``book/x.md``, and the download is that notebook."""
    folder, _, name = pagename.rpartition("/")
    notebook = ROOT / "notebooks" / f"{name}.ipynb"
    if folder != "book" or "ipynb_source" not in context or not notebook.exists():
        return
    shutil.copy2(notebook, Path(app.outdir, "_sources", pagename).with_suffix(".ipynb"))
    source = app.config.html_theme_options["repository_url"]
    for button in _buttons(context.get("header_buttons", [])):
        url = button.get("url", "")
        if url.startswith("https://") and not url.startswith(source):  # a host's; the page's own source stays Markdown
            button["url"] = button["url"].replace(f"/{pagename}.md", f"/notebooks/{name}.ipynb")


def _buttons(buttons: list[dict]):
    for button in buttons:
        yield button
        yield from _buttons(button.get("buttons", []))


# --- Figures in the page's own colours -------------------------------------------------------------------------------


def visit_image(translator, node: nodes.image) -> None:
    """Write a chapter's SVG figure into the page, its ink and paper taken from the page's theme."""
    path = Path(translator.builder.srcdir, node["uri"])
    if path.suffix != ".svg" or "jupyter_execute" not in path.parts:
        translator.__class__.visit_image(translator, node)
        return
    translator.glyphs = getattr(translator, "glyphs", set())
    svg = themed_svg(path.read_text("utf8"), node.get("alt", ""), f"fig-{len(translator.body)}-", translator.glyphs)
    translator.body.append(svg)
    raise nodes.SkipNode


GLYPH = re.compile(r'<path id="([\w-]+)" d="[^"]*" transform="scale\(0\.015625\)"/>')  # as matplotlib writes letters


def themed_svg(svg: str, alt: str, prefix: str, glyphs: set[str]) -> str:
    """An SVG document as an element of a page: scalable, named for screen readers, in the theme's colours, and small.

    Letters that the page has already (``glyphs``, which grows) are not drawn again, and places have two decimals.
    """
    from lenet_utils.plotting import INK, PAPER

    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r">\s+<", "><", svg)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg).replace("xlink:href", "href")  # nothing points to a group
    svg = re.sub(r'(?<= )(d|x|y|transform)="([^"]*)"', lambda found: f'{found[1]}="{_short(found[2])}"', svg)
    letters = set(GLYPH.findall(svg))
    svg = GLYPH.sub(lambda found: "" if found[1] in glyphs else found[0], svg).replace("<defs></defs>", "")
    glyphs |= letters
    of_page = "|".join(map(re.escape, sorted(letters))) or "none"
    svg = re.sub(rf'\bid="(?!(?:{of_page})")', f'id="{prefix}', svg)
    svg = re.sub(rf'(url\(#|href="#)(?!(?:{of_page})")', rf"\1{prefix}", svg)
    svg = svg.replace(INK, "var(--book-ink)").replace(PAPER, "var(--book-paper)")
    tag, rest = svg.split(">", 1)
    width = float(re.search(r'viewBox="0 0 ([\d.]+)', tag).group(1))
    tag = re.sub(r'\s(width|height)="[^"]*"', "", tag)
    label = nodes.unescape(alt).replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    named = f'role="img" aria-label="{label}"' if alt else 'aria-hidden="true"'
    return f'{tag} class="book-figure" style="max-width: {width * 4 / 3:.0f}px" {named}>{rest}'


def _short(numbers: str) -> str:
    """A path or a place with two decimals, in 72nds of an inch; but a scale, which is below 1, as it is."""
    rounded = re.sub(r"\b[1-9]\d*\.\d{3,}", lambda number: f"{float(number[0]):.2f}", numbers)
    return " ".join(rounded.split())


# --- What went wrong, in one line -------------------------------------------------------------------------------------


def speak_plainly(app: Sphinx) -> None:
    """End a build that fails with its cause in one line; with ``-v``, with the traceback, too."""

    def last_words(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        while error.__cause__ is not None:
            error = error.__cause__
        said = str(error) if isinstance(error, SphinxError) else f"{type(error).__name__}: {error}"
        print(f"The book was not built. {said}", file=sys.stderr)

    if app.verbosity == 0:
        sys.excepthook = last_words


def setup(app: Sphinx) -> dict:
    speak_plainly(app)
    sys.modules.setdefault("lightning", None)  # the API page names it, and needs nothing of it
    app.add_config_value("book_longest_first", [], "", list)
    app.connect("config-inited", prepare_kernels, priority=100)
    app.connect("config-inited", drop_thebe, priority=100)
    app.connect("env-before-read-docs", execute_side_by_side)
    app.connect("html-page-context", point_to_notebooks, priority=900)
    app.connect("build-finished", copy_mathjax)
    app.connect("build-finished", mend_roles)
    app.add_css_file("book.css")
    app.add_node(nodes.image, override=True, html=(visit_image, lambda translator, node: None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
