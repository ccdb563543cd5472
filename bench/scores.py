"""Class scores of the val images: real Caffe's pycaffe and ours by turns, both running ensemble/scoring/scores.py.

    python -m bench.scores [alexnet1 nin1] [--images 10000] [--rounds 2] [--precision fp32 bf16] [--data data/lmdb]

The snapshot is the newest in runs/NAME; without one, random weights are used. The script itself prints images a
second, from the first record read to the last score kept. They are also computed over the whole process, which
imports, loads net and weights, and writes the scores. Medians over the rounds are reported. The scores of all engines
are compared. Real Caffe's BLAS is at its best (real_blas.py).
"""

import argparse
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from statistics import median

import lmdb
import numpy as np

from bench import real_blas
from bench.process import Finished, measured
from bench.table import table
from ensemble.scoring import score_file
from ensemble.scoring.scores import newest_snapshot
from harness.errors import UserError
from tests.conformance.engines import OURS, REAL, REPOSITORY, Engine, workspace

IMAGES = 10_000
SAID = re.compile(r"(\d+) images, (\d+) images/s")
#: Weights that keep the scale of the activations, so that scores differ between classes and engines.
RANDOM = """
import caffe, numpy
net, random = caffe.Net('deploy.prototxt', caffe.TEST), numpy.random.default_rng(7)
for number, (weights, bias) in enumerate(net.params.values()):
    spread = (2 / weights.data[0].size) ** 0.5 / (1 if number else 64)  # pixels are some 64 from their mean
    weights.data[...] = random.normal(0, spread, weights.data.shape)
net.save('snapshot.caffemodel')
"""


@dataclass
class Contestant:
    """An engine at a precision, and the measurements of its processes."""

    name: str
    engine: Engine
    environment: dict[str, str] = field(default_factory=dict)
    runs: list[Finished] = field(default_factory=list)
    speeds: list[float] = field(default_factory=list)  #: images a second, without start-up
    scores: np.ndarray | None = None


def contestants(precisions: Sequence[str]) -> list[Contestant]:
    """Real Caffe if it is installed, and ours in each precision."""
    ours = [Contestant(f"ours {name}", OURS, {"CAFFE_PRECISION": name}) for name in precisions]
    return ([] if REAL.why_not() else [Contestant("real Caffe", REAL, real_blas.environment())]) + ours


def prepare(name: str, data: Path, images: int, folder: Path) -> None:
    """Put both engines' inputs into a workspace: the scripts, the net, a snapshot, the first val records, the mean."""
    for package in ("ensemble", "harness"):
        shutil.copytree(REPOSITORY / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(REPOSITORY / "models" / name / "deploy.prototxt", folder / "deploy.prototxt")
    (folder / "lmdb").mkdir()
    shutil.copyfile(data / "mean.binaryproto", folder / "lmdb" / "mean.binaryproto")
    copy_records(data / "val_lmdb", folder / "lmdb" / "val_lmdb", images)
    try:
        shutil.copyfile(newest_snapshot(Path("runs", name), name), folder / "snapshot.caffemodel")
    except UserError:
        OURS.checked([*OURS.interpreter(folder), "-c", RANDOM], folder)


def copy_records(source: Path, target: Path, count: int) -> None:
    """Copy the first `count` records of an LMDB."""
    size = (source / "data.mdb").stat().st_size + (1 << 20)
    with (
        lmdb.open(str(source), readonly=True, lock=False) as there,
        lmdb.open(str(target), map_size=size) as here,
        there.begin(buffers=True) as reading,
        here.begin(write=True) as writing,
    ):
        writing.cursor().putmulti(islice(reading.cursor(), count), append=True)


def run(contestant: Contestant, name: str, folder: Path) -> None:
    """Run one process of a contestant, and add its measurements."""
    engine = contestant.engine
    command = [
        *engine.interpreter(folder), "-m", "ensemble.scoring.scores", name, "--split", "val", "--data", "lmdb",
        "--deploy", "deploy.prototxt", "--snapshot", "snapshot.caffemodel",
    ]  # fmt: skip
    done = measured(command, folder, engine._environment() | contestant.environment)
    contestant.runs.append(done)
    contestant.speeds.append(speed(done.output))
    contestant.scores = score_file.load(folder / "runs", name, "val").scores


def speed(output: str) -> float:
    """Read images a second from the output of ensemble/scoring/scores.py. Raises SystemExit without them."""
    found = SAID.search(output)
    if not found:
        raise SystemExit(f"bench: ensemble.scoring.scores did not say how fast it was: {output[-300:]}")
    return float(found[2])


def measure(
    name: str, data: Path, images: int, rounds: int, precisions: Sequence[str], progress: Callable[[str], None]
) -> list[dict]:
    """Measure the rows of one model: real Caffe first if it is installed, then ours."""
    racing = contestants(precisions)
    with workspace() as folder:
        prepare(name, data, images, folder)
        for turn in range(1, rounds + 1):
            for contestant in racing:
                progress(f"class scores {name}, round {turn} of {rounds}: {contestant.name}")
                run(contestant, name, folder)
    return list(rows(name, racing))


def rows(name: str, racing: Sequence[Contestant]) -> Iterator[dict]:
    """A row of the table for each contestant; ratios and differences are to the first if it is real Caffe."""
    first = racing[0] if racing[0].engine is REAL else None
    for one in racing:
        images = len(one.scores)
        seconds = median(run.seconds for run in one.runs)
        yield {
            "work": f"class scores {name}",
            "engine": one.name,
            "images": images,
            "images/s": median(one.speeds),
            "ratio": median(one.speeds) / median(first.speeds) if first else None,
            "start s": seconds - images / median(one.speeds),
            "images/s with start": images / seconds,
            "ratio with start": median(run.seconds for run in first.runs) / seconds if first else None,
            "peak MiB": max(run.peak for run in one.runs) / (1 << 20),
            "scores differ by": float(np.abs(one.scores - first.scores).max()) if first else None,
        }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.scores", description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", default=["alexnet1", "nin1"])
    parser.add_argument("--images", type=int, default=IMAGES, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--precision", nargs="+", default=["fp32", "bf16"], choices=["fp32", "tf32", "bf16"])
    parser.add_argument("--data", type=Path, default=Path("data/lmdb"), help="default: %(default)s")
    options = parser.parse_args(arguments)
    for name in options.names:
        print(table(measure(name, options.data, options.images, options.rounds, options.precision, print)))


if __name__ == "__main__":
    main()
