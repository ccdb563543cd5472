"""The origin of a run: the journal's entries of code, data and machine."""

import hashlib
import os
import subprocess
from pathlib import Path

import pytest
from caffe.proto import caffe_pb2

from harness import provenance


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A git checkout of one committed file in place of this repository."""
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    (tmp_path / "file").write_text("one\n")
    for command in ("init -q", "add file", "-c user.name=a -c user.email=a@b commit -q -m one"):
        subprocess.run(["git", "-C", str(tmp_path), *command.split()], check=True)
    return tmp_path


def test_commit_and_changes(checkout):
    head = subprocess.run(["git", "-C", str(checkout), "rev-parse", "HEAD"], capture_output=True, text=True).stdout
    assert provenance.commit() == head[:10]
    (checkout / "stranger").write_text("")  # not of the code
    assert provenance.commit() == head[:10]
    (checkout / "file").write_text("two\n")
    assert provenance.commit() == f"{head[:10]} with changes"


def test_solvers_results_and_documents_are_no_changes_of_the_code(checkout):
    """The rate is dropped by hand in a solver, which the journal holds; what is kept and written changes no number."""
    paths = ["solvers/nin1.prototxt", "results/gap_nin1.json", "README.md", "bench/README.md", "training/run.py"]
    for name in paths:
        (checkout / name).parent.mkdir(exist_ok=True)
        (checkout / name).write_text("one\n")
    for command in ("add .", "-c user.name=a -c user.email=a@b commit -q -m two"):
        subprocess.run(["git", "-C", str(checkout), *command.split()], check=True)
    for name in paths[:-1]:
        (checkout / name).write_text("two\n")
    assert "with changes" not in provenance.commit()
    (checkout / paths[-1]).write_text("two\n")
    assert provenance.commit().endswith(" with changes")


def test_no_checkout_and_no_git(checkout, monkeypatch):
    monkeypatch.delenv("COMMIT", raising=False)
    monkeypatch.setenv("PATH", "")
    assert provenance.commit() is None
    monkeypatch.undo()
    monkeypatch.setattr(provenance, "ROOT", Path("/"))
    assert provenance.commit() is None
    monkeypatch.setenv("COMMIT", "0123456789")  # set by the user who copied the code
    assert provenance.commit() == "0123456789"


def test_machine_and_its_gpus(tmp_path, monkeypatch):
    smi = tmp_path / "nvidia-smi"
    smi.write_text('#!/bin/sh\ncase "$*" in *" -i 1"*) echo NVIDIA H0;; *) echo NVIDIA H0; echo NVIDIA H1;; esac\n')
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {5})
    assert ", 1 core, " in provenance.machine("")
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 5})
    alone = provenance.machine("")
    assert ", 2 cores, " in alone and alone.endswith(" GiB")
    assert provenance.machine("1") == f"{alone}, NVIDIA H0"
    assert provenance.machine("all") == f"{alone}, NVIDIA H0, NVIDIA H1"


def test_data_is_named_by_its_mean(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    solver = caffe_pb2.SolverParameter(net="net.prototxt")
    assert provenance.data(solver) is None
    Path("net.prototxt").write_text('layer { transform_param { mean_file: "mean.binaryproto" } }')
    assert provenance.data(solver) is None
    Path("mean.binaryproto").write_bytes(b"pixels")
    assert provenance.data(solver) == f"mean {hashlib.sha256(b'pixels').hexdigest()}"
