"""Damage in an LMDB's pages is found before its records are read; py-lmdb's own verifier judges which files are whole."""

import os
import random
import shutil

import lmdb
import lmdb.verify
import pytest
from caffe import DataError
from caffe._data.lmdb_file import check, open_lmdb

PAGE = 4096


def write(folder, sizes, keys=None, commit_each=10_000):
    """Records with values of these sizes; returns data.mdb."""
    keys = [b"%08d_some_name" % i for i in range(len(sizes))] if keys is None else keys
    with lmdb.open(str(folder), map_size=1 << 25) as env:
        for start in range(0, len(sizes), commit_each):
            with env.begin(write=True) as txn:
                for i in range(start, min(start + commit_each, len(sizes))):
                    txn.put(keys[i], bytes([i % 256]) * sizes[i])
    return folder / "data.mdb"


@pytest.fixture
def whole(tmp_path):
    """250 records, of which each third has pages of its own, in two levels of pages."""
    return write(tmp_path / "whole", [5000 if i % 3 else 700 for i in range(250)])


@pytest.mark.parametrize(
    "sizes",
    [
        [],
        [0],
        [1],
        [PAGE * 3 - 16],  # ends with its page
        [PAGE * 3 - 15],  # one byte on another
        [12_300] * 200,  # as Tiny ImageNet's
        [30] * 3000,  # in the leaf pages, three levels
        [1000, 2100, 9000] * 70,
    ],
)
@pytest.mark.parametrize("order", ["in order", "shuffled"])
def test_whole_files_pass(tmp_path, sizes, order):
    keys = [b"%08d_some_name_of_a_record" % i for i in range(len(sizes))]
    if order == "shuffled":
        random.Random(3).shuffle(keys)
    path = write(tmp_path / "l", sizes, keys, commit_each=40)
    assert not lmdb.verify.verify(str(path))
    assert check(path) == len(sizes)


def test_after_records_were_deleted(whole):
    with lmdb.open(str(whole.parent), map_size=1 << 25) as env, env.begin(write=True) as txn:
        for i in range(0, 250, 7):
            assert txn.delete(b"%08d_some_name" % i)
    assert check(whole) == 250 - 36


def test_a_folder_that_cannot_be_written(whole):
    (whole.parent / "lock.mdb").unlink()
    whole.chmod(0o444)
    whole.parent.chmod(0o555)
    try:
        assert len(open_lmdb(str(whole.parent))) == 250
        assert [path.name for path in whole.parent.iterdir()] == ["data.mdb"]
    finally:
        whole.parent.chmod(0o755)


