"""Notes that the experiment writes about itself: logs, tables and choices, read by later steps."""

import json
from collections.abc import Callable
from pathlib import Path

from harness.errors import UserError
from training import curves, journal

from .artifact import Artifact, Found
from .net_files import SOLVER

LOG = """I1123 16:02:29.668105 20033 caffe.cpp:197] Use CPU.
I1123 16:02:29.968105 20033 solver.cpp:45] Initializing solver from parameters:
base_lr: 0.01
lr_policy: "fixed"
I1123 16:02:30.068105 20033 solver.cpp:279] Solving small
I1123 16:02:30.168105 20033 solver.cpp:337] Iteration 0, Testing net (#0)
I1123 16:02:30.268105 20033 solver.cpp:404]     Test net output #0: accuracy = 0.005
I1123 16:02:30.368105 20033 solver.cpp:228] Iteration 0 (0 iter/s, 0.1s/20 iters), loss = 5.3
I1123 16:02:30.368205 20033 solver.cpp:244]     Train net output #0: loss = 5.3 (* 1 = 5.3 loss)
I1123 16:02:30.368305 20033 sgd_solver.cpp:106] Iteration 0, lr = 0.01
I1123 16:02:33.368105 20033 solver.cpp:228] Iteration 20 (6.66667 iter/s, 3s/20 iters), loss = 4.9
I1123 16:02:33.368305 20033 sgd_solver.cpp:106] Iteration 20, lr = 0.01
I1123 16:02:34.368105 20033 solver.cpp:454] Snapshotting to binary proto file runs/small/small_iter_20.caffemodel
"""
ACCURACY = f"iteration,accuracy,accuracy_top5,images,snapshot_sha256\n10,0.25,0.5,100,{'ab' * 32}\n20,0.375,0.5,100,{'cd' * 32}\n"
COMBINATIONS = "models,number_of_models,rank_cut,val_accuracy,holdout_accuracy\none+two,2,100,0.5,\none,1,100,0.25,\n"
BUILD = {"source": "tiny.zip", "records": {"train": 8, "val": 4, "test": 2}, "seed": 0, "lists_sha256": {"train": "ab"}}


def _text(name: str, text: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return make


def _make_journal(folder: Path) -> Path:
    told = {"command": ["caffe", "train"], "engine": "caffe 1.0", "solver_file": "solvers/small.prototxt"}
    journal.add(folder, event="start", iteration=0, solver=SOLVER, **told)
    journal.add(folder, event="end", iteration=20, status=0)
    journal.add(folder, event="start", iteration=20, solver=SOLVER.replace("0.01", "0.001"), **told)
    return folder / journal.FILE


def _read_journal(path: Path) -> Found:
    return None, journal.told(journal.read(path.parent))


def _read_log(path: Path) -> Found:
    seen = curves.read(path.parent)
    return None, (seen.runs, seen.displayed, seen.series("accuracy"), seen.rate_changes, seen.best(), seen.iteration)


def _read_accuracy(path: Path) -> Found:
    from ensemble.scoring.train_accuracy import read

    return None, [repr(row) for row in read(path.parent)]


def _make_best(folder: Path) -> Path:
    best = {"models": ["one", "two"], "weights": [0.25, 0.375], "rank_cut": 100, "val_accuracy": 0.5,
            "holdout_accuracy": None, "snapshot_sha256": ["ab" * 32, "cd" * 32]}  # fmt: skip
    return _text("runs/ensemble/best.json", json.dumps(best, indent=2))(folder)


def _read_best(path: Path) -> Found:
    from ensemble.submission import read_best

    best = read_best(path.parents[1])
    return [type(best[key]) for key in ("models", "weights", "rank_cut", "snapshot_sha256")], best


def _read_combinations(path: Path) -> Found:
    from report.combinations import _models

    return None, _models(path)


class _Problem(Exception):
    """The reason that the report's page gives for leaving out a file."""


def _read_build(path: Path) -> Found:
    from report.experiment import Experiment

    found = Experiment(path.parent, path.parent)
    build = found.build
    if found.problems:
        raise _Problem(found.problems[0])
    return None, build


def _read_kept(path: Path) -> Found:
    from report.save_results import read

    return None, read(path)


def _make_kept(folder: Path) -> Path:
    source = Path(__file__).parents[2] / "results" / "measured.json"
    return _text("measured.json", source.read_text())(folder)


NOTE_FILES = {
    "journal.jsonl": Artifact(_make_journal, _read_journal, (UserError,)),
    "train.log": Artifact(_text("train.log", LOG), _read_log, (UserError,)),
    "train_accuracy.csv": Artifact(_text("train_accuracy.csv", ACCURACY), _read_accuracy, (UserError,)),
    "best.json": Artifact(_make_best, _read_best, (UserError,)),
    "combinations.csv": Artifact(_text("combinations.csv", COMBINATIONS), _read_combinations, (UserError,)),
    "build.json": Artifact(_text("build.json", json.dumps(BUILD, indent=2)), _read_build, (_Problem,)),
    "measured.json": Artifact(_make_kept, _read_kept, (UserError,)),
}
