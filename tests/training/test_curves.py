"""A log becomes curves: over stops, resumes from older snapshots, midnight at New Year, cut lines."""

import math
from datetime import datetime
from pathlib import Path

import lmdb
import pytest
from caffe.proto import caffe_pb2
from google.protobuf import text_format

from training import curves, journal
from training.curves import RateChange
from training.training_set import TrainingSet, training_set

# As BVLC Caffe 1.0 writes it, with lines that say nothing about the training between.
BEGIN = """\
I1231 23:59:50.000000  4711 caffe.cpp:211] Use CPU.
I1231 23:59:50.100000  4711 solver.cpp:44] Initializing solver from parameters:
test_iter: 3
base_lr: {base_lr}
lr_policy: "{policy}"
I1231 23:59:50.200000  4711 net.cpp:51] Initializing net from parameters:
name: "Iteration 7, loss = 1"
{resuming}\
I1231 23:59:50.500000  4711 caffe.cpp:248] Starting Optimization
I1231 23:59:50.500000  4711 solver.cpp:273] Solving nin1
I1231 23:59:50.500000  4711 solver.cpp:274] Learning Rate Policy: {policy}
"""
RESUMING = "I1231 23:59:50.400000  4711 caffe.cpp:241] Resuming from runs/a/a_iter_{}.solverstate\n"


def begin(base_lr=0.01, policy="fixed", resume=None) -> str:
    return BEGIN.format(base_lr=base_lr, policy=policy, resuming="" if resume is None else RESUMING.format(resume))


def shown(iteration, loss, lr, time="1231 23:59:51.000000", batch_loss=4.5) -> str:
    return (
        f"I{time}  4711 solver.cpp:239] Iteration {iteration} (0.30 iter/s, 33.1s/10 iters), loss = {loss}\n"
        f"I{time}  4711 solver.cpp:258]     Train net output #0: loss = {batch_loss} (* 1 = {batch_loss} loss)\n"
        f"I{time}  4711 sgd_solver.cpp:112] Iteration {iteration}, lr = {lr}\n"
    )


def score(iteration, accuracy, loss, net=0, time="1231 23:59:52.000000") -> str:
    return (
        f"I{time}  4711 solver.cpp:347] Iteration {iteration}, Testing net (#{net})\n"
        f"I{time}  4712 data_layer.cpp:73] Restarting data prefetching from start.\n"
        f"I{time}  4711 solver.cpp:414]     Test net output #0: accuracy = {accuracy}\n"
        f"I{time}  4711 solver.cpp:414]     Test net output #1: loss = {loss} (* 1 = {loss} loss)\n"
    )


def of(text: str) -> curves.Curves:
    made = curves.Curves(2026)
    for line in text.splitlines():
        made.add(line)
    return made


def test_what_a_log_says():
    log = score(0, 0.005, 5.3) + shown(0, 5.29, 0.01, batch_loss=5.28) + shown(20, 5.1, 0.01)
    made = of(begin() + log + score(25, 0.25, 3.5) + score(25, 0.125, 3.75, net=1))
    first, second = made.displayed
    assert (first.iteration, first.loss, first.lr, first.outputs) == (0, 5.29, 0.01, {"loss": 5.28})
    assert (second.iteration, second.loss, second.speed) == (20, 5.1, 0.30)
    assert made.series("accuracy") == [(0, 0.005), (25, 0.25)]
    assert made.series("accuracy", net=1) == [(25, 0.125)] and made.series("loss", net=1) == [(25, 3.75)]
    assert made.best() == (25, 0.25) and made.iteration == 25
    assert made.rate_changes == []
    assert [(run.iteration, run.base_lr, run.lr_policy) for run in made.runs] == [(0, 0.01, "fixed")]


def test_a_resume_from_an_older_snapshot_does_its_iterations_again():
    before = "".join(shown(i, 5 - i / 1000, 0.01) for i in range(0, 400, 20)) + score(200, 0.2, 4) + score(350, 0.3, 3)
    again = shown(220, 4.5, 0.01) + score(300, 0.25, 3.5)
    made = of(begin() + before + begin(resume=210) + again)
    assert [point.iteration for point in made.displayed] == [*range(0, 201, 20), 220]
    assert made.displayed[-1].loss == 4.5 and made.displayed[-2].loss == pytest.approx(4.8)
    assert made.series("accuracy") == [(200, 0.2), (300, 0.25)]
    assert [point.run is made.runs[1] for point in made.displayed[-2:]] == [False, True]


