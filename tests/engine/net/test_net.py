"""A net's wiring: Splits, rules, in-place layers, the blobs that need gradients, and the refused nets."""

import numpy as np
import pytest
from caffe import TEST, TRAIN, CaffeError, NetError, PrototxtError, _layers
from caffe._layers.base import register
from caffe._net.whole_net import WholeNet

from tests.engine.build import input_layer, make_net


def ip(name, bottom, top=None, outputs=2, more="", bias="true"):
    return (
        f'layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{top or name}" {more} '
        f"inner_product_param {{ num_output: {outputs} bias_term: {bias} "
        'weight_filler { type: "gaussian" } } }\n'
    )


def loss(bottom, name="loss", more=""):
    return (
        f'layer {{ name: "{name}" type: "SoftmaxWithLoss" bottom: "{bottom}" bottom: "label" top: "{name}" {more} }}\n'
    )


def silence(*bottoms):
    return "layer { name: 'silence' type: 'Silence' " + " ".join(f"bottom: '{b}'" for b in bottoms) + " }\n"


DATA = input_layer(data=(4, 3), label=(4,))


class TestSplits:
    def test_names_and_order(self):
        net = make_net(DATA + ip("a", "data") + ip("b", "data") + loss("a", "la") + loss("b", "lb"))
        assert list(net._layer_names) == [
            "input", "data_input_0_split", "label_input_1_split", "a", "b", "la", "lb",
        ]  # fmt: skip
        assert net.top_names["data_input_0_split"] == ["data_input_0_split_0", "data_input_0_split_1"]
        assert net.bottom_names["a"] == ["data_input_0_split_0"]
        assert net.bottom_names["b"] == ["data_input_0_split_1"]
        assert net.bottom_names["lb"] == ["b", "label_input_1_split_1"]

    def test_split_of_an_in_place_blob_is_named_after_its_last_writer(self):
        net = make_net(
            DATA + ip("a", "data") + 'layer { name: "relu" type: "ReLU" bottom: "a" top: "a" }'
            + ip("b", "a") + ip("c", "a")
        )  # fmt: skip
        assert net._layer_names[2:4] == ["relu", "a_relu_0_split"]
        assert list(net.blobs) == ["data", "label", "a", "a_relu_0_split_0", "a_relu_0_split_1", "b", "c"]

    def test_none_where_a_blob_has_one_user(self):
        net = make_net(DATA + ip("a", "data") + loss("a"))
        assert "Split" not in [layer.type for layer in net.layers]

    def test_loss_weight_makes_a_user(self):
        net = make_net(DATA + ip("a", "data", more="loss_weight: 3") + ip("b", "a") + silence("b"))
        assert net.top_names["a_a_0_split"] == ["a_a_0_split_0", "a_a_0_split_1"]
        assert net.blob_loss_weights["a_a_0_split_0"] == 3
        assert net.bottom_names["b"] == ["a_a_0_split_1"]
        total = net._forward(0, len(net.layers) - 1)
        np.testing.assert_allclose(float(total), 3 * net.blobs["a"].data.sum(), rtol=1e-6)

    def test_gradients_add_up(self, rng):
        """Two losses over one layer: its gradient is the sum of those with each loss alone."""

        def gradient(*weights):
            net = make_net(
                DATA + ip("a", "data")
                + "".join(loss("a", f"l{i}", f"loss_weight: {w}") for i, w in enumerate(weights))
            )  # fmt: skip
            net.params["a"][0].data[...] = np.arange(6).reshape(2, 3) / 10
            net.forward(data=np.arange(12).reshape(4, 3) / 7, label=np.array([0, 1, 1, 0]))
            net.backward()
            return net.params["a"][0].diff

        both = gradient(1, 2.5)
        np.testing.assert_allclose(both, gradient(1) + gradient(2.5), rtol=1e-5)
        np.testing.assert_allclose(both, 3.5 * gradient(1), rtol=1e-5)


