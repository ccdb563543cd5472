"""Snapshots of our engine are judged by their manifest, to the last bit."""

import hashlib
import json
from pathlib import Path

import pytest
from caffe.proto import caffe_pb2

from tests.training.test_run import write_snapshot
from training.snapshots import Snapshot, fault, newest_whole

PREFIX = "runs/tiny/tiny"


def write_whole(iteration: int) -> Snapshot:
    """A snapshot as our engine writes it."""
    snapshot = Snapshot(PREFIX, iteration)
    files = [*write_snapshot(iteration), snapshot.file("resume.json")]
    files[-1].write_text('{"format": 1}')
    digests = {path.name: {"bytes": 0, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()} for path in files}
    snapshot.manifest.write_text(json.dumps({"format": 1, "iter": iteration, "versions": {}, "files": digests}))
    return snapshot


@pytest.fixture
def snapshot(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_whole(12)


def test_whole(snapshot):
    assert fault(snapshot) is None


@pytest.mark.parametrize("ending", ["caffemodel", "solverstate", "resume.json"])
def test_a_flipped_bit(snapshot, ending):
    write_snapshot(11)
    file = snapshot.file(ending)
    content = bytearray(file.read_bytes())
    content[-2] ^= 1
    file.write_bytes(content)
    newest, faults = newest_whole(PREFIX)
    assert newest.iteration == 11
    assert faults == [f"{file}: not as tiny_iter_12.manifest.json says; cut, damaged or written over"]


@pytest.mark.parametrize("content", ["", "[]", '{"files": 3}', '{"files": {"a": 1}}', "[" * 100_000])
def test_a_broken_manifest(snapshot, content):
    snapshot.manifest.write_text(content)
    assert fault(snapshot) == f"{snapshot.manifest}: cut or damaged"


def test_a_manifest_of_another_snapshot(snapshot):
    write_whole(13).manifest.rename(snapshot.manifest)
    assert fault(snapshot) == f"{snapshot.manifest}: is of another snapshot"


@pytest.mark.parametrize(("ending", "told"), [("caffemodel", "names"), ("solverstate", "No such file")])
def test_a_file_is_missing(snapshot, ending, told):
    snapshot.file(ending).unlink()
    assert told in fault(snapshot)


def test_without_the_side_file_it_resumes_as_real_caffe(snapshot):
    snapshot.file("resume.json").unlink()
    assert fault(snapshot) is None


def test_a_run_folder_that_was_moved(snapshot):
    """Our engine finds the model beside the state. If the old place has another one, real Caffe would take it."""
    Path("runs/tiny").rename("runs/moved")
    moved = Snapshot("runs/moved/tiny", 12)
    assert fault(moved) is None
    write_snapshot(12)
    assert "names runs/tiny/tiny_iter_12.caffemodel as its weights, which is not" in fault(moved)


def test_the_state_of_another_iteration(snapshot):
    state = caffe_pb2.SolverState.FromString(snapshot.state.read_bytes())
    state.iter = 5
    snapshot.state.write_bytes(state.SerializeToString())
    snapshot.manifest.unlink()
    assert fault(snapshot) == f"{snapshot.state}: holds iteration 5"


def test_remove(snapshot):
    write_whole(13).remove()
    assert sorted(path.name for path in Path("runs/tiny").iterdir()) == sorted(
        f"tiny_iter_12.{ending}" for ending in ("caffemodel", "solverstate", "resume.json", "manifest.json")
    )
    snapshot.remove()
    snapshot.remove()
    assert not list(Path("runs/tiny").iterdir())
