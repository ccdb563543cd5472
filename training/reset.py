"""Restore the committed solver of a model; the edited one is kept.

    python -m training.reset nin1                               (make reset-nin1)

`make lr-nin1` and edits by hand stay in solvers/nin1.prototxt, even if runs/nin1 is removed. A new training would
then begin at the dropped rate.
"""

import argparse
from pathlib import Path

from harness import commands
from harness.errors import UserError
from training import run, running
from training.committed import committed
from training.edits import changes
from training.set_rate import write
from training.snapshots import snapshots
from training.solver_file import parse_solver, read, solver_path

EDITED = Path("runs/edited")  # not in solvers/, where each file is a model


def reset(name: str) -> None:
    """Restore a model's solver.

    Raises:
        UserError: nothing is committed, or the model is being trained. The file is then unchanged.
    """
    path = solver_path(name)
    now, before = path.read_bytes(), committed(path)
    if now == before.encode():
        run.say(f"{path} is as committed; there is nothing to restore")
        return
    prefix = parse_solver(before, path).snapshot_prefix
    for folder in {Path(prefix).parent, *_own_folder(path)}:
        if (process := running.process(folder)) is not None:
            raise UserError(
                f"{path}: process {process} trains with it in {folder}; stop that run (Ctrl-C there, or "
                f"kill -INT {process}), then: make reset-{name}"
            )
    kept = _keep(path, now)
    write(path, before)
    run.say(f"restored {path} as committed; the edited one is kept as {kept}")
    for field, change in _edited(now, before, path).items():
        run.say(f"    {field}: {change}")
    if found := snapshots(prefix):
        run.say(
            f"note: {Path(prefix).parent} has snapshots up to iteration {found[0].iteration}; make resume-{name} "
            "resumes from there with the restored solver"
        )


def _own_folder(path: Path) -> list[Path]:
    """The folder in which the edited solver trains, [] if the solver cannot be read."""
    try:
        return [Path(parse_solver(read(path), path).snapshot_prefix).parent]
    except UserError:
        return []


def _edited(now: bytes, before: str, path: Path) -> dict[str, str]:
    try:
        return changes(parse_solver(now.decode(), path), parse_solver(before, path))
    except (UserError, UnicodeDecodeError):
        return {}


def _keep(path: Path, content: bytes) -> Path:
    """Write an edited solver under a new name. If the same text is kept already, return that file."""
    EDITED.mkdir(parents=True, exist_ok=True)
    number = 1
    while (kept := EDITED / f"{path.stem}-{number}.prototxt").exists():
        if kept.read_bytes() == content:
            return kept
        number += 1
    with kept.open("xb") as file:
        file.write(content)
    return kept


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.reset", description=__doc__.split("\n")[0])
    parser.add_argument("name", help="a solver: solvers/<name>.prototxt")
    try:
        reset(parser.parse_args(argv).name)
    except (UserError, OSError) as error:
        run.say(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    commands.run(main)
