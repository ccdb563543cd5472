"""Failures among workers give one error on each and an exit status other than 0; no worker waits for long."""

import re
import signal
import socket
from pathlib import Path

import caffe.__main__
import numpy as np
import pytest
import torch
from caffe import CaffeError
from caffe._workers import notices

from tests.engine.command import NET, SOLVER, make_experiment, write_lmdb

TRAIN = ["train", "--solver=solver.prototxt", "--worker_timeout=40"]
HASTY = [*TRAIN, "--worker_timeout=2"]


def the_error(log: str) -> str:
    """The one line with the error."""
    (line,) = [line for line in log.splitlines() if line.startswith("F")]
    return line


def broken(workers, *wanted: str) -> None:
    """Check that each worker ends with status 1 and logs the expected error."""
    assert workers.end() == [1] * len(wanted)
    for rank, text in enumerate(wanted):
        assert text in the_error(workers.log(rank))
        assert ("Worker 1: " in the_error(workers.log(rank))) >= (rank == 1)


def two(folder, solver=SOLVER, net=NET):
    """Two folders of one experiment, and another net or solver in the second."""
    return [make_experiment(folder / "0"), make_experiment(folder / "1", solver, net)]


def test_a_missing_worker(tmp_path, train):
    workers = train(make_experiment(tmp_path), HASTY, WORLD_SIZE="2")
    broken(workers, "Of 2 workers some did not come within 2 s (--worker_timeout): 1.")


def test_a_missing_first_worker(tmp_path, train, port):
    workers = train(make_experiment(tmp_path), HASTY, WORLD_SIZE="2", RANK="1")
    broken(workers, f"Worker 0 was not found at 127.0.0.1, port {port} within 2 s")


def test_a_port_in_use(tmp_path, train, port):
    with socket.create_server(("127.0.0.1", int(port))):
        workers = train(make_experiment(tmp_path), HASTY, HASTY)
        broken(workers, f"127.0.0.1, port {port}, where workers are to meet, is in use", "Worker 0 was not found")


def test_a_solver_that_one_cannot_read(tmp_path, train):
    workers = train(make_experiment(tmp_path), TRAIN, ["train", "--solver=gone.prototxt"])
    broken(workers, "Worker 1 has failed: Could not open file gone.prototxt", "Could not open file gone.prototxt")


def test_the_board_of_one_machine_listens_to_no_other():
    board = notices.Board(None, None, True, 5)
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()]
    listening = [row[1] for row in rows if row[3] == "0A"]
    assert [where for where in listening if int(where.split(":")[1], 16) == board.port] == [
        f"0100007F:{board.port:04X}"
    ]


def test_two_workers_of_the_same_rank(tmp_path, train):
    workers = train(make_experiment(tmp_path), HASTY, HASTY, HASTY, WORLD_SIZE="3", RANK="1")
    broken(workers, *["Worker 0 was not found"] * 3)


@pytest.mark.parametrize(
    ("solver", "net", "what"),
    [
        (SOLVER, NET.replace("num_output: 6", "num_output: 7"), "layer 1 of the net: 'conv' (Convolution, "),
        (SOLVER.replace("base_lr: 0.01", "base_lr: 0.02"), NET, "the solver's base_lr: 0.02"),
        (SOLVER.replace("momentum: 0.9", ""), NET, "the solver's momentum: nothing, not 0.9"),
    ],
)
def test_workers_with_different_prototxts(tmp_path, train, solver, net, what):
    workers = train(two(tmp_path, solver, net), TRAIN, TRAIN)
    broken(workers, *[f"Worker 1 differs from worker 0 in {what}"] * 2)
    assert "All must train the same." in the_error(workers.log(0))


def test_workers_with_different_data(tmp_path, train):
    folders = two(tmp_path)
    images = np.zeros((39, 3, 12, 11), np.uint8)
    write_lmdb(folders[1] / "train_lmdb", images[37:], [0, 1])  # over the first two
    workers = train(folders, TRAIN, TRAIN)
    broken(workers, *["in the data of layer 0 of the net: train_lmdb with 37 records, 00000000 to 00000036"] * 2)


def test_workers_with_different_precisions(tmp_path, train):
    workers = train(make_experiment(tmp_path), TRAIN, [*TRAIN, "--precision=bf16"])
    broken(workers, *["differs from worker 0 in the precision: bf16, not fp32"] * 2)


