"""The gradient checker itself passes right gradients and catches wrong ones."""

import numpy as np
import pytest
import torch
from caffe._layers.activation import ReLU

from tests.engine.build import make_layer
from tests.engine.gradient_check import check_gradient


class _Wrong(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * x

    @staticmethod
    def backward(ctx, gradient):
        return 2.001 * gradient


def test_wrong_gradient_is_caught(rng):
    layer = make_layer('type: "ReLU"', (2, 3))
    layer.forward = lambda bottom, weights: [_Wrong.apply(bottom[0])]
    with pytest.raises(AssertionError, match="by differences"):
        check_gradient(layer, rng.normal(size=(2, 3)))


def test_kink_is_left_out_only_within_its_radius():
    layer = make_layer('type: "ReLU"', (3,))
    assert isinstance(layer, ReLU)
    at_the_kink = np.array([0.0, 0.5, -0.5])
    with pytest.raises(AssertionError, match=r"\(0,\)"):
        check_gradient(layer, at_the_kink)
    check_gradient(layer, at_the_kink, kink=0.0, kink_radius=0.01)
    with pytest.raises(AssertionError, match="every value is near the kink"):
        check_gradient(layer, at_the_kink, kink_radius=1.0)
