"""Scores of records that data/lmdb no longer holds are hidden, and a message names the command for new ones."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from ensemble import combine, submission
from ensemble.methods.__main__ import main as compare
from ensemble.scoring import score_data, train_accuracy, view_gain
from ensemble.scoring.score_file import Scores, is_made, load, save, score_path
from harness.errors import UserError
from report import Missing
from report.experiment import open_experiment
from report.sections import methods
from report.sections import submission as judge
from reproduce import steps

SIZES = {"train": 6, "val": 430, "test": 17, "holdout": 200}
MODELS = ["nin1", "nin2"]
RUNS, DATA = Path("runs"), Path("data/lmdb")


def build(**digests: str) -> None:
    """LMDBs by their build.json; those whose digest is "" are not there."""
    shutil.rmtree(DATA, ignore_errors=True)
    digests = {split: f"{split} a" for split in SIZES} | digests
    for split in filter(digests.get, digests):
        (DATA / f"{split}_lmdb").mkdir(parents=True)
        (DATA / f"{split}_lmdb/data.mdb").touch()
    there = {split: digest for split, digest in digests.items() if digest}
    note = {"records": {split: SIZES[split] for split in there}, "source": "set.zip", "seed": 0,
            "lists_sha256": {split: digest.split()[0] for split, digest in there.items()},
            "pixels_sha256": {split: digest.split()[1] for split, digest in there.items()}}  # fmt: skip
    (DATA / "build.json").write_text(json.dumps(note))
    (DATA / "labels.txt").write_text("".join(f"n{1000000 + label:08d} thing\n" for label in range(200)))


def score(split: str, model: str, view: str = "center") -> None:
    random = np.random.default_rng(len(split) + MODELS.index(model))
    labels = np.full(SIZES[split], -1) if split == "test" else np.arange(SIZES[split]) % 200
    names = np.array([f"{split}/images/{split}_{number}.JPEG" for number in range(SIZES[split])])
    prob = random.dirichlet(np.ones(200), SIZES[split]).astype(np.float32)
    prob[np.arange(SIZES[split]) % 3 > 0, labels[np.arange(SIZES[split]) % 3 > 0]] += 1
    tops = (float("nan"),) * 2 if split == "test" else (0.6, 0.7)
    snapshot = (f"runs/{model}/{model}_iter_20.caffemodel", f"{model}digest")
    of = score_data.identity(DATA, split)
    save(
        score_path(RUNS, model, split, view),
        Scores(prob, labels, names, split, 20, *tops, *snapshot, view=view, data=of),
    )


@pytest.fixture
def made(tmp_path, monkeypatch) -> None:
    """Two models with scores, combined, compared and submitted."""
    monkeypatch.chdir(tmp_path)
    build()
    for model in MODELS:
        for split in ("val", "test", "holdout"):
            score(split, model)
        score("val", model, "10crop")
        score("holdout", model, "10crop")
    assert combine.main(MODELS) is None and compare([*MODELS, "--folds", "2"]) is None and submission.main([]) is None
    assert json.loads(Path("runs/ensemble/best.json").read_text())["holdout_accuracy"] is not None


GONE = {
    "removed": {"holdout": ""},
    "other names": {"holdout": "other a"},
    "other pixels": {"holdout": "holdout b"},
}


@pytest.mark.parametrize("how", GONE)
def test_held_out_scores_that_are_gone_are_left_out_and_named(made, capsys, how):
    build(**GONE[how])
    again = (
        "`make lmdb HOLDOUT=1 REPLACE=1` makes it, then `make scores-nin" if how == "removed" else "`make scores-nin"
    )
    assert combine.main(MODELS) is None
    out, err = capsys.readouterr()
    for number, model in enumerate(MODELS, 1):
        assert (
            f"runs/{model}/scores/holdout.npz: left out, data/lmdb/holdout_lmdb " in err and f"{again}{number}`" in err
        )
    assert "No held-out accuracy" in out
    assert json.loads(Path("runs/ensemble/best.json").read_text())["holdout_accuracy"] is None
    assert compare([*MODELS, "--folds", "2"]) is None
    assert "holdout.npz: left out" in capsys.readouterr().err
    assert view_gain.main(["nin1", "10crop", "--out", "views.json"]) is None
    assert "holdout.npz: left out" in capsys.readouterr().err
    assert {row["split"] for row in json.loads(Path("views.json").read_text())["rows"]} == {"val"}
    page = open_experiment(RUNS, DATA)
    assert page.scores("nin1", "holdout") is None and page.scores("nin1", "val") and page.ensembles.holdout is None
    assert sum("holdout.npz: left out" in line for line in page.problems) == 2
    assert score_path(RUNS, "nin1", "holdout").is_file(), "nothing is lost"
    build()
    assert load(RUNS, "nin1", "holdout", data=DATA).accuracy == 0.6


@pytest.mark.parametrize("digest", ["", "other a", "val b"])
def test_val_scores_that_are_gone_choose_nothing(made, digest):
    build(val=digest)
    for command, words in ((combine.main, MODELS), (compare, MODELS), (submission.main, ["--models", "nin1"]),
                           (view_gain.main, ["nin1", "10crop"])):  # fmt: skip
        error = command(words)
        assert "left out, data/lmdb/val_lmdb" in error and "`make scores-nin1" in error
    assert "best.json: left out, data/lmdb does not hold its val records any more; `make ensemble`" in submission.main(
        []
    )
    assert "methods.json: left out" in submission.main(["--method", "average"])
    page = open_experiment(RUNS, DATA)
    assert page.ensembles is None and page.scores("nin1", "val") is None and page.problems
    with pytest.raises(
        UserError, match="methods.json: left out, data/lmdb does not hold its val records any more; `make methods`"
    ):
        methods.build(page)
    with pytest.raises(Missing, match="submission.txt: left out"):
        judge.build(page)
    with pytest.raises(Missing, match="val.npz: left out, data/lmdb/val_lmdb .*`make scores-nin1`"):
        page.predictions  # noqa: B018


@pytest.mark.parametrize("digest", ["", "other a", "test b"])
def test_test_scores_that_are_gone_are_not_submitted(made, digest):
    build(test=digest)
    assert "left out, data/lmdb/test_lmdb" in submission.main([])
    page = open_experiment(RUNS, DATA)
    assert page.ensembles.test is None and any("test.npz: left out" in line for line in page.problems)
    with pytest.raises(Missing, match="submission.txt: left out"):
        judge.build(page)


def test_scores_of_the_same_records_stay_and_those_without_data_too(made):
    build(train="other a")  # another seed: val, test and the held-out images are the same
    assert combine.main(MODELS) is None and submission.main([]) is None
    shutil.rmtree(DATA)
    assert combine.main(MODELS) is None, "nothing is there that they could be mistaken for"


def test_measurements_of_records_that_are_gone_are_not_shown(made):
    about = {"iteration": 20, "command": "x", "commit": "a", "machine": "m", "time": "t", "model": "nin1"}
    page = open_experiment(RUNS, DATA)
    for kind in ("gap", "views"):
        one = {**about, "records": {"val": "val a", "holdout": "holdout a"}}
        assert page.current(kind, [one]) == [one] and not page.problems
    build(holdout="")
    assert page.current("gap", [one]) == []
    assert page.problems == [
        "gap_nin1.json: left out, data/lmdb does not hold its holdout records any more; `make gap-nin1` makes it anew"
    ]
    assert page.current("gap", [{**one, "whence": "kept in results/gap_nin1.json"}, about]), "kept, or of before"


def test_a_score_file_of_other_records_is_made_again(made):
    path = score_path(RUNS, "nin1", "val")
    of = ("nin1digest", "", "fp32", [], "center")
    assert is_made(path, *of, "val a") and is_made(path, *of, "val") and not is_made(path, *of, "val b")


def test_a_reproduction_scores_anew_what_is_gone(made):
    assert steps._scored("nin1", "holdout", DATA) == "nin1digest"
    build(holdout="other a")
    assert steps._scored("nin1", "holdout", DATA) is None and steps._scored("nin1", "val", DATA) == "nin1digest"


def test_accuracy_on_train_images_that_are_gone_is_not_shown(made):
    rows = [train_accuracy.Row(20, 0.5, 0.6, 6, "digest", records) for records in ("train a", "", "other a")]
    kept = [row for row in rows if score_data.same(row.records, score_data.identity(DATA, "train"))]
    assert [row.records for row in kept] == ["train a", ""]
    train_accuracy.write(RUNS / "nin1", rows[:1])
    assert train_accuracy.read(RUNS / "nin1") == rows[:1]
