"""Step 3: the judge's file, one line ``test_0.JPEG n01443537`` for every test image, in numeric order.

``python -m ensemble.submission`` follows runs/ensemble/best.json and writes runs/ensemble/submission.txt.
``--models nin1`` submits one model, or several weighted by their val accuracies, as submission-nin1.txt.
``--view 10crop`` follows the choice of `ensemble.combine --view 10crop`, in runs/ensemble/10crop/.
``--method stacking`` merges the models that `make methods` compared, or those of --models. It fits that method on
all of val and writes submission-stacking.txt. ``--balance 1`` chooses all labels together so that every class gets
about as many images (ensemble/balance.py: transductive), as submission-balanced.txt.
If classes tie, the one with the lowest label is written.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ensemble import balance, rule, summary
from ensemble.combine import check_same_snapshots, folder, load_all, load_labelled, rank
from ensemble.scoring import views
from ensemble.scoring.score_data import check_records
from ensemble.scoring.score_file import Scores
from harness import commands
from harness.errors import UserError
from harness.files import read_text, whole_file

#: The number of test images for which the judge needs a line.
TEST_IMAGES = 10_000


def read_wnids(path: Path) -> list[str]:
    """Read the 200 wnids of labels.txt, by label; raises UserError if they are not 200 different ones."""
    if not path.is_file():
        raise UserError(f"{path}: no list of labels; `make lmdb` makes it")
    text = read_text(path, "`make lmdb` makes it")
    wnids = [line.split()[0] for line in text.splitlines() if line.strip()]
    if len(wnids) != rule.CLASSES or len(set(wnids)) != rule.CLASSES:
        found = f"{len(wnids)} entries, {len(set(wnids))} different"
        raise UserError(f"{path}: {found}, not {rule.CLASSES}; `make lmdb` makes it")
    for number, wnid in enumerate(wnids, 1):
        if not re.fullmatch(r"n\d{8}", wnid):
            raise UserError(f"{path}:{number}: {wnid!r} is not a wnid as n01443537; `make lmdb`")
    return wnids


def numeric_order(names: Sequence[str]) -> np.ndarray:
    """The indices that put test/images/test_<number>.JPEG in the order of the numbers: (N,) -> int (N,)."""
    numbers = []
    for name in names:
        found = re.fullmatch(r"test_(\d+)\.JPEG", name.rpartition("/")[2])
        if not found:
            raise UserError(f"test scores: {name} is not named test_<number>.JPEG; `make lmdb` names it")
        numbers.append(int(found.group(1)))
    if len(set(numbers)) != len(numbers):
        raise UserError("test scores: an image appears twice; `make lmdb`, then `make ensemble`")
    return np.argsort(numbers)


def lines(scores: np.ndarray, names: Sequence[str], wnids: Sequence[str]) -> list[str]:
    """The judge's lines: scores (N, 200), N names and 200 wnids -> N lines."""
    predicted = scores.argmax(axis=1)
    return [f"{names[i].rpartition('/')[2]} {wnids[predicted[i]]}" for i in numeric_order(names)]


def read_best(runs: Path, view: str = views.CENTER, data: Path | None = None) -> dict:
    """Read the choice of `make ensemble`: models, their weights and snapshots, the rank cut. UserError without it.

    With `data`, raises UserError also if it was chosen on other val images than the LMDB holds.
    """
    path = folder(runs, view) / "best.json"
    command = "`make ensemble`" if view == views.CENTER else f"`make ensemble VIEW={view}`"
    if not path.is_file():
        raise UserError(f"{path}: no chosen ensemble; {command} chooses one")
    again = f"{command} writes it anew"
    try:
        best = json.loads(read_text(path, again), parse_constant=_no_number)
        _check_best(best, view)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{path}: not what `make ensemble` writes ({str(error)[:200]!r}); {again}") from error
    if data is not None:
        check_records(data, best.get("records"), path, command.strip("`"))
    return best


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _check_best(best: dict, view: str) -> None:
    lists = {"models": str, "weights": (int, float), "snapshot_sha256": str}
    for name, kind in lists.items():
        if not (isinstance(best[name], list) and all(isinstance(each, kind) for each in best[name])):
            raise ValueError(f"{name} is not a list of such")
    if not len(best["models"]) == len(best["weights"]) == len(best["snapshot_sha256"]) > 0:
        raise ValueError("models, weights and snapshots differ in number")
    if any(not model or Path(model).name != model for model in best["models"]):
        raise ValueError("a model's name is a path")
    if not all(abs(weight) < 1e9 for weight in best["weights"]):
        raise ValueError("a weight is no accuracy")
    if type(best["rank_cut"]) is not int or best["rank_cut"] < 0:
        raise ValueError("rank_cut is not 0 or more")
    if best.get("view", views.CENTER) != view:  # older files name no view
        raise ValueError(f"it is of the view {best['view']}, not {view}")


