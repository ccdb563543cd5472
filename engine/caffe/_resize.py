"""Resizing of images as real pycaffe does it, without scikit-image or SciPy.

pycaffe calls skimage.transform.resize(mode='constant') for 1 and 3 channels and
scipy.ndimage.zoom for others. Both work on rows and columns apart, so each is a matrix on either
side of the image. Values follow scikit-image 0.18 and SciPy 1.6, those of Debian 11's Caffe:
since 0.15 scikit-image smooths an image before it makes it smaller (pycaffe of 2015 did not).
"""

from functools import partial

import numpy as np


def resize(image: np.ndarray, size: tuple[int, int], order: int = 1) -> np.ndarray:
    """Resize an image (height, width, channels) to a size (height, width).

    Args:
        order: 0 nearest, 1 linear, 3 cubic.

    Returns:
        float32 (size[0], size[1], channels).

    Raises:
        ValueError: another order, or an empty size.
    """
    if order not in (0, 1, 3):
        raise ValueError(f"interp_order {order} is not supported: 0 (nearest), 1 (linear) and 3 (cubic) are.")
    if image.ndim != 3 or min(*size, *image.shape) < 1:
        raise ValueError(f"An image of shape {image.shape} cannot be resized to {size}.")
    if image.shape[2] not in (1, 3):
        sample = _spline if order == 3 else partial(_sample, order=order)
        axes = [sample(_corner_to_corner(n, m), n) for n, m in zip(image.shape, size, strict=False)]
        return _apply(axes, image).astype(np.float32)
    low, high = image.min(), image.max()
    if high == low:
        return np.full((*size, image.shape[2]), low, np.float32)
    unit = (image.astype(np.float64) - low) / (high - low)
    smooth = _apply([_blur(n, n / m) for n, m in zip(unit.shape, size, strict=False)], unit)
    axes = [_sample(_cell_centres(n, m), n, order) for n, m in zip(unit.shape, size, strict=False)]
    result = _apply(axes, smooth)
    if order:
        # Zeros from outside darken the border, but not below what was sampled.
        np.clip(result, smooth.min(), smooth.max(), out=result)
    return (result * (high - low) + low).astype(np.float32)


def _apply(axes: list[np.ndarray], image: np.ndarray) -> np.ndarray:
    rows, columns = axes
    return np.einsum("rh,hwk,cw->rck", rows, image, columns, optimize=True)


def _cell_centres(length: int, new_length: int) -> np.ndarray:
    # Pixels are cells: the outer edges of both images lie on each other.
    return (np.arange(new_length) + 0.5) * (length / new_length) - 0.5


def _corner_to_corner(length: int, new_length: int) -> np.ndarray:
    # Pixels are points: the first and the last of both images lie on each other.
    return np.linspace(0, length - 1, new_length)


def _sample(places: np.ndarray, length: int, order: int) -> np.ndarray:
    """The matrix (places, length) that reads a line of values at places; outside is zero."""
    left = np.floor(places if order else places + 0.5).astype(int)
    t = places - left if order else np.zeros(len(places))
    if order == 3:  # Catmull and Rom's cubic
        weights = (t * (t * (2 - t) - 1) / 2, (t * t * (3 * t - 5) + 2) / 2, t * (t * (4 - 3 * t) + 1) / 2,
                   t * t * (t - 1) / 2)  # fmt: skip
        left = left - 1
    else:
        weights = (1 - t, t)
    matrix = np.zeros((len(places), length))
    for k, weight in enumerate(weights):
        inside = (left + k >= 0) & (left + k < length)
        matrix[np.flatnonzero(inside), (left + k)[inside]] += weight[inside]
    return matrix


def _spline(places: np.ndarray, length: int) -> np.ndarray:
    """The matrix (places, length) of the cubic spline through a line of values, mirrored at its ends, at places."""

    period = max(2 * (length - 1), 1)

    def basis(places: np.ndarray) -> np.ndarray:
        left = np.floor(places).astype(int) - 1
        t = places - left - 1
        weights = ((1 - t) ** 3 / 6, t * t * (t - 2) / 2 + 2 / 3, (1 - t) ** 2 * (-1 - t) / 2 + 2 / 3, t**3 / 6)
        matrix = np.zeros((len(places), length))
        for k, weight in enumerate(weights):
            index = (left + k) % period
            np.add.at(matrix, (np.arange(len(places)), np.minimum(index, period - index)), weight)
        return matrix

    return basis(places) @ np.linalg.inv(basis(np.arange(length)))


def _blur(length: int, factor: float) -> np.ndarray:
    """The matrix (length, length) that smooths a line before it is made ``factor`` times shorter."""
    sigma = max(0.0, (factor - 1) / 2)
    if not sigma:
        return np.eye(length)
    radius = int(4 * sigma + 0.5)
    distance = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (distance / sigma) ** 2)
    kernel /= kernel.sum()
    offset = np.subtract.outer(np.arange(length), np.arange(length))
    return np.where(abs(offset) <= radius, kernel[np.clip(offset + radius, 0, 2 * radius)], 0)
