"""How close is close enough.

Measured on the training runs. Real Caffe was compared with itself under four other BLAS kernels (OPENBLAS_CORETYPE).
Every loss and test output has the same six digits; learned weights are within 5.5e-7 of the largest.
Ours against real Caffe: the same six digits everywhere, weights within 7.3e-7. Layer cases: values within 3.0e-7,
gradients within 2.4e-7. A weight decay that is one per cent off fails eleven tests.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

# Caffe prints six digits; two units of the last one.
DISPLAYED = 2e-5
WEIGHTS = 1e-5
# The bounds of the project, which every layer type of Caffe has to keep.
VALUE = 1e-4
GRADIENT = 5e-4


def differences(ours: Mapping, real: Mapping, relative: float) -> list[str]:
    """A line for each key whose number (or dict of numbers) differs by more than `relative` or has no partner."""
    found = []
    for key in sorted({*ours, *real}, key=str):
        if key not in ours or key not in real:
            found.append(f"{key}: only in {'real' if key in real else 'ours'}")
        elif isinstance(real[key], Mapping):
            found += [f"{key}: {line}" for line in differences(ours[key], real[key], relative)]
        elif not abs(ours[key] - real[key]) <= relative * abs(real[key]):
            found.append(f"{key}: ours {ours[key]}, real {real[key]}")
    return found


def distance(ours: np.ndarray, real: np.ndarray) -> float:
    """The largest difference relative to the largest of `real`; infinite for another shape or NaN on one side
    only.
    """
    if ours.shape != real.shape or not np.array_equal(np.isnan(ours), np.isnan(real)):
        return float("inf")
    ours, real = np.nan_to_num(ours.astype(np.float64)), np.nan_to_num(real.astype(np.float64))
    if not real.size:
        return 0.0
    # A blob of zeros must be zeros: there the difference counts as it is.
    return float(np.abs(ours - real).max() / (np.abs(real).max() or 1.0))


def array_differences(
    ours: Mapping[str, np.ndarray], real: Mapping[str, np.ndarray], relative: float | None = None
) -> list[str]:
    """One line for each array by name that is further than `relative` (default: VALUE, or GRADIENT for names
    in |diff).
    """
    found = []
    for key in sorted({*ours, *real}):
        if key not in ours or key not in real:
            found.append(f"{key}: only in {'real' if key in real else 'ours'}")
            continue
        limit = relative if relative is not None else GRADIENT if key.endswith("|diff") else VALUE
        if not (far := distance(ours[key], real[key])) <= limit:
            found.append(f"{key}: {far:.2g} apart, limit {limit:g}; shapes {ours[key].shape}, {real[key].shape}")
    return found
