"""A share of the damage to every kind of file; ``make torture`` does more (tests/torture/hostile_files.py)."""

from collections import Counter
from collections.abc import Iterator

import pytest

from .artifacts import ARTIFACTS
from .damage import cut, flip
from .trial import SURVIVED, Reader

CUTS, FLIPS = 9, 40
# Text, and numbers without a checksum: most changed bytes leave something that could have been meant.
MOSTLY_UNKNOWABLE = {
    "BMP", "TIFF", "JPEG", "WEBP", "JPEG of the set", "LMDB", "LMDB to score", "binaryproto", "mean to score", "caffemodel",
    "caffemodel.h5", "solverstate.h5", "HDF5 data", "model to score", "journal.jsonl", "model of a pair",
    "state of a pair", "caffemodel of a snapshot without manifest", "train_accuracy.csv", "combinations.csv",
}  # fmt: skip
# They end after any line, and a line that is cut is left out.
LINES = {"journal.jsonl", "train.log", "train_accuracy.csv", "combinations.csv"}


@pytest.fixture(scope="module")
def reader(tmp_path_factory) -> Iterator[Reader]:
    with Reader(tmp_path_factory.mktemp("hostile")) as reader:
        yield reader


@pytest.mark.parametrize("name", ARTIFACTS)
def test_a_damaged_file_is_a_clear_error(reader, name):
    trials = [*(("cut", n) for n in range(CUTS)), *(("flip", n) for n in range(FLIPS))]
    found = [(trial, reader.read(name, *trial)) for trial in trials]
    assert not [(trial, outcome) for trial, outcome in found if outcome.verdict not in SURVIVED]
    refused = Counter(kind for (kind, _), outcome in found if outcome.verdict == "refused")
    assert refused["cut"] >= (0 if name in LINES else CUTS - 3)
    # A log's reader skips every line that it does not know.
    assert refused["flip"] >= (0 if name == "train.log" else 1 if name in MOSTLY_UNKNOWABLE else FLIPS // 2)


def test_the_reader_distinguishes_a_crash_from_an_error(tmp_path, monkeypatch):
    """This checks the test itself: a reader that dies, or reports something else, does not count as a survival."""
    lines = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from tests.hostile import artifacts, trial\n"
        "from tests.hostile.artifact import Artifact\n"
        "def make(folder):\n"
        "    (folder / 'own.bin').write_bytes(b'0123456789')\n"
        "    return folder / 'own.bin'\n"
        "def read(path):\n"
        "    length = len(path.read_bytes())\n"
        "    if length == 0: os.abort()\n"
        "    if length == 5: raise KeyError('own.bin')\n"
        "    if length == 9: raise ValueError('another file')\n"
        "    while length == 2: pass\n"
        "    if length == 1: raise ValueError(f'{path}: cut')\n"
        "    return (length, None) if length == 8 else (10, length)\n"
        "artifacts.ARTIFACTS['own'] = Artifact(make, read, (ValueError,))\n"
        "trial.main(Path(sys.argv[1]))\n"
    )
    (tmp_path / "own.py").write_text(lines)
    from . import trial

    monkeypatch.setattr(trial, "WORK", 1.0)
    start = trial.subprocess.Popen
    monkeypatch.setattr(
        trial.subprocess, "Popen", lambda command, **how: start([command[0], tmp_path / "own.py", command[-1]], **how)
    )
    with Reader(tmp_path) as reader:
        outcomes = [reader.read("own", "cut", n) for n in range(7)]
    assert {outcome.damage: outcome.verdict for outcome in outcomes} == {
        "cut 0": "crash", "cut to 9 bytes": "unnamed", "cut to 5 bytes": "undocumented", "cut to 1 bytes": "refused",
        "cut to 8 bytes": "silent", "cut to 7 bytes": "unknowable", "cut 6": "hang",
    }  # fmt: skip


def test_damage_is_always_the_same_and_always_something():
    content = bytes(range(200)) * 20
    for number in range(60):
        for kind in (cut, flip):
            assert kind(content, number) == kind(content, number)
        assert len(cut(content, number).apply(content)) < len(content)
        assert len(flip(content, number).apply(content)) == len(content)
    changed = sum(flip(content, number).apply(content) != content for number in range(60))
    assert changed > 50
