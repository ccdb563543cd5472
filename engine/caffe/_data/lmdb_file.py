"""LMDBs are opened here, to be read, after a look at their pages.

A file that was cut or a flipped byte must not end the process or make records disappear. So the tree of pages is
walked first (_data/lmdb_walk.py), with reads that can only fall short. That takes the branch and leaf pages, about one page
in 160 of Tiny ImageNet's, and not the records. A record is checked when it is read (_data/datum.py), and no check can
know a pixel. ``lmdb.verify``, which looks at more, reads a page of every record: minutes on a cold disk.

The walk notes where each record lies, and the records are read from a map of the file, without py-lmdb. py-lmdb
refuses to open the same files (by device and inode) twice in a process, since liblmdb's POSIX locks belong to the
process. A script that had the LMDB open would keep a net from it, and a net the script; real Caffe lets both open it
in any order. Nothing here meets py-lmdb's environments: data.mdb is only opened and mapped, and the entry in the
reader table (_data/lmdb_readers.py) looks like another process's.

Each LmdbFile is one committed state, as a read transaction of real Caffe is. A net made later opens the folder again,
and so reads what is there then: added records, or another LMDB of the same name.
"""

import mmap
import os
import weakref
from bisect import bisect_left
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from caffe._data import lmdb_readers
from caffe._data.lmdb_pages import META_BYTES, Damaged, State, Unreadable, transaction_of
from caffe._data.lmdb_walk import Index, walk
from caffe._error import DataError

_TO_DO = "build it again, or copy it again from where it is whole"
_TRIES = 20  # as often a writer may change an LMDB while it is opened


class LmdbFile:
    """A committed state of an LMDB, open to be read inside ``with``.

    liblmdb's writers reuse the pages of a state from the third commit after it on, unless the reader table has an
    entry for it. So ``with`` ends in DataError if there is no entry and a writer came so far: what was read may
    be other records.

    Attributes:
        source: the LMDB's folder.
        index: where its records lie.
    """

    def __init__(self, source: str, folder: str, file: int, state: State):
        self.source = source
        self.index = Index()
        self.state = state
        self._folder = folder
        self._status = os.fstat(file)
        self._bytes = max(state.pages * state.page_bytes, state.page_bytes + META_BYTES)
        self._map = mmap.mmap(file, self._bytes, prot=mmap.PROT_READ)
        self._places = (0, state.page_bytes) if state.slot == 0 else (state.page_bytes, 0)
        self._entry: lmdb_readers.ReaderEntry | None = None
        self._keep(lmdb_readers.enter(folder, self._status, state.transaction))

    def _keep(self, entry: lmdb_readers.ReaderEntry | None) -> None:
        """Rely on an entry, unless it came so late that a writer may not have seen it."""
        if entry is not None and self.is_young():
            self._entry = entry
            weakref.finalize(self, entry.release)
        elif entry is not None:
            entry.release()

    def __len__(self) -> int:
        return len(self.index)

    def key(self, at: int) -> bytes:
        """Key of a record, by its place in the order of keys."""
        start = self.index.key_starts[at]
        return self._map[start : start + self.index.key_lengths[at]]

    def value(self, at: int) -> bytes:
        return self._map[self.index.starts[at] : self.index.ends[at]]

    def find(self, key: bytes) -> int | None:
        """Place of the record with this key."""
        (wanted,) = self.state.ranks([key])
        at = bisect_left(range(len(self)), wanted, key=lambda at: self.state.ranks([self.key(at)])[0])
        return at if at < len(self) and self.key(at) == key else None

    def __enter__(self) -> "LmdbFile":
        if self._map.size() < self._bytes:
            raise DataError(f"Data source {self.source} was cut while it is read; {_TO_DO}.")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.is_intact():
            raise DataError(
                f"Data source {self.source} was written several times since this net opened it, and its old records "
                "may be gone, as no entry in a lock.mdb kept them; make the net again to read the new ones."
            ) from None

    def is_intact(self) -> bool:
        """That no writer can have reused a page of this state yet."""
        if not self.is_young():
            return self._entry is not None and self._entry.holds()
        if self._entry is None and self._changed():  # there may be a lock.mdb now
            self._keep(lmdb_readers.enter(self._folder, self._status, self.state.transaction))
        return True

    def is_young(self) -> bool:
        """At most one transaction was committed after it. An entry that was made before this was seen counts."""
        own, other = self._metas()
        slot = self.state.slot
        return own == self.state.metas[slot] and (
            other == self.state.metas[1 - slot] or transaction_of(other) <= self.state.transaction + 1
        )

    def _changed(self) -> bool:
        return self._metas()[1] != self.state.metas[1 - self.state.slot]

    def _metas(self) -> tuple[bytes, bytes]:
        """The first page that this state is of, and the other, as they are now."""
        own, other = self._places
        return self._map[own : own + META_BYTES], self._map[other : other + META_BYTES]


