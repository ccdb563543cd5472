"""Entries in the reader table of an LMDB: py-lmdb's environments see them, and keep their own locks."""

import fcntl
import gc
import os
import signal
import subprocess
import sys

import lmdb
import numpy as np
import pytest
from caffe._data.records import RecordCursor

from tests.engine.data.test_lmdb_shared import (
    COUNT,
    ENTRIES,
    folder,
    net,
    opened,
    put,
    seen,
    write_with_one_environment,
)

__all__ = ["folder"]


@ENTRIES
def test_the_locks_of_the_scripts_environment_stay(folder):
    code = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'rb+'), fcntl.LOCK_EX | fcntl.LOCK_NB, 1)"
    take = [sys.executable, "-c", code, str(folder / "lock.mdb")]
    with opened(folder) as env:
        assert seen(net(folder)) == {1}
        gc.collect()
        assert b"BlockingIOError" in subprocess.run(take, check=False, capture_output=True).stderr
        put(env, 2)
    assert subprocess.run(take, check=False).returncode == 0


def entries(env) -> int:
    return len(env.readers().splitlines()) - 1 if "txnid" in env.readers() else 0


@ENTRIES
def test_entries_of_the_reader_table(folder):
    with opened(folder) as env:
        layers = [net(folder), net(folder)]
        assert entries(env) == 1 and env.reader_check() == 0
        put(env, 2)
        layers.append(net(folder))
        assert entries(env) == 2
        del layers
        gc.collect()
        assert entries(env) == 0


@ENTRIES
def test_the_entry_of_a_process_that_was_killed(folder):
    code = (
        "import os, signal, sys; from caffe._data.records import RecordCursor\n"
        "cursor = RecordCursor(sys.argv[1]); os.kill(os.getpid(), signal.SIGKILL)"
    )
    with opened(folder) as env:
        killed = subprocess.run([sys.executable, "-c", code, str(folder)], check=False)
        assert killed.returncode == -signal.SIGKILL
        assert entries(env) == 1
        cursor = RecordCursor(str(folder))
        assert entries(env) == 1
        del cursor
        assert entries(env) == 0


@ENTRIES
def test_a_forked_process_reads_on_and_leaves_the_entry(folder):
    cursor = RecordCursor(str(folder))
    child = os.fork()
    if not child:
        good = {datum.label for datum in cursor.take(30)[1]} | {RecordCursor(str(folder)).peek().label} == {1}
        del cursor
        gc.collect()
        os._exit(0 if good else 1)
    assert os.waitpid(child, 0)[1] == 0
    write_with_one_environment(folder)
    assert {datum.label for datum in cursor.take(30)[1]} == {1}


@ENTRIES
def test_a_lock_file_that_a_dead_process_left(folder):
    """Nobody holds its mutexes and nobody owns its entries: the first process that opens it sets the table up."""
    with open(folder / "lock.mdb", "rb+") as file:
        file.seek(8)
        file.write(b"\xff" * 40 + bytes(8) + b"\x7f\0\0\0")
        file.seek(64)
        file.write(b"\xff" * 40)
        file.seek(128)
        file.write((b"\1" + bytes(7) + b"\5\0\0\0" + bytes(52)) * 126)
    old = net(folder)
    with opened(folder) as env:
        assert entries(env) == 1
    write_with_one_environment(folder)
    assert (seen(old), seen(net(folder))) == ({1}, {11})


def other_kinds():
    content = np.random.default_rng(5)
    return {
        "empty": lambda path: path.write_bytes(b""),
        "short": lambda path: path.write_bytes(path.read_bytes()[:190]),
        "another": lambda path: path.write_bytes(content.bytes(8192)),
        "a pipe": lambda path: path.unlink() or os.mkfifo(path),
        "a folder": lambda path: path.unlink() or path.mkdir(),
        "a link to nothing": lambda path: path.unlink() or path.symlink_to("nowhere"),
    }


@pytest.mark.parametrize("kind", other_kinds())
def test_a_lock_file_that_is_none(folder, kind):
    other_kinds()[kind](folder / "lock.mdb")
    layer = net(folder)
    assert seen(layer) == {1}
    assert sorted(path.name for path in folder.iterdir()) == ["data.mdb", "lock.mdb"]


@ENTRIES
def test_a_mutex_whose_owner_died(folder):
    code = (
        "import ctypes, mmap, os, sys; import lmdb\n"
        "file = open(os.path.join(sys.argv[1], 'lock.mdb'), 'rb+'); table = mmap.mmap(file.fileno(), 0)\n"
        "mutex = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(table, 8)))\n"
        "os._exit(ctypes.CDLL(None).pthread_mutex_lock(mutex))"
    )
    with opened(folder) as env:
        assert subprocess.run([sys.executable, "-c", code, str(folder)], check=False).returncode == 0
        layer = net(folder)
        assert entries(env) == 1
        with env.begin() as txn:
            assert txn.stat()["entries"] == COUNT
        assert seen(layer) == {1}


@ENTRIES
def test_the_last_entry_is_left_for_others(tmp_path):
    with lmdb.open(str(tmp_path / "small"), map_size=1 << 24, max_readers=2) as env:
        put(env, 1)
        layers = [net(tmp_path / "small")]
        put(env, 2)
        layers.append(net(tmp_path / "small"))
        assert entries(env) == 1
        with env.begin() as txn:
            assert txn.stat()["entries"] == COUNT
        assert [seen(layer) for layer in layers] == [{1}, {2}]


@ENTRIES
def test_the_bytes_that_are_locked_are_beyond_all_process_ids(folder):
    """LMDB locks the byte of a reader's process id: an entry's number must never be one."""
    cursor = RecordCursor(str(folder))
    with open("/proc/sys/kernel/pid_max") as file:
        largest = int(file.read())
    with open(folder / "lock.mdb", "rb+") as file:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, largest, 1)  # all that LMDB may ask for
    assert len(cursor) == COUNT
