"""Combine and submission on score files made here: their choices, output files and errors."""

from __future__ import annotations

import csv
import io
import json
import zipfile

import numpy as np
import pytest

from ensemble import combine, submission
from ensemble.rule import accuracy
from ensemble.scoring.score_file import Scores, load, save, score_path
from harness.files import whole_file

CLASSES = 200
SIZES = {"val": 37, "holdout": 29, "test": 23}


def labels_of(split: str) -> np.ndarray:
    if split == "test":
        return np.full(SIZES[split], -1)
    return np.random.default_rng(len(split)).integers(0, CLASSES, SIZES[split])


def names_of(split: str) -> np.ndarray:
    # Numbers that sort otherwise as text: test_19, test_2.
    return np.array([f"{split}/images/{split}_{(i * 5) % SIZES[split]}.JPEG" for i in range(SIZES[split])])


def made_scores(split: str, seed: int, signal: float, **changes) -> Scores:
    """Scores of a model that is right more often with a greater `signal`."""
    random = np.random.default_rng(seed)
    labels = labels_of(split)
    scores = np.maximum(0, 4 + random.standard_normal((SIZES[split], CLASSES)))
    truth = labels if split != "test" else random.integers(0, CLASSES, SIZES[split])
    scores[np.arange(SIZES[split]), truth] += signal
    scores = (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)
    values = dict(scores=scores, labels=labels, names=names_of(split), split=split, iteration=4000,
                  accuracy=accuracy(scores, labels), accuracy_top5=accuracy(scores, labels, 5),
                  snapshot=f"m{seed}_iter_4000.caffemodel", snapshot_sha256=f"{seed:064d}")  # fmt: skip
    return Scores(**{**values, **changes})


