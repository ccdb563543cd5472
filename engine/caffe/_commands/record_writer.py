"""Writes an LMDB of records as Caffe's commands do: a new folder, a commit every thousand records."""

import fcntl
import os
import shutil
from pathlib import Path
from types import TracebackType

import lmdb

from caffe._error import DataError
from caffe._files.whole_file import flush_folder

_AT_ONCE = 1000


class RecordWriter:
    """An LMDB that appears under its name once all of it is on disk; after an exception it never appears.

    A process that dies leaves ``.<name>.part``, which the next one clears.

    Args:
        path: the folder to create.
        backend: ``lmdb``; no other is supported.

    Raises:
        DataError: the folder exists already or cannot be made, or the backend is another.
    """

    def __init__(self, path: str | Path, backend: str = "lmdb"):
        if backend != "lmdb":
            raise DataError(f"Unknown database backend: {backend} (lmdb is supported, leveldb is not).")
        self.path = Path(path)
        if os.path.lexists(self.path):
            raise DataError(f"mkdir {path} failed: it is there already; remove it or choose another name.")
        self._partial = self.path.with_name(f".{self.path.name}.part")
        self._waiting: list[tuple[bytes, bytes]] = []
        self.count = 0

    def __enter__(self) -> "RecordWriter":
        try:
            self._partial.mkdir(exist_ok=True)
            self._lock = os.open(self._partial, os.O_RDONLY)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for left in self._partial.iterdir():
                left.unlink()
            self._env = lmdb.open(str(self._partial), map_size=1 << 24, mode=0o664)
        except BlockingIOError:
            raise DataError(f"mkdir {self.path} failed: another process is making it.") from None
        except (OSError, lmdb.Error) as error:
            raise DataError(f"mkdir {self.path} failed: {error}") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._publish()
        except OSError as failure:
            raise DataError(f"Cannot write {self.path}: {failure.strerror}.") from None
        finally:
            self._env.close()
            shutil.rmtree(self._partial, ignore_errors=True)
            os.close(self._lock)

    def _publish(self) -> None:
        self._commit()
        found = self._env.stat()["entries"]
        if found != self.count:
            raise DataError(f"{self.path}: {self.count} records were written, but {found} are there.")
        self._env.close()
        flush_folder(self._partial)
        os.replace(self._partial, self.path)
        flush_folder(self.path.parent)

    def put(self, key: str, value: bytes) -> bool:
        """Add a record; True if this committed a thousand records."""
        self._waiting.append((key.encode(errors="surrogateescape"), value))
        self.count += 1
        if self.count % _AT_ONCE:
            return False
        self._commit()
        return True

    def _commit(self) -> None:
        while self._waiting:
            try:
                with self._env.begin(write=True) as txn:
                    for key, value in self._waiting:
                        txn.put(key, value)
                self._waiting.clear()
            except lmdb.MapFullError:
                self._env.set_mapsize(self._env.info()["map_size"] * 2)
            except lmdb.Error as error:
                raise DataError(f"Cannot write {self.path}: {error}.") from None
