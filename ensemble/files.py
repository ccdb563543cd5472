"""What every step of the ensemble does with files: say what is wrong with one, and write one whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


class BadInput(Exception):
    """Something the user can put right; its text is one line: what, where, what to do."""


@contextmanager
def whole_file(path: Path, mode: str = "w") -> Iterator[IO]:
    """Open a file that appears at `path` only when the block ends well; the old one stays until then."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    encoding, newline = (None, None) if "b" in mode else ("utf-8", "")
    try:
        with open(beside, mode, encoding=encoding, newline=newline) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        if beside.exists():
            beside.unlink()
        raise
