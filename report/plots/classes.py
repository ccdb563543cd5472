"""Plots over the 200 classes: their accuracies, their confusions, and how often the submission names each."""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from report.figure import WIDTH, plot
from report.palette import LIGHT


def accuracies(accuracy: np.ndarray, name: str) -> Markup:
    """The accuracy of every class, in order: (200,) -> the curve."""
    known = np.sort(accuracy[~np.isnan(accuracy)])[::-1]
    alt = f"Accuracy of {len(known)} classes in order, from {known[0]:.2f} to {known[-1]:.2f}, mean {known.mean():.3f}"
    with plot(name, alt, height=WIDTH * 0.9) as drawing:  # the height of the confusion beside it
        axes = drawing.axes
        axes.stairs(known, np.arange(len(known) + 1) - 0.5, fill=True, color=LIGHT["blue"])
        axes.axhline(known.mean(), color=LIGHT["orange"], linestyle="--", linewidth=1.2)
        axes.annotate(f"mean {known.mean():.3f}", (len(known) - 1, known.mean()), (0, 3), ha="right",
                      textcoords="offset points", color=LIGHT["ink"])  # fmt: skip
        axes.set(
            xlabel="classes, the best first", ylabel="accuracy on val", xlim=(-0.5, len(known) - 0.5), ylim=(0, None)
        )
    return drawing.svg


def confusion(counts: np.ndarray, groups: Sequence[tuple[str, int]], name: str) -> Markup:
    """The counts (C, C) by class and guess in the given order, with (group, number of classes) along both sides."""
    size = len(counts)
    right, total = int(np.trace(counts)), int(counts.sum())
    alt = f"Confusion of {size} classes: {right} of {total} images on the diagonal"
    with plot(name, alt, WIDTH, WIDTH * 0.98) as drawing:
        axes = drawing.axes
        axes.imshow(_picture(counts), extent=(0, size, size, 0), interpolation="none", resample=False)
        ends = np.cumsum([number for _, number in groups])
        for end in ends[:-1]:
            axes.axhline(end, color=LIGHT["line"], linewidth=0.8)
            axes.axvline(end, color=LIGHT["line"], linewidth=0.8)
        # A group of few classes has no room for its name beside its neighbour's.
        wide = [(kind, end - number / 2) for (kind, number), end in zip(groups, ends) if number >= size / 25]
        axes.set_xticks([middle for _, middle in wide], [kind for kind, _ in wide])
        axes.set_yticks([middle for _, middle in wide], [kind for kind, _ in wide], rotation=90, va="center")
        axes.tick_params(length=0)
        axes.grid(False)
        axes.set(xlabel="taken for", ylabel="true class")
        for side in axes.spines.values():
            side.set(visible=True, color=LIGHT["line"])
    return drawing.svg


def _picture(counts: np.ndarray) -> np.ndarray:
    """RGBA (C, C, 4), one pixel per cell; more images give a deeper colour. It is transparent, for light and dark pages."""
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    colours = np.empty((*counts.shape, 4), dtype=np.uint8)
    colours[..., :3] = _rgb("orange")
    colours[np.arange(len(counts)), np.arange(len(counts)), :3] = _rgb("blue")
    # A square root and a first step make single mistakes visible beside the diagonal.
    depth = 0.15 + 0.85 * np.sqrt(share / max(share.max(), 1e-9))
    colours[..., 3] = np.where(counts > 0, np.rint(255 * depth), 0)
    return colours


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(LIGHT[colour][1:]))


def counts(predicted: np.ndarray, expected: float, name: str) -> Markup:
    """The images that each class gets, in order, int (200,), and the number expected if all got as many."""
    ordered = np.sort(predicted)[::-1]
    alt = f"Images given to each of {len(ordered)} classes, from {ordered[0]} to {ordered[-1]}; {expected:g} expected"
    with plot(name, alt) as drawing:
        axes = drawing.axes
        axes.stairs(ordered, np.arange(len(ordered) + 1) - 0.5, fill=True, color=LIGHT["blue"])
        axes.axhline(expected, color=LIGHT["orange"], linestyle="--", linewidth=1.2)
        axes.annotate(f"{expected:g} expected", (len(ordered) - 1, expected), (0, 3), ha="right",
                      textcoords="offset points", color=LIGHT["ink"])  # fmt: skip
        axes.set(xlabel="classes, the most frequent first", ylabel="test images", xlim=(-0.5, len(ordered) - 0.5))
    return drawing.svg
