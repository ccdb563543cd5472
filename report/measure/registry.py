"""Our number beside one of the report's, and the registry of how each is measured."""

from collections.abc import Callable
from dataclasses import dataclass

from report import paper
from report.experiment import Experiment


@dataclass(frozen=True)
class Made:
    """How a number was made that comes from no run's journal."""

    command: str
    commit: str | None
    machine: str | None
    data: str | None
    seeds: tuple[int, ...]
    seconds: float
    time: str | None  # when it ended


@dataclass(frozen=True)
class MeasuredNumber:
    """One number measured here: its value as shown, and a note on its origin ("nin1, 12.0 epochs")."""

    value: str
    note: str = ""
    models: tuple[str, ...] = ()  # the models whose runs it comes from
    made: Made | None = None  # its origin if it comes from no run
    images: int | None = None  # the number of images that an accuracy or an error is a share of


Measure = Callable[[Experiment], MeasuredNumber | None]
MEASURES: dict[str, Measure] = {}


def measures(name: str) -> Callable[[Measure], Measure]:
    """Register how the number of that name in paper.toml is measured; the measure returns None while it cannot be."""
    if name not in {number.name for number in paper.numbers()}:
        raise KeyError(f"{name}: not in paper.toml")

    def register(measure: Measure) -> Measure:
        if name in MEASURES:
            raise KeyError(f"{name}: registered twice")
        MEASURES[name] = measure
        return measure

    return register
