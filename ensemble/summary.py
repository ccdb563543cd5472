"""The ensemble in words: a table for the terminal and the page runs/ensemble/ensemble.md."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ensemble import halves, rule
from ensemble.combination import Combination
from ensemble.scoring import views
from ensemble.scoring.score_file import Scores

#: The report's numbers (section 5), by a model's name without its number: nin for nin2.
REPORT = {
    "nin": "about 0.47 on val (its best single model), 0.43 on test",
    "alexnet": "about 0.33 on val, at about 30,000 iterations",
}
REPORT_ENSEMBLE = "the three NIN together, 0.47 on test (error 0.53 at the judge)"


def _share(value: float | None) -> str:
    return "-" if value is None or np.isnan(value) else f"{value:.4f}"


def table(combinations: Sequence[Combination]) -> str:
    """The combinations as lines for a terminal, in the order given."""
    rows = [["models", "val", "holdout"], *_rows(combinations)]
    width = max(len(row[0]) for row in rows)
    return "\n".join(f"{name:<{width}}  {val:>6}  {holdout:>7}" for name, val, holdout in rows)


def _rows(combinations: Sequence[Combination]) -> list[list[str]]:
    shares = [(_share(one.val_accuracy), _share(one.holdout_accuracy)) for one in combinations]
    return [["+".join(one.models), *both] for one, both in zip(combinations, shares)]


def verdict(combinations: Sequence[Combination]) -> str:
    """The chosen combination and what it gains over the best single model, in one line."""
    best = combinations[0]
    single = next(one for one in combinations if len(one.models) == 1)
    line = f"Best on val: {'+'.join(best.models)}, {_share(best.val_accuracy)}"
    if best is single:
        return line + ": no combination does better."
    line += f", {best.val_accuracy - single.val_accuracy:+.4f} over the best single model, {single.models[0]}"
    if best.holdout_accuracy is not None and single.holdout_accuracy is not None:
        gain = best.holdout_accuracy - single.holdout_accuracy
        line += f"; on the held-out images {_share(best.holdout_accuracy)}, {gain:+.4f}"
    return line + "."


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _model_table(models: Sequence[str], val: Sequence[Scores], holdout: Sequence[Scores] | None) -> str:
    rows = []
    for at, (model, file) in enumerate(zip(models, val)):
        reported = REPORT.get(model.rstrip("0123456789"), "-")
        iteration = "?" if file.iteration < 0 else str(file.iteration)
        held = _share(holdout[at].accuracy if holdout else None)
        rows.append([model, iteration, _share(file.accuracy), _share(file.accuracy_top5), held, reported])
    return _markdown(["model", "iteration", "val", "val top-5", "holdout", "the report's"], rows)


def page(rank_cut: int, models: Sequence[str], val: Sequence[Scores], holdout: Sequence[Scores] | None,
         combinations: Sequence[Combination]) -> str:  # fmt: skip
    """The report of the ensemble as Markdown."""
    best = combinations[0]
    images = f"{len(val[0].labels)} validation images"
    images += f" and {len(holdout[0].labels)} held-out ones" if holdout else "; no held-out images"
    images += "" if val[0].view == views.CENTER else f"; scores are means over the view {val[0].view}"
    cut = f"a class it ranks below {rank_cut} gets nothing from a model" if rank_cut else "no ranks are cut"
    stand_in = "\n".join(f"- {line}" for line in halves.lines(models, val)) or "- too few images"
    weighed = ", ".join(f"{model} {weight:.4f}" for model, weight in zip(best.models, best.weights))
    return f"""# Report of the ensemble

Accuracies are shares of {images}. A tie counts as wrong, as in Caffe.

## Models

{_model_table(models, val, holdout)}

## The best combination

{verdict(combinations)}

Weights, the val accuracies: {weighed}; {cut}.
The report's best: {REPORT_ENSEMBLE}.

The combination is chosen on val, so its val accuracy is a little too good; the held-out images took no part
in the choice.

## In place of the judge

The judge of the test set is closed. Chosen on one half of val and scored on the other, both ways:

{stand_in}

## All {len(combinations)} combinations

{_markdown(["models", "val", "holdout"], _rows(combinations))}
"""


def class_balance(predicted: np.ndarray) -> str:
    """The deviation of the predictions from equal class counts, as the report's section 6 plotted it."""
    share = len(predicted) / rule.CLASSES
    return f"sum over classes of |count - {share:g}| = {rule.class_deviation(predicted):g}"
