"""make methods, and the submissions that follow a method or are balanced: their files, messages and errors."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from ensemble import comparison_file, comparison_words, rule, submission
from ensemble.comparison import Difference, Row, _adjusted
from ensemble.comparison_words import verdict
from ensemble.crossfit import cross_fitted, folds
from ensemble.methods import METHODS
from ensemble.methods.__main__ import main
from ensemble.scoring.score_file import load, save, score_path
from tests.report import small_report

ROOT = Path(__file__).parents[2]
SIZES = {"val": 600, "holdout": 400, "test": 500}
MODELS = {"nin1": 0.5, "nin2": 0.55, "alexnet1": 0.2}


def write(runs: Path, **levels: float) -> None:
    labels = {split: np.arange(count) * 7 % 200 for split, count in SIZES.items()}
    for seed, (name, level) in enumerate(levels.items(), 1):
        small_report.write_scores(runs, name, labels, level, seed)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The command's output and files, made once."""
    folder = tmp_path_factory.mktemp("methods")
    write(folder / "runs", **MODELS)
    command = [sys.executable, "-m", "ensemble.methods", *MODELS, "--folds", "3"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"})  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return folder, done.stdout


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "runs", **MODELS)
    (tmp_path / "data" / "lmdb").mkdir(parents=True)
    wnids = "".join(f"n{2000000 + 3 * at:08d} thing\n" for at in range(200))
    (tmp_path / "data" / "lmdb" / "labels.txt").write_text(wnids)
    return tmp_path / "runs"


def test_every_row_is_what_a_calculation_by_hand_gives(made):
    folder, _ = made
    found = json.loads((folder / "runs/ensemble/methods.json").read_text())
    files = {split: [load(folder / "runs", model, split) for model in MODELS] for split in ("val", "holdout")}
    labels = files["val"][0].labels
    best = max(range(3), key=lambda at: files["val"][at].accuracy)
    assert found["single"] == list(MODELS)[best] == found["rows"][0]["name"]
    assert [row["name"] for row in found["rows"][1:]] == list(METHODS)
    assert found["folds"] == 3 and found["thin_classes"] == 0 and found["models"] == list(MODELS)
    single = rule.hits(files["val"][best].scores, labels)
    for row in found["rows"][1:]:
        method, scores = METHODS[row["name"]], [file.scores for file in files["val"]]
        right = rule.hits(cross_fitted(method.fit, scores, labels, folds(labels, 3)), labels)
        assert row["val"] == right.mean() and row["low"] < row["val"] < row["high"]
        held = method.fit(scores, labels)([file.scores for file in files["holdout"]])
        assert row["holdout"] == rule.accuracy(held, files["holdout"][0].labels)
        over = row["over_single"]
        assert (over["only_this"], over["only_other"]) == ((right & ~single).sum(), (single & ~right).sum())
        assert (
            over["gain"] == pytest.approx(right.mean() - single.mean()) and over["low"] <= over["gain"] <= over["high"]
        )
        assert over["p"] <= over["adjusted"] <= 1
    report = next(row for row in found["rows"] if row["name"] == "report")
    assert report["over_report"] is None and found["rows"][0]["over_single"] is None


