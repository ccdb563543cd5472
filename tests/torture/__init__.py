"""Whatever stops a run, nothing is lost: `make torture` tries it with real processes, `make test` a share of it."""

from tests.torture import kills
from tests.torture.faults import Fault

FAULTS: list[Fault] = [*kills.FAULTS]
