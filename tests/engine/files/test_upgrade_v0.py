"""V0 nets of 2013 become today's form."""

import pytest
from caffe import PrototxtError
from caffe._files import prototxt, upgrade
from caffe.proto import caffe_pb2


def parse(text):
    return prototxt.parse(text, caffe_pb2.NetParameter(), "old")


def net(text):
    return upgrade.upgrade_net(parse(text), "old")


def test_equals_the_same_net_of_today():
    old = net("""
        name: "old" force_backward: true debug_info: true
        layers { layer { name: "data" type: "data" source: "lmdb" meanfile: "mean" batchsize: 7 cropsize: 6 mirror: true
                 scale: 0.5 rand_skip: 3 } top: "data" top: "label" }
        layers { layer { name: "conv" type: "conv" num_output: 6 group: 2 kernelsize: 5 stride: 3 pad: 1 biasterm: false
                 weight_filler { type: "gaussian" std: 0.5 } blobs_lr: 1 weight_decay: 3 } bottom: "data" top: "conv" }
        layers { layer { name: "pool" type: "pool" pool: AVE kernelsize: 3 stride: 2 } bottom: "conv" top: "pool" }
        layers { layer { name: "norm" type: "lrn" local_size: 3 alpha: 0.1 beta: 0.7 k: 2 } bottom: "pool" top: "norm" }
        layers { layer { name: "ip" type: "innerproduct" num_output: 4 bias_filler { value: 2 }
                 blobs { num: 1 channels: 1 height: 1 width: 2 data: 1 data: 2 } } bottom: "norm" top: "ip" }
        layers { layer { name: "drop" type: "dropout" dropout_ratio: 0.3 } bottom: "ip" top: "ip" }
        layers { layer { name: "loss" type: "softmax_loss" } bottom: "ip" bottom: "label" }
    """)
    new = parse("""
        name: "old" force_backward: true
        layer { name: "data" type: "Data" top: "data" top: "label" data_param { source: "lmdb" batch_size: 7 rand_skip: 3 }
                transform_param { mean_file: "mean" crop_size: 6 mirror: true scale: 0.5 } }
        layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" param { lr_mult: 1 decay_mult: 3 }
                convolution_param { num_output: 6 group: 2 kernel_size: 5 stride: 3 pad: 1 bias_term: false
                                    weight_filler { type: "gaussian" std: 0.5 } } }
        layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
                pooling_param { pool: AVE kernel_size: 3 stride: 2 } }
        layer { name: "norm" type: "LRN" bottom: "pool" top: "norm"
                lrn_param { local_size: 3 alpha: 0.1 beta: 0.7 k: 2 } }
        layer { name: "ip" type: "InnerProduct" bottom: "norm" top: "ip"
                inner_product_param { num_output: 4 bias_filler { value: 2 } }
                blobs { num: 1 channels: 1 height: 1 width: 2 data: 1 data: 2 } }
        layer { name: "drop" type: "Dropout" bottom: "ip" top: "ip" dropout_param { dropout_ratio: 0.3 } }
        layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" }
    """)
    assert old == new


PADDED = """
    input: "data" input_dim: 1 input_dim: 2 input_dim: 3 input_dim: 4
    layers {{ layer {{ name: "pad" type: "padding" pad: 2 }} bottom: "data" top: "padded" }}
    layers {{ layer {{ name: "user" type: "{kind}" {fields} }} bottom: "padded" {bottoms} top: "user" }}
"""


@pytest.mark.parametrize("kind, param", [("conv", "convolution_param"), ("pool", "pooling_param")])
def test_padding_goes_into_the_layer_above(kind, param):
    layers = net(PADDED.format(kind=kind, fields="kernelsize: 3", bottoms="")).layer
    assert [layer.name for layer in layers] == ["input", "user"]
    assert list(layers[1].bottom) == ["data"]
    pad = getattr(layers[1], param).pad
    assert (list(pad) if kind == "conv" else pad) == ([2] if kind == "conv" else 2)


def test_unknown_parameter_is_named_and_left_out(log_lines):
    param = parse(
        'layers { layer { name: "r" type: "relu" num_output: 3 new_num: 2 } bottom: "a" top: "a" } input: "a"'
    )
    assert upgrade.upgrade_as_needed(param, "old") is False
    assert "Unknown parameter num_output for layer type relu" in log_lines
    assert param.layer[0] == caffe_pb2.LayerParameter(name="r", type="ReLU", bottom=["a"], top=["a"])


@pytest.mark.parametrize(
    "text, message",
    [
        ('layers { layer { type: "convolution" } }', "unknown V0 layer type: convolution"),
        ('layers { layer { name: "c" type: "conv" } bottom: "nowhere" }', "'c': unknown bottom blob 'nowhere'"),
        (PADDED.format(kind="lrn", fields="", bottoms=""), "'pad': padding can only stand before a conv or pool"),
        (PADDED.format(kind="conv", fields="", bottoms='bottom: "data"'), "with one bottom and one top"),
    ],
)
def test_refused(text, message):
    with pytest.raises(PrototxtError, match=message):
        net(text)
