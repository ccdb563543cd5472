"""SoftmaxWithLoss against a loop (float64, tolerance 1e-12)."""

import math

import numpy as np
import pytest
import torch
from caffe import TRAIN, CaffeError

from tests.engine.build import forward, input_layer, make_layer, make_net
from tests.engine.gradient_check import check_gradient
from tests.engine.layers.test_softmax import softmax


def softmax_loss(x, labels, axis, ignore, normalization):
    """The loss as Caffe's SoftmaxWithLossLayer sums and divides it."""
    p = np.moveaxis(softmax(x, axis), axis, -1)
    labels = labels.reshape(p.shape[:-1])
    total, valid = 0.0, 0
    for place in np.ndindex(labels.shape):
        if ignore is not None and labels[place] == ignore:
            continue
        total -= math.log(max(p[place][int(labels[place])], np.finfo(np.float32).tiny))
        valid += 1
    outer = math.prod(x.shape[:axis])
    divisor = {"FULL": labels.size, "VALID": valid, "BATCH_SIZE": outer, "NONE": 1}[normalization]
    return total / max(1, divisor)


MODES = ["FULL", "VALID", "BATCH_SIZE", "NONE"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("ignore", [None, 2])
@pytest.mark.parametrize("axis", [1, 2])
def test_values_and_gradient(rng, mode, ignore, axis):
    x = 2 * rng.normal(size=(3, 4, 5, 2))
    labels_shape = tuple(n for a, n in enumerate(x.shape) if a != axis)
    labels = rng.integers(0, x.shape[axis], labels_shape)
    labels[0, 0, 0] = 2
    given = "" if ignore is None else f"ignore_label: {ignore}"
    layer = make_layer(
        f'type: "SoftmaxWithLoss" softmax_param {{ axis: {axis} }} loss_param {{ normalization: {mode} {given} }}',
        x.shape, labels_shape, tops=2,
    )  # fmt: skip
    loss, probabilities = forward(layer, x, labels)
    assert loss.shape == ()
    np.testing.assert_allclose(loss, softmax_loss(x, labels, axis, ignore, mode), rtol=1e-12)
    np.testing.assert_allclose(probabilities, softmax(x, axis), rtol=1e-12)
    check_gradient(layer, x, labels, of=[0], tops=[0])


@pytest.mark.parametrize(
    "text, mode", [("", "VALID"), ("normalize: true", "VALID"), ("normalize: false", "BATCH_SIZE"),
                   ("normalize: false normalization: FULL", "FULL")],
)  # fmt: skip
def test_default_and_older_normalize(rng, text, mode):
    x, labels = rng.normal(size=(3, 4, 5)), rng.integers(0, 4, (3, 5))
    labels[1] = 3
    layer = make_layer(f'type: "SoftmaxWithLoss" loss_param {{ ignore_label: 3 {text} }}', x.shape, labels.shape)
    (loss,) = forward(layer, x, labels)
    np.testing.assert_allclose(loss, softmax_loss(x, labels, 1, 3, mode), rtol=1e-12)


@pytest.mark.parametrize("mode", MODES)
def test_all_ignored_is_zero_and_has_no_gradient(rng, mode):
    layer = make_layer(
        f'type: "SoftmaxWithLoss" loss_param {{ ignore_label: 255 normalization: {mode} }}', (2, 3), (2,)
    )
    x = torch.tensor(rng.normal(size=(2, 3)), requires_grad=True)
    (loss,) = layer.forward([x, torch.full((2,), 255.0)], [])
    loss.backward()
    assert loss.item() == 0 and not x.grad.any()


def test_negative_ignore_label(rng):
    x, labels = rng.normal(size=(3, 4)), np.array([1, -1, 3])
    layer = make_layer('type: "SoftmaxWithLoss" loss_param { ignore_label: -1 }', x.shape, labels.shape)
    np.testing.assert_allclose(forward(layer, x, labels)[0], softmax_loss(x, labels, 1, -1, "VALID"), rtol=1e-12)


def test_certain_mistake_is_bounded_but_still_teaches():
    """Caffe logs max(p, FLT_MIN), while the gradient is p - 1 all the same."""
    layer = make_layer('type: "SoftmaxWithLoss"', (1, 2), (1,))
    x = torch.tensor([[0.0, 500.0]], dtype=torch.float64, requires_grad=True)
    (loss,) = layer.forward([x, torch.zeros(1)], [])
    loss.backward()
    np.testing.assert_allclose(loss.item(), -math.log(np.finfo(np.float32).tiny), rtol=1e-6)
    np.testing.assert_allclose(x.grad.numpy(), [[-1, 1]], rtol=1e-12)


@pytest.mark.parametrize("text, weight", [("", 1), ("loss_weight: 2.5", 2.5)])
def test_loss_weight_scales_loss_and_gradient(rng, text, weight):
    net = make_net(
        "force_backward: true " + input_layer(x=(4, 3), label=(4,))
        + f'layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "x" bottom: "label" top: "loss" {text} }}'
    )  # fmt: skip
    x, labels = rng.normal(size=(4, 3)), rng.integers(0, 3, 4)
    net.blobs["x"].data[...], net.blobs["label"].data[...] = x, labels
    total = net._forward(0, len(net.layers) - 1)
    expected = softmax_loss(x, labels, 1, None, "VALID")
    np.testing.assert_allclose(float(total), weight * expected, rtol=1e-5)
    # The blob itself holds the loss without its weight.
    np.testing.assert_allclose(net.blobs["loss"].data, expected, rtol=1e-5)
    net.backward()
    want = weight / 4 * (softmax(x, 1) - np.eye(3)[labels])
    np.testing.assert_allclose(net.blobs["x"].diff, want, rtol=1e-4, atol=1e-6)
    assert net.blob_loss_weights["loss"] == weight


def test_zero_loss_weight_needs_no_backward(rng):
    net = make_net(
        "force_backward: false " + input_layer(x=(4, 3), label=(4,))
        + 'layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" inner_product_param { num_output: 3 } }'
        + 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" loss_weight: 0 }'
    )  # fmt: skip
    assert net.graph.layer_need_backward == [False] * 3
    assert float(net._forward(0, 2)) == 0


def test_top_may_be_left_out(rng):
    net = make_net(
        input_layer(x=(4, 3), label=(4,))
        + 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "x" bottom: "label" }', TRAIN
    )  # fmt: skip
    np.testing.assert_allclose(float(net._forward(0, 1)), math.log(3), rtol=1e-6)


@pytest.mark.parametrize(
    "shapes, message",
    [(((2, 3, 4), (2, 3)), "number of labels"), (((2, 3), (3,)), "same first dimension"), (((2, 3),), "2 bottom")],
)
def test_refused_shapes(shapes, message):
    with pytest.raises(CaffeError, match=message):
        make_layer('type: "SoftmaxWithLoss"', *shapes)


@pytest.mark.parametrize("label", [3, -1])
def test_refused_label(label):
    layer = make_layer('type: "SoftmaxWithLoss"', (2, 3), (2,))
    with pytest.raises(CaffeError, match=f"label {label} is not a class: there are 3"):
        forward(layer, np.zeros((2, 3)), np.array([0, label]))
