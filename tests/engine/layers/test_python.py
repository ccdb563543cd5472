"""Python layers: a user's class inside a net, with its parameters, phase and errors."""

import numpy as np
import pytest
from caffe import TEST, TRAIN, CaffeError, Layer, NetError
from caffe._layers import python

from tests.engine.build import input_layer, make_net


class Affine(Layer):
    """y = param_str * x + b, with b a parameter."""

    def setup(self, bottom, top):
        self.factor = float(self.param_str)
        self.blobs.add_blob(1)
        self.blobs[0].data[...] = 0.5

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        top[0].data[...] = self.factor * bottom[0].data + self.blobs[0].data

    def backward(self, top, propagate_down, bottom):
        self.blobs[0].diff[...] += top[0].diff.sum()
        if propagate_down[0]:
            bottom[0].diff[...] = self.factor * top[0].diff


class Phase(Layer):
    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        top[0].reshape()

    def forward(self, bottom, top):
        top[0].data[()] = self.phase

    def backward(self, top, propagate_down, bottom):
        pass


class OwnInit(Phase):
    def __init__(self, layer_param):
        super().__init__(layer_param)
        self.name = f"{layer_param.type} {layer_param.name}"


class NotACaffeLayer:
    def __init__(self, *arguments):
        self.count = len(arguments)

    def setup(self, bottom, top):
        assert self.param_str == "x" and len(self.blobs) == 0

    reshape = Phase.reshape
    forward = Phase.forward


class Broken(Layer):
    def setup(self, bottom, top):
        raise ValueError("this setup is broken")


def layer(name, cls, bottom="", top="", param_str="", more=""):
    wires = f'bottom: "{bottom}" ' * bool(bottom) + f'top: "{top}"' * bool(top)
    return (
        f'layer {{ name: "{name}" type: "Python" {wires} {more} '
        f'python_param {{ module: "{__name__}" layer: "{cls}" param_str: "{param_str}" }} }}\n'
    )


def test_an_init_of_ones_own_takes_the_layer_parameter():
    net = make_net(layer("p", "OwnInit", top="a") + layer("q", "NotACaffeLayer", top="b", param_str="x"), TEST)
    assert net.forward()["a"] == net.blobs["b"].data == TEST
    assert net.layers[0].name == "Python p" and net.layers[1].count == 1


@pytest.fixture
def net():
    return make_net("force_backward: true " + input_layer(data=(2, 3)) + layer("a", "Affine", "data", "mid", 10)
                    + layer("b", "Affine", "mid", "out", 3))  # fmt: skip


def test_forward_and_backward(net, rng):
    x, above = rng.normal(size=(2, 2, 3)).astype(np.float32)
    out = net.forward(data=x)["out"]
    np.testing.assert_allclose(out, 3 * (10 * x + 0.5) + 0.5, rtol=1e-6)
    diff = net.backward(out=above)["data"]
    np.testing.assert_allclose(diff, 30 * above, rtol=1e-6)
    np.testing.assert_allclose(net.params["b"][0].diff, above.sum(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(net.params["a"][0].diff, 3 * above.sum(), rtol=1e-5, atol=1e-6)


def test_reshape_reaches_through_python_layers(net):
    net.blobs["data"].reshape(5, 4)
    net.reshape()
    assert net.blobs["out"].shape == [5, 4]
    net.blobs["data"].reshape(1, 2)
    assert net.forward()["out"].shape == (1, 2)


@pytest.mark.parametrize("phase", [TRAIN, TEST])
def test_phase(phase):
    assert make_net(layer("p", "Phase", top="p"), phase).forward()["p"] == phase


def test_between_layers_of_the_engine(rng):
    """Gradients go through a Python layer into a layer below it."""
    net = make_net(
        input_layer(data=(4, 3))
        + 'layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 2 '
        'weight_filler { type: "gaussian" } } }' + layer("a", "Affine", "ip", "out", 2, more="loss_weight: 1")
    )  # fmt: skip
    x = rng.normal(size=(4, 3)).astype(np.float32)
    net.forward(data=x)
    net.backward()
    np.testing.assert_allclose(net.params["ip"][1].diff, [8, 8], rtol=1e-6)
    np.testing.assert_allclose(net.params["ip"][0].diff, np.tile(2 * x.sum(0), (2, 1)), rtol=1e-5)


def test_unknown_module_and_class():
    with pytest.raises(NetError, match="no_such_module"):
        make_net('layer { name: "x" type: "Python" python_param { module: "no_such_module" layer: "A" } }')
    with pytest.raises(NetError, match="NoSuchLayer"):
        make_net(layer("x", "NoSuchLayer"))


def test_exception_in_the_layer_is_the_users_own():
    with pytest.raises(ValueError, match="this setup is broken"):
        make_net(layer("x", "Broken"))


def test_not_allowed(monkeypatch):
    monkeypatch.setattr(python, "allowed", False)
    with pytest.raises(CaffeError, match="--allow_python_layers"):
        make_net(layer("p", "Phase", top="p"))


def test_net_layers_gives_the_object(net):
    """As in pycaffe, a script reaches the attributes of the user's class through the net (``net.layers[0].set_roidb(...)``)."""
    layer = net.layers[1]
    assert isinstance(layer, Affine) and layer.factor == 10 and layer.type == "Python"
    assert net.layer_dict["a"] is layer and layer.blobs is net.params["a"]
    layer.factor = -3.0
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    net.forward(data=x)
    np.testing.assert_allclose(net.blobs["mid"].data, -3 * x + 0.5)
