"""Pooling against a loop over every window (float64, tolerance 1e-12)."""

import math

import numpy as np
import pytest
import torch
from caffe import CaffeError

from .build import forward, make_layer
from .gradient_check import check_gradient


def pool(x, method, kernel, stride, pad, rounding=math.ceil):
    """The loop of Caffe's PoolingLayer, window by window."""
    num, channels, *size = x.shape
    pooled = [rounding((n + 2 * p - k) / s) + 1 for n, k, s, p in zip(size, kernel, stride, pad, strict=True)]
    if any(pad):
        # The last window has to start inside the map or the padding before it.
        pooled = [m - 1 if (m - 1) * s >= n + p else m for m, n, s, p in zip(pooled, size, stride, pad, strict=True)]
    y = np.empty((num, channels, *pooled))
    for n, c, i, j in np.ndindex(y.shape):
        top, left = i * stride[0] - pad[0], j * stride[1] - pad[1]
        # AVE's area: clipped to the map with its padding, before it is clipped to the map.
        area = (min(top + kernel[0], size[0] + pad[0]) - top) * (min(left + kernel[1], size[1] + pad[1]) - left)
        window = [
            x[n, c, row, column]
            for row in range(max(top, 0), min(top + kernel[0], size[0]))
            for column in range(max(left, 0), min(left + kernel[1], size[1]))
        ]
        if not window:
            y[n, c, i, j] = -np.finfo(np.float64).max if method == "MAX" else np.nan
        else:
            y[n, c, i, j] = max(window) if method == "MAX" else sum(window) / area
    return y


CASES = {
    "exact": ("kernel_size: 3 stride: 2", (2, 3, 7, 9), (3, 3), (2, 2), (0, 0)),
    "ceil overhangs": ("kernel_size: 3 stride: 2", (2, 3, 8, 6), (3, 3), (2, 2), (0, 0)),
    "gaps between windows": ("kernel_size: 2 stride: 3", (2, 3, 8, 11), (2, 2), (3, 3), (0, 0)),
    # 9 wide: the fourth window starts where the map ends. Caffe computes it: 0 / 0, or the lowest number.
    "window past the map": ("kernel_size: 2 stride: 3", (2, 3, 8, 9), (2, 2), (3, 3), (0, 0)),
    "pad": ("kernel_size: 3 stride: 2 pad: 1", (2, 3, 6, 7), (3, 3), (2, 2), (1, 1)),
    "window in the padding is dropped": ("kernel_size: 2 stride: 2 pad: 1", (2, 3, 5, 6), (2, 2), (2, 2), (1, 1)),
    "pad on one axis": ("kernel_size: 2 stride: 2 pad_h: 1 pad_w: 0", (1, 2, 5, 7), (2, 2), (2, 2), (1, 0)),
    "rectangle": (
        "kernel_h: 2 kernel_w: 3 stride_h: 3 stride_w: 2 pad_h: 1 pad_w: 2", (2, 3, 8, 7), (2, 3), (3, 2), (1, 2)
    ),
    "kernel as large as the map": ("kernel_size: 5 stride: 1", (2, 3, 5, 5), (5, 5), (1, 1), (0, 0)),
    "alexnet pool5 at 58": ("kernel_size: 3 stride: 2", (1, 4, 3, 3), (3, 3), (2, 2), (0, 0)),
}  # fmt: skip


@pytest.mark.parametrize("method", ["MAX", "AVE"])
@pytest.mark.parametrize("text, shape, kernel, stride, pad", CASES.values(), ids=CASES)
def test_values(rng, method, text, shape, kernel, stride, pad):
    # Below zero everywhere: padding that leaks into a maximum shows.
    x = -1 - rng.random(shape)
    layer = make_layer(f'type: "Pooling" pooling_param {{ pool: {method} {text} }}', shape)
    np.testing.assert_allclose(forward(layer, x)[0], pool(x, method, kernel, stride, pad), rtol=1e-12)


@pytest.mark.parametrize("method", ["MAX", "AVE"])
@pytest.mark.parametrize("case", ["ceil overhangs", "pad", "window in the padding is dropped", "rectangle"])
def test_gradient(rng, method, case):
    text, shape = CASES[case][:2]
    # Values far apart, so that no difference changes which is the largest.
    x = rng.permutation(math.prod(shape)).reshape(shape) / 10
    check_gradient(make_layer(f'type: "Pooling" pooling_param {{ pool: {method} {text} }}', shape), x)


@pytest.mark.parametrize("method", ["MAX", "AVE"])
def test_round_mode_floor(rng, method):
    x = rng.normal(size=(2, 3, 8, 6))
    layer = make_layer(
        f'type: "Pooling" pooling_param {{ pool: {method} kernel_size: 3 stride: 2 round_mode: FLOOR }}', x.shape
    )
    expected = pool(x, method, (3, 3), (2, 2), (0, 0), math.floor)
    assert expected.shape == (2, 3, 3, 2)
    np.testing.assert_allclose(forward(layer, x)[0], expected, rtol=1e-12)


@pytest.mark.parametrize("method, reduce", [("MAX", np.max), ("AVE", np.mean)])
def test_global_pooling_follows_the_input(rng, method, reduce):
    layer = make_layer(f'type: "Pooling" pooling_param {{ pool: {method} global_pooling: true }}', (2, 3, 4, 5))
    for shape in ((2, 3, 4, 5), (1, 2, 6, 3)):
        x = rng.normal(size=shape)
        expected = reduce(x, axis=(2, 3), keepdims=True)
        np.testing.assert_allclose(forward(layer, x)[0], expected, rtol=1e-12)


def test_gradient_of_a_tie_goes_to_the_first():
    layer = make_layer('type: "Pooling" pooling_param { kernel_size: 2 stride: 2 }', (1, 1, 2, 4))
    x = torch.zeros(1, 1, 2, 4, requires_grad=True)
    layer.forward([x], [])[0].sum().backward()
    assert x.grad.flatten().tolist() == [1, 0, 1, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "kernel size must be given"),
        ("kernel_size: 2 kernel_h: 2 kernel_w: 2", "kernel"),
        ("kernel_h: 2", "kernel"),
        ("global_pooling: true kernel_size: 2", "global_pooling"),
        ("global_pooling: true stride: 2", "global_pooling"),
        ("kernel_size: 2 pad: 2", "smaller than the kernel"),
        ("kernel_size: 0", "1 or more"),
        ("kernel_size: 2 stride: 0", "1 or more"),
        ("kernel_size: 2 pool: STOCHASTIC", "STOCHASTIC"),
        ("kernel_size: 9", "does not fit"),
    ],
)
def test_refused(text, message):
    with pytest.raises(CaffeError, match=message):
        make_layer(f'type: "Pooling" pooling_param {{ {text} }}', (2, 3, 5, 6))
