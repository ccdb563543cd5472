"""The torture must find errors: these faults are planted in the engine, in the build and in a run."""

import os
from pathlib import Path

import pytest
from caffe._files import whole_file

from data_prep import build_lmdb, staging
from tests.torture import kills, power_cut
from tests.torture.faults import Case, Lost, attempt
from tests.torture.training import Training


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


class _OsWithout:
    """The module os, but for some functions."""

    def __init__(self, **functions):
        self.__dict__.update(functions)

    def __getattr__(self, name):
        return getattr(os, name)


def test_files_that_are_not_flushed(monkeypatch):
    monkeypatch.setattr(whole_file, "os", _OsWithout(fsync=lambda descriptor: None))
    with pytest.raises(Lost, match="names: the newest whole snapshot is 0, but 5 was written"):
        power_cut.snapshots_of_a_training()


def test_folders_that_are_not_flushed(monkeypatch):
    monkeypatch.setattr(whole_file, "flush_folder", lambda folder: None)
    with pytest.raises(Lost, match="late names: the newest whole snapshot is 0, but 5 was written"):
        power_cut.snapshots_of_a_training()


def test_a_state_that_stands_beside_another_runs_model(monkeypatch):
    publish = whole_file.WholeFiles.publish
    monkeypatch.setattr(whole_file.WholeFiles, "publish", lambda self, instead_of=(): publish(self))
    with pytest.raises(Lost, match="the pair of .* is not one that was written"):
        power_cut.snapshots_in_place(manifests=False)


def test_a_build_that_is_not_flushed(monkeypatch):
    monkeypatch.setattr(staging, "_sync_tree", lambda folder: None)
    with pytest.raises(Lost, match="early names: lmdb is not whole|cut/lmdb"):
        power_cut.build_of_lmdbs(in_place=False)


def test_a_build_under_its_final_name(monkeypatch):
    from contextlib import contextmanager

    @contextmanager
    def at_once(final: Path):
        final.mkdir()
        yield final
        staging._sync_tree(final)

    monkeypatch.setattr(build_lmdb, "staged_folder", at_once)
    with pytest.raises(Lost):
        power_cut.build_of_lmdbs(in_place=False)


def test_a_run_that_resumes_without_its_side_file(monkeypatch):
    start = Training.start

    def without(self, **options):
        for path in Path("runs").glob("*.resume.json"):
            path.unlink()
        return start(self, **options)

    monkeypatch.setattr(Training, "start", without)
    with pytest.raises(Lost, match="the last weights are others"):
        kills.at_steps([30])


def test_lost_cases_are_reported_and_kept(tmp_path):
    def lose():
        Path("evidence").touch()
        raise Lost("it is gone")

    assert attempt(Case("a", lose, 3), str(tmp_path / "a")) == ("lost", 3, "it is gone")
    assert (tmp_path / "a/evidence").exists()
    outcome, tried, why = attempt(Case("b", lambda: 1 / 0), str(tmp_path / "b"))
    assert (outcome, tried) == ("lost", 1) and "ZeroDivisionError" in why
    assert attempt(Case("c", lambda: 7, 3), str(tmp_path / "c")) == ("survived", 7, "")
    assert not (tmp_path / "c").exists()
