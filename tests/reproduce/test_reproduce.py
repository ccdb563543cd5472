"""make reproduce, with a stand-in for Caffe: its trainings, and how it resumes after each kind of stop."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from caffe.proto import caffe_pb2

from harness.errors import UserError
from reproduce import __main__ as command
from reproduce import place as places
from reproduce import schedule, status, steps, training
from reproduce.runner import Runner
from reproduce.speed import Speeds
from reproduce.steps import Step
from tests.data_prep.small_tiny_imagenet import files, write_zip
from tests.training import tiny_run
from tests.training.tiny_run import SOLVER
from training import journal

NET = Path(tiny_run.__file__)
LENGTH = 0.0006  # nin1 stops at 24, 42 and 60 iterations; the stand-in ends by itself up to 100


@pytest.fixture
def two(place) -> Path:
    """The tiny working folder with solvers and nets for nin1 and alexnet1."""
    net = (place / "models/tiny/train_val.prototxt").read_text()
    for model, rate in (("nin1", 0.01), ("alexnet1", 0.01)):
        text = SOLVER.replace("tiny", model).replace("0.01", str(rate)) + "snapshot: 2000\n"
        (place / f"solvers/{model}.prototxt").write_text(text)
        (place / "models" / model).mkdir()
        for name in places.NETS:
            (place / "models" / model / name).write_text(net)
    return place


@pytest.fixture
def inside(two, monkeypatch) -> Path:
    """A rehearsal's folder of nin1 and alexnet1, entered."""
    where = places.plan(Path("rehearsal"), LENGTH, ["nin1", "alexnet1"])
    places.make(where, two / "data/lmdb")
    monkeypatch.chdir(where.folder)
    return where.folder


def train(model: str = "nin1") -> int:
    return training.main([model, "--caffe", "../caffe"])


def weights(model: str, iteration: int, folder: Path = Path()) -> list[float]:
    path = folder / f"runs/{model}/{model}_iter_{iteration}.caffemodel"
    return list(caffe_pb2.NetParameter.FromString(path.read_bytes()).layer[0].blobs[0].data)


def undisturbed(model: str) -> list[float]:
    """The stand-in's weights if each rate lasts its iterations: the sum of the rates, in the order of adding."""
    total = 0.0
    for rate, count in {"nin1": ((0.01, 24), (0.001, 18), (0.0001, 18)), "alexnet1": ((0.01, 12), (0.001, 6))}[model]:
        for _ in range(count):
            total += float(caffe_pb2.SolverParameter(base_lr=rate).base_lr)
    return [total] * 2


def test_it_trains_with_the_drops_and_the_journal_records_them(inside):
    assert train() == 0
    assert weights("nin1", 60) == pytest.approx(undisturbed("nin1"), rel=1e-6)
    runs = journal.read(Path("runs/nin1"))
    assert [run["iteration"] for run in runs] == [0, 24, 42]
    assert [edits for _, edits in journal.edits(runs)] == [
        {}, {"base_lr": "0.01 -> 0.001", "max_iter": "24 -> 42"}, {"base_lr": "0.001 -> 0.0001", "max_iter": "42 -> 60"}
    ]  # fmt: skip
    assert train() == 0 and len(journal.read(Path("runs/nin1"))) == 3, "what is trained is not trained again"


