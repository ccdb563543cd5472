"""The curves of a training: loss, and accuracy on train and val, with every drop of the learning rate."""

from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from report import paper
from report.experiment import Model
from report.figure import mark_chance, plot
from report.palette import LIGHT

_POINTS = 400  # points of a drawn curve; a display every 20 iterations would give thousands
_MARKED = 40  # most points that still get a marker each
_DASHES = ("-", "--", "-.", ":")  # dashes distinguish the curves without colour


def _in_epochs(models: Sequence[Model]) -> bool:
    """True if epochs are known for all models; otherwise iterations are shown."""
    return all(model.epoch(1) for model in models)


def _x(model: Model, iterations: Sequence[int], epochs: bool) -> np.ndarray:
    return np.array([model.epoch(iteration) if epochs else iteration for iteration in iterations])


def _line(axes: Axes, model: Model, points: Sequence[tuple[int, float]], epochs: bool, marker: str, **style) -> None:
    """Draw a curve of (iteration, value), with markers if there are few points."""
    axes.plot(_x(model, [at for at, _ in points], epochs), [value for _, value in points],
              marker=marker if len(points) <= _MARKED else "", **style)  # fmt: skip


def _label_x(axes: Axes, epochs: bool) -> None:
    axes.set_xlabel("epoch" if epochs else "iteration")
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10]))


def _legend(axes: Axes) -> None:
    """Put the legend above the axes, where it hides no curve."""
    count = len(axes.get_legend_handles_labels()[1])
    if count:
        axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=min(count, 3), borderaxespad=0.2)


def _mark_drops(axes: Axes, model: Model, epochs: bool, label_at: float) -> None:
    """Draw a line at every change of the rate, labelled at the bottom (0) or top (1), off the curve."""
    for change in model.curves.rate_changes:
        at = _x(model, [change.iteration], epochs)[0]
        axes.axvline(at, color=LIGHT["muted"], linewidth=1, linestyle=(0, (3, 2)))
        axes.annotate(
            f"rate {change.after:.4g}",
            (at, label_at),
            (3, 3 - 6 * label_at),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            rotation=90,
            va="top" if label_at else "bottom",
            fontsize=8.5,
            color=LIGHT["muted"],
        )


def thinned(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The mean x and y, least and greatest y of at most _POINTS parts of equal length."""
    parts = [part for part in np.array_split(np.arange(len(x)), min(len(x), _POINTS)) if len(part)]
    return tuple(np.array([take(values[part]) for part in parts])
                 for take, values in ((np.mean, x), (np.mean, y), (np.min, y), (np.max, y)))  # fmt: skip


def loss(model: Model, name: str) -> Markup:
    """The displayed train loss, and the loss on val."""
    shown = [(point.iteration, point.loss) for point in model.curves.displayed if np.isfinite(point.loss)]
    tested = [(iteration, value) for iteration, value in model.curves.series("loss") if np.isfinite(value)]
    alt = f"Loss of {model.name} by epoch"
    for points, split in ((shown, "train"), (tested, "val")):
        if points:
            alt += f"; on {split} from {points[0][1]:.2f} to {points[-1][1]:.2f}"
    epochs = _in_epochs([model])
    with plot(name, alt) as drawing:
        axes = drawing.axes
        if shown:
            at, mean, least, most = thinned(_x(model, [at for at, _ in shown], epochs), np.array(shown)[:, 1])
            axes.fill_between(at, least, most, color=LIGHT["blue"], alpha=0.25, linewidth=0)
            axes.plot(at, mean, color=LIGHT["blue"], label="train")
        if tested:
            _line(axes, model, tested, epochs, "o", linestyle="--", color=LIGHT["orange"], label="val")
        axes.set_ylabel("loss")
        _mark_drops(axes, model, epochs, 1)
        _label_x(axes, epochs)
        _legend(axes)
    return drawing.svg


def accuracy(model: Model, name: str) -> Markup:
    """Accuracy on val at every test, and on train if it was measured."""
    val = model.curves.series("accuracy")
    train = [(row.iteration, row.accuracy) for row in model.train_accuracy]
    # A net with an Accuracy layer in the TRAIN phase also shows single batches, with dropout.
    batches = [(at.iteration, at.outputs["accuracy"]) for at in model.curves.displayed if "accuracy" in at.outputs]
    alt = f"Accuracy of {model.name} by epoch"
    for points, split in ((val, "val"), (train, "train")):
        if points:
            alt += f"; on {split} up to {max(value for _, value in points):.3f}"
    epochs = _in_epochs([model])
    with plot(name, alt) as drawing:
        axes = drawing.axes
        if batches:
            at, mean, *_ = thinned(_x(model, [at for at, _ in batches], epochs), np.array(batches)[:, 1])
            axes.plot(at, mean, color=LIGHT["sky"], linewidth=1, label="train batches")
        if train:
            _line(axes, model, train, epochs, "s", color=LIGHT["blue"], label="train")
        if val:
            _line(axes, model, val, epochs, "o", linestyle="--", color=LIGHT["orange"], label="val")
        mark_chance(axes)
        axes.set_ylabel("accuracy")
        axes.set_ylim(bottom=0)
        _mark_drops(axes, model, epochs, 0)
        _label_x(axes, epochs)
        _legend(axes)
    return drawing.svg


def beside_the_report(curves: Mapping[str, Sequence[tuple[float, float]]], name: str, in_epochs: bool) -> Markup:
    """Accuracy on val of all models, and the report's points, which are in epochs.

    Args:
        curves: each model's tests by its name, as (epoch or iteration, accuracy).
        in_epochs: True for epochs, False for iterations.
    """
    best = {model: max(value for _, value in points) for model, points in curves.items() if points}
    told = ", ".join(f"{model} {value:.3f}" for model, value in best.items())
    alt = f"Accuracy on val of all models by epoch beside the report's. Best: {told or 'not tested yet'}"
    with plot(name, alt, height=3.4) as drawing:
        axes = drawing.axes
        for index, (model, points) in enumerate(curves.items()):
            axes.plot([at for at, _ in points], [value for _, value in points], linestyle=_DASHES[index % len(_DASHES)],
                      marker="." if len(points) <= _MARKED else "", label=model)  # fmt: skip
        for family, marker, label in (("nin", "D", "report: NIN"), ("alexnet", "s", "report: AlexNet")):
            if in_epochs:
                axes.plot(*zip(*paper.curve(family)), marker, color=LIGHT["ink"], markerfacecolor=LIGHT["paper"],
                          markersize=6, zorder=5, label=label)  # fmt: skip
        mark_chance(axes)
        axes.set_ylabel("accuracy on val")
        axes.set_ylim(bottom=0)
        _label_x(axes, in_epochs)
        _legend(axes)
    return drawing.svg


def all_beside_the_report(models: Sequence[Model], name: str) -> Markup:
    """`beside_the_report` for the runs of an experiment."""
    epochs = _in_epochs(models)
    curves = {
        model.name: [(model.epoch(at) if epochs else at, value) for at, value in model.curves.series("accuracy")]
        for model in models
    }
    return beside_the_report(curves, name, epochs)
