"""Convolution against a loop over every output value (float64, tolerance 1e-12)."""

import numpy as np
import pytest
from caffe import CaffeError

from tests.engine.build import forward, make_layer, weights_of
from tests.engine.gradient_check import check_gradient

FILLED = 'weight_filler { type: "gaussian" std: 1 } bias_filler { type: "gaussian" std: 1 }'


def convolve(x, weight, bias, stride, pad, dilation, group):
    """Sum over the window of each output place, in the plainest words."""
    num, channels, height, width = x.shape
    outputs, per_group, kernel_h, kernel_w = weight.shape
    rows = (height + 2 * pad[0] - dilation[0] * (kernel_h - 1) - 1) // stride[0] + 1
    columns = (width + 2 * pad[1] - dilation[1] * (kernel_w - 1) - 1) // stride[1] + 1
    y = np.zeros((num, outputs, rows, columns))
    for n, o, r, c in np.ndindex(y.shape):
        first = o // (outputs // group) * per_group
        for k, i, j in np.ndindex(per_group, kernel_h, kernel_w):
            row = r * stride[0] - pad[0] + i * dilation[0]
            column = c * stride[1] - pad[1] + j * dilation[1]
            if 0 <= row < height and 0 <= column < width:
                y[n, o, r, c] += weight[o, k, i, j] * x[n, first + k, row, column]
        if bias is not None:
            y[n, o, r, c] += bias[o]
    return y


CASES = {
    "kernel": ("num_output: 5 kernel_size: 3", (1, 1), (0, 0), (1, 1), 1),
    "one by one": ("num_output: 5 kernel_size: 1", (1, 1), (0, 0), (1, 1), 1),
    "stride floors": ("num_output: 5 kernel_size: 3 stride: 2", (2, 2), (0, 0), (1, 1), 1),
    "pad": ("num_output: 3 kernel_size: 3 pad: 2 stride: 3", (3, 3), (2, 2), (1, 1), 1),
    "rectangle": (
        "num_output: 3 kernel_h: 2 kernel_w: 3 stride_h: 3 stride_w: 2 pad_h: 1 pad_w: 2",
        (3, 2), (1, 2), (1, 1), 1,
    ),
    "per axis": ("num_output: 3 kernel_size: 2 kernel_size: 3 stride: 1 stride: 2 pad: 1 pad: 0",
                 (1, 2), (1, 0), (1, 1), 1),
    "dilation": ("num_output: 3 kernel_size: 2 dilation: 2 dilation: 3 pad: 1", (1, 1), (1, 1), (2, 3), 1),
    "group": ("num_output: 6 kernel_size: 3 group: 2 pad: 1", (1, 1), (1, 1), (1, 1), 2),
    "no bias": ("num_output: 5 kernel_size: 3 bias_term: false", (1, 1), (0, 0), (1, 1), 1),
}  # fmt: skip


@pytest.mark.parametrize("text, stride, pad, dilation, group", CASES.values(), ids=CASES)
def test_values(rng, text, stride, pad, dilation, group):
    x = rng.normal(size=(2, 4, 7, 8))
    layer = make_layer(f'type: "Convolution" convolution_param {{ {text} {FILLED} }}', x.shape)
    weight, *bias = weights_of(layer)
    expected = convolve(x, weight, bias[0] if bias else None, stride, pad, dilation, group)
    (y,) = forward(layer, x)
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", ["stride floors", "rectangle", "dilation", "group", "no bias"])
def test_gradient(rng, case):
    x = rng.normal(size=(2, 4, 5, 6))
    layer = make_layer(f'type: "Convolution" convolution_param {{ {CASES[case][0]} {FILLED} }}', x.shape)
    check_gradient(layer, x)


def test_several_bottoms_share_the_filters(rng):
    shape = (2, 3, 5, 4)
    layer = make_layer(
        f'type: "Convolution" convolution_param {{ num_output: 2 kernel_size: 2 {FILLED} }}', shape, shape, tops=2
    )
    assert [blob.shape for blob in layer.blobs] == [[2, 3, 2, 2], [2]]
    bottoms = rng.normal(size=(2, *shape))
    for x, y in zip(bottoms, forward(layer, *bottoms), strict=True):
        expected = convolve(x, *weights_of(layer), (1, 1), (0, 0), (1, 1), 1)
        np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)
    check_gradient(layer, *bottoms)


