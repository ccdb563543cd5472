"""The journal of a run folder: which solver text was in force from which iteration.

journal.jsonl holds two lines of JSON a run, one when it starts and one when it has ended, so that a run
that was killed shows as one without an end. The solver's whole text is in the first. Lines are only
ever added. `python -m solvers.run journal NAME` tells it to a person.
"""

import json
import os
import shlex
from datetime import UTC, datetime
from pathlib import Path

from solvers.edits import changes
from solvers.solver_file import parse_solver

FILE = "journal.jsonl"


def add(folder: Path, **entry) -> None:
    """Append one line, stamped with the time, and wait until it is on the disk."""
    line = json.dumps({"time": datetime.now(UTC).isoformat(timespec="seconds"), **entry}) + "\n"
    with (folder / FILE).open("a+b") as file:
        if file.tell() and (file.seek(-1, os.SEEK_END), file.read())[1] != b"\n":
            line = "\n" + line  # after a line that a crash cut
        file.write(line.encode())
        file.flush()
        os.fsync(file.fileno())


def read(folder: Path) -> list[dict]:
    """The runs of a folder, oldest first: each run's first line, with its last line under "end" or None."""
    path = folder / FILE
    runs: list[dict] = []
    for line in path.read_text().splitlines() if path.is_file() else ():
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue  # cut by a crash
        if not isinstance(entry, dict) or "time" not in entry:
            continue  # not a line of ours
        if entry.get("event") == "start":
            runs.append({**entry, "end": None})
        elif runs:
            runs[-1]["end"] = entry
    return runs


def edits(runs: list[dict]) -> list[tuple[int, dict[str, str]]]:
    """For each run the iteration it began at, and `old -> new` of each field edited before it."""
    solvers = [parse_solver(run["solver"], Path(run["solver_file"])) for run in runs]
    pairs = zip(solvers[:1] + solvers[:-1], solvers, strict=True)
    return [(run["iteration"], changes(*pair)) for run, pair in zip(runs, pairs, strict=True)]


def told(runs: list[dict]) -> str:
    """The journal as text: when, what command, which iterations, and what was edited before."""
    lines = []
    for number, (run, (iteration, edited)) in enumerate(zip(runs, edits(runs), strict=True), 1):
        end = run["end"] or {"time": "no end", "iteration": None, "status": "unknown"}
        lines.append(f"run {number}: {run['time']} to {end['time']}, status {end['status']}")
        reached = "unknown" if end["iteration"] is None else end["iteration"]
        lines.append(f"    iterations {iteration} to {reached}, {run['engine'] or 'version unknown'}")
        lines.append(f"    {shlex.join(run['command'])}")
        if run.get("commit"):
            lines.append(f"    at commit {run['commit']}, on {run['machine']}")
        if number == 1:
            edited = {"base_lr": f"{parse_solver(run['solver'], Path(run['solver_file'])).base_lr:.7g}"}
        lines += [f"    {field}: {change} from iteration {iteration}" for field, change in edited.items()]
    return "\n".join(lines)
