"""Deconvolution and Im2col against loops (float64, tolerance 1e-12)."""

import numpy as np
import pytest
from caffe import CaffeError

from tests.engine.build import forward, make_layer, weights_of
from tests.engine.gradient_check import check_gradient

FILLED = 'weight_filler { type: "gaussian" std: 1 } bias_filler { type: "gaussian" std: 1 }'


def spread(x, weight, bias, stride, pad, dilation, group):
    """Adds each value, times the filter, to the window it belongs to; any number of spatial axes."""
    num, channels, *size = x.shape
    per_group, kernel = weight.shape[1], weight.shape[2:]
    axes = list(zip(size, kernel, stride, pad, dilation, strict=True))
    y = np.zeros((num, per_group * group, *(s * (n - 1) + d * (k - 1) + 1 - 2 * p for n, k, s, p, d in axes)))
    for n, c, o in np.ndindex(num, channels, per_group):
        output = c // (channels // group) * per_group + o
        for place in np.ndindex(*size):
            for offset in np.ndindex(*kernel):
                at = [i * s - p + k * d for i, k, (_, _, s, p, d) in zip(place, offset, axes, strict=True)]
                if all(0 <= a < length for a, length in zip(at, y.shape[2:], strict=True)):
                    y[(n, output, *at)] += x[(n, c, *place)] * weight[(c, o, *offset)]
    return y + (0 if bias is None else bias.reshape(-1, *[1] * len(size)))


CASES = {
    "kernel": ("num_output: 5 kernel_size: 3", (2, 4, 5, 3), (1, 1), (0, 0), (1, 1), 1),
    "upsampling": ("num_output: 4 kernel_size: 4 stride: 2 pad: 1 group: 4", (2, 4, 3, 5), (2, 2), (1, 1), (1, 1), 4),
    "gaps": ("num_output: 3 kernel_size: 2 stride: 3", (2, 4, 3, 2), (3, 3), (0, 0), (1, 1), 1),
    "group": ("num_output: 6 kernel_size: 3 group: 2 pad: 1", (2, 4, 5, 3), (1, 1), (1, 1), (1, 1), 2),
    "rectangle": (
        "num_output: 3 kernel_h: 2 kernel_w: 3 stride_h: 3 stride_w: 2 pad_h: 1 pad_w: 2",
        (2, 4, 3, 5), (3, 2), (1, 2), (1, 1), 1,
    ),
    "dilation": (
        "num_output: 3 kernel_size: 2 dilation: 2 dilation: 3 pad: 1", (2, 4, 5, 3), (1, 1), (1, 1), (2, 3), 1
    ),
    "pad wider than the kernel": ("num_output: 3 kernel_size: 2 pad: 3", (1, 2, 7, 8), (1, 1), (3, 3), (1, 1), 1),
    "no bias": ("num_output: 5 kernel_size: 3 bias_term: false", (2, 4, 2, 3), (1, 1), (0, 0), (1, 1), 1),
    "no spatial axis": ("num_output: 6 kernel_size: 1 group: 2", (3, 4), (), (), (), 2),
    "one axis": ("num_output: 3 kernel_size: 3 stride: 2", (2, 4, 5), (2,), (0,), (1,), 1),
    "three axes": ("num_output: 2 kernel_size: 2 stride: 2", (2, 3, 3, 2, 4), (2,) * 3, (0,) * 3, (1,) * 3, 1),
    "four axes": (
        "num_output: 4 kernel_size: 2 stride: 2 pad: 1 group: 2 dilation: 2", (2, 2, 2, 3, 1, 2),
        (2,) * 4, (1,) * 4, (2,) * 4, 2,
    ),
    "four axes, pad wider": (
        "num_output: 2 kernel_size: 2 stride: 3 pad: 2", (1, 3, 2, 3, 2, 3), (3,) * 4, (2,) * 4, (1,) * 4, 1
    ),
}  # fmt: skip


@pytest.mark.parametrize("text, shape, stride, pad, dilation, group", CASES.values(), ids=CASES)
def test_values(rng, text, shape, stride, pad, dilation, group):
    x = rng.normal(size=shape)
    layer = make_layer(f'type: "Deconvolution" convolution_param {{ {text} {FILLED} }}', shape)
    weight, *bias = weights_of(layer)
    expected = spread(x, weight, bias[0] if bias else None, stride, pad, dilation, group)
    np.testing.assert_allclose(forward(layer, x)[0], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", ["upsampling", "rectangle", "dilation", "no spatial axis", "four axes, pad wider"])
def test_gradient(rng, case):
    text, shape = CASES[case][:2]
    check_gradient(make_layer(f'type: "Deconvolution" convolution_param {{ {text} {FILLED} }}', shape),
                   rng.normal(size=shape))  # fmt: skip


def test_output_without_size_is_refused():
    with pytest.raises(CaffeError, match="does not fit"):
        make_layer('type: "Deconvolution" convolution_param { num_output: 2 kernel_size: 2 pad: 3 }', (1, 2, 3, 4))


@pytest.mark.parametrize(
    "text, shape, kernel, stride, pad, dilation",
    [
        ("kernel_size: 3 stride: 2 pad: 1", (2, 3, 6, 5), (3, 3), (2, 2), (1, 1), (1, 1)),
        ("kernel_size: 2 kernel_size: 3 dilation: 2 dilation: 1", (2, 3, 6, 5), (2, 3), (1, 1), (0, 0), (2, 1)),
        ("kernel_size: 3", (2, 3, 7), (3,), (1,), (0,), (1,)),
        ("kernel_size: 2 stride: 1 stride: 2 stride: 1", (1, 2, 3, 4, 5), (2,) * 3, (1, 2, 1), (0,) * 3, (1,) * 3),
    ],
)
def test_im2col(rng, text, shape, kernel, stride, pad, dilation):
    x = rng.normal(size=shape)
    layer = make_layer(f'type: "Im2col" convolution_param {{ {text} }}', shape)
    (y,) = forward(layer, x)
    padded = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in pad)])
    rows = list(np.ndindex(shape[1], *kernel))
    assert y.shape[1] == len(rows)
    for n, row, *place in np.ndindex(y.shape):
        c, *offset = rows[row]
        at = [p * s + k * d for p, s, k, d in zip(place, stride, offset, dilation, strict=True)]
        assert y[(n, row, *place)] == padded[(n, c, *at)]
    check_gradient(layer, x)


@pytest.mark.parametrize(
    "text, shape, message",
    [("kernel_size: 2", (2, 3), "no spatial axis"), ("", (2, 3, 4), "must be given"),
     ("kernel_size: 5", (2, 3, 4, 6), "does not fit")],
)  # fmt: skip
def test_im2col_refused(text, shape, message):
    with pytest.raises(CaffeError, match=message):
        make_layer(f'type: "Im2col" convolution_param {{ {text} }}', shape)
