"""One snapshot on the splits, with and without crop and mirror."""

from markupsafe import Markup

from report.figure import plot
from report.palette import LIGHT

_KINDS = (("center", "centre", "o", "blue"), ("random", "random crop and mirror", "s", "orange"),
          ("whole", "whole image", "D", "green"))  # fmt: skip


def accuracies(found: dict, name: str) -> Markup:
    """Accuracy on train, val and held-out images with 95 % intervals, side by side by kind of view."""
    splits = [split for split in ("train", "val", "holdout") if split in found["splits"]]
    told = "; ".join(
        f"{split} {label} {_of(found['splits'][split], kind)[0]:.4f}"
        for split in splits for kind, label, *_ in _KINDS if kind in found["splits"][split]
    )  # fmt: skip
    with plot(name, f"Accuracy of {found['model']}: {told}") as drawing:
        axes = drawing.axes
        for number, (kind, label, marker, colour) in enumerate(_KINDS):
            at = [place for place, split in enumerate(splits) if kind in found["splits"][split]]
            if not at:
                continue
            values = [_of(found["splits"][splits[place]], kind) for place in at]
            lower, upper = ([abs(value[end] - value[0]) for value in values] for end in (1, 2))
            axes.errorbar([place + 0.16 * (number - 1) for place in at], [value[0] for value in values], [lower, upper],
                          marker=marker, color=LIGHT[colour], capsize=3, linestyle="none", label=label)  # fmt: skip
        axes.set_xticks(range(len(splits)), ["held out" if split == "holdout" else split for split in splits])
        axes.set(ylabel="accuracy", xlim=(-0.5, len(splits) - 0.5))
        axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=3, handletextpad=0.1, columnspacing=1,
                    borderaxespad=0.2)  # fmt: skip
    return drawing.svg


def _of(split: dict, kind: str) -> list[float]:
    """(accuracy, low, high). Random passes get the centre's interval; their own range omits the choice of images."""
    if kind != "random":
        return split[kind]
    half = [end - split["center"][0] for end in split["center"][1:]]
    return [split["random"]["accuracy"], *(split["random"]["accuracy"] + one for one in half)]
