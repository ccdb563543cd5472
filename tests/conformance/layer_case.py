"""A layer case, and the vocabulary of the tables in cases/."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Bottom:
    """One bottom blob: uniform in [low, high), or whole numbers low..high (labels, indices, ties)."""

    shape: tuple[int, ...]
    low: float = -1.0
    high: float = 1.0
    integers: bool = False
    gradient: bool = True


@dataclasses.dataclass(frozen=True)
class Case:
    """A layer under test. `text` is its prototxt without name, type, bottoms and tops.

    backward: False where Caffe has no gradient (it aborts). top_diffs: False keeps the diffs Caffe put into
    the tops (the loss weight). params: the range parameters are drawn from. forwards: passes before the tops
    are read. learned: bottoms that have a gradient are Parameter layers and the first top is a loss.
    Types that abort under force_backward need this. records: the number of records given with set_input_arrays.
    """

    name: str
    type: str
    text: str
    bottoms: tuple[Bottom, ...]
    tops: tuple[str, ...] = ("top",)
    phase: str = "TEST"
    backward: bool = True
    top_diffs: bool = True
    params: tuple[float, float] = (-1.0, 1.0)
    forwards: int = 1
    learned: bool = False
    records: int = 0


def labels(shape: tuple[int, ...], classes: int) -> Bottom:
    """Whole numbers 0..classes-1. Caffe gives labels no gradient."""
    return Bottom(shape, 0, classes - 1, integers=True, gradient=False)


def whole(*shape: int) -> Bottom:
    """Whole numbers -2..2: ties, and values exactly at a kink."""
    return Bottom(shape, -2, 2, integers=True)


def cases(type_: str, wrap: str, *rows: Sequence, **common) -> list[Case]:
    """Rows of (name, fields, bottom, ..., {options}), with `wrap % fields` as the prototxt text.

    A tuple of ints is a Bottom.
    """
    table = []
    for name, fields, *rest in rows:
        options = dict(common)
        if rest and isinstance(rest[-1], dict):
            options |= rest.pop()
        bottoms = tuple(each if isinstance(each, Bottom) else Bottom(each) for each in rest)
        table.append(Case(f"{type_}/{name}", type_, wrap % fields, bottoms, **options))
    return table


IN_PLACE = {"tops": ("b0",)}
NO_GRADIENT = {"backward": False}
