"""Our number beside one of the report's, and the registry of how each is measured."""

from collections.abc import Callable
from dataclasses import dataclass

from report import paper
from report.experiment import Experiment


@dataclass(frozen=True)
class Made:
    """What stands behind a number that no run's journal tells of."""

    command: str
    commit: str | None
    machine: str | None
    data: str | None
    seeds: tuple[int, ...]
    seconds: float
    time: str | None  # when it ended


@dataclass(frozen=True)
class Ours:
    """A number of ours: its value as shown, and what it is of ("nin1, 12.0 epochs")."""

    value: str
    note: str = ""
    models: tuple[str, ...] = ()  # whose runs it comes from
    made: Made | None = None  # where it comes from no run
    images: int | None = None  # that an accuracy or an error is a share of


Measure = Callable[[Experiment], Ours | None]
MEASURES: dict[str, Measure] = {}


def measures(name: str) -> Callable[[Measure], Measure]:
    """Register how the number of that name in paper.toml is measured; None says that it cannot be yet."""
    if name not in {number.name for number in paper.numbers()}:
        raise KeyError(f"{name}: not in paper.toml")

    def register(measure: Measure) -> Measure:
        if name in MEASURES:
            raise KeyError(f"{name}: registered twice")
        MEASURES[name] = measure
        return measure

    return register


def measured(experiment: Experiment) -> dict[str, Ours]:
    """Every number that this experiment gives, by name, in the report's order."""
    from report.measure import data, ensembles, first_pass, settings, training  # noqa: F401  they register themselves

    found = {number.name: MEASURES[number.name](experiment) for number in paper.numbers() if number.name in MEASURES}
    return {name: ours for name, ours in found.items() if ours is not None}
