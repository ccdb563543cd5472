"""The comparison of the methods in words: tables for the terminal, the page methods.md, and the tests' results."""

from __future__ import annotations

from collections.abc import Sequence

from ensemble import balance
from ensemble.comparison import LEVEL, Comparison, Difference
from ensemble.methods import METHODS, told


def chance(p: float) -> str:
    return "<0.0001" if p < 0.0001 else f"{p:.4f}"


def _points(difference: Difference | None) -> str:
    """A gain in points of a hundred, its interval, and the adjusted p."""
    if difference is None:
        return "-"
    bounds = f"[{100 * difference.low:+.2f}, {100 * difference.high:+.2f}]"
    return f"{100 * difference.gain:+.2f} {bounds} p {chance(difference.adjusted)}"


def verdict(difference: Difference) -> str:
    """ "helped, beyond noise", "hurt, beyond noise", or "not beyond noise"."""
    if not difference.beyond_noise:
        return "not beyond noise"
    return f"{'helped' if difference.gain > 0 else 'hurt'}, beyond noise"


def methods_rows(found: Comparison) -> list[list[str]]:
    """A head and one row per method."""
    head = ["method", "val", "95 %", "held out", f"over {found.single}", "over the report's rule"]
    return [head] + [
        [row.name, f"{row.val:.4f}", f"{row.low:.4f} to {row.high:.4f}",
         "-" if row.holdout is None else f"{row.holdout:.4f}", _points(row.over_single), _points(row.over_report)]
        for row in found.rows
    ]  # fmt: skip


def balance_rows(found: Comparison) -> list[list[str]]:
    """A head and one row per method, for labels that are chosen together."""
    head = ["method", "deviation", "balanced", "val", "balanced", "gain", "strength", "at that strength", "gain"]
    return [head] + [
        [row.name, f"{row.deviation:.0f}", f"{row.deviation_after:.0f}", f"{row.val:.4f}", f"{row.val_after:.4f}",
         _points(row.over_plain), f"{row.strength:g}", f"{row.val_fitted:.4f}", _points(row.fitted_over_plain)]
        for row in found.balanced
    ]  # fmt: skip


def sentences(found: Comparison) -> list[str]:
    """The tests' results, one sentence per method."""
    said = []
    for row in found.rows:
        if row.over_single is None:
            continue
        one = f"{row.name}: {verdict(row.over_single)} against {found.single}"
        if row.over_report is not None:
            one += f"; {verdict(row.over_report)} against the report's rule"
        said.append(one + ".")
    return said


def about(found: Comparison) -> str:
    """How it was measured, in a paragraph."""
    models = ", ".join(
        f"{model} (iteration {at}, {accuracy:.4f})"
        for model, at, accuracy in zip(found.models, found.iterations, found.accuracies)
    )
    held = (
        f" {found.holdout_images} held-out images are scored by the fit on all of val." if found.holdout_images else ""
    )
    thin = f" {found.thin_classes} classes have fewer images than folds." if found.thin_classes else ""
    tests = sum((row.over_single is not None) + (row.over_report is not None) for row in found.rows)
    return (
        f"{len(found.models)} models: {models}. {found.images} val images in {found.folds} folds by class (seed "
        f"{found.seed}); each fold is scored by what the others were fitted to.{held}{thin} Gains are in points, with "
        f"bootstrap intervals of {found.resamples} resamples of the images scored; p is McNemar's, exact, after "
        f"Holm's correction over the {tests} tests of the table; beyond noise is p < {LEVEL:g}."
    )


def terminal(rows: Sequence[Sequence[str]]) -> str:
    """Rows in columns."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def page(found: Comparison) -> str:
    """The comparison as Markdown."""
    fitted = {row.name: row.fitted for row in found.rows}
    return "\n\n".join(
        [
            "# Methods of ensembling",
            about(found),
            _markdown(methods_rows(found)),
            "\n".join(f"- {one}" for one in sentences(found)),
            "## What each does, and what was fitted on all of val",
            "\n".join(f"- **{name}**: {told(name)}. {fitted[name]}." for name in METHODS),
            f"## Labels balanced over the classes ({balance.MARK})",
            "The deviation is the sum over classes of |images given - images expected|. Prices see no label. At full "
            "strength each class gets about as many; the strength beside it is the best on val, and its accuracy is "
            "cross-fitted. The gain counts on classes of one size, which val and test have: 50 images each.",
            _markdown(balance_rows(found)),
        ]
    ) + "\n"  # fmt: skip
