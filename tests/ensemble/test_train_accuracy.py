"""Accuracy on train images, a line a snapshot."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest

from ensemble.scoring import train_accuracy
from ensemble.scoring.records import Split
from harness.errors import UserError
from tests.ensemble import small_ensemble

LIMIT = 13


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The small experiment, val's records as its train set; expected are the scores (N, 200) of both models."""
    expected = small_ensemble.make(tmp_path)
    shutil.copytree(tmp_path / "data/lmdb/val_lmdb", tmp_path / "data/lmdb/train_lmdb")
    monkeypatch.chdir(tmp_path)
    return expected


def right_share(prob: np.ndarray, top: int) -> float:
    with Split(Path("data/lmdb/train_lmdb")) as split:
        labels = next(split.batches(100, small_ensemble.SHAPE)).labels[: len(prob)]
    better = [sum(other >= row[label] for other in row) - 1 for row, label in zip(prob.tolist(), labels)]
    return sum(count < top for count in better) / len(better)


def rows() -> list[dict]:
    with Path("runs/one/train_accuracy.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_snapshot_once_over_the_first_records(place, capsys):
    weights = small_ensemble.make_weights(12)  # those of the model "two"
    small_ensemble.write_snapshot(Path("runs/one/one_iter_100.caffemodel"), "one", weights)
    assert train_accuracy.main(["one", "--limit", str(LIMIT), "--batch", "5"]) is None
    found = rows()
    assert [(row["iteration"], row["images"]) for row in found] == [("20", "13"), ("100", "13")]
    for row, model in zip(found, ("one", "two")):
        prob = place[model]["val"][:LIMIT]
        assert float(row["accuracy"]) == pytest.approx(right_share(prob, 1))
        assert float(row["accuracy_top5"]) == pytest.approx(right_share(prob, 5))
    assert found[0]["accuracy"] != found[1]["accuracy"]

    # Again: nothing to do, and the line of a snapshot that is gone stays.
    Path("runs/one/one_iter_20.caffemodel").unlink()
    capsys.readouterr()
    assert train_accuracy.main(["one", "--limit", str(LIMIT)]) is None
    assert capsys.readouterr().out == "-> runs/one/train_accuracy.csv\n" and rows() == found
    # More images: that snapshot's line is replaced.
    assert train_accuracy.main(["one"]) is None
    assert [(row["iteration"], row["images"]) for row in rows()] == [("20", "13"), ("100", "21")]
    assert [row.images for row in train_accuracy.read(Path("runs/one"))] == [13, 21]


def test_a_diverged_snapshot_has_none(place, capsys):
    """No NaN score is higher than the right class's, so the snapshot would seem right on every image."""
    weights = {name: [values * np.nan for values in of] for name, of in small_ensemble.make_weights(12).items()}
    small_ensemble.write_snapshot(Path("runs/one/one_iter_100.caffemodel"), "one", weights)
    assert train_accuracy.main(["one", "--limit", str(LIMIT)]) is None
    assert [row["iteration"] for row in rows()] == ["20"]
    assert "left out runs/one/one_iter_100.caffemodel: the training diverged" in capsys.readouterr().out


def test_errors_are_one_line(place):
    assert "no snapshot" in train_accuracy.main(["three"])
    assert "1 or more" in train_accuracy.main(["one", "--limit", "0"])
    Path("runs/one/train_accuracy.csv").write_text("iteration,accuracy\n1,high\n")
    assert "remove it" in train_accuracy.main(["one"])
    with pytest.raises(UserError, match="remove it"):
        train_accuracy.read(Path("runs/one"))
    assert train_accuracy.read(Path("runs/two")) == []


def test_images_by_name(place):
    with Split(Path("data/lmdb/test_lmdb")) as split:
        batch = next(split.batches(100, small_ensemble.SHAPE))
        chosen = [batch.names[4], batch.names[11], "test/images/none.JPEG"]
        found = split.named(chosen, small_ensemble.SHAPE)
    assert found.keys() == set(chosen[:2])
    for at in (4, 11):
        np.testing.assert_array_equal(found[batch.names[at]], batch.images[at])
