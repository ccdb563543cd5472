"""Whatever stops a run, nothing is lost: `make torture` tries it with real processes, `make test` a share of it."""

from tests.torture import hostile_files, kills
from tests.torture.faults import Fault

FAULTS: list[Fault] = [*kills.FAULTS, *hostile_files.FAULTS]
