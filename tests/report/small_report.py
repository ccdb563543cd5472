"""A whole small experiment for the tests of the report's page, invented and written in Caffe's formats alone.

It has three trained models (two NIN, one AlexNet) with rate drops by hand, and one untrained solver.
It has logs, journals, scores on val, test and held-out images, the ensemble's files, and LMDBs of drawn images.
Class names hold text that a page must not take for HTML.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from ensemble import combine, submission
from ensemble.methods.__main__ import main as compare_methods
from ensemble.rule import CLASSES, accuracy
from ensemble.scoring.score_file import Scores, save, score_path
from first_pass import kmeans, outcome
from harness import provenance
from tests.ensemble.small_ensemble import DEPLOY, raw_datum, write_lmdb, write_mean
from tests.report import small_results

HOSTILE = '<script>alert("x")</script> & $x_1$'
SHAPE = (3, 12, 16)
BATCH, TRAIN = 10, 200  # 20 iterations are an epoch
COUNTS = {"val": 400, "test": 300, "holdout": 200}
# By model: accuracy it is near, and (iteration, rate) from where each rate is in force.
MODELS = {
    "alexnet1": (0.45, ((0, 0.01), (400, 0.001))),
    "nin1": (0.6, ((0, 0.01), (400, 0.001), (700, 0.0001))),
    "nin2": (0.55, ((0, 0.01), (400, 0.001), (700, 0.0001))),
}
END = 1000
BEGUN = datetime(2026, 3, 5, 22, 15)

SOLVER = """# {name}: {hostile}
net: "models/{name}/train_val.prototxt"
base_lr: {rate}
lr_policy: "fixed"
momentum: 0.9
max_iter: {end}
test_iter: 1
test_interval: 20
snapshot: 40
snapshot_prefix: "runs/{name}/{name}"
random_seed: 3
"""
NET = """name: "{name}"
layer {{ name: "data" type: "Data" top: "data" top: "label" include {{ phase: TRAIN }}
        transform_param {{ mirror: true crop_size: 6 mean_file: "data/lmdb/mean.binaryproto" }}
        data_param {{ source: "data/lmdb/train_lmdb" batch_size: 10 backend: LMDB }} }}
