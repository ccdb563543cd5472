"""Step 2: every combination of the models by the report's rule, and the one that is best on val.

``python -m ensemble.combine nin1 nin2 nin3 alexnet1 alexnet2`` reads runs/<name>/scores/val.npz, and holdout.npz if
every model has one. It writes combinations.csv, ensemble.md and best.json to runs/ensemble/; the submission follows
best.json. Val chooses the combination, so the val accuracy of the chosen one is a little too good. The held-out
images took no part in the choice. Equally accurate combinations are ordered by fewer models first, then by the
order in which the models are named.

``--view 10crop`` combines every model's scores of that view, in runs/ensemble/10crop/.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ensemble import halves, rule, summary
from ensemble.combination import Combination
from ensemble.scoring import views
from ensemble.scoring.score_data import DATA, OtherData
from ensemble.scoring.score_file import Scores, check_same_records, load, score_path
from harness import commands
from harness.errors import UserError
from harness.files import whole_file


def load_all(runs: Path, models: Sequence[str], split: str, view: str = views.CENTER,
             data: Path | None = None) -> list[Scores]:  # fmt: skip
    """Load several models' score files over one split in one view, and check that their records are the same.

    With `data`, the records must also be those that its LMDBs hold.
    """
    files = [load(runs, model, split, view, data) for model in models]
    check_same_records(models, files)
    return files


def load_labelled(runs: Path, models: Sequence[str], split: str, view: str = views.CENTER,
                  data: Path | None = None) -> list[Scores]:  # fmt: skip
    """Call `load_all` for a split whose labels are needed."""
    files = load_all(runs, models, split, view, data)
    for model, file in zip(models, files):
        if np.isnan(file.accuracy) or file.labels.min() < 0:
            path = score_path(runs, model, split, view)
            raise UserError(f"{path}: has images without a label; `make lmdb` labels {split}")
    return files


def check_same_snapshots(models: Sequence[str], digests: Sequence[str], files: Sequence[Scores]) -> None:
    """Raise UserError unless each file's scores come from the snapshot whose val scores give the weight."""
    for model, digest, file in zip(models, digests, files):
        if file.snapshot_sha256 != digest:
            raise UserError(
                f"{file.split} scores of {model} (iteration {file.iteration}) are of another snapshot than "
                f"those on val; `make ensemble{_option(file.view)}` makes them all again"
            )


def _option(view: str) -> str:
    return "" if view == views.CENTER else f" VIEW={view}"


def held_out(runs: Path, models: Sequence[str], val: Sequence[Scores], data: Path | None = None,
             tell: Callable[[str], None] = lambda line: print(line, file=sys.stderr)) -> list[Scores] | None:  # fmt: skip
    """The models' scores on the held-out images, in the view of `val`; None if a model has none.

    With `data`, scores of held-out images that it no longer holds do not count; each is reported to `tell`.
    """
    view = val[0].view
    if not all(score_path(runs, model, "holdout", view).is_file() for model in models):
        return None
    gone = []
    for model in models:
        try:
            load(runs, model, "holdout", view, data)
        except OtherData as error:
            gone.append(str(error))
    if gone:
        for line in gone:
            tell(line)
        return None
    files = load_labelled(runs, models, "holdout", view)
    check_same_snapshots(models, [file.snapshot_sha256 for file in val], files)
    return files


def combinations(
    models: Sequence[str], val: Sequence[Scores], holdout: Sequence[Scores] | None, rank_cut: int
) -> list[Combination]:
    """Every non-empty combination of the models, the best on val first."""

    def cut(files: Sequence[Scores] | None) -> list[np.ndarray]:
        return [rule.cut_low_ranks(file.scores, rank_cut) for file in files or ()]  # cut once, not in every combination

    def accuracy(scores: Sequence[np.ndarray], labels: np.ndarray, chosen: tuple[int, ...], weights) -> float:
        return rule.accuracy(rule.combine([scores[i] for i in chosen], weights), labels)

    on_val, on_holdout = cut(val), cut(holdout)
    found = []
    for chosen in rule.every_combination(len(models)):
        weights = rule.weights([val[i].accuracy for i in chosen])
        found.append(
            Combination(
                [models[i] for i in chosen],
                weights.tolist(),
                accuracy(on_val, val[0].labels, chosen, weights),
                accuracy(on_holdout, holdout[0].labels, chosen, weights) if holdout else None,
            )
        )
    # Python's sort is stable, so equals stay in order: fewer models first, then the order of the models.
    return sorted(found, key=lambda one: -one.val_accuracy)