def with_workers(count: int, resume: int | None = None) -> str:
    """Several GPUs as both Caffes log them, or without GPUs as ours does."""
    if count == 3:
        words = (
            "3 workers train together, each with batch_size records an iteration: 0 here CPU, 1 here CPU, 2 here CPU"
        )
        return begin(resume=resume).replace(
            "Use CPU.\n", f"Use CPU.\nI1231 23:59:50.400000  4711 _workers/rendezvous.py:1] {words}\n"
        )
    return begin(resume=resume).replace("Use CPU.", "Using GPUs " + ", ".join(map(str, range(count))))


def test_batches_are_those_of_all_workers():
    made = of(with_workers(2) + shown(100, 5, 0.01) + with_workers(3, resume=80) + shown(90, 5, 0.01))
    assert [run.workers for run in made.runs] == [2, 3]
    assert [made.batches(iteration) for iteration in (0, 7, 80, 90)] == [0, 14, 160, 190]
    log = with_workers(2) + with_workers(1, resume=80) + with_workers(4, resume=50) + shown(60, 5, 0.01)
    assert of(log).batches(60) == 140, "what is done again counts once"
    assert of(begin(resume=30)).batches(35) == 35, "iterations before the log are one worker's"


def test_a_run_from_the_start_leaves_nothing_of_the_one_before():
    made = of(begin() + shown(0, 5.3, 0.01) + shown(20, 5.2, 0.01) + begin() + shown(0, 5.0, 0.01))
    assert [(point.iteration, point.loss) for point in made.displayed] == [(0, 5.0)]


def test_the_loss_after_the_last_iteration_gives_way_to_the_resumed_one():
    last = "I1231 23:59:55.000000  4711 solver.cpp:310] Iteration 40, loss = 4.25\n"
    made = of(begin() + shown(20, 5, 0.01) + last)
    assert (made.displayed[-1].iteration, made.displayed[-1].loss, made.displayed[-1].lr) == (40, 4.25, None)
    made = of(begin() + shown(20, 5, 0.01) + last + begin(base_lr=0.001, resume=40) + shown(40, 4.125, 0.001))
    assert [(point.iteration, point.loss) for point in made.displayed] == [(20, 5), (40, 4.125)]
    assert made.rate_changes == [RateChange(40, 0.01, 0.001, by_hand=True)]


def test_rate_changes_by_hand_and_by_policy():
    log = begin(policy="step") + shown(0, 5, 0.01) + shown(20, 5, 0.001) + shown(40, 5, 0.001)
    log += begin(base_lr=0.1, policy="step", resume=50) + shown(60, 4, 0.01)
    assert of(log).rate_changes == [RateChange(20, 0.01, 0.001, False), RateChange(50, 0.001, 0.01, True)]
    # an undone edit: the run resumes from before it with the old rate
    assert of(log + begin(policy="step", resume=45) + shown(60, 4, 0.001)).rate_changes == [
        RateChange(20, 0.01, 0.001, False)
    ]
    poly = begin(policy="poly") + shown(0, 5, 0.01) + shown(20, 5, 0.0099)
    assert of(poly).rate_changes == []
    poly += begin(base_lr=0.001, policy="poly", resume=30) + shown(40, 5, 0.00098)
    assert of(poly).rate_changes == [RateChange(30, 0.0099, 0.00098, True)]


def test_times_leave_out_the_pauses_and_pass_new_year():
    log = begin() + shown(0, 5, 0.01, "1231 23:59:59.500000") + shown(20, 5, 0.01, "0101 00:00:09.500000")
    made = of(log + begin(resume=20).replace("I1231 23:59", "I0301 12:00") + shown(20, 5, 0.01, "0301 12:00:51.000000"))
    (first, again) = made.displayed
    assert first.time == datetime(2026, 12, 31, 23, 59, 59, 500000) and first.seconds == 9.5
    assert again.time == datetime(2027, 3, 1, 12, 0, 51)
    assert again.seconds == pytest.approx(9.5 + 10 + 1)


def test_a_start_of_two_lines_is_one_and_ends_the_pause():
    precision = "I1231 23:59:59.000000  4711 __main__.py:25] Precision: fp32\n"
    later = precision + begin(resume=20).replace("23:59:50", "23:59:59")
    made = of(begin() + shown(0, 5, 0.01) + later + shown(20, 5, 0.01, "1231 23:59:59.750000"))
    assert len(made.runs) == 2
    assert [point.seconds for point in made.displayed] == pytest.approx([1, 1 + 0.75])


def test_a_clock_set_back_adds_nothing():
    times = ("1231 23:59:52.000000", "1231 22:59:55.000000", "1231 22:59:57.000000")
    log = begin() + "".join(shown(20 * i, 5, 0.01, time) for i, time in enumerate(times))
    assert [point.seconds for point in of(log).displayed] == [2, 2, 4]


