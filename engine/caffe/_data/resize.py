"""Resizes images as real pycaffe does, without scikit-image or SciPy.

pycaffe calls skimage.transform.resize(mode='constant') for 1 and 3 channels and scipy.ndimage.zoom for
others. Both treat rows and columns separately, so each is a matrix on either side of the image. Values
follow scikit-image 0.18 and SciPy 1.6, the versions of Debian 11's Caffe. Since 0.15 scikit-image smooths
an image before it shrinks it; pycaffe of 2015 did not.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np


def resize_image(image: np.ndarray, size: tuple[int, int], order: int = 1) -> np.ndarray:
    """Resize an image (height, width, channels) to a size (height, width), as caffe.io.resize_image does.

    Args:
        order: 0 nearest, 1 linear, 3 cubic.

    Returns:
        float32 (size[0], size[1], channels).

    Raises:
        ValueError: another order is given, or an empty size.
    """
    _check(image, size, order)
    if image.shape[2] not in (1, 3):
        sample = _spline if order == 3 else partial(_sample, order=order, mode="constant")
        axes = [sample(_corner_to_corner(n, m), n) for n, m in zip(image.shape, size, strict=False)]
        result = _apply(axes, image)
        if np.issubdtype(image.dtype, np.integer):  # SciPy keeps the input's type.
            limits = np.iinfo(image.dtype)
            result = np.floor(result + 0.5).clip(limits.min, limits.max)
        return result.astype(np.float32)
    low, high = image.min(), image.max()
    if high == low:
        return np.full((*size, image.shape[2]), low, np.float32)
    unit = (image.astype(np.float64) - low) / (high - low)
    # Zeros from outside darken the border.
    result = _interpolated(_smoothed(unit, size, "constant"), size, order, "constant")
    return (result * (high - low) + low).astype(np.float32)


def resize(
    image: np.ndarray,
    output_shape: Sequence[int],
    order: int | None = None,
    mode: str = "reflect",
    cval: float = 0,
    clip: bool = True,
    preserve_range: bool = False,
    anti_aliasing: bool | None = None,
) -> np.ndarray:
    """skimage.transform.resize of scikit-image 0.18, which real pycaffe has as caffe.io.resize.

    Args:
        image: (height, width) or (height, width, channels); whole numbers become floats from 0 to 1.
        output_shape: (height, width), or with the image's channels.
        order: 0 nearest, 1 linear, 3 cubic; by default 1, or 0 for bool.
        mode: the outside values: reflect, symmetric, edge, wrap, or constant, which uses cval.
        clip: keep the values within those of the image.
        preserve_range: True keeps whole numbers in their range, as floats.
        anti_aliasing: True smooths before shrinking; the default is True except for bool.

    Returns:
        An array of output_shape: float64, or float32 for a float32 image.

    Raises:
        ValueError: an argument is not supported.
    """
    if mode not in _MODES:
        raise ValueError(f"mode {mode!r} is not supported: {', '.join(_MODES)} are.")
    whole = np.issubdtype(image.dtype, np.integer)
    values = image.astype(np.float64).reshape(*image.shape, *[1] * (image.ndim == 2))
    size = tuple(int(n) for n in output_shape)
    if values.ndim != 3 or len(size) not in (2, 3) or (len(size) == 3 and size[2] != values.shape[2]):
        raise ValueError(f"An image of shape {image.shape} cannot be resized to {size}: channels stay as they are.")
    if order is None:
        order = 0 if image.dtype == bool else 1
    _check(values, size[:2], order)
    if image.dtype != bool if anti_aliasing is None else anti_aliasing:
        values = _smoothed(values, size[:2], mode, cval, whole)
    if whole and not preserve_range:
        values /= np.iinfo(image.dtype).max
    result = _interpolated(values, size[:2], order, mode, cval, clip)
    shape = size if image.ndim == 2 or len(size) == 3 else (*size, image.shape[2])
    return result.reshape(shape).astype(np.float32 if image.dtype == np.float32 else np.float64)


def _check(image: np.ndarray, size: tuple[int, int], order: int) -> None:
    if order not in (0, 1, 3):
        raise ValueError(f"interp_order {order} is not supported: 0 (nearest), 1 (linear) and 3 (cubic) are.")
    if image.ndim != 3 or min(*size, *image.shape) < 1:
        raise ValueError(f"An image of shape {image.shape} cannot be resized to {size}.")


def _smoothed(image: np.ndarray, size: tuple[int, int], mode: str, cval: float = 0, whole: bool = False) -> np.ndarray:
    """Smooth an image along the axes that shrink. Whole numbers stay whole after each axis."""
    for axis, (length, new_length) in enumerate(zip(image.shape, size, strict=False)):
        if length > new_length:
            image = _along(axis, _blur(length, length / new_length, mode), image - cval) + cval
            image = np.trunc(image) if whole else image
    return image


def _interpolated(
    image: np.ndarray, size: tuple[int, int], order: int, mode: str, cval: float = 0, clip: bool = True
) -> np.ndarray:
    """Interpolate between cell centres; returns float64 (height, width, channels)."""
    axes = [_sample(_cell_centres(n, m), n, order, mode) for n, m in zip(image.shape, size, strict=False)]
    result = _apply(axes, image - cval) + cval
    return np.clip(result, image.min(), image.max()) if clip and order else result


# Each function brings an index outside of a line of values inside; constant leaves it outside.
_MODES: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "constant": lambda index, length: index,
    "edge": lambda index, length: index.clip(0, length - 1),
    "wrap": lambda index, length: index % length,
    "symmetric": lambda index, length: np.minimum(index % (2 * length), 2 * length - 1 - index % (2 * length)),
    "reflect": lambda index, length: _mirrored(index, length),
}


def _mirrored(index: np.ndarray, length: int) -> np.ndarray:
    period = max(2 * (length - 1), 1)
    return np.minimum(index % period, period - index % period)


def _apply(axes: Sequence[np.ndarray], image: np.ndarray) -> np.ndarray:
    for axis, matrix in enumerate(axes):
        image = _along(axis, matrix, image)
    return image


def _along(axis: int, matrix: np.ndarray, image: np.ndarray) -> np.ndarray:
    return np.moveaxis(np.tensordot(matrix, image, (1, axis)), 0, axis)


def _cell_centres(length: int, new_length: int) -> np.ndarray:
    # Pixels are cells, so the outer edges of both images coincide.
    return (np.arange(new_length) + 0.5) * (length / new_length) - 0.5


def _corner_to_corner(length: int, new_length: int) -> np.ndarray:
    # Pixels are points, so the first and the last of both images coincide.
    return np.linspace(0, length - 1, new_length)


def _matrix(length: int, rows: int, taps: Iterable[tuple[np.ndarray, np.ndarray]], mode: str) -> np.ndarray:
    """The matrix (rows, length) that sums weighted values of a line; taps are (index, weight), each (rows)."""
    matrix = np.zeros((rows, length))
    for index, weight in taps:
        index = _MODES[mode](index, length)
        inside = (index >= 0) & (index < length)
        np.add.at(matrix, (np.flatnonzero(inside), index[inside]), weight[inside])
    return matrix


def _sample(places: np.ndarray, length: int, order: int, mode: str) -> np.ndarray:
    """The matrix (places, length) that reads a line of values at places."""
    left = np.floor(places if order else places + 0.5).astype(int)
    t = places - left if order else np.zeros(len(places))
    if order == 3:  # Catmull and Rom's cubic
        weights = (t * (t * (2 - t) - 1) / 2, (t * t * (3 * t - 5) + 2) / 2, t * (t * (4 - 3 * t) + 1) / 2,
                   t * t * (t - 1) / 2)  # fmt: skip
        left = left - 1
    else:
        weights = (1 - t, t)
    return _matrix(length, len(places), ((left + k, weight) for k, weight in enumerate(weights)), mode)


def _spline(places: np.ndarray, length: int) -> np.ndarray:
    """The matrix (places, length) of the cubic spline through a line of values, mirrored at its ends, at places."""

    def basis(places: np.ndarray) -> np.ndarray:
        left = np.floor(places).astype(int) - 1
        t = places - left - 1
        weights = ((1 - t) ** 3 / 6, t * t * (t - 2) / 2 + 2 / 3, (1 - t) ** 2 * (-1 - t) / 2 + 2 / 3, t**3 / 6)
        return _matrix(length, len(places), ((left + k, weight) for k, weight in enumerate(weights)), "reflect")

    return basis(places) @ np.linalg.inv(basis(np.arange(length)))


def _blur(length: int, factor: float, mode: str) -> np.ndarray:
    """The matrix (length, length) that smooths a line before it shrinks by ``factor``."""
    sigma = (factor - 1) / 2
    radius = int(4 * sigma + 0.5)
    distance = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (distance / sigma) ** 2)
    kernel /= kernel.sum()
    middle = np.arange(length)
    return _matrix(length, length, ((middle + d, np.full(length, w)) for d, w in zip(distance, kernel)), mode)
