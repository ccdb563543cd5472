"""The reproduction on a lent machine: parts of the data, what is brought back, and a whole call."""

import gzip
import io
import os
import random
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest
from caffe.proto import caffe_pb2

from harness.errors import UserError
from reproduce import bring_back, loan, parts
from tests.data_prep.small_tiny_imagenet import files, write_folder

ROOT = Path(__file__).parents[2]
MIB = 1 << 20


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_parts(folder: Path, sizes: list[int]) -> list[Path]:
    folder.mkdir(exist_ok=True)
    for number, size in enumerate(sizes):
        (folder / f"part-{number}").write_bytes(bytes(size))
    return parts.parts(folder)


@pytest.mark.parametrize(
    "sizes, missing",
    [
        ([], "part-0"),
        ([3 * MIB], "part-1"),
        ([3 * MIB, 3 * MIB], "part-2"),
        ([3 * MIB, 3 * MIB, 5], None),
        ([99], None),
    ],
)
def test_which_part_is_still_to_come(here, sizes, missing):
    assert parts.missing(write_parts(here / "p", sizes)) == missing


def test_a_gap_and_parts_of_another_split(here):
    write_parts(here / "p", [MIB, MIB, MIB, 5])
    (here / "p/part-1").unlink()
    (here / "p/part-note").touch()
    assert parts.missing(parts.parts(here / "p")) == "part-1"
    with pytest.raises(UserError, match="not of one split: their sizes are"):
        parts.missing(write_parts(here / "q", [MIB, 2 * MIB, 5]))
    assert [path.name for path in write_parts(here / "r", [1] * 11)][-2:] == ["part-9", "part-10"]


def packed_set(folder: Path, piece: int = MIB) -> list[Path]:
    """The train and val images of a small set, as parts."""
    write_folder(folder / "set/tiny-imagenet-200", files())
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for path in sorted((folder / "set/tiny-imagenet-200").rglob("*")):
            name = str(path.relative_to(folder / "set"))
            if path.is_file() and "/test/" not in name:
                tar.add(path, name)
    (folder / "given").mkdir()
    content = archive.getvalue()
    for number, begin in enumerate(range(0, len(content), piece)):
        (folder / f"given/part-{number}").write_bytes(content[begin : begin + piece])
    return parts.parts(folder / "given")


def test_parts_that_come_in_several_calls_become_lmdbs(here, capfd, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "engine"), str(ROOT)]))
    monkeypatch.setattr(parts, "UNIT", 64 << 10)
    found = packed_set(here, 64 << 10)
    assert len(found) > 1
    for part in found[1:]:
        part.rename(here / part.name)
    assert loan.prepared(here / "given", 0) is None
    assert "1 parts are here; part-1 is still to come" in capfd.readouterr().err
    (here / "given/part-0").unlink()
    for part in found[1:]:
        (here / part.name).rename(part)
    assert loan.prepared(here / "given", 1) == Path("data/lmdb")
    out, _ = capfd.readouterr()
    assert "400 train" in out and "holdout" in out and "test" not in out
    assert not Path("data/lmdb/test_lmdb").exists()
    shutil.rmtree(here / "given")
    assert loan.prepared(here / "given", 1) == Path("data/lmdb"), "the parts are kept"
    assert "nothing to do" in capfd.readouterr().out


def test_damaged_parts_leave_nothing(here):
    for name, content in {"a": random.Random(1).randbytes(2000), "b": gzip.compress(b"x" * 3000)[:-9]}.items():
        (here / name).mkdir()
        (here / name / "part-0").write_bytes(content)
        with pytest.raises(UserError, match="the parts do not unpack: .*bring them again"):
            parts.unpack(parts.parts(here / name), here / "out")
        assert not (here / "out").exists()


# ---- what is brought back --------------------------------------------------------------------------------------


def write_snapshot(folder: Path, model: str, iteration: int, numbers: int) -> None:
    """A whole pair, in a reproduction's folder, with paths as seen from there."""
    prefix = f"runs/{model}/{model}_iter_{iteration}"
    net, state = caffe_pb2.NetParameter(), caffe_pb2.SolverState(iter=iteration, learned_net=f"{prefix}.caffemodel")
    for blob in (net.layer.add(name="ip").blobs.add(), state.history.add()):
        blob.shape.dim.append(numbers)
        blob.data.extend(range(numbers))
    (folder / f"{prefix}.caffemodel").write_bytes(net.SerializeToString())
    (folder / f"{prefix}.solverstate").write_bytes(state.SerializeToString())


