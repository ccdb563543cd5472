"""KEEP=n: the snapshots that stay; none is removed before a newer one is whole."""

import os
from pathlib import Path

import pytest

from tests.training.test_run import break_model, write_snapshot
from training.curves import Curves
from training.keep import Keep

PREFIX = "runs/tiny/tiny"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Path("runs/tiny")


def there(folder: Path) -> list[int]:
    """The iterations of the pairs in a folder, in which nothing else may be."""
    found = sorted(int(path.stem.rpartition("_")[2]) for path in folder.glob("*.solverstate"))
    assert len(list(folder.iterdir())) == 2 * len(found)
    return found


def curves(**tests: dict[int, float]) -> Curves:
    made = Curves(2024)
    made.add("I0102 03:04:05.678901 123 caffe.cpp:1] Use CPU.")
    for output, values in tests.items():
        for iteration, value in values.items():
            made.add(f"I0102 03:04:05.678901 123 solver.cpp:1] Iteration {iteration}, Testing net (#0)")
            made.add(f"I0102 03:04:05.678901 123 solver.cpp:1]     Test net output #0: {output} = {value}")
    return made


def keep(count: int, of: Curves | None = None) -> Keep:
    return Keep(PREFIX, count, of or curves(), pytest.fail)


@pytest.mark.parametrize(
    ("count", "tests", "stay"),
    [
        (1, {}, [9]),
        (3, {}, [4, 6, 9]),
        (9, {}, [1, 2, 4, 6, 9]),
        (2, {"accuracy": {1: 0.1, 2: 0.4, 4: 0.3, 5: 0.9, 6: 0.2}}, [2, 6, 9]),
        (2, {"accuracy": {1: 0.4, 2: 0.4, 4: 0.3}}, [2, 6, 9]),
        (2, {"accuracy": {1: "nan", 2: 0.1, 6: 0.3}}, [6, 9]),
        (2, {"accuracy": {2: 0.1, 6: 0.3, 9: 1}, "loss": {9: "nan"}}, [6, 9]),
        (1, {"loss": {1: 5.3, 2: 4.9, 4: 5.1}}, [2, 9]),
        (1, {"accuracy": {1: 0.3}, "loss": {2: 1.5}}, [1, 9]),
    ],
)
def test_the_last_and_the_best_stay(folder, count, tests, stay):
    for iteration in (1, 2, 4, 6, 9):
        write_snapshot(iteration)
    keep(count, curves(**tests)).prune()
    assert there(folder) == stay


def test_of_a_training_that_diverged_the_last_one_before_stays(folder):
    for iteration in (1, 2, 4, 6, 9):
        write_snapshot(iteration)
    made = curves(accuracy={1: 0.4, 2: 0.3})
    for iteration, loss in {3: 5.1, 5: 4.9, 7: "nan", 8: "87.3365"}.items():
        made.add(f"I0102 03:04:05.678901 123 solver.cpp:1] Iteration {iteration}, loss = {loss}")
    keep(1, made).prune()
    assert there(folder) == [1, 4, 9]


@pytest.mark.parametrize("breakage", ["model cut", "state cut", "no state", "no model"])
def test_nothing_goes_for_a_newer_one_that_is_not_whole(folder, breakage):
    write_snapshot(3)
    break_model(12, breakage)
    before = set(folder.iterdir())
    keep(1).prune()
    assert set(folder.iterdir()) == before


def test_one_that_is_not_whole_does_not_count(folder):
    for iteration in (3, 5, 9):
        write_snapshot(iteration)
    break_model(7, "model cut")
    break_model(4, "model cut")
    # 4 has the best accuracy, but it is not whole.
    keep(2, curves(accuracy={3: 0.5, 4: 0.8, 5: 0.2})).prune()
    assert there(folder) == [3, 5, 9]


def test_the_last_whole_one_stays_whatever_comes(folder):
    break_model(12, "model cut")
    before = set(folder.iterdir())
    keep(1).prune()
    assert set(folder.iterdir()) == before


def test_a_snapshot_is_judged_when_it_no_longer_changes(folder):
    keeper = keep(1)
    write_snapshot(3)
    model, state = write_snapshot(5)
    whole = model.read_bytes()
    for size in (4, 9):
        model.write_bytes(whole[:size])
        keeper.tick()
    assert there(folder) == [3, 5]
    model.write_bytes(whole)
    keeper.tick()
    assert there(folder) == [3, 5]
    keeper.tick()
    assert there(folder) == [5]
    os.utime(state)
    write_snapshot(6)
    keeper.tick()
    keeper.tick()
    assert there(folder) == [6]


def test_what_cannot_be_removed_is_said_once(folder, monkeypatch):
    for iteration in (3, 5):
        write_snapshot(iteration)

    def refuse(self, missing_ok=False):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "unlink", refuse)
    said = []
    keeper = Keep(PREFIX, 1, curves(), said.append)
    keeper.prune()
    keeper.prune()
    assert said == ["training.run: cannot remove runs/tiny/tiny_iter_3.solverstate: Permission denied"]
    assert there(folder) == [3, 5]


@pytest.mark.parametrize(("count", "found", "more"), [(2, 0, 4), (2, 3, 1), (2, 9, 1), (1, 1, 2)])
def test_how_many_there_will_be_at_once(folder, count, found, more):
    for iteration in range(found):
        write_snapshot(iteration)
    assert keep(count).most_to_come() == more
