"""Run a data layer for many batches with the engine that runs this, and write down every record it gave.

python random_data.py NET.prototxt BATCHES OUT.npz
"""

import os
import sys

import numpy as np

os.environ["GLOG_minloglevel"] = "2"
import caffe  # real Caffe reads the log level when it is imported


def main(path, batches, out):
    net = caffe.Net(path, caffe.TRAIN)
    seen = {top: [] for top in net.blobs}
    for _ in range(int(batches)):
        net.forward()
        for top, rows in seen.items():
            rows.append(np.array(net.blobs[top].data))
    np.savez(out, **{top: np.concatenate(rows) for top, rows in seen.items()})


if __name__ == "__main__":
    main(*sys.argv[1:])
