"""Whatever stops a run, nothing is lost: `make torture` tries it with real processes, `make test` a share of it."""

from tests.torture import builds, company, disks, hostile_files, kills, power_cut, runs
from tests.torture.faults import Fault

FAULTS: list[Fault] = [
    *kills.FAULTS,
    *power_cut.FAULTS,
    *runs.FAULTS,
    *builds.FAULTS,
    *disks.FAULTS,
    *company.FAULTS,
    *hostile_files.FAULTS,
]
