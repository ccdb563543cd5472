"""Implementations by the name that a prototxt has for them."""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from caffe._error import PrototxtError
from caffe._files.prototxt import nearest

T = TypeVar("T")


class Registry(Generic[T]):
    """Names and what they stand for; each name can be given once.

    Args:
        what: what the names are names of, for errors, as ``layer type``.
    """

    def __init__(self, what: str):
        self._what = what
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """A decorator that makes what it decorates the implementation of ``name``."""

        def add(entry: T) -> T:
            if name in self._entries:
                raise ValueError(f"{self._what} {name} is registered twice")
            self._entries[name] = entry
            return entry

        return add

    def __iter__(self) -> Iterator[str]:
        """The names, sorted."""
        return iter(sorted(self._entries))

    def find(self, name: str, where: str = "") -> T:
        """What ``name`` stands for.

        Args:
            where: begins the error message, as ``Layer 'conv1': ``.

        Raises:
            PrototxtError: nothing has this name; the nearest and all known ones are named.
        """
        if name not in self._entries:
            unknown = f"{where}unknown" if where else "Unknown"
            raise PrototxtError(
                f"{unknown} {self._what}: {name or '(none)'}.{nearest(name, list(self))} (known: {', '.join(self)})"
            )
        return self._entries[name]
