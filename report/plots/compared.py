"""The curves of trainings that were set side by side."""

from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

from harness import intervals
from report.compared import Compared
from report.figure import mark_chance, plot
from report.palette import LIGHT, SERIES

_DASHES = ("-", "--", "-.", ":")  # dashes distinguish the curves without colour


def accuracy(compared: Compared, name: str) -> Markup:
    """Accuracy on val by epoch, each in the band of its 95 % interval."""
    last = ", ".join(f"{run.name} {run.accuracy[-1][1]:.3f}" for run in compared.runs if run.accuracy)
    with plot(name, f"{compared.title}: accuracy on val by epoch. At the end: {last or 'not tested yet'}") as drawing:
        for index, run in enumerate(compared.runs):
            found = [intervals.accuracy(round(value * compared.val_images), compared.val_images)
                     for _, value in run.accuracy]  # fmt: skip
            at, colour = [at for at, _ in run.accuracy], LIGHT[SERIES[index % len(SERIES)]]
            drawing.axes.fill_between(at, [one.low for one in found], [one.high for one in found], color=colour,
                                      alpha=0.2, linewidth=0)  # fmt: skip
            _line(drawing.axes, index, run, run.accuracy, label_at=0)
        mark_chance(drawing.axes)
        _finish(drawing.axes, "accuracy on val")
        drawing.axes.set_ylim(bottom=0)
    return drawing.svg


def loss(compared: Compared, name: str) -> Markup:
    """The mean train loss of each epoch."""
    last = ", ".join(f"{run.name} {run.loss[-1][1]:.3f}" for run in compared.runs if run.loss)
    with plot(name, f"{compared.title}: train loss by epoch. At the end: {last or 'no whole epoch yet'}") as drawing:
        for index, run in enumerate(compared.runs):
            _line(drawing.axes, index, run, run.loss, label_at=1)
        _finish(drawing.axes, "train loss, mean of an epoch")
    return drawing.svg


def _line(axes, index: int, run, points, label_at: float) -> None:
    """Draw a curve and a line for every drop of its rate, labelled at the bottom (0) or top (1)."""
    colour = LIGHT[SERIES[index % len(SERIES)]]
    axes.plot([at for at, _ in points], [value for _, value in points], color=colour, label=run.name,
              linestyle=_DASHES[index % len(_DASHES)], marker="o" if len(points) <= 20 else "")  # fmt: skip
    for at, _, after in run.drops:
        axes.axvline(at, color=colour, linewidth=1, linestyle=(0, (3, 2)))
        axes.annotate(f"rate {after:.4g}", (at, label_at), (3, 3 - 6 * label_at), xycoords=("data", "axes fraction"),
                      textcoords="offset points", rotation=90, va="top" if label_at else "bottom", fontsize=8.5,
                      color=colour)  # fmt: skip


def _finish(axes, what: str) -> None:
    axes.set(xlabel="epoch", ylabel=what)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10]))
    if axes.get_legend_handles_labels()[1]:
        axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=3, borderaxespad=0.2)
