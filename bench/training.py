"""`caffe train` on real Caffe and on ours by turns: the same LMDB, the same prototxt, the same machine.

    python -m bench.training [alexnet1 nin1] [--rounds 2] [--precision fp32 bf16] [--data data/lmdb]

A round runs every engine once, in its own process, from the start, with the model's own solver. Its test net is made,
but not run. An iteration's time is the distance of two lines of the log (`display: 1`). The median over all rounds is
reported. The first iterations of a process, which make the buffers, do not count. Start-up lasts from the process's
start to the first of those lines, minus one iteration. The ceiling is the speed of a large matrix product by PyTorch
on this machine, in the same precision. Real Caffe's BLAS is at its best (real_blas.py).
"""

import argparse
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median

from caffe.proto import caffe_pb2
from google.protobuf import text_format

from bench import real_blas
from bench.ceiling import product_speed
from bench.process import measured
from bench.table import table
from bench.work import training_flop
from tests.conformance import caffe_log
from tests.conformance.engines import OURS, REAL, Engine, workspace

BATCH = 100
WARM_UP = 3
ITERATIONS = {"nin1": 8, "alexnet1": 30}
"""Iterations of one process that count: half a minute with real Caffe."""
STAMP = re.compile(r"[IWEF](\d{4} \d\d:\d\d:\d\d\.\d{6})")


@dataclass
class Contestant:
    """An engine at a precision, with its processes' seconds of each iteration and of start-up, and bytes."""

    name: str
    precision: str
    engine: Engine
    seconds: list[float] = field(default_factory=list)
    startup: list[float] = field(default_factory=list)
    peak: list[int] = field(default_factory=list)

    @property
    def iteration(self) -> float:
        return median(self.seconds)


def contestants(precisions: Sequence[str]) -> list[Contestant]:
    """Real Caffe if it is installed, and ours in each precision."""
    real = [] if REAL.why_not() else [Contestant("real Caffe", "fp32", REAL)]
    return real + [Contestant("ours", precision, OURS) for precision in precisions]


def link_data(data: Path, folder: Path) -> None:
    """Link the LMDBs and the mean into a workspace's data/lmdb, without a copy."""
    for part in ("train_lmdb/data.mdb", "val_lmdb/data.mdb", "mean.binaryproto"):
        target = folder / "data/lmdb" / part
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link((data / part).resolve(), target)


def solver(name: str, iterations: int) -> str:
    """The model's own solver, every iteration displayed, without running tests and without snapshots."""
    param = text_format.Parse(Path(f"solvers/{name}.prototxt").read_text(), caffe_pb2.SolverParameter())
    for unwanted in ("average_loss", "snapshot"):
        param.ClearField(unwanted)
    param.net, param.display, param.max_iter = "net.prototxt", 1, iterations
    param.test_interval, param.test_initialization = iterations + 1, False
    param.snapshot_prefix, param.snapshot_after_train = "unused", False
    return text_format.MessageToString(param)


def run(contestant: Contestant, folder: Path) -> None:
    """Run one process of a contestant, and add its times.

    Raises:
        SystemExit: the process failed; the message ends with its last line.
    """
    engine = contestant.engine
    environment = engine._environment() | (
        real_blas.environment() if engine is REAL else {"CAFFE_PRECISION": contestant.precision}
    )
    command = [*engine.command(folder), "train", "--solver=solver.prototxt"]
    begun = datetime.now()
    done = measured(command, folder, environment)
    times = progress_times(done.output, begun)
    steps = [later - earlier for earlier, later in zip(times, times[1:])]
    contestant.seconds += steps[WARM_UP:]
    contestant.startup.append(times[0] - median(steps[WARM_UP:]))
    contestant.peak.append(done.peak)


def progress_times(log: str, begun: datetime) -> list[float]:
    """Seconds from ``begun`` to each line of a log with an iteration's loss; a line has no year."""
    lines = (line for line in log.splitlines() if caffe_log.PROGRESS.match(line))
    stamps = [datetime.strptime(f"{begun.year}{STAMP.match(line)[1]}", "%Y%m%d %H:%M:%S.%f") for line in lines]
    return [(stamp - begun).total_seconds() for stamp in stamps]


def measure(
    name: str, data: Path, rounds: int, precisions: Sequence[str], progress: Callable[[str], None]
) -> list[dict]:
    """Measure the rows of one model: real Caffe first, then ours, each with its ratio to the first."""
    racing = contestants(precisions)
    net = Path(f"models/{name}/train_val.prototxt")
    with workspace() as folder:
        link_data(data, folder)
        (folder / "net.prototxt").write_bytes(net.read_bytes())
        (folder / "solver.prototxt").write_text(solver(name, WARM_UP + 1 + ITERATIONS[name]))
        for turn in range(rounds):
            for contestant in racing:
                progress(f"caffe train {name}, round {turn + 1} of {rounds}: {contestant.name} {contestant.precision}")
                run(contestant, folder)
    return list(
        rows(name, racing, training_flop(net, BATCH), {p: product_speed(p) for p in {one.precision for one in racing}})
    )


def rows(name: str, racing: list[Contestant], flop: float, ceiling: dict[str, float]) -> Iterator[dict]:
    """A row for each contestant; ``flop`` is of one iteration, ``ceiling`` in FLOP/s by precision."""
    first = racing[0]
    for contestant in racing:
        speed = flop / contestant.iteration
        yield {
            "work": f"caffe train {name}",
            "engine": contestant.name,
            "precision": contestant.precision,
            "iterations/s": 1 / contestant.iteration,
            "images/s": BATCH / contestant.iteration,
            "ratio": first.iteration / contestant.iteration if first.engine is REAL else None,
            "GFLOP/s": speed / 1e9,
            "of ceiling": f"{speed / ceiling[contestant.precision]:.0%}",
            "peak MiB": max(contestant.peak) / (1 << 20),
            "start s": median(contestant.startup),
        }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.training", description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", default=["alexnet1", "nin1"])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--precision", nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--data", type=Path, default=Path("data/lmdb"))
    options = parser.parse_args(arguments)
    found = [
        row for name in options.names for row in measure(name, options.data, options.rounds, options.precision, print)
    ]
    print(table(found))


if __name__ == "__main__":
    main()
