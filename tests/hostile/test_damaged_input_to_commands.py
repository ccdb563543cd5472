"""The commands on hostile files: exit status 1, one paragraph that names the file, no traceback, nothing written."""

import contextlib
import hashlib
import re
import shutil
import zipfile
from pathlib import Path

import pytest
from caffe import __main__ as caffe_command
from caffe._commands import compute_image_mean, extract_features, upgrade_proto

from data_prep import build_lmdb
from ensemble import combine, submission
from ensemble.scoring import scores
from tests.engine.command import make_experiment
from tests.ensemble import small_ensemble
from training import run


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A small experiment with a snapshot of iteration 2."""
    folder = make_experiment(tmp_path_factory.mktemp("trained"))
    with contextlib.chdir(folder):
        solver = Path("solver.prototxt").read_text()
        Path("solver.prototxt").write_text(re.sub(r"max_iter: \d+", "max_iter: 2", solver))
        assert caffe_command.main(["train", "--solver=solver.prototxt"]) == 0
        Path("solver.prototxt").write_text(solver)
    return folder


@pytest.fixture(scope="module")
def scored(tmp_path_factory) -> Path:
    """A small ensemble with scores and a choice."""
    folder = tmp_path_factory.mktemp("scored")
    with contextlib.chdir(folder):
        small_ensemble.make(folder)
        for model in small_ensemble.MODELS:
            assert scores.main([model]) is None
        assert combine.main(list(small_ensemble.MODELS)) is None
    return folder


def content(folder: Path) -> dict[str, str]:
    """Digests of all files except lock files."""
    files = (path for path in folder.rglob("*") if path.is_file() and "lock" not in path.name)
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def told(capfd, command, *arguments: str) -> str:
    """Run a command that must fail and return its message. A command returns its status or its message."""
    before = content(Path())
    capfd.readouterr()
    answer = command(list(arguments))
    said = answer if isinstance(answer, str) else capfd.readouterr().err
    assert isinstance(answer, str) or answer == 1
    assert "Traceback" not in said
    assert content(Path()) == before
    # A log in glog's format has one fatal line, and it is the last.
    *_, last = said.strip().splitlines()
    assert not said.strip().startswith("F") or len(re.findall(r"^F\d{4} ", said, re.MULTILINE)) == 1
    return last


def cut(path: str, part: float = 0.5) -> str:
    whole = Path(path).read_bytes()
    Path(path).write_bytes(whole[: int(len(whole) * part)])
    return path


def flipped(path: str, place: int = 30) -> str:
    whole = bytearray(Path(path).read_bytes())
    whole[place] ^= 0x41
    Path(path).write_bytes(whole)
    return path


def edited(path: str, old: str, new: str) -> str:
    text = Path(path).read_text()
    assert old in text
    Path(path).write_text(text.replace(old, new))
    return path


MEAN = ('mean_value: 120 scale: 0.02 }\n  data_param { source: "train_lmdb"', 'mean_file: "mean.binaryproto" }\n  '
        'data_param { source: "train_lmdb"')  # fmt: skip
TRAIN = ("train", "--solver=solver.prototxt")
TEST = ("test", "--model=net.prototxt", "--weights=snap_iter_2.caffemodel", "--iterations=1")
RESUME = (*TRAIN, "--snapshot=snap_iter_2.solverstate")


@pytest.mark.parametrize(
    "spoil, arguments, named",
    [
        (lambda: cut("solver.prototxt", 0.95), TRAIN, "solver.prototxt:"),
        (lambda: cut("net.prototxt"), TRAIN, "net.prototxt:"),
        (lambda: edited("net.prototxt", "num_output: 6", "num_output: 2000000000"), TRAIN, "Layer 'conv'"),
        (lambda: edited("net.prototxt", "batch_size: 8", "batch_size: 4294967295"), TRAIN, "Layer 'data'"),
        (lambda: edited("net.prototxt", "crop_size: 9", "crop_size: 99"), TRAIN, "train_lmdb, record 00000000"),
        (lambda: edited("net.prototxt", "train_lmdb", "/dev"), TRAIN, "/dev is not an LMDB"),
        (lambda: edited("solver.prototxt", "net.prototxt", "/dev/zero"), TRAIN, "/dev/zero is too large"),
        (lambda: cut("train_lmdb/data.mdb"), TRAIN, "train_lmdb/data.mdb"),
        (lambda: cut("test_lmdb/data.mdb", 0.01), TRAIN, "test_lmdb/data.mdb"),
        (lambda: flipped("train_lmdb/data.mdb", 4096 * 2 + 12), TRAIN, "train_lmdb/data.mdb"),
        (lambda: edited("net.prototxt", *MEAN), TRAIN, "mean.binaryproto"),
        (lambda: cut("snap_iter_2.solverstate"), RESUME, "snap_iter_2.solverstate"),
        (lambda: flipped("snap_iter_2.solverstate"), RESUME, "snap_iter_2.solverstate"),
        (lambda: flipped("snap_iter_2.caffemodel", 400), RESUME, "snap_iter_2.caffemodel"),
        (lambda: cut("snap_iter_2.resume.json"), RESUME, "snap_iter_2.resume.json"),
        (lambda: cut("snap_iter_2.manifest.json"), RESUME, "snap_iter_2.manifest.json"),
        (lambda: cut("snap_iter_2.caffemodel"), TEST, "snap_iter_2.caffemodel"),
        (lambda: cut("test_lmdb/data.mdb"), TEST, "test_lmdb/data.mdb"),
        (lambda: Path("snap_iter_2.caffemodel").write_bytes(b""), TEST, "snap_iter_2.caffemodel"),
        (lambda: cut("net.prototxt"), ("time", "--model=net.prototxt", "--iterations=1"), "net.prototxt"),
    ],
)  # fmt: skip
def test_caffe(trained, tmp_path, monkeypatch, capfd, spoil, arguments, named):
    shutil.copytree(trained, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    spoil()
    assert named in told(capfd, caffe_command.main, *arguments)


@pytest.mark.parametrize(
    "spoil, command, arguments, named",
    [
        (lambda: cut("test_lmdb/data.mdb"), compute_image_mean.main, ("test_lmdb", "m"), "test_lmdb/data.mdb"),
        (
            lambda: cut("snap_iter_2.caffemodel"), extract_features.main,
            ("snap_iter_2.caffemodel", "net.prototxt", "ip", "features", "1", "lmdb"), "snap_iter_2.caffemodel",
        ),
        (lambda: cut("snap_iter_2.caffemodel"), upgrade_proto.upgrade_net_proto_binary, ("snap_iter_2.caffemodel", "new"),
         "snap_iter_2.caffemodel"),
    ],
)  # fmt: skip
def test_caffe_s_other_commands(trained, tmp_path, monkeypatch, capfd, spoil, command, arguments, named):
    shutil.copytree(trained, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    spoil()
    if command is upgrade_proto.upgrade_net_proto_binary:  # as Caffe's: 2 where the file is not parsed
        assert command(list(arguments)) == 2 and not Path("new").exists()
        assert named in capfd.readouterr().err
    else:
        assert named in told(capfd, command, *arguments)


def labels() -> None:
    Path("data/lmdb/labels.txt").write_bytes(b"\xff\xfe")


@pytest.mark.parametrize(
    "spoil, command, arguments, named",
    [
        (lambda: cut("data/lmdb/val_lmdb/data.mdb"), scores.main, ("one", "--split", "val"), "val_lmdb/data.mdb"),
        (lambda: flipped("data/lmdb/val_lmdb/data.mdb", 4096 * 2 + 12), scores.main, ("one", "--split", "val"), "val_lmdb"),
        (lambda: cut("data/lmdb/mean.binaryproto"), scores.main, ("one",), "mean.binaryproto"),
        (lambda: cut("runs/one/one_iter_20.caffemodel"), scores.main, ("one",), "one_iter_20.caffemodel"),
        (lambda: cut("models/one/deploy.prototxt"), scores.main, ("one",), "deploy.prototxt"),
        (lambda: cut("runs/one/scores/val.npz"), combine.main, ("one", "two"), "runs/one/scores/val.npz"),
        (
            lambda: [flipped(f"runs/{model}/scores/test.npz", 400) for model in ("one", "two")],
            submission.main, (), "scores/test.npz: not a whole",
        ),
        (lambda: cut("runs/ensemble/best.json"), submission.main, (), "runs/ensemble/best.json"),
        (labels, submission.main, (), "data/lmdb/labels.txt"),
    ],
)  # fmt: skip
def test_ensemble(scored, tmp_path, monkeypatch, capfd, spoil, command, arguments, named):
    shutil.copytree(scored, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    spoil()
    assert named in told(capfd, command, *arguments)


@pytest.mark.parametrize("kind", ["cut", "bomb", "link", "leaves"])
def test_make_lmdb(tmp_path, monkeypatch, capfd, kind):
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile("set.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        member = zipfile.ZipInfo("../../outside" if kind == "leaves" else "wnids.txt")
        member.external_attr = 0o120777 << 16 if kind == "link" else 0o644 << 16
        archive.writestr(member, bytes(10 << 20) if kind == "bomb" else b"n01443537\n", zipfile.ZIP_DEFLATED)
    if kind == "cut":
        cut("set.zip", 0.8)
    arguments = ("--data", "set.zip", "--out", "data/lmdb", "--workers", "1")
    assert "set.zip: " in told(capfd, build_lmdb.main, *arguments)
    assert not Path("data/lmdb").exists()


def test_make_journal(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    for folder in ("solvers", "runs/tiny"):
        Path(folder).mkdir(parents=True)
    Path("solvers/tiny.prototxt").write_text('net: "n" max_iter: 9 snapshot_prefix: "runs/tiny/tiny" base_lr: 1')
    Path("runs/tiny/journal.jsonl").write_text('{"event": "start", "time": 7, "iteration": 0}\n')
    assert "runs/tiny/journal.jsonl, line 1: time is of another kind" in told(capfd, run.main, "journal", "tiny")