class TestRules:
    def names(self, layers, phase=TEST, **state):
        return make_net(DATA + layers, phase, **state)._layer_names[1:]

    @pytest.mark.parametrize(
        "rule, state, kept",
        [
            ("include { phase: TRAIN }", {"phase": TRAIN}, True),
            ("include { phase: TRAIN }", {"phase": TEST}, False),
            ("exclude { phase: TRAIN }", {"phase": TRAIN}, False),
            ("exclude { phase: TRAIN }", {"phase": TEST}, True),
            ("include { phase: TRAIN } include { phase: TEST }", {"phase": TEST}, True),
            ("include { min_level: 2 }", {"level": 1}, False),
            ("include { min_level: 2 }", {"level": 2}, True),
            ("include { max_level: 2 }", {"level": 2}, True),
            ("include { max_level: 2 }", {"level": 3}, False),
            ("include { min_level: 1 max_level: 2 }", {"level": 3}, False),
            ("include { stage: 'x' }", {"stage": ["y", "x"]}, True),
            ("include { stage: 'x' stage: 'y' }", {"stage": ["x"]}, False),
            ("include { stage: 'x' } include { stage: 'y' }", {"stage": ["y"]}, True),
            ("include { not_stage: 'x' }", {"stage": ["x"]}, False),
            ("include { not_stage: 'x' }", {"stage": ["y"]}, True),
            ("include { phase: TEST stage: 'x' not_stage: 'y' }", {"stage": ["x", "y"]}, False),
            ("exclude { stage: 'x' }", {"stage": ["x"]}, False),
            ("exclude { phase: TRAIN } exclude { stage: 'x' }", {"phase": TEST, "stage": ["x"]}, False),
            ("", {}, True),
        ],
    )
    def test_include_and_exclude(self, rule, state, kept):
        names = self.names(ip("a", "data", more=rule), **state)
        assert names == (["a"] if kept else [])

    def test_both_kinds_are_refused(self):
        with pytest.raises(PrototxtError, match="'a'.*not both"):
            self.names(ip("a", "data", more="include { phase: TRAIN } exclude { phase: TEST }"))

    def test_splits_are_made_after_the_rules(self):
        layers = ip("a", "data") + ip("b", "data", more="include { phase: TRAIN }")
        assert self.names(layers, TEST) == ["a"]
        assert self.names(layers, TRAIN) == ["data_input_0_split", "a", "b"]

    def test_none_left_can_be_made_but_not_run(self):
        net = make_net(ip("a", "data", more="include { phase: TEST }").replace('"data"', '"x"'), TRAIN)
        assert list(net.blobs) == [] and len(net.layers) == 0
        for run in (net.forward, lambda: WholeNet(net)):
            with pytest.raises(NetError, match="no layer in phase TRAIN: nothing to run.*include"):
                run()

    def test_a_layer_s_own_phase_wins(self):
        dropout = 'layer { name: "d" type: "Dropout" bottom: "data" top: "d" phase: TEST }'
        assert not make_net(DATA + dropout, TRAIN).layers[1].training
        assert make_net(DATA + dropout.replace("phase: TEST", ""), TRAIN).layers[1].training


