"""Numbers from before the five trainings: K-means, and a few epochs at several learning rates."""

from pathlib import Path

from ensemble import rule
from first_pass import choice, kmeans, outcome
from first_pass.outcome import Exploration
from harness import provenance
from harness.errors import UserError
from report import paper
from report.chance import CHANCE
from report.experiment import Experiment
from report.measure.registry import Made, MeasuredNumber, measures


def kmeans_rows(experiment: Experiment) -> list[kmeans.Row]:
    """The fits on the images of this data; [] if the file cannot be read, which becomes a problem."""
    return [row for row in _read(experiment, kmeans.read, kmeans.NAME) or [] if row.data == _here(experiment)]


def explored(experiment: Experiment) -> Exploration | None:
    """The last exploration on the images of this data; None if there is none or it cannot be read."""
    found = _read(experiment, outcome.load, f"explore/{outcome.NAME}")
    return found if found and found.data == _here(experiment) else None


def _read(experiment: Experiment, read, name: str):
    try:
        return read(experiment.runs / name)
    except (UserError, OSError) as error:
        if str(error) not in experiment.problems:
            experiment.problems.append(str(error))
        return None


def _here(experiment: Experiment) -> str:
    """The identity of the images; without images "", which no run has."""
    mean: Path = experiment.data / "mean.binaryproto"
    return provenance.digest_of_mean(mean) if mean.is_file() else ""


@measures("kmeans-error")
def kmeans_error(experiment: Experiment) -> MeasuredNumber | None:
    """The error with one cluster per class, or the nearest number; the lowest seed counts, not the best one."""
    rows = kmeans_rows(experiment)
    if not rows:
        return None
    clusters = min({row.clusters for row in rows}, key=lambda count: abs(count - rule.CLASSES))
    same = sorted((row for row in rows if row.clusters == clusters), key=lambda row: row.seed)
    first = same[0]
    note = f"{clusters} clusters, 95 % interval {first.val.low:.3f} to {first.val.high:.3f}"
    if len(same) > 1:
        errors = [row.val.error for row in same]
        note += f"; {len(same)} seeds {min(errors):.3f} to {max(errors):.3f}"
    made = Made(
        first.command, first.commit, first.machine, first.data, (first.seed,), first.processor_seconds, first.time
    )
    return MeasuredNumber(f"{first.val.error:.3f}", note, made=made)


@measures("alexnet-best-rate")
def alexnet_best_rate(experiment: Experiment) -> MeasuredNumber | None:
    """The rate that explore's rule chooses for AlexNet, from two or more tried with the net's own dropout."""
    found = explored(experiment)
    tried = [one for one in found.outcomes if _is_alexnet(one)] if found else []
    if len({one.rate for one in tried}) < 2:
        return None
    best, _ = choice.choose(tried)
    others = ", ".join(f"{one.rate:g}: {_told(one)}" for one in tried if one is not best)
    note = f"{best.model} after {best.epochs} epochs: accuracy on val {_told(best)}; at {others}; chance {CHANCE:.3f}"
    seeds = tuple(sorted({one.seed for one in tried}))
    seconds = sum(one.seconds for one in tried)
    behind = (found.command, found.commit, found.machine, found.data, seeds, seconds, found.time)
    return MeasuredNumber(f"{best.rate:g}", note, made=Made(*behind))


def _told(one: outcome.Outcome) -> str:
    """An accuracy and its 95 % interval."""
    low, high = one.interval
    return f"{one.accuracy:.3f} [{low:.3f}, {high:.3f}]"


def _is_alexnet(one: outcome.Outcome) -> bool:
    return paper.family_of(one.model) == "alexnet" and one.dropout is None
