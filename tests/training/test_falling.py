"""The report's criterion on losses that are known to fall, to fluctuate, or to do something in between."""

import math
import random
from datetime import datetime
from itertools import permutations

import pytest

from training.curves import Curves, Displayed, RateChange, Run
from training.falling import Trend, _lower, _needed, last_good, means, rises, verdict

EPOCH = 100
RUN = Run()


def curves(loss, iterations, step=20, changes=()) -> Curves:
    """Curves of a function of the iteration."""
    made = Curves(2026)
    for i in range(0, iterations + 1, step):
        made.displayed.append(Displayed(i, loss(i), None, RUN, datetime(2026, 1, 1), 0.0, 0.01))
    made.rate_changes = [RateChange(i, 0.1, 0.01, True) for i in changes]
    return made


def trend(*args, **options) -> Trend:
    return verdict(curves(*args, **options), EPOCH).trend


@pytest.mark.parametrize("count", range(2, 8))
def test_the_needed_pairs_by_counting_all_orders(count):
    falling = sorted((_lower(order) for order in permutations(range(count))), reverse=True)
    rare = [pairs for pairs in set(falling) if sum(other >= pairs for other in falling) <= 0.05 * len(falling)]
    assert _needed(count) == min(rare, default=math.comb(count, 2) + 1)


def test_the_numbers_of_the_docstring():
    assert (_needed(5), math.comb(5, 2)) == (9, 10) and (_needed(10), math.comb(10, 2)) == (33, 45)


def test_a_loss_that_falls():
    noise = random.Random(1)
    assert trend(lambda i: 5 * math.exp(-i / 3000) + noise.gauss(0, 0.05), 2000) is Trend.FALLS


def test_a_loss_that_fluctuates():
    noise = random.Random(2)
    levelled = curves(lambda i: (5 - i / 500 if i < 1000 else 3) + noise.gauss(0, 0.05), 2500)
    told = verdict(levelled, EPOCH)
    assert told.trend is Trend.FALLS_NO_LONGER and told.lower < told.needed == 33 and told.pairs == 45
    assert str(told).startswith(f"no longer falls steadily: the later epoch is lower in {told.lower} of 45 pairs")


def test_five_in_a_hundred_at_most_are_taken_for_a_fall():
    noise = random.Random(3)
    taken = sum(trend(lambda i: 3 + noise.gauss(0, 0.1), 1000) is Trend.FALLS for _ in range(400))
    assert 4 <= taken <= 25, "3.6 in 100 are expected"


def test_a_fall_of_the_size_of_the_fluctuation_is_seen():
    noise = random.Random(4)
    # 0.02 an epoch, and a fluctuation of an epoch's mean of 0.1 / sqrt(5) = 0.045
    seen = sum(trend(lambda i: 3 - 0.0002 * i + noise.gauss(0, 0.1), 1000) is Trend.FALLS for _ in range(200))
    assert seen > 150


def test_the_order_of_the_images_is_no_fall_and_hides_none():
    def images(i):
        return math.sin(2 * math.pi * i / EPOCH)

    noise = random.Random(5)
    for end in range(2000, 2100, 20):
        assert trend(lambda i: 3 - i / 10000 + images(i), end) is Trend.FALLS
        assert trend(lambda i: 6 * (i < 500) + 3 + images(i) + noise.gauss(0, 0.1), end) is Trend.FALLS_NO_LONGER


def test_one_epoch_gone_wild_does_not_hide_a_fall():
    assert trend(lambda i: 3 - i / 1000 + 40 * (1300 < i <= 1400), 2000) is Trend.FALLS
    assert trend(lambda i: 3 - i / 1000 + 40 * (1900 < i <= 2000), 2000) is Trend.FALLS


def test_only_the_rate_in_force_counts():
    def loss(i):
        return 5 - i / 1000 if i < 1500 else 3

    assert trend(loss, 1600) is Trend.FALLS
    assert trend(loss, 1900, changes=[1500]) is Trend.TOO_EARLY
    early = verdict(curves(loss, 1950, changes=[700, 1500]), EPOCH)
    assert str(early) == "too early to say whether it falls steadily: 4 of 5 epochs since iteration 1500"
    assert trend(loss, 2000, changes=[1500]) is Trend.FALLS_NO_LONGER


def test_before_the_first_fall():
    noise = random.Random(6)
    assert trend(lambda i: 5.3 + noise.gauss(0, 0.01), 1500) is Trend.NOT_BEGUN
    assert trend(lambda i: 5.3 - i / 100000, 1500) is Trend.FALLS, "slowly, but it does"


@pytest.mark.parametrize("last", [math.nan, math.inf, -math.inf, 87.3365])
def test_a_loss_that_is_no_number(last):
    diverged = curves(lambda i: 5 - i / 1000 if i < 1990 else last, 2000)
    assert verdict(diverged, EPOCH).trend is Trend.DIVERGED and last_good(diverged) == 1980
    # once, and over: a window without a number is neither lower nor higher
    assert trend(lambda i: last if i == 1500 else 5 - i / 1000, 2000) is Trend.FALLS


def test_displays_further_apart_than_epochs():
    assert means(curves(lambda i: i, 900, step=300).displayed, 0, EPOCH) == (300, 600, 900)
    assert means(curves(lambda i: i, 900, step=300).displayed[2:], 100, EPOCH) == (750,)
    assert trend(lambda i: 9000 - i, 1500, step=300) is Trend.FALLS


def test_windows_end_at_the_newest_display():
    assert means(curves(lambda i: i, 260).displayed, 0, EPOCH) == (120, 220)
    assert means(curves(lambda i: i, 260).displayed, 0, 50) == (40, 90, 140, 190, 240)


def test_nothing_yet():
    assert trend(lambda i: 5, 0) is Trend.TOO_EARLY
    assert verdict(Curves(2026), EPOCH).trend is Trend.TOO_EARLY


def test_val_rises():
    assert rises([3, 2, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    assert not rises([1, 2, 3, 4]) and not rises([5, 4, 3, 2, 1]) and not rises([1, 3, 2, 5, 1, 2])
