"""The report's numbers, from paper.toml."""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources

KINDS = ("result", "setting", "data", "elsewhere")


@dataclass(frozen=True)
class Number:
    """One number of the report."""

    name: str
    section: str
    kind: str  # one of KINDS
    what: str
    value: str  # the report's text for it
    family: str | None = None  # "nin" or "alexnet", for a point of a curve
    epoch: int | None = None
    readme: bool = False
    share: bool = False  # True for an accuracy or an error, shown with chance and a 95 % interval
    stand_in: str | None = None  # the substitute for a number of the closed test set, "" for none
    chosen: bool = False  # True for a result that the authors chose; it does not count as given by training

    @property
    def counts(self) -> bool:
        """True for a result that a training here can give."""
        return self.kind == "result" and not self.chosen and not self.judge

    @property
    def judge(self) -> bool:
        """True for a number that only the judge of the test set could measure."""
        return self.stand_in is not None

    @property
    def accuracy(self) -> float:
        """The value of a point of a curve, in [0, 1]."""
        return float(self.value.removeprefix("about "))


@cache
def numbers() -> tuple[Number, ...]:
    """All numbers, in the report's order."""
    text = resources.files(__package__).joinpath("paper.toml").read_text(encoding="utf-8")
    return tuple(Number(name, **fields) for name, fields in tomllib.loads(text).items())


def value(name: str) -> str:
    """The value of a number, as the report writes it."""
    return next(number.value for number in numbers() if number.name == name)


def curve(family: str) -> list[tuple[int, float]]:
    """The report's points for an architecture, as (epoch, accuracy on val)."""
    return [(number.epoch, number.accuracy) for number in numbers() if number.family == family and number.epoch]


def family_of(model: str) -> str | None:
    """The architecture of one of the report's models, as nin for nin2; None for others, as nin1_prelu."""
    found = re.fullmatch(r"(nin|alexnet)\d*", model)
    return found and found[1]
