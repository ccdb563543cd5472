"""SigmoidCrossEntropyLoss against a loop (float64, tolerance 1e-12)."""

import math

import numpy as np
import pytest
from caffe import CaffeError

from tests.engine.build import forward, make_layer
from tests.engine.gradient_check import check_gradient


def loss_of(x, targets, ignore, normalization):
    total, valid = 0.0, 0
    for score, target in zip(x.flat, targets.flat, strict=True):
        if ignore is not None and int(target) == ignore:
            continue
        p = 1 / (1 + math.exp(-score))
        total -= target * math.log(p) + (1 - target) * math.log(1 - p)
        valid += 1
    return total / max(1, {"FULL": x.size, "VALID": valid, "BATCH_SIZE": len(x), "NONE": 1}[normalization])


@pytest.mark.parametrize("mode", ["FULL", "VALID", "BATCH_SIZE", "NONE"])
@pytest.mark.parametrize("ignore", [None, 0, -1])
def test_values_and_gradient(rng, mode, ignore):
    x, targets = 2 * rng.normal(size=(3, 4, 2)), rng.uniform(-2, 2, (3, 8))
    given = "" if ignore is None else f"ignore_label: {ignore}"
    layer = make_layer(
        f'type: "SigmoidCrossEntropyLoss" loss_param {{ normalization: {mode} {given} }}', x.shape, targets.shape
    )
    np.testing.assert_allclose(forward(layer, x, targets)[0], loss_of(x, targets, ignore, mode), rtol=1e-12)
    check_gradient(layer, x, targets, of=[0])


@pytest.mark.parametrize(
    "text, mode", [("", "BATCH_SIZE"), ("normalize: true", "VALID"), ("normalize: false", "BATCH_SIZE")]
)
def test_default_and_older_normalize(rng, text, mode):
    x, targets = rng.normal(size=(3, 4)), rng.uniform(0, 2, (3, 4))
    layer = make_layer(f'type: "SigmoidCrossEntropyLoss" loss_param {{ ignore_label: 1 {text} }}', x.shape, x.shape)
    np.testing.assert_allclose(forward(layer, x, targets)[0], loss_of(x, targets, 1, mode), rtol=1e-12)


def test_large_scores_stay_finite():
    layer = make_layer('type: "SigmoidCrossEntropyLoss"', (2, 2), (2, 2))
    x = np.array([[1000.0, -1000], [-1000, 1000]])
    np.testing.assert_allclose(forward(layer, x, np.array([[1, 1], [0, 0]]))[0], 1000)


def test_refused_count():
    with pytest.raises(CaffeError, match="same count"):
        make_layer('type: "SigmoidCrossEntropyLoss"', (2, 3), (2, 4))
