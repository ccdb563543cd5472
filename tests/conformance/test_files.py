"""Each engine reads the other's files: the same fields and numbers, and the same bytes where Caffe fixes them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from .compare import DISPLAYED, WEIGHTS, array_differences
from .engines import OURS, REAL
from .reference import Reference
from .training import DATA, HERE, JPEG, Result, Seen, look

SNAPSHOTS = [
    f"{engine}/straight_iter_20.{kind}" for engine in ("ours", "real") for kind in ("caffemodel", "solverstate")
]
LMDBS = [f"{DATA}/{name}_lmdb" for name in ("train", "test", "float", "png", "jpeg")]
PROTOS = [f"{DATA}/{name}" for name in ("train_mean.binaryproto", "test_mean.binaryproto", "initial.caffemodel")]
FILES = SNAPSHOTS + LMDBS + PROTOS


@pytest.fixture(scope="session")
def seen_by_ours(work: Path, reference: Reference, ours: dict[str, Result]) -> dict[str, Seen]:
    return look(OURS, work, FILES)


@pytest.fixture(scope="session")
def seen_by_real(real_caffe: None, work: Path, reference: Reference, ours: dict[str, Result]) -> dict[str, Seen]:
    return look(REAL, work, FILES)


@pytest.mark.parametrize("kind", ["caffemodel", "solverstate"])
def test_our_snapshot_has_what_real_caffes_has(kind: str, seen_by_ours: dict[str, Seen]) -> None:
    """Field by field in the same order, and the same numbers."""
    ours, real = (seen_by_ours[f"{engine}/straight_iter_20.{kind}"] for engine in ("ours", "real"))
    # The one thing that differs: the folder in learned_net.
    assert [line.replace("= ours/", "= real/") for line in ours.outline] == real.outline
    assert array_differences(ours.arrays, real.arrays, WEIGHTS) == []


@pytest.mark.parametrize("path", FILES)
def test_both_engines_read_the_same_from_a_file(
    path: str, seen_by_ours: dict[str, Seen], seen_by_real: dict[str, Seen]
) -> None:
    ours, real = seen_by_ours[path], seen_by_real[path]
    assert ours.outline == real.outline
    assert ours.outline, "something was read"
    assert ours.arrays.keys() == real.arrays.keys()
    for name, value in ours.arrays.items():
        np.testing.assert_array_equal(value, real.arrays[name], strict=True)


def test_both_engines_write_the_same_data_set(real_caffe: None, work: Path, seen_by_real: dict[str, Seen]) -> None:
    """Datum, BlobProto and NetParameter through both engines' caffe_pb2: equal byte by byte, an LMDB record
    by record.
    """
    REAL.python(HERE / "make_data.py", ["written_by_real", JPEG], work)
    theirs = look(REAL, work, [path.replace(DATA, "written_by_real") for path in LMDBS])
    for path in LMDBS:  # an outline holds every record's key and digest
        assert seen_by_real[path].outline == theirs[path.replace(DATA, "written_by_real")].outline, path
    for path in PROTOS:
        assert (work / path).read_bytes() == (work / path.replace(DATA, "written_by_real")).read_bytes(), path


def test_caffe_test_scores_the_others_weights_the_same(
    real_caffe: None, work: Path, reference: Reference, ours: dict[str, Result]
) -> None:
    """`caffe test`, both engines on both engines' .caffemodel: every batch's line and the means."""
    for weights in ("real", "ours"):
        mine, real = (
            re.findall(
                r"\] (Loss|Batch \d+, \w+|\w+)(?: =|:) ([-+.e\d]+)(?: \(|$)",
                engine.caffe(
                    [
                        "test",
                        "-model",
                        "net.prototxt",
                        "-iterations",
                        "8",
                        "-weights",
                        f"{weights}/straight_iter_40.caffemodel",
                    ],
                    work,
                ),
                re.M,
            )
            for engine in (OURS, REAL)
        )
        assert [name for name, _ in real][-5:] == ["Batch 7, top3", "Loss", "accuracy", "loss", "top3"]
        assert [name for name, _ in mine] == [name for name, _ in real]
        for (name, value), (_, expected) in zip(mine, real, strict=True):
            assert float(value) == pytest.approx(float(expected), rel=DISPLAYED), f"{name} of {weights}'s weights"