def test_a_missing_one_is_not_created(tmp_path):
    with pytest.raises(DataError, match="nowhere is not an LMDB: there is no .*data.mdb"):
        open_lmdb(str(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty is not an LMDB"):
        open_lmdb(str(tmp_path / "empty"))
    assert not list((tmp_path / "empty").iterdir()) and not (tmp_path / "nowhere").exists()


def test_cut_anywhere(whole, tmp_path):
    content = whole.read_bytes()
    damaged = tmp_path / "data.mdb"
    lengths = [0, 1, 100, PAGE - 1, PAGE, 2 * PAGE - 1, 2 * PAGE, len(content) // 2, len(content) - PAGE]
    for length in [*lengths, len(content) - 1]:
        damaged.write_bytes(content[:length])
        with pytest.raises(DataError, match=f"{damaged}: .*cut or damaged; build it again"):
            open_lmdb(str(tmp_path))


def tree_pages(content: bytes) -> list[int]:
    """Numbers of the branch and leaf pages."""
    return [page for page in range(2, len(content) // PAGE) if content[page * PAGE + 10] in (1, 2)]


def flipped(content: bytes, random_: random.Random) -> bytes:
    """One to three bytes changed, most in what holds the structure: headers, pointers and nodes."""
    changed = bytearray(content)
    for _ in range(random_.choice([1, 1, 3])):
        page = random_.choice([0, 1, *tree_pages(content), random_.randrange(len(content) // PAGE)])
        offset = random_.randrange(random_.choice([16, 152, PAGE]))
        changed[page * PAGE + offset] ^= random_.randrange(1, 256)
    return bytes(changed)


def test_what_passes_reads_as_before(whole, tmp_path):
    """After any flips: refused, or all keys are there in their order with values of their lengths."""
    content = whole.read_bytes()
    shutil.copytree(whole.parent, tmp_path / "damaged")
    damaged = tmp_path / "damaged" / "data.mdb"

    def keys_and_lengths():
        with open_lmdb(str(damaged.parent)) as file:
            return [(file.key(at), len(file.value(at))) for at in range(len(file))]

    expected = keys_and_lengths()
    refused = 0
    for seed in range(150):
        damaged.write_bytes(flipped(content, random.Random(seed)))
        try:
            # A flipped key is like a flipped pixel: if the keys stay in order, nothing reveals it.
            found = keys_and_lengths()
        except DataError:
            refused += 1
            continue
        assert [length for _, length in found] == [length for _, length in expected], seed
        assert sum(a != b for (a, _), (b, _) in zip(found, expected, strict=True)) <= 3, seed
    assert refused > 50


def test_what_a_reader_meets_is_what_the_verifier_meets(whole, tmp_path):
    """All structural damage of branch and leaf pages that py-lmdb's verifier finds is found here too."""
    content = whole.read_bytes()
    damaged = tmp_path / "data.mdb"
    tree = tree_pages(content)
    for seed in range(200):
        random_ = random.Random(seed)
        changed = bytearray(content)
        changed[random_.choice(tree) * PAGE + random_.randrange(40)] ^= 1 << random_.randrange(8)
        damaged.write_bytes(changed)
        problems = lmdb.verify.verify(str(damaged))
        try:
            check(damaged)
        except DataError:
            assert problems, seed
        else:
            assert not problems, (seed, problems)


def test_another_file(tmp_path):
    os.mkfifo(tmp_path / "data.mdb")
    with pytest.raises(DataError, match="is not an LMDB"):
        open_lmdb(str(tmp_path))


def test_a_file_that_is_cut_while_it_is_read(whole):
    file = open_lmdb(str(whole.parent))
    os.truncate(whole, 20 * PAGE)
    with pytest.raises(DataError, match="was cut while it is read"), file:
        file.value(249)


def named(folder, names, beside=0):
    """Named databases: the first has one record, each other one more than the one before."""
    with lmdb.open(str(folder), map_size=1 << 25, max_dbs=len(names)) as env:
        for count, name in enumerate(names, 1):
            database = env.open_db(name)
            with env.begin(write=True, db=database) as txn:
                for i in range(count):
                    txn.put(b"%d" % i, b"value")
        with env.begin(write=True) as txn:
            for i in range(beside):
                txn.put(b"%08d" % i, b"value" * 2000)
    return folder / "data.mdb"


@pytest.mark.parametrize(
    ("names", "beside", "expected"),
    [
        ([b"images"], 0, r"cannot read: 'images' \(records: 1\); write the records"),
        ([b"images", b"labels"], 3, r"'images' \(records: 1\), 'labels' \(records: 2\), beside 3 records without"),
        ([b"set%d" % i for i in range(8)], 0, r"'set3' \(records: 4\), 'set4' \(records: 5\) and 3 more; write"),
        ([b"%0400d" % i for i in range(40)], 90, r"and 35 more, beside 90 records"),  # in several leaf pages
    ],
)
def test_named_databases_are_no_damage(tmp_path, names, beside, expected):
    path = named(tmp_path / "named", names, beside)
    for look in (check, lambda path: open_lmdb(str(path.parent))):
        with pytest.raises(DataError, match=f"data.mdb: the LMDB is whole.*named databases.*{expected}") as caught:
            look(path)
        assert "damaged" not in str(caught.value)


def test_named_databases_in_a_damaged_file(tmp_path):
    path = named(tmp_path / "named", [b"images", b"labels"])
    content = bytearray(path.read_bytes())
    at = content.rindex(b"images") + len(b"images")
    content[at + 40 : at + 48] = (len(content) // PAGE + 3).to_bytes(8, "little")  # its root, beyond the file
    path.write_bytes(content)
    with pytest.raises(DataError, match="something else than records: the LMDB is cut or damaged"):
        check(path)


def test_the_format_of_another_version_is_no_damage(tmp_path):
    with lmdb.open(str(tmp_path / "new"), lib_version=1) as env, env.begin(write=True) as txn:
        txn.put(b"key", b"value")
    with pytest.raises(DataError, match="has the format of LMDB 1.0.* lib_version=0") as caught:
        open_lmdb(str(tmp_path / "new"))
    assert "damaged" not in str(caught.value)


def in_another_order(path, flags, rank):
    """Rewrite the file as LMDB would with these key flags; py-lmdb cannot set them for the unnamed database."""
    content = bytearray(path.read_bytes())
    metas = [bytearray(content[at : at + 152]) for at in (0, PAGE)]
    newest = int(metas[1][144:] > metas[0][144:])
    content[newest * PAGE + 92] = flags
    (leaf,) = tree_pages(content)
    start, end = leaf * PAGE + 16, leaf * PAGE + int.from_bytes(content[leaf * PAGE + 12 : leaf * PAGE + 14], "little")

    def key(place):
        at = leaf * PAGE + int.from_bytes(place, "little")
        return bytes(content[at + 8 : at + 8 + int.from_bytes(content[at + 6 : at + 8], "little")])

    places = sorted([bytes(content[at : at + 2]) for at in range(start, end, 2)], key=lambda place: rank(key(place)))
    content[start:end] = b"".join(places)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("flags", "rank"), [(2, lambda key: key[::-1]), (8, lambda key: int.from_bytes(key, "little"))]
)
def test_keys_in_another_order(tmp_path, flags, rank):
    """Real Caffe reads these: the records in LMDB's order."""
    keys = [(i * 7001).to_bytes(8, "little") for i in range(1, 20)]
    path = write(tmp_path / "l", range(100, 119), keys)
    with pytest.raises(DataError, match="keys of page.* are not in order"):
        in_another_order(path, 0, rank)
        check(path)
    in_another_order(path, flags, rank)
    with open_lmdb(str(path.parent)) as file:
        assert [file.key(at) for at in range(19)] == sorted(keys, key=rank) != sorted(keys)
        assert [file.find(key) for key in sorted(keys, key=rank)] == list(range(19))
        assert file.find(bytes(8)) is None and file.find(b"\xff" * 8) is None
        assert len(file.value(file.find(keys[5]))) == 105


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda path: lmdb.open(str(path), subdir=False).close(), "it is a file; Caffe reads a folder"),
        (lambda path: path.mkdir() or (path / "CURRENT").write_text("MANIFEST-000004\n"), "it is a LevelDB"),
        (lambda path: path.mkdir(), "there is no .*data.mdb"),
    ],
)
def test_what_is_there_instead_is_named(tmp_path, make, expected):
    make(tmp_path / "source")
    with pytest.raises(DataError, match=f"source is not an LMDB: {expected}"):
        open_lmdb(str(tmp_path / "source"))
