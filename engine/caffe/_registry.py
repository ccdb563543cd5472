"""Implementations, by their names in prototxt."""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from caffe._error import PrototxtError
from caffe._files.prototxt import nearest

T = TypeVar("T")


class Registry(Generic[T]):
    """A table from names to implementations; each name is registered once.

    Args:
        what: the kind of entry, such as ``layer type``, for error messages.
    """

    def __init__(self, what: str):
        self._what = what
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that registers its argument as the implementation of ``name``."""

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
        """Return the implementation named ``name``.

        Args:
            where: beginning of the error message, such as ``Layer 'conv1': ``.

        Raises:
            PrototxtError: nothing has this name; the message names the nearest and all known ones.
        """
        if name not in self._entries:
            unknown = f"{where}unknown" if where else "Unknown"
            raise PrototxtError(
                f"{unknown} {self._what}: {name or '(none)'}.{nearest(name, list(self))} (known: {', '.join(self)})"
            )
        return self._entries[name]
