"""The report's choice, made exact: "train several architectures for a short amount of time, and choose the best one".

"We observed that AlexNet tended to saturate after a few tens of epochs while NIN continued learning as evidenced by
the training and val accuracy continuing to increase steadily" (section 4). So a try that still learns is continued:

1. A try still learns if its train loss falls steadily to the end and is below its start. training/falling.py
   decides that, over tenths of a run if it has fewer than ten epochs.
2. Among those that still learn, the choice is the one with the highest accuracy on val at the end. If none still
   learns, it is the one with the highest accuracy of all, which the reason states.
3. Its lead over the next is given with a 95 % interval, as a few epochs often cannot separate two rates.
"""

from collections.abc import Sequence

from first_pass.outcome import Outcome
from harness import intervals


def choose(outcomes: Sequence[Outcome]) -> tuple[Outcome, str]:
    """The try to continue, and the reason. `outcomes` has one or more, with equally many epochs."""
    learning = [one for one in outcomes if one.learns]
    among = learning or list(outcomes)
    ranked = sorted(among, key=lambda one: (one.accuracy, one.rate), reverse=True)
    chosen = ranked[0]
    if learning:
        many = f"of the {len(learning)} of {len(outcomes)} that still learn" if len(learning) > 1 else "the only one"
        many += " it has" if len(learning) > 1 else " that still learns, with"
    else:
        many = "none still learns; of all it has"
    least, most = chosen.interval
    reason = f"{many} the highest accuracy on val" if len(among) > 1 else f"{many} an accuracy on val"
    reason += f", {chosen.accuracy:.4f} [{least:.4f}, {most:.4f}]"
    if len(ranked) > 1:
        reason += "; " + _ahead(chosen, ranked[1])
    better = [one for one in outcomes if one.accuracy > chosen.accuracy]
    if better:
        reason += "; " + ", ".join(
            f"{one} has {one.accuracy:.4f}, but its loss {one.trend.partition(':')[0]}" for one in better
        )
    return chosen, reason


def _ahead(one: Outcome, other: Outcome) -> str:
    gain = intervals.difference(one.counted, other.counted)
    sure = "beyond noise" if gain.low > 0 else "within noise"
    return f"{gain.value:.4f} [{gain.low:.4f}, {gain.high:.4f}] more than {other}, which is {sure}".replace(
        "[-", "[\N{MINUS SIGN}"
    )


def best_of_each_model(outcomes: Sequence[Outcome]) -> dict[str, Outcome]:
    """The choice among the tries of each model."""
    models = dict.fromkeys(one.model for one in outcomes)
    return {model: choose([one for one in outcomes if one.model == model])[0] for model in models}
