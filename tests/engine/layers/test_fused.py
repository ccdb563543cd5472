"""Convolution and inner product, with their ReLU in one step, against PyTorch's separate ones (float32: 1e-5)."""

import pytest
import torch
import torch.nn.functional as F
from caffe._layers._kernels import fused


def leaf(*shape, dtype=torch.float32):
    return torch.randn(shape).to(dtype).requires_grad_()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("group, stride, pad, dilation", [(1, (1, 1), (0, 0), (1, 1)), (2, (2, 1), (1, 2), (1, 2))])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("relu", [True, False])
def test_convolution(dtype, group, stride, pad, dilation, bias, relu):
    torch.manual_seed(1)
    arguments = (
        leaf(3, 4, 9, 8, dtype=dtype),
        leaf(6, 4 // group, 3, 2, dtype=dtype),
        leaf(6, dtype=dtype) if bias else None,
    )
    leaves = [x for x in arguments if x is not None]
    geometry = stride, pad, dilation, group
    expected = F.conv2d(*arguments, *geometry)
    expected = torch.relu(expected) if relu else expected
    found = fused.convolve_2d(*arguments, *geometry, relu)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert 0.1 < (found > 0).double().mean() < 0.9
    gradient = torch.randn_like(expected)
    wanted = torch.autograd.grad(expected, leaves, gradient)
    for got, want in zip(torch.autograd.grad(found, leaves, gradient), wanted, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("shape", [(5, 7), (2, 3, 7), (7,)])
def test_linear(dtype, relu, shape):
    torch.manual_seed(2)
    arguments = leaf(*shape, dtype=dtype), leaf(4, 7, dtype=dtype), leaf(4, dtype=dtype)
    expected = F.linear(*arguments)
    expected = torch.relu(expected) if relu else expected
    found = fused.linear(*arguments, relu)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    gradient = torch.randn_like(expected)
    wanted = torch.autograd.grad(expected, arguments, gradient)
    for got, want in zip(torch.autograd.grad(found, arguments, gradient), wanted, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("last", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("num, height, width", [(17, 16, 12), (24, 17, 9)])  # 3,264 points, 16 times 204, and 3,672
def test_one_by_one_of_many_points(monkeypatch, num, height, width, last):
    # On a CPU without AVX-512 it is right as well, and slower.
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    torch.manual_seed(5)
    x, weight, bias = leaf(num, 21, height, width), leaf(34, 21, 1, 1), leaf(34)
    geometry = (1, 1), (0, 0), (1, 1), 1
    assert fused._has_many_points(x, weight, (1, 1), (0, 0), 1)
    y = fused.convolve_2d(x, weight, bias, *geometry)
    gradient = torch.randn_like(y).contiguous(memory_format=last)
    exact = [value.detach().double().requires_grad_() for value in (x, weight, bias)]
    wanted = torch.autograd.grad(F.conv2d(*exact), exact, gradient.double())
    for got, want in zip(torch.autograd.grad(y, (x, weight, bias), gradient), wanted, strict=True):
        torch.testing.assert_close(got.double(), want, rtol=0, atol=2e-6 * float(want.abs().max()))


@pytest.mark.parametrize(
    "num, kernel, stride, pad, group, dtype",
    [
        (16, 1, 1, 0, 1, torch.float32),  # fewer points
        (17, 3, 1, 0, 1, torch.float32),
        (17, 1, 2, 0, 1, torch.float32),
        (17, 1, 1, 1, 1, torch.float32),
        (17, 1, 1, 0, 2, torch.float32),
        (17, 1, 1, 0, 1, torch.float64),
    ],
)
def test_where_points_are_not_cut_anew(monkeypatch, num, kernel, stride, pad, group, dtype):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    x, weight = leaf(num, 4, 16, 12, dtype=dtype), leaf(6, 4 // group, kernel, kernel, dtype=dtype)
    assert not fused._has_many_points(x, weight, (stride, 1), (0, pad), group)


@pytest.mark.parametrize("group, stride, pad, dilation", [(1, (1, 1), (1, 1), (1, 1)), (2, (2, 1), (1, 2), (1, 2))])
def test_weight_gradient_of_small_maps(group, stride, pad, dilation):
    torch.manual_seed(3)
    x, weight = torch.randn(5, 4, 4, 3, dtype=torch.float64), leaf(6, 4 // group, 3, 2, dtype=torch.float64)
    y = F.conv2d(x, weight, None, stride, pad, dilation, group)
    gradient = torch.randn_like(y)
    (expected,) = torch.autograd.grad(y, weight, gradient)
    found = fused._weight_gradient(x, gradient, weight.shape, stride, pad, dilation, group)
    torch.testing.assert_close(found, expected)


def test_small_maps_in_bfloat16_take_it(monkeypatch):
    monkeypatch.setattr(fused, "_onednn", lambda *_: False)  # not every CPU's multiplies bfloat16; PyTorch does
    torch.manual_seed(4)
    x, weight, bias = (
        leaf(3, 4, 3, 4, dtype=torch.bfloat16),
        leaf(5, 4, 3, 3, dtype=torch.bfloat16),
        leaf(5, dtype=torch.bfloat16),
    )
    y = fused.convolve_2d(x, weight, bias, (1, 1), (1, 1), (1, 1), 1, relu=True)
    gradient = torch.randn_like(y)
    assert fused._has_small_maps(x, weight, gradient)
    found = torch.autograd.grad(y, (x, weight, bias), gradient)
    exact = [value.detach().float().requires_grad_() for value in (x, weight, bias)]
    expected = F.conv2d(*exact, padding=1)
    passed = gradient.float() * (y > 0)
    for got, want in zip(found, torch.autograd.grad(expected, exact, passed), strict=True):
        torch.testing.assert_close(got.float(), want, rtol=2e-2, atol=2e-2 * float(want.abs().max()))


@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("last", [torch.channels_last, torch.contiguous_format])
def test_relu_gradient_in_bfloat16_is_pytorchs(in_place, last):
    """Every bfloat16 that a ReLU's top can hold, 0 and infinity included, beside PyTorch's gradient, bit for bit."""
    y = torch.arange(0x7F80 + 1, dtype=torch.int16).view(torch.bfloat16)
    y = y[: 255 * 128].reshape(3, 5, 17, 128).contiguous(memory_format=last)
    assert float(y.min()) == 0
    y[0, 0, 0, 0], y[2, 4, 16, 127] = 0, float("inf")
    gradient = torch.randn(y.shape, generator=torch.Generator().manual_seed(6)).to(torch.bfloat16)
    wanted = torch.ops.aten.threshold_backward(gradient, y, 0).view(torch.int16)
    assert 0 < int((wanted == 0).sum()) < 5
    got = fused._after_relu(gradient.clone(), y, in_place)
    assert got.dtype == torch.bfloat16 and torch.equal(got.view(torch.int16), wanted)
