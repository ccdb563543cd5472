"""A net as one graph agrees with the same net layer by layer: losses, gradients, blobs afterwards."""

import numpy as np
import pytest
import torch
from caffe import TRAIN, Net, get_solver, set_random_seed
from caffe._device import device, precision
from caffe._files.prototxt import parse
from caffe._layers.base import LAYERS, create
from caffe._net.whole_net import WholeNet
from caffe.proto import caffe_pb2

from tests.engine.records import datum, write_lmdb

DATA = """layer {{ name: "d" type: "Data" top: "data" top: "label" transform_param {{ scale: 0.01 mean_value: 128 }}
  data_param {{ source: "{source}" batch_size: 3 backend: LMDB }} }}"""


def layer(name, kind, bottom, top=None, more=""):
    return f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{top or name}" {more} }}'


def conv(name, bottom, outputs, more="kernel_size: 3"):
    fillers = 'weight_filler { type: "gaussian" std: 0.3 } bias_filler { type: "gaussian" std: 0.5 }'
    return layer(name, "Convolution", bottom, more=f"convolution_param {{ num_output: {outputs} {more} {fillers} }}")


def dense(name, bottom, outputs):
    fillers = 'weight_filler { type: "gaussian" std: 0.2 } bias_filler { type: "gaussian" std: 0.5 }'
    return layer(name, "InnerProduct", bottom, more=f"inner_product_param {{ num_output: {outputs} {fillers} }}")


def relu(name, bottom, more=""):
    return layer(name, "ReLU", bottom, bottom, more)


def norm(name, bottom, top=None, more=""):
    return layer(name, "BatchNorm", bottom, top or bottom, more)


def scale(name, bottom, top=None):
    fillers = 'filler { type: "gaussian" std: 1 } bias_filler { type: "gaussian" std: 0.5 }'
    return layer(name, "Scale", bottom, top or bottom, f"scale_param {{ bias_term: true {fillers} }}")


LOSS = 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "out" bottom: "label" top: "loss" }'
HEAD = dense("out", "x", 5) + LOSS
STOPPED_HEAD = HEAD.replace('bottom: "x"', 'bottom: "x" propagate_down: false', 1)
UNBIASED = "kernel_size: 3 bias_term: false"  # under BatchNorm the gradient of a bias is 0 but for rounding
FROZEN, SHARED = "param { lr_mult: 0 } param { lr_mult: 0 }", 'param { name: "w" }'


def with_param(text, spec):
    return text.replace("convolution_param", f"{spec} convolution_param")


