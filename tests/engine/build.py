"""Makes a layer or a net from prototxt text, and runs a layer on arrays in float64."""

from collections.abc import Sequence

import numpy as np
import torch
from caffe import _layers
from caffe._files import prototxt
from caffe._layers.base import Layer
from caffe._net.net import Net
from caffe.proto import caffe_pb2


def make_layer(text: str, *bottom: Sequence[int], phase: int = caffe_pb2.TEST, tops: int = 1) -> Layer:
    """A layer ready to run.

    Args:
        text: the inside of a prototxt's ``layer { }``, with or without bottoms and tops.
        bottom: shapes of the bottoms.
        phase: caffe.TRAIN or caffe.TEST.
        tops: how many tops to name if the text names none.
    """
    param = prototxt.parse(text, caffe_pb2.LayerParameter(name="subject", phase=phase), "test")
    if not param.bottom:
        param.bottom.extend(f"bottom{i}" for i in range(len(bottom)))
    if not param.top:
        param.top.extend(f"top{i}" for i in range(tops))
    layer = _layers.create(param)
    layer.check_counts()
    shapes = [tuple(shape) for shape in bottom]
    layer.setup(shapes)
    layer.top_shapes(shapes)
    return layer


def weights_of(layer: Layer) -> list[np.ndarray]:
    """The layer's parameters in float64."""
    return [blob.data.astype(np.float64) for blob in layer.blobs]


def forward(layer: Layer, *bottom: np.ndarray, weights: Sequence[np.ndarray] | None = None) -> list[np.ndarray]:
    """The tops for bottoms, in float64; also checks that they have the shapes that the layer announced."""
    weights = weights_of(layer) if weights is None else weights
    tensors = [torch.tensor(np.asarray(x, np.float64)) for x in bottom]
    tops = layer.forward(tensors, [torch.tensor(w) for w in weights])
    promised = layer.top_shapes([tuple(x.shape) for x in tensors])
    assert [tuple(top.shape) for top in tops] == [tuple(shape) for shape in promised]
    for tensor, x in zip(tensors, bottom, strict=True):
        assert np.array_equal(tensor.numpy(), x), "forward changed its bottom"
    return [top.numpy() for top in tops]


def make_net(text: str, phase: int = caffe_pb2.TRAIN, **state) -> Net:
    """A net from prototxt text, upgraded as a file would be."""
    from caffe._files import upgrade

    param = upgrade.upgrade_net(prototxt.parse(text, caffe_pb2.NetParameter(), "test"), "test")
    param.state.MergeFrom(caffe_pb2.NetState(phase=phase, **state))
    return Net(param)


def input_layer(**shapes: Sequence[int]) -> str:
    """Prototxt of an Input layer with these tops."""
    tops = " ".join(f'top: "{name}"' for name in shapes)
    dims = " ".join("shape { " + " ".join(f"dim: {d}" for d in shape) + " }" for shape in shapes.values())
    return f'layer {{ name: "input" type: "Input" {tops} input_param {{ {dims} }} }}\n'
