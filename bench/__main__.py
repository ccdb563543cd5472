"""make bench: real Caffe and ours by turns on this machine, in one table below runs/bench/.

    python -m bench [--rounds 2] [--only training lmdb scores] [--precision fp32 bf16] [--out FILE]

A part (--only) is written only with --out, to that file. A benchmark that is cut short leaves its finished rows in a
.part.json beside it. `make results` keeps a whole one in results/.

It measures training on the LMDBs in data/lmdb, building the LMDBs, and the class scores of val. See
bench/training.py, make_lmdb.py and scores.py for the exact times. It needs the data (make lmdb). Without real Caffe
(make reference-caffe) there are no ratios. It takes a quarter of an hour on two cores, with nothing else running.
"""

import argparse
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from bench import make_lmdb, real_blas, scores, training
from bench.results import keep, say
from bench.table import table
from data_prep.dataset import find
from harness.errors import UserError
from harness.measurements import BENCH, check_place
from tests.conformance.engines import REAL

MODELS = ("alexnet1", "nin1")
DATA = Path("data/lmdb")
OUT = BENCH / "bench_cpu.json"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=2, help="turns of each engine (default: %(default)s)")
    parser.add_argument("--only", nargs="+", choices=("training", "lmdb", "scores"), help="default: all three")
    parser.add_argument("--precision", nargs="+", default=["fp32", "bf16"], help="of ours; default: both")
    parser.add_argument("--out", type=Path, help=f"default: {OUT}, for whole benchmarks alone")
    options = parser.parse_args(arguments)
    wanted = options.only or ("training", "lmdb", "scores")
    if why := REAL.why_not():
        say(f"real Caffe is {why}: no ratios")
        beside = {}
    else:
        beside = {"real_caffe_blas": real_blas.described()}
        say(f"real Caffe: {beside['real_caffe_blas']}")
    out = options.out or (None if options.only else OUT)
    so_far = out and out.with_suffix(".part.json")
    rows: list[dict] = []
    try:
        if out:
            check_place(out)
        for measured in _measured(wanted, options.rounds, options.precision):
            rows += measured
            if so_far:  # real Caffe takes long, so at most one work is lost if a benchmark is cut short
                keep(rows, so_far, **beside)
        print(table(rows))
        if out:
            so_far.replace(out)
            say(f"-> {out}")
    except (UserError, OSError) as error:
        raise SystemExit(f"bench: {error}") from error


def _measured(wanted: Collection[str], rounds: int, precisions: Sequence[str]) -> Iterator[list[dict]]:
    """Yield the rows of one work after the other."""
    if "training" in wanted:
        for name in MODELS:
            yield training.measure(name, DATA, rounds, precisions, say)
    if "lmdb" in wanted:
        yield make_lmdb.measure(find(), make_lmdb.IMAGES, rounds, say)
    if "scores" in wanted:
        for name in MODELS:
            yield scores.measure(name, DATA, scores.IMAGES, rounds, precisions, say)


if __name__ == "__main__":
    main()
