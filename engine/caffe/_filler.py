"""Fillers: the initial values of a blob (Caffe's filler.hpp), by type."""

from collections.abc import Callable

import numpy as np
import torch

from caffe._blob import Blob
from caffe._device import memory, random_numbers
from caffe._error import PrototxtError
from caffe._registry import Registry
from caffe.proto import caffe_pb2

Filler = Callable[[caffe_pb2.FillerParameter, tuple[int, ...]], np.ndarray]
FILLERS: Registry[Filler] = Registry("filler")


def fill(blob: Blob, param: caffe_pb2.FillerParameter) -> None:
    """Fill a blob's data as the filler says.

    Raises:
        PrototxtError: the type is unknown (the nearest is named), a filler other than gaussian has
            ``sparse``, or memory is too small.
    """
    memory.need(4 * blob.count, f"A blob of shape {blob.shape}", PrototxtError)
    filler = FILLERS.find(param.type)
    if param.sparse != -1 and param.type != "gaussian":
        raise PrototxtError(f"Sparsity not supported by the filler {param.type}.")
    values = filler(param, tuple(blob.shape))
    blob._data.set(torch.from_numpy(np.require(values, np.float32, ["C", "W"])))


@FILLERS.register("constant")
def _constant(param, shape):
    return np.full(shape, param.value, np.float32)


@FILLERS.register("uniform")
def _uniform(param, shape):
    return _between(param.min, param.max, shape)


@FILLERS.register("gaussian")
def _gaussian(param, shape):
    values = random_numbers.host().standard_normal(shape, np.float32)
    values *= param.std
    values += param.mean
    if param.sparse >= 0:
        # sparse is an output's mean number of nonzero inputs; Caffe divides by outputs.
        values *= random_numbers.host().random(shape, np.float32) < param.sparse / shape[0]
    elif param.sparse < -1:
        raise PrototxtError(f"A filler's sparse must be -1 or more, not {param.sparse}.")
    return values


@FILLERS.register("positive_unitball")
def _positive_unitball(param, shape):
    values = _between(0, 1, shape).reshape(shape[0], -1)
    return (values / values.sum(axis=1, keepdims=True)).reshape(shape)


@FILLERS.register("xavier")
def _xavier(param, shape):
    bound = np.sqrt(3 / _fan(param, shape))
    return _between(-bound, bound, shape)


@FILLERS.register("msra")
def _msra(param, shape):
    return random_numbers.host().standard_normal(shape, np.float32) * np.float32(np.sqrt(2 / _fan(param, shape)))


@FILLERS.register("bilinear")
def _bilinear(param, shape):
    if len(shape) != 4 or shape[2] != shape[3]:
        raise PrototxtError(f"The bilinear filler needs a blob of 4 axes with square filters, not {shape}.")
    half = np.ceil(shape[3] / 2)
    centre = (shape[3] - 1) / (2 * half)
    tent = 1 - np.abs(np.arange(shape[3]) / half - centre)
    return np.broadcast_to(np.outer(tent, tent), shape)


def _between(low: float, high: float, shape: tuple[int, ...]) -> np.ndarray:
    values = random_numbers.host().random(shape, np.float32)
    values *= high - low
    values += low
    return values


def _fan(param: caffe_pb2.FillerParameter, shape: tuple[int, ...]) -> float:
    count = int(np.prod(shape))
    fan_in = count // shape[0]
    fan_out = count // shape[1] if len(shape) > 1 else count
    norm = caffe_pb2.FillerParameter.VarianceNorm.Name(param.variance_norm)
    return {"FAN_IN": fan_in, "FAN_OUT": fan_out, "AVERAGE": (fan_in + fan_out) / 2}[norm]
