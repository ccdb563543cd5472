"""The journal of a run folder: the solver text in force from each iteration on.

journal.jsonl holds two lines of JSON a run, one at its start and one at its end. A run that was killed thus has
no end. The first line holds the solver's whole text. A third kind of line records that the weights came from zoo/
(training/zoo.py). Lines are only ever added. `python -m training.run journal NAME` prints the journal for a user.
"""

import json
import os
import shlex
from datetime import UTC, datetime
from pathlib import Path

from harness.errors import UserError
from training.edits import changes
from training.solver_file import parse_solver

FILE = "journal.jsonl"
# The fields that a run writes; "start" and "end" have at least time and iteration.
_KINDS = {
    "time": str,
    "iteration": int | None,
    "command": list,
    "engine": str | None,
    "solver_file": str,
    "solver": str,
    "status": int,
    "weights": str,
    "sha1": str,
}


def add(folder: Path, **entry) -> None:
    """Append one line, stamped with the time, and wait until it is on the disk."""
    line = json.dumps({"time": datetime.now(UTC).isoformat(timespec="seconds"), **entry}) + "\n"
    with (folder / FILE).open("a+b") as file:
        if file.tell() and (file.seek(-1, os.SEEK_END), file.read())[1] != b"\n":
            line = "\n" + line  # a new line after one that a crash cut
        file.write(line.encode())
        file.flush()
        os.fsync(file.fileno())


def read(folder: Path) -> list[dict]:
    """The runs of a folder, oldest first: each run's first line, with its last line under "end" or None.

    A run's "zoo" is the line that names the zoo weights it started from, or None.
    """
    path = folder / FILE
    runs: list[dict] = []
    zoo = None
    content = path.read_bytes() if path.is_file() else b""
    for number, line in enumerate(content.decode(errors="replace").split("\n"), 1):
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue  # a line cut by a crash
        where = f"{path}, line {number}"
        _check(entry, where)
        if entry["event"] == "start":
            runs.append({**entry, "zoo": zoo, "end": None, "where": where})
            zoo = None
        elif entry["event"] == "zoo":
            zoo = entry
        elif runs:
            runs[-1]["end"] = entry
    return runs


def _check(entry: object, where: str) -> None:
    """Raise UserError unless an entry has the form that a run writes."""
    if not isinstance(entry, dict) or not {"event", "time", "iteration"} <= entry.keys():
        raise UserError(f"{where}: not to be read: it is not what a run writes there; mend or remove that line")
    for name, kind in _KINDS.items():
        if name in entry and not isinstance(entry[name], kind):
            raise UserError(f"{where}: {name} is of another kind than a run writes; mend or remove that line")
    try:
        datetime.fromisoformat(entry["time"])
    except ValueError as error:
        raise UserError(f"{where}: not to be read: {error}; mend or remove that line") from error
    if entry["event"] == "start" and entry["iteration"] is None:
        raise UserError(f"{where}: iteration is missing; mend or remove that line")


def _need(run: dict, *names: str) -> None:
    """Raise UserError unless a run has these fields."""
    for name in names:
        if name not in run:
            raise UserError(f"{run['where']}: {name} is missing; mend or remove that line")


def _solver(run: dict):
    """The SolverParameter of a run's solver text."""
    _need(run, "solver")
    return parse_solver(run["solver"], Path(f"{run['where']}, solver"))


def edits(runs: list[dict]) -> list[tuple[int, dict[str, str]]]:
    """For each run, the iteration at which it began and `old -> new` of each field edited before it."""
    solvers = list(map(_solver, runs))
    pairs = zip(solvers[:1] + solvers[:-1], solvers, strict=True)
    return [(run["iteration"], changes(*pair)) for run, pair in zip(runs, pairs, strict=True)]


def told(runs: list[dict]) -> str:
    """The journal as text: each run's time, command and iterations, and the edits before it."""
    lines = []
    for number, (run, (iteration, edited)) in enumerate(zip(runs, edits(runs), strict=True), 1):
        _need(run, "command")
        end = run["end"] or {"time": "no end", "iteration": None, "status": "unknown"}
        lines.append(f"run {number}: {run['time']} to {end['time']}, status {end.get('status')}")
        reached = "unknown" if end["iteration"] is None else end["iteration"]
        lines.append(f"    iterations {iteration} to {reached}, {run.get('engine') or 'version unknown'}")
        if run["zoo"]:
            lines.append(f"    from {run['zoo'].get('weights')} of iteration {iteration}, with a momentum of 0")
        lines.append(f"    {shlex.join(map(str, run['command']))}")
        lines += _copied(run)
        if run.get("commit"):
            lines.append(f"    at commit {run['commit']}, on {run.get('machine')}")
        if number == 1:
            edited = {"base_lr": f"{_solver(run).base_lr:.7g}"}
        lines += [f"    {field}: {change} from iteration {iteration}" for field, change in edited.items()]
    return "\n".join(lines)


def _copied(run: dict) -> list[str]:
    """One line that names the original solver, if Caffe read a copy in the run folder."""
    file = run.get("solver_file")
    if file is None or f"--solver={file}" in run["command"]:
        return []
    return [
        f"    made of {file} with test_iter {', '.join(map(str, _solver(run).test_iter))}, so that val is tested once"
    ]
