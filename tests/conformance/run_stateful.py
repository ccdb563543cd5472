"""Run a net whose layers carry sums and states from pass to pass, and descend its gradients by hand.

    python run_stateful.py make|load WEIGHTS.caffemodel OUT      runs in any engine's Python

`make` draws the weights and writes WEIGHTS first. Five passes with other inputs each, every one of them followed
by a step. OUT.npz holds the outputs, gradients and weights of each, OUT.caffemodel the net at the end.
"""

import os
import sys

import numpy as np

os.environ["GLOG_minloglevel"] = "2"
import caffe  # real Caffe reads the log level when it is imported

NET = """
name: "stateful" force_backward: true
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 4 dim: 3 dim: 2 dim: 5 } } }
layer { name: "cont" type: "Input" top: "cont" input_param { shape { dim: 4 dim: 3 } } }
layer {
  name: "old" type: "BatchNorm" bottom: "x" top: "old" batch_norm_param { moving_average_fraction: 0.5 }
  param { name: "m" lr_mult: 1 } param { name: "v" lr_mult: 2 } param { decay_mult: 3 }
}
layer {
  name: "up" type: "Deconvolution" bottom: "old" top: "up"
  convolution_param { num_output: 3 kernel_size: 2 group: 3 weight_filler { type: "gaussian" std: 1 } }
}
layer {
  name: "lstm" type: "LSTM" bottom: "up" bottom: "cont" top: "lstm"
  recurrent_param { num_output: 6 weight_filler { type: "gaussian" std: 0.3 } }
}
layer { name: "bn" type: "BatchNorm" bottom: "lstm" top: "lstm" }
layer {
  name: "rnn" type: "RNN" bottom: "lstm" bottom: "cont" top: "rnn" param { lr_mult: 2 }
  recurrent_param { num_output: 4 weight_filler { type: "gaussian" std: 0.3 } }
}
layer { name: "softmax" type: "Softmax" bottom: "rnn" top: "softmax" softmax_param { axis: 2 } }
"""


def main(mode, weights, out):
    with open("stateful.prototxt", "w") as file:
        file.write(NET)
    net = caffe.Net("stateful.prototxt", caffe.TRAIN)
    if mode == "make":
        net.save(weights)
    net.copy_from(weights)
    rng = np.random.RandomState(1701)
    seen = {}
    for number in range(5):
        net.blobs["x"].data[...] = rng.randn(4, 3, 2, 5)
        net.blobs["cont"].data[...] = rng.randint(0, 2, size=(4, 3))
        net.forward()
        seen["%d|softmax" % number] = np.array(net.blobs["softmax"].data)
        params = [(name, index, p) for name, blobs in net.params.items() for index, p in enumerate(blobs)]
        for _, _, param in params:
            param.diff[...] = 0
        net.blobs["softmax"].diff[...] = rng.randn(4, 3, 4)
        net.backward()
        for name, index, param in params:
            seen["%d|%s %d|diff" % (number, name, index)] = np.array(param.diff)
            param.data[...] -= 0.1 * param.diff
            seen["%d|%s %d" % (number, name, index)] = np.array(param.data)
    net.save(out + ".caffemodel")
    np.savez(out + ".npz", **seen)


if __name__ == "__main__":
    main(*sys.argv[1:])
