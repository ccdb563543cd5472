"""make bench-gpu: how long an iteration and an epoch of NIN and AlexNet take on a GPU, in each precision.

    python -m bench.gpu [alexnet1 nin1] [--precision fp32 tf32 bf16] [--iterations 500] [--data data/lmdb]

Without --data, it makes records of random pixels, since times do not depend on the content of an image. Each line is
a process of its own, which reads the records into the GPU's memory. It runs 50 iterations that do not count, then
those that do, without a display, tests or snapshots in between. Memory is the peak of PyTorch's own count, without
the records. Start-up lasts from the process's start to the first iteration's end, without reading the records. The
last line is the report's whole training, calculated from these times. It takes about 5 minutes and no network.
Without a GPU it prints so and runs on the CPU, for a try (--iterations 2).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STARTED = time.time()
EPOCH = 100_000  # images
BATCH = 100
WARM_UP = 50
RECORDS = 10_000
EPOCHS = {"nin1": 100, "alexnet1": 30}
"""Epochs of one training at the report's length (section 5)."""
TRAININGS = {"nin1": 3, "alexnet1": 2}
"""The number of the report's five models with the size of each."""


def make_records(folder: Path, count: int) -> None:
    """An LMDB of 64 x 64 images of random pixels and a mean, named as `make lmdb` names them."""
    import lmdb
    import numpy as np
    from caffe.proto import caffe_pb2

    rng = np.random.default_rng(0)
    (folder / "train_lmdb").mkdir(parents=True)
    with (
        lmdb.open(str(folder / "train_lmdb"), map_size=count * 20_000 + (1 << 20)) as env,
        env.begin(write=True) as txn,
    ):
        for number in range(count):
            datum = caffe_pb2.Datum(channels=3, height=64, width=64, data=rng.bytes(3 * 64 * 64), label=number % 200)
            txn.put(b"%08d" % number, datum.SerializeToString(), append=True)
    mean = caffe_pb2.BlobProto(num=1, channels=3, height=64, width=64, data=[128.0] * (3 * 64 * 64))
    (folder / "mean.binaryproto").write_bytes(mean.SerializeToString())


def measure_here(name: str, data: Path, iterations: int) -> dict:
    """Measure one line of the table, in this process."""
    import torch
    from caffe import get_solver
    from caffe._device import device as _device
    from caffe._files.prototxt import read_net_param, read_solver_param

    from bench.work import training_flop

    _device.set_mode_gpu()
    torch.backends.cudnn.benchmark = True  # the same setting as `caffe train`
    device = _device.current()
    param = read_solver_param(f"solvers/{name}.prototxt")
    net = read_net_param(param.net)
    for layer in net.layer:
        layer.transform_param.mean_file = str(data / "mean.binaryproto") if layer.type == "Data" else ""
        layer.data_param.source = str(data / "train_lmdb")
    for field in ("net", "test_iter", "test_interval", "snapshot", "display"):
        param.ClearField(field)
    param.train_net_param.CopyFrom(net)
    solver = get_solver(param)
    solver.keep_blobs = False
    before = time.time()
    if device.type == "cuda":
        room = torch.cuda.mem_get_info(device)[0] // 2
        solver.net._layers[0]._make_resident(device, room)
        torch.cuda.synchronize()
    read = time.time() - before
    solver.step(1)
    loss = float(solver.progress.smoothed_loss())
    started = time.time() - STARTED - read
    solver.step(WARM_UP if device.type == "cuda" else 1)
    float(solver.progress.smoothed_loss())  # reading the loss waits for the device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()  # the reset discards the memory of cuDNN's trials
    begun = time.perf_counter()
    solver.step(iterations)
    float(solver.progress.smoothed_loss())
    if device.type == "cuda":
        torch.cuda.synchronize()
    seconds = (time.perf_counter() - begun) / iterations
    resident = solver.net._layers[0]._resident
    records = resident.pixels.nbytes + resident.labels.nbytes if resident else 0
    peak = torch.cuda.max_memory_allocated() - records if device.type == "cuda" else None
    return {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "CPU",
        "iterations/s": 1 / seconds,
        "images/s": BATCH / seconds,
        "epoch s": EPOCH / BATCH * seconds,
        "GFLOP/s": training_flop(Path(f"models/{name}/train_val.prototxt"), BATCH) / seconds / 1e9,
        "peak MiB": peak and peak / (1 << 20),
        "read s": read,
        "start s": started,
        "first loss": loss,
    }


def measure(name: str, precision: str, data: Path, iterations: int) -> dict:
    """Measure one line of the table, in a process of its own; SystemExit with its exit status if it fails."""
    from bench.ceiling import product_speed

    command = [sys.executable, "-m", "bench.gpu", name, "--here", "--data", str(data), "--iterations", str(iterations)]
    environment = os.environ | {"CAFFE_PRECISION": precision, "GLOG_minloglevel": "1"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"bench: {name} in {precision}: exit status {done.returncode}")
    row = json.loads(done.stdout.splitlines()[-1])
    ceiling = product_speed(precision, "cpu" if row["device"] == "CPU" else "cuda")
    share = {"of ceiling": f"{row['GFLOP/s'] * 1e9 / ceiling:.0%}"}
    return {"work": f"train {name}", "precision": precision, **row, **share}


def whole_report(rows: list[dict]) -> list[str]:
    """A sentence for each precision that was measured for both sizes: the five trainings, by calculation."""
    lines = []
    for precision in dict.fromkeys(row["precision"] for row in rows):
        epochs = {row["work"].split()[1]: row["epoch s"] for row in rows if row["precision"] == precision}
        if epochs.keys() >= EPOCHS.keys():
            seconds = sum(TRAININGS[name] * EPOCHS[name] * epochs[name] for name in EPOCHS)
            lines.append(
                f"The report's five trainings ({', '.join(f'{TRAININGS[n]} x {EPOCHS[n]} epochs of {n}' for n in EPOCHS)}) "
                f"in {precision}, by calculation, without tests: {seconds / 60:.1f} minutes."
            )
    return lines


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", default=["alexnet1", "nin1"])
    parser.add_argument("--precision", nargs="+", default=["fp32", "tf32", "bf16"])
    parser.add_argument("--iterations", type=int, default=500)
    parser.add_argument("--data", type=Path, help="a folder with train_lmdb and mean.binaryproto")
    parser.add_argument("--out", type=Path, default=Path("runs/bench/bench_gpu.json"), help="default: %(default)s")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.here:
        print(json.dumps(measure_here(options.names[0], options.data, options.iterations)))
        return
    from bench.results import keep, say
    from bench.table import table
    from harness.errors import UserError
    from harness.measurements import check_place

    try:
        check_place(options.out)
    except UserError as error:
        raise SystemExit(f"bench.gpu: {error}") from error

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        data = options.data or Path(folder, "data")
        if options.data is None:
            say(f"making {RECORDS} records")
            make_records(data, RECORDS)
        for name in options.names:
            for precision in options.precision:
                say(f"{name} in {precision}")
                rows.append(measure(name, precision, data, options.iterations))
    if any(row["device"] == "CPU" for row in rows):
        say("there is no GPU: these are the CPU's, and they are not written")
    else:
        keep(rows, options.out)
    print(table(rows))
    print("\n".join(whole_report(rows)))


if __name__ == "__main__":
    main()
