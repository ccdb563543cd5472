"""The relation between blobs' coordinates, for cropping one blob to another (pycaffe's coord_map).

A map is ``(axis, scale, shift)``. Coordinate ``x`` of a layer's bottom is ``scale * x + shift`` of its top,
for the axes after ``axis`` (the channels). Axis None means any axis. Scale and shift are numbers, or
arrays with one number for each axis. The functions work on the tops of a NetSpec.
"""

from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np

from caffe.net_spec import Function, Top
from caffe.net_spec import layers as L

Map = tuple[int | None, Any, Any]

PASS_THROUGH_LAYERS = [
    "AbsVal", "BatchNorm", "Bias", "BNLL", "Dropout", "Eltwise", "ELU", "Log", "LRN", "Exp", "MVN", "Power",
    "ReLU", "PReLU", "Scale", "Sigmoid", "Split", "TanH", "Threshold",
]  # fmt: skip
"""The types whose tops have the coordinates of their bottoms."""

_IDENTITY: Map = (None, 1, 0)


class UndefinedMapException(Exception):
    """The layer type does not map coordinates; InnerProduct is an example."""


class AxisMismatchException(Exception):
    """Two maps begin at different axes."""


def conv_params(fn: Function) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    """Return axis, stride, kernel extent (dilation included) and pad of a layer with windows.

    The layer is a Convolution, Deconvolution, Im2col or Pooling.

    Raises:
        AssertionError: sizes are given by height and width (kernel_h, ...), which pycaffe refuses too.
    """
    params = fn.params.get("convolution_param", fn.params)
    by_side = sorted({f"{what}_{side}" for what in ("pad", "kernel", "stride") for side in "hw"} & set(params))
    if by_side:
        raise AssertionError(f"{fn.type_name}: coordinates cannot be mapped with {', '.join(by_side)}; give lists.")

    def sizes(name: str, default: int) -> np.ndarray:
        return np.array(params.get(name, default), ndmin=1)

    if "kernel_size" not in params:
        raise AssertionError(f"{fn.type_name}: coordinates cannot be mapped without a kernel_size.")
    extent = (sizes("kernel_size", 1) - 1) * sizes("dilation", 1) + 1
    return params.get("axis", 1), sizes("stride", 1), extent, sizes("pad", 0)


def crop_params(fn: Function) -> tuple[int, np.ndarray]:
    """First cropped axis and offsets of a Crop."""
    params = fn.params.get("crop_param", fn.params)
    return params.get("axis", 2), np.array(params.get("offset", 0), ndmin=1)


def coord_map(fn: Function) -> Map:
    """Return the map of one layer.

    Raises:
        UndefinedMapException: the layer's type has no map.
    """
    if fn.type_name in ("Convolution", "Pooling", "Im2col"):
        axis, stride, extent, pad = conv_params(fn)
        return axis, 1 / stride, (pad - (extent - 1) / 2) / stride
    if fn.type_name == "Deconvolution":
        axis, stride, extent, pad = conv_params(fn)
        return axis, stride, (extent - 1) / 2 - pad
    if fn.type_name == "Crop":
        axis, offset = crop_params(fn)
        return axis - 1, 1, -offset
    if fn.type_name in PASS_THROUGH_LAYERS:
        return _IDENTITY
    raise UndefinedMapException(f"{fn.type_name} layers do not map coordinates.")


def compose(base_map: Map, next_map: Map) -> Map:
    """Return the map that applies ``next_map`` first and then ``base_map``.

    Raises:
        AxisMismatchException: the maps begin at different axes.
    """
    (axis1, scale1, shift1), (axis2, scale2, shift2) = base_map, next_map
    if axis1 is not None and axis2 is not None and axis1 != axis2:
        raise AxisMismatchException(f"maps of the axes after {axis1} and after {axis2} cannot be composed.")
    return axis2 if axis1 is None else axis1, scale1 * scale2, scale1 * shift2 + shift1


def inverse(coord_map: Map) -> Map:
    """The map from top to bottom."""
    axis, scale, shift = coord_map
    return axis, 1 / scale, -shift / scale


def _ancestors(top: Top) -> Iterator[tuple[Top, Map]]:
    """Yield the top and its ancestors, nearest first, each with its map to the top."""
    waiting = deque([(top, _IDENTITY)])
    seen = {top}
    while waiting:
        here, to_top = waiting.popleft()
        yield here, to_top
        # A Crop's second bottom only gives its shape.
        bottoms = here.fn.inputs[:1] if here.fn.type_name == "Crop" else here.fn.inputs
        try:
            maps = [compose(to_top, coord_map(here.fn)) for _ in bottoms]
        except UndefinedMapException:
            continue
        for bottom, to_bottom in zip(bottoms, maps, strict=True):
            if bottom not in seen:
                seen.add(bottom)
                waiting.append((bottom, to_bottom))


def coord_map_from_to(top_from: Top, top_to: Top) -> Map:
    """Return the map from the coordinates of one top to those of another, through a common ancestor.

    Raises:
        RuntimeError: no layers with maps connect them.
    """
    maps_from = dict(_ancestors(top_from))
    for ancestor, to_map in _ancestors(top_to):
        if ancestor in maps_from:
            return compose(to_map, inverse(maps_from[ancestor]))
    raise RuntimeError("There is no map between these tops: they are not connected by layers that map coordinates.")


def crop(top_from: Top, top_to: Top) -> Top:
    """Make a Crop layer that cuts ``top_from`` to the position and size of ``top_to``.

    Raises:
        AssertionError: the tops differ in scale, or the offset is negative or not whole.
        RuntimeError: see coord_map_from_to.
    """
    axis, scale, shift = coord_map_from_to(top_from, top_to)
    scale, shift = np.atleast_1d(scale), np.atleast_1d(shift)
    if (scale != 1).any():
        raise AssertionError(f"scale mismatch on crop (scale = {scale})")
    if (shift > 0).any():
        raise AssertionError(f"cannot crop a negative offset (shift = {shift})")
    if (np.round(shift) != shift).any():
        raise AssertionError(f"cannot crop an offset that is not whole (shift = {shift})")
    # Without an axis, only layers that keep coordinates lie between the blobs. Crop images then, from axis 2.
    first = 2 if axis is None else axis + 1
    return L.Crop(top_from, top_to, crop_param=dict(axis=first, offset=[int(-x) for x in np.round(shift)]))
