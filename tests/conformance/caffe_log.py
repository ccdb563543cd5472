"""One set of regular expressions for the lines that other programs read in Caffe's log, used for every engine.

They accept what BVLC's tools/extra/parse_log.py accepts (iteration, `lr =`, `Train net output #`, `Test net
output #`).
"""

from __future__ import annotations

import dataclasses
import re

PREFIX = r"[IWEF]\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ [\w.]+:\d+\] "
NUMBER = r"([-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|inf|nan))"
PROGRESS = re.compile(PREFIX + rf"Iteration (\d+) \({NUMBER} iter/s, {NUMBER}s/(\d+) iters\), loss = {NUMBER}$")
FINAL_LOSS = re.compile(PREFIX + rf"Iteration (\d+), loss = {NUMBER}$")
RATE = re.compile(PREFIX + rf"Iteration (\d+), lr = {NUMBER}$")
TESTING = re.compile(PREFIX + r"Iteration (\d+), Testing net \(#(\d+)\)$")
OUTPUT = re.compile(
    PREFIX + rf"    (Train|Test) net output #(\d+): (\S+) = {NUMBER}"
    rf"(?: \(\* {NUMBER} = {NUMBER} loss\))?$"
)
SNAPSHOT = re.compile(PREFIX + r"Snapshotting (?:to binary proto|solver state to binary proto) file (\S+)$")
DONE = re.compile(PREFIX + r"Optimization Done\.$")
SOLVER_LINES = (PROGRESS, FINAL_LOSS, RATE, TESTING, OUTPUT, SNAPSHOT, DONE)


@dataclasses.dataclass
class Run:
    """The numbers of one training log, by iteration. Losses are those of `Iteration N ..., loss =`."""

    loss: dict[int, float] = dataclasses.field(default_factory=dict)
    rate: dict[int, float] = dataclasses.field(default_factory=dict)
    train: dict[int, dict[str, float]] = dataclasses.field(default_factory=dict)
    test: dict[int, dict[str, float]] = dataclasses.field(default_factory=dict)


def parse(log: str) -> Run:
    run, iteration = Run(), 0
    for line in log.splitlines():
        if found := PROGRESS.match(line):
            iteration = int(found[1])
            run.loss[iteration] = float(found[5])
        elif found := FINAL_LOSS.match(line):
            iteration = int(found[1])
            run.loss[iteration] = float(found[2])
        elif found := RATE.match(line):
            run.rate[int(found[1])] = float(found[2])
        elif found := TESTING.match(line):
            iteration = int(found[1])
        elif found := OUTPUT.match(line):
            phase = run.train if found[1] == "Train" else run.test
            phase.setdefault(iteration, {})[found[3]] = float(found[4])
    return run


def skeleton(log: str) -> list[str]:
    """The solver's lines in order, without prefix and folder; values and times become `N`."""
    lines = []
    for line in log.splitlines():
        if any(pattern.match(line) for pattern in SOLVER_LINES):
            text = re.sub(PREFIX, "", line)
            text = re.sub(rf"\({NUMBER} iter/s, {NUMBER}s/", "(N iter/s, Ns/", text)
            text = re.sub(rf"= {NUMBER}", "= N", text)
            lines.append(re.sub(r"file \S*/", "file ", text))
    return lines
