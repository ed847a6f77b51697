"""The package's rooms: a flat core, a folder for each part of the book, one door for each name, no circle."""

from __future__ import annotations

import ast
import tomllib
from functools import cache
from pathlib import Path

import jupytext
import pytest
from conftest import ROOT

PACKAGE = ROOT / "lenet_utils"
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
FOLDERS = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
COMMANDS = {"lenet_utils.runs", "lenet_utils.predict"}  # which collects what the folders offer


def sources() -> dict[str, str]:
    """All code of the project by file: package, tests, scripts, benchmarks, and the chapters' cells."""
    paths = [
        path for folder in ("lenet_utils", "tests", "scripts", "benchmarks") for path in ROOT.glob(f"{folder}/**/*.py")
    ]
    found = {str(path.relative_to(ROOT)): path.read_text("utf8") for path in paths}
    for path in ROOT.glob("notebooks/*.ipynb"):
        cells = [cell.source for cell in jupytext.read(path).cells if cell.cell_type == "code"]
        found[str(path.relative_to(ROOT))] = "\n".join(
            line for line in "\n".join(cells).splitlines() if line[:1] not in "%!"
        )
    return found


def imports(text: str) -> list[tuple[str, str]]:
    """(module, name) of each import from the package, a module itself as (its package, its last name)."""
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom) and node.module]
    return [
        (node.module, alias.name)
        for node in nodes
        if node.module.split(".")[0] == "lenet_utils"
        for alias in node.names
    ]


@cache
def defined(module: str) -> set[str]:
    """The names that a module binds itself, not by an import."""
    names = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text("utf8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def room(module: str) -> str:
    return module.split(".")[1] if module.count(".") else module


def arrows() -> dict[str, set[str]]:
    """Which rooms each room imports, a folder being one room."""
    rooms: dict[str, set[str]] = {room(module): set() for module in MODULES if module != "lenet_utils"}  # the house
    for module, path in MODULES.items():
        for source, name in imports(path.read_text("utf8")):  # of the house there are none
            target = f"{source}.{name}" if f"{source}.{name}" in MODULES else source
            rooms[room(module)] |= {room(target)} - {room(module)}
    return rooms


@pytest.mark.parametrize(("file", "text"), sources().items(), ids=sources())
def test_every_name_is_imported_from_where_it_is_defined(file, text):
    detours = [
        f"{module}.{name}"
        for module, name in imports(text)
        if f"{module}.{name}" not in MODULES and name not in defined(module)
    ]
    assert detours == []


def test_at_most_32_rooms_on_at_most_9_floors_without_a_circle():
    rooms, floors = arrows(), {}
    while len(floors) < len(rooms):
        ready = [name for name in rooms if name not in floors and rooms[name] <= floors.keys()]
        assert ready, f"a circle among {sorted(set(rooms) - set(floors))}"
        floors |= {name: 1 + max((floors[below] for below in rooms[name]), default=0) for name in ready}
    assert len(rooms) <= 32
    assert max(floors.values()) <= 9, floors  # the commands stand on all others


def test_the_core_imports_no_folder():
    for module, path in MODULES.items():
        if room(module) not in FOLDERS and module not in COMMANDS:
            upwards = [
                source for source, name in imports(path.read_text("utf8")) if {*source.split("."), name} & FOLDERS
            ]
            assert upwards == [], module


def test_every_module_is_short():
    assert {name: n for name, path in MODULES.items() if (n := len(path.read_text("utf8").splitlines())) > 320} == {}


def test_no_file_of_another_language_stands_in_a_python_string():
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text("utf8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.count("\n") > 3:
                assert "addEventListener" not in node.value, name
                assert "{ display:" not in node.value, name


def test_tests_mirror_the_package():
    """Every folder has its tests in a folder of its name; and no test lies in a folder that the package lacks."""
    assert {path.parent.name for path in Path(ROOT / "tests").glob("*/__init__.py")} == FOLDERS


def test_every_folder_is_packaged():
    """A notebook far from the repository gets all of the package."""
    packaged = set(tomllib.loads((ROOT / "pyproject.toml").read_text("utf8"))["tool"]["setuptools"]["packages"])
    assert packaged == {"lenet_utils", "lenet_utils.results", *(f"lenet_utils.{folder}" for folder in FOLDERS)}
