"""make bench: real Caffe and ours by turns on this machine, one table; kept in results/.

    python -m bench [--rounds 2] [--only training lmdb scores] [--precision fp32 bf16]
                    [--out results/bench_cpu.json]

Training on the LMDBs in data/lmdb, the LMDBs themselves, and the class scores of val; see bench/training.py,
make_lmdb.py and scores.py for what is timed. Needs real Caffe (make reference-caffe), else there are no ratios,
and the data (make lmdb). A quarter of an hour on two cores, with nothing else running.
"""

import argparse
from pathlib import Path

from bench import make_lmdb, scores, training
from bench.results import keep, say
from bench.table import table
from data_prep.dataset import find
from data_prep.errors import DataError
from tests.conformance.engines import REAL

MODELS = ("alexnet1", "nin1")
DATA = Path("data/lmdb")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=2, help="turns of each engine (default: %(default)s)")
    parser.add_argument("--only", nargs="+", choices=("training", "lmdb", "scores"), help="default: all three")
    parser.add_argument("--precision", nargs="+", default=["fp32", "bf16"], help="of ours; default: both")
    parser.add_argument("--out", type=Path, default=Path("results/bench_cpu.json"), help="default: %(default)s")
    options = parser.parse_args(arguments)
    wanted = options.only or ("training", "lmdb", "scores")
    if why := REAL.why_not():
        say(f"real Caffe is {why}: no ratios")
    rows: list[dict] = []
    try:
        if "training" in wanted:
            for name in MODELS:
                rows += training.measure(name, DATA, options.rounds, options.precision, say)
        if "lmdb" in wanted:
            rows += make_lmdb.measure(find(), make_lmdb.IMAGES, options.rounds, say)
        if "scores" in wanted:
            for name in MODELS:
                rows += scores.measure(name, DATA, scores.IMAGES, options.rounds, options.precision, say)
    except (DataError, OSError) as error:
        raise SystemExit(f"bench: {error}") from error
    keep(rows, options.out)
    print(table(rows))
    say(f"kept in {options.out}")


if __name__ == "__main__":
    main()
