"""Judge each explanation for the report's loss of 4 points from val to test by our numbers.

One rule holds for all. An explanation is supported if the whole 95 % interval of its cost lies above 0. It is
contradicted if the whole interval lies below. Otherwise it is not shown, and the upper end is the most it could cost.

Test has no labels here. For effects that only the test images could show, the rule uses the net's loss of
confidence on them. This shows whether they are harder. It does not show how many points of accuracy that costs, and is never
counted as such.
"""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

from harness import intervals
from harness.errors import UserError
from harness.intervals import Interval

#: The report's accuracies (section 5), each on 10,000 images.
VAL, TEST, IMAGES = 0.47, 0.43, 10_000
GAP = VAL - TEST
#: The report's possible candidates for a choice on val: its models, or snapshots of every two epochs of about 100.
MODELS, SNAPSHOTS = 5, 250

SUPPORTED, CONTRADICTED, NOT_SHOWN, NOT_MEASURED = "supported", "contradicted", "not shown", "not measured"
AT_MOST, BESIDE = "a part at most", "beside the point"


class Reason(NamedTuple):
    """An explanation, and the verdict of our numbers."""

    what: str
    verdict: str
    cost: Interval | None  #: the part of the gap it would explain, in shares of accuracy; None if not measured
    text: str
    less_sure: Interval | None = None  #: mean confidence on val minus test; used when the accuracy cost is unknown

    @property
    def size(self) -> str:
        """The part of the gap it explains, or the loss of confidence if that part is unknown."""
        if self.cost is None:
            return f"the net is {100 * self.less_sure.value:.1f} points less sure of them; only labels tell what that costs"
        return f"{100 * self.cost.value:.1f} of the report's {100 * GAP:.0f} points"


def verdict(cost: Interval) -> str:
    """The verdict on a cost, by the rule in the module's docstring."""
    if cost.low > 0:
        return SUPPORTED
    return CONTRADICTED if cost.high < 0 else NOT_SHOWN


def points(one: Interval) -> str:
    """A share in points with its interval, as "+1.2 points (95 %: +0.4 to +2.0)"."""
    value, low, high = (100 * each for each in one)
    return f"{value:+.1f} points (95 %: {low:+.1f} to {high:+.1f})".replace("-", "\N{MINUS SIGN}")


def reasons(found: dict) -> list[Reason]:
    """The conclusions from a file of `ensemble.scoring.gap`; UserError if it is not one."""
    try:
        return [_chance(), _forward(found), _choice(), _held_out(found), _memory(found), _another_set(found)]
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise UserError(f"not what `python -m ensemble.scoring.gap` writes ({error!r}); run it again") from error


def _chance() -> Reason:
    told = intervals.difference(*(intervals.accuracy(round(share * IMAGES), IMAGES) for share in (VAL, TEST)))
    text = (
        f"Two sets of {IMAGES:,} images of one kind rarely part by more than {100 * (told.value - told.low):.1f} points; "
        f"the report's {points(told)} are more."
    )
    return Reason("Chance", CONTRADICTED if told.low > 0 else NOT_SHOWN, told, text)


def _forward(found: dict) -> Reason:
    """The accuracy of random windows minus the fixed one's: the cost of testing without training's randomness."""
    cost = Interval(*found["splits"]["val"]["random_gain"])
    low, high = (found["splits"]["val"]["random"][name] for name in ("lowest", "highest"))
    what = "Random crops and mirrors in training but not in testing"
    text = f"On val, random windows give {points(cost)} against the centre; "
    passes = found["draws"]
    text += f"{passes} passes lie in {low:.4f} to {high:.4f}. " if passes > 1 else f"one pass has {low:.4f}. "
    text += {
        SUPPORTED: "So to test without them costs accuracy.",
        CONTRADICTED: "So to test without them gains accuracy, and cannot be what was lost.",
        NOT_SHOWN: "So to test without them costs nothing that can be told from noise.",
    }[verdict(cost)]
    text += " Besides, Caffe's TEST phase takes the centre on val and on test alike."
    return Reason(what, verdict(cost), cost, text)