@pytest.fixture
def work(here, monkeypatch) -> Path:
    """A reproduction: a log, scores of several kinds, small snapshots of nin1 and a larger one of alexnet1."""
    folder, noise = here / "work", random.Random(3)
    for name in ("runs/nin1/scores/10crop", "runs/alexnet1/scores", "data/lmdb", "runs/ensemble"):
        (folder / name).mkdir(parents=True)
    (folder / "data/lmdb/build.json").write_text("{}")
    (folder / "runs/nin1/train.log").write_text("a log\n" * 1000)
    for name in ("nin1/scores/val", "nin1/scores/test", "nin1/scores/10crop/val", "alexnet1/scores/val"):
        (folder / f"runs/{name}.npz").write_bytes(noise.randbytes(20_000))
    write_snapshot(folder, "nin1", 10, 5)
    write_snapshot(folder, "nin1", 20, 7)
    write_snapshot(folder, "alexnet1", 20, 3000)
    monkeypatch.setattr(bring_back, "SMALL", 5000)
    return folder


def test_what_is_brought_back_and_unpacked(here, work):
    (here / "bench_gpu.json").write_text("{}")
    (here / "out").mkdir()
    (here / "out/reproduction.tar.7").touch()  # of an earlier call
    packed = bring_back.pack(work, [here / "bench_gpu.json"], here / "out", room=1 << 20, piece=30_000)
    assert packed.left_out == [] and packed.files == [
        "bench_gpu.json", "runs/nin1/train.log", "runs/alexnet1/scores/val.npz", "runs/nin1/scores/val.npz",
        "runs/nin1/nin1_iter_20.caffemodel", "runs/nin1/nin1_iter_20.solverstate",
        "runs/nin1/scores/10crop/val.npz", "runs/nin1/scores/test.npz",
    ]  # fmt: skip
    pieces = sorted((here / "out").iterdir())
    assert len(pieces) == 4 and all(piece.stat().st_size <= 30_000 for piece in pieces)
    assert bring_back.main([str(here / "out"), str(here / "back")]) is None
    for name in packed.files[1:]:
        assert (here / "back" / name).read_bytes() == (work / name).read_bytes()
    assert sorted(packed.files) == sorted(
        str(path.relative_to(here / "back")) for path in (here / "back").rglob("*") if path.is_file()
    )


@pytest.mark.parametrize(
    "name, kind", [("../out.txt", tarfile.REGTYPE), ("/out.txt", tarfile.REGTYPE), ("link", tarfile.SYMTYPE)]
)
def test_what_leaves_the_folder_is_not_unpacked(here, name, kind):
    (here / "out").mkdir()
    with tarfile.open(here / "out/reproduction.tar.0", "w") as tar:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, "/etc/passwd"
        tar.addfile(member)
    assert f"the pieces hold {name!r}, no file of a reproduction" in bring_back.main([str(here / "out"), "back"])
    assert sorted(path.name for path in here.iterdir() if path.name != "work") == ["out"]


def test_what_has_no_room_is_told_and_the_best_comes_first(here, work):
    packed = bring_back.pack(work, [], here / "out", room=60_000)
    assert packed.files[:3] == ["runs/nin1/train.log", "runs/alexnet1/scores/val.npz", "runs/nin1/scores/val.npz"]
    assert "runs/nin1/nin1_iter_20.caffemodel" in packed.files, "it is small"
    assert packed.left_out == ["runs/nin1/scores/10crop/val.npz", "runs/nin1/scores/test.npz"]
    assert sum(path.stat().st_size for path in (here / "out").iterdir()) <= 60_000


