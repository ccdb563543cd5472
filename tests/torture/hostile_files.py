"""Every kind of file, cut and changed in many ways: a clear error, or nothing that could be known (tests/hostile/)."""

from functools import partial
from pathlib import Path

from tests.hostile.artifacts import ARTIFACTS
from tests.hostile.trial import SURVIVED, Reader
from tests.torture.faults import Case, Fault, expect

CUTS, FLIPS = 40, 600


def read_damaged(name: str) -> None:
    """All damage to one kind of file."""
    with Reader(Path.cwd()) as reader:
        outcomes = [
            reader.read(name, kind, n) for kind, count in (("cut", CUTS), ("flip", FLIPS)) for n in range(count)
        ]
    lost = [outcome for outcome in outcomes if outcome.verdict not in SURVIVED]
    expect(not lost, f"{len(lost)} of {len(outcomes)}: {lost[:3]}")


FAULTS = [
    Fault(f"{name}: cut or changed", [Case("all", partial(read_damaged, name), CUTS + FLIPS)]) for name in ARTIFACTS
]
