"""Files of the experiment: reading with an error that names the fault, and writing whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from google.protobuf.message import DecodeError

from harness.errors import UserError

#: Bytes of a file of text or a message; a message cannot have more.
LARGEST = 2**31 - 1


def read_text(path: Path, remedy: str) -> str:
    """The content of a text file; raises UserError, which ends with the remedy, where it is no text or too large."""
    try:
        if path.stat().st_size > LARGEST:
            raise UserError(f"{path}: larger than {LARGEST} bytes; {remedy}")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not a text file; {remedy}") from error


def read_message(path: Path, kind, what: str, remedy: str):
    """The protobuf message that a file holds; raises UserError, which ends with the remedy, where it holds none."""
    if path.stat().st_size > LARGEST:
        raise UserError(f"{path}: larger than {LARGEST} bytes, which no {what} is; {remedy}")
    try:
        return kind.FromString(path.read_bytes())
    except DecodeError as error:
        raise UserError(f"{path}: not a whole {what}; {remedy}") from error


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
