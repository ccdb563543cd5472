"""Compares a layer's gradients with differences of its forward pass (Caffe's GradientChecker)."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from caffe._device import random_numbers
from caffe._layers.base import Layer

from tests.engine.build import weights_of


def check_gradient(
    layer: Layer,
    *bottom: np.ndarray,
    of: Sequence[int] | None = None,
    tops: Sequence[int] | None = None,
    kink: float = 0.0,
    kink_radius: float = 0.0,
    step: float = 1e-5,
    tolerance: float = 1e-7,
) -> None:
    """Assert that autograd's gradients are those that central differences in float64 give.

    The objective is a random weighting of all values of the tops, so an error in any of them shows.
    The layer draws the same random numbers in every pass.

    Args:
        of: bottoms to check (all by default); all parameters are always checked.
        tops: tops that have gradients (all by default).
        kink, kink_radius: leave out bottom values nearer than kink_radius to +kink or -kink, where
            the layer is not differentiable.
        step: the step of the differences, in units of the values.
        tolerance: the allowed difference, absolute, or relative where gradients are larger than 1.
    """
    of = range(len(bottom)) if of is None else of
    values = [np.array(x, np.float64) for x in bottom]
    weights = weights_of(layer)
    random = random_numbers.save()
    coefficients = np.random.default_rng(5)
    chosen: dict[int, torch.Tensor] = {}

    def objective(inputs: list[torch.Tensor], parameters: list[torch.Tensor]) -> torch.Tensor:
        random_numbers.restore(random)
        results = layer.forward(inputs, parameters)
        total = torch.zeros((), dtype=torch.float64)
        for i in range(len(results)) if tops is None else tops:
            if i not in chosen:
                chosen[i] = torch.tensor(coefficients.uniform(0.5, 2, results[i].shape))
            total = total + (results[i] * chosen[i]).sum()
        return total

    inputs = [torch.tensor(x, requires_grad=i in of) for i, x in enumerate(values)]
    parameters = [torch.tensor(w, requires_grad=True) for w in weights]
    wanted = [t for t in (*inputs, *parameters) if t.requires_grad]
    gradients = iter(torch.autograd.grad(objective(inputs, parameters), wanted))

    def value() -> float:
        return float(objective([torch.tensor(x) for x in values], [torch.tensor(w) for w in weights]))

    for i, array in enumerate((*values, *weights)):
        is_bottom = i < len(values)
        if is_bottom and i not in of:
            continue
        what = f"bottom {i}" if is_bottom else f"parameter {i - len(values)}"
        skip = (lambda x: abs(abs(x) - kink) < kink_radius) if is_bottom and kink_radius else (lambda x: False)
        _compare(what, array, next(gradients).numpy(), value, skip, step, tolerance)


def _compare(
    what: str,
    array: np.ndarray,
    gradient: np.ndarray,
    value: Callable[[], float],
    skip: Callable[[float], bool],
    step: float,
    tolerance: float,
) -> None:
    compared = 0
    for place in np.ndindex(array.shape):
        x = array[place]
        if skip(x):
            continue
        array[place] = x + step
        above = value()
        array[place] = x - step
        below = value()
        array[place] = x
        estimate = (above - below) / (2 * step)
        found = gradient[place]
        assert abs(found - estimate) <= tolerance * max(1, abs(found), abs(estimate)), (
            f"{what} at {place}: gradient {found}, by differences {estimate}"
        )
        compared += 1
    assert compared, f"{what}: every value is near the kink"
