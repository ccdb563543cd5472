"""EuclideanLoss and ContrastiveLoss against loops (float64, tolerance 1e-12)."""

import numpy as np
import pytest
import torch
from caffe import CaffeError

from tests.engine.build import forward, make_layer
from tests.engine.gradient_check import check_gradient


def test_euclidean(rng):
    x, y = rng.normal(size=(3, 4, 2)), rng.normal(size=(3, 2, 4))
    layer = make_layer('type: "EuclideanLoss"', x.shape, y.shape)
    want = sum((a - b) ** 2 for a, b in zip(x.flat, y.flat, strict=True)) / 3 / 2
    np.testing.assert_allclose(forward(layer, x, y)[0], want, rtol=1e-12)
    check_gradient(layer, x, y)
    assert layer.allow_force_backward(0) and layer.allow_force_backward(1)


def test_euclidean_refuses_other_shapes():
    with pytest.raises(CaffeError, match="same dimension"):
        make_layer('type: "EuclideanLoss"', (3, 4), (3, 5))
    with pytest.raises(CaffeError, match="same first dimension"):
        make_layer('type: "EuclideanLoss"', (3, 4), (4, 3))


def contrastive(a, b, similar, margin, legacy):
    """Loss and the gradient of the first bottom, as Caffe's ContrastiveLossLayer has them."""
    loss, gradient = 0.0, np.zeros_like(a)
    for i, (x, y) in enumerate(zip(a, b, strict=True)):
        squared = ((x - y) ** 2).sum()
        distance = squared**0.5
        if int(similar[i]):
            loss += squared
            gradient[i] = x - y
        elif legacy:
            loss += max(0, margin - squared)
            gradient[i] = -(x - y) * (margin > squared)
        else:
            loss += max(0, margin - distance) ** 2
            gradient[i] = -max(0, margin - distance) / (distance + 1e-4) * (x - y)
    return loss / len(a) / 2, gradient / len(a)


@pytest.mark.parametrize("legacy", [False, True])
def test_contrastive(rng, legacy):
    a, b = rng.normal(size=(8, 3)), rng.normal(size=(8, 3))
    b[0], b[1] = a[0], a[1]
    similar = np.array([0, 1, 0.9, -1, 0, 1, 0, 0])
    text = f"contrastive_loss_param {{ margin: 1.75 legacy_version: {str(legacy).lower()} }}"
    layer = make_layer(f'type: "ContrastiveLoss" {text}', a.shape, b.shape, similar.shape)
    loss, gradient = contrastive(a, b, similar, 1.75, legacy)
    np.testing.assert_allclose(forward(layer, a, b, similar)[0], loss, rtol=1e-12)
    tensors = [torch.tensor(x, requires_grad=True) for x in (a, b)]
    found = torch.autograd.grad(layer.forward([*tensors, torch.tensor(similar)], [])[0], tensors)
    np.testing.assert_allclose(found[0], gradient, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(found[1], -gradient, rtol=1e-12, atol=1e-15)
    assert [layer.allow_force_backward(i) for i in range(3)] == [True, True, False]


@pytest.mark.parametrize(
    "shapes, message",
    [
        (((4, 3), (4, 2), (4,)), "features"),
        (((4, 3, 2), (4, 3, 2), (4,)), "features"),
        (((4, 3), (4, 3), (4, 2)), "pair"),
    ],
)
def test_contrastive_refuses(shapes, message):
    with pytest.raises(CaffeError, match=message):
        make_layer('type: "ContrastiveLoss"', *shapes)
