"""The report's numbers, ours, those that are kept, and README's table."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from first_pass import kmeans, outcome
from harness.errors import UserError
from report import full_runs, measure_all, paper, save_results, table, trainings
from report.experiment import open_experiment
from tests.report import small_report

ROOT = Path(__file__).parents[2]
# Nothing in this repository measures these yet.
UNMEASURED = {"leaderboard"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("experiment")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        small_report.make(folder)
        yield folder


@pytest.fixture(scope="module")
def measured(place):
    return measure_all.measure_all(open_experiment(Path("runs"), Path("data/lmdb")))


def count_as_whole(monkeypatch):
    """Take the small experiment's images for all of Tiny ImageNet."""
    monkeypatch.setattr(full_runs, "TRAIN_IMAGES", 400)
    monkeypatch.setattr(full_runs, "VAL_IMAGES", 400)


def test_every_number_is_of_a_kind_and_measured_or_known_not_to_be():
    numbers = paper.numbers()
    assert len(numbers) > 50 and {number.kind for number in numbers} == set(paper.KINDS)
    measure_all.measure_all(open_experiment(Path("nowhere"), Path("nowhere")))  # registers the measures
    elsewhere = {number.name for number in numbers if number.kind == "elsewhere"}
    assert {number.name for number in numbers} == measure_all.MEASURES.keys() | UNMEASURED | elsewhere
    assert not measure_all.MEASURES.keys() & (UNMEASURED | elsewhere)


def test_curves_of_the_report():
    assert paper.curve("nin") == [(40, 0.37), (70, 0.42)] and paper.curve("alexnet") == [(20, 0.25), (30, 0.33)]


@pytest.mark.parametrize(
    "name, value",
    [
        ("classes", "200"),
        ("train-per-class", "2"),  # 200 train and 200 held-out images of 200 classes
        ("val-per-class", "2"),
        ("test-per-class", "1.5"),
        ("image", "16 x 12"),
        ("models-trained", "3"),
        ("momentum", "0.9"),
        ("snapshot-epochs", "2"),
        ("batch-size", "10"),
        ("learning-rates", "0.1, 0.01, 0.001"),  # rates of the runs' first solvers and the first pass, without drops
        ("alexnet-crop", "6 x 6"),
        ("nin-crop", "6, 6, 6"),
        ("mirror", "all"),
        ("drop-factor", "10"),
        # 20 iterations are an epoch: drops at 400 and 700 of alexnet1 (one), nin1 and nin2
        ("epochs-between-drops", "20, 20 and 15, 20 and 15"),
        ("nin-first-drop-epoch", "20, 20"),
        ("nin-second-drop-epochs", "15, 15"),
        ("ensemble-members", "3: 1 AlexNet, 2 NIN"),
    ],
)
def test_what_the_files_say(measured, name, value):
    assert measured[name].value == value


