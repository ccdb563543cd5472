"""Several workers train as one: gradients, records, losses, snapshots."""

import re
import signal

import numpy as np
import pytest
import torch

from tests.engine.command import NET, SOLVER, caffe, displayed, make_experiment, weights

EXACT = NET.replace("mirror: true", "mirror: false").replace("crop_size: 9", "")
EXACT = re.sub(r'layer \{ name: "drop".*\n', "", EXACT)  # nothing random but the weights at the start
TRAIN = ["train", "--solver=solver.prototxt", "--worker_timeout=60"]


def batch(size: int, net: str = EXACT) -> str:
    return net.replace("batch_size: 8", f"batch_size: {size}")


def alone(folder, forker, *more: str) -> str:
    """The log of one worker's training."""
    worker = forker.start(folder, [*TRAIN, *more], WORLD_SIZE="1")
    assert worker.end() == [0], worker.log(0)
    return worker.log(0)


def losses(log: str) -> np.ndarray:
    return np.array([float(loss) for loss in displayed(log).values()])


def outputs(log: str) -> list[float]:
    return [float(x) for x in re.findall(r"net output #\d: \w+ = (\S+)", log)]


@pytest.mark.parametrize(
    ("change", "count"),
    [
        (None, 2),
        (("momentum: 0.9", "momentum: 0.9 iter_size: 3 clip_gradients: 0.7"), 2),
        (('lr_policy: "fixed"', 'lr_policy: "plateau" gamma: 0.1 plateau_winsize: 2'), 3),
    ],
)
def test_workers_with_a_part_of_the_batch_train_as_one_with_all(tmp_path, forker, train, change, count):
    solver = SOLVER.replace(*change) if change else SOLVER
    one = alone(make_experiment(tmp_path / "one", solver, batch(12)), forker)
    folder = make_experiment(tmp_path / "several", solver, batch(12 // count))
    several = train(folder, *[TRAIN] * count)
    assert several.end() == [0] * count, several.log(0)
    log = several.log(0)
    np.testing.assert_allclose(losses(log), losses(one), rtol=1e-4)
    np.testing.assert_allclose(outputs(log), outputs(one), rtol=1e-3)
    for ours, theirs in zip(
        weights(folder / "snap_iter_20.caffemodel"), weights(tmp_path / "one/snap_iter_20.caffemodel"), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    rates = re.findall(r"lr = (\S+)", log)
    assert rates == re.findall(r"lr = (\S+)", one)
    assert (len(set(rates)) > 1) == ("plateau" in solver)
    assert several.log(1) == ""


def test_what_has_a_value_for_each_record_is_shown_as_worker_0_has_it(tmp_path, forker, train):
    net = batch(2) + 'layer { name: "each" type: "Reduction" bottom: "data" top: "each" reduction_param { axis: 1 } }'
    quick = SOLVER.replace("max_iter: 20", "max_iter: 1")
    one = alone(
        make_experiment(tmp_path / "one", quick, batch(4, net.replace("batch_size: 2", "batch_size: 8"))), forker
    )
    folder = make_experiment(tmp_path / "two", quick, net)
    assert train(folder, TRAIN, TRAIN).end() == [0, 0]
    each = re.compile(r"Train net output #\d: each = (\S+)")
    two = each.findall((folder / "worker0.log").read_text())
    assert two and two == each.findall(one)[::2]


def test_gpu_0_1_starts_a_second_worker(tmp_path):
    if torch.cuda.device_count() == 1:
        pytest.skip("this machine has one GPU")
    solver = SOLVER.replace("max_iter: 20", "max_iter: 4")
    one = caffe(make_experiment(tmp_path / "one", solver, batch(6)), "train", "--solver=solver.prototxt")
    two = caffe(make_experiment(tmp_path / "two", solver, batch(3)), "train", "--solver", "solver.prototxt", "-gpu=0,1")
    np.testing.assert_allclose(losses(two), losses(one), rtol=1e-4)
    assert "2 workers train together" in two
    assert two.count("Optimization Done.") == one.count("Optimization Done.")


def test_resuming_equals_a_run_that_never_stopped(tmp_path, train):
    """With crops, mirrors and dropout: each worker has its own random numbers again."""
    folder = make_experiment(tmp_path)
    assert train(folder, TRAIN, TRAIN).end() == [0, 0]
    straight = weights(folder / "snap_iter_20.caffemodel")
    again = train(folder, *[[*TRAIN, "--snapshot=snap_iter_10.solverstate"]] * 2)
    assert again.end() == [0, 0], again.log(0)
    for ours, theirs in zip(weights(folder / "snap_iter_20.caffemodel"), straight, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_workers_crop_mirror_and_drop_each_in_its_own_way(tmp_path, forker, train):
    """As Caffe seeds them, with random_seed + rank: else two workers would be one with each record twice."""
    net = NET.replace("train_lmdb", "test_lmdb").replace("batch_size: 8", "batch_size: 15")  # both see every record
    one = alone(make_experiment(tmp_path / "one", SOLVER, net), forker)
    two = train(make_experiment(tmp_path / "two", SOLVER, net), TRAIN, TRAIN)
    assert two.end() == [0, 0]
    assert losses(two.log(0))[0] != losses(one)[0]


@pytest.mark.parametrize(("before", "after"), [(1, 2), (3, 1), (1, 3)])
def test_resuming_with_another_number_of_workers(tmp_path, forker, train, before, after):
    """The data continues where it stopped, so a run of both halves has the same batches as one."""
    half = SOLVER.replace("max_iter: 20", "max_iter: 10")
    one = make_experiment(tmp_path / "one", SOLVER, batch(12))
    alone(one, forker)
    folder = make_experiment(tmp_path / "changed", half, batch(12 // before))
    first = train(folder, *[TRAIN] * before)
    assert first.end() == [0] * before
    make_experiment(folder, SOLVER, batch(12 // after))
    second = train(folder, *[[*TRAIN, "--snapshot=snap_iter_10.solverstate"]] * after)
    assert second.end() == [0] * after, second.log(0)
    assert f"The snapshot is of {before} worker(s), this run has {after}." in second.log(0)
    for ours, theirs in zip(
        weights(folder / "snap_iter_20.caffemodel"), weights(one / "snap_iter_20.caffemodel"), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


LONG = SOLVER.replace("max_iter: 20", "max_iter: 100000").replace("snapshot: 10", "snapshot: 100000")


@pytest.mark.parametrize("rank", [0, 1])
def test_a_signal_to_any_worker_stops_all_with_a_snapshot(tmp_path, train, rank):
    workers = train(make_experiment(tmp_path, LONG), TRAIN, TRAIN)
    workers.wait_for(0, "Iteration 9, lr")
    workers.signal(rank, signal.SIGTERM)
    assert workers.end() == [0, 0]
    assert "Optimization stopped early." in workers.log(0)
    assert len(list(tmp_path.glob("snap_iter_*.manifest.json"))) == 1


def test_sighup_to_any_worker_takes_a_snapshot_and_continues(tmp_path, train):
    workers = train(make_experiment(tmp_path, LONG), TRAIN, TRAIN)
    workers.wait_for(0, "Iteration 3, lr")
    workers.signal(1, signal.SIGHUP)
    workers.wait_for(0, "Snapshotting solver state")
    workers.signal(1, signal.SIGINT)
    assert workers.end() == [0, 0]
    # There is one iteration if the second signal arrives during the test after the first snapshot.
    assert workers.log(0).count("Snapshotting solver state") == 2
    assert 1 <= len(list(tmp_path.glob("snap_iter_*.manifest.json"))) <= 2


@pytest.mark.parametrize("rank", [0, 1])
def test_a_worker_that_dies_ends_the_run_with_the_last_snapshot_whole(tmp_path, train, rank):
    endless = LONG.replace("snapshot: 100000", "snapshot: 7")
    workers = train(make_experiment(tmp_path, endless), TRAIN, TRAIN)
    workers.wait_for(0, "Iteration 16, lr")
    workers.signal(rank, signal.SIGKILL)
    statuses = workers.end()
    assert statuses[rank] == -signal.SIGKILL
    assert statuses[1 - rank] == 1
    assert len(re.findall(r"^F.*Training cannot go on", workers.log(1 - rank), re.M)) == 1
    state = max(tmp_path.glob("*.solverstate"), key=lambda path: int(path.stem.rpartition("_")[2]))
    (tmp_path / "solver.prototxt").write_text(SOLVER.replace("max_iter: 20", f"max_iter: {state.stem[10:]}"))
    assert train(tmp_path, [*TRAIN, f"--snapshot={state.name}"]).end() == [0]
