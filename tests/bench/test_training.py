"""The benchmarks' arithmetic: times from a log, table rows, work per iteration, records for a GPU."""

import json
from datetime import datetime
from pathlib import Path

import lmdb
import pytest
from caffe.proto import caffe_pb2
from google.protobuf import text_format

from bench import gpu, results, training
from bench.ceiling import product_speed
from bench.training import Contestant, progress_times, rows, solver
from bench.work import training_flop
from tests.conformance.engines import OURS, REAL

LOG = """I1231 23:59:58.500000 12 solver.cpp:60] Solver scaffolding done.
I1231 23:59:59.000000 12 solver.cpp:239] Iteration 0 (0 iter/s, 0.5s/1 iters), loss = 5.3
I1231 23:59:59.000100 12 solver.cpp:258]     Train net output #0: loss = 5.3 (* 1 = 5.3 loss)
I1231 23:59:59.250000 12 solver.cpp:239] Iteration 1 (4 iter/s, 0.25s/1 iters), loss = 5.2
"""


def test_times_of_a_log():
    assert progress_times(LOG, datetime(2025, 12, 31, 23, 59, 57)) == [2.0, 2.25]


def test_rows():
    """An iteration of 2 GFLOP takes real Caffe 0.5 s and ours 0.1 s; the machine does 40 GFLOP/s."""
    racing = [Contestant("real Caffe", "fp32", REAL), Contestant("ours", "fp32", OURS)]
    for contestant, seconds in zip(racing, ([0.5, 0.4, 0.9], [0.1, 0.1, 0.3]), strict=True):
        contestant.seconds, contestant.startup, contestant.peak = seconds, [1.0, 3.0], [5 << 20, 7 << 20]
    real, ours = rows("nin1", racing, 2e9, {"fp32": 40e9})
    assert (real["ratio"], ours["ratio"]) == (1, pytest.approx(5))
    assert (ours["iterations/s"], ours["images/s"]) == (pytest.approx(10), pytest.approx(1000))
    assert (ours["GFLOP/s"], ours["of ceiling"]) == (pytest.approx(20), "50%")
    assert (ours["peak MiB"], ours["start s"]) == (7, 2)
    assert next(rows("nin1", racing[1:], 2e9, {"fp32": 40e9}))["ratio"] is None


def test_the_solver_that_races_is_the_models_own(monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])
    param = text_format.Parse(solver("nin1", 12), caffe_pb2.SolverParameter())
    own = text_format.Parse(Path("solvers/nin1.prototxt").read_text(), caffe_pb2.SolverParameter())
    assert (param.base_lr, param.momentum, param.weight_decay) == (own.base_lr, own.momentum, own.weight_decay)
    assert (param.display, param.max_iter, param.snapshot) == (1, 12, 0)
    assert param.test_interval > param.max_iter and not param.test_initialization and not param.snapshot_after_train


def test_work_of_an_iteration(tmp_path):
    """By hand: 5 filters of 3 x 2 x 2 at 4 x 6 places, and 7 x 120 for an inner product."""
    net = tmp_path / "net.prototxt"
    net.write_text("""layer { name: "d" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 5 dim: 7 } } }
      layer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param { num_output: 5 kernel_size: 2 } }
      layer { name: "i" type: "InnerProduct" bottom: "c" top: "i" inner_product_param { num_output: 7 } }""")
    convolution, product = 5 * 12 * 24, 7 * 120
    assert training_flop(net, 10) == 10 * 2 * (2 * convolution + 3 * product)


def test_ceiling_is_positive(monkeypatch):
    monkeypatch.setattr("bench.ceiling._SIZE", {"cpu": 64})
    assert product_speed("fp32") > 0


def test_records_for_the_gpu(tmp_path):
    gpu.make_records(tmp_path / "data", 7)
    with lmdb.open(str(tmp_path / "data/train_lmdb"), readonly=True, lock=False) as env, env.begin() as txn:
        datums = [caffe_pb2.Datum.FromString(value) for _, value in txn.cursor()]
    assert [datum.label for datum in datums] == list(range(7))
    assert all(len(datum.data) == datum.channels * datum.height * datum.width == 12288 for datum in datums)
    assert len({datum.data for datum in datums}) == 7


def test_whole_report():
    """3 x 100 epochs of 4 s and 2 x 30 of 1.5 s are 21.5 minutes.

    A precision measured for one size alone gives no total.
    """
    measured = [
        {"work": "train nin1", "precision": "bf16", "epoch s": 4.0},
        {"work": "train alexnet1", "precision": "bf16", "epoch s": 1.5},
        {"work": "train nin1", "precision": "tf32", "epoch s": 4.0},
    ]
    (line,) = gpu.whole_report(measured)
    assert "bf16" in line and "21.5 minutes" in line


def test_kept_with_commit_and_machine(tmp_path):
    results.keep([{"work": "x", "ratio": 2.5}], tmp_path / "new/bench.json")
    kept = json.loads((tmp_path / "new/bench.json").read_text())
    assert kept["rows"] == [{"work": "x", "ratio": 2.5}]
    assert all(kept[key] for key in ("time", "commit", "machine", "torch"))


def test_contestants():
    names = [(contestant.name, contestant.precision) for contestant in training.contestants(["bf16", "fp32"])]
    assert names[-2:] == [("ours", "bf16"), ("ours", "fp32")]
    assert (("real Caffe", "fp32") in names) == (REAL.why_not() is None)