def test_pieces_that_are_missing_or_damaged(here, work):
    assert "no reproduction.tar.0" in bring_back.main([str(here / "nowhere"), "back"])
    bring_back.pack(work, [], here / "out", piece=30_000)
    (here / "there").mkdir()
    assert "there: is there already; name a new folder" in bring_back.main([str(here / "out"), "there"])
    second = here / "out/reproduction.tar.1"
    content = second.read_bytes()
    second.write_bytes(bytes(len(content)))
    assert "the pieces are damaged" in bring_back.main([str(here / "out"), "back"])
    second.unlink()
    assert "or a gap after it" in bring_back.main([str(here / "out"), "back"])
    assert sorted(path.name for path in here.iterdir()) == ["out", "there", "work"]


def test_nothing_to_bring_back_yet(here):
    assert bring_back.pack(here / "work", [], here / "out").files == []
    assert bring_back.main([str(here / "out"), str(here / "back")]) is None


# ---- a call -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words, said",
    [
        (["d", "o", "75"], "75 s: a call takes more than 75 s"),
        (["d", "o", "nan"], "nan s: a call takes more than 75 s"),
        (["d", "o", "600", "--jobs", "0"], "--jobs is 1 or more"),
        (["d", "o", "600", "--length", "3"], "LENGTH=3: give a part"),
    ],
)
def test_calls_that_make_no_sense(here, capfd, words, said):
    with pytest.raises(SystemExit):
        loan.main(words)
    assert said in capfd.readouterr().err and not list(here.iterdir())


def test_a_call_without_data_or_with_another_model_brings_back_what_there_is(here, capfd):
    Path("results").mkdir()
    Path("results/bench_gpu.json").write_text("{}")
    assert loan.main(["nowhere", "out", "600"]) == 1
    assert "nowhere: no such data; name LMDBs" in capfd.readouterr().err
    assert Path("out/reproduction.tar.0").is_file()
    Path("lmdb/train_lmdb").mkdir(parents=True)
    Path("lmdb/train_lmdb/data.mdb").touch()
    assert loan.main(["lmdb", "out", "600", "mine", "--gpu", ""]) == 1
    assert "mine: has no schedule" in capfd.readouterr().err


def test_a_holdout_that_the_lmdbs_do_not_have_is_refused(here, capfd):
    Path("lmdb/train_lmdb").mkdir(parents=True)
    for name in ("train_lmdb/data.mdb", "mean.binaryproto", "labels.txt"):
        Path("lmdb", name).touch()
    Path("lmdb/build.json").write_text('{"records": {"train": 3}, "holdout_per_class": 0, "seed": 0}')
    assert loan.main(["lmdb", "out", "600", "--gpu", "", "--holdout", "50"]) == 1
    assert "lmdb: was built with HOLDOUT=0, not HOLDOUT=50" in capfd.readouterr().err


def test_a_call_too_short_for_its_data_leaves_the_rest_to_the_next(here, capfd, monkeypatch):
    Path("lmdb/train_lmdb").mkdir(parents=True)
    Path("lmdb/train_lmdb/data.mdb").touch()
    monkeypatch.setattr(loan, "bench", lambda seconds: None)
    now = iter([0.0, 560.0, 561.0])
    monkeypatch.setattr(loan.time, "monotonic", lambda: next(now))
    assert loan.main(["lmdb", "out", "600", "--gpu", "", "--bench"]) == 0
    assert "10 s are left after the data, too little to train; the next call does" in capfd.readouterr().err


def test_the_script_and_its_caffe_need_no_installation(here):
    """As a machine without a venv starts them: by the path of the checkout alone."""
    environment = {"PATH": os.environ["PATH"], "PYTHON": sys.executable}
    done = subprocess.run([ROOT / "reproduce/loan.sh", "--help"], env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and "DATA OUT SECONDS" in done.stdout
    environment["PYTHONPATH"] = str(ROOT / "engine")
    done = subprocess.run([ROOT / "reproduce/caffe", "--version"], env=environment, capture_output=True, text=True)
    assert done.stdout.startswith("caffe version ")


def test_a_benchmark_that_takes_too_long_ends_with_all_its_processes(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nsleep 600 &\necho $! > child\nwait\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    loan.bench(1)
    assert "took more than 1 s and was left out" in capfd.readouterr().err
    child = Path("/proc", Path("child").read_text().strip(), "stat")
    end = time.monotonic() + 20  # what is killed takes a moment to end; "Z": it has, and nobody asked how
    while child.exists() and child.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < end, "the child goes on"
        time.sleep(0.02)
