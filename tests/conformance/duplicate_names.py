"""Train, resume or load a net with duplicate layer names, with the engine that runs this.

Two layers share one name, and two have none.

python duplicate_names.py train OUT.npz     three iterations and a snapshot; OUT.npz holds the weights
python duplicate_names.py resume OUT.npz    from that snapshot; OUT.npz holds what the net has then
python duplicate_names.py load OUT.npz      the snapshot's weights alone, in a test net
"""

import os
import sys

import numpy as np

os.environ["GLOG_minloglevel"] = "2"
import caffe  # real Caffe reads the log level when it is imported

LAYER = """layer { name: "%s" type: "InnerProduct" bottom: "%s" top: "%s"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
"""
NET = (
    'name: "twins" layer { name: "data" type: "DummyData" top: "x" top: "y" dummy_data_param { '
    'shape { dim: 3 dim: 5 } shape { dim: 3 } data_filler { type: "gaussian" } data_filler { value: 2 } } }\n'
    + LAYER % ("fc", "x", "a")
    + 'layer { type: "ReLU" bottom: "a" top: "a" }\n'
    + LAYER % ("fc", "a", "b")
    + LAYER % ("", "b", "c")
    + LAYER % ("", "c", "d")
    + 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "d" bottom: "y" top: "loss" }\n'
)
SOLVER = 'net: "twins.prototxt" base_lr: 0.1 momentum: 0.9 lr_policy: "fixed" snapshot_prefix: "twins" random_seed: 3'


def main(what, out):
    for name, content in (("twins.prototxt", NET), ("twins_solver.prototxt", SOLVER)):
        with open(name, "w") as file:
            file.write(content)
    if what == "load":
        net = caffe.Net("twins.prototxt", caffe.TEST, weights="twins_iter_3.caffemodel")
    else:
        solver = caffe.get_solver("twins_solver.prototxt")
        net = solver.net
        if what == "train":
            solver.step(3)
            solver.snapshot()
        else:
            solver.restore("twins_iter_3.solverstate")
    layers = [layer for layer in net.layers if len(layer.blobs)]
    np.savez(
        out, **{"%d/%d" % (i, j): blob.data for i, layer in enumerate(layers) for j, blob in enumerate(layer.blobs)}
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
