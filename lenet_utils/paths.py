"""One rule for where data, trained networks and results lie, and one way to put a file there: whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
PROJECT = 'name = "lenet-utils"'  # in a pyproject.toml: another project's may lie beside an installed package


def checkout() -> Path | None:
    """The checkout that this package lies in, or None where it is installed by itself."""
    root = PACKAGE.parent
    try:
        return root if PROJECT in (root / "pyproject.toml").read_text("utf8") else None
    except (OSError, ValueError):
        return None


def data_dir(root: str | os.PathLike | None = None) -> Path:
    """The data folder: ``root``, else ``LENET_DATA_DIR``, else ``data/`` in the checkout, else one in the home."""
    if root is not None:
        return _expand(root, "The data folder")
    return _folder("LENET_DATA_DIR", "data", _home() / ".cache" / "lenet_utils")


def cache_dir() -> Path:
    """Where trained networks lie: ``LENET_CACHE_DIR``, else ``.cache/`` in the checkout, else a folder in the home."""
    return _folder("LENET_CACHE_DIR", ".cache", _home() / ".cache" / "lenet_utils" / "checkpoints")


def results_dir() -> Path:
    """Where long runs write: ``LENET_RESULTS_DIR``, else ``results/`` in the checkout, else in the working folder."""
    return _folder("LENET_RESULTS_DIR", "results", Path.cwd() / "results")


def stored_results() -> list[Path]:
    """All results files, by name: those that came with an installed package, and one's own, which take their place."""
    found = {path.name: path for folder in (PACKAGE / "results", results_dir()) for path in folder.glob("*.json")}
    return [found[name] for name in sorted(found)]


def shorten(path: Path) -> str:
    """A path as it is shown to people: relative to the checkout where it lies inside, else in full."""
    root = checkout()
    return str(path.relative_to(root) if root and path.is_relative_to(root) else path)


def read_file(path: Path) -> bytes:
    """The content of a regular file.

    Raises
    ------
    OSError
        If there is none, or it cannot be read; a pipe, a device or a folder in its place is named and left unread.
    """
    if path.exists() and not path.is_file():
        raise OSError(None, "it is no regular file", str(path))
    return path.read_bytes()


def write_file(path: Path, content: bytes) -> None:
    """Write a file so that ``path`` holds all of ``content``, or stays as it was.

    Raises
    ------
    OSError
        If the folder cannot be written, or is full: one sentence that says so; the temporary file is gone then.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        raise OSError(
            f"{path.name} cannot be stored in {shorten(path.parent)} ({error.strerror or error}): make room or permit "
            f"writing there, or name another folder in the environment."
        ) from None


def check_writable(folder: Path) -> None:
    """Refuse a folder in which nothing can be stored, before hours are spent on what should be.

    Raises
    ------
    OSError
        As :func:`write_file` does.
    """
    probe = folder / f".probe-{os.getpid()}"
    write_file(probe, b"can it be written?")
    probe.unlink()


def _folder(variable: str, inside: str, outside: Path) -> Path:
    """The folder that ``variable`` names, else ``inside`` the checkout, else ``outside`` of any."""
    if os.environ.get(variable):
        return _expand(os.environ[variable], variable)
    root = checkout()
    return root / inside if root else outside


def _expand(path: str | os.PathLike, owner: str) -> Path:
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"{owner} must be given as a path; got one of type {type(path).__name__}.")
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ValueError(f"{owner} names {str(path)!r}, but there is no such user here: write the path out.") from None


def _home() -> Path:
    return Path(os.path.expanduser("~"))  # never raises, as Path.home() does for a user without one
