"""The benchmarks of the experiment's own steps run, make the intended comparisons and print a table."""

import os
import shutil
import sys

import lmdb
import numpy as np
import pytest

from bench import make_lmdb, real_blas, scores
from bench.process import Finished, measured
from bench.table import table
from data_prep import build_lmdb
from tests.conformance.engines import OURS, REAL
from tests.data_prep.small_tiny_imagenet import TEST, TRAIN, VAL, files, write_zip


def test_a_table_shows_what_is_there_and_what_is_not():
    rows = [
        {"work": "train", "images": 100_000, "ratio": None},
        {"work": "a longer name", "images": 7, "ratio": 3.14159, "note": "real"},
        {"work": "big", "images": 12, "ratio": 12345.6},
    ]
    assert table(rows).splitlines() == [
        "work            images   ratio  note",
        "train          100,000       -  -",
        "a longer name        7    3.14  real",
        "big                 12  12,346  -",
    ]


def test_memory_is_that_of_all_processes(tmp_path):
    hold = "held = bytearray(60 << 20); held[::4096] = bytes(15 << 10); import time; time.sleep(0.6)"
    script = f"import subprocess, sys; one = subprocess.Popen([sys.executable, '-c', {hold!r}]); {hold}; one.wait()"
    done = measured([sys.executable, "-c", script + "; print('done')"], tmp_path, os.environ)
    assert 120 << 20 < done.peak < 200 << 20
    assert done.output == "done\n" and done.seconds > 0.6


def test_a_command_that_fails_ends_the_benchmark(tmp_path):
    with pytest.raises(SystemExit, match="exit status 3: the reason$"):
        measured([sys.executable, "-c", "import sys; print('first\\nthe reason'); sys.exit(3)"], tmp_path, os.environ)


