"""What an artifact is: a kind of file, a whole one, and what reads it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Found = tuple[object, object]
"""What a reader found: what must be the same or refused, and what nobody can know to be changed."""


@dataclass(frozen=True)
class Artifact:
    """A kind of file.

    Attributes:
        make: writes a whole one, and all that belongs to it, into the working folder; returns the file to damage.
        read: what the project does with it.
        errors: the documented exceptions for a damaged one.
        names: what an error may name instead of the file: its folder, or a layer.
    """

    make: Callable[[Path], Path]
    read: Callable[[Path], Found]
    errors: tuple[type[Exception], ...]
    names: tuple[str, ...] = ()
