"""Nets written in Python give the prototxt that pycaffe's NetSpec gives."""

import copy

import caffe
import pytest
from caffe import layers as L
from caffe import params as P
from caffe._files import prototxt
from caffe.proto import caffe_pb2


def net(text):
    return prototxt.parse(text, caffe_pb2.NetParameter(), "expected")


def test_names_parameters_and_in_place():
    n = caffe.NetSpec()
    n.data, n.label = L.Data(
        source="train", batch_size=7, backend=P.Data.LMDB, include=dict(phase=caffe.TRAIN), ntop=2,
        transform_param=dict(crop_size=48, mirror=True, mean_value=[1, 2, 3]),
    )  # fmt: skip
    n.conv = L.Convolution(
        n.data, kernel_size=3, num_output=4, param=[dict(lr_mult=1), dict(lr_mult=2, decay_mult=0)],
        weight_filler=dict(type="gaussian", std=0.5),
    )  # fmt: skip
    n.relu = L.ReLU(n.conv, in_place=True)
    n["pool"] = L.Pooling(n.relu, pool=P.Pooling.AVE, global_pooling=True)
    n.loss = L.SoftmaxWithLoss(n.pool, n.label, loss_weight=2, loss_param=dict(normalization=P.Loss.FULL))
    assert n.to_proto() == net("""
        layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN }
                transform_param { crop_size: 48 mirror: true mean_value: [1, 2, 3] }
                data_param { source: "train" batch_size: 7 backend: LMDB } }
        layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" param { lr_mult: 1 }
                param { lr_mult: 2 decay_mult: 0 }
                convolution_param { kernel_size: 3 num_output: 4 weight_filler { type: "gaussian" std: 0.5 } } }
        layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
        layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { pool: AVE global_pooling: true } }
        layer { name: "loss" type: "SoftmaxWithLoss" bottom: "pool" bottom: "label" top: "loss" loss_weight: 2
                loss_param { normalization: FULL } }
    """)


def test_names_made_up():
    """Type and number, counted as layers are needed; unnamed layers inside a NetSpec likewise."""
    data, label = L.Data(ntop=2)
    ip = L.InnerProduct(L.InnerProduct(data, num_output=3), num_output=2)
    expected = net("""
        layer { name: "Data1" type: "Data" top: "Data1" top: "Data2" }
        layer { name: "InnerProduct1" type: "InnerProduct" bottom: "Data1" top: "InnerProduct1"
                inner_product_param { num_output: 3 } }
        layer { name: "InnerProduct2" type: "InnerProduct" bottom: "InnerProduct1" top: "InnerProduct2"
                inner_product_param { num_output: 2 } }
        layer { name: "SoftmaxWithLoss1" type: "SoftmaxWithLoss" bottom: "InnerProduct2" bottom: "Data2"
                top: "SoftmaxWithLoss1" }
    """)
    loss = L.SoftmaxWithLoss(ip, label)
    assert loss.to_proto() == expected
    assert caffe.to_proto(loss) == expected and caffe.to_proto(ip, loss) == expected


def test_each_layer_once_and_without_tops():
    n = caffe.NetSpec()
    n.a, n.b = L.Input(shape=[dict(dim=[2, 3]), dict(dim=4)], ntop=2)
    n.silence = L.Silence(n.a, n.b, ntop=0)
    assert n.to_proto() == net("""
        layer { name: "a" type: "Input" top: "a" top: "b" input_param { shape { dim: [2, 3] } shape { dim: 4 } } }
        layer { name: "silence" type: "Silence" bottom: "a" bottom: "b" }
    """)


def test_layer_name_given_and_param_of_another_message():
    n = caffe.NetSpec()
    n.x = L.Python(name="mine", module="m", layer="l", param_str="{}", phase=caffe.TEST, propagate_down=True)
    assert n.to_proto() == net("""
        layer { name: "mine" type: "Python" top: "x" phase: TEST propagate_down: true
                python_param { module: "m" layer: "l" param_str: "{}" } }
    """)


def test_net_runs(tmp_path):
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[2, 3]))
    n.prob = L.Softmax(L.InnerProduct(n.data, num_output=4))
    path = tmp_path / "net.prototxt"
    path.write_text(str(n.to_proto()))
    assert (caffe.Net(str(path), caffe.TEST).forward()["prob"] == 0.25).all()


def test_input_that_is_no_top():
    with pytest.raises(TypeError, match=r"^Silence input 0 is not a Top \(type is <class 'tuple'>\)$"):
        L.Silence(L.Data(ntop=2), ntop=0)


@pytest.mark.parametrize(
    "top, message",
    [
        (
            lambda: L.Convolution(kernal_size=3),
            "ConvolutionParameter has no field 'kernal_size'. Did you mean kernel_size",
        ),
        (lambda: L.SoftmaxWithLoss(los_weight=3), "LayerParameter has no field 'los_weight'. Did you mean loss_weight"),
        (lambda: L.Convolution(weight_filler=dict(tpe="x")), "FillerParameter has no field 'tpe'. Did you mean type"),
    ],
)
def test_unknown_field(top, message):
    with pytest.raises(AttributeError, match=message):
        top().to_proto()


def test_attributes_that_are_not_there():
    n = caffe.NetSpec()
    with pytest.raises(AttributeError, match="no top 'x'"):
        n.x  # noqa: B018
    assert not hasattr(L, "__wrapped__") and copy.copy(n) is not n
    with pytest.raises(AttributeError):
        P.NoSuch.MAX  # noqa: B018


def test_pycaffes_other_names():
    layer = caffe_pb2.LayerParameter()
    caffe.net_spec.assign_proto(layer, "convolution_param", {"num_output": 3, "kernel_size": [2]})
    assert layer == prototxt.parse("convolution_param { num_output: 3 kernel_size: 2 }", type(layer)(), "expected")
    names = caffe.net_spec.param_name_dict()
    assert (names["Convolution"], names["HDF5Data"], names["LRN"]) == ("convolution", "hdf5_data", "lrn")
    spec = caffe.NetSpec()
    spec.a, spec.b = L.DummyData(), L.DummyData()
    spec.tops.move_to_end("a")
    assert [layer.name for layer in spec.to_proto().layer] == ["b", "a"]
