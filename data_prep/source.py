"""Remembers the set of the last `make data` in data/source.json, so that later commands find it."""

import json
import os
import shlex
from pathlib import Path

from data_prep.listing import files_digest, list_files
from harness.errors import UserError

FILE = "source.json"
#: The command that names a set, as messages show it.
COMMAND = "make data TINY_IMAGENET=zip-or-folder"


def named() -> str | None:
    """The path that TINY_IMAGENET names, None if it is unset or empty."""
    return os.environ.get("TINY_IMAGENET") or None


def remember(path: Path, folder: Path) -> None:
    """Keep the set's path and its digest in ``folder``.

    A path beside ``folder`` or below it is kept relative, so that a repository can be moved with its data.
    """
    whole, here = path.absolute(), folder.absolute()
    kept = os.path.relpath(whole, here) if whole.is_relative_to(here.parent) else str(whole)
    text = json.dumps({"path": kept, **_stat(whole), "digest": _digest(whole)}, indent=1) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / f".{FILE}.{os.getpid()}"
    beside.write_text(text, encoding="utf-8")
    beside.replace(folder / FILE)


def recall(folder: Path) -> Path | None:
    """The set that ``folder`` remembers; None if it remembers none.

    Raises ``UserError`` if the set is gone or has changed since, with the command that fixes it.
    """
    path, kept = remembered(folder), _read(folder)
    if path is None:
        return None
    if not path.exists():
        raise UserError(f"{path}: make data was given this set, and it is gone; bring it back, or name one: {COMMAND}")
    as_it_was = path.is_file() and _stat(path) == {name: kept.get(name) for name in ("bytes", "mtime_ns")}
    if not as_it_was and _digest(path) != kept["digest"]:
        again = f"make data TINY_IMAGENET={shlex.quote(str(path))}"
        raise UserError(f"{path}: has changed since make data was given it; check it and take it as it is now: {again}")
    return path


def remembered(folder: Path) -> Path | None:
    """The path that ``folder`` remembers, existing or not, relative to the current folder."""
    kept = _read(folder)
    if kept is None:
        return None
    path = Path(os.path.normpath(folder.absolute() / kept["path"]))
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _read(folder: Path) -> dict | None:
    file = folder / FILE
    if not file.is_file():
        return None
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        if not all(isinstance(kept[name], str) for name in ("path", "digest")):
            raise ValueError("no path or digest")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{file}: not what make data writes ({error}); name the set again: {COMMAND}") from error
    return kept


def _stat(path: Path) -> dict[str, int | None]:
    """The values that show, without a read, that a zip is unchanged. A folder's own size and time show nothing."""
    about = path.stat()
    return {"bytes": about.st_size, "mtime_ns": about.st_mtime_ns}


def _digest(path: Path) -> str:
    """A digest that identifies a set: names, sizes and checksums of its files."""
    reader, entries = list_files(path)
    return files_digest(reader, entries.values())
