"""`make results` refuses runs that are not full, and no other command writes into results/."""

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench import __main__ as bench
from bench import first_iterations, two_workers, whole
from bench import gpu as bench_gpu
from bench.results import write_csv
from ensemble.scoring import gap, view_gain
from harness import measurements
from harness.errors import UserError
from report import compared, full_runs, results_files, save_results
from report.experiment import open_experiment
from report.sections import views
from tests.conformance import gpu as conformance_gpu
from tests.report import small_report, small_results

ROOT = Path(__file__).parents[2]
RATES = ((0, 0.01), (400, 0.001))


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A run of nin1 at its solver's end on all of Tiny ImageNet, as far as build.json says, and what was measured."""
    monkeypatch.chdir(tmp_path)
    data = Path("data/lmdb")
    data.mkdir(parents=True)
    (data / "mean.binaryproto").write_bytes(b"the mean")
    build({})
    small_report.write_run(Path("runs/nin1"), "nin1", RATES, 0.6, small_report.END)
    small_results.write(tmp_path)
    whole_gap = json.loads(Path("runs/gap_nin1.json").read_text())
    whole_views = json.loads(Path("runs/views_nin1.json").read_text())
    for row in whole_views["rows"]:
        row["images"] = 10_000
    write("gap_nin1", whole_gap)
    write("views_nin1", whole_views)
    return tmp_path


def build(records: dict, classes: str = "thing") -> None:
    counts = {"train": 100_000, "val": 10_000, "test": 10_000, **records}
    found = {"source": "x.zip", "seed": 0, "records": counts, "lists_sha256": {}}
    Path("data/lmdb/build.json").write_text(json.dumps(found))
    lines = (f"n{number:08d} {classes} {number}\n" for number in range(200))
    Path("data/lmdb/labels.txt").write_text("".join(lines))


def write(name: str, found: dict) -> None:
    Path(f"runs/{name}.json").write_text(json.dumps(found))


def change(name: str, **fields) -> None:
    write(name, {**json.loads(Path(f"runs/{name}.json").read_text()), **fields})


def results() -> set[str]:
    return {path.name for path in Path("results").glob("*")}


def test_full_runs_are_kept(place, capsys):
    assert save_results.main([]) is None
    assert {"measured.json", "gap_nin1.json", "views_nin1.json"} <= results()
    assert Path("results/gap_nin1.json").read_bytes() == Path("runs/gap_nin1.json").read_bytes()
    out = capsys.readouterr()
    assert "runs/gap_nin1.json -> results/gap_nin1.json" in out.out and "not kept" not in out.err


@pytest.mark.parametrize(
    ("records", "classes", "said"),
    [
        ({"train": 8000, "val": 2000}, "thing", "8000 train images, not the 100000 of Tiny ImageNet; "
         "2000 val images, not the 10000 of Tiny ImageNet"),
        ({"val": 2000}, "thing", "2000 val images, not the 10000 of Tiny ImageNet"),
        ({}, "drawing: red disc", "drawings, not the images of Tiny ImageNet"),
    ],
)  # fmt: skip
def test_a_part_of_the_images_is_refused_for_every_file(place, capsys, records, classes, said):
    build(records, classes)
    assert said in save_results.main(["--allow", "short changes"])
    err = capsys.readouterr().err
    for name in ("gap_nin1", "views_nin1"):
        (line,) = (line for line in err.splitlines() if f"runs/{name}.json" in line)
        assert line.startswith(f"report.save_results: runs/{name}.json: not kept: ") and said in line
    assert not results()


def test_a_short_training_is_refused(place, capsys):
    """286 iterations of 1,000: neither its numbers nor what was measured with it, unless that is asked for."""
    shutil.rmtree("runs/nin1")
    small_report.write_run(Path("runs/nin1"), "nin1", ((0, 0.01),), 0.6, 290)
    for name in ("gap_nin1", "views_nin1"):
        change(name, iteration=286)
    assert "runs: nothing of a full run to keep" in save_results.main([])
    err = capsys.readouterr().err
    reason = "not kept: nin1 was trained for 290 of its solver's 1,000 iterations (ALLOW=short keeps it all the same)"
    for path in ("runs/nin1", "runs/gap_nin1.json", "runs/views_nin1.json"):
        assert f"report.save_results: {path}: {reason}" in err
    assert not results()
    assert save_results.main(["--allow", "short"]) is None
    assert {"measured.json", "gap_nin1.json", "views_nin1.json"} <= results()