@pytest.mark.parametrize("text", ["nan", "-nan", "inf", "-inf", "1e-05", "87.3365"])
def test_numbers_as_streams_print_them(text):
    (point,) = of(begin() + shown(0, text, 0.01)).displayed
    assert str(point.loss) == str(float(text)) or math.isnan(point.loss)


@pytest.mark.parametrize("loss", ["nan", "-nan", "inf", "87.3365"])
def test_a_net_without_numbers_has_no_accuracy(loss):
    """Caffe says 1: of scores that are nan none is higher than the right class's."""
    made = of(begin() + score(0, 1, loss) + score(10, 0.25, 1) + score(20, 1, loss))
    assert made.best() == (10, 0.25) and made.series("accuracy") == [(10, 0.25)]
    assert [math.isnan(test.outputs["accuracy"]) for test in made.tested] == [True, False, True]
    assert str(made.tested[0].outputs["loss"]) == str(float(loss)).replace("-nan", "nan")
    assert [at for at, _ in made.series("loss")] == ([10] if "nan" in loss else [0, 10, 20])


def test_a_test_without_a_loss_goes_by_the_last_displayed_one():
    alone = [score(at, accuracy, 1).rpartition("I1231")[0] for at, accuracy in ((20, 0.3), (40, 1))]
    made = of(begin() + shown(0, 5, 0.01) + alone[0] + shown(20, 4, 0.01) + shown(30, "nan", 0.01) + alone[1])
    assert [test.outputs.keys() for test in made.tested] == [{"accuracy"}] * 2
    assert made.series("accuracy") == [(20, 0.3)] == [made.best()]


def test_an_interrupted_test_is_none():
    log = begin() + shown(0, 5, 0.01) + score(20, 0.2, 4).splitlines()[0]
    made = of(log)
    assert made.testing and not made.tested and made.iteration == 0
    assert not of(log + "\n" + begin() + shown(0, 5, 0.01)).testing


def test_a_cut_log_and_a_log_of_something_else(tmp_path):
    assert curves.read(tmp_path).displayed == []
    log = (begin() + shown(0, 5, 0.01) + shown(20, 4, 0.01)).encode()
    (tmp_path / "train.log").write_bytes(log[:-40] + b"\xff\n" + b"I1399 99:99:99.000000 1 a.cpp:1] Net x\n")
    assert [point.loss for point in curves.read(tmp_path).displayed] == [5, 4]
    (tmp_path / "train.log").write_bytes(bytes(range(256)) * 9)
    assert curves.read(tmp_path).displayed == []


def test_the_year_is_the_journals(tmp_path):
    (tmp_path / "train.log").write_text(begin() + shown(0, 5, 0.01))
    journal.add(tmp_path, event="start", iteration=0, solver="")
    path = tmp_path / journal.FILE
    path.write_text(path.read_text().replace(str(datetime.now().year), "2015", 1))
    assert curves.read(tmp_path).displayed[0].time.year == 2015


NET = """
layer { name: "test" type: "Data" top: "x" include { phase: TEST } data_param { source: "test" batch_size: 2 } }
layer { name: "train" type: "Data" top: "x" %s data_param { source: "train" batch_size: 3 backend: LMDB } }
"""


@pytest.mark.parametrize(
    "rule", ["include { phase: TRAIN }", "exclude { phase: TEST }", "include { not_stage: 'a' }", ""]
)
def test_an_epoch(tmp_path, monkeypatch, rule):
    monkeypatch.chdir(tmp_path)
    Path("net").write_text(NET % rule)
    solver = text_format.Parse('net: "net" iter_size: 4', caffe_pb2.SolverParameter())
    assert training_set(solver) == TrainingSet(12, None), "no LMDB there yet"
    with lmdb.open("train") as environment, environment.begin(write=True) as transaction:
        for number in range(30):
            transaction.put(b"%d" % number, b"x")
    assert training_set(solver) == TrainingSet(12, 30) and training_set(solver).iterations == 2.5


def test_an_epoch_of_a_list_and_of_nothing_known(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    layer = 'layer {{ name: "d" type: "{}" top: "x" {} {{ {} batch_size: 5 }} }}'
    solver = text_format.Parse('net: "net"', caffe_pb2.SolverParameter())
    assert training_set(solver) is None
    Path("list").write_text("a.jpg 0\nb.jpg 1\n\n")
    Path("net").write_text(layer.format("ImageData", "image_data_param", 'source: "list"'))
    assert training_set(solver) == TrainingSet(5, 2)
    Path("net").write_text(layer.format("MemoryData", "memory_data_param", ""))
    assert training_set(solver) == TrainingSet(5, None) and training_set(solver).iterations is None
    Path("net").write_text('layer { name: "d" type: "DummyData" top: "x" }')
    assert training_set(solver) is None
