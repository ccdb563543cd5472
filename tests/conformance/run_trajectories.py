"""Train what FOLDER/jobs.json lists with the engine that runs this; each starts from the same weights.

    python run_trajectories.py FOLDER      runs in any engine's Python (3.9 and NumPy 1.19 too)

For each job it logs a line `=== STEM` and trains FOLDER/STEM.prototxt to its end, from its .solverstate if it has one.
FOLDER/STEM.npz then holds the learned weights by `layer/index`.
If the last snapshot has gradients, it also holds them by `layer/index/diff`.
"""

import json
import os
import sys

import caffe
import numpy as np
from caffe.proto import caffe_pb2


def fill(net):
    rng = np.random.RandomState(4)
    for blobs in net.params.values():
        for blob in blobs:
            size = blob.data.size // blob.data.shape[0]
            blob.data[...] = (rng.random_sample(blob.data.shape) - 0.5) * (2 * (3.0 / size) ** 0.5 if size > 1 else 0.2)


def gradients(path):
    model = caffe_pb2.NetParameter()
    with open(path, "rb") as file:
        model.ParseFromString(file.read())
    for layer in model.layer:
        for index, blob in enumerate(layer.blobs):
            if blob.diff:
                yield "%s/%d/diff" % (layer.name, index), np.array(blob.diff, np.float32)


def train(folder, stem, restore):
    path = os.path.join(folder, stem)
    sys.stderr.write("=== %s\n" % stem)
    sys.stderr.flush()
    solver = caffe.get_solver(path + ".prototxt")
    if restore:
        solver.restore(restore)
    else:
        fill(solver.net)
    solver.solve()
    arrays = {
        "%s/%d" % (name, index): blob.data.copy()
        for name, blobs in solver.net.params.items()
        for index, blob in enumerate(blobs)
    }
    arrays.update(gradients(path + "_iter_20.caffemodel"))
    np.savez(path + ".npz", **arrays)


if __name__ == "__main__":
    gpu = os.environ.get("CONFORMANCE_GPU")
    if gpu:
        caffe.set_device(int(gpu))
        caffe.set_mode_gpu()
    else:
        caffe.set_mode_cpu()
    with open(os.path.join(sys.argv[1], "jobs.json")) as file:
        jobs = json.load(file)
    for job in jobs:
        train(sys.argv[1], job["stem"], job["restore"])
