"""Convolutions that oneDNN's own kernels compute wrongly or out of bounds; see _layers/_kernels/window.py.

They run in processes of their own, because an out-of-bounds write ends the process, at once or later.
"""

import itertools
import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from caffe._device.precision import cpu_has_bfloat16
from caffe._layers._kernels import window as _window

SCRIPT = """
import sys
import caffe
import numpy as np

channels, height, width, kernel, stride, pad, dilation = map(int, sys.argv[1:])
caffe.set_mode_cpu()
text = f'''
force_backward: true
layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: 5 dim: {channels} dim: {height} dim: {width} }} }} }}
layer {{ name: "y" type: "Convolution" bottom: "x" top: "y" convolution_param {{ num_output: 12
  kernel_h: {kernel} kernel_w: 1 stride: {stride} pad_h: 0 pad_w: {pad} dilation: {dilation}
  weight_filler {{ type: "gaussian" }} bias_filler {{ type: "gaussian" }} }} }}
layer {{ name: "z" type: "Convolution" bottom: "y" top: "z" convolution_param {{ num_output: 7 kernel_size: 1
  weight_filler {{ type: "gaussian" }} }} }}
'''
open("net.prototxt", "w").write(text)
net = caffe.Net("net.prototxt", caffe.TEST)
rng = np.random.default_rng(3)
for _ in range(6):
    x = rng.normal(size=net.blobs["x"].data.shape).astype(np.float32)
    of_z = rng.normal(size=net.blobs["z"].data.shape).astype(np.float32)
    net.clear_param_diffs()
    net.forward(x=x)
    net.backward(z=of_z)  # so that y's gradient comes from a convolution, channels innermost
    gradient = np.einsum("nzhw,zy->nyhw", of_z, net.params["z"][0].data[:, :, 0, 0])
    weights = net.params["y"][0]
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (0, 0), (pad, pad)))
    padded_gradient = np.zeros_like(padded)
    y, of_weights = 0, np.zeros(weights.data.shape)
    rows, columns = gradient.shape[2:]
    for tap in range(kernel):
        top = tap * dilation
        under = np.s_[:, :, top : top + (rows - 1) * stride + 1 : stride, : (columns - 1) * stride + 1 : stride]
        y = y + np.einsum("nchw,oc->nohw", padded[under], weights.data[:, :, tap, 0])
        of_weights[:, :, tap, 0] = np.einsum("nohw,nchw->oc", gradient, padded[under])
        padded_gradient[under] += np.einsum("nohw,oc->nchw", gradient, weights.data[:, :, tap, 0])
    of_x = padded_gradient[:, :, :, pad : pad + width]
    y = y + net.params["y"][1].data[:, None, None]
    for found, wanted in ((net.blobs["y"].data, y), (weights.diff, of_weights), (net.blobs["x"].diff, of_x)):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * max(1, np.abs(wanted).max()))
"""


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    "channels, height, width, kernel, stride, pad, dilation",
    [
        # Fewer channels than a block, steps: written beyond where they are gathered (oneDNN issue 6035).
        pytest.param(3, 12, 12, 1, 2, 0, 1, id="3 channels, stride 2"),
        pytest.param(6, 12, 12, 1, 2, 0, 1, id="6 channels, stride 2"),
        pytest.param(12, 13, 12, 1, 2, 0, 1, id="12 channels, stride 2"),
        # A dilation without effect, on maps of one column.
        pytest.param(6, 23, 1, 1, 2, 3, 2, id="dilation of a kernel of one"),
        pytest.param(17, 16, 1, 3, 4, 3, 3, id="dilation of a kernel of one column"),
    ],
)
def test_nothing_is_written_beyond_memory(tmp_path, threads, channels, height, width, kernel, stride, pad, dilation):
    numbers = map(str, (channels, height, width, kernel, stride, pad, dilation))
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "GLOG_minloglevel": "3"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *numbers],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_idle_taps_are_those_that_meet_padding_alone():
    found, wanted = [], []
    sizes, kernels, strides, pads, dilations = range(1, 6), range(1, 5), range(1, 4), range(5), range(1, 3)
    for size, kernel, stride, pad, dilation in itertools.product(sizes, kernels, strides, pads, dilations):
        windows = (size + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1
        begins = [window * stride - pad for window in range(windows)]
        if begins:
            taps = range(0, kernel * dilation, dilation)
            wanted.append(sum(not any(0 <= begin + tap < size for begin in begins) for tap in taps))
            found.append(_window._idle_taps_along(size, kernel, stride, pad, dilation))
    assert found == wanted
    assert {0, 1, 2, 3, 4} == set(wanted)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    "dtype, of_x, of_weight, relu",
    [
        ("float32", (5, 8, 2, 1), (40, 4, 2, 2), True),
        ("bfloat16", (2, 8, 24, 1), (4, 8, 3, 2), False),
        ("float32", (3, 8, 1), (4, 8, 2), True),
        ("float32", (3, 8, 5, 2, 1), (4, 8, 3, 2, 2), True),
    ],
)
def test_windows_of_padding_alone(tmp_path, threads, dtype, of_x, of_weight, relu):
    # With kernels of two numbers two apart, at steps of two from -3 on, no window reaches the only column.
    script = f"""
import torch
from caffe._layers._kernels.window import convolve
torch.manual_seed(1)
x, weight = torch.randn({of_x}).to(torch.{dtype}), torch.randn({of_weight}).to(torch.{dtype})
x.requires_grad_(), weight.requires_grad_()
axes = x.dim() - 2
bias = torch.randn(len(weight)).to(x.dtype)
y = convolve(x, weight, bias, [2] * axes, [3] * axes, [2] * axes, x.shape[1] // weight.shape[1], relu={relu})
expected = torch.relu(bias) if {relu} else bias
assert y.numel() and (y == expected.reshape(-1, *[1] * axes)).all()
for gradient in torch.autograd.grad(y, (x, weight), torch.randn_like(y)):
    assert not gradient.any()
"""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(not cpu_has_bfloat16(), reason="this CPU does not multiply bfloat16")
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "of_x, of_weight, stride, pad, idle",
    [
        ((20, 8, 24, 1), (32, 8, 3, 3), (1, 2), (1, 1), 6),
        ((20, 17, 1), (32, 17, 3), (2,), (2,), 1),
        ((20, 32, 2, 1, 2), (20, 32, 4, 4, 4), (1, 3, 1), (2, 2, 1), 56),
        ((5, 4, 1, 3, 3), (16, 4, 2, 4, 3), (1, 2, 1), (1, 2, 2), 0),  # over three axes it fails without any, too
    ],
)
@pytest.mark.parametrize("relu", [True, False])
def test_gradients_of_weights_in_bfloat16(of_x, of_weight, stride, pad, idle, seed, relu):
    torch.manual_seed(seed)
    x, weight = (torch.randn(shape).bfloat16().requires_grad_() for shape in (of_x, of_weight))
    axes = x.dim() - 2
    y = _window.convolve(x, weight, None, stride, pad, [1] * axes, 1, relu)
    gradient = torch.randn_like(y)
    exact = weight.detach().float().requires_grad_()
    passed = gradient.float() * (y > 0) if relu else gradient.float()
    plain = getattr(F, f"conv{axes}d")(x.detach().float(), exact, None, stride, pad)
    (wanted,) = torch.autograd.grad(plain, exact, passed)
    fill_memory()
    (found,) = torch.autograd.grad(y, weight, gradient)
    torch.testing.assert_close(found.float(), wanted, rtol=2e-2, atol=1e-2 * float(wanted.abs().max()))
    assert (wanted == 0).all(1).all(0).sum() == idle
    assert not found[wanted == 0].any()