def test_a_measurement_of_an_earlier_snapshot_is_refused(place, capsys):
    change("gap_nin1", iteration=286)
    assert save_results.main([]) is None and "gap_nin1.json" not in results() and "views_nin1.json" in results()
    assert "runs/gap_nin1.json: not kept: nin1 was measured after 286 of its solver's 1,000" in capsys.readouterr().err


@pytest.mark.parametrize(("commit", "said"), [
    ("0123456789 with changes", "measured by the code of commit 0123456789 with changes that no commit holds"),
    (None, "no commit is known of the code that measured it"),
])  # fmt: skip
def test_code_that_no_commit_holds_is_refused(place, capsys, commit, said):
    change("gap_nin1", commit=commit)
    assert save_results.main([]) is None and "gap_nin1.json" not in results()
    assert f"runs/gap_nin1.json: not kept: {said} (ALLOW=changes keeps it all the same)" in capsys.readouterr().err
    path = Path("runs/nin1/journal.jsonl")
    path.write_text(path.read_text().replace('"0123456789"', json.dumps(commit)))
    for each in results():
        Path("results", each).unlink()
    assert "nothing of a full run" in save_results.main([]) and not results()
    assert save_results.main(["--allow", "changes"]) is None and "gap_nin1.json" in results()


@pytest.mark.parametrize(
    ("text", "said"), [("{", "not what the commands write"), ('{"model": "nin1"}', "no iteration")]
)
def test_what_is_broken_is_refused(place, capsys, text, said):
    Path("runs/views_nin1.json").write_text(text)
    assert save_results.main([]) is None and "views_nin1.json" not in results()
    assert said in capsys.readouterr().err


def test_a_run_that_is_not_here_is_refused(place, capsys):
    change("gap_nin1", model="nin2")
    assert save_results.main([]) is None
    assert "runs/gap_nin1.json: not kept: runs has no training of nin2" in capsys.readouterr().err


def test_a_longer_one_stays(place, capsys):
    Path("results").mkdir()
    longer = {**json.loads(Path("runs/gap_nin1.json").read_text()), "iteration": 2000}
    Path("results/gap_nin1.json").write_text(json.dumps(longer))
    assert save_results.main([]) is None
    assert json.loads(Path("results/gap_nin1.json").read_text()) == longer
    assert "results/gap_nin1.json is of a longer training, and stays" in capsys.readouterr().err
    assert save_results.main(["--replace"]) is None
    assert json.loads(Path("results/gap_nin1.json").read_text())["iteration"] == 1000


def test_words_of_allow(place, capsys):
    with pytest.raises(SystemExit):
        save_results.main(["--allow", "shrot"])
    assert "ALLOW=shrot: shrot is none of short, changes" in capsys.readouterr().err


# ---- benchmarks ----------------------------------------------------------------------------------------------------


def bench_file(name: str = "bench_cpu.json", without: str = "", images: int = 100_000, **about) -> None:
    rows = [
        {"work": work, "images": images if "LMDB" in work else 10_000} for work in whole.WORKS[name] if work != without
    ]
    found = {"time": "2026", "commit": "abc", "machine": "this", **about, "rows": rows}
    Path("runs/bench").mkdir(exist_ok=True)
    Path("runs/bench", name).write_text(json.dumps(found))


@pytest.mark.parametrize(("wrong", "said"), [
    ({"without": "caffe train nin1"}, "no caffe train nin1 in it"),
    ({"images": 8000}, "train images to LMDB: 8000 images, not 100000"),
    ({"commit": "abc with changes"}, "that no commit holds"),
])  # fmt: skip
def test_a_part_of_a_benchmark_is_refused(place, capsys, wrong, said):
    bench_file(**wrong)
    Path("runs/bench/bench_gpu.part.json").write_text("{}")
    assert save_results.main([]) is None and "bench_cpu.json" not in results()
    assert f"runs/bench/bench_cpu.json: not kept: {said}" in (err := capsys.readouterr().err).replace(
        "measured by the code of commit abc with changes ", "") and "part.json" not in err  # fmt: skip
    bench_file()
    assert save_results.main([]) is None and "bench_cpu.json" in results()


def test_the_benchmark_of_another_machine_stays(place, capsys):
    Path("results").mkdir()
    Path("results/bench_cpu.json").write_text('{"machine": "another", "rows": [{}]}')
    bench_file()
    assert save_results.main([]) is None
    assert "results/bench_cpu.json is of another machine, another, and stays" in capsys.readouterr().err
    assert save_results.main(["--replace"]) is None
    assert json.loads(Path("results/bench_cpu.json").read_text())["machine"] == "this"


