"""`caffe time` computes the gradients that real Caffe's Backward computes in every layer, with or without a loss.

Measured with real Caffe's `caffe time` on such nets: layers without work there take a microsecond, the others up to
seconds. ArgMax and Threshold end it ("Not Implemented Yet"); here they are named, and take no time.
"""

import caffe
import pytest
from caffe import __main__ as command

from tests.engine.build import input_layer, make_net

FILLER = 'weight_filler { type: "gaussian" std: 0.1 }'
DEPLOY = (
    input_layer(data=(2, 3, 8, 7), label=(2,))
    + f"""
layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param {{ num_output: 5 kernel_size: 3 {FILLER} }} }}
layer {{ name: "relu" type: "ReLU" bottom: "conv" top: "conv" }}
layer {{ name: "lrn" type: "LRN" bottom: "conv" top: "lrn" }}
layer {{ name: "within" type: "LRN" bottom: "lrn" top: "within" lrn_param {{ norm_region: WITHIN_CHANNEL }} }}
layer {{ name: "bn" type: "BatchNorm" bottom: "within" top: "bn" }}
layer {{ name: "mvn" type: "MVN" bottom: "bn" top: "mvn" }}
layer {{ name: "pool" type: "Pooling" bottom: "mvn" top: "pool" pooling_param {{ kernel_size: 2 }} }}
layer {{ name: "cols" type: "Im2col" bottom: "pool" top: "cols" convolution_param {{ kernel_size: 2 }} }}
layer {{ name: "fixed" type: "InnerProduct" bottom: "cols" top: "fixed" param {{ lr_mult: 0 }} param {{ lr_mult: 0 }}
  inner_product_param {{ num_output: 6 {FILLER} }} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "fixed" top: "ip" inner_product_param {{ num_output: 4 {FILLER} }} }}
layer {{ name: "prob" type: "Softmax" bottom: "ip" top: "prob" }}
"""
)


def run_time(monkeypatch, text, phase):
    net = make_net(text, phase)
    asked = []
    real = net._backward_layer
    monkeypatch.setattr(net, "_backward_layer", lambda i, keep: (asked.append(net._layer_names[i]), real(i, keep)))
    monkeypatch.setattr(command, "_load_net", lambda flags, phase: net)
    assert command.main(["time", "--model=net.prototxt", "--iterations=2"]) == 0
    return net, asked


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
@pytest.mark.parametrize(
    "end, named", [("", []), ("Accuracy", []), ("ArgMax", ["ArgMax"]), ("Threshold", ["Threshold"])]
)
def test_deploy_net(monkeypatch, log_lines, phase, end, named):
    label = ' bottom: "label"' if end == "Accuracy" else ""
    text = DEPLOY + (f'layer {{ name: "end" type: "{end}" bottom: "prob"{label} top: "end" }}' if end else "")
    net, asked = run_time(monkeypatch, text, phase)
    some = [name for name in reversed(net._layer_names) if name != "end" or not named]
    assert asked == some * 3  # before the benchmark and twice in it
    weights = {name: [not blob._diff.is_zero for blob in blobs] for name, blobs in net.params.items()}
    assert weights == {"conv": [True] * 2, "bn": [False] * 3, "fixed": [False] * 2, "ip": [True] * 2}
    assert [line.split("(")[1].split(")")[0] for line in log_lines if "no backward pass" in line] == named
    assert sum("\tbackward: " in line for line in log_lines) == len(net.layers)


def test_bottoms_that_need_no_gradient():
    net = make_net(DEPLOY)
    assert not any(net.graph.layer_need_backward)
    net.graph.run_every_backward()
    asked = {name for name, need in zip(net._layer_names, net.graph.bottom_need_backward, strict=True) if any(need)}
    assert asked == {"lrn", "bn", "mvn", "cols", "prob"}
    assert all(net.graph.layer_need_backward)


class Without(caffe.Layer):
    """A Python layer that defines no backward."""

    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data


class With(Without):
    def backward(self, top, propagate_down, bottom):
        called.append(list(propagate_down))


called = []


@pytest.mark.parametrize("name, named", [("Without", ["Python"]), ("With", [])])
def test_python_layer(monkeypatch, log_lines, name, named):
    called.clear()
    text = DEPLOY + (
        f'layer {{ name: "py" type: "Python" bottom: "prob" top: "py" '
        f'python_param {{ module: "{__name__}" layer: "{name}" }} }}'
    )
    run_time(monkeypatch, text, caffe.TEST)
    assert called == ([] if named else [[False]] * 3)
    assert [line.split("(")[1].split(")")[0] for line in log_lines if "no backward pass" in line] == named


def test_net_with_a_loss_keeps_what_it_needs(monkeypatch):
    text = DEPLOY + 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }'
    need = make_net(text).graph.bottom_need_backward
    net, _ = run_time(monkeypatch, text, caffe.TRAIN)
    unasked = {"lrn", "bn", "mvn", "cols", "prob"}
    for name, mine, before in zip(net._layer_names, net.graph.bottom_need_backward, need, strict=True):
        assert mine == ([True] if name in unasked else before), name
