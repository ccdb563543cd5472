"""A stand-in for the `caffe` command: it logs a training, writes real snapshots, and obeys SIGINT as Caffe does.

It has one weight of two numbers. Every iteration adds base_lr to each, so a snapshot shows the rates in force.
It runs until SIGINT, or to max_iter when that is at most 100. The loss falls by 0.1 every ten iterations, which are
displayed. Before the end it tests once.
"""

import os
import signal
import sys
import time
from pathlib import Path

from caffe.proto import caffe_pb2
from google.protobuf import text_format

if sys.argv[1:] == ["--version"]:
    print("caffe version 0.0-fake")
    sys.exit()

interrupts = []
signal.signal(signal.SIGINT, lambda *_: interrupts.append(1))
flags = dict(word.removeprefix("--").partition("=")[::2] for word in sys.argv[2:])
solver = text_format.Parse(Path(flags["solver"]).read_text(), caffe_pb2.SolverParameter())
iteration, weights = 0, [0.0, 0.0]
if "snapshot" in flags:
    state = caffe_pb2.SolverState.FromString(Path(flags["snapshot"]).read_bytes())
    model = caffe_pb2.NetParameter.FromString(Path(state.learned_net).read_bytes())
    iteration, weights = state.iter, list(model.layer[0].blobs[0].data)
end = solver.max_iter if solver.max_iter <= 100 else sys.maxsize


def say(message: str) -> None:
    """Log an INFO line, as glog's variables say."""
    prefix = f"I1123 16:02:29.668105 {os.getpid()} sgd_solver.cpp:106] "
    if os.environ.get("GLOG_minloglevel", "0") == "0":
        print(prefix * (os.environ.get("GLOG_log_prefix", "1") == "1") + message, file=sys.stderr, flush=True)


say("Use CPU.")
say("Initializing solver from parameters: ")
print(f'base_lr: {solver.base_lr:g}\nlr_policy: "{solver.lr_policy}"', file=sys.stderr)
if iteration:
    say(f"Resuming from {flags['snapshot']}")
say("Solving tiny")
begin = iteration
while iteration < end and not interrupts:
    if iteration % 10 == 0 or iteration == begin:
        say(f"Iteration {iteration} (5 iter/s, 2s/10 iters), loss = {1 - iteration / 100:g}")
        say(f"Iteration {iteration}, lr = {solver.base_lr:g}")
    time.sleep(0.002)
    iteration += 1
    weights = [weight + solver.base_lr for weight in weights]
say(f"Iteration {iteration}, Testing net (#0)")
say("    Test net output #0: accuracy = 0.25")
time.sleep(0.1)  # a second SIGINT for one Ctrl-C would arrive by now
print(f"snapshots kept: {os.environ.get('CAFFE_SNAPSHOTS_KEPT')}", file=sys.stderr)
print(f"interrupts: {len(interrupts)}", file=sys.stderr, flush=True)
prefix = f"{solver.snapshot_prefix}_iter_{iteration}"
model = caffe_pb2.NetParameter()
state = caffe_pb2.SolverState(iter=iteration, learned_net=f"{prefix}.caffemodel")
for blob in (model.layer.add(name="ip").blobs.add(), state.history.add()):
    blob.shape.dim.append(2)
    blob.data.extend(weights)
Path(f"{prefix}.caffemodel").write_bytes(model.SerializeToString())
Path(f"{prefix}.solverstate").write_bytes(state.SerializeToString())
