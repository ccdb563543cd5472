"""The report's numbers, as paper.toml has them."""

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
    value: str  # as the report writes it
    family: str | None = None  # "nin" or "alexnet", where it is a point of a curve
    epoch: int | None = None
    readme: bool = False
    share: bool = False  # an accuracy or an error, beside which chance and a 95 % interval stand
    stand_in: str | None = None  # of the judge's test set, which is closed: what stands in for it here, "" for nothing

    chosen: bool = False  # of a result's kind, but people chose it: it counts as none that training gave

    @property
    def counts(self) -> bool:
        """Whether it is a result that a training here can give."""
        return self.kind == "result" and not self.chosen and not self.judge

    @property
    def judge(self) -> bool:
        """Whether only the judge of the test set could measure it."""
        return self.stand_in is not None

    @property
    def accuracy(self) -> float:
        """The value of a point of a curve, in [0, 1]."""
        return float(self.value.removeprefix("about "))


@cache
def numbers() -> tuple[Number, ...]:
    """All of them, in the report's order."""
    text = resources.files(__package__).joinpath("paper.toml").read_text(encoding="utf-8")
    return tuple(Number(name, **fields) for name, fields in tomllib.loads(text).items())


def value(name: str) -> str:
    """A number as the report writes it."""
    return next(number.value for number in numbers() if number.name == name)


def curve(family: str) -> list[tuple[int, float]]:
    """(epoch, accuracy on val) that the report gives for an architecture."""
    return [(number.epoch, number.accuracy) for number in numbers() if number.family == family and number.epoch]


def family_of(model: str) -> str | None:
    """The architecture of one of the report's models, as nin of nin2; None for others, as nin1_prelu."""
    found = re.fullmatch(r"(nin|alexnet)\d*", model)
    return found and found[1]
