"""A snapshot's files are whole or absent, have a manifest that proves it, one writer, and room for all."""

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from caffe import SnapshotError
from caffe._error import WriteError
from caffe._files import whole_file
from caffe._snapshot import run_lock, write

from tests.engine.command import environment
from tests.engine.snapshot.test_snapshot import make_solver, pair, source  # noqa: F401

ENDINGS = (".caffemodel", ".resume.json", ".solverstate", ".manifest.json")


def names(folder: Path) -> set[str]:
    return set(os.listdir(folder))


def files(*iterations: int) -> set[str]:
    return {f"run_iter_{n}{ending}" for n in iterations for ending in ENDINGS}


@pytest.fixture
def full(monkeypatch):
    """Makes the disk full from a call on, for a number of files: (first, number)."""
    fsync = os.fsync

    def fail(first: int, number: int = 10**9) -> None:
        calls = iter(range(10**9))

        def failing(descriptor: int) -> None:
            if first <= next(calls) < first + number:
                raise OSError(errno.ENOSPC, "No space left on device")
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", failing)

    return fail


class TestWholeFile:
    def test_failure_leaves_the_old_file_whole(self, tmp_path, full):
        path = tmp_path / "x.caffemodel"
        path.write_bytes(b"old")
        full(0)
        with pytest.raises(WriteError, match="x.caffemodel: No space left on device"):
            whole_file.write_file(path, b"new content")
        assert path.read_bytes() == b"old" and names(tmp_path) == {"x.caffemodel"}

    def test_none_of_several_appears_where_the_last_does_not_fit(self, tmp_path, full):
        full(2)
        with pytest.raises(WriteError), whole_file.WholeFiles() as three:
            for name in "abc":
                three.write(tmp_path / name, name.encode())
            three.publish()
        assert names(tmp_path) == set()

    def test_an_interrupt_leaves_nothing(self, tmp_path):
        with pytest.raises(KeyboardInterrupt), whole_file.WholeFiles() as one:
            one.write(tmp_path / "a", b"a")
            raise KeyboardInterrupt
        assert names(tmp_path) == set()

    def test_folder_that_is_not_there(self, tmp_path):
        with pytest.raises(SnapshotError, match="No such file or directory"):
            whole_file.write_file(tmp_path / "gone" / "x.caffemodel", b"")


class TestManifest:
    def test_says_what_was_written(self, pair):  # noqa: F811
        folder = pair[1].parent
        manifest = json.loads((folder / "run_iter_4.manifest.json").read_text())
        assert manifest["iter"] == 4 and set(manifest["versions"]) == {"caffe", "python", "torch", "numpy"}
        assert set(manifest["files"]) == files(4) - {"run_iter_4.manifest.json"}
        for name, written in manifest["files"].items():
            content = (folder / name).read_bytes()
            assert written == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}

    @pytest.mark.parametrize("ending", [".caffemodel", ".solverstate", ".resume.json"])
    def test_a_flipped_bit_is_found(self, source, tmp_path, pair, ending):  # noqa: F811
        file = pair[1].with_name(f"run_iter_4{ending}")
        content = bytearray(file.read_bytes())
        # In the middle of a number: a weight of the model, a momentum, the last loss.
        place = content.rindex(b'"losses": [\n  ') + 14 if ending == ".resume.json" else len(content) - 30
        content[place] ^= 1
        file.write_bytes(content)
        resumed = make_solver(source, tmp_path / "other")
        with pytest.raises(SnapshotError, match=f"run_iter_4{ending} is not as run_iter_4.manifest.json says"):
            resumed.restore(pair[1])
        assert resumed.iter == 0

    @pytest.mark.parametrize(
        "content", ["", "[]", "{}", '{"format": 1}', '{"format": 9}', "[" * 100_000, '{"a": 1e999}']
    )
    def test_a_broken_one_is_named(self, source, tmp_path, pair, content):  # noqa: F811
        pair[1].with_name("run_iter_4.manifest.json").write_text(content)
        with pytest.raises(SnapshotError, match="run_iter_4.manifest.json is broken"):
            make_solver(source, tmp_path / "other").restore(pair[1])

    def test_one_of_another_snapshot_is_named(self, source, tmp_path, pair):  # noqa: F811
        solver, path = pair
        solver.step(1)
        solver.snapshot()
        path.with_name("run_iter_5.manifest.json").rename(path.with_name("run_iter_4.manifest.json"))
        with pytest.raises(SnapshotError, match="run_iter_4.manifest.json is not of the snapshot"):
            make_solver(source, tmp_path / "other").restore(path)

    def test_other_versions_get_a_message(self, source, tmp_path, pair, log_lines):  # noqa: F811
        path = pair[1].with_name("run_iter_4.manifest.json")
        path.write_text(json.dumps(json.loads(path.read_text()) | {"versions": {"torch": "1.0"}}))
        make_solver(source, tmp_path / "other").restore(pair[1])
        assert any("Written with caffe None (now 1.0.0), " in line and "torch 1.0 (now " in line for line in log_lines)