def test_the_users_own_solver_stays(inside, two):
    before = (two / "solvers/nin1.prototxt").read_text()
    assert train() == 0
    assert (two / "solvers/nin1.prototxt").read_text() == before
    assert "base_lr: 0.0001" in Path("solvers/nin1.prototxt").read_text()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_it_resumes_where_it_was_stopped(inside, number):
    """Twice in the middle: after a kill -9 the Caffe that it left is stopped with a snapshot."""
    for _ in range(2):
        words = [sys.executable, "-m", "reproduce.training", "nin1", "--caffe", "../caffe"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            for line in process.stdout:
                if "Solving" in line:
                    break
            process.send_signal(number)
            process.stdout.read()
            assert process.wait() != 0
    assert train() == 0
    assert weights("nin1", 60) == pytest.approx(undisturbed("nin1"), rel=1e-6)
    at = [run["iteration"] for run in journal.read(Path("runs/nin1"))]
    assert at == sorted(at) and len(at) > 3


def test_a_first_snapshot_that_is_cut_is_no_obstacle(inside, capfd):
    folder = Path("runs/nin1")
    folder.mkdir(parents=True)
    (folder / "nin1_iter_7.caffemodel").write_bytes(b"\xff")
    assert train() == 0
    assert "nin1_iter_7.caffemodel and what belongs to it are not whole" in capfd.readouterr().err
    assert weights("nin1", 60) == pytest.approx(undisturbed("nin1"), rel=1e-6)


def test_a_run_that_left_the_schedule_is_not_resumed(inside, capfd):
    assert train("alexnet1") == 0
    path = Path("runs/alexnet1/journal.jsonl")
    path.write_text(path.read_text().replace("base_lr: 0.001", "base_lr: 0.005"))
    assert train("alexnet1") == 1
    said = capfd.readouterr().err
    assert "was not trained by the schedule: from iteration 12 on base_lr was 0.005, not 0.001" in said
    assert "move that folder away" in said


def test_a_rate_that_lasted_too_long(inside, capfd):
    solver = Path("solvers/nin1.prototxt")
    solver.write_text(solver.read_text().replace("max_iter: 100000", "max_iter: 30"))
    assert (
        subprocess.run([sys.executable, "-m", "training.run", "train", "nin1", "--caffe", "../caffe"]).returncode == 0
    )
    assert train() == 1
    assert "from iteration 0 on it went to 30 with base_lr 0.01" in capfd.readouterr().err


def test_a_hand_edit_before_the_start_is_put_right(inside, capfd):
    solver = Path("solvers/alexnet1.prototxt")
    solver.write_text(solver.read_text().replace("base_lr: 0.01", "base_lr: 0.5"))
    assert train("alexnet1") == 0
    assert weights("alexnet1", 18) == pytest.approx(undisturbed("alexnet1"), rel=1e-6)
    assert "base_lr: 0.5 -> 0.01" in capfd.readouterr().err


def reproduce(*words: str) -> int:
    return command.main(["--caffe", "./caffe", "--length", str(LENGTH), "--data", "data/lmdb", *words])


def test_two_at_once(two, capfd):
    folder = two / places.folder_of(LENGTH)
    folder.mkdir()
    from training import run

    with run.locked(folder):
        assert reproduce("nin1") == 1
        assert f"{folder.name}: in use by another run, process {os.getpid()}" in capfd.readouterr().err
        assert status.at_work(folder) == os.getpid()


@pytest.mark.parametrize(
    "words, said",
    [
        (["mine"], "mine: has no schedule; reproduce/schedule.toml has alexnet1, nin1"),
        (["nin2"], "solvers/nin2.prototxt: no such solver, but reproduce/schedule.toml names it"),
        (["nin1", "--data", "nowhere"], "nowhere: no train_lmdb there; DATA=… names a folder that make lmdb made"),
        (["nin1", "--leave-out", "explore naps"], "LEAVE_OUT: no step naps; those of one word are data, lmdb, k-means"),
        (["nin1", "--caffe", "no-such-caffe"], "no-such-caffe: no such command"),
    ],
)
def test_what_cannot_be_reproduced(two, capfd, words, said):
    assert reproduce(*words) == 1
    assert said in capfd.readouterr().err
    assert not (two / places.folder_of(LENGTH) / "runs").exists()


@pytest.mark.parametrize(
    "words, said",
    [
        (["--length", "0"], "LENGTH=0: give a part"),
        (["--length", "nan"], "LENGTH=nan: give a part"),
        (["--length", "2"], "LENGTH=2: give a part"),
        (["--length", "half"], "LENGTH=half: give a part"),
        (["--minutes", "0.7"], "0.7: a time limit is more than 45 s"),
        (["--minutes", "soon"], "soon: a time limit is more than 45 s"),
        (["--jobs", "0"], "'0' is not a number, 1 or more"),
    ],
)
def test_options_that_make_no_sense(two, capfd, words, said):
    with pytest.raises(SystemExit):
        reproduce(*words)
    assert said in capfd.readouterr().err


def test_a_folder_of_another_length_or_other_images(two, inside, monkeypatch):
    monkeypatch.chdir(two)
    with pytest.raises(UserError, match=r"of length 0.0006, not 0.5; take another folder: WORK="):
        places.make(places.plan(inside, 0.5, ["nin1"]), two / "data/lmdb")
    (inside / "runs/nin1").mkdir(parents=True)
    entry = {"event": "start", "iteration": 0, "time": "2026-01-01T00:00:00+00:00", "data": "mean 0"}
    (inside / "runs/nin1/journal.jsonl").write_text(json.dumps(entry) + "\n")
    with pytest.raises(UserError, match="was trained on other images than .*data/lmdb holds"):
        places.make(places.plan(inside, LENGTH, ["nin1"]), two / "data/lmdb")


def test_the_nets_and_solvers_it_began_with_stay(two, inside, monkeypatch):
    monkeypatch.chdir(two)
    (two / "models/nin1/deploy.prototxt").write_text("name: 'another'")
    shutil.copytree(two / "data/lmdb", two / "elsewhere")  # the same images, moved
    places.make(places.plan(inside, LENGTH, ["nin1"]), two / "elsewhere")
    assert "another" not in (inside / "models/nin1/deploy.prototxt").read_text()
    assert (inside / "data/lmdb").samefile(two / "elsewhere")


def build_json(**said: object) -> None:
    """Make tiny_run's LMDBs whole, with a build.json that declares them whole."""
    data = Path("data/lmdb")
    (data / "test_lmdb").mkdir()
    for name in ("test_lmdb/data.mdb", "labels.txt"):
        (data / name).touch()
    (data / "build.json").write_text(json.dumps({"records": {"train": 3, "val": 0, "test": 1}, **said}))


@pytest.mark.parametrize("words", [[], ["--data", "elsewhere"], ["--status"]])
@pytest.mark.parametrize(
    "asked, said",
    [
        (["--holdout", "50"], "HOLDOUT=20, not HOLDOUT=50; {}make lmdb HOLDOUT=50 SEED=3 REPLACE=1"),
        (["--holdout", "0"], "HOLDOUT=20, not HOLDOUT=0; {}make lmdb HOLDOUT=0 SEED=3 REPLACE=1"),
        (["--holdout", "20", "--seed", "4"], "SEED=3, not SEED=4; {}make lmdb HOLDOUT=20 SEED=4 REPLACE=1"),
    ],
)
def test_lmdbs_that_were_built_otherwise(two, capfd, words, asked, said):
    build_json(holdout_per_class=20, seed=3)
    shutil.copytree("data/lmdb", "elsewhere")
    assert reproduce("nin1", *words, *asked) == 1
    option = said.partition("=")[0]
    said = said.format(f"leave {option} out to take it as it is, name other LMDBs with DATA=…, or build it anew: ")
    told = f"/{'elsewhere' if '--data' in words else 'data/lmdb'}: was built with {said}"
    assert told in capfd.readouterr().err
    assert not (two / places.folder_of(LENGTH)).exists()


@pytest.mark.parametrize("asked", [[], ["--holdout", "", "--seed", ""], ["--holdout", "20"], ["--seed", "3"]])
def test_lmdbs_with_a_holdout_are_taken_as_they_are(two, capfd, asked):
    """Make gives "" where a user gives nothing."""
    build_json(holdout_per_class=20, seed=3)
    assert reproduce("--status", "nin1", *asked) == 0
    assert re.search(r"^\d+ +lmdb +done$", capfd.readouterr().out, re.M)


@pytest.mark.parametrize("build", [None, "{", '{"records": {"train": 3}, "holdout_per_class": 20, "seed": 3}'])
def test_lmdbs_that_are_still_to_be_built_have_what_is_asked(two, capfd, build):
    if build:
        Path("data/lmdb/build.json").write_text(build)  # labels.txt is missing, so the set is not whole
    assert reproduce("--status", "nin1", "--holdout", "50", "--seed", "4") == 0


def images_of(records: dict[str, int] | None, **said: object) -> None:
    """LMDBs of so many records; none that are whole where that is None."""
    if records is None:
        Path("data/lmdb/train_lmdb/data.mdb").unlink()
        return
    build_json(**said)
    for split in records:
        Path(f"data/lmdb/{split}_lmdb").mkdir(exist_ok=True)
        Path(f"data/lmdb/{split}_lmdb/data.mdb").touch()
    Path("data/lmdb/build.json").write_text(json.dumps({"records": records, "source": "my.zip", **said}))


FULL = {"train": 90_000, "val": 10_000, "test": 10_000, "holdout": 10_000}
PART = {"train": 7000, "val": 2000, "test": 500, "holdout": 1000}


@pytest.fixture
def small_schedule(two, monkeypatch) -> Path:
    """A schedule of a few iterations in full length."""
    plans = {"nin1": schedule.Schedule("nin1", (schedule.Phase(0, 30, 0.01),))}
    monkeypatch.setattr(schedule, "read", lambda: plans)
    monkeypatch.setattr(Runner, "run", lambda self: 0)
    return two


def whole_length(*words: str) -> int:
    return command.main(["--caffe", "./caffe", "nin1", *words])


def test_full_length_on_a_part_of_the_images_is_refused(small_schedule, capfd):
    images_of(PART)
    (small_schedule / "results").mkdir()
    bench = {"machine": "a machine", "rows": [{"work": f"caffe train {model}", "precision": "fp32", "iterations/s": 0.003}
                                              for model in ("nin1", "alexnet1")]}  # fmt: skip
    (small_schedule / "results/bench_cpu.json").write_text(json.dumps(bench))
    for words in ([], ["--partial", ""], ["--partial", "0"]):
        assert whole_length(*words) == 1
        data, *times, error = capfd.readouterr().err.splitlines()
        assert data == (
            "reproduce: data: data/lmdb, built from my.zip: 7,000 train, 2,000 val, 500 test, 1,000 holdout images: not all of "
            "Tiny ImageNet, which has 100,000 train, 10,000 val, 10,000 test"
        )
        assert (
            times[0] == "reproduce: time: by calculation: about 2 h 47 min for the five trainings on a machine in fp32"
        )
        assert times[-1].startswith("reproduce: time: without a measured time: ") and "train nin1" in times[-1]
        assert "LENGTH=0.01" in error and "PARTIAL=1" in error
        assert not Path("reproduction").exists(), "nothing was begun"


@pytest.mark.parametrize(
    "records, left_out, words",
    [(PART, [], ["--partial"]), (PART, [], ["--partial", "1"]), (PART, [], ["--length", "0.5"]), (FULL, [], []),
     ({**FULL, "train": 89_998}, ["a", "b"], []), ({**FULL, "test": 0}, [], [])],
)  # fmt: skip
def test_what_may_run_names_its_data_and_time_first(small_schedule, capfd, records, left_out, words):
    images_of({split: count for split, count in records.items() if count}, left_out=left_out)
    assert whole_length(*words) == 0
    first, second, *_ = capfd.readouterr().err.splitlines()
    assert first.startswith("reproduce: data: data/lmdb, built from my.zip: ")
    assert first.endswith(": all of Tiny ImageNet") == (records is not PART) and second.startswith("reproduce: time: ")


def test_the_images_to_come_count_before_anything_is_built(small_schedule, capfd, monkeypatch):
    images_of(None)
    monkeypatch.setenv("TINY_IMAGENET", str(write_zip(small_schedule / "set.zip", files())))
    assert whole_length() == 1
    assert "set.zip, of which LMDBs are to be built: 600 train, 230 val, 17 test images: not" in capfd.readouterr().err
    (small_schedule / "set.zip").unlink()
    assert whole_length() == 1 and "TINY_IMAGENET names it" in capfd.readouterr().err
    assert whole_length("--status") == 0
    out, err = capfd.readouterr()
    assert "TINY_IMAGENET names it" in err and re.search(r"^\d+ +train nin1 ", out, re.M)
    monkeypatch.delenv("TINY_IMAGENET")
    assert whole_length() == 0
    assert (
        "the official zip, to be downloaded: 100,000 train, 10,000 val, 10,000 test images: all of"
        in capfd.readouterr().err
    )


def test_a_gpu_takes_whole_trainings(two, capfd):
    """Caffe's --gpu=0,1 would train with a batch on each: another experiment."""
    build_json()
    assert reproduce("nin1", "alexnet1", "--gpu", "0,1", "--leave-out", "data lmdb k-means") == 1, "no images to score"
    said = capfd.readouterr().err
    assert "fp32 on GPU 0, 1, each step on one of them" in said
    runs = two / places.folder_of(LENGTH) / "runs"
    words = [" ".join(run["command"]) for name in ("nin1", "alexnet1") for run in journal.read(runs / name)]
    asked = [re.findall("--gpu=(.*)", each)[0] for each in words]
    assert len(asked) == 3 + 2 and set(asked) == {"0", "1"}
    for model in ("nin1", "alexnet1"):
        assert re.search(rf"train {model} \(.*on GPU [01]\)", said)


@pytest.mark.parametrize("gpu, said", [("0,x", "x is no GPU's number"), ("all", "nvidia-smi finds no GPU")])
def test_gpus_that_are_none(two, capfd, monkeypatch, gpu, said):
    monkeypatch.setattr("first_pass.devices._all", list)
    assert reproduce("nin1", "--gpu", gpu) == 1
    assert said in capfd.readouterr().err and not (two / places.folder_of(LENGTH)).exists()


@pytest.mark.parametrize("gpu", ["0,1", "all"])
def test_one_training_over_several_gpus_is_refused(inside, capfd, gpu):
    assert training.main(["nin1", "--caffe", "../caffe", "--gpu", gpu]) == 1
    assert f"--gpu {gpu}: over several GPUs an iteration has a batch of each" in capfd.readouterr().err
    assert not Path("runs/nin1").exists()


# ---- what the page and the kept numbers are made of -------------------------------------------------------


SHOWN_TOO = {
    "k-means": "kmeans.json",
    "explore": "explore/explore.json",
    "methods": "ensemble/methods.json",
    "submission": "ensemble/submission.txt",
    "10crop nin1": "nin1/scores/10crop/val.npz",
    "10crop alexnet1": "alexnet1/scores/10crop/holdout.npz",
}
KEPT_TOO = ["k-means", "explore", "methods"]


@pytest.fixture
def whole(two, monkeypatch) -> dict[str, Step]:
    """The steps of a reproduction in full length, by name."""
    build_json()
    monkeypatch.setattr(steps, "TRAIN_IMAGES", 3)
    where = places.plan(Path("whole"), 1, ["nin1", "alexnet1"])
    places.make(where, two / "data/lmdb")
    monkeypatch.chdir(where.folder)
    door = steps.Door(caffe="../caffe", data=two / "data/lmdb")
    return {step.name: step for step in steps.steps(where, door, Speeds(where))}


def write(path: Path, at: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.utime(path, (at, at))


def test_the_page_and_the_kept_numbers_come_after_all_that_they_report(whole):
    assert whole.keys() >= SHOWN_TOO.keys()
    assert set(whole["page"].after) == SHOWN_TOO.keys() and set(whole["results"].after) == set(KEPT_TOO)


@pytest.mark.parametrize("name", SHOWN_TOO)
def test_the_page_and_the_kept_numbers_are_made_again_of_what_is_newer(whole, two, name):
    runs = Path("runs")
    for path in (
        runs / "ensemble/best.json",
        *(runs / f"{model}/train_accuracy.csv" for model in ("nin1", "alexnet1")),
    ):
        write(path, 100)
    for path in (runs / "report.html", two / "results/measured.json"):
        write(path, 200)
    assert whole["page"].done() and whole["results"].done(), "what was left out is not there"
    write(runs / SHOWN_TOO[name], 150)
    assert whole["page"].done() and whole["results"].done()
    write(runs / SHOWN_TOO[name], 250)
    assert not whole["page"].done() and whole["results"].done() == (name not in KEPT_TOO)


# ---- the steps, as small programs --------------------------------------------------------------------------


def step(name: str, code: str, *needs: str, **fields: object) -> Step:
    """A step that runs a program and is done where a file of its name is there."""
    made = Path.cwd() / name
    Path(f"step_{name}.py").write_text(f"import signal, sys, time\nname = {str(made)!r}\n{code}")
    return Step(name, [f"step_{name}"], Path.cwd(), made.is_file, needs, **fields)


MAKES = "open(name, 'w').close()"


@pytest.fixture
def here(tmp_path, monkeypatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    return []


def test_steps_run_in_order_and_what_is_there_is_not_made_again(here):
    found = [step("a", MAKES), step("b", MAKES, "a"), step("c", MAKES, "a", "b")]
    Path("a").touch()
    runner = Runner(found, here.append)
    assert runner.run() == 0 and runner.done
    assert [line for line in here if line.startswith("====")] == ["==== 2 of 3: b", "==== 3 of 3: c"]
    assert Runner(found, here.append).run() == 0 and len(here) == 2


def test_what_fails_holds_up_only_what_needs_it(here):
    found = [step("a", "sys.exit(3)"), step("b", MAKES, "a"), step("c", MAKES), step("d", "", "c"),
             step("e", MAKES, package="no_such_package")]  # fmt: skip
    runner = Runner(found, here.append)
    assert runner.run() == 1 and not runner.done
    assert Path("c").exists() and not Path("b").exists()
    assert "a: failed with status 3" in here and "d: ended, but what it makes is not there" in here
    assert "e: no_such_package is missing; make setup installs it" in here
    assert str(runner) == "1 of 5 steps are done"


@pytest.mark.parametrize("order", [1, -1])
def test_a_step_waits_for_the_steps_it_reports(here, order):
    """It waits even if that step is late and a place is free."""
    found = [step("slow", "time.sleep(1)\n" + MAKES), step("later", MAKES, "slow"),
             step("page", MAKES, after=("later", "left-out"))]  # fmt: skip
    assert Runner(found[::order], here.append, places=["", "", ""]).run() == 0
    assert [line.split()[-1] for line in here if line.startswith("====")] == ["slow", "later", "page"]


def test_a_step_goes_without_what_cannot_be_made(here):
    found = [step("bad", "sys.exit(3)"), step("never", MAKES, "bad"), step("lacking", MAKES, package="no_such_package"),
             step("page", MAKES, after=("bad", "never", "lacking"))]  # fmt: skip
    assert Runner(found, here.append, places=["", ""]).run() == 1
    assert Path("page").exists()


def test_what_was_made_before_is_made_again_after_what_came_since(here):
    """When the runner begins, the page is newer than every existing file."""
    page, more = step("page", MAKES, after=("more",)), step("more", MAKES)
    write(Path("page"), 100)
    page = replace(page, done=lambda: not Path("more").exists() or steps.newer([Path("page")], [Path("more")]))
    assert page.done()
    assert Runner([more, page], here.append).run() == 0
    assert Path("page").stat().st_mtime > 100


TELLS = """
open(name + ".begun", "w").close()
import pathlib
while len(list(pathlib.Path(name).parent.glob("*.begun"))) < 4:
    time.sleep(0.02)
open(name, "w").write(" ".join(sys.argv[1:]))
"""


@pytest.mark.parametrize("place", ["0", ""])
def test_a_step_has_the_one_device_that_there_is(here, place):
    code = "open(name, 'w').write(repr(sys.argv[1:]))"
    assert Runner([step("a", code, takes_gpu=True), step("b", code)], here.append, places=[place]).run() == 0
    assert Path("a").read_text() == f"['--gpu', '{place}']" and Path("b").read_text() == "[]"
    assert "on GPU" not in "".join(here)
    commands = [json.loads(line).get("command") for line in Path("steps.jsonl").read_text().splitlines()]
    assert commands == [["step_a", "--gpu", place], None, ["step_b"], None]


def test_steps_are_spread_over_the_devices(here):
    """Four at once, two on each; each waits until all four have begun."""
    found = [step(name, TELLS, takes_gpu=True) for name in "abcd"]
    assert Runner(found, here.append, places=["0", "1", "0", "1"]).run() == 0
    assert [Path(name).read_text() for name in "abcd"] == ["--gpu 0", "--gpu 1", "--gpu 0", "--gpu 1"]
    assert "==== 2 of 4: b (on GPU 1)" in here


def test_the_device_with_the_fewest_steps_is_next(here):
    """The place that a ends on is free before it: c does not join b."""
    waits = "\nimport os\nwhile not os.path.exists('c'):\n    time.sleep(0.02)\n"
    found = [step("a", MAKES, takes_gpu=True), step("b", waits + MAKES, takes_gpu=True),
             step("c", "open(name, 'w').write(sys.argv[2])", "a", takes_gpu=True)]  # fmt: skip
    assert Runner(found, here.append, places=["0", "1", "1", "0"]).run() == 0
    assert Path("c").read_text() == "0"


OBEYS = """
signal.signal(signal.SIGINT, lambda *_: (open(name + ".snapshot", "w").close(), sys.exit(130)))
open(name + ".begun", "w").close()
time.sleep(60)
"""


def test_the_time_limit_asks_all_to_stop_and_starts_no_more(here):
    found = [step("a", OBEYS), step("b", OBEYS), step("c", MAKES)]
    runner = Runner(found, here.append, places=["", ""], seconds=3)
    assert runner.run() == 0, "what is left is for the next call"
    assert runner.stopping == "the time limit is reached"
    assert Path("a.snapshot").exists() and Path("b.snapshot").exists() and not Path("c").exists()
    assert Path("log/a.log").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_reaches_the_step_and_no_other_is_started(here, number):
    code = OBEYS.replace("signal.SIGINT,", f"{number:d},") + MAKES
    found = [step("a", code), step("b", MAKES)]
    told: list[str] = []

    def say(line: str) -> None:
        told.append(line)

    runner = Runner(found, say)
    child = os.fork()
    if child == 0:  # a user who sends the signal from elsewhere
        while not Path("a.begun").exists():
            time.sleep(0.05)
        os.kill(os.getppid(), number)
        os._exit(0)
    assert runner.run() == 130 and runner.stopping == "asked to stop"
    os.waitpid(child, 0)
    assert Path("a.snapshot").exists() and not Path("b").exists()


def test_a_log_of_steps_that_was_cut(here, monkeypatch):
    from reproduce.speed import step_log

    Path("steps.jsonl").write_bytes(b'{"step": "a", "ev\n[]\n{"step": "b"')
    assert Runner([step("a", MAKES)], here.append).run() == 0
    assert [(entry["step"], entry.get("event")) for entry in step_log()] == [("a", "start"), ("a", "end")]


# ---- messages ----------------------------------------------------------------------------------------------


def test_status_before_and_after(two, capfd):
    assert reproduce("--status", "nin1", "--leave-out", "page") == 0
    out, err = capfd.readouterr()
    assert "k-means" in out and "page" not in out
    assert "not begun; make reproduce begins it" in err and not (two / places.folder_of(LENGTH)).exists()
    assert re.search(r"^\d+ +train nin1 +iteration 0 of 60 +not measured$", out, re.M)
    where = places.plan(places.folder_of(LENGTH), LENGTH, ["nin1"])
    places.make(where, two / "data/lmdb")
    os.chdir(where.folder)
    assert train() == 0
    os.chdir(two)
    assert reproduce("--status", "nin1") == 0
    out, _ = capfd.readouterr()
    assert re.search(r"^\d+ +train nin1 +done$", out, re.M) and "nothing is at work" in out
