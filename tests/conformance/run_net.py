"""Run a net once with the engine that runs this, and write down every blob.

    python run_net.py NET.prototxt TRAIN|TEST STAGES WEIGHTS.caffemodel INPUTS.npz OUT.npz

STAGES is a comma list, or `-`. A missing WEIGHTS file is written, from the net's own fillers. A layer whose
weights stay constant (deploy nets have no fillers) gets drawn ones. OUT.npz holds `blob|data` for every blob.
For a net with a loss it also holds `layer param n|diff` for every parameter after backward.
Runs on real pycaffe's Python 3.9 and NumPy 1.19 too.
"""

import os
import sys

import numpy as np

os.environ["GLOG_minloglevel"] = "2"
import caffe  # real Caffe reads the log level when it is imported


def draw(net):
    """Weights that keep values near one from layer to layer, used if the fillers gave none."""
    rng = np.random.RandomState(1701)
    types = {name: layer.type for name, layer in zip(net._layer_names, net.layers)}
    for name, blobs in net.params.items():
        if types[name] == "BatchNorm":
            blobs[0].data[...] = 0.1 * rng.randn(*blobs[0].data.shape)
            blobs[1].data[...] = rng.uniform(0.5, 1.5, blobs[1].data.shape)
            blobs[2].data[...] = 1
        elif np.ptp(blobs[0].data) == 0:
            weights = blobs[0].data
            weights[...] = rng.randn(*weights.shape) * np.sqrt(2.0 * len(weights) / weights.size)
            for bias in list(blobs)[1:]:
                bias.data[...] = 0.1 * rng.randn(*bias.data.shape)


def main(prototxt, phase, stages, weights, inputs, out):
    caffe.set_mode_cpu()
    caffe.set_random_seed(1701)
    net = caffe.Net(prototxt, getattr(caffe, phase), stages=[] if stages == "-" else stages.split(","))
    if not os.path.exists(weights):
        draw(net)
        net.save(weights)
    net.copy_from(weights)
    with np.load(inputs) as arrays:
        net.forward(**{name: arrays[name] for name in net.inputs})
    seen = {name + "|data": np.array(blob.data) for name, blob in net.blobs.items()}
    if any(net.blob_loss_weights.values()):
        for blobs in net.params.values():
            for blob in blobs:
                blob.diff[...] = 0
        net.backward()
        for name, blobs in net.params.items():
            for index, blob in enumerate(blobs):
                seen["%s param %d|diff" % (name, index)] = np.array(blob.diff)
    np.savez(out, **seen)


if __name__ == "__main__":
    main(*sys.argv[1:])