def _chosen(options: argparse.Namespace, view: str) -> dict:
    """The content of best.json, or the same for the models named on the command line."""
    if options.models:
        val = load_labelled(options.runs, options.models, "val", view, options.data)
        cut = rule.RANK_CUT if options.rank_cut is None else options.rank_cut
        weights = rule.weights([file.accuracy for file in val]).tolist()
        digests = [file.snapshot_sha256 for file in val]
        return {"models": options.models, "weights": weights, "rank_cut": cut, "snapshot_sha256": digests}
    best = read_best(options.runs, view, options.data)
    if options.rank_cut is not None:
        best["rank_cut"] = options.rank_cut
    return best


def _merged(options: argparse.Namespace, view: str) -> tuple[list[str], list[Scores], np.ndarray]:
    """The models, their scores on test, and the merged scores (N, 200)."""
    if options.method:
        if options.rank_cut is not None:
            raise UserError(f"--rank-cut is of the report's rule, and not of --method {options.method}")
        from ensemble.methods.follow import follow  # methods need packages that the report's rule does not need

        return follow(options.method, options.runs, options.models, view, options.data)
    best = _chosen(options, view)
    test = load_all(options.runs, best["models"], "test", view, options.data)
    check_same_snapshots(best["models"], best["snapshot_sha256"], test)
    return best["models"], test, rule.combine([file.scores for file in test], best["weights"], best["rank_cut"])


def _run(options: argparse.Namespace) -> None:
    wnids = read_wnids(options.data / "labels.txt")
    view = views.named(options.view)
    models, test, total = _merged(options, view)
    names = test[0].names.tolist()
    if options.balance:
        total = balance.balanced(total, options.balance)
    parts = ["submission", *(options.models or ()), options.method, "balanced" if options.balance else None]
    out = options.out or folder(options.runs, view) / f"{'-'.join(filter(None, parts))}.txt"
    with whole_file(out) as file:
        file.writelines(line + "\n" for line in lines(total, names, wnids))
    spread = summary.class_balance(total.argmax(axis=1))
    by = f" by {options.method}" if options.method else ""
    print(f"{'+'.join(models)}{by} on {len(names)} test images: {spread} -> {out}")
    if options.balance:
        print(f"Balanced with strength {options.balance:g}; {balance.MARK}.")
    if len(names) != TEST_IMAGES:
        print(f"The judge wants all {TEST_IMAGES} test images; these are {len(names)}.")


def strength(text: str) -> float:
    """Parse a --balance of the command line."""
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError("a strength is from 0 (off) to 1 (every class gets about as many)")
    return number


def main(arguments: list[str] | None = None) -> str | None:
    """Run the command; what it returns is the error to print, None if all went well."""
    parser = argparse.ArgumentParser("python -m ensemble.submission", description=__doc__.partition("\n")[0])
    parser.add_argument("--models", nargs="+", help="submit these, not the best combination")
    parser.add_argument("--rank-cut", type=rank, metavar="K", help="default: as combine chose or would")
    parser.add_argument("--method", help="a method of `make methods`, as stacking; default: the report's rule")
    parser.add_argument("--balance", type=strength, default=0.0, metavar="STRENGTH",
                        help="choose the labels together so that every class gets about as many images, with a "
                        "strength up to 1 (transductive; default: 0, off)")  # fmt: skip
    parser.add_argument("--view", default=views.CENTER, help=f"of the scores (default: center): {views.KNOWN}")
    parser.add_argument("--data", type=Path, default=Path("data/lmdb"), help="default: %(default)s")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="default: %(default)s")
    parser.add_argument("--out", type=Path, help="default: submission.txt in runs/ensemble")
    options = parser.parse_args(arguments)
    try:
        _run(options)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("scipy", "sklearn"):
            raise
        return f"ensemble.submission: {error.name} is missing, --method {options.method} needs it; `make setup` installs it"
    except (UserError, OSError) as error:
        return f"ensemble.submission: {error}"
    return None


if __name__ == "__main__":
    commands.run(main)
