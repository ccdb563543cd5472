"""One worker with batch 100 and two with batch 50: the same training, compared by its losses.

    python -m bench.two_workers alexnet1 [--iterations 100] [--batch 100] [--narrow 4] [--data data/lmdb]
        [--out runs/bench/two_workers.csv]

Crop, mirror and dropout are off, since each worker draws its own. The two train on the CPU, over gloo. The loss is of
each iteration; for two workers it is their mean. Some losses of both are printed, with the largest relative
difference. With --out both are written as CSV, after lines about the run, and drawn beside it as PNG (by matplotlib).
`make results` keeps both files in results/. --narrow 4 leaves each layer a fourth of its outputs, for a slow machine.
"""

import argparse
import os
import re
import shlex
import sys
import time
from pathlib import Path

from bench import process
from bench.first_iterations import checked, solver, training_net
from bench.results import write_csv
from harness import provenance
from tests.conformance.engines import OURS, workspace
from training import caffe_log


def narrow(net: str, by: int) -> str:
    """A prototxt whose layers have fewer outputs; the last layer keeps its classes."""
    sizes = re.findall(r"num_output: (\d+)", net)
    fewer = iter([*(max(1, int(size) // by) for size in sizes[:-1]), *sizes[-1:]])
    return re.sub(r"num_output: \d+", lambda _: f"num_output: {next(fewer)}", net)


def train(folder: Path, batch: int, workers: int) -> tuple[dict[int, float], float]:
    """Train, and return losses by iteration and the seconds taken, the start of the processes included."""
    net = (folder / "net.prototxt").read_text()
    (folder / "net.prototxt").write_text(re.sub(r"batch_size: \d+", f"batch_size: {batch}", net))
    command = [*OURS.command(folder), "train", "--solver=solver.prototxt"]
    if workers > 1:
        # Without a visible GPU, one worker runs on the CPU for each GPU named.
        command.append(f"--gpu={','.join(map(str, range(workers)))}")
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = process.measured(command, folder, environment)
    events = map(caffe_log.event, done.output.splitlines())
    return {event.iteration: event.loss for event in events if isinstance(event, caffe_log.Loss)}, done.seconds


def draw(one: list[float], two: list[float], batch: int, out: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure((7, 4.5), layout="constrained")
    above, below = figure.subplots(2, sharex=True, height_ratios=(2, 1))
    above.plot(one, color="0.7", linewidth=4, label=f"one worker, batch {batch}")
    above.plot(two, color="#1f5fa8", linewidth=1.2, label=f"two workers, batch {batch // 2} each")
    above.set_ylabel("training loss")
    above.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    below.plot([(b - a) / a * 1e6 for a, b in zip(one, two, strict=True)], ".", markersize=3, color="#1f5fa8")
    below.set_ylabel("difference\n(millionths)")
    below.set_xlabel("iteration")
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(out, dpi=150)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.two_workers", description=__doc__.split("\n")[0])
    parser.add_argument("name", help="a model of models/variants.toml")
    parser.add_argument("--iterations", type=int, default=100)
    parser.add_argument("--batch", type=int, default=100, help="of the one; the two have half of it each")
    parser.add_argument("--narrow", type=int, default=1, metavar="N", help="1/N of each layer's outputs")
    parser.add_argument("--data", type=Path, default=Path("data/lmdb"))
    parser.add_argument("--out", type=checked, help="write both losses as CSV, and a picture of them beside it")
    options = parser.parse_args()
    begun = time.perf_counter()
    with workspace() as folder:
        target = folder / "data/lmdb"
        target.mkdir(parents=True)
        for part in ("train_lmdb", "mean.binaryproto"):
            (target / part).symlink_to((options.data / part).resolve())
        (folder / "net.prototxt").write_text(narrow(training_net(options.name, dropout=False), options.narrow))
        (folder / "solver.prototxt").write_text(solver(options.name, options.iterations))
        one, seconds_of_one = train(folder, options.batch, 1)
        two, seconds_of_two = train(folder, options.batch // 2, 2)
    numbers = sorted(one)
    worst = max(abs(two[i] - one[i]) / abs(one[i]) for i in numbers)
    print("iteration      one worker   two workers")
    for i in sorted({*numbers[::10], numbers[-1]}):
        print(f"{i:9d}   {one[i]:14.6g}   {two[i]:.6g}")
    print(f"largest relative difference of {len(numbers)} losses: {worst:.2g}")
    if options.out:
        about = {
            "command": shlex.join(["python", "-m", "bench.two_workers", *sys.argv[1:]]),
            "data": provenance.digest_of_mean(options.data / "mean.binaryproto"),
            "seconds": f"{time.perf_counter() - begun:.0f} ({seconds_of_one:.0f} one, {seconds_of_two:.0f} two)",
            "largest relative difference": f"{worst:.2g}",
        }
        rows = ([i, one[i], two[i]] for i in numbers)
        write_csv(options.out, about, ["iteration", "one_worker", "two_workers"], rows)
        draw([one[i] for i in numbers], [two[i] for i in numbers], options.batch, options.out.with_suffix(".png"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
