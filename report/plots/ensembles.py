"""Plots over the combinations of models."""

from collections.abc import Sequence

from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

from ensemble.combination import Combination
from ensemble.comparison import Comparison
from report.combinations import Spread
from report.figure import plot
from report.palette import LIGHT, SERIES

_MARKERS = "osD^v"


def by_size(table: Sequence[Combination], name: str) -> Markup:
    """Accuracy on val by the number of models; the best of each number is labelled and joined by a line."""
    sizes = sorted({len(one.models) for one in table})
    best = [max((one for one in table if len(one.models) == size), key=lambda one: one.val_accuracy) for size in sizes]
    told = "; ".join(f"{'+'.join(one.models)} {one.val_accuracy:.4f}" for one in best)
    with plot(name, f"Accuracy on val by the number of models. The best of each number: {told}") as drawing:
        axes = drawing.axes
        axes.plot([len(one.models) for one in table], [one.val_accuracy for one in table], "o", color=LIGHT["blue"],
                  alpha=0.6)  # fmt: skip
        axes.plot(sizes, [one.val_accuracy for one in best], "--", color=LIGHT["orange"])
        axes.set(xlabel="models in the combination", ylabel="accuracy on val", xlim=(0.5, len(sizes) + 0.5))
        axes.set_xticks(sizes)
    return drawing.svg


def deviation(spreads: Sequence[Spread], split: str, name: str) -> Markup:
    """The report's plot: deviation of the class counts against accuracy, one point per combination."""
    least, most = min(one.deviation for one in spreads), max(one.deviation for one in spreads)
    alt = f"Deviation of the class counts of {len(spreads)} combinations, {least:.0f} to {most:.0f}, against accuracy"
    with plot(name, alt) as drawing:
        axes = drawing.axes
        for size in sorted({len(one.models) for one in spreads}):
            points = [one for one in spreads if len(one.models) == size]
            axes.plot([one.deviation for one in points], [one.accuracy for one in points],
                      _MARKERS[(size - 1) % len(_MARKERS)], color=LIGHT[SERIES[(size - 1) % len(SERIES)]],
                      linestyle="none", label=f"{size}")  # fmt: skip
        axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=6, title="models", title_fontsize=9,
                    alignment="left", handletextpad=0.1, columnspacing=1, borderaxespad=0.2)  # fmt: skip
        axes.set(xlabel="sum over classes of |images given \N{MINUS SIGN} expected|", ylabel=f"accuracy on {split}")
        axes.xaxis.set_major_locator(MaxNLocator(6))
    return drawing.svg


def gains(found: Comparison, name: str) -> Markup:
    """The gain of each method over the best single model, with its interval; a full dot is beyond noise."""
    rows = [row for row in found.rows if row.over_single][::-1]
    told = "; ".join(f"{row.name} {100 * row.over_single.gain:+.2f}" for row in rows[::-1])
    with plot(name, f"Points gained over {found.single} on val: {told}") as drawing:
        axes = drawing.axes
        for at, row in enumerate(rows):
            gain = row.over_single
            colour = LIGHT["orange" if row.name == "report" else "blue"]
            axes.plot([100 * gain.low, 100 * gain.high], [at, at], color=colour)
            axes.plot([100 * gain.gain], [at], "o", color=colour, markersize=7,
                      markerfacecolor=colour if gain.beyond_noise else LIGHT["paper"])  # fmt: skip
        axes.axvline(0, color=LIGHT["muted"], linewidth=1)
        axes.set_yticks(range(len(rows)), [row.name for row in rows])
        axes.grid(axis="x")
        axes.grid(visible=False, axis="y")
        axes.set(xlabel=f"points over {found.single} on val", ylim=(-0.6, len(rows) - 0.4))
    return drawing.svg