def test_a_worker_that_cannot_start_says_why_and_so_do_the_others(tmp_path, train):
    folders = two(tmp_path, net=NET.replace("train_lmdb", "missing_lmdb"))
    workers = train(folders, TRAIN, TRAIN)
    broken(workers, "Worker 1 has failed: ", "missing_lmdb")
    assert "missing_lmdb" in the_error(workers.log(0))


@pytest.mark.parametrize("rank", [0, 1])
def test_a_broken_record_in_the_share_of_one(tmp_path, train, rank):
    folder = make_experiment(tmp_path)
    (bad,) = make_bad_record(folder / "train_lmdb", 20 + rank)
    workers = train(folder, TRAIN, TRAIN)
    assert workers.end() == [1, 1]
    for each in range(2):
        assert bad in the_error(workers.log(each))
    assert f"Worker {rank} has failed: " in the_error(workers.log(1 - rank))


def make_bad_record(path, index: int) -> list[str]:
    import lmdb

    key = f"{index:08d}"
    with lmdb.open(str(path)) as env, env.begin(write=True) as txn:
        txn.put(key.encode(), b"\xff\xff\xff")
    return [key]


def test_a_snapshot_that_cannot_be_resumed_from(tmp_path, train):
    workers = train(make_experiment(tmp_path), *[[*TRAIN, "--snapshot=snap_iter_5.solverstate"]] * 2)
    broken(workers, *["snap_iter_5.solverstate"] * 2)


def test_another_run_with_the_same_prefix(tmp_path, train):
    from caffe._snapshot import run_lock

    folder = make_experiment(tmp_path)
    with run_lock.held(str(folder / "snap")):
        broken(train(folder, TRAIN, TRAIN), *["is training with snapshot_prefix 'snap'"] * 2)


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({"RANK": "7"}, "RANK=7 is no place among WORLD_SIZE=2 workers"),
        ({"MASTER_PORT": "70000"}, "MASTER_PORT=70000 is no port: these are 1 to 65535"),
        ({"RANK": "first"}, "RANK=first: the environment variable should be a number"),
        ({"MASTER_ADDR": ""}, "but not MASTER_ADDR: start workers with torchrun"),
    ],
)
def test_variables_that_make_no_sense(tmp_path, train, variables, wanted):
    workers = train(make_experiment(tmp_path), TRAIN, WORLD_SIZE="2", **variables)
    assert workers.end() == [1]
    assert wanted in the_error(workers.log(0))


@pytest.mark.parametrize("hung", [0, 1], ids=["the first, which holds the board", "the other"])
def test_a_worker_that_hangs(tmp_path, train, hung):
    endless = SOLVER.replace("max_iter: 20", "max_iter: 100000")
    workers = train(make_experiment(tmp_path, endless), HASTY, HASTY)
    workers.wait_for(0, "Iteration 5, lr")
    workers.signal(hung, signal.SIGSTOP)
    workers.wait_for(1 - hung, "A worker no longer answers")
    workers.wait_for_end(1 - hung)
    workers.signal(hung, signal.SIGKILL)
    assert workers.end() == ([1, -signal.SIGKILL] if hung else [-signal.SIGKILL, 1])
    assert "Training cannot go on without it" in the_error(workers.log(1 - hung))


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.mark.parametrize(("gpu", "missing"), [("2", 2), ("0,7", 7), ("-1,0", -1)])
def test_a_gpu_that_does_not_exist(tmp_path, monkeypatch, two_gpus, log_lines, gpu, missing):
    monkeypatch.chdir(make_experiment(tmp_path))
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    assert caffe.__main__.main(["train", "--solver=solver.prototxt", f"--gpu={gpu}"]) == 1
    assert log_lines[-1] == f"GPU {missing} does not exist: this machine has GPUs 0 to 1."


def test_more_workers_than_gpus_named(tmp_path, monkeypatch, two_gpus):
    with pytest.raises(CaffeError, match="--gpu 1: 2 workers on this machine need a GPU each"):
        caffe.__main__._choose_device("1", "", worker=1, workers=2)


def test_a_gpu_named_twice(tmp_path, train):
    workers = train(make_experiment(tmp_path), [*TRAIN, "--gpu=0,1,0"], WORLD_SIZE="1")
    assert workers.end() == [1]
    assert "--gpu 0,1,0: a GPU is named twice" in the_error(workers.log(0))


def test_the_time_limit_is_1_second_or_more(tmp_path, train):
    workers = train(make_experiment(tmp_path), [*TRAIN, "--worker_timeout=0"], WORLD_SIZE="1")
    assert workers.end() == [1]
    assert re.search(r"--worker_timeout=0: give a number of seconds, 1 or more", workers.log(0))