def test_rows_as_csv_are_kept_with_their_picture(place):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.provenance.commit", lambda: "abc")
        write_csv(Path("runs/bench/two_workers.csv"), {"command": "x: y"}, ["iteration", "one"], [[0, 5.25]])
    Path("runs/bench/two_workers.png").write_bytes(b"a picture")
    Path("runs/bench/old.csv").write_text("iteration,one\n0,5.25\n")
    assert save_results.main([]) is None
    assert {"two_workers.csv", "two_workers.png"} <= results() and "old.csv" not in results()
    assert Path("results/two_workers.csv").read_text().splitlines()[-2:] == ["iteration,one", "0,5.25"]


@pytest.mark.parametrize("command, words", [
    (gap.main, ["one"]), (view_gain.main, ["one", "10crop"]), (compared.main, ["a", "b", "c", "--title", "t"]),
    (bench.main, []), (bench_gpu.main, []), (conformance_gpu.main, []), (first_iterations.main, ["alexnet1"]),
    (two_workers.main, ["alexnet1"]),
])  # fmt: skip
@pytest.mark.parametrize("folder", ["results", str(ROOT / "results"), "runs/../results/deeper"])
def test_no_command_writes_into_results(place, monkeypatch, capsys, command, words, folder):
    name = folder if command is compared.main else f"{folder}/file.json"
    arguments = [*words, "--out", name]
    monkeypatch.setattr(sys, "argv", ["x", *arguments])
    try:
        said = command(arguments) if command.__code__.co_argcount else command()
    except SystemExit as error:
        said = error.code if isinstance(error.code, str) else capsys.readouterr().err
    assert "only `make results` writes into results/" in said
    assert not Path("results").exists() and not (ROOT / "results/file.json").exists()


def test_every_writer_of_the_repository_is_known():
    """No other program names a file of results/ as its default."""
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    strangers = {"report/save_results.py", "reproduce/steps.py"}  # make results, and the step that runs it
    for name in listed.split():
        if not name.startswith("tests/") and name not in strangers:
            text = (ROOT / name).read_text()
            assert 'Path("results' not in text and "--out results" not in text, name


def test_runs_are_read_before_what_is_kept(place):
    Path("results").mkdir()
    for name, iteration in (("gap_nin1", 5), ("gap_nin2", 6)):
        found = {**json.loads(Path("runs/gap_nin1.json").read_text()), "iteration": iteration}
        Path(f"results/{name}.json").write_text(json.dumps(found))
    read = results_files.read("gap", Path("runs"), "splits")
    assert [(one["iteration"], one["whence"]) for one in read] == [
        (1000, "from runs/gap_nin1.json"), (6, "kept in results/gap_nin2.json")
    ]  # fmt: skip
    assert measurements.benchmark("bench_cpu.json") == Path("results/bench_cpu.json")
    bench_file()
    assert measurements.benchmark("bench_cpu.json") == Path("runs/bench/bench_cpu.json")


def test_views_of_runs_and_kept_ones_share_no_plot(place, monkeypatch):
    Path("results").mkdir()
    kept_one = {**json.loads(Path("runs/views_nin1.json").read_text()), "model": "resnet10"}
    Path("results/views_resnet10.json").write_text(json.dumps(kept_one))
    drawn = []
    monkeypatch.setattr("report.plots.views.gains", lambda files, name: drawn.append([one["model"] for one in files]))
    shown = views.build(open_experiment(Path("runs"), Path("data/lmdb")))
    assert [one["model"] for one in shown["models"]] == ["nin1", "resnet10"]
    assert drawn == [["nin1"]] and shown["plotted"] == ["nin1"]
    Path("runs/views_nin1.json").unlink()
    assert views.build(open_experiment(Path("runs"), Path("data/lmdb")))["plotted"] == ["resnet10"]


def test_a_measurement_in_a_link_to_results_is_refused(place):
    Path("results").mkdir()
    Path("elsewhere").symlink_to("results")
    with pytest.raises(UserError, match="only `make results`"):
        measurements.write(Path("elsewhere/gap_nin1.json"), {})


def test_make_hands_the_words_on():
    words = ["make", "-n", "results", "ALLOW=short changes", "RUNS=there", "REPLACE=1", "-o", "setup"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert '-m report.save_results --runs "there" --replace --allow "short changes"' in done.stdout, shlex.join(words)


def test_the_reason_names_what_is_not_known(place):
    Path("data/lmdb/build.json").unlink()
    experiment = open_experiment(Path("runs"), Path("data/lmdb"))
    assert [str(reason) for reason in full_runs.of_data(experiment)] == [
        "data/lmdb: no build.json, so it is not known what was trained on; `make lmdb`"
    ]
