"""Layer types, one file per family; importing this package registers them all."""

from caffe._layers import (  # noqa: F401
    accuracy,
    convolution,
    data,
    dropout,
    inner_product,
    input,
    loss,
    lrn,
    neuron,
    pooling,
    python,
    softmax,
    wiring,
)
from caffe._layers.base import Layer, create, layer_type_list, register

__all__ = ["Layer", "create", "layer_type_list", "register"]
