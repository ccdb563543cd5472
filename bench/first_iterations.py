"""The first iterations of a training on both engines, from the same weights and the same records.

    python -m bench.first_iterations alexnet1 [--iterations 200] [--data data/lmdb] [--dropout] [--out runs/bench/FILE.csv]

Crop and mirror are off, since their random numbers differ between engines. Dropout is off unless --dropout is given;
the losses then differ by its noise. It needs real Caffe (make reference-caffe). It prints some losses of both and
their largest relative difference. It also prints each engine's iterations a second, with all cores of this machine.
"""

import argparse
import dataclasses
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

from caffe.proto import caffe_pb2
from google.protobuf import text_format

from bench import real_blas
from bench.results import write_csv
from harness import provenance
from harness.errors import UserError
from harness.measurements import check_place
from models.render import HERE as MODELS
from models.render import render
from models.variants import read_variants
from tests.conformance import caffe_log
from tests.conformance.engines import OURS, REAL, Engine, workspace

START = "import caffe; caffe.set_random_seed(7); caffe.Net('net.prototxt', caffe.TRAIN).save('start.caffemodel')"


def checked(text: str) -> Path:
    """Parse the value of --out for argparse: a file outside results/."""
    try:
        check_place(Path(text))
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return Path(text)


def training_net(name: str, dropout: bool) -> str:
    """The prototxt of a variant's TRAIN net without crop and mirror, and without dropout unless asked for."""
    (variant,) = (v for v in read_variants(MODELS / "variants.toml") if v.name == name)
    plain = dataclasses.replace(variant, crop_size=0, mirror=False)
    net = text_format.Parse(render(plain, deploy=False), caffe_pb2.NetParameter())
    layers = [layer for layer in net.layer if dropout or layer.type != "Dropout"]
    del net.layer[:]
    net.layer.extend(layers)
    return text_format.MessageToString(net)


def solver(name: str, iterations: int) -> str:
    """The variant's own solver with every iteration displayed, but no tests or snapshots."""
    param = text_format.Parse(Path(f"solvers/{name}.prototxt").read_text(), caffe_pb2.SolverParameter())
    for field in ("test_iter", "test_interval", "average_loss", "snapshot"):
        param.ClearField(field)
    param.net, param.display, param.max_iter = "net.prototxt", 1, iterations
    param.snapshot_after_train = False
    param.snapshot_prefix = "unused"
    return text_format.MessageToString(param)


def train(engine: Engine, folder: Path) -> tuple[dict[int, float], float]:
    """Losses by iteration, and iterations a second between the first and the last."""
    command = [*engine.command(folder), "train", "--solver=solver.prototxt", "--weights=start.caffemodel"]
    environment = engine._environment() | (real_blas.environment() if engine is REAL else {})
    losses, first = {}, None
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
    ) as process:  # fmt: skip
        for line in process.stdout:
            found = caffe_log.PROGRESS.match(line) or caffe_log.FINAL_LOSS.match(line)
            if not found:
                last_words = line
                continue
            number, loss = int(found[1]), float(found[found.re.groups])
            first = first or time.perf_counter()
            if found.re is caffe_log.PROGRESS:
                losses[number], last = loss, time.perf_counter()
    if process.returncode:
        raise SystemExit(f"{engine.name}: exit status {process.returncode}: {last_words}")
    return losses, (len(losses) - 1) / (last - first)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.first_iterations", description=__doc__.split("\n")[0])
    parser.add_argument("name", help="a model of models/variants.toml")
    parser.add_argument("--iterations", type=int, default=200)
    parser.add_argument("--data", type=Path, default=Path("data/lmdb"))
    parser.add_argument("--dropout", action="store_true", help="leave dropout on")
    parser.add_argument("--out", type=checked, help="write iteration, real and our loss as CSV")
    options = parser.parse_args()
    if why := REAL.why_not():
        raise SystemExit(f"bench: real Caffe is {why}")
    with workspace() as folder:
        for part in ("train_lmdb/data.mdb", "mean.binaryproto"):
            target = folder / "data/lmdb" / part
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link((options.data / part).resolve(), target)
        (folder / "net.prototxt").write_text(training_net(options.name, options.dropout))
        (folder / "solver.prototxt").write_text(solver(options.name, options.iterations))
        OURS.checked([*OURS.interpreter(folder), "-c", START], folder)
        real, real_speed = train(REAL, folder)
        ours, our_speed = train(OURS, folder)
    worst = max(abs(ours[i] - real[i]) / abs(real[i]) for i in real)
    print("iteration   real Caffe   ours")
    for i in sorted({0, *range(24, options.iterations, 25), options.iterations - 1}):
        print(f"{i:9d}   {real[i]:10.6g}   {ours[i]:.6g}")
    print(f"largest relative difference of {len(real)} losses: {worst:.2g}")
    print(f"iterations/s: real Caffe {real_speed:.3g}, ours {our_speed:.3g}: {our_speed / real_speed:.2f} x")
    if options.out:
        about = {
            "command": shlex.join(["python", "-m", "bench.first_iterations", *sys.argv[1:]]),
            "data": provenance.digest_of_mean(options.data / "mean.binaryproto"),
            "largest relative difference": f"{worst:.2g}",
        }
        rows = ([i, real[i], ours[i]] for i in sorted(real))
        write_csv(options.out, about, ["iteration", "real_caffe", "ours"], rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