@pytest.mark.skipif(not cpu_has_bfloat16(), reason="this CPU does not multiply bfloat16")
@pytest.mark.parametrize("seed", range(8))
def test_gradients_of_a_deconvolution_in_bfloat16(seed):
    torch.manual_seed(seed)
    x, weight = (
        torch.randn(5, 48, 7, 2).bfloat16().requires_grad_(),
        torch.randn(48, 16, 1, 3).bfloat16().requires_grad_(),
    )
    y = _window.deconvolve(x, weight, None, (1, 3), (0, 2), (1, 1), 3)
    gradient = torch.randn_like(y)
    exact = weight.detach().float().requires_grad_()
    plain = F.conv_transpose2d(x.detach().float(), exact, None, (1, 3), (0, 2), 0, 3)
    (wanted,) = torch.autograd.grad(plain, exact, gradient.float())
    fill_memory()
    (found,) = torch.autograd.grad(y, weight, gradient)
    torch.testing.assert_close(found.float(), wanted, rtol=2e-2, atol=1e-2 * float(wanted.abs().max()))
    assert (wanted == 0).all(1).all(0).sum() == 1
    assert not found[wanted == 0].any()


def fill_memory():
    """Fill memory with NaN and free it, so that a read of uninitialised memory gives NaN."""
    taken = [torch.full((1 << size,), torch.nan) for size in range(4, 20) for _ in range(3)]
    del taken
