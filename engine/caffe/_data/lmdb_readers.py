"""An entry in an LMDB's reader table, which keeps writers from reusing pages while they are read.

The table is in lock.mdb, and liblmdb's writers spare the states that it lists. This module writes its
entries like another process, so that they never meet an environment that the script has open:

- The locks are Linux's open file description locks. They belong to this file, not to the process. So
  they neither replace the environment's locks nor end with them.
- An entry names its process by a number above all process ids. ``close`` of the script's environment
  removes the entries of its own process id only.
- POSIX locks end when the process closes any descriptor of the file. So lock.mdb is closed only if
  nothing else in this process has it open. Otherwise the next reader reuses this open file.

Nothing is created: without a writable lock.mdb there is no entry.

The layout is that of LMDB 0.9 on 64-bit x86 Linux (mdb.c: MDB_txninfo, MDB_reader).
"""

import contextlib
import ctypes
import fcntl
import mmap
import os
import platform
import stat
import struct
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from itertools import count

_SUPPORTED = sys.platform == "linux" and platform.machine() == "x86_64" and sys.maxsize > 2**32
_MAGIC, _FORMAT = 0xBEEFC0DE, 0x10001
_MUTEXES, _TRANSACTION, _COUNT, _TABLE, _ENTRY = (8, 64), 48, 56, 128, 64  # offsets, and the size of an entry
_MUTEX_BYTES = 40
_ABOVE_PIDS = 2**30  # Linux's process ids end at 2**22
_FLOCK = struct.Struct("@hhqqi4x")
_OWNER_DIED, _BUSY = 130, 16  # pthread_mutex_trylock's results

_LIBC = ctypes.CDLL(None, use_errno=True)
if _SUPPORTED:
    _LIBC.mmap.restype = ctypes.c_void_p
    _LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_int64]

_open: set[int] = set()  # all descriptors of lock files that this module holds
_unused: dict[tuple[int, int], list[int]] = defaultdict(list)  # descriptors that may not be closed yet, by file
_guard = threading.RLock()  # reentrant, because garbage collection may end a net while the lock is held


def _forked() -> None:
    """Forget the open files: a forked process shares their locks, so it opens its own."""
    global _guard
    _guard = threading.RLock()
    _unused.clear()


os.register_at_fork(after_in_child=_forked)