def test_make_lmdb_is_compared_on_the_same_files(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sync", lambda: None)  # it waits for everything that runs on this machine
    data = write_zip(tmp_path / "set.zip", files())
    said: list[str] = []
    rows = make_lmdb.measure(data, images=400, rounds=1, progress=said.append)
    expected = [("train images to LMDB", "ours", 400), ("make lmdb from the zip", "ours", 200 * TRAIN + VAL + TEST)]
    if not REAL.why_not():
        expected.insert(0, ("train images to LMDB", "real Caffe", 400))
    assert [(row["work"], row["engine"], row["images"]) for row in rows] == expected
    assert all(row["images/s"] == pytest.approx(row["images"] / row["seconds"]) for row in rows)
    assert said[0] == "make lmdb: unpacking 400 of 600 train images"


def test_ratios_are_of_images_a_second_and_medians():
    runs = {
        "real": [Finished(10, 100 << 20, ""), Finished(30, 90 << 20, ""), Finished(20, 95 << 20, "")],
        "ours": [Finished(4, 50 << 20, ""), Finished(4, 70 << 20, ""), Finished(9, 60 << 20, "")],
        "whole": [Finished(6, 80 << 20, "")],
    }
    rows = list(make_lmdb.rows(runs, count=1000, everything=1200))
    assert [row["seconds"] for row in rows] == [20, 4, 6]
    assert [row["ratio"] for row in rows] == [1, 5, pytest.approx(4)]
    assert [row["peak MiB"] for row in rows] == [100, 70, 80]


def test_different_records_end_the_benchmark(tmp_path):
    for name, value in (("one", b"same"), ("other", b"diff")):
        with lmdb.open(str(tmp_path / name)) as environment, environment.begin(write=True) as transaction:
            transaction.put(b"00000000_a", b"same")
            transaction.put(b"00000001_b", value)
    shutil.copytree(tmp_path / "one", tmp_path / "copy")
    make_lmdb.check_equal(tmp_path / "one", tmp_path / "copy")
    with pytest.raises(SystemExit, match="record 1, b'00000001_b', is not the same"):
        make_lmdb.check_equal(tmp_path / "one", tmp_path / "other")


def test_scores_of_the_same_records_agree(tmp_path, monkeypatch):
    build_lmdb.build(write_zip(tmp_path / "set.zip", files()), tmp_path / "lmdb")
    rows = scores.measure("nin1", tmp_path / "lmdb", 7, 1, ["fp32", "bf16"], lambda told: None)
    engines = ["ours fp32", "ours bf16"] if REAL.why_not() else ["real Caffe", "ours fp32", "ours bf16"]
    assert [row["engine"] for row in rows] == engines
    assert all(row["images"] == 7 and row["start s"] > 0 for row in rows)
    if not REAL.why_not():
        assert [row["scores differ by"] for row in rows][0] == rows[0]["ratio"] - 1 == 0
        assert 0 < rows[1]["scores differ by"] < 1e-5 < rows[2]["scores differ by"] < 0.2


def test_rows_of_scores():
    one = scores.Contestant("real Caffe", REAL, {}, [Finished(20, 5 << 20, "")] * 2, [100, 100], np.zeros((1000, 200)))
    two = scores.Contestant("ours", OURS, {}, [Finished(4, 7 << 20, "")], [500], np.full((1000, 200), 0.25))
    first, second = scores.rows("nin1", [one, two])
    assert (first["ratio"], first["start s"], first["images/s with start"]) == (1, 10, 50)
    assert (second["ratio"], second["start s"], second["ratio with start"]) == (5, 2, 5)
    assert (second["peak MiB"], second["scores differ by"]) == (7, 0.25)
    (alone,) = scores.rows("nin1", [two])
    assert alone["ratio"] is None and alone["scores differ by"] is None


def test_speed_is_what_the_script_says():
    assert scores.speed("nin1 val: no labels; 10000 images, 1234 images/s -> runs/nin1/scores/val.npz\n") == 1234
    with pytest.raises(SystemExit, match="did not say how fast"):
        scores.speed("Killed")


def kernels_at(monkeypatch, speeds):
    """Give OpenBLAS's kernels these speeds; "" is its own choice, None a kernel that the processor cannot run."""
    found = {name: speed and real_blas.Kernels(name or "Prescott", speed) for name, speed in speeds.items()}
    monkeypatch.setattr(real_blas, "_measured", lambda variables: found[variables.get("OPENBLAS_CORETYPE", "")])
    for each in (real_blas.own_choice, real_blas.fastest):
        each.cache_clear()


@pytest.fixture
def forget_kernels():
    yield
    for each in (real_blas.own_choice, real_blas.fastest):
        each.cache_clear()


def test_real_caffe_gets_the_fastest_kernels(monkeypatch, forget_kernels):
    kernels_at(monkeypatch, {"": 67e9, "Haswell": 178e9, "Zen": 177e9, "SkylakeX": 330e9})
    assert real_blas.environment()["OPENBLAS_CORETYPE"] == "SkylakeX"
    assert real_blas.described() == (
        "OpenBLAS with SkylakeX kernels (330 GFLOP/s), which it does not choose itself (Prescott, 67)"
    )
    kernels_at(monkeypatch, {"": 67e9, "Haswell": 178e9, "Zen": 177e9, "SkylakeX": None})
    assert real_blas.environment()["OPENBLAS_CORETYPE"] == "Haswell"


def test_openblas_own_choice_stays_where_it_is_as_good(monkeypatch, forget_kernels):
    kernels_at(monkeypatch, {"": 170e9, "Haswell": 178e9, "Zen": 177e9, "SkylakeX": None})
    assert real_blas.environment() == {"OPENBLAS_NUM_THREADS": str(os.cpu_count())}
    assert real_blas.described() == "OpenBLAS, its own choice of kernels (Prescott, 170 GFLOP/s)"


@pytest.mark.skipif(bool(REAL.why_not()), reason="real Caffe is not installed")
def test_kernels_are_measured_on_real_caffes_openblas(forget_kernels):
    own = real_blas._measured({})
    assert own.speed > 1e8 and real_blas._measured({"OPENBLAS_CORETYPE": own.name}).name == own.name
    # OpenBLAS takes its own choice if it does not know the name.
    assert real_blas._measured({"OPENBLAS_CORETYPE": "Abacus"}) is None
