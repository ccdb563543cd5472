"""TensorBoard's event files, read back with TensorBoard's own reader."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("tensorboard")

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.training.test_curves import begin, of, score, shown
from tests.training.tiny_run import SOLVER, edit
from training import curves, journal, run, watch
from training.solver_file import parse_solver
from training.tensorboard_events import PATTERN, EventFile
from training.training_set import TrainingSet

IMAGES = TrainingSet(100, 100_000)


def scalars(folder) -> dict[str, list[tuple[int, float]]]:
    read = EventAccumulator(str(folder)).Reload()
    return {tag: [(event.step, round(event.value, 6)) for event in read.Scalars(tag)] for tag in read.Tags()["scalars"]}


def texts(folder) -> list[tuple[int, str]]:
    read = EventAccumulator(str(folder)).Reload()
    return [(event.step, event.tensor_proto.string_val[0].decode()) for event in read.Tensors("edits")]


FIRST = begin() + score(0, 0.005, 5.3) + shown(0, 5.25, 0.01) + shown(20, 5, 0.01) + score(30, 0.25, 4)


def test_a_run_and_its_resume(tmp_path):
    of_first = of(FIRST)
    EventFile(tmp_path, IMAGES).add(of_first, last=True)
    assert scalars(tmp_path) == {
        "loss/train": [(0, 5.25), (20, 5)],
        "learning_rate/in_force": [(0, 0.01), (20, 0.01)],
        "throughput/images_per_second": [(0, 30), (20, 30)],
        "accuracy/val": [(0, 0.005), (30, 0.25)],
        "loss/val": [(0, 5.3), (30, 4)],
    }
    of_first.forget(10)
    again = EventFile(tmp_path, None, [(0, {}), (10, {"base_lr": "0.01 -> 0.001", "momentum": "0.9 -> 0.95"})])
    again.add(of_first)
    for line in (begin(base_lr=0.001, resume=10) + shown(20, 4.5, 0.001) + score(30, 0.375, 3)).splitlines():
        if of_first.add(line):
            again.add(of_first)
    assert scalars(tmp_path)["accuracy/val"] == [(0, 0.005)], "the test's lines may still be coming"
    again.add(of_first, last=True)
    assert len(list(tmp_path.glob(PATTERN))) == 1
    assert scalars(tmp_path) == {
        "loss/train": [(0, 5.25), (20, 4.5)],
        "learning_rate/in_force": [(0, 0.01), (20, 0.001)],
        "learning_rate/edited_by_hand": [(10, 0.001)],
        "throughput/iterations_per_second": [(0, 0.3), (20, 0.3)],
        "accuracy/val": [(0, 0.005), (30, 0.375)],
        "loss/val": [(0, 5.3), (30, 3)],
    }
    assert texts(tmp_path) == [(10, "base_lr: 0.01 -> 0.001  \nmomentum: 0.9 -> 0.95")]


def test_times_are_the_logs(tmp_path):
    made = of(FIRST)
    EventFile(tmp_path, IMAGES).add(made, last=True)
    (event, _) = EventAccumulator(str(tmp_path)).Reload().Scalars("loss/train")
    assert event.wall_time == made.displayed[0].time.timestamp()


def test_every_run_of_the_runner_has_them(place):
    edit("100000", "25")
    assert run.main(["train", "tiny", "--caffe", "./caffe"]) == 0
    edit("25", "45")
    edit("base_lr: 0.01", "base_lr: 0.001")
    assert run.main(["resume", "tiny", "--caffe", "./caffe"]) == 0
    found = scalars("runs/tiny")
    assert [step for step, _ in found["loss/train"]] == [0, 10, 20, 25, 30, 40]
    assert found["learning_rate/edited_by_hand"] == [(25, 0.001)]
    assert found["accuracy/val"] == [(45, 0.25)], "that of 25 was to be done again"
    assert texts("runs/tiny") == [(25, "base_lr: 0.01 -> 0.001  \nmax_iter: 25 -> 45")]


def test_without_tensorboard_it_warns_once_and_keeps_training(place, monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    for module in [name for name in sys.modules if name.startswith("tensorboard.")]:
        monkeypatch.setitem(sys.modules, module, None)
    edit("100000", "25")
    assert run.main(["train", "tiny", "--caffe", "./caffe"]) == 0
    said = capfd.readouterr().err
    assert said.count("tensorboard is not installed") == 1 and "Traceback" not in said
    assert not list((place / "runs/tiny").glob(PATTERN))


def test_a_full_disk_stops_the_events_alone(tmp_path, capfd):
    following, events = watch.Watch(curves.Curves(2026)), EventFile(tmp_path, IMAGES)
    following.record(events)
    events._records._writer.close()
    events._records._writer = open("/dev/full", "wb", buffering=0)
    following.feed(FIRST.encode())
    following.close()
    said = capfd.readouterr().err
    assert said.count("No space left on device") == 1 and FIRST.splitlines()[-1] in said


def test_a_journal_that_cannot_be_read_stops_the_events_alone(place, capfd):
    folder = place / "runs/tiny"
    folder.mkdir(parents=True)
    journal.add(folder, event="start", iteration=0, solver="broken {", solver_file="tiny")
    watch.of_run("tiny", parse_solver(SOLVER, Path("tiny")), folder, 0)
    assert "journal.jsonl, line 1, solver:1:1" in capfd.readouterr().err