class ReaderEntry:
    """An entry for one committed state; ``release`` removes it.

    Attributes:
        transaction: number of the state's transaction.
    """

    def __init__(self, descriptor: int, transaction: int):
        self.transaction = transaction
        self._descriptor = descriptor
        self._process = os.getpid()
        self._number = next(n for n in count(_ABOVE_PIDS + self._process) if _lock(descriptor, fcntl.F_WRLCK, n))
        self._offset = self._claim()

    def holds(self) -> bool:
        """True if writers still see the entry."""
        expected = struct.pack("<Qi", self.transaction, self._number)
        with contextlib.suppress(OSError):
            return (
                os.pread(self._descriptor, len(expected), self._offset) == expected
                and os.fstat(self._descriptor).st_nlink > 0
            )
        return False

    def release(self) -> None:
        """Remove the entry; a forked process leaves it to the process that made it."""
        if os.getpid() == self._process:
            with contextlib.suppress(OSError):
                if self.holds():
                    os.pwrite(self._descriptor, bytes(4), self._offset + 8)
            _give_back(self._descriptor)

    def _claim(self) -> int:
        with _mapped(self._descriptor) as table, _mutex(table):
            words, halves = table.cast("Q"), table.cast("I")
            entries = (len(table) - _TABLE) // _ENTRY
            used = halves[_COUNT // 4]
            self._forget_the_dead(halves, min(used, entries))
            offsets = range(_TABLE, _TABLE + entries * _ENTRY, _ENTRY)
            free = [offset for offset in offsets if not halves[offset // 4 + 2]]
            if len(free) < 2:
                raise OSError("the last entry is left for others")
            at = free[0]
            # liblmdb's writers look without the mutex, so write the number that makes it an entry last.
            words[at // 8], words[at // 8 + 2] = self.transaction, 0
            halves[_COUNT // 4] = max(used, (at - _TABLE) // _ENTRY + 1)
            halves[at // 4 + 2] = self._number
            return at

    def _forget_the_dead(self, halves: memoryview, used: int) -> None:
        """Remove this module's entries of processes that died before they could."""
        for index in range(used):
            at = (_TABLE + index * _ENTRY) // 4 + 2
            number = halves[at]
            if _ABOVE_PIDS <= number < 2**31 and (number == self._number or not _is_locked(self._descriptor, number)):
                halves[at] = 0


def enter(folder: str, data: os.stat_result, transaction: int) -> ReaderEntry | None:
    """Make an entry for a state of this folder's LMDB; None if there is no writable reader table.

    Args:
        data: status of the state's data.mdb, to recognize another LMDB in the same folder.
    """
    if not _SUPPORTED:
        return None
    descriptor = None
    try:
        descriptor = _descriptor(os.path.join(folder, "lock.mdb"))
        if _joined(descriptor, transaction):
            now = os.stat(os.path.join(folder, "data.mdb"))
            if (now.st_dev, now.st_ino) == (data.st_dev, data.st_ino):
                return ReaderEntry(descriptor, transaction)
    except OSError:
        pass
    if descriptor is not None:
        _give_back(descriptor)
    return None


def _descriptor(path: str) -> int:
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise OSError("lock.mdb is no file")
    with _guard:
        if waiting := _unused[status.st_dev, status.st_ino]:
            return waiting.pop()
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        _open.add(descriptor)
        return descriptor


def _joined(descriptor: int, transaction: int) -> bool:
    """Take the shared lock of all who have the LMDB open; as in liblmdb, the first sets up the table."""
    size = os.fstat(descriptor).st_size
    known = size >= _TABLE + 2 * _ENTRY and os.pread(descriptor, 8, 0) == struct.pack("<II", _MAGIC, _FORMAT)
    if known and _lock(descriptor, fcntl.F_WRLCK, 0):
        with _mapped(descriptor) as table:
            for at in _MUTEXES:
                table[at : at + _MUTEX_BYTES] = _new_mutex()
            table[_TRANSACTION : _TRANSACTION + 8] = struct.pack("<Q", transaction)
            table[_COUNT : _COUNT + 4] = bytes(4)
            table[_TABLE:] = bytes(len(table) - _TABLE)
        return _lock(descriptor, fcntl.F_RDLCK, 0)
    for _ in range(100):  # Another process may hold the lock briefly to set up the table.
        if not known or _lock(descriptor, fcntl.F_RDLCK, 0):
            break
        time.sleep(0.001)
    else:
        return False
    return known


def _give_back(descriptor: int) -> None:
    """Unlock a lock file, and close it if nothing else in this process has it open."""
    with contextlib.suppress(OSError):
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_UNLCK, os.SEEK_SET, 0, 0, 0))
    with _guard:
        status = os.fstat(descriptor)
        _unused[status.st_dev, status.st_ino].append(descriptor)
        foreign = _files_of_others()
        for file, unused in list(_unused.items()):
            while unused and foreign is not None and file not in foreign:
                closing = unused.pop()
                _open.discard(closing)
                os.close(closing)
            if not unused:
                _unused.pop(file, None)


def _files_of_others() -> set[tuple[int, int]] | None:
    """The files that this process has open, except this module's; None if that cannot be found out."""
    found = set()
    try:
        names = os.listdir("/proc/self/fd")
    except OSError:
        return None
    for name in names:
        if int(name) not in _open:
            with contextlib.suppress(OSError):
                status = os.stat(f"/proc/self/fd/{name}")
                found.add((status.st_dev, status.st_ino))
    return found


def _lock(descriptor: int, kind: int, at: int) -> bool:
    """Lock one byte of the file, unless another open file has locked it."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, at, 1, 0))
    except (BlockingIOError, PermissionError):
        return False
    return True


def _is_locked(descriptor: int, at: int) -> bool:
    asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, at, 1, 0)
    return _FLOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, asked))[0] != fcntl.F_UNLCK


@contextlib.contextmanager
def _mapped(descriptor: int) -> Iterator[memoryview]:
    """The file in memory. mmap.mmap would open it again, and its close would end the script's locks."""
    size = os.fstat(descriptor).st_size // _ENTRY * _ENTRY
    address = _LIBC.mmap(None, size, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, descriptor, 0)
    if address == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    try:
        yield memoryview((ctypes.c_char * size).from_address(address)).cast("B")
    finally:
        _LIBC.munmap(ctypes.c_void_p(address), ctypes.c_size_t(size))


@contextlib.contextmanager
def _mutex(table: memoryview) -> Iterator[None]:
    """Hold the mutex of the reader table; raises OSError if that fails."""
    mutex = ctypes.byref(ctypes.c_char.from_buffer(table, _MUTEXES[0]))
    for _ in range(1000):
        result = _LIBC.pthread_mutex_trylock(mutex)
        if result != _BUSY:
            break
        time.sleep(0.001)
    if result == _OWNER_DIED:
        result = _LIBC.pthread_mutex_consistent(mutex)
    if result:
        raise OSError(result, os.strerror(result))
    try:
        yield
    finally:
        _LIBC.pthread_mutex_unlock(mutex)


def _new_mutex() -> bytes:
    """A mutex for several processes that outlives the death of a process that holds it."""
    attributes, mutex = ctypes.create_string_buffer(64), ctypes.create_string_buffer(_MUTEX_BYTES)
    _LIBC.pthread_mutexattr_init(attributes)
    _LIBC.pthread_mutexattr_setpshared(attributes, 1)
    _LIBC.pthread_mutexattr_setrobust(attributes, 1)
    result = _LIBC.pthread_mutex_init(mutex, attributes)
    _LIBC.pthread_mutexattr_destroy(attributes)
    if result:
        raise OSError(result, os.strerror(result))
    return mutex.raw
