"""Save a net's weights as HDF5, or load them, with the engine that runs this.

    python hdf5_weights.py save FILE.h5 OUT.npz     random weights, saved; OUT.npz holds them
    python hdf5_weights.py load FILE.h5 OUT.npz     load_hdf5; OUT.npz holds what the net has then
    python hdf5_weights.py copy FILE.h5 OUT.npz     the same by copy_from

Layers `first` and `second` share weights by name, each has a bias of its own.
"""

import os
import sys

import numpy as np

os.environ["GLOG_minloglevel"] = "2"
import caffe  # real Caffe reads the log level when it is imported

LAYER = """layer { name: "%s" type: "InnerProduct" bottom: "%s" top: "%s" param { name: "w" }
  inner_product_param { num_output: 5 } }
"""
NET = (
    'name: "shared" layer { name: "input" type: "Input" top: "x" input_param { shape { dim: 2 dim: 5 } } }\n'
    + LAYER % ("first", "x", "y")
    + LAYER % ("second", "y", "z")
    + 'layer { name: "conv.1 x" type: "InnerProduct" bottom: "z" top: "q" inner_product_param { num_output: 3 axis: 0 } }\n'
)


def main(what, path, out):
    with open("shared.prototxt", "w") as file:
        file.write(NET)
    net = caffe.Net("shared.prototxt", caffe.TEST)
    if what == "save":
        rng = np.random.RandomState(3)
        for blobs in net.params.values():
            for blob in blobs:
                blob.data[...] = rng.random_sample(blob.data.shape)
        net.save_hdf5(path)
    else:
        getattr(net, {"load": "load_hdf5", "copy": "copy_from"}[what])(path)
    np.savez(out, **{f"{name}/{i}": blob.data for name, blobs in net.params.items() for i, blob in enumerate(blobs)})


if __name__ == "__main__":
    main(*sys.argv[1:])
