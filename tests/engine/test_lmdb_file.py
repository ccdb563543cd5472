"""What is seen of an LMDB's pages before liblmdb maps them; py-lmdb's own verifier is the judge of what is whole."""

import os
import random
import shutil

import lmdb
import lmdb.verify
import pytest
from caffe import DataError
from caffe._lmdb_file import check, open_lmdb, reading

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
        with open_lmdb(str(whole.parent)) as env:
            assert env.stat()["entries"] == 250
            with env.begin() as txn, pytest.raises(lmdb.ReadonlyError):
                txn.put(b"key", b"value")
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
        with open_lmdb(str(damaged.parent)) as env, env.begin() as txn, reading(str(damaged.parent)):
            return [(bytes(key), len(value)) for key, value in txn.cursor()]

    expected = keys_and_lengths()
    refused = 0
    for seed in range(150):
        damaged.write_bytes(flipped(content, random.Random(seed)))
        try:
            # A key is as a pixel: where a flip leaves it in order, nobody can know.
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


def test_one_that_the_script_has_open_already(whole):
    """liblmdb's locks do not bear a file that is open twice in a process."""
    with lmdb.open(str(whole.parent)), pytest.raises(DataError, match="open in this process already.*close that"):
        open_lmdb(str(whole.parent))
    open_lmdb(str(whole.parent)).close()