NETS = {
    "fused": conv("c", "data", 6) + relu("r", "c") + dense("x", "c", 7) + relu("rx", "x") + HEAD,
    "groups, stride, dilation": conv("c", "data", 6, "kernel_size: 3 group: 2 stride: 2 dilation: 2")
    + relu("r", "c")
    + conv("x", "c", 8, "kernel_size: 1")
    + relu("rx", "x")
    + HEAD,
    "leaky": conv("c", "data", 6) + relu("r", "c", "relu_param { negative_slope: 0.1 }") + dense("x", "c", 7) + HEAD,
    "two readers before the ReLU's top": conv("c", "data", 6)
    + layer("r", "ReLU", "c", "x")
    + dense("y", "c", 5)
    + 'layer { name: "loss2" type: "SoftmaxWithLoss" bottom: "y" bottom: "label" top: "loss2" loss_weight: 0.3 }'
    + HEAD,
    "in place, twice": conv("c", "data", 6)
    + layer("s", "Scale", "c", "c", 'scale_param { filler { type: "gaussian" std: 1 } }')
    + relu("r", "c")
    + dense("x", "c", 7)
    + HEAD,
    "pooling, LRN": conv("c", "data", 6, "kernel_size: 3 pad: 1")
    + relu("r", "c")
    + layer("n", "LRN", "c", more="lrn_param { local_size: 3 alpha: 0.3 }")
    + layer("x", "Pooling", "n", more="pooling_param { kernel_size: 3 stride: 2 }")
    + HEAD,
    "residual": conv("c", "data", 6, "kernel_size: 3 pad: 1")
    + relu("r", "c")
    + conv("b", "c", 6, "kernel_size: 3 pad: 1")
    + 'layer { name: "e" type: "Eltwise" bottom: "c" bottom: "b" top: "x" }'
    + relu("re", "x")
    + HEAD,
    "normalised": conv("c", "data", 6, UNBIASED)
    + norm("b", "c")
    + scale("s", "c")
    + relu("r", "c")
    + conv("d", "c", 5, UNBIASED)
    + norm("x1", "d", "x1")
    + scale("x2", "x1", "x2")
    + layer("xr", "ReLU", "x2", "x")
    + HEAD,
    "normalised, sum": conv("c", "data", 6, UNBIASED + " pad: 1")
    + norm("bc", "c")
    + scale("sc", "c")
    + conv("d", "data", 6, "kernel_size: 1 bias_term: false")
    + norm("bd", "d")
    + scale("sd", "d")
    + 'layer { name: "e" type: "Eltwise" bottom: "c" bottom: "d" top: "x" }'
    + relu("re", "x")
    + HEAD,
    "normalised, the Scale frozen": conv("c", "data", 6, UNBIASED)
    + norm("b", "c")
    + scale("s", "c").replace("scale_param", FROZEN + " scale_param")
    + relu("r", "c")
    + dense("x", "c", 7)
    + HEAD,
    "normalised by what is given": conv("c", "data", 6, UNBIASED)
    + norm("b", "c", more="batch_norm_param { use_global_stats: true eps: 1 }")
    + scale("s", "c")
    + dense("x", "c", 7)
    + HEAD,
    "normalised data": norm("b", "data", "c") + scale("s", "c") + dense("x", "c", 7) + HEAD,
    "normalised, one factor": conv("c", "data", 6, UNBIASED)
    + norm("b", "c")
    + layer("s", "Scale", "c", "c", "scale_param { num_axes: 0 bias_term: true filler { value: 1.5 } }")
    + dense("x", "c", 7)
    + HEAD,
    "normalised, no summand": conv("c", "data", 6, UNBIASED)
    + norm("b", "c")
    + layer("s", "Scale", "c", "c", 'scale_param { filler { type: "gaussian" std: 1 } }')
    + dense("x", "c", 7)
    + HEAD,
    "PReLU": conv("c", "data", 6)
    + layer("p", "PReLU", "c", "c", 'prelu_param { filler { type: "gaussian" std: 0.4 } }')
    + dense("x", "c", 7)
    + layer("px", "PReLU", "x", "x", "prelu_param { channel_shared: true }")
    + HEAD,
    "stops": conv("c", "data", 6) + relu("r", "c") + dense("x", "c", 7) + STOPPED_HEAD,
    "frozen": with_param(conv("c", "data", 6), FROZEN)
    + relu("r", "c")
    + dense("x", "c", 7)
    + HEAD,
    "shared": with_param(conv("c", "data", 4, "kernel_size: 3 pad: 1"), SHARED)
    + relu("r", "c")
    + with_param(conv("x", "c", 4, "kernel_size: 3 pad: 1"), SHARED)
    + relu("rx", "x")
    + HEAD,
}  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Five records: the second batch is another than the first."""
    rng = np.random.default_rng(2)
    images = [rng.integers(0, 256, (4, 9, 11), dtype=np.uint8) for _ in range(5)]
    return write_lmdb(tmp_path_factory.mktemp("whole") / "lmdb", [datum(image, n) for n, image in enumerate(images)])


def make(text, source):
    set_random_seed(4)
    param = parse(DATA.format(source=source) + text, caffe_pb2.NetParameter(), "test")
    param.state.phase = TRAIN
    return Net(param)


def gradients(net):
    return [entry.blob.diff.copy() for entry in net._params.learnable]


def layer_by_layer(net):
    last = len(net.layers) - 1
    loss = float(net._forward(0, last))
    net._backward(last, 0)
    return loss, gradients(net)


@pytest.fixture(params=NETS)
def text(request):
    return NETS[request.param]


def test_equals_layer_by_layer(text, source):
    loss, expected = layer_by_layer(make(text, source))
    net = make(text, source)
    assert WholeNet.fits(net)
    found = float(WholeNet(net).forward_backward())
    assert found == pytest.approx(loss, rel=1e-6)
    assert any(np.abs(g).max() > 0 for g in expected)
    for gradient, want in zip(gradients(net), expected, strict=True):
        np.testing.assert_allclose(gradient, want, rtol=1e-5, atol=1e-6 * max(1, np.abs(want).max()))


def test_adds_to_gradients_and_leaves_the_outputs(text, source):
    net = make(text, source)
    whole = WholeNet(net)
    loss = float(whole.forward_backward())
    once = gradients(net)
    sum_of_outputs = sum(float(net.blobs[name].data) * net.blob_loss_weights[name] for name in net.outputs)
    assert sum_of_outputs == pytest.approx(loss, rel=1e-6)
    whole.forward_backward()
    twice = gradients(net)
    net = make(text, source)
    net._layers[0].forward([], [])
    WholeNet(net).forward_backward()
    for first, second, both in zip(once, gradients(net), twice, strict=True):
        np.testing.assert_allclose(both, first + second, rtol=1e-5, atol=1e-6 * max(1, np.abs(both).max()))


def test_fuses_what_it_can(source):
    fused = {
        name: [step.layer.name for step in WholeNet(make(text, source))._steps if step.relu]
        for name, text in NETS.items()
    }
    assert fused["fused"] == ["c", "x"]
    assert fused["leaky"] == fused["two readers before the ReLU's top"] == fused["in place, twice"] == []
    assert fused["residual"] == ["c"]
    assert fused["normalised"] == fused["normalised, the Scale frozen"] == ["b"]
    assert fused["normalised, sum"] == fused["PReLU"] == []
    scaled = {
        name: [step.layer.name for step in WholeNet(make(text, source))._steps if step.scale is not None]
        for name, text in NETS.items()
    }
    assert scaled.pop("normalised") == ["b", "x1"]
    assert scaled.pop("normalised, sum") == ["bc", "bd"]
    for name in ("normalised, the Scale frozen", "normalised by what is given", "normalised data"):
        assert scaled.pop(name) == ["b"]
    assert set(map(tuple, scaled.values())) == {()}


def test_does_not_fit_where_blobs_are_looked_at(source):
    net = make(NETS["fused"], source)
    net.debug_info = True
    assert not WholeNet.fits(net)
    net = make(NETS["fused"], source)
    net.before_forward(lambda _: None)
    assert not WholeNet.fits(net)


@pytest.fixture(params=["own products", "float32's"])
def bf16(request, monkeypatch):
    """Run with the CPU's own bfloat16 products, and with float32's as on a CPU without them."""
    if request.param == "own products" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("oneDNN multiplies no bfloat16 on this CPU")
    monkeypatch.setattr(precision, "cpu_has_bfloat16", lambda: request.param == "own products")
    monkeypatch.setattr(precision, "_name", None)
    precision.choose("bf16")
    yield
    precision.choose("fp32")


@pytest.mark.parametrize("way", ["whole", "layers"])
def test_bfloat16_follows_float32(bf16, way, text, source):
    """Losses agree within 0.02 or 1 %, gradients within 15 % in the L2 norm.

    In so small a net, one ReLU that flips near 0 shows.
    """
    precision.choose("fp32")
    loss, expected = layer_by_layer(make(text, source))
    precision.choose("bf16")
    net = make(text, source)
    if way == "whole":
        found = float(WholeNet(net).forward_backward()), gradients(net)
    else:
        found = layer_by_layer(net)
    assert found[0] == pytest.approx(loss, abs=2e-2, rel=1e-2)
    assert found[0] != loss
    for gradient, want in zip(found[1], expected, strict=True):
        assert gradient.dtype == np.float32
        assert np.linalg.norm(gradient - want) <= 0.15 * np.linalg.norm(want)


def test_bfloat16_activations_and_float32_weights(bf16, source):
    net = make(NETS["fused"], source)
    net.forward()
    assert net.blobs["c"]._data._tensor.dtype == torch.bfloat16
    assert net.blobs["c"].data.dtype == net.params["c"][0].data.dtype == np.float32
    assert net.blobs["loss"]._data._tensor.dtype == torch.float32


def test_a_solver_may_run_either_way(source):
    """Five iterations with momentum: the weights that the command gets are those that pycaffe gets."""

    def train(keep_blobs):
        set_random_seed(9)
        net = DATA.format(source=source) + NETS["pooling, LRN"]
        text = f'net_param {{ {net} }} base_lr: 0.01 lr_policy: "fixed" momentum: 0.9'
        solver = get_solver(parse(text, caffe_pb2.SolverParameter(), "test"))
        solver.keep_blobs = keep_blobs
        solver.step(5)
        return [blob.data.copy() for blobs in solver.net.params.values() for blob in blobs]

    assert device.current().type == "cpu"
    for one, other in zip(train(True), train(False), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_gradients_are_overwritten_only_where_nobody_else_has_them():
    """A step that overwrites its gradient must not follow a layer like Eltwise, which passes its own gradient on."""
    assert {kind for kind in LAYERS if LAYERS.find(kind, "").gives_own_gradient} == {
        "Convolution", "Deconvolution", "InnerProduct", "Pooling", "LRN"
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["Convolution", "Deconvolution", "InnerProduct", "Pooling", "LRN"])
def test_own_gradients(kind):
    """The gradient of the bottom shares no memory with the gradient of the top."""
    more = {
        "Convolution": "convolution_param { num_output: 4 kernel_size: 1 }",
        "Deconvolution": "convolution_param { num_output: 4 kernel_size: 1 }",
        "InnerProduct": "inner_product_param { num_output: 396 }",
        "Pooling": "pooling_param { kernel_size: 1 }",
        "LRN": "lrn_param { local_size: 3 }",
    }
    made = create(
        parse(f'name: "x" type: "{kind}" top: "y" bottom: "x" {more[kind]}', caffe_pb2.LayerParameter(), "test")
    )
    x = torch.randn(3, 4, 9, 11, requires_grad=True)
    made.setup([tuple(x.shape)])
    made.top_shapes([tuple(x.shape)])
    (y,) = made.forward([x], [blob._data.tensor() for blob in made.blobs])
    top = torch.randn_like(y)
    (bottom,) = torch.autograd.grad(y, x, top)
    assert bottom.untyped_storage().data_ptr() != top.untyped_storage().data_ptr()
