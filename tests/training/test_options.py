"""An option that Caffe would refuse is named with a command that works, before anything is made or stopped."""

from argparse import Namespace
from pathlib import Path

import pytest
from caffe._device import precision

from first_pass.explore import main as explore
from reproduce.__main__ import main as reproduce
from tests.training.test_run import write_snapshot
from tests.training.tiny_run import edit
from training import options, run, set_rate

PRECISIONS = "no such precision; there are fp32, tf32 and bf16"
GPUS = "give numbers of GPUs, each once, such as 0 or 0,1; or all; or nothing for the CPU"
KEPT = "not a number of snapshots, 1 or more"
WRONG = [
    ("CAFFE_PRECISION", "fp16", f"PRECISION=fp16: {PRECISIONS}", "GPU=1 CAFFE=./caffe KEEP=3"),
    ("CAFFE_PRECISION", "BF16", f"PRECISION=BF16: {PRECISIONS}", "GPU=1 CAFFE=./caffe KEEP=3"),
    ("--gpu", "x", f"GPU=x: {GPUS}", "CAFFE=./caffe KEEP=3"),
    ("--gpu", "-1", f"GPU=-1: {GPUS}", "CAFFE=./caffe KEEP=3"),
    ("--gpu", "0,0", f"GPU=0,0: {GPUS}", "CAFFE=./caffe KEEP=3"),
    ("--gpu", "0 1", f"GPU=0 1: {GPUS}", "CAFFE=./caffe KEEP=3"),
    ("--gpu", "0,", f"GPU=0,: {GPUS}", "CAFFE=./caffe KEEP=3"),
    ("--keep", "0", f"KEEP=0: {KEPT}", "GPU=1 CAFFE=./caffe"),
    ("--keep", "all", f"KEEP=all: {KEPT}", "GPU=1 CAFFE=./caffe"),
]


def given(monkeypatch, option: str, value: str) -> list[str]:
    """The options of a run, one of which is wrong."""
    words = {"--caffe": "./caffe", "--gpu": "1", "--keep": "3"}
    if option == "CAFFE_PRECISION":
        monkeypatch.setenv(option, value)
    else:
        words[option] = value
    return [f"{name}={word}" for name, word in words.items()]


@pytest.mark.parametrize(("option", "value", "said", "command"), WRONG)
@pytest.mark.parametrize("verb", ["train", "resume"])
def test_before_anything_is_made(place, monkeypatch, capsys, verb, option, value, said, command):
    monkeypatch.setenv("MAKELEVEL", "1")
    edit("100000", "20")  # without the refusal it ends soon
    assert run.main([verb, "tiny", *given(monkeypatch, option, value)]) == 1
    assert capsys.readouterr().err == f"training.run: error: {said}; run: make {verb}-tiny {command}\n"
    assert not Path("runs").exists()


@pytest.mark.parametrize(("option", "value", "said", "command"), WRONG)
def test_before_a_run_is_stopped_for_another_rate(place, monkeypatch, capsys, option, value, said, command):
    monkeypatch.setenv("MAKELEVEL", "1")
    monkeypatch.setattr(set_rate, "stop", lambda *_: pytest.fail("the run was stopped"))
    monkeypatch.setattr(set_rate.running, "process", lambda _: 7)
    before = Path("solvers/tiny.prototxt").read_bytes()
    assert set_rate.main(["tiny", "--lr=0.001", *given(monkeypatch, option, value)]) == 1
    assert capsys.readouterr().err == f"training.run: error: {said}; run: make lr-tiny LR=0.001 {command}\n"
    assert Path("solvers/tiny.prototxt").read_bytes() == before