MODELS = {"nin1": (1, 2.2), "nin2": (2, 2.5), "alexnet1": (3, 0.8)}


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Score files of three models over the three splits, and labels.txt."""
    monkeypatch.chdir(tmp_path)
    for model, (seed, signal) in MODELS.items():
        for split in SIZES:
            save(score_path(tmp_path / "runs", model, split), made_scores(split, seed, signal))
    wnids = [f"n{2000000 + 3 * i:08d}" for i in range(CLASSES)]
    (tmp_path / "data" / "lmdb").mkdir(parents=True)
    (tmp_path / "data" / "lmdb" / "labels.txt").write_text("".join(f"{w} thing, other\n" for w in wnids))
    return tmp_path / "runs"


def slow_accuracy(runs, split: str, models: list[str], cut: int) -> float:
    """The rule again, image by image, from the files alone."""
    weights, scores = [], []
    for model in models:
        with np.load(score_path(runs, model, "val")) as val, np.load(score_path(runs, model, split)) as file:
            weights.append(float(val["accuracy"]))
            scores.append(file["scores"].tolist())
            labels = file["labels"].tolist()
    right = 0
    for image, label in enumerate(labels):
        total = [0.0] * CLASSES
        for rows, weight in zip(scores, weights):
            kept = sorted(rows[image], reverse=True)[cut - 1] if cut else 0.0
            for at, score in enumerate(rows[image]):
                total[at] += weight * score if score >= kept else 0.0
        right += all(total[at] < total[label] for at in range(CLASSES) if at != label)
    return right / len(labels)


@pytest.mark.parametrize("cut", [0, 2, 100])
def test_every_combination_has_its_accuracies_and_the_best_is_chosen(runs, cut, capsys):
    assert combine.main([*MODELS, "--rank-cut", str(cut)]) is None
    with open(runs / "ensemble" / "combinations.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({row["models"] for row in rows}) == len(rows) == 7
    for row in rows:
        models = row["models"].split("+")
        assert float(row["val_accuracy"]) == slow_accuracy(runs, "val", models, cut)
        assert float(row["holdout_accuracy"]) == slow_accuracy(runs, "holdout", models, cut)
        assert int(row["number_of_models"]) == len(models)
    order = [(-float(row["val_accuracy"]), int(row["number_of_models"])) for row in rows]
    assert order == sorted(order)
    best = json.loads((runs / "ensemble" / "best.json").read_text())
    assert "+".join(best["models"]) == rows[0]["models"]
    assert best["rank_cut"] == cut
    assert best["weights"] == [load(runs, model, "val").accuracy for model in best["models"]]
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed[1:8]] == [row["models"] for row in rows]
    page = (runs / "ensemble" / "ensemble.md").read_text()
    assert all(f"| {row['models']} | {float(row['val_accuracy']):.4f} |" in page for row in rows)
    assert "0.47" in page and "0.33" in page, "the report's numbers stand beside ours"


def test_the_cases_above_have_something_to_choose(runs):
    alone = [slow_accuracy(runs, "val", [model], 0) for model in MODELS]
    assert len(set(alone)) == 3 and max(alone) < slow_accuracy(runs, "val", ["nin1", "nin2"], 0)


def test_equals_are_ordered_by_fewer_models_then_by_the_order_given(runs):
    same = made_scores("val", 1, 2.2)
    for model in MODELS:
        save(score_path(runs, model, "val"), same)
        score_path(runs, model, "holdout").unlink()
    assert combine.main(["nin2", "alexnet1", "nin1"]) is None
    with open(runs / "ensemble" / "combinations.csv", newline="") as file:
        found = [row["models"] for row in csv.DictReader(file)]
    pairs = ["nin2+alexnet1", "nin2+nin1", "alexnet1+nin1"]
    assert found == ["nin2", "alexnet1", "nin1", *pairs, "nin2+alexnet1+nin1"]


def test_without_all_held_out_scores_there_is_no_held_out_column(runs, capsys):
    score_path(runs, "nin2", "holdout").unlink()
    assert combine.main(list(MODELS)) is None
    assert "HOLDOUT" in capsys.readouterr().out
    assert json.loads((runs / "ensemble" / "best.json").read_text())["holdout_accuracy"] is None


def changed(split: str, what: str) -> Scores:
    file = made_scores(split, 2, 2.5)
    if what == "order":
        file.names = file.names[::-1].copy()
    elif what == "labels":
        file.labels = (file.labels + 1) % CLASSES
    elif what == "fewer":
        file.scores, file.labels, file.names = file.scores[:-1], file.labels[:-1], file.names[:-1]
    elif what == "classes":
        file.scores = file.scores[:, :-1]
    elif what == "nan":
        file.scores[3, 7] = np.nan
    elif what == "unlabelled":
        file.labels[5], file.accuracy = -1, float("nan")
    elif what == "split":
        file.split = "test"
    elif what == "range":
        file.labels[0] = CLASSES
    elif what == "snapshot":
        file.snapshot_sha256 = "f" * 64
    return file


@pytest.mark.parametrize("split, what, said", [
    ("val", "order", "record 0 is val/images/val_"),
    ("val", "labels", "has label"),
    ("val", "fewer", "36 against 37 images"),
    ("val", "classes", "not of 200 classes"),
    ("val", "nan", "not a finite number"),
    ("val", "unlabelled", "has label -1 against"),
    ("val", "split", "holds scores of test, not val"),
    ("val", "range", "outside 0 to 199"),
    ("holdout", "order", "same records"),
    ("holdout", "snapshot", "another snapshot"),
])  # fmt: skip
def test_score_files_that_do_not_belong_together_are_refused(runs, split, what, said):
    save(score_path(runs, "nin2", split), changed(split, what))
    error = combine.main(list(MODELS))
    assert error is not None and said in error and "nin2" in error and "\n" not in error
    assert not (runs / "ensemble").exists()


def test_val_scores_without_labels_are_refused(runs):
    save(score_path(runs, "nin2", "val"), changed("val", "unlabelled"))
    assert "without a label" in combine.main(["nin2"])


def test_missing_and_broken_score_files_name_the_command(runs):
    path = score_path(runs, "alexnet1", "val")
    path.write_bytes(path.read_bytes()[:5000])
    assert "`make scores-alexnet1`" in combine.main(list(MODELS))
    path.write_bytes(b"")
    assert "not a whole score file" in combine.main(list(MODELS))
    with whole_file(path, "wb") as file:
        np.savez(file, scores=np.array([{}], dtype=object), labels=np.zeros(1))
    assert "not a whole score file" in combine.main(list(MODELS))
    path.unlink()
    assert "no val scores of alexnet1" in combine.main(list(MODELS))
    assert "named twice" in combine.main(["nin1", "nin1"])


def hostile_members(path, **changed):
    """The arrays of a score file, some of them changed, as npz members {name: bytes}."""
    with np.load(path) as stored:
        arrays = {**stored, **changed}
    members = {}
    for name, values in arrays.items():
        file = io.BytesIO()
        np.lib.format.write_array(file, np.asarray(values))
        members[f"{name}.npy"] = file.getvalue()
    return members


def write_members(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def test_score_files_made_to_harm(runs):
    path = score_path(runs, "nin2", "val")
    assert combine.main(["nin2"]) is None

    def refused(said, compression=zipfile.ZIP_STORED, more=(), **changed):
        whole = path.read_bytes()
        write_members(path, {**hostile_members(path, **changed), **dict(more)}, compression)
        error = combine.main(["nin2"])
        path.write_bytes(whole)
        assert "runs/nin2/scores/val.npz: not a whole score file" in error and said in error, error

    refused("compressed", zipfile.ZIP_DEFLATED)
    refused("its arrays are other ones", more={"more.npy": b""})
    refused("its arrays are other ones", more={"../../scores.npy": b""})
    refused("labels is float64", labels=np.zeros(37))
    refused("labels is int64, 2 axes", labels=np.zeros((37, 1), np.int64))
    refused("scores is complex64", scores=np.zeros((37, 200), np.complex64))
    refused("names is |S1", names=np.zeros(37, "S1"))
    refused("names is <U1, 0 axes", names=np.array("x"))
    refused("iteration is <U3", iteration=np.array("one"))
    refused("accuracy is float64, 1 axes", accuracy=np.zeros(3))
    # A header that says more numbers than there are, or is no header.
    header = b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999, 200), }"
    refused("", more={"scores.npy": header.ljust(127) + b"\n"})
    refused("", more={"scores.npy": b"\x93NUMPY\x01\x00\x08\x00((((((((" + bytes(99)})
    pickled = io.BytesIO()
    np.lib.format.write_array(pickled, np.array([{}], dtype=object), allow_pickle=True)
    refused("allow_pickle=False", more={"scores.npy": pickled.getvalue()})
    assert combine.main(["nin2"]) is None


def read_submission(path):
    pairs = [line.split(" ") for line in path.read_text().splitlines()]
    assert all(len(pair) == 2 for pair in pairs)
    return pairs


def test_submission_follows_the_best_combination_in_numeric_order(runs, capsys):
    assert combine.main(list(MODELS)) is None
    best = json.loads((runs / "ensemble" / "best.json").read_text())
    assert len(best["models"]) > 1
    assert submission.main([]) is None
    pairs = read_submission(runs / "ensemble" / "submission.txt")
    assert [name for name, _ in pairs] == [f"test_{i}.JPEG" for i in range(SIZES["test"])]
    wnids = [line.split()[0] for line in (runs.parent / "data/lmdb/labels.txt").read_text().splitlines()]
    files = [load(runs, model, "test") for model in best["models"]]
    counts = [0] * CLASSES
    for i, name in enumerate(files[0].names):
        number = int(name.split("_")[-1].split(".")[0])
        total = [0.0] * CLASSES
        for file, weight in zip(files, best["weights"]):
            kept = sorted(file.scores[i].tolist())[-best["rank_cut"]]
            for at, score in enumerate(file.scores[i].tolist()):
                total[at] += weight * score if score >= kept else 0.0
        winner = max(range(CLASSES), key=lambda at: total[at])
        counts[winner] += 1
        assert pairs[number][1] == wnids[winner]
    deviation = sum(abs(count - 23 / 200) for count in counts)
    out = capsys.readouterr().out
    assert f"|count - 0.115| = {deviation:g}" in out
    assert "The judge wants all 10000" in out


def test_submission_of_one_model(runs):
    assert submission.main(["--models", "nin1", "--rank-cut", "0"]) is None
    file = load(runs, "nin1", "test")
    wnids = [line.split()[0] for line in (runs.parent / "data/lmdb/labels.txt").read_text().splitlines()]
    pairs = dict(read_submission(runs / "ensemble" / "submission-nin1.txt"))
    assert pairs == {name.split("/")[-1]: wnids[row.argmax()] for name, row in zip(file.names, file.scores)}


def test_submission_refuses_what_does_not_fit(runs):
    assert "`make ensemble`" in submission.main([])
    assert combine.main(["nin2"]) is None
    best = runs / "ensemble" / "best.json"
    whole = best.read_text()
    two_models = whole.replace('"models": [\n    "nin2"', '"models": ["nin2", "nin1"')
    assert two_models != whole
    other = json.loads(whole)
    of_another_kind = [
        json.dumps({**other, **change})
        for change in (
            {"models": "nin2"}, {"models": [["nin2"]]}, {"models": ["../nin2"]}, {"models": [""]}, {"weights": ["1"]},
            {"weights": [float("nan")]}, {"weights": [float("inf")]}, {"weights": [1e300]}, {"rank_cut": -1},
            {"rank_cut": "100"}, {"rank_cut": 1.5}, {"rank_cut": None}, {"snapshot_sha256": [7]}, {"snapshot_sha256": None},
        )
    ]  # fmt: skip
    for cut in (whole[:40], "{}", "[]", "null", "[" * 100_000, "9" * 5000, two_models, *of_another_kind):
        best.write_text(cut)
        assert "best.json: not what `make ensemble` writes" in submission.main([]), cut[:99]
    best.write_bytes(b"\xff\xfe{}")
    assert "best.json: not a text file" in submission.main([])
    best.write_text(whole)
    save(score_path(runs, "nin2", "test"), changed("test", "snapshot"))
    assert "another snapshot" in submission.main([])
    file = made_scores("test", 2, 2.5)
    file.names[4] = file.names[3]
    save(score_path(runs, "nin2", "test"), file)
    assert "appears twice" in submission.main([])
    file.names[4] = "test/images/other.JPEG"
    save(score_path(runs, "nin2", "test"), file)
    assert "test_<number>.JPEG" in submission.main([])
    score_path(runs, "nin2", "test").unlink()
    assert "`make scores-nin2`" in submission.main([])
    assert not (runs / "ensemble" / "submission.txt").exists()


@pytest.mark.parametrize("spoil, said", [
    (lambda lines: lines[:-1], "199 entries"),
    (lambda lines: [*lines[:-1], lines[0]], "199 different"),
    (lambda lines: [*lines[:-1], "goldfish"], "labels.txt:200: 'goldfish' is not a wnid"),
])  # fmt: skip
def test_labels_file_has_200_different_wnids(runs, spoil, said):
    path = runs.parent / "data" / "lmdb" / "labels.txt"
    path.write_text("\n".join(spoil(path.read_text().splitlines())) + "\n")
    assert said in submission.main(["--models", "nin1"])
    path.unlink()
    assert "`make lmdb`" in submission.main(["--models", "nin1"])


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with whole_file(path) as file:
        file.write("old")
    with pytest.raises(RuntimeError), whole_file(path) as file:
        file.write("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [one.name for one in path.parent.iterdir()] == ["file.txt"]