def _write(out: Path, rank_cut: int, models: Sequence[str], val: Sequence[Scores],
           holdout: Sequence[Scores] | None, table: Sequence[Combination]) -> None:  # fmt: skip
    best = table[0]
    digests = dict(zip(models, (file.snapshot_sha256 for file in val)))
    chosen = {
        "models": best.models,
        "view": val[0].view,
        "weights": best.weights,
        "rank_cut": rank_cut,
        "val_accuracy": best.val_accuracy,
        "holdout_accuracy": best.holdout_accuracy,
        "snapshot_sha256": [digests[model] for model in best.models],
        "records": {"val": val[0].data},
    }
    with whole_file(out / "combinations.csv") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["models", "number_of_models", "rank_cut", "val_accuracy", "holdout_accuracy"])
        for one in table:
            names = "+".join(one.models)
            writer.writerow([names, len(one.models), rank_cut, one.val_accuracy, one.holdout_accuracy])
    with whole_file(out / "ensemble.md") as file:
        file.write(summary.page(rank_cut, models, val, holdout, table))
    with whole_file(out / "best.json") as file:
        json.dump(chosen, file, indent=2)
        file.write("\n")


def _run(options: argparse.Namespace) -> None:
    models = options.models
    if len(set(models)) != len(models):
        raise UserError(f"{' '.join(models)}: a model is named twice")
    view = views.named(options.view)
    val = load_labelled(options.runs, models, "val", view, options.data)
    holdout = held_out(options.runs, models, val, options.data)
    table = combinations(models, val, holdout, options.rank_cut)
    out = options.out or folder(options.runs, view)
    _write(out, options.rank_cut, models, val, holdout, table)
    print(summary.table(table))
    print(summary.verdict(table))
    if stand_in := halves.lines(models, val):
        print("In place of the judge, which is closed: chosen on one half of val, scored on the other, both ways.")
        print("\n".join(f"  {line}" for line in stand_in))
    if holdout is None:
        print("No held-out accuracy: `make lmdb HOLDOUT=50` before the training holds images out.")
    print(f"-> {out}/ensemble.md, combinations.csv, best.json")


def folder(runs: Path, view: str) -> Path:
    """The folder of the combinations of the models' scores in a view."""
    return runs / "ensemble" / views.folder(view)


def rank(text: str) -> int:
    """Parse a --rank-cut of the command line."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("a rank cut is 0 (off) or more")
    return number


def main(arguments: list[str] | None = None) -> str | None:
    """Run the command; what it returns is the error to print, None if all went well."""
    parser = argparse.ArgumentParser("python -m ensemble.combine", description=__doc__.partition("\n")[0])
    parser.add_argument("models", nargs="+", help="names of models that have val scores")
    parser.add_argument("--rank-cut", type=rank, default=rule.RANK_CUT, metavar="K",
                        help="neglect a model's score for a class it ranks below K; 0: off "
                        "(default: %(default)s)")  # fmt: skip
    parser.add_argument("--view", default=views.CENTER, help=f"of the scores (default: center): {views.KNOWN}")
    parser.add_argument("--data", type=Path, default=DATA, help="default: %(default)s")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="default: %(default)s")
    parser.add_argument("--out", type=Path, help="default: ensemble in the runs folder")
    options = parser.parse_args(arguments)
    try:
        _run(options)
    except (UserError, OSError) as error:
        return f"ensemble.combine: {error}"
    return None


if __name__ == "__main__":
    commands.run(main)