def test_what_stands_beside_the_reports_models_counts_for_none_of_its_numbers(place, measured, tmp_path, monkeypatch):
    """A nin1_prelu that is right 9 times of 10, with rates, crop and batch of its own."""
    shutil.copytree(place, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    for folder in ("models", "runs"):
        shutil.copytree(f"{folder}/nin1", f"{folder}/nin1_prelu")
    for file in ("solvers/nin1.prototxt", "runs/nin1/journal.jsonl", "models/nin1/train_val.prototxt"):
        text = Path(file).read_text().replace("nin1", "nin1_prelu").replace("crop_size: 6", "crop_size: 7")
        text = text.replace("batch_size: 10", "batch_size: 20").replace("momentum: 0.9", "momentum: 0.8")
        Path(file.replace("nin1", "nin1_prelu")).write_text(text)
    log = Path("runs/nin1_prelu/train.log")
    log.write_text(re.sub(r"(accuracy = )\S+", r"\g<1>0.9", log.read_text()))
    experiment = open_experiment(Path("runs"), Path("data/lmdb"))
    assert "nin1_prelu" in [model.name for model in experiment.models] and "nin1_prelu" in experiment.scored
    assert measure_all.measure_all(experiment) == measured


@pytest.mark.parametrize(
    ("model", "family"),
    [("nin1", "nin"), ("alexnet2", "alexnet"), ("nin", "nin"), ("nin1_prelu", None), ("resnet10", None)],
)
def test_the_family_of_a_model(model, family):
    assert paper.family_of(model) == family


def test_accuracies_are_those_of_the_logs(measured):
    def logged(model: str, first: int, last: int) -> list[float]:
        """The accuracies of the tests in [first, last], read from the log by hand."""
        found, at = [], None
        for line in Path(f"runs/{model}/train.log").read_text().splitlines():
            if "Testing net" in line:
                at = int(line.partition("Iteration ")[2].partition(",")[0])
            elif "Test net output #0: accuracy" in line and first <= at <= last:
                found.append(float(line.rpartition("= ")[2]))
        return found

    assert measured["alexnet-first-rate"].value == f"{max(logged('alexnet1', 0, 400)):.3f}"
    assert measured["alexnet-second-rate"].value == f"{max(logged('alexnet1', 401, 1000)):.3f}"
    assert measured["best-single"].value == f"{max(logged('nin1', 0, 1000)):.3f}"
    first = [logged(model, 400, 400)[-1] for model in ("nin1", "nin2")]
    assert measured["nin-first-drop-accuracy"].value == ", ".join(f"{value:.3f}" for value in first)
    second = [logged(model, 700, 700)[-1] for model in ("nin1", "nin2")]
    assert measured["nin-second-drop-accuracy"].value == ", ".join(f"{value:.3f}" for value in second)


def test_held_out_images_stand_for_test(measured):
    single = measured["single-test-accuracy"]
    assert single.note.startswith("alexnet1, nin1, nin2") and "held-out" in single.note
    accuracies, errors = (
        [float(part) for part in measured[name].value.split(", ")]
        for name in ("single-test-accuracy", "single-test-error")
    )
    assert [pytest.approx(1 - one, abs=2e-3) for one in accuracies] == errors


def test_what_was_not_done_has_no_number(measured):
    # Two NIN are no three.
    assert measured.keys().isdisjoint({"ensemble-accuracy", "ensemble-error"})
    assert (
        measure_all.measure_all(open_experiment(Path("nowhere"), Path("nowhere"), Path("nowhere")))
        .keys()
        .isdisjoint({"hours", "models-trained", "best-single", "best-ensemble", "deviation-correlation"})
    )


def test_a_part_of_the_data_is_not_kept(place, tmp_path):
    said = save_results.main(["--out", str(tmp_path / "measured.json")])
    assert "400 train images, not the 100000" in said and not (tmp_path / "measured.json").exists()


def test_kept_numbers_say_what_stands_behind_them(place, tmp_path, monkeypatch, capsys):
    count_as_whole(monkeypatch)
    out = tmp_path / "measured.json"
    first = save_results.SavedNumber("0.5", "by hand", "make x", None, None, None, [], 0.0, None)
    out.write_text(json.dumps({"gpu-memory": vars(first), "best-single": vars(first)}))
    assert save_results.main(["--out", str(out)]) is None
    found = save_results.read(out)
    assert found["gpu-memory"] == first, "what is not measured again stays"
    best = found["best-single"]
    assert best.value.startswith("0.5") and best.note == "nin1 after 49 epochs"
    assert (best.command, best.commit, best.machine, best.seeds) == (
        "make train-nin1 resume-nin1", "0123456789", "a machine", [3]
    )  # fmt: skip
    assert best.time.startswith("2026-03-05T22:1") and 0 < best.hours < 1
    assert "best-single: 0.5" in capsys.readouterr().out
    assert not found.keys() & {"classes", "momentum"}, "these are in files that are committed"
    assert (tmp_path / "methods.json").read_text() == Path("runs/ensemble/methods.json").read_text()
    curves = (tmp_path / "curves.svg").read_text()
    assert ElementTree.fromstring(curves).tag == "{http://www.w3.org/2000/svg}svg"
    assert "report: AlexNet" in curves and "nin1" in curves and "var(" not in curves


def test_a_shorter_training_does_not_replace_a_longer_one(place, tmp_path, monkeypatch, capsys):
    count_as_whole(monkeypatch)
    out = tmp_path / "measured.json"
    longer = save_results.SavedNumber("0.9", "elsewhere", "make x", None, None, None, [], 9.0, None, "bf16", 1000.0)
    out.write_text(json.dumps({"best-single": vars(longer)}))
    assert save_results.main(["--out", str(out)]) is None
    assert save_results.read(out)["best-single"] == longer
    assert "best-single: 0.5" in (said := capsys.readouterr().out) and "0.9 of 1000 epochs stays (--replace)" in said
    assert save_results.main(["--out", str(out), "--replace"]) is None
    best = save_results.read(out)["best-single"]
    assert best.value.startswith("0.5") and best.precision == "fp32" and best.epochs == 49.5


def test_of_single_models_the_best_is_kept_however_long_it_trained(place, tmp_path, monkeypatch):
    count_as_whole(monkeypatch)
    out = tmp_path / "measured.json"
    other = save_results.SavedNumber(
        "0.318", "alexnet1", "make train-alexnet1", None, None, None, [], 9.0, None, "fp32", 1000.0
    )
    better = replace(other, value="0.999", epochs=1.0)
    for old, stays in ((other, False), (better, True)):
        out.write_text(json.dumps({"best-single": vars(old)}))
        assert save_results.main(["--out", str(out)]) is None
        assert (save_results.read(out)["best-single"] == old) == stays


def test_models_of_other_images_are_left_out(place, tmp_path, monkeypatch, capsys):
    shutil.copytree(place, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    count_as_whole(monkeypatch)
    path = Path("runs/nin1/journal.jsonl")
    path.write_text(re.sub('"data": "mean [0-9a-f]+"', '"data": "mean 17"', path.read_text()))
    assert save_results.main(["--out", "measured.json"]) is None
    said = capsys.readouterr().err
    assert "runs/nin1: not kept: nin1 was trained on other images than those of data/lmdb" in said
    assert "best-ensemble: not kept: " in said and "best-ensemble" not in save_results.read(Path("measured.json"))
    assert save_results.read(Path("measured.json"))["best-single"].note.startswith("nin2")
    assert "nin1" not in trainings.read(Path(trainings.NAME))


def test_runs_elsewhere_are_kept_whole(place, tmp_path, monkeypatch):
    """`make results RUNS=...` reads no log and no score of runs/."""
    shutil.copytree(place, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    count_as_whole(monkeypatch)
    assert save_results.main(["--out", "here.json"]) is None
    Path("runs").rename("brought")
    assert save_results.main(["--runs", "brought", "--out", "there.json"]) is None
    assert save_results.read(Path("there.json")) == save_results.read(Path("here.json"))


def test_rows_of_other_fits_stay(place, tmp_path, monkeypatch):
    """K-means by clusters and seed, and the first pass that tried for longer."""
    count_as_whole(monkeypatch)
    out, fits, tries = tmp_path / "measured.json", tmp_path / "kmeans.json", tmp_path / "explore.json"
    assert save_results.main(["--out", str(out)]) is None
    rows, found = kmeans.read(fits), outcome.load(tries)
    other = replace(rows[0], clusters=77, seed=5)
    kmeans.write(fits, [other, rows[0]])
    longer = replace(found, outcomes=[replace(one, epochs=one.epochs + 1) for one in found.outcomes])
    outcome.write(tries, longer)
    assert save_results.main(["--out", str(out)]) is None
    assert kmeans.read(fits) == sorted([*rows, other], key=lambda row: (row.clusters, row.seed))
    assert outcome.load(tries) == longer
    assert save_results.main(["--out", str(out), "--replace"]) is None
    assert outcome.load(tries) == found


def test_trainings_gather(place, tmp_path, monkeypatch):
    """Those of other folders stay, with their curves, and of one model the longer."""
    count_as_whole(monkeypatch)
    out, path = tmp_path / "measured.json", tmp_path / trainings.NAME
    assert save_results.main(["--out", str(out)]) is None
    first = trainings.read(path)
    assert list(first) == ["alexnet1", "nin1", "nin2"]
    nin1 = first["nin1"]
    assert (nin1.epochs, nin1.command, nin1.commit, nin1.seed) == (49.5, "make train-nin1 resume-nin1", "0123456789", 3)
    assert nin1.accuracy[-1][0] == 49 and len(nin1.loss) == 49
    elsewhere = replace(nin1, name="nin3", accuracy=[(0.0, 0.005), (90.0, 0.987)])
    longer, shorter = replace(nin1, epochs=50.0), replace(first["nin2"], epochs=1.0)
    trainings.write(path, {each.name: each for each in (elsewhere, longer, shorter)})
    assert save_results.main(["--out", str(out)]) is None
    merged = trainings.read(path)
    assert merged == {**first, "nin1": longer, "nin3": elsewhere}
    assert "nin3 0.987" in (tmp_path / "curves.svg").read_text()
    assert save_results.main(["--out", str(out), "--replace"]) is None
    assert trainings.read(path) == {**first, "nin3": elsewhere}


@pytest.mark.parametrize("text", ["{", "{}x", '[{"name": "a"}]', "[3]"])
def test_broken_trainings_are_reported_and_stay(place, tmp_path, monkeypatch, text):
    count_as_whole(monkeypatch)
    path = tmp_path / trainings.NAME
    path.write_text(text)
    assert "trainings.json: not what `make results` writes" in save_results.main(
        ["--out", str(tmp_path / "measured.json")]
    )
    assert path.read_text() == text


def test_a_cost_is_by_a_price_that_was_given(place, tmp_path, monkeypatch, capsys):
    count_as_whole(monkeypatch)
    out = tmp_path / "measured.json"
    assert save_results.main(["--out", str(out)]) is None and "cost" not in save_results.read(out)
    assert save_results.main(["--out", str(out), "--price", "2.5"]) is None
    found = save_results.read(out)["cost"]
    assert float(found.value) == pytest.approx(found.hours * 2.5, abs=0.01)
    assert found.note.endswith("hours at 2.5 dollars an hour, a price that was given")
    for price in ("-1", "nan", "much"):
        with pytest.raises(SystemExit):
            save_results.main(["--price", price])
        assert f"PRICE={price}: give dollars an hour" in capsys.readouterr().err


def test_a_rehearsal_is_not_kept(place, tmp_path, monkeypatch):
    shutil.copytree(place, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    count_as_whole(monkeypatch)
    path = Path("runs/nin2/journal.jsonl")
    path.write_text(
        path.read_text().replace('"# nin2', "\"# A rehearsal: every length is the report's times 0.1.\\n# nin2")
    )
    assert save_results.main(["--out", "measured.json"]).endswith(
        "runs: nin2 were rehearsed at a part of their length; not kept"
    )
    assert not Path("measured.json").exists()


def test_gpus_precision_and_memory(place, tmp_path, monkeypatch):
    shutil.copytree(place, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    log = Path("runs/nin1/train.log")
    stamp = "I0305 22:15:00.500000  4711 __main__.py:25] "
    begin = f"{stamp}Precision: bf16\n{stamp}Using GPUs 0, 1\n"
    first, *rest = log.read_text().splitlines(keepends=True)
    log.write_text(begin + first.replace("Use CPU.", "Solver scaffolding done.") + "".join(rest))
    Path("results").mkdir(exist_ok=True)
    rows = [{"work": f"train {name}", "precision": p, "peak MiB": mib}
            for name, p, mib in (("alexnet1", "fp32", 400.0), ("nin1", "fp32", 1000.0), ("nin1", "bf16", 9.0))]  # fmt: skip
    about = {"time": "2026-01-01T00:00:00+00:00", "commit": "abc", "machine": "a GPU"}
    Path("results/bench_gpu.json").write_text(json.dumps({**about, "rows": rows}))
    experiment = open_experiment(Path("runs"), Path("data/lmdb"))
    found = measure_all.measure_all(experiment)
    assert found["alexnet-gpus"].value == "0, 0 and 2, 0"
    assert found["alexnet-gpus"].note == "alexnet1, nin1, nin2; 0: on the CPU"
    assert found["gpu-memory"].value == "419, 1049"
    memory = save_results.keep(found["gpu-memory"], experiment)
    assert (memory.command, memory.commit, memory.machine) == ("make bench-gpu", "abc", "a GPU")
    assert save_results.keep(found["best-single"], experiment).precision == "bf16, then fp32"
    Path("results/bench_gpu.json").write_text("[]")
    assert "gpu-memory" not in measure_all.measure_all(experiment)


@pytest.mark.parametrize(
    "text, said",
    [("[]", "restore it"), ('{"best-single": {"value": "1"}}', "restore it"), ("{", "restore it")],
)
def test_kept_numbers_that_are_broken(tmp_path, text, said):
    (tmp_path / "measured.json").write_text(text)
    with pytest.raises(UserError, match=said):
        save_results.read(tmp_path / "measured.json")


def test_readme_has_the_table_that_the_command_writes(tmp_path):
    readme = (ROOT / "README.md").read_text()
    assert table.with_table(readme, save_results.read(ROOT / save_results.FILE)) == readme, "make report-table"
    copy = tmp_path / "README.md"
    copy.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n")
    done = subprocess.run([sys.executable, "-m", "report.table", str(copy)], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    text = copy.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    # No results lie beside this README, so nothing is filled in.
    assert text.count("not yet measured") == sum(number.readme for number in paper.numbers()) > 5
    copy.write_text("no marks")
    assert "for the table to stand between" in table.main([str(copy)])
    assert copy.read_text() == "no marks"
