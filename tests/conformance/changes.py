"""The effect of changing a blob between forward and backward, in both engines: docs/differences.md.

python -m tests.conformance.changes     write the page's tables, and recorded/changes.json where real Caffe is here
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from . import training
from .cases import CASES
from .engines import OURS, REAL, REPOSITORY, Engine, workspace
from .training import HERE

PAGE = REPOSITORY / "docs" / "differences.md"
RECORDED = HERE / "recorded" / "changes.json"
# HDF5Output cannot open its file for a net that is made anew; it has no gradient.
TABLE = [case for case in CASES if case.backward and case.type != "HDF5Output"]
BEGIN, END = "<!-- changes: made by python -m tests.conformance.changes -->\n", "<!-- /changes -->\n"
# The bottoms behind the first are labels, or give labels their meaning.
LOSSES = {
    "SoftmaxWithLoss": 1, "InfogainLoss": 1, "HingeLoss": 1, "MultinomialLogisticLoss": 1,
    "SigmoidCrossEntropyLoss": 1, "EuclideanLoss": 1, "ContrastiveLoss": 2,
}  # fmt: skip

Words = dict[str, dict[str, dict[str, str]]]


def run(engine: Engine, work: Path) -> tuple[Words, dict[str, np.ndarray]]:
    """Words and gradients of run_changes.py, in a prepared workspace."""
    (work / "changes_cases.json").write_text(json.dumps([dataclasses.asdict(case) for case in TABLE]))
    shutil.copyfile(HERE / "run_cases.py", work / "run_cases.py")
    out = f"changes_{engine.name}"
    engine.python(HERE / "run_changes.py", ["changes_cases.json", out], work)
    with np.load(work / f"{out}.npz") as arrays:
        return json.loads((work / f"{out}.json").read_text()), dict(arrays)


def record(real: Words) -> None:
    """Write real Caffe's words into recorded/."""
    RECORDED.write_text(json.dumps(real, separators=(",", ":"), sort_keys=True) + "\n")


def is_label(case: str, changed: str) -> bool:
    """True if the changed blob is a label of a loss, or gives labels their meaning."""
    kind = case.partition("/")[0]
    return kind in LOSSES and changed.startswith("b") and int(changed[1:]) >= LOSSES[kind]


def _rows(real: Words, ours: Words, labels: bool) -> tuple[list[str], int, int]:
    """The lines of a table, the number of equal gradients and the number of all.

    A table of labels has every line; the other one has only the lines in which the engines differ.
    """
    cases: dict[tuple, list[str]] = defaultdict(list)
    every: dict[str, list[str]] = defaultdict(list)
    alike = total = 0
    for case in TABLE:
        every[case.type].append(case.name)
        for changed in sorted(real[case.name]):
            if is_label(case.name, changed) != labels:
                continue
            theirs, mine = real[case.name][changed], ours[case.name][changed]
            by_words: dict[tuple[str, str], list[str]] = defaultdict(list)
            for gradient in sorted({*theirs, *mine}):
                words = theirs.get(gradient, "forward"), mine.get(gradient, "forward")
                total += 1
                alike += words[0] == words[1]
                if labels or words[0] != words[1]:
                    by_words[words].append(gradient)
            for words, gradients in by_words.items():
                key = case.type, _name(changed), ", ".join(map(_name, gradients)), *words
                cases[key].append(case.name)
    lines = []
    for (kind, *cells), names in sorted(cases.items()):
        some = [name.partition("/")[2] for name in names]
        where = (
            "all" if len(names) == len(every[kind]) else f"{len(names)} of {len(every[kind])}: {'; '.join(some[:3])}"
        )
        lines.append(f"| {' | '.join((kind, *cells))} | {where}{'; …' if len(some) > 3 and where != 'all' else ''} |")
    return lines, alike, total


def _name(blob: str) -> str:
    if blob.startswith("param "):
        return f"parameter {blob[6:]}"
    return f"bottom {blob[1:]}" if blob[:1] == "b" and blob[1:].isdigit() else f"top `{blob}`"


def tables(real: Words, ours: Words) -> str:
    """The text between the page's marks."""
    types = sorted({case.type for case in TABLE})
    labels, alike, of_labels = _rows(real, ours, labels=True)
    rest, same, total = _rows(real, ours, labels=False)
    head = "| layer | changed after forward | gradient of | real Caffe | ours | cases |\n| --- | --- | --- | --- | --- | --- |\n"
    return (
        f"### Labels: {alike} of {of_labels} gradients are of the same values in both\n\n{head}"
        + "\n".join(labels)
        + f"\n\n### Other blobs: {same} of {total} gradients are of the same values in both; the others\n\n{head}"
        + "\n".join(rest)
        + f"\n\n{len(TABLE)} cases of {len(types)} layer types with a gradient: {', '.join(types)}.\n"
    )


def page(text: str, made: str) -> str:
    """The page with its tables in place of those it has."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{made}\n{END}{after}"


def main() -> int:
    with workspace() as work:
        training.prepare(OURS, work)
        if REAL.why_not() is None:
            record(run(REAL, work)[0])
        ours, _ = run(OURS, work)
    PAGE.write_text(page(PAGE.read_text(), tables(json.loads(RECORDED.read_text()), ours)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
