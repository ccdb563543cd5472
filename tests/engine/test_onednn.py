"""Convolutions that oneDNN's own kernels take wrongly, or write beyond memory for; see _window.py and _fused.py.

In processes of their own: what is written beyond memory ends them, at once or later.
"""

import os
import subprocess
import sys

import pytest

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
        # A dilation that means nothing, of maps of one column.
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


@pytest.mark.parametrize("threads", [1, 2])
def test_a_relu_after_windows_of_padding_alone(tmp_path, threads):
    # With kernels of two numbers two apart, at steps of two from -3 on, no window reaches the only column.
    script = """
import torch
from caffe._layers._window import convolve
torch.manual_seed(1)
x, weight = torch.randn(5, 8, 2, 1), torch.randn(40, 4, 2, 2)
y = convolve(x, weight, None, (2, 2), (3, 3), (2, 2), 2, relu=True)
assert y.shape == (5, 40, 3, 3) and not y.any()
"""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
