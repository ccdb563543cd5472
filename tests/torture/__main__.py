"""Try every fault and print one table: how often each was tried, survived, lost (make torture).

    python -m tests.torture [--only WORD] [--jobs 2]

The exit status is 1 if anything was lost. The folders of the lost cases are kept and named.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

from tests.torture import FAULTS
from tests.torture.faults import attempt


@dataclass
class Row:
    """The outcomes of a fault's cases."""

    tried: int = 0
    lost: int = 0
    not_here: set[str] = field(default_factory=set)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", metavar="WORD", help="only faults with this in their name")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="cases at a time")
    options = parser.parse_args(argv)
    faults = [fault for fault in FAULTS if options.only.lower() in fault.name.lower()]
    work = Path(tempfile.mkdtemp(prefix="torture-"))
    rows = {fault.name: Row() for fault in faults}
    begun = time.monotonic()
    with ProcessPoolExecutor(options.jobs, get_context("spawn")) as pool:
        # The long ones first, so that none is left over in the end.
        cases = [(fault, case) for fault in faults for case in fault.cases]
        cases.sort(key=lambda pair: -pair[1].faults)
        futures = {
            pool.submit(attempt, case, str(work / str(n))): (fault, case) for n, (fault, case) in enumerate(cases)
        }
        for done in as_completed(futures):
            fault, case = futures[done]
            outcome, tried, why = done.result()
            row = rows[fault.name]
            if outcome == "not here":
                row.not_here.add(why)
                continue
            row.tried += tried
            row.lost += tried if outcome == "lost" else 0
            if outcome == "lost":
                print(f"LOST: {fault.name}, {case.name}: {why}", file=sys.stderr, flush=True)
            elif sys.stderr.isatty():
                print(f"{fault.name}, {case.name}", file=sys.stderr, flush=True)
    show(rows, time.monotonic() - begun)
    lost = sum(row.lost for row in rows.values())
    if lost:
        print(f"What was lost is in {work}")
    else:
        shutil.rmtree(work, ignore_errors=True)
    return 1 if lost or not any(row.tried for row in rows.values()) else 0


def show(rows: dict[str, Row], seconds: float) -> None:
    """Print the table."""
    width = max(map(len, rows), default=0)
    print(f"{'fault':<{width}}  tried  survived  lost")
    for name, row in rows.items():
        if row.tried:
            print(f"{name:<{width}}  {row.tried:>5}  {row.tried - row.lost:>8}  {row.lost:>4}")
        for reason in sorted(row.not_here):
            print(f"{name:<{width}}  not tried: {reason}")
    tried, lost = (sum(getattr(row, name) for row in rows.values()) for name in ("tried", "lost"))
    print(f"{f'all, in {seconds / 60:.0f} minutes':<{width}}  {tried:>5}  {tried - lost:>8}  {lost:>4}")


if __name__ == "__main__":
    sys.exit(main())