def test_the_table_the_page_and_the_csv_say_the_same(made):
    folder, printed = made
    found = json.loads((folder / "runs/ensemble/methods.json").read_text())
    page = (folder / "runs/ensemble/methods.md").read_text()
    with open(folder / "runs/ensemble/methods.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * len(METHODS)
    for row in found["rows"]:
        assert f"{row['val']:.4f}" in printed and f"| {row['name']} | {row['val']:.4f} |" in page
        assert {float(one["val_accuracy"]) for one in rows if one["method"] == row["name"]} == {row["val"]}
    for said in ("transductive", "off unless BALANCE=1", "Holm's correction over the 14 tests", "10000 resamples"):
        assert said in printed
    assert "transductive" in page and "held-out images are scored by the fit on all of val" in page
    for row in found["balanced"]:
        assert row["deviation_after"] < row["deviation"] / 2 and row["strength"] in (0.25, 0.5, 0.75, 1)


def test_words_follow_the_tests():
    def difference(gain: float, p: float) -> Difference:
        return Difference(gain, gain - 0.01, gain + 0.01, 5, 3, p, p)

    assert verdict(difference(0.02, 0.049)) == "helped, beyond noise"
    assert verdict(difference(-0.02, 0.001)) == "hurt, beyond noise"
    assert verdict(difference(0.02, 0.05)) == "not beyond noise"


def test_the_correction_is_over_all_tests_of_a_table():
    def difference(p: float) -> Difference:
        return Difference(0.0, 0.0, 0.0, 0, 0, p, p)

    rows = [Row("a", "", 0, 0, 0, None, None, difference(0.01)),
            Row("b", "", 0, 0, 0, None, difference(0.02), difference(0.5))]  # fmt: skip
    found = _adjusted(rows, ("over_single", "over_report"))
    assert found[0].over_single is None and found[0].over_report.adjusted == pytest.approx(0.03)
    assert found[1].over_single.adjusted == pytest.approx(0.04) and found[1].over_report.adjusted == 0.5


@pytest.mark.parametrize("arguments, said", [
    (["nin1"], "an ensemble needs two models"),
    (["nin1", "nin1"], "named twice"),
    (["nin1", "nin9"], "no val scores of nin9"),
    (["nin1", "nin2", "--folds", "1"], "at least 2"),
    (["nin1", "nin2", "--folds", "601"], "600 labelled images are too few for 601 folds"),
    (["nin1", "nin2", "--seed", "-1"], "a seed is 0 or more"),
])  # fmt: skip
def test_what_cannot_be_compared_is_one_line(runs, arguments, said):
    error = main(arguments)
    assert said in error and error.startswith("ensemble.methods: ") and "\n" not in error
    assert not (runs / "ensemble").exists()


def test_labels_that_are_missing_and_other_records_are_refused(runs):
    file = load(runs, "nin2", "val")
    file.names = file.names[::-1].copy()
    save(score_path(runs, "nin2", "val"), file)
    assert "not of the same records" in main(["nin1", "nin2"])
    for model in MODELS:
        file = load(runs, model, "val")
        file.labels[3], file.accuracy = -1, float("nan")
        save(score_path(runs, model, "val"), file)
    assert "without a label" in main(["nin1", "alexnet1"])


@pytest.mark.parametrize("package", ["scipy", "sklearn"])
def test_a_missing_package_is_named(runs, package):
    program = f"import sys; sys.modules[{package!r}] = None; from ensemble.methods.__main__ import main; " + (
        "sys.exit(main(['nin1', 'nin2', '--folds', '2']))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT)})  # fmt: skip
    assert done.returncode == 1 and f"{package} is missing" in done.stderr and "make setup" in done.stderr
    assert done.stderr.count("\n") == 1


def labels_of(path: Path) -> list[int]:
    return [(int(line.split()[1][1:]) - 2000000) // 3 for line in path.read_text().splitlines()]


def test_a_submission_by_a_method_is_the_fit_on_all_of_val(runs, capsys):
    assert submission.main(["--method", "stacking", "--models", *MODELS]) is None
    val = [load(runs, model, "val") for model in MODELS]
    test = [load(runs, model, "test") for model in MODELS]
    merged = METHODS["stacking"].fit([one.scores for one in val], val[0].labels)([one.scores for one in test])
    assert labels_of(runs / "ensemble/submission-nin1-nin2-alexnet1-stacking.txt") == merged.argmax(axis=1).tolist()
    printed = capsys.readouterr().out
    assert "by stacking on 500 test images" in printed and "transductive" not in printed


def test_without_names_a_method_merges_what_was_compared(made, runs):
    assert "make methods" in submission.main(["--method", "average"])
    (runs / "ensemble").mkdir()
    whole = (made[0] / "runs/ensemble/methods.json").read_text()
    stored = json.loads(whole)
    broken = ["[]", "{", "{}", whole.replace('"nin2"', '"../nin2"'), whole.replace('"low"', '"high"'),
              json.dumps({**stored, "rows": []}),
              json.dumps({**stored, "balanced": [{}]}), json.dumps({**stored, "more": 1})]  # fmt: skip
    for text in broken:
        (runs / "ensemble/methods.json").write_text(text)
        assert "not what `make methods` writes" in submission.main(["--method", "average"])
    (runs / "ensemble/methods.json").write_text(whole)
    assert submission.main(["--method", "average"]) is None
    total = sum(load(runs, model, "test").scores.astype(np.float64) for model in MODELS)
    assert labels_of(runs / "ensemble/submission-average.txt") == total.argmax(axis=1).tolist()


@pytest.mark.parametrize("view, command", [
    ("center", "make methods"), ("dense:2", "make methods VIEW=dense:2"), ("dense", "make methods VIEW=dense:4")
])  # fmt: skip
def test_what_is_not_compared_in_a_view_names_the_view(runs, view, command):
    error = submission.main(["--method", "average", "--view", view])
    assert error.endswith(f"methods.json: no methods were compared yet: {command}")
    path = Path(error.split(": ")[1])
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    assert submission.main(["--method", "average", "--view", view]).endswith(f"; `{command}` writes it anew")


def test_what_is_read_is_what_was_written(made):
    path = made[0] / "runs/ensemble/methods.json"
    found, about = comparison_file.read(path)
    assert {**about, **asdict(found)} == json.loads(path.read_text()) and about["seconds"] > 0
    assert comparison_words.page(found) == path.with_suffix(".md").read_text()


def test_balanced_labels_are_asked_for_marked_and_even(runs, capsys):
    assert submission.main(["--models", "nin1"]) is None and "transductive" not in capsys.readouterr().out
    plain = labels_of(runs / "ensemble/submission-nin1.txt")
    assert plain == load(runs, "nin1", "test").scores.argmax(axis=1).tolist()
    assert submission.main(["--models", "nin1", "--balance", "1"]) is None
    assert "transductive" in capsys.readouterr().out
    counts = np.bincount(labels_of(runs / "ensemble/submission-nin1-balanced.txt"), minlength=200)
    assert np.abs(counts - 2.5).sum() < np.abs(np.bincount(plain, minlength=200) - 2.5).sum() * 0.6


@pytest.mark.parametrize("arguments, said", [
    (["--method", "nonsense"], "not one of report, average"),
    (["--method", "average", "--rank-cut", "3"], "of the report's rule"),
    (["--method", "average", "--models", "nin1", "nin9"], "no val scores of nin9"),
])  # fmt: skip
def test_submissions_that_cannot_be_made(runs, arguments, said):
    assert said in submission.main(arguments)
    assert not (runs / "ensemble").exists()


@pytest.mark.parametrize("balance", ["2", "-1", "x", "nan"])
def test_a_strength_is_from_0_to_1(runs, balance, capsys):
    with pytest.raises(SystemExit):
        submission.main(["--balance", balance])
    assert "strength" in capsys.readouterr().err


def test_a_method_of_other_snapshots_is_refused(runs):
    file = load(runs, "nin2", "test")
    file.snapshot_sha256 = "f" * 64
    save(score_path(runs, "nin2", "test"), file)
    assert "another snapshot" in submission.main(["--method", "average", "--models", "nin1", "nin2"])
