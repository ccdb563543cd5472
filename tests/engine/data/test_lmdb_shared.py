"""LMDBs that the script, or another process, has open and writes while nets read them.

The expected values are real Caffe's (measured). Real Caffe differs only if the script closes an environment
between the commits. An older net of real Caffe then reads the new records among the old.
"""

import gc
import os
import shutil
import subprocess
import sys

import lmdb
import numpy as np
import pytest
from caffe import DataError
from caffe._data import lmdb_readers

from tests.engine.layers.test_data import batch_of, data_layer
from tests.engine.records import datum, write_lmdb

COUNT = 12
ENTRIES = pytest.mark.skipif(not lmdb_readers._SUPPORTED, reason="the reader table is used on 64-bit x86 Linux")


def records(value, count=COUNT):
    """Each has pages of its own, and all its pixels and its label are the value."""
    return [datum(np.full((1, 50, 60), value, np.uint8), value)] * count


def build(folder, value, count=COUNT):
    return write_lmdb(folder, records(value, count))


def put(env, value, count=COUNT, start=0):
    with env.begin(write=True) as txn:
        for i, record in enumerate(records(value, count), start):
            txn.put(b"%08d" % i, record.SerializeToString())


def opened(folder, **options):
    return lmdb.open(str(folder), map_size=1 << 24, **options)


def seen(layer, batches=9) -> set[int]:
    """Labels and pixels of more batches than the LMDB has."""
    found = set()
    for _ in range(batches):
        data, labels = batch_of(layer)
        found |= set(labels.tolist()) | set(data.reshape(-1).tolist())
    return found


def net(folder):
    return data_layer(folder, 5)


