"""`make lr-MODEL LR=...` stops, edits and resumes: the rest of the file, the journal, and the refused rates."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from caffe.proto import caffe_pb2

from harness.errors import UserError
from tests.training.test_run import start, write_snapshot
from tests.training.tiny_run import SOLVER, edit
from training import journal, run, running, set_rate

PATH = Path("solvers/tiny.prototxt")


def refused(capsys, rate) -> str:
    """The line with which it refuses; the solver is then as it was."""
    before = PATH.read_bytes()
    assert set_rate.main(["tiny", f"--lr={rate}", "--caffe", "./caffe"]) == 1
    assert PATH.read_bytes() == before
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("training.run: error: ")
    return last


def test_a_run_that_is_under_way(place, monkeypatch):
    log = Path("runs/tiny/train.log")
    first = start("train", log)
    PATH.chmod(0o640)
    command = [sys.executable, "-m", "training.set_rate", "tiny", "--lr=1e-3", "--caffe", "./caffe"]
    second = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    _, said_first = first.communicate(timeout=60)
    assert first.returncode == 0 and "stopping with a snapshot" in said_first
    while log.read_text().count("Use CPU.") < 2 or "lr = 0.001" not in log.read_text():
        assert second.poll() is None
        time.sleep(0.01)
    os.kill(running.process(log.parent), signal.SIGINT)
    _, said = second.communicate(timeout=60)
    assert second.returncode == 0

    assert PATH.read_text() == SOLVER.replace("0.01", "1e-3") and stat.S_IMODE(PATH.stat().st_mode) == 0o640
    assert not list(Path("solvers").glob(".*"))
    (_, none), (at, edited) = journal.edits(journal.read(log.parent))
    assert (none, edited) == ({}, {"base_lr": "0.01 -> 0.001"})
    assert f"edited: base_lr: 0.01 -> 0.001 from iteration {at}" in said
    (newest, *_) = sorted(Path("runs/tiny").glob("*.caffemodel"), key=lambda path: -int(path.stem.rpartition("_")[2]))
    end = int(newest.stem.rpartition("_")[2])
    weights = caffe_pb2.NetParameter.FromString(newest.read_bytes())
    assert weights.layer[0].blobs[0].data[0] == pytest.approx(0.01 * at + 0.001 * (end - at), rel=1e-4)


def test_a_run_that_has_stopped(place):
    edit("100000", "20")
    assert run.main(["train", "tiny", "--caffe", "./caffe"]) == 0
    edit("20", "40")
    assert set_rate.main(["tiny", "--lr=0.002", "--caffe", "./caffe", "--gpu", "3"]) == 0
    *_, begun, ended = [json.loads(line) for line in Path("runs/tiny/journal.jsonl").read_text().splitlines()]
    assert begun["command"][-1] == "--gpu=3" and "base_lr: 0.002" in begun["solver"]
    assert (begun["iteration"], ended["iteration"]) == (20, 40)


ODD = (
    "# base_lr: 1 was too much\r\n"
    'net: "base_lr: 2"\r\n'
    "  base_lr \t:.5e-1# base_lr: 3\r\n"
    "snapshot_prefix:'a/base_lr: 4' max_iter: 9 lr_policy: \"fixed\"  "
)


def test_a_run_that_ends_while_it_is_asked_to(tmp_path, capsys):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    set_rate.stop(gone.pid, tmp_path)
    assert capsys.readouterr().err.endswith(f"asking process {gone.pid} to stop with a snapshot\n")


def test_every_other_byte_stays():
    edited = set_rate.with_rate(ODD, "0.001", PATH)
    assert edited == ODD.replace(".5e-1", "0.001")
    assert set_rate.with_rate('net:"n"snapshot_prefix:"a/b"max_iter:9,base_lr:7', "8", PATH).endswith(",base_lr:8")


@pytest.mark.parametrize("text", ["", "# base_lr: 1\n", 'type: "base_lr: 1"\n'])
def test_a_solver_without_a_rate(text):
    with pytest.raises(UserError, match="solvers/tiny.prototxt: has no base_lr; write one into it"):
        set_rate.with_rate(text + SOLVER.replace("base_lr: 0.01\n", ""), "0.001", PATH)


def test_a_field_broken_over_lines():
    text = SOLVER.replace("base_lr: 0.01", "base_lr: # the rate\n 0.01")
    with pytest.raises(UserError, match="has no base_lr|cannot be told from the rest"):
        set_rate.with_rate(text, "0.001", PATH)


@pytest.mark.parametrize("rate", ["0", "-0.1", "nan", "inf", "-inf", "1e99", "1e-99", "+0.1", "-0"])
def test_a_rate_that_makes_no_sense(place, capsys, rate):
    assert f"LR={rate}: a learning rate is a plain number above 0, such as LR=0.001" in refused(capsys, rate)


@pytest.mark.parametrize("rate", ["", "fast", "0,001", "1e", "0x1", "1_000", "0.1 ", "٠.١"])
def test_what_is_no_number(place, capsys, rate):
    assert f"LR={rate}: not a number; give a learning rate, such as LR=0.001" in refused(capsys, rate)


@pytest.mark.parametrize("rate", ["0.01", "1e-2", "0.0100000000001"])
def test_the_rate_it_has(place, capsys, rate):
    assert "base_lr is 0.01 already; to go on with it: make resume-tiny" in refused(capsys, rate)


def test_a_policy_that_would_not_obey(place, capsys):
    edit('"fixed"', '"step" gamma: 0.1 stepsize: 5')
    said = refused(capsys, "0.001")
    assert 'lr_policy "step" computes the rate' in said and 'write lr_policy: "fixed" there' in said


def test_nothing_to_resume_from(place, capsys):
    assert "runs/tiny: no whole snapshot to go on from; solvers/tiny.prototxt is as it was" in refused(capsys, "0.001")
    model, _ = write_snapshot(12)
    model.write_bytes(model.read_bytes()[:-3])
    assert "no whole snapshot to go on from" in refused(capsys, "0.001")


def test_a_stop_without_a_whole_snapshot(place, capsys):
    edit("100000", "60")
    assert run.main(["train", "tiny", "--caffe", "./caffe"]) == 0
    edit("60", "100")
    model, _ = write_snapshot(30)
    Path("runs/tiny/tiny_iter_60.caffemodel").unlink()
    said = refused(capsys, "0.001")
    assert f"{model.with_suffix('.solverstate')} is the newest whole snapshot, but training had reached" in said


def test_the_end_is_reached(place, capsys):
    edit("100000", "20")
    write_snapshot(20)
    assert "has reached max_iter 20; solvers/tiny.prototxt is as it was; raise max_iter first" in refused(
        capsys, "0.001"
    )


def test_under_make(place):
    makefile = Path(__file__).parents[2] / "Makefile"
    command = ["make", "-n", "-f", str(makefile), "lr-tiny", "LR=0.001", "GPU="]
    told = subprocess.run(command, capture_output=True, text=True)
    assert '-m training.set_rate tiny --lr="0.001" --caffe' in told.stdout, told.stderr
