"""BatchNorm against NumPy, and its running sums through a net's passes."""

import caffe
import numpy as np
import pytest
import torch
from caffe import CaffeError

from tests.engine.build import forward, input_layer, make_layer, make_net
from tests.engine.gradient_check import check_gradient

NET = (
    input_layer(data=(4, 3, 2, 5))
    + """
layer { name: "bn" type: "BatchNorm" bottom: "data" top: "bn" batch_norm_param { moving_average_fraction: 0.75 } %s }
layer { name: "loss" type: "Power" bottom: "bn" top: "loss" loss_weight: 1 }
"""
)


def statistics(x):
    """Mean and unbiased variance of each channel."""
    flat = np.moveaxis(x, 1, 0).reshape(x.shape[1], -1)
    return flat.mean(1), flat.var(1, ddof=1)


@pytest.mark.parametrize("shape", [(4, 3, 5, 2), (6, 3), (2, 3, 4, 1, 3, 2)])
def test_train(rng, shape):
    x = 3 + 2 * rng.normal(size=shape)
    layer = make_layer('type: "BatchNorm" batch_norm_param { eps: 0.25 }', shape, phase=caffe.TRAIN)
    axes = (0, *range(2, len(shape)))
    expected = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 0.25)
    np.testing.assert_allclose(forward(layer, x)[0], expected, rtol=1e-12, atol=1e-12)
    layer.blobs.clear()  # the sums take no part in it
    check_gradient(layer, x)


@pytest.mark.parametrize("scaled", [False, True])
def test_channels_last_keeps_float32_s_digits(rng, scaled):
    """Beside float64, with a mean of 20 deviations; PyTorch's own sums are off by 2e-5 and more here."""
    shape = (50, 5, 30, 31)
    x = torch.tensor(20 + rng.normal(size=shape), dtype=torch.float32).contiguous(memory_format=torch.channels_last)
    gradient = torch.tensor(rng.normal(size=shape), dtype=torch.float32).contiguous(memory_format=torch.channels_last)
    factors = [torch.tensor(rng.normal(size=5), dtype=torch.float32) for _ in range(2)] if scaled else []

    def passes(dtype, layout):
        layer = make_layer('type: "BatchNorm" batch_norm_param { eps: 0.25 }', shape, phase=caffe.TRAIN)
        layer.begin_pass()
        inputs = [x.to(dtype, memory_format=layout), *(factor.to(dtype) for factor in factors)]
        inputs = [values.clone().requires_grad_() for values in inputs]
        sums = [blob._data.tensor().to(dtype) for blob in layer.blobs]
        (y,) = layer.forward(inputs[:1], [*sums, *inputs[1:]])
        gradients = torch.autograd.grad(y, inputs, gradient.to(dtype, memory_format=layout))
        return [y.detach(), *(blob._data.tensor() for blob in layer.blobs), *gradients]

    found = passes(torch.float32, torch.channels_last)
    expected = passes(torch.float64, torch.contiguous_format)
    # The factors' gradients are PyTorch's sums over 46,500 values.
    tolerances = [1e-6, 1e-6, 1e-6, 0, 1e-6, 2e-5, 2e-5]
    for mine, theirs, tolerance in zip(found, expected, tolerances[: len(found)], strict=True):
        assert mine.dtype == torch.float32
        assert (mine.double() - theirs).abs().max() <= tolerance * theirs.abs().max()


def test_sums_over_passes(rng):
    net = make_net(NET % "")
    sums = [np.zeros(3), np.zeros(3), 0]
    for _ in range(3):
        x = 3 + 2 * rng.normal(size=(4, 3, 2, 5))
        net.blobs["data"].data[...] = x
        net.forward()
        for index, value in enumerate((*statistics(x), 1)):
            sums[index] = 0.75 * sums[index] + value
        net.backward()
        for blob, expected in zip(net.params["bn"], sums, strict=True):
            np.testing.assert_allclose(blob.data, np.broadcast_to(expected, blob.data.shape), rtol=1e-5)
            assert not blob.diff.any()


def test_backward_that_computes_forward_again_does_not_count_twice(rng):
    net = make_net("force_backward: true " + NET % "")
    net.blobs["data"].data[...] = rng.normal(size=(4, 3, 2, 5))
    net._forward(0, 2, record=False)
    before = [blob.data.copy() for blob in net.params["bn"]]
    net.backward()
    assert before[2] == 1
    for blob, values in zip(net.params["bn"], before, strict=True):
        np.testing.assert_array_equal(blob.data, values)