class TestFullDisk:
    def test_training_continues_and_the_next_snapshot_is_there(self, source, tmp_path, full, log_lines):  # noqa: F811
        solver = make_solver(source, tmp_path / "runs", more="snapshot: 2 max_iter: 6")
        full(9, 1)  # the second file of the second snapshot: each takes four files and four times the folder
        solver.solve()
        assert names(tmp_path / "runs") == files(2, 6)
        said = [line for line in log_lines if "Training continues" in line]
        assert len(said) == 1 and "No snapshot of iteration 4: Cannot write" in said[0]
        assert "run_iter_4.resume.json: No space left on device" in said[0]

    def test_the_last_one_is_tried_twice_and_then_an_error(self, source, tmp_path, full):  # noqa: F811
        solver = make_solver(source, tmp_path / "runs", more="snapshot: 2 max_iter: 4")
        full(8, 1)
        solver.solve()
        assert names(tmp_path / "runs") == files(2, 4)
        again = make_solver(source, tmp_path / "again", more="snapshot: 2 max_iter: 4")
        full(8)
        with pytest.raises(WriteError, match="run_iter_4.caffemodel: No space left on device"):
            again.solve()
        assert names(tmp_path / "again") == files(2)

    def test_room_for_all_is_looked_for_before_training(self, source, tmp_path, monkeypatch):  # noqa: F811
        solver = make_solver(source, tmp_path / "runs", more="snapshot: 2 max_iter: 9")
        one = write.snapshot_size(solver.param, solver._states())
        assert write.remaining_snapshots(solver.param, solver.iter) == 5

        def free(count: int) -> None:
            monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 0, count * one))

        free(4)
        with pytest.raises(
            WriteError, match="runs: the snapshots to come, 5 of .* take .*, and .* are free. Make room"
        ):
            solver.solve()
        assert solver.iter == 0 and names(tmp_path / "runs") == set()
        monkeypatch.setenv("CAFFE_SNAPSHOTS_KEPT", "4")
        solver.solve()
        assert names(tmp_path / "runs") == files(2, 4, 6, 8, 9)

    def test_room_for_one_is_looked_for_before_each(self, source, tmp_path, monkeypatch, full):  # noqa: F811
        solver = make_solver(source, tmp_path / "runs")
        monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 0, 1000))
        full(0)  # it would fail otherwise too
        with pytest.raises(WriteError, match="runs: a snapshot takes .*, and 0.001 MB are free"):
            solver.snapshot()

    def test_the_stated_size_is_enough_and_not_far_off(self, source, tmp_path):  # noqa: F811
        solver = make_solver(source, tmp_path / "runs", outputs=5000)
        solver.step(1)
        solver.snapshot()
        taken = sum(path.stat().st_size for path in (tmp_path / "runs").iterdir())
        assert taken <= write.snapshot_size(solver.param, solver._states()) < 1.2 * taken

    @pytest.mark.parametrize(
        ("more", "start", "count"),
        [
            ("snapshot: 10 max_iter: 100", 0, 10),
            ("snapshot: 10 max_iter: 105", 0, 11),
            ("snapshot: 10 max_iter: 105 snapshot_after_train: false", 0, 10),
            ("snapshot: 10 max_iter: 100", 35, 7),
            ("snapshot: 10 max_iter: 100", 100, 0),
            ("max_iter: 100", 35, 1),
            ("max_iter: 100 snapshot_after_train: false", 0, 0),
        ],
    )
    def test_how_many_are_to_come(self, source, tmp_path, more, start, count):  # noqa: F811
        solver = make_solver(source, tmp_path / "runs", more=more)
        solver.iter = start
        assert write.remaining_snapshots(solver.param, solver.iter) == count


