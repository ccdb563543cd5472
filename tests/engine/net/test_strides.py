"""Tensors with strides that no layout gives them: a part of the sweeps in strides.py and stride_pairs.py.

Tolerances: 2e-5 of the largest number (or of 1) for a layer, 1e-4 for a net, 4e-2 in bfloat16.
"""

import itertools
import random

import pytest
import torch
from caffe import TEST, TRAIN, CaffeError
from caffe._device import precision
from caffe._layers._kernels import window
from caffe._net.strides import natural, natural_both_ways

from tests.conformance.layer_case import Bottom
from tests.engine import stride_pairs
from tests.engine.build import input_layer, make_net
from tests.engine.stride_subjects import SUBJECTS
from tests.engine.strides import layouts, sweep

SHAPES = [(1, 4, 6, 5), (3, 4, 6, 1), (1, 1, 1, 5)]


@pytest.mark.parametrize("name", SUBJECTS)
def test_layer(name):
    assert [line for shape in SHAPES for line in sweep(name, shape)] == []


@pytest.mark.parametrize("shape", [(1, 4, 6, 5), (3, 4, 6, 1)])
@pytest.mark.parametrize("name", ["BatchNorm, TEST", "BatchNorm, TRAIN"])
def test_batch_norm_of_bottoms_in_every_layout(name, shape):
    assert sweep(name, shape, every=True) == []


@pytest.mark.skipif(not precision.cpu_has_bfloat16(), reason="this CPU does not multiply bfloat16")
@pytest.mark.parametrize("name", [name for name in SUBJECTS if name.startswith(("BatchNorm", "Convolution", "Deconv"))])
def test_layer_in_bfloat16(name, monkeypatch):
    monkeypatch.setattr(precision, "_name", "bf16")
    assert [line for shape in SHAPES for line in sweep(name, shape, torch.bfloat16)] == []


def _nets(seed, count, **only):
    parts = {"below": stride_pairs.AROUND, "subject": stride_pairs.SUBJECTS, "above": stride_pairs.AROUND} | only
    every = list(itertools.product(*parts.values(), stride_pairs.SHAPES, stride_pairs.CONVOLUTIONS))
    return random.Random(seed).sample(every, count)


@pytest.mark.parametrize("phase", [TRAIN, TEST])
@pytest.mark.parametrize("only", [{}, {"subject": [name for name in stride_pairs.SUBJECTS if "BatchNorm" in name]}])
def test_layers_between_others(phase, only):
    wrong, run = [], 0
    for *layers, shape, first in _nets(3, 120, **only):
        try:
            lines = list(stride_pairs.errors(stride_pairs.net_text(*layers, shape, first), phase))
        except CaffeError:
            continue  # the layers do not fit
        run += 1
        wrong += [f"{first}, {', '.join(layers)} {shape}: {line}" for line in lines]
    assert wrong == []
    assert run > 60


@pytest.mark.parametrize(
    "shape", [(1, 4, 6, 5), (3, 4, 6, 1), (1, 1, 6, 1), (2, 1, 3, 5), (1, 4, 1, 1), (1, 4, 2, 1, 5)]
)
def test_natural_strides_are_those_of_a_layout(shape):
    values = torch.arange(float(torch.Size(shape).numel())).reshape(shape)
    for name, odd in layouts(values):
        mine = natural(odd)
        assert torch.equal(mine, values), name
        assert mine.data_ptr() == odd.data_ptr(), f"{name}: copied"
        if mine.is_contiguous():
            assert mine.stride() == values.stride(), name
    plain = torch.rand(2, 3, 4, 5)
    assert natural_both_ways(plain) is plain


@pytest.mark.skipif(not precision.cpu_has_bfloat16(), reason="this CPU does not multiply bfloat16")
@pytest.mark.parametrize("shape, kernel", [((2, 4, 12, 3), (2, 2)), ((1, 8, 12, 4), (3, 3)), ((2, 4, 7, 2), (1, 2))])
def test_one_column_of_windows_in_bfloat16(shape, kernel):
    torch.manual_seed(2)
    x = torch.randn(shape).bfloat16().requires_grad_()
    weight = torch.randn(16, shape[1], *kernel).bfloat16().requires_grad_()
    y = window.convolve(x, weight, None, (1, 2), (0, 0), (1, 1), 1)
    assert y.shape[3] == 1
    exact = [values.detach().double().requires_grad_() for values in (x, weight)]
    want = torch.nn.functional.conv2d(*exact, None, (1, 2))
    gradient = torch.randn_like(y)
    found = [y, *torch.autograd.grad(y, (x, weight), gradient)]
    wanted = [want, *torch.autograd.grad(want, exact, gradient.double())]
    for mine, theirs in zip(found, wanted, strict=True):
        assert (mine.double() - theirs).abs().max() <= 2e-2 * theirs.abs().max()


@pytest.mark.parametrize("name", ["ContrastiveLoss", "MVN", "MVN, mean", "MVN, across", "Pooling, STOCHASTIC"])
def test_batch_of_none(name):
    subject = SUBJECTS[name]
    bottoms = [bottom if isinstance(bottom, Bottom) else Bottom(bottom) for bottom in subject.bottoms(0, 4, 6, 5)]
    inputs = input_layer(**{f"b{index}": bottom.shape for index, bottom in enumerate(bottoms)})
    names = " ".join(f'bottom: "b{index}"' for index in range(len(bottoms)))
    for phase in (TRAIN, TEST):
        net = make_net(f'force_backward: true {inputs} layer {{ name: "s" {subject.text} {names} top: "top" }}', phase)
        net.forward()
        net.backward()
        assert net.blobs["b0"].diff.shape == bottoms[0].shape