class TestBackward:
    def needs(self, net):
        return dict(zip(net._layer_names, net.graph.layer_need_backward, strict=True))

    def test_only_from_loss_to_parameters(self):
        net = make_net(DATA + ip("a", "data") + ip("b", "a") + ip("side", "a") + silence("side") + loss("b"))
        assert self.needs(net) == {
            "input": False, "a": True, "a_a_0_split": True, "b": True, "side": False, "silence": False, "loss": True,
        }  # fmt: skip
        # Neither data nor labels need gradients.
        assert net.graph.bottom_need_backward[net._layer_names.index("a")] == [False]
        assert net.graph.bottom_need_backward[net._layer_names.index("loss")] == [True, False]

    def test_lr_mult_0_stops_where_nothing_below_learns(self, rng):
        frozen = "param { lr_mult: 0 } param { lr_mult: 0 }"
        net = make_net(DATA + ip("a", "data", more=frozen) + ip("b", "a") + loss("b"))
        assert self.needs(net) == {"input": False, "a": False, "b": True, "loss": True}
        net.forward(data=rng.normal(size=(4, 3)), label=np.zeros(4))
        net.backward()
        assert not net.params["a"][0].diff.any() and net.params["b"][0].diff.any()

    def test_frozen_layer_in_the_middle_lets_gradients_through(self, rng):
        frozen = "param { lr_mult: 0 } param { lr_mult: 0 }"
        net = make_net(DATA + ip("a", "data") + ip("b", "a", more=frozen) + loss("b"))
        net.forward(data=rng.normal(size=(4, 3)), label=np.zeros(4))
        net.backward()
        assert net.params["a"][0].diff.any() and not net.params["b"][0].diff.any()

    def test_half_frozen_layer(self, rng):
        net = make_net(DATA + ip("a", "data", more="param { lr_mult: 0 }") + loss("a"))
        net.forward(data=rng.normal(size=(4, 3)), label=np.zeros(4))
        net.backward()
        assert not net.params["a"][0].diff.any() and net.params["a"][1].diff.any()

    def test_propagate_down_false_cuts(self, rng):
        net = make_net(DATA + ip("a", "data") + ip("b", "a", more="propagate_down: false") + loss("b"))
        assert self.needs(net) == {"input": False, "a": False, "b": True, "loss": True}

    def test_propagate_down_true_asks_for_the_data_gradient(self, rng):
        net = make_net(DATA + ip("a", "data", more="propagate_down: true") + loss("a"))
        net.forward(data=rng.normal(size=(4, 3)), label=np.zeros(4))
        net.backward()
        assert net.blobs["data"].diff.any()

    def test_propagate_down_to_labels(self):
        with pytest.raises(NetError, match="'loss': propagate_down must be specified 0 or 2 times"):
            make_net(DATA + ip("a", "data") + loss("a", more="propagate_down: true"))

    def test_force_backward(self, rng):
        text = DATA + ip("a", "data", more="param { lr_mult: 0 } param { lr_mult: 0 }") + loss("a")
        for force in (False, True):
            net = make_net(f"force_backward: {str(force).lower()} {text}")
            net.forward(data=rng.normal(size=(4, 3)), label=np.zeros(4))
            net.backward()
            assert net.blobs["data"].diff.any() == force
            assert net.params["a"][0].diff.any() == force
            assert not net.blobs["label"].diff.any()

    def test_parameter_gradients_accumulate_until_cleared(self, rng):
        net = make_net(DATA + ip("a", "data") + loss("a"))
        net.forward(data=rng.normal(size=(4, 3)), label=np.zeros(4))
        net.backward()
        once = net.params["a"][0].diff.copy()
        net.backward()
        np.testing.assert_allclose(net.params["a"][0].diff, 2 * once, rtol=1e-6)
        net.clear_param_diffs()
        assert not net.params["a"][0].diff.any()