"""


def make(folder: Path) -> None:
    """Fill `folder`, which must be the current one."""
    for name in (*MODELS, "nin3"):
        (folder / "models" / name).mkdir(parents=True)
        (folder / "models" / name / "train_val.prototxt").write_text(NET.format(name=name))
        (folder / "models" / name / "deploy.prototxt").write_text(DEPLOY % name)
    (folder / "solvers").mkdir()
    for name in (*MODELS, "nin3"):
        _, rates = MODELS.get(name, (0, ((0, 0.01),)))
        (folder / "solvers" / f"{name}.prototxt").write_text(solver_text(name, rates[-1][1]))
    labels = _data(folder / "data" / "lmdb")
    for seed, (name, (level, rates)) in enumerate(MODELS.items(), 1):
        write_run(folder / "runs" / name, name, rates, level, END)
        write_scores(folder / "runs", name, labels, level, seed)
    data = provenance.digest_of_mean(folder / "data/lmdb/mean.binaryproto")
    kmeans.write(folder / "runs" / kmeans.NAME, kmeans_rows(data))
    small_results.write(folder)
    outcome.write(folder / "runs/explore" / outcome.NAME, exploration(data))
    names = list(MODELS)
    assert combine.main(names) is None and submission.main([]) is None
    with pytest.MonkeyPatch.context() as patch:  # a modified working tree would keep no result
        patch.setattr(provenance, "commit", lambda: "0123456789")
        assert compare_methods([*names, "--folds", "2"]) is None


def kmeans_rows(data: str) -> list[kmeans.Row]:
    """200 clusters from two seeds, the second of which is better, and 1000."""
    error = kmeans.Error(0.9632, 10_000, 0.9593, 0.9667)
    row = kmeans.Row(200, 0, 768, 60, TRAIN, 0.95, error, None, 90, 80, "make kmeans", "abc", "a machine", data, "2026")
    best = replace(error, error=0.9611)
    return [replace(row, seed=1, val=best), row, replace(row, clusters=1000, val=best)]


def exploration(data: str) -> outcome.Exploration:
    """Two models at two rates for 4 epochs. At 0.01 alexnet1 leads and has stopped learning; at 0.1 it diverged."""
    tried = {
        ("alexnet1", 0.1): (0.005, False, "diverged"),
        ("alexnet1", 0.01): (0.25, False, "no longer falls steadily"),
        ("alexnet1", 0.001): (0.15, True, "falls steadily"),
        ("nin1", 0.01): (0.24, True, "falls steadily"),
        ("nin1", 0.001): (0.09, True, "falls steadily"),
    }
    outcomes = [
        outcome.Outcome(model, rate, None, 4, 80, accuracy, 400, accuracy, 4.5, learns, trend, 90.0, 6,
                        [[epoch / 4, 99.0 if trend == "diverged" else 5.3 - rate * 20 * epoch] for epoch in range(16)],
                        [[epoch, accuracy * epoch / 4] for epoch in range(5)])
        for (model, rate), (accuracy, learns, trend) in tried.items()
    ]  # fmt: skip
    command = "make explore EPOCHS=4"
    return outcome.Exploration(command, "abc", "a machine", data, "fp32", TRAIN, "2026-03-06T01:02:03+00:00", outcomes)


def solver_text(name: str, rate: float) -> str:
    return SOLVER.format(name=name, rate=rate, end=END, hostile=HOSTILE)


def _data(folder: Path) -> dict[str, np.ndarray]:
    """Images of a colour for each class; the labels of each split."""
    random = np.random.default_rng(7)
    colours = random.integers(0, 256, (CLASSES, 3, 1, 1))
    labels = {split: np.arange(count) % CLASSES for split, count in COUNTS.items()}
    for split, of in {**labels, "train": np.arange(TRAIN) % CLASSES}.items():
        images = np.clip(colours[of] + random.normal(0, 30, (len(of), *SHAPE)), 0, 255).astype(np.uint8)
        shown = np.full(len(of), -1) if split == "test" else of
        write_lmdb(folder / f"{split}_lmdb", _names(split, len(of)), [raw_datum(*pair) for pair in zip(images, shown)])
    write_mean(folder / "mean.binaryproto", np.full(SHAPE, 120, np.float32))
    wnids = [f"n{(1_000_000 if label < 90 else 3_000_000) + label:08d}" for label in range(CLASSES)]
    words = [HOSTILE if label == 5 else f"thing {label}, another name" for label in range(CLASSES)]
    (folder / "labels.txt").write_text("".join(f"{pair[0]} {pair[1]}\n" for pair in zip(wnids, words)))
    records = {"train": TRAIN, **COUNTS}
    build = {"source": "set.zip", "records": records, "seed": 0, "lists_sha256": {split: "0" * 64 for split in records}}
    (folder / "build.json").write_text(json.dumps(build))
    return labels


def _names(split: str, count: int) -> list[str]:
    return [f"{split}/images/{split}_{number}.JPEG" for number in range(count)]


def write_run(folder: Path, name: str, rates: tuple, level: float, end: int, display: int = 10, test: int = 20) -> None:
    """A log, a journal and the train accuracies of a run; its rate was edited by hand as in `rates`."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(len(name) + end)
    time, lines, journal = BEGUN, [], []
    mean = folder.parents[1] / "data/lmdb/mean.binaryproto"
    data = provenance.digest_of_mean(mean) if mean.is_file() else "mean 00"

    def say(text: str) -> None:
        nonlocal time
        time += timedelta(seconds=0.5)
        lines.append(f"I{time:%m%d %H:%M:%S.%f}  4711 solver.cpp:239] {text}")

    def reached(iteration: int) -> float:
        drops = sum(start <= iteration for start, _ in rates[1:])
        return level * (1 - np.exp(-4 * iteration / end)) * (0.8 + 0.1 * drops) + 0.005

    for at, (start, rate) in enumerate(rates):
        stop = rates[at + 1][0] if at + 1 < len(rates) else end
        text = solver_text(name, rate)
        journal.append({"time": f"{BEGUN:%Y-%m-%dT%H:%M:%S}+00:00", "event": "start", "iteration": start,
                        "command": ["caffe", "train", f"--solver=solvers/{name}.prototxt"], "engine": "caffe version 1.0.0",
                        "solver_file": f"solvers/{name}.prototxt", "solver": text, "commit": "0123456789",
                        "machine": "a machine", "data": data, "python": "3.11"})  # fmt: skip
        say("Use CPU.")
        lines.append(f"base_lr: {rate}\nlr_policy: \"fixed\"")  # fmt: skip
        if start:
            say(f"Resuming from runs/{name}/{name}_iter_{start}.solverstate")
        say(f"Solving {name}")
        for iteration in range(start, stop, display):
            loss = 5.3 * (1 - 0.9 * reached(iteration)) + random.normal(0, 0.05)
            if iteration % test == 0:
                say(f"Iteration {iteration}, Testing net (#0)")
                say(f"    Test net output #0: accuracy = {reached(iteration):.6g}")
                say(f"    Test net output #1: loss = {loss + 0.1:.6g} (* 1 = {loss + 0.1:.6g} loss)")
            say(f"Iteration {iteration} (2.5 iter/s, 4s/10 iters), loss = {loss:.6g}")
            say(f"Iteration {iteration}, lr = {rate:g}")
        journal.append({"time": f"{time:%Y-%m-%dT%H:%M:%S}+00:00", "event": "end", "iteration": stop, "status": 0})
    (folder / "train.log").write_text("\n".join(lines) + "\n")
    (folder / "journal.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in journal))
    rows = "".join(f"{at},{1.1 * reached(at):.4f},0.9,200,{at:064x}\n" for at in range(test * 2, end + 1, test * 2))
    (folder / "train_accuracy.csv").write_text("iteration,accuracy,accuracy_top5,images,snapshot_sha256\n" + rows)


def write_scores(runs: Path, name: str, labels: dict[str, np.ndarray], level: float, seed: int,
                 names: dict[str, list[str]] | None = None) -> None:  # fmt: skip
    """Scores that are right about `level` of the time and take every class for the next one most."""
    for number, (split, of) in enumerate(labels.items()):
        common, own = np.random.default_rng(number), np.random.default_rng((number, seed))
        logits = common.normal(0, 1, (len(of), CLASSES)) + 0.5 * own.normal(0, 1, (len(of), CLASSES))
        logits[np.arange(len(of)), of] += 6 * level
        logits[np.arange(len(of)), (of + 1) % CLASSES] += 5 * level * (own.random(len(of)) < 0.4)
        prob = np.exp(logits - logits.max(axis=1, keepdims=True))
        prob = (prob / prob.sum(axis=1, keepdims=True)).astype(np.float32)
        told = np.full(len(of), -1) if split == "test" else of
        tops = [accuracy(prob, told, top) for top in (1, 5)]
        snapshot = f"runs/{name}/{name}_iter_{END}.caffemodel"
        files = np.array(names[split] if names else _names(split, len(of)))
        save(score_path(runs, name, split), Scores(prob, told, files, split, END, *tops, snapshot, f"{seed:064x}"))
