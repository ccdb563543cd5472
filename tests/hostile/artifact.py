"""An artifact: a kind of file, a whole example of it, and its reader."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Found = tuple[object, object]
"""A reader's result: the part that must be equal or refused, and the part whose damage nobody can detect."""


@dataclass(frozen=True)
class Artifact:
    """A kind of file.

    Attributes:
        make: writes a whole one, with its companion files, into the working folder; returns the file to damage.
        read: the project's reader.
        errors: the documented exceptions for a damaged one.
        names: words that an error may name instead of the file, such as its folder or a layer.
    """

    make: Callable[[Path], Path]
    read: Callable[[Path], Found]
    errors: tuple[type[Exception], ...]
    names: tuple[str, ...] = ()
