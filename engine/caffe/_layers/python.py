"""Python: a layer that the user writes as a class (Caffe's python_layer.hpp)."""

import importlib

from caffe._blob import Blob
from caffe._error import CaffeError
from caffe._layers.base import BlobLayer, BlobVec, register
from caffe.proto import caffe_pb2

allowed = True
"""True lets nets load Python layers. The ``caffe`` command sets this to False without ``--allow_python_layers``,
because a prototxt from elsewhere could import any module."""


class PythonLayer:
    """``caffe.Layer``; derive from it and define setup, reshape, forward and backward.

    Each takes lists of Blobs: ``setup(bottom, top)``, ``reshape(bottom, top)``,
    ``forward(bottom, top)``, ``backward(top, propagate_down, bottom)``.

    Args:
        layer_param: the LayerParameter; a derived class may take it in its ``__init__``.

    Attributes (from setup on):
        param_str: the prototxt's python_param.param_str.
        phase: caffe.TRAIN or caffe.TEST.
        blobs: the layer's parameters; add one with ``self.blobs.add_blob(*shape)``.
    """

    type = "Python"

    param_str: str
    phase: int
    blobs: BlobVec

    def __init__(self, layer_param: caffe_pb2.LayerParameter):
        pass


@register("Python")
class Python(BlobLayer):
    """Runs the class python_param.layer of the module python_param.module."""

    bottoms = (0, None)
    tops = (0, None)

    def setup_blobs(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.python_param
        if not allowed:
            raise CaffeError(
                f"Layer '{self.name}' is Python code ({param.module}.{param.layer}); the caffe command runs "
                "it only with --allow_python_layers, since it can do anything."
            )
        try:
            layer_class = getattr(importlib.import_module(param.module), param.layer)
        except (ImportError, AttributeError) as error:
            raise self.error(f"{param.module}.{param.layer} cannot be loaded: {error}") from error
        self.instance = layer_class(self.param)
        self.instance.param_str = param.param_str
        self.instance.phase = self.param.phase
        self.instance.blobs = self.blobs
        self.instance.setup(bottom, top)

    @property
    def has_backward(self) -> bool:
        return hasattr(self.instance, "backward")

    def reshape_blobs(self, bottom, top):
        self.instance.reshape(bottom, top)

    def forward_blobs(self, bottom, top):
        self.instance.forward(bottom, top)

    def backward_blobs(self, top, propagate_down, bottom):
        self.instance.backward(top, propagate_down, bottom)