_files: weakref.WeakValueDictionary[tuple, LmdbFile] = weakref.WeakValueDictionary()


def open_lmdb(source: str) -> LmdbFile:
    """The newest state of an LMDB, open to be read; nothing is created, so the folder may be read-only.

    Args:
        source: its folder.

    Raises:
        DataError: it is missing, cut, damaged, or not an LMDB of records.
    """
    path = Path(source) / "data.mdb"
    if not path.is_file():
        raise DataError(f"Data source {source} is not an LMDB: {_why_not(Path(source))}.")
    try:
        with open(path, "rb", buffering=0) as file:
            for _ in range(_TRIES):
                found = _open_state(source, file.fileno())
                if found is not None:
                    return found
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from None
    except (Damaged, Unreadable) as error:
        raise damaged(path, error) from None
    raise DataError(f"Data source {source} is written all the time: wait until that ends, and make the net again.")


def _why_not(source: Path) -> str:
    if source.is_file():
        return "it is a file; Caffe reads a folder with a data.mdb, as lmdb.open makes it without subdir=False"
    if (source / "CURRENT").is_file():
        return "it is a LevelDB, which has to be converted"
    return f"there is no {source / 'data.mdb'}"


def _open_state(source: str, file: int) -> LmdbFile | None:
    """The state of now; None if writers changed it before it was checked."""
    status = os.fstat(file)
    state = _state(file, status.st_size)
    # The same state is checked once, and has one entry, for all nets.
    key = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, state.metas)
    found = _files.get(key)
    if found is not None:
        return found
    try:
        found = LmdbFile(source, os.path.realpath(source), file, state)
        found.index = walk(_reader(file), state)
    except (Damaged, Unreadable, ValueError) as error:  # ValueError: it became too short for the map
        with suppress(Damaged, Unreadable):
            if _state(file, os.fstat(file).st_size).metas != state.metas:
                return None
        if isinstance(error, ValueError):
            raise Damaged("the file became shorter") from None
        raise
    if not found.is_intact():
        return None
    _files[key] = found
    return found


def _reader(file: int):
    return lambda count, offset: os.pread(file, count, offset)


def _state(file: int, size: int) -> State:
    return State.read(_reader(file), size)


def damaged(where: str | Path, error: Damaged | Unreadable) -> DataError:
    if isinstance(error, Unreadable):
        return DataError(f"{where}: {error}.")
    return DataError(f"{where}: {error}: the LMDB is cut or damaged; {_TO_DO}.")


def check(path: Path) -> int:
    """Walk the pages of a data.mdb; returns how many records it holds.

    Raises:
        DataError: it is cut or damaged, or is not an LMDB of records.
    """
    try:
        with open(path, "rb", buffering=0) as file:
            return len(walk(_reader(file.fileno()), _state(file.fileno(), os.fstat(file.fileno()).st_size)))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from None
    except (Damaged, Unreadable) as error:
        raise damaged(path, error) from None
