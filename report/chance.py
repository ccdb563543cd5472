"""Context for every accuracy: chance, and the 95 % interval for its number of images."""

from ensemble import rule
from harness import intervals
from report.full_runs import VAL_IMAGES
from report.paper import Number

CHANCE = 1 / rule.CLASSES


def interval(share: float | None, images: int | None) -> intervals.Interval | None:
    """Wilson's interval of a share of so many images; None if either is not known."""
    if share is None or share != share or not images:
        return None
    return intervals.accuracy(round(share * images), images)


def beside(number: Number, value: str, note: str, images: int | None = None) -> str:
    """The intervals of a number's values, and the value by chance; "" for a number that is no share.

    Args:
        images: the number of images behind the values. By default all val images of Tiny ImageNet count.
    """
    if not number.share:
        return ""
    parts = []
    if "95 %" not in note:
        found = [interval(float(one), images or VAL_IMAGES) for one in value.split(", ")]
        parts.append("95 %: " + ", ".join(f"{one.low:.3f} to {one.high:.3f}" for one in found if one))
    error = "error" in number.what
    return "; ".join([*parts, f"chance {1 - CHANCE if error else CHANCE:.3f}"])
