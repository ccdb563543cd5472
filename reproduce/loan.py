"""The reproduction on a machine that is lent for minutes: data in, training until the time is up, numbers out.

    reproduce/loan.sh DATA OUT SECONDS [nin1 alexnet1 …] [--jobs 3] [--bench] [--length 0.1]

DATA is a folder with LMDBs (train_lmdb, val_lmdb, mean.binaryproto), the official zip or folder, or a folder with
part-0, part-1 … of a .tar.gz, of which each call may bring one. Everything goes into the repository's ignored folders;
a second call goes on where the first one stopped. OUT gets what is worth bringing back, in files of at most 16 MiB
(reproduce/bring_back.py), also when nothing is whole yet. SECONDS is the limit of the whole call: trainings are
asked to stop 75 s before it, of which 30 are for packing.

The order is schedule.toml's, unless models are named: alexnet1 (minutes, two rows of the table), the three NIN of
the best ensemble, alexnet2. A model's class scores come right after its training. It wants Python 3.11 or later,
PyTorch, NumPy, Pillow, protobuf and lmdb.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from harness import commands, measurements
from harness.errors import UserError
from reproduce import __main__ as whole
from reproduce import bring_back, parts, place

PACKING_S = 30
BENCH_S = 150
KEPT_PARTS, UNPACKED = Path("data/parts"), Path("data/from-parts")
BENCH = measurements.BENCH / "bench_gpu.json"


def say(line: str) -> None:
    print(f"reproduce.loan: {line}", file=sys.stderr, flush=True)


def prepared(given: Path, holdout: int | None) -> Path | None:
    """LMDBs of the data given; None where parts of it are still to come."""
    if (given / "train_lmdb" / "data.mdb").is_file():
        return given
    options = [] if holdout is None else ["--holdout", str(holdout)]
    if parts.parts(given) or parts.parts(KEPT_PARTS) and not given.exists():
        found = parts.keep(given, KEPT_PARTS)
        if missing := parts.missing(found):
            say(f"{len(found)} parts are here; {missing} is still to come")
            return None
        if not UNPACKED.is_dir():
            parts.unpack(found, UNPACKED)
        options += ["--data", str(UNPACKED), "--without-test"]
    elif given.exists():
        options += ["--data", str(given)]
    else:
        raise UserError(f"{given}: no such data; name LMDBs, the official zip or folder, or a folder with part-0 …")
    done = subprocess.run([sys.executable, "-m", "data_prep.build_lmdb", "--out", str(place.DATA), *options])
    if done.returncode:
        raise UserError(f"{given}: make lmdb failed with status {done.returncode}; what it said stands above")
    return place.DATA


def bench(seconds: float) -> None:
    """Measure the GPU in the precision to come, where that was not done."""
    if BENCH.is_file():
        return
    words = ["bench.gpu", "--iterations", "200", "--precision", *dict.fromkeys(["fp32", whole.precision()])]
    # A session of its own: it measures in processes of its own, which must not go on beside the trainings.
    process = subprocess.Popen([sys.executable, "-m", *words], start_new_session=True)
    try:
        status = process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        say(f"the benchmark took more than {seconds:.0f} s and was left out")
        return
    if status:
        say(f"the benchmark failed with status {status}; the trainings do not need it")


def lend(options: argparse.Namespace) -> int:
    """One call; returns the exit status."""
    begun = time.monotonic()
    length = options.length
    folder = options.work or place.folder_of(length)
    options.out.mkdir(parents=True, exist_ok=True)
    os.environ["PYTHON"] = sys.executable
    status = 0
    try:
        data = prepared(options.data, options.holdout)
        if options.bench:
            bench(BENCH_S)
        left = options.seconds - PACKING_S - (time.monotonic() - begun)
        if data is None:
            pass
        elif left <= whole.MARGIN_S:
            say(f"{max(0, left):.0f} s are left after the data, too little to train; the next call does")
        else:
            words = [
                *options.models,
                "--caffe",
                str(Path(__file__).with_name("caffe")),
                "--gpu",
                options.gpu,
                "--jobs",
                str(options.jobs),
                "--holdout",
                "" if options.holdout is None else str(options.holdout),
                "--partial",
                str(int(options.partial)),
            ]
            words += ["--minutes", f"{left / 60:.3f}", "--length", f"{length:g}", "--work", str(folder)]
            words += ["--data", str(data), "--keep", options.keep]
            words += ["--leave-out", "explore k-means methods page"]  # the time is for the trainings
            status = whole.main(words + (["--deterministic"] if options.deterministic else []))
    finally:
        packed = bring_back.pack(folder, sorted(measurements.BENCH.glob("*.json")), options.out)
        say(f"{options.out}: {len(packed.files)} files, {time.monotonic() - begun:.0f} s after the start")
        if packed.left_out:
            say(f"without room: {', '.join(packed.left_out)}")
    return status


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="reproduce/loan.sh", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("seconds", type=float, help="of the whole call")
    parser.add_argument("models", nargs="*", help="of the schedule; default: all, in its order")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at once on each GPU (default: %(default)s)")
    parser.add_argument("--bench", action="store_true", help=f"measure the GPU first, {BENCH_S} s at most")
    parser.add_argument(
        "--gpu", default="0", help="0, or 0,1, or all: each training on one (default: %(default)s); '' for the CPU"
    )
    parser.add_argument("--length", type=whole.length_argument, default=1.0, help="a rehearsal: all lengths times this")
    parser.add_argument("--work", type=Path, help="default: reproduction, or rehearsal-<length>")
    parser.add_argument("--keep", default="1", help="snapshots of each run, and the best (default: %(default)s)")
    parser.add_argument("--holdout", type=int, help="train images a class kept out as a test with labels")
    parser.add_argument("--partial", action="store_true", help="also on images that are not all of Tiny ImageNet")
    parser.add_argument("--deterministic", action="store_true", help="the same bits in every run, slower")
    options = parser.parse_args(argv)
    shortest = PACKING_S + whole.MARGIN_S
    if not shortest < options.seconds < 1e6:
        parser.error(f"{options.seconds:g} s: a call takes more than {shortest} s: to stop, and to pack what came out")
    if options.jobs < 1 or (options.holdout or 0) < 0:
        parser.error("--jobs is 1 or more, --holdout 0 or more")
    try:
        return lend(options)
    except (UserError, OSError) as error:
        say(f"error: {error}")
        return 1


if __name__ == "__main__":
    commands.run(main)