def test_one_and_three_spatial_axes(rng):
    x = rng.normal(size=(2, 3, 9))
    layer = make_layer(f'type: "Convolution" convolution_param {{ num_output: 4 kernel_size: 3 stride: 2 {FILLED} }}',
                       x.shape)  # fmt: skip
    weight, bias = weights_of(layer)
    flat = convolve(x[:, :, None], weight[:, :, None], bias, (1, 2), (0, 0), (1, 1), 1)
    np.testing.assert_allclose(forward(layer, x)[0], flat[:, :, 0], rtol=1e-12, atol=1e-12)

    x = rng.normal(size=(2, 3, 4, 5, 6))
    layer = make_layer(f'type: "Convolution" convolution_param {{ num_output: 2 kernel_size: 2 {FILLED} }}', x.shape)
    weight, bias = weights_of(layer)
    # A filter of depth 2 is two flat ones on neighbouring slices.
    slices = [
        sum(convolve(x[:, :, d + k], weight[:, :, k], None, (1, 1), (0, 0), (1, 1), 1) for k in range(2))
        for d in range(3)
    ]
    expected = np.stack(slices, axis=2) + bias[None, :, None, None, None]
    np.testing.assert_allclose(forward(layer, x)[0], expected, rtol=1e-12, atol=1e-12)


def test_axis_makes_leading_axes_a_batch(rng):
    x = rng.normal(size=(2, 3, 4, 6, 5))
    layer = make_layer(
        f'type: "Convolution" convolution_param {{ axis: 2 num_output: 2 kernel_size: 3 {FILLED} }}', x.shape
    )
    expected = convolve(x.reshape(6, 4, 6, 5), *weights_of(layer), (1, 1), (0, 0), (1, 1), 1).reshape(2, 3, 2, 4, 3)
    np.testing.assert_allclose(forward(layer, x)[0], expected, rtol=1e-12, atol=1e-12)


def test_without_a_spatial_axis_it_is_a_product(rng):
    x = rng.normal(size=(3, 4))
    layer = make_layer(f'type: "Convolution" convolution_param {{ num_output: 6 kernel_size: 1 group: 2 {FILLED} }}',
                       x.shape)  # fmt: skip
    weight, bias = weights_of(layer)
    assert weight.shape == (6, 2)
    expected = np.concatenate([x[:, :2] @ weight[:3].T, x[:, 2:] @ weight[3:].T], axis=1) + bias
    np.testing.assert_allclose(forward(layer, x)[0], expected, rtol=1e-12, atol=1e-12)
    check_gradient(layer, x)


FOUR = "num_output: 4 kernel_size: 2 kernel_size: 1 kernel_size: 3 kernel_size: 2 group: 2 pad: 1 stride: 2 dilation: 1"


def test_four_spatial_axes(rng):
    x = rng.normal(size=(2, 4, 3, 2, 5, 3))
    layer = make_layer(f'type: "Convolution" convolution_param {{ {FOUR} {FILLED} }}', x.shape)
    weight, bias = weights_of(layer)
    (y,) = forward(layer, x)
    assert y.shape == (2, 4, 2, 2, 3, 2)
    padded = np.pad(x, [(0, 0), (0, 0)] + [(1, 1)] * 4)
    for n, o, *place in np.ndindex(y.shape):
        window = tuple(slice(2 * p, 2 * p + k) for p, k in zip(place, (2, 1, 3, 2), strict=True))
        channels = slice(0, 2) if o < 2 else slice(2, 4)
        expected = (weight[o] * padded[(n, channels, *window)]).sum() + bias[o]
        np.testing.assert_allclose(y[(n, o, *place)], expected, rtol=1e-12, atol=1e-12)
    check_gradient(layer, x[:1, :, :2, :1, :3, :2])


@pytest.mark.parametrize(
    "text, message",
    [
        ("num_output: 4", "kernel_size must be given"),
        ("num_output: 4 kernel_size: 3 kernel_h: 2 kernel_w: 2", "not both"),
        ("num_output: 4 kernel_h: 3", "kernel"),
        ("num_output: 4 kernel_size: 3 group: 2", "group 2 must divide"),
        ("kernel_size: 3", "num_output"),
        ("num_output: 4 kernel_size: 9", "does not fit"),
        ("num_output: 4 kernel_size: 3 stride: 0", "1 or more"),
    ],
)
def test_refused(text, message):
    with pytest.raises(CaffeError, match=message):
        make_layer(f'type: "Convolution" convolution_param {{ {text} }}', (2, 3, 7, 8))