def test_without_make_the_flags_are_named(place, monkeypatch, capsys):
    assert run.main(["train", "tiny", *given(monkeypatch, "--gpu", "x")]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"training.run: error: --gpu x: {GPUS}; run: ")
    assert said.endswith(" -m training.run train tiny --caffe ./caffe --gpu 0 --keep 3\n")
    assert set_rate.main(["tiny", "--lr=0.001", *given(monkeypatch, "--keep", "x")]) == 1
    assert capsys.readouterr().err.endswith(" -m training.set_rate tiny --lr=0.001 --caffe ./caffe --gpu 1\n")
    monkeypatch.setenv("CAFFE_PRECISION", "fp16")
    assert run.main(["train", "tiny", "--caffe", "./caffe"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("training.run: error: CAFFE_PRECISION=fp16: ") and said.count("CAFFE_PRECISION") == 1


@pytest.mark.parametrize("main", [explore, reproduce])
def test_programs_that_train_look_first_too(place, monkeypatch, capsys, main):
    monkeypatch.setenv("CAFFE_PRECISION", "fp16")
    assert main(["--caffe", "./caffe"]) == 1
    assert capsys.readouterr().err.endswith(f"error: CAFFE_PRECISION=fp16: {PRECISIONS}\n")
    assert not Path("runs").exists() and not Path("reproduction").exists()


def test_a_reproduction_looks_at_all_of_them(place, capsys):
    assert reproduce(["--caffe", "./caffe", "--keep", "x"]) == 1
    assert capsys.readouterr().err == f"reproduce: error: --keep x: {KEPT}\n"
    assert reproduce(["--caffe", "./caffe", "--gpu", "x"]) == 1
    assert 'GPU="x"' in capsys.readouterr().err
    assert not Path("reproduction").exists()


def test_the_engines_precisions():
    assert options.PRECISIONS == precision.NAMES


def failing(message: str, status: int = 1) -> None:
    line = f"F1123 16:02:29.668105     7 common.cpp:66] {message}"
    Path("caffe").write_text(f"#!/bin/sh\n[ $1 = --version ] || echo '{line}' >&2\nexit {status}\n")


@pytest.mark.parametrize(
    ("message", "gpu", "command"),
    [
        ("Cannot use GPU in CPU-only Caffe: check mode.", "0", "GPU= CAFFE=./caffe"),  # real Caffe's
        ("GPU 7 does not exist: this machine has GPUs 0 to 3.", "7", "CAFFE=./caffe"),
        ("Check failed: error == cudaSuccess (101 vs. 0)  invalid device ordinal", "7", "CAFFE=./caffe"),
        ("models/tiny: a layer has no type.", "7", "GPU=7 CAFFE=./caffe"),
        ("models/tiny: a layer has no type.", "", "GPU= CAFFE=./caffe"),
    ],
)
def test_what_caffe_refuses_is_not_advised_again(place, monkeypatch, capfd, message, gpu, command):
    monkeypatch.setenv("MAKELEVEL", "1")
    failing(message)
    assert run.main(["train", "tiny", "--caffe", "./caffe", "--gpu", gpu]) == 1
    assert capfd.readouterr().err.splitlines()[-2:] == [
        f"training.run: caffe failed with status 1: {message.rstrip('.')}; no snapshot in runs/tiny",
        f"training.run: that put right, start again with: make train-tiny {command}",
    ]
    write_snapshot(12)
    assert run.main(["resume", "tiny", "--caffe", "./caffe", "--gpu", gpu]) == 1
    assert capfd.readouterr().err.splitlines()[-1] == (
        f"training.run: that put right, go on with: make resume-tiny {command}"
    )


def test_a_gpu_that_is_full_is_the_right_one():
    reason = "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 139 GiB"
    assert options.blamed(reason, Namespace(gpu="0")) == {}


def test_what_is_missing_names_what_makes_it(place, capsys):
    net = Path("models/tiny/train_val.prototxt")
    net.write_text(net.read_text().replace("data/lmdb/train_lmdb", "data/mine/train"))
    assert run.main(["train", "tiny", "--caffe", "./caffe"]) == 1
    said = capsys.readouterr().err
    assert "data/mine/train: no LMDB there, models/tiny/train_val.prototxt reads it; make it with caffe convert" in said
    net.write_text(net.read_text().replace("backend: LMDB", "backend: LEVELDB"))
    edit("max_iter: 100000", "max_iter: 20")
    assert run.main(["train", "tiny", "--caffe", "./caffe"]) == 0, "it is for Caffe to read: real Caffe does"
