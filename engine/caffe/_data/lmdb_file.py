"""Opens LMDBs for reading, after a check of their pages.

A cut file or a flipped byte must not end the process or make records disappear. So the tree of pages is
walked first (_data/lmdb_walk.py), with reads that can only fall short. The walk reads the branch and leaf
pages, about one page in 160 of Tiny ImageNet's, and not the records. A record is checked when it is read
(_data/datum.py), and no check can find a wrong pixel. ``lmdb.verify`` checks more, but reads a page of
every record, which takes minutes on a cold disk.

The walk notes the place of each record. Records are then read from a map of the file, without py-lmdb.
py-lmdb refuses to open the same files (by device and inode) twice in a process. The reason is that
liblmdb's POSIX locks belong to the process. With py-lmdb, a script and a net could not both open an LMDB.
Real Caffe lets both open it in any order. Nothing here touches py-lmdb's environments: data.mdb is only
opened and mapped. The entry in the reader table (_data/lmdb_readers.py) looks like another process's.

Each LmdbFile is one committed state, like a read transaction of real Caffe. A net made later opens the
folder again. It then reads added records, or another LMDB of the same name.
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
_TRIES = 20  # attempts to open an LMDB that a writer keeps changing


class LmdbFile:
    """A committed state of an LMDB, open for reading inside ``with``.

    liblmdb's writers reuse a state's pages from the third commit after it. An entry in the reader table
    prevents that. Without one, the pages may hold other records once a writer has reached that commit. The
    end of ``with`` then raises DataError.

    Attributes:
        source: the LMDB's folder.
        index: the places of the LMDB's records.
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
        """Use an entry, unless it came so late that a writer may have missed it."""
        if entry is not None and self.is_young():
            self._entry = entry
            weakref.finalize(self, entry.release)
        elif entry is not None:
            entry.release()

    def __len__(self) -> int:
        return len(self.index)

    def key(self, at: int) -> bytes:
        """Key of a record, by its number in the order of keys."""
        start = self.index.key_starts[at]
        return self._map[start : start + self.index.key_lengths[at]]

    def value(self, at: int) -> bytes:
        return self._map[self.index.starts[at] : self.index.ends[at]]

    def find(self, key: bytes) -> int | None:
        """Number of the record with this key."""
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
        """True if no writer can have reused a page of this state yet."""
        if not self.is_young():
            return self._entry is not None and self._entry.holds()
        if self._entry is None and self._changed():  # A lock.mdb may exist now.
            self._keep(lmdb_readers.enter(self._folder, self._status, self.state.transaction))
        return True

    def is_young(self) -> bool:
        """True if at most one transaction was committed after this state. An entry made before this check counts."""
        own, other = self._metas()
        slot = self.state.slot
        return own == self.state.metas[slot] and (
            other == self.state.metas[1 - slot] or transaction_of(other) <= self.state.transaction + 1
        )

    def _changed(self) -> bool:
        return self._metas()[1] != self.state.metas[1 - self.state.slot]

    def _metas(self) -> tuple[bytes, bytes]:
        """The current contents of this state's own first page, and of the other one."""
        own, other = self._places
        return self._map[own : own + META_BYTES], self._map[other : other + META_BYTES]


_files: weakref.WeakValueDictionary[tuple, LmdbFile] = weakref.WeakValueDictionary()


def open_lmdb(source: str) -> LmdbFile:
    """Open the newest state of an LMDB for reading; this creates nothing, so the folder may be read-only.

    Args:
        source: the LMDB's folder.

    Raises:
        DataError: the LMDB is missing, cut or damaged, or does not hold records.
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
    """The current state, or None if writers changed it during the check."""
    status = os.fstat(file)
    state = _state(file, status.st_size)
    # All nets share one check and one entry of the same state.
    key = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, state.metas)
    found = _files.get(key)
    if found is not None:
        return found
    try:
        found = LmdbFile(source, os.path.realpath(source), file, state)
        found.index = walk(_reader(file), state)
    except (Damaged, Unreadable, ValueError) as error:  # ValueError: the file became too short for the map.
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
    """Walk the pages of a data.mdb; returns its number of records.

    Raises:
        DataError: the file is cut or damaged, or is not an LMDB of records.
    """
    try:
        with open(path, "rb", buffering=0) as file:
            return len(walk(_reader(file.fileno()), _state(file.fileno(), os.fstat(file.fileno()).st_size)))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from None
    except (Damaged, Unreadable) as error:
        raise damaged(path, error) from None