def lmdb_files() -> list[str]:
    """The LMDBs that this process has open or mapped."""
    links = (f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd"))
    names = [os.readlink(link) for link in links if os.path.islink(link)]
    with open("/proc/self/maps") as maps:
        return [name for name in [*names, *maps] if ".mdb" in name]


@pytest.fixture
def folder(tmp_path):
    return build(tmp_path / "lmdb", 1)


@pytest.mark.parametrize(
    "options", [{}, {"readonly": True}, {"readonly": True, "lock": False}, {"lock": False}, {"writemap": True}], ids=str
)
def test_open_before_and_after_a_net(folder, options):
    before = opened(folder, **options)
    layer = net(folder)
    assert seen(layer) == {1}
    assert before.stat()["entries"] == COUNT
    before.close()
    with opened(folder, **options) as after, after.begin() as txn:
        assert txn.stat()["entries"] == COUNT
        assert seen(layer) == seen(net(folder)) == {1}


@pytest.mark.parametrize("options", [{}, {"writemap": True}], ids=str)
def test_writes_that_are_not_committed(folder, options):
    with opened(folder, **options) as env:
        txn = env.begin(write=True)
        for i in range(COUNT, COUNT + 7):
            txn.put(b"%08d" % i, records(9)[0].SerializeToString())
        layer = net(folder)
        assert seen(layer) == {1}
        txn.commit()
        assert (seen(layer), seen(net(folder))) == ({1}, {1, 9})


def write_with_one_environment(folder):
    with opened(folder) as env:
        for value in range(2, 12):
            put(env, value)


def write_with_an_environment_each(folder):
    for value in range(2, 12):
        with opened(folder) as env:
            put(env, value)


def write_from_another_process(folder):
    code = (
        "import sys, lmdb\n"
        "with lmdb.open(sys.argv[1], map_size=1 << 24) as env:\n"
        "    for record in sys.argv[3:]:\n"
        "        with env.begin(write=True) as txn:\n"
        "            for i in range(int(sys.argv[2])):\n"
        "                txn.put(b'%08d' % i, bytes.fromhex(record))"
    )
    values = [records(value, 1)[0].SerializeToString().hex() for value in range(2, 12)]
    subprocess.run([sys.executable, "-c", code, str(folder), str(COUNT), *values], check=True)


WRITES = [write_with_one_environment, write_with_an_environment_each, write_from_another_process]


@ENTRIES
@pytest.mark.parametrize("write", WRITES)
def test_a_net_reads_its_own_state_and_a_new_one_that_of_now(folder, write):
    old = net(folder)
    assert seen(old, 1) == {1}
    write(folder)
    assert (seen(old), seen(net(folder))) == ({1}, {11})
    write(folder)
    assert seen(old) == {1}


@ENTRIES
def test_the_state_is_kept_for_as_long_as_a_net_reads_it(folder):
    with opened(folder) as env:
        first, second = net(folder), net(folder)
        del first
        gc.collect()
        for value in range(2, 7):
            put(env, value)
        assert seen(second) == {1}
        size = os.path.getsize(folder / "data.mdb")
        del second
        gc.collect()
        for value in range(7, 40):
            put(env, value)
        assert os.path.getsize(folder / "data.mdb") <= 2 * size


def test_added_records(folder):
    old = net(folder)
    with opened(folder) as env:
        put(env, 4, 3, COUNT)
    assert [batch_of(old)[1].tolist() for _ in range(3)] == [[1] * 5] * 3
    assert [batch_of(layer)[1].tolist() for layer in [net(folder)] for _ in range(3)] == [
        [1] * 5,
        [1] * 5,
        [1, 1, 4, 4, 4],
    ]


def rebuild(folder):
    shutil.rmtree(folder)
    build(folder, 2, 7)


def rename(folder):
    build(folder.with_name("new"), 2, 7)
    folder.rename(folder.with_name("gone"))
    folder.with_name("new").rename(folder)


def replace_the_file(folder):
    build(folder.with_name("new"), 2, 7)
    os.replace(folder.with_name("new") / "data.mdb", folder / "data.mdb")


@pytest.mark.parametrize("change", [rebuild, rename, replace_the_file])
def test_another_lmdb_of_the_same_name(folder, change):
    old = net(folder)
    change(folder)
    new = net(folder)
    assert (seen(old), seen(new)) == ({1}, {2})
    assert len(new.cursor) == 7
    del old
    gc.collect()
    assert seen(net(folder)) == {2}


def test_one_that_was_removed(folder):
    old = net(folder)
    shutil.rmtree(folder)
    assert seen(old) == {1}
    with pytest.raises(DataError, match="is not an LMDB: there is no"):
        net(folder)


def test_one_folder_by_several_names(folder, monkeypatch):
    (folder.parent / "link").symlink_to(folder)
    (folder.parent / "elsewhere" / "lmdb").parent.mkdir()
    build(folder.parent / "elsewhere" / "lmdb", 3)
    monkeypatch.chdir(folder.parent)
    with opened("lmdb"):
        layers = [net(name) for name in ("lmdb", folder, "link", "./elsewhere/../lmdb")]
    monkeypatch.chdir("elsewhere")
    assert [seen(layer) for layer in layers] == [{1}] * 4
    assert seen(net("lmdb")) == {3}


@pytest.mark.parametrize("commits", [1, 2, 3, 10])
def test_without_a_lock_file(folder, commits):
    """Old records or an error, and never new ones among them; nothing is created."""
    (folder / "lock.mdb").unlink()
    old = net(folder)
    assert [path.name for path in folder.iterdir()] == ["data.mdb"]
    with opened(folder, lock=False) as env:
        for value in range(commits):
            put(env, 2 + value)
    if commits == 1:
        assert seen(old) == {1}
    else:
        with pytest.raises(DataError, match="was written several times .* make the net again"):
            seen(old)
    assert seen(net(folder)) == {1 + commits}


@ENTRIES
def test_a_lock_file_that_appears_later_keeps_the_records(folder):
    (folder / "lock.mdb").unlink()
    old = net(folder)
    with opened(folder) as env:
        put(env, 2)
        assert seen(old) == {1}
        for value in range(3, 12):
            put(env, value)
    assert seen(old) == {1}


@pytest.mark.parametrize("user", ["no one", "the script"])
def test_nothing_stays_open(folder, user):
    env = opened(folder) if user == "the script" else None
    before = lmdb_files()
    for value in range(2, 40):
        layers = [net(folder), net(folder)]
        with pytest.raises(DataError):
            layers[0].cursor.seek(b"none")
        if env is None:
            rebuild(folder)
        else:
            put(env, value)
    del layers
    gc.collect()
    # The script's environment keeps the lock file open, once for each state read at a time (old and new nets).
    # Closing it would end the environment's locks.
    assert len(lmdb_files()) <= len(before) + 2 * (env is not None)
    if env is not None:
        env.close()
        assert seen(net(folder)) == {39}
        gc.collect()
        assert not lmdb_files()
