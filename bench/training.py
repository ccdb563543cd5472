"""`caffe train` on real Caffe and on ours by turns: the same LMDB, the same prototxt, the same machine.

    python -m bench.training [alexnet1 nin1] [--rounds 2] [--data data/lmdb]

A round runs every engine once, in its own process, from the start; the time of an iteration is the distance of
two lines of its log (`display: 1`), and the median over all rounds is reported. Start-up is from the process's
start to the first of those lines, less one iteration. The first iterations of a process are not counted: they
make the buffers.
"""

import argparse
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median

from caffe.proto import caffe_pb2
from google.protobuf import text_format

from tests.conformance import caffe_log
from tests.conformance.engines import OURS, REAL, Engine, workspace

BATCH = 100
WARM_UP = 3
ITERATIONS = {"nin1": 8, "nin2": 8, "nin3": 8, "alexnet1": 30, "alexnet2": 30}
"""Iterations that count, of one process: half a minute of real Caffe's."""
STAMP = re.compile(r"[IWEF](\d{4} \d\d:\d\d:\d\d\.\d{6})")


@dataclass
class Contestant:
    """An engine at a precision, and what its processes showed: seconds of each iteration and of start-up, KiB."""

    name: str
    engine: Engine
    environment: dict[str, str] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    startup: list[float] = field(default_factory=list)
    peak: list[int] = field(default_factory=list)

    @property
    def iteration(self) -> float:
        return median(self.seconds)


def contestants() -> list[Contestant]:
    """Real Caffe where it is installed, and ours in each precision."""
    ours = [Contestant(f"ours {name}", OURS, {"CAFFE_PRECISION": name}) for name in ("fp32", "bf16")]
    return ([] if REAL.why_not() else [Contestant("real Caffe", REAL)]) + ours


def link_data(data: Path, folder: Path) -> None:
    """The LMDBs and the mean under a workspace's data/lmdb, without a copy."""
    for part in ("train_lmdb/data.mdb", "val_lmdb/data.mdb", "mean.binaryproto"):
        target = folder / "data/lmdb" / part
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link((data / part).resolve(), target)


def solver(name: str, iterations: int) -> str:
    """The model's own solver, every iteration displayed, without tests and snapshots."""
    param = text_format.Parse(Path(f"solvers/{name}.prototxt").read_text(), caffe_pb2.SolverParameter())
    for unwanted in ("test_iter", "test_interval", "average_loss", "snapshot"):
        param.ClearField(unwanted)
    # One net only: a test net would be made, and its memory counted, though it never runs.
    param.ClearField("net")
    param.train_net, param.display, param.max_iter = "net.prototxt", 1, iterations
    param.snapshot_prefix, param.snapshot_after_train = "unused", False
    return text_format.MessageToString(param)


def run(contestant: Contestant, folder: Path, iterations: int) -> None:
    """One process of a contestant; its times are added.

    Raises:
        SystemExit: it failed; its last words.
    """
    engine = contestant.engine
    threads = {"OPENBLAS_NUM_THREADS": str(os.cpu_count())}
    begun = time.time()
    process = subprocess.Popen(
        [*engine.command(folder), "train", "--solver=solver.prototxt"],
        cwd=folder, env=engine._environment() | threads | contestant.environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
    )  # fmt: skip
    log = process.stdout.read().splitlines()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if status:
        raise SystemExit(f"bench: {contestant.name}: exit status {process.returncode}: {log[-1] if log else ''}")
    times = [when(line, begun) for line in log if caffe_log.PROGRESS.match(line)]
    steps = [later - earlier for earlier, later in zip(times, times[1:])]
    contestant.seconds += steps[WARM_UP:]
    contestant.startup.append(times[0] - begun - median(steps[WARM_UP:]))
    contestant.peak.append(usage.ru_maxrss)


def when(line: str, begun: float) -> float:
    """Seconds since the epoch of a log line, which has no year."""
    year = datetime.fromtimestamp(begun).year
    return datetime.strptime(f"{year}{STAMP.match(line)[1]}", "%Y%m%d %H:%M:%S.%f").timestamp()


def measure(name: str, data: Path, rounds: int, progress: Callable[[str], None]) -> list[dict]:
    """Rows of the table for one model: real Caffe first, then ours, each with its ratio to the first."""
    racing = contestants()
    iterations = WARM_UP + 1 + ITERATIONS[name]
    with workspace() as folder:
        link_data(data, folder)
        (folder / "net.prototxt").write_bytes(Path(f"models/{name}/train_val.prototxt").read_bytes())
        (folder / "solver.prototxt").write_text(solver(name, iterations))
        for turn in range(rounds):
            for contestant in racing:
                progress(f"{name}, round {turn + 1} of {rounds}: {contestant.name}")
                run(contestant, folder, iterations)
    return list(rows(name, racing))


def rows(name: str, racing: list[Contestant]) -> Iterator[dict]:
    first = racing[0]
    for contestant in racing:
        yield {
            "work": f"caffe train {name}",
            "engine": contestant.name,
            "iterations/s": 1 / contestant.iteration,
            "images/s": BATCH / contestant.iteration,
            "ratio": first.iteration / contestant.iteration if first.engine is REAL else None,
            "peak MiB": max(contestant.peak) / 1024,
            "start s": median(contestant.startup),
        }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.training", description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", default=["alexnet1", "nin1"])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--data", type=Path, default=Path("data/lmdb"))
    options = parser.parse_args()
    for name in options.names:
        for row in measure(name, options.data, options.rounds, print):
            print("  ".join(f"{k} {v:.3g}" if isinstance(v, float) else str(v) for k, v in row.items()))


if __name__ == "__main__":
    main()