@pytest.mark.parametrize("phase, text", [(caffe.TEST, ""), (caffe.TRAIN, "use_global_stats: true")])
def test_global_statistics(rng, phase, text):
    x = rng.normal(size=(4, 3, 5, 2))
    layer = make_layer(f'type: "BatchNorm" batch_norm_param {{ {text} eps: 0.5 }}', x.shape, phase=phase)
    mean, variance, count = rng.normal(size=3), rng.random(3), np.array([2.5])
    (y,) = forward(layer, x, weights=[mean, variance, count])
    shape = (1, 3, 1, 1)
    expected = (x - mean.reshape(shape) / 2.5) / np.sqrt(variance.reshape(shape) / 2.5 + 0.5)
    np.testing.assert_allclose(y, expected, rtol=1e-12)
    (y,) = forward(layer, x, weights=[mean, variance, np.zeros(1)])
    np.testing.assert_allclose(y, x / np.sqrt(0.5), rtol=1e-12)


def test_test_net_uses_the_sums_of_training(rng):
    train, test = make_net(NET % ""), make_net(NET % "", caffe.TEST)
    test.share_with(train)
    x = (3 + 2 * rng.normal(size=(4, 3, 2, 5))).astype(np.float32)
    for net in (train, test):
        net.blobs["data"].data[...] = x
        net.forward()
    mean, variance = (each.reshape(1, 3, 1, 1) for each in statistics(x))
    np.testing.assert_allclose(test.blobs["bn"].data, (x - mean) / np.sqrt(variance + 1e-5), rtol=1e-4, atol=1e-5)


def test_sums_are_not_trained():
    net = make_net(NET % "")
    assert [entry.lr_mult for entry in net._params.learnable] == [0, 0, 0]
    # Real Caffe decides this before the layer sets lr_mult to 0, so the layers after it run backward.
    assert net.graph.layer_need_backward == [False, True, True]


def test_one_value_a_channel_has_no_variance(rng):
    net = make_net(input_layer(data=(1, 3)) + 'layer { name: "bn" type: "BatchNorm" bottom: "data" top: "bn" }')
    net.blobs["data"].data[...] = 5
    net.forward()
    assert not net.blobs["bn"].data.any()
    assert [blob.data.tolist() for blob in net.params["bn"]] == [[5, 5, 5], [0, 0, 0], [1]]
    # Real Caffe subtracts the mean first, so these values become 0; x * a + b would round them.
    net.blobs["data"].data[...] = [1.1, -17.3, 3000.7]
    net.forward()
    assert not net.blobs["bn"].data.any()


@pytest.mark.parametrize("ratio", [100, 1000, 10_000])
@pytest.mark.parametrize("shape", [(4, 3, 16, 17), (50, 3)])
def test_given_statistics_keep_float32_s_digits(rng, ratio, shape):
    """The means are many deviations: real Caffe is within 1.8e-7 of float64.

    Computed as x * a + b in float32, the result is 4e-4 off (at 10,000).
    """
    x = (ratio + rng.standard_normal(shape)).astype(np.float32)
    axes = (0, *range(2, len(shape)))
    statistics = [x.mean(axes, np.float64).astype(np.float32), x.var(axes, np.float64).astype(np.float32), 1]
    net = make_net(
        input_layer(data=shape) + 'layer { name: "bn" type: "BatchNorm" bottom: "data" top: "bn" }', caffe.TEST
    )
    for blob, values in zip(net.params["bn"], statistics, strict=True):
        blob.data[...] = values
    net.forward(data=x)
    mean, variance = (each.astype(np.float64).reshape(1, 3, *[1] * (len(shape) - 2)) for each in statistics[:2])
    expected = (x - mean) / np.sqrt(variance + 1e-5)
    np.testing.assert_allclose(net.blobs["bn"].data, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "text, shape, message",
    [("param { lr_mult: 1 }", (2, 3, 4), "cannot be trained"), ("", (3,), "2 axes or more")],
)
def test_refused(text, shape, message):
    with pytest.raises(CaffeError, match=message):
        make_layer(f'type: "BatchNorm" {text}', shape)
