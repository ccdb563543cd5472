"""Pooling against a loop over every window (float64, tolerance 1e-12)."""

import math

import numpy as np
import pytest
import torch
from caffe import CaffeError

from tests.engine.build import forward, make_layer
from tests.engine.gradient_check import check_gradient


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


@pytest.mark.parametrize("case", ["ceil overhangs", "gaps between windows", "window past the map", "rectangle"])
def test_mask_says_where_the_maximum_was(rng, case):
    text, shape, kernel, stride, pad = CASES[case]
    x = rng.permutation(math.prod(shape)).reshape(shape) / 10 - 1000
    layer = make_layer(f'type: "Pooling" pooling_param {{ pool: MAX {text} }}', shape, tops=2)
    y, mask = forward(layer, x)
    np.testing.assert_array_equal(y, pool(x, "MAX", kernel, stride, pad))
    for n, c, i, j in np.ndindex(y.shape):
        if y[n, c, i, j] == -np.finfo(np.float64).max:
            assert mask[n, c, i, j] == -1
        else:
            assert x[n, c].flat[int(mask[n, c, i, j])] == y[n, c, i, j]


def test_only_max_has_a_mask():
    with pytest.raises(CaffeError, match="1 top"):
        make_layer('type: "Pooling" pooling_param { pool: AVE kernel_size: 2 }', (2, 3, 4, 5), tops=2)


STOCHASTIC = 'type: "Pooling" pooling_param { pool: STOCHASTIC kernel_h: 2 kernel_w: 3 stride: 2 }'


def test_stochastic_in_test_is_the_mean_weighted_by_itself(rng):
    x = rng.random((2, 3, 5, 6))
    x[0, 0, :2, :3] = 0
    layer = make_layer(STOCHASTIC, x.shape)
    (y,) = forward(layer, x)
    assert y.shape == (2, 3, 3, 3)
    for n, c, i, j in np.ndindex(y.shape):
        window = x[n, c, 2 * i : 2 * i + 2, 2 * j : 2 * j + 3]
        expected = (window**2).sum() / window.sum() if window.sum() else 0
        np.testing.assert_allclose(y[n, c, i, j], expected, rtol=1e-12)
    check_gradient(layer, x + 0.1)


def test_stochastic_in_train_draws_in_proportion():
    window = np.array([[1, 0, 3], [2, 4, 0]], np.float64)
    x = np.tile(window, (200, 50, 1, 1))
    layer = make_layer(STOCHASTIC, x.shape, phase=0)
    (y,) = forward(layer, x)
    # 10,000 draws: five standard deviations of a share are at most 0.025.
    for value in (1, 2, 3, 4):
        assert abs((y == value).mean() - value / 10) < 0.025
    assert set(np.unique(y)) == {1, 2, 3, 4}
    assert not np.array_equal(y, forward(layer, x)[0])


def test_stochastic_gradient_goes_to_the_drawn(rng):
    x = rng.permutation(2 * 3 * 5 * 6).reshape(2, 3, 5, 6) / 10 + 0.1
    layer = make_layer(STOCHASTIC, x.shape, phase=0)
    values = torch.tensor(x, requires_grad=True)
    (y,) = layer.forward([values], [])
    y.backward(torch.full_like(y, 2))
    drawn = np.isin(x, y.detach().numpy())
    times = np.array([(y == value).sum() for value in x.flat]).reshape(x.shape)
    assert drawn.sum() > 30
    np.testing.assert_array_equal(values.grad.numpy(), 2 * times)


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
        ("kernel_size: 2 pool: STOCHASTIC pad: 1", "STOCHASTIC pooling takes no pad"),
        ("kernel_size: 9", "does not fit"),
    ],
)
def test_refused(text, message):
    with pytest.raises(CaffeError, match=message):
        make_layer(f'type: "Pooling" pooling_param {{ {text} }}', (2, 3, 5, 6))
