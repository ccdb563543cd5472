"""The status of a reproduction: its steps' states, and the time that is left."""

from collections.abc import Sequence
from pathlib import Path

from harness.duration import duration
from reproduce.place import run_of
from reproduce.speed import step_log
from reproduce.steps import Step
from training import running
from training.status import table


def told(steps: Sequence[Step], at_work: int | None) -> str:
    """A row for each step, and the time that is left.

    Args:
        at_work: the process that runs the reproduction, None if there is none.
    """
    rows = [("", "step", "state", "time")]
    for number, step in enumerate(steps, 1):
        if step.done():
            rows.append((str(number), step.name, "done", ""))
            continue
        state = "runs" if _runs(step, at_work) else "waits" if not step.told() else ""
        left = step.left()
        shown = duration(left.seconds) if left else "not measured"
        rows.append((str(number), step.name, "  ".join(part for part in (state, step.told()) if part), shown))
    lines = [table(rows), ""]
    left = time_left(steps)
    if not left:
        return "\n".join([*lines, "all is done"])
    lines += left
    lines.append(f"process {at_work} is at work" if at_work else "nothing is at work")
    return "\n".join(lines)


def time_left(steps: Sequence[Step]) -> list[str]:
    """The time of all unfinished steps, and the steps without a measured time; [] if all is done."""
    seconds, sources, unknown = 0.0, [], []
    for step in steps:
        if step.done():
            continue
        if left := step.left():
            seconds += left.seconds
            sources.append(left.source)
        else:
            unknown.append(step.name)
    lines = []
    if sources:
        lines.append(
            f"left: about {duration(seconds)}, one step at a time; measured on: {'; '.join(dict.fromkeys(sources))}"
        )
    if unknown:
        lines.append(f"without a measured time: {', '.join(unknown)}")
    return lines


def _runs(step: Step, at_work: int | None) -> bool:
    words = step.name.split()
    if words[0] == "train" and len(words) == 2:
        return running.process(run_of(words[1])) is not None
    last = next((entry for entry in reversed(step_log()) if entry.get("step") == step.name), None)
    return at_work is not None and last is not None and last.get("event") == "start"


def at_work(folder: Path) -> int | None:
    """The process that runs a reproduction in a folder."""
    return running.process(folder)
