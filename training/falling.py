"""The report's own sign for dropping the rate, made exact: does the loss still fall steadily?

"Thus we manually looked at the learning rate every few hours and dropped it by a factor of 10 when we felt
that the loss function was not steadily decreasing any more" (section 4). Here that means:

1. Average the displayed losses since the last rate change over epochs, counted back from the newest. The last
   ten epochs count. Caffe reads the images in the same order in every epoch. The loss rises and falls with
   them, but their mean does not.
2. Take all pairs of these epochs (45 for ten). Count the pairs in which the later epoch has the lower loss.
3. Under a constant expected loss, every order of the epochs is equally likely. The loss falls steadily if
   fewer than 5 in 100 of all orders have as many such pairs. That is 33 of 45 for ten epochs, 9 of 10 for five.

This is the test of Mann (1945) and Kendall. It requires no size of the fall, only that the fall exceeds the
fluctuation. One outlying epoch spoils 9 of 45 pairs at most. Under five epochs there is no verdict.
"""

import math
from dataclasses import dataclass
from enum import Enum
from itertools import combinations, pairwise

from training.curves import Curves, Displayed, is_lost

WINDOWS = 10
FEWEST = 5
LEVEL = 0.05
_BEGUN = 0.99  # share of the very first loss; a loss above it has not begun to fall


class Trend(Enum):
    """The direction of the loss."""

    FALLS = "falls steadily"
    FALLS_NO_LONGER = "no longer falls steadily"
    NOT_BEGUN = "has not begun to fall"
    TOO_EARLY = "too early to say"
    DIVERGED = "diverged"


@dataclass(frozen=True)
class Verdict:
    """The trend and the numbers behind it."""

    trend: Trend
    windows: tuple[float, ...]  # mean losses, the oldest first
    lower: int  # pairs of windows in which the later one has the lower loss
    needed: int  # number of such pairs that makes a steady fall
    since: int  # the iteration of the last rate change

    @property
    def pairs(self) -> int:
        return len(self.windows) * (len(self.windows) - 1) // 2

    def __str__(self) -> str:
        if self.trend is Trend.TOO_EARLY:
            seen = f"{len(self.windows)} of {FEWEST} epochs since iteration {self.since}"
            return f"too early to say whether it falls steadily: {seen}"
        if self.trend is Trend.DIVERGED:
            return "diverged"
        counted = f"the later epoch is lower in {self.lower} of {self.pairs} pairs of the last {len(self.windows)}"
        return f"{self.trend.value}: {counted}; {self.needed} would be steady"


def verdict(curves: Curves, epoch: float) -> Verdict:
    """The trend of the train loss, over windows of `epoch` iterations."""
    since = curves.rate_changes[-1].iteration if curves.rate_changes else 0
    points = [point for point in curves.displayed if point.iteration >= since]
    windows = means(points, since, epoch)
    lower, needed = _lower(windows), _needed(len(windows))
    if points and is_lost(points[-1].loss):
        trend = Trend.DIVERGED
    elif len(windows) < FEWEST:
        trend = Trend.TOO_EARLY
    elif lower >= needed:
        trend = Trend.FALLS
    elif not _begun(windows, curves):
        trend = Trend.NOT_BEGUN
    else:
        trend = Trend.FALLS_NO_LONGER
    return Verdict(trend, windows, lower, needed, since)


def begun(curves: Curves, told: Verdict) -> bool:
    """True if the loss is clearly below the very first. A net still at chance falls steadily, but only a little."""
    return bool(told.windows) and _begun(told.windows, curves)


def _begun(windows: tuple[float, ...], curves: Curves) -> bool:
    return windows[-1] <= _BEGUN * curves.displayed[0].loss


def last_good(curves: Curves) -> int:
    """The newest displayed iteration whose loss was not that of a diverged net; 0 if there is none."""
    return max((point.iteration for point in curves.displayed if not is_lost(point.loss)), default=0)


def rises(values: list[float]) -> bool:
    """True if the last ten values rise steadily, by the same count. It is used for the loss of val."""
    last = [-value for value in values[-WINDOWS:]]
    return len(last) >= FEWEST and _lower(last) >= _needed(len(last))


def means(points: list[Displayed], since: int, epoch: float) -> tuple[float, ...]:
    """Mean losses of the last epochs, the oldest first. No epoch reaches back beyond `since`."""
    if len(points) < 2:
        return ()
    # If displays are further apart than an epoch, each window is long enough to hold one.
    shown = [since, *(point.iteration for point in points)]
    epoch = max(epoch, *(after - before for before, after in pairwise(shown)))
    end = shown[-1]
    count = min(WINDOWS, int((end - since) / epoch))
    windows = []
    for number in range(count, 0, -1):
        begin = end - number * epoch
        losses = [point.loss for point in points if begin < point.iteration <= begin + epoch]
        windows.append(sum(losses) / len(losses))
    return tuple(windows)


def _lower(windows) -> int:
    return sum(later < earlier for earlier, later in combinations(windows, 2))


def _needed(count: int) -> int:
    """The fewest pairs in falling order that at most LEVEL of all orders of `count` windows have."""
    orders = [1]  # orders by their number of such pairs, for 1 window, 2 windows, ...
    for size in range(2, count + 1):
        orders = [sum(orders[max(0, pairs - size + 1) : pairs + 1]) for pairs in range(len(orders) + size - 1)]
    total, rest = math.factorial(count), 0
    for pairs in range(len(orders) - 1, -1, -1):
        rest += orders[pairs]
        if rest > LEVEL * total:
            return pairs + 1
    return 0