def _choice() -> Reason:
    error = sqrt(VAL * (1 - VAL) / IMAGES)
    few, many = (intervals.best_of(count) * error for count in (MODELS, SNAPSHOTS))
    text = (
        f"The best of {MODELS} equal models, chosen on {IMAGES:,} val images, looks {100 * few:.1f} points too good on "
        f"average, the best of {SNAPSHOTS} snapshots {100 * many:.1f}. Both hold for independent errors and are upper "
        f"bounds, since candidates that are alike err on the same images; together {100 * GAP:.0f} points would need more."
    )
    return Reason("Models and snapshots chosen on val", AT_MOST, Interval(few, 0.0, many), text)


def _held_out(found: dict) -> Reason:
    what = "Val flatters: it is easier than other unseen images, or was fitted to"
    if "holdout" not in found["splits"]:
        text = "No images were held out; `make lmdb HOLDOUT=50` before the training keeps some."
        return Reason(what, NOT_MEASURED, None, text)
    val, held = (Interval(*found["splits"][name]["center"]) for name in ("val", "holdout"))
    cost = intervals.difference(val, held)
    text = f"Val less the held-out train images, which nothing was trained or chosen on: {points(cost)}. "
    text += {
        SUPPORTED: "So val is kinder than they are.",
        CONTRADICTED: "So val is the harder of the two, not the kinder one.",
        NOT_SHOWN: "So the two are alike as far as can be told.",
    }[verdict(cost)]
    return Reason(what, verdict(cost), cost, text)


def _memory(found: dict) -> Reason:
    train, val = (Interval(*found["splits"][name]["center"]) for name in ("train", "val"))
    gap = intervals.difference(train, val)
    text = f"Train less val: {points(gap)}. "
    text += "The net knows its train images better" if gap.low > 0 else "The net does not know its train images better"
    text += ", but neither val nor test is among them, so this takes from both and tells nothing of what lies between."
    return Reason("Over-fitting to the train images", BESIDE, gap, text)


def _another_set(found: dict) -> Reason:
    """The net's loss of confidence from val to test, which follows accuracy (Guillory et al. 2021)."""
    what = "The test images are harder than val's"
    of = (found["splits"][name] for name in ("val", "test"))
    sure = (intervals.Moments(one["confidence"][0], one["confidence_std"], one["images"]) for one in of)
    less_sure = intervals.mean_difference(*sure)
    text = "The test images have no labels here. The net's mean largest probability on val less that on test is "
    text += f"{points(less_sure)}, of confidence and not of accuracy. "
    text += {
        SUPPORTED: "It is less sure of test, as of harder images.",
        CONTRADICTED: "It is surer of test, as of easier images.",
        NOT_SHOWN: "It is as sure of the one as of the other, as of images of one kind.",
    }[verdict(less_sure)]
    return Reason(what, verdict(less_sure), None, text, less_sure)


def conclusion(found: list[Reason]) -> str:
    """The conclusion of all reasons, in words, by their verdicts alone."""
    by = {kind: [one for one in found if one.verdict == kind] for kind in {one.verdict for one in found}}

    def named(one: Reason) -> str:
        name = one.what[0].lower() + one.what[1:]
        return f"{name} ({one.size})" if one.verdict == SUPPORTED else name

    parts = [] if by.get(SUPPORTED) else ["No explanation is supported beyond noise by these numbers"]
    for kind in (SUPPORTED, CONTRADICTED, AT_MOST, NOT_SHOWN, BESIDE, NOT_MEASURED):
        if by.get(kind):
            parts.append(f"{kind}: {'; '.join(map(named, by[kind]))}")
    return ". ".join(part[0].upper() + part[1:] for part in parts) + "."