HOLD = """
import sys
from caffe._snapshot import run_lock
with run_lock.held(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other_process(tmp_path):
    """A process that holds the lock of runs/run until it is ended."""
    (tmp_path / "runs").mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "runs/run")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(),
    )  # fmt: skip
    with process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


class TestLock:
    def test_two_processes(self, source, tmp_path, other_process):  # noqa: F811
        solver = make_solver(source, tmp_path / "runs", more="max_iter: 3")
        busy = rf"Another process \({other_process.pid}\) is training with snapshot_prefix '.*runs/run'"
        with pytest.raises(SnapshotError, match=busy):
            solver.solve()
        assert solver.iter == 0
        solver.step(1)
        with pytest.raises(SnapshotError, match=busy):
            solver.snapshot()
        other_process.kill()
        other_process.wait()
        assert names(tmp_path / "runs") == {".run.lock"}, "what a killed process leaves"
        solver.solve()
        assert names(tmp_path / "runs") == files(3)

    def test_another_prefix_in_the_same_folder_is_free(self, tmp_path, other_process):
        with run_lock.held(str(tmp_path / "runs/run2")):
            assert names(tmp_path / "runs") == {".run.lock", ".run2.lock"}

    def test_what_a_killed_writer_left_is_removed(self, source, tmp_path):  # noqa: F811
        solver = make_solver(source, tmp_path / "runs", more="max_iter: 1")
        for name in (".run_iter_8.caffemodel.77.part", ".run2_iter_8.caffemodel.77.part", ".run_iter_8.lock"):
            (tmp_path / "runs" / name).write_text("")
        solver.solve()
        assert names(tmp_path / "runs") == files(1) | {".run2_iter_8.caffemodel.77.part", ".run_iter_8.lock"}

    def test_a_folder_that_was_removed_is_created_again(self, source, tmp_path, log_lines):  # noqa: F811
        solver = make_solver(source, tmp_path / "runs", more="snapshot: 2 max_iter: 4")
        at_three = lambda: solver.iter == 3 and shutil.rmtree(tmp_path / "runs")  # noqa: E731
        solver.add_callback(at_three, lambda: None)
        solver.solve()
        assert names(tmp_path / "runs") == files(4)
        assert any("runs was removed: creating it again" in line for line in log_lines)

    def test_a_folder_that_became_another_runs_is_left_alone(self, source, tmp_path, log_lines):  # noqa: F811
        solver = make_solver(source, tmp_path / "runs", more="snapshot: 2 max_iter: 5")

        def taken_over():
            if solver.iter == 1:
                shutil.rmtree(tmp_path / "runs")
                (tmp_path / "runs").mkdir()
                taken_over.process = subprocess.Popen(
                    [sys.executable, "-c", HOLD, str(tmp_path / "runs/run")],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(),
                )  # fmt: skip
                assert taken_over.process.stdout.readline() == "held\n"

        solver.add_callback(taken_over, lambda: None)
        with pytest.raises(WriteError, match="Another process"):
            solver.solve()
        assert solver.iter == 5 and names(tmp_path / "runs") == {".run.lock"}
        assert sum("Training continues" in line for line in log_lines) == 2
        with taken_over.process as process:
            process.kill()


class TestScheduled:
    def test_prefix_is_tried_before_training(self, source, tmp_path):  # noqa: F811
        with pytest.raises(SnapshotError, match="Cannot write to snapshot prefix"):
            make_solver(source, tmp_path / "runs", more="snapshot: 5", prefix=tmp_path / "gone")
        solver = make_solver(source, tmp_path / "runs", more="max_iter: 5", prefix=tmp_path / "gone")
        with pytest.raises(SnapshotError, match="Cannot write to snapshot prefix"):
            solver.solve()
        assert solver.iter == 0

    def test_intervals_and_after_train(self, source, tmp_path):  # noqa: F811
        solver = make_solver(source, tmp_path / "runs", more="snapshot: 2 max_iter: 5")
        solver.solve()
        assert names(tmp_path / "runs") == files(2, 4, 5)