class TestSharing:
    def shared(self, first, second, outputs=(3, 3)):
        return make_net(
            DATA + ip("a", "data", more=first, outputs=outputs[0]) + ip("b", "a", more=second, outputs=outputs[1])
            + loss("b")
        )  # fmt: skip

    def test_one_memory_and_added_gradients(self, rng):
        net = self.shared("param { name: 'w' }", "param { name: 'w' }")
        net.params["a"][0].data[...] = rng.normal(size=(3, 3))
        np.testing.assert_array_equal(net.params["b"][0].data, net.params["a"][0].data)
        assert len(net._params.learnable) == 3  # w and two biases
        apart = make_net(DATA + ip("a", "data", outputs=3) + ip("b", "a", outputs=3) + loss("b"))
        for name in ("a", "b"):
            for mine, theirs in zip(apart.params[name], net.params[name], strict=True):
                mine.data[...] = theirs.data
        x, labels = rng.normal(size=(4, 3)), rng.integers(0, 3, 4)
        for each in (net, apart):
            each.forward(data=x, label=labels)
            each.backward()
        expected = apart.params["a"][0].diff + apart.params["b"][0].diff
        np.testing.assert_allclose(net.params["a"][0].diff, expected, rtol=1e-5)
        np.testing.assert_array_equal(net.params["b"][0].diff, net.params["a"][0].diff)

    def test_lr_mult_given_by_either(self):
        for first, second in (("lr_mult: 3", ""), ("", "lr_mult: 3"), ("lr_mult: 3", "lr_mult: 3")):
            net = self.shared(f"param {{ name: 'w' {first} }}", f"param {{ name: 'w' {second} }}")
            assert net._params.learnable[0].lr_mult == 3

    @pytest.mark.parametrize("field", ["lr_mult", "decay_mult"])
    def test_contradicting_factors(self, field):
        with pytest.raises(NetError, match=f"'w' has mismatched {field}"):
            self.shared(f"param {{ name: 'w' {field}: 1 }}", f"param {{ name: 'w' {field}: 2 }}")

    def test_other_shape(self):
        with pytest.raises(NetError, match=r"Cannot share param 'w' owned by layer 'a' with layer 'b'"):
            self.shared("param { name: 'w' }", "param { name: 'w' }", outputs=(3, 2))

    def test_too_many_params(self):
        with pytest.raises(NetError, match="Too many params specified for layer a"):
            self.shared("param {} param {} param {}", "")


class TestRefused:
    @pytest.mark.parametrize(
        "layers, message",
        [
            (ip("a", "dat"), r"Unknown bottom blob 'dat' \(layer 'a', bottom index 0\)"),
            (ip("a", "b") + ip("b", "data"), "Unknown bottom blob 'b'"),
            (ip("a", "data") + ip("b", "data", top="a"), "Top blob 'a' produced by multiple sources"),
            (ip("a", "data", top="label"), "Top blob 'label' produced by multiple sources"),
            ('layer { name: "r" type: "ReLU" bottom: "data" bottom: "label" top: "r" }', "takes 1 bottom"),
            ('layer { name: "r" type: "ReLU" bottom: "data" }', "takes 1 top"),
            (ip("a", "data", more="loss_weight: 1 loss_weight: 1"), "once per top"),
        ],
    )
    def test_wiring(self, layers, message):
        with pytest.raises(CaffeError, match=message):
            make_net(DATA + layers)

    def test_unknown_type_names_the_nearest(self):
        with pytest.raises(PrototxtError, match="'r': unknown layer type: Relu. Did you mean ReLU"):
            make_net(DATA + 'layer { name: "r" type: "Relu" bottom: "data" top: "r" }')

    def test_type_is_registered_once(self):
        assert "Convolution" in _layers.layer_type_list()
        with pytest.raises(ValueError, match="Convolution is registered twice"):
            register("Convolution")(type("Impostor", (), {}))

    def test_unknown_solver_type_and_second_registration(self):
        from caffe._solver import register as register_solver

        with pytest.raises(ValueError, match="SGD is registered twice"):
            register_solver("SGD")(type("Impostor", (), {}))


@pytest.mark.parametrize("whole", [False, True], ids=["layer by layer", "whole"])
def test_the_loss_weight_of_a_layer_in_place_is_its_own(whole):
    """Real Caffe counts the top where the layer with the loss_weight gives it, not where it was written before."""
    net = make_net(
        'layer { name: "data" type: "Parameter" top: "data" parameter_param { shape { dim: 1 dim: 2 } } }\n'
        + 'layer { name: "x" type: "Power" bottom: "data" top: "x" power_param { scale: 2 } }\n'
        + 'layer { name: "again" type: "Power" bottom: "x" top: "x" power_param { shift: 10 } loss_weight: 0.5 }\n'
    )
    net.params["data"][0].data[...] = -3
    loss = WholeNet(net).forward() if whole else net._forward(0, 2)
    assert float(loss) == 0.5 * (4 + 4)
