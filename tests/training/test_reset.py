"""A solver that was edited since the last commit: named when a new run starts with it, and restored."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.training.test_run import write_snapshot
from tests.training.tiny_run import SOLVER, edit
from training import reset, run, running, set_rate

PATH = Path("solvers/tiny.prototxt")
KEPT = Path("runs/edited/tiny-1.prototxt")
NOTE = "note: this new run starts with solvers/tiny.prototxt as edited, not as committed:"


def git(*words: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run(["git", *who, *words], check=True, capture_output=True)


@pytest.fixture
def checkout(place, monkeypatch):
    """The working folder as a git checkout in which the solver is committed."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    git("init", "-q")
    git("add", "solvers")
    git("commit", "-qm", "begin")
    edit("max_iter: 100000", "max_iter: 20")
    git("commit", "-qam", "short")
    return place


def trained(capfd, *options: str) -> list[str]:
    assert run.main(["train", "tiny", "--caffe", "./caffe", *options]) == 0
    return [line.removeprefix("training.run: ") for line in capfd.readouterr().err.splitlines()]


def test_a_new_run_names_the_dropped_rate(checkout, capfd, monkeypatch):
    monkeypatch.setenv("MAKELEVEL", "1")
    edit("base_lr: 0.01", "base_lr: 0.0001  # dropped twice")
    edit("max_iter: 20", "max_iter: 10")
    said = trained(capfd)
    at = said.index(NOTE)
    assert said[at + 1 : at + 4] == [
        "    base_lr: 0.01 -> 0.0001",
        "    max_iter: 20 -> 10",
        "    To train as committed instead: stop this run, remove runs/tiny, then: "
        "make reset-tiny && make train-tiny GPU= CAFFE=./caffe",
    ]
    assert "(base_lr 0.0001; log: runs/tiny/train.log)" in said[at + 4], "before it trains"


def test_the_drop_of_make_lr_and_a_run_that_was_removed(checkout, capfd):
    trained(capfd)
    edit("max_iter: 20", "max_iter: 30")
    assert set_rate.main(["tiny", "--lr=0.001", "--caffe", "./caffe"]) == 0
    assert NOTE not in capfd.readouterr().err, "a resume has its own line for an edit"
    subprocess.run(["rm", "-r", "runs/tiny"], check=True)
    assert "    base_lr: 0.01 -> 0.001" in trained(capfd)


@pytest.mark.parametrize(
    "kind", ["as committed", "a comment", "not committed", "no checkout", "no git", "not readable"]
)
def test_nothing_to_name(checkout, capfd, monkeypatch, kind):
    if kind != "as committed":
        edit("# edited by hand", "# by me")
    if kind == "not committed":
        git("rm", "-q", "--cached", "solvers/tiny.prototxt")
        git("commit", "-qm", "mine alone")
    if kind == "no checkout":
        subprocess.run(["rm", "-r", ".git"], check=True)
    if kind == "no git":
        monkeypatch.setenv("PATH", "/nonexistent")
    if kind == "not readable":
        edit("base_lr", "base_lrr")
        git("commit", "-qam", "broken")
        edit("base_lrr", "base_lr")
    if kind not in ("as committed", "a comment", "not readable"):
        edit("base_lr: 0.01", "base_lr: 0.001")
    assert not [line for line in trained(capfd) if "committed" in line]


def test_another_program_that_trains_edits_on_purpose(checkout, capfd):
    edit("base_lr: 0.01", "base_lr: 0.001")
    assert NOTE not in trained(capfd, "--go-on=the same make reproduce")


def test_the_committed_solver_is_restored_and_the_edited_one_kept(checkout, capfd):
    committed = PATH.read_bytes()
    edit("base_lr: 0.01", "base_lr: 0.001  # mine")
    edited = PATH.read_bytes()
    PATH.chmod(0o640)
    write_snapshot(12)
    assert reset.main(["tiny"]) == 0
    assert (PATH.read_bytes(), KEPT.read_bytes()) == (committed, edited) and PATH.stat().st_mode & 0o777 == 0o640
    assert capfd.readouterr().err.splitlines() == [
        f"training.run: restored solvers/tiny.prototxt as committed; the edited one is kept as {KEPT}",
        "training.run:     base_lr: 0.001 -> 0.01",
        "training.run: note: runs/tiny has snapshots up to iteration 12; make resume-tiny resumes from there with the "
        "restored solver",
    ]
    assert reset.main(["tiny"]) == 0
    assert "is as committed; there is nothing to restore" in capfd.readouterr().err

    PATH.write_bytes(edited)
    assert reset.main(["tiny"]) == 0 and list(KEPT.parent.iterdir()) == [KEPT], "the same edit once"
    PATH.write_bytes(edited + b"# more")
    assert reset.main(["tiny"]) == 0
    assert KEPT.read_bytes() == edited and KEPT.with_name("tiny-2.prototxt").read_bytes() == edited + b"# more"


def test_a_solver_that_cannot_be_read_is_restored_too(checkout):
    PATH.write_bytes(b"\xff not a solver {")
    assert reset.main(["tiny"]) == 0
    assert PATH.read_text() == SOLVER.replace("100000", "20") and KEPT.read_bytes() == b"\xff not a solver {"


@pytest.mark.parametrize(
    ("remove", "reason"),
    [(".git", "not a git repository"), ("nothing", "'solvers/mine.prototxt' exists on disk, but not in 'HEAD'")],
)
def test_nothing_is_committed(checkout, capfd, remove, reason):
    mine = Path("solvers/mine.prototxt")
    mine.write_text(SOLVER.replace("tiny", "mine"))
    subprocess.run(["rm", "-rf", remove], check=True)
    assert reset.main(["mine"]) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("training.run: error: solvers/mine.prototxt: git has no committed version to restore (")
    assert reason in line
    assert mine.read_text() == SOLVER.replace("tiny", "mine") and not Path("runs").exists()


def test_not_while_it_trains(checkout, capfd):
    edit("max_iter: 20", "max_iter: 100000")
    before = PATH.read_bytes()
    command = [sys.executable, "-m", "training.run", "train", "tiny", "--caffe", "./caffe"]
    runner = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while running.process(Path("runs/tiny")) is None:
        assert runner.poll() is None
        time.sleep(0.01)
    holder = running.process(Path("runs/tiny"))
    assert reset.main(["tiny"]) == 1
    said = capfd.readouterr().err
    assert f"solvers/tiny.prototxt: process {holder} trains with it in runs/tiny; stop that run" in said
    assert PATH.read_bytes() == before and not KEPT.exists()
    log = Path("runs/tiny/train.log")
    while not log.is_file() or "lr =" not in log.read_text():
        assert runner.poll() is None
        time.sleep(0.01)
    runner.terminate()
    assert runner.wait(60) == 0
