"""A deploy net with trained weights, behind pycaffe: images in, class scores out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from google.protobuf import text_format

from ensemble.files import BadInput, read_message, read_text
from ensemble.rule import CLASSES

# Real Caffe prints every layer of every net it builds unless this is set before it is imported.
os.environ.setdefault("GLOG_minloglevel", "2")
import caffe  # noqa: E402
from caffe.proto import caffe_pb2  # noqa: E402


class Outputs(NamedTuple):
    """What a batch gives: the Softmax layer's two sides, each float32 (n, 200)."""

    before: np.ndarray  #: what the Accuracy layer of the TEST phase reads
    prob: np.ndarray


def use(gpu: int | None) -> None:
    """Run the nets to come on a GPU, or on the CPU for None."""
    if gpu is None:
        caffe.set_mode_cpu()
    else:
        caffe.set_device(gpu)
        caffe.set_mode_gpu()


class DeployNet:
    """models/<name>/deploy.prototxt with the weights of a snapshot and the mean image (C, H, W) of its data.

    Raises BadInput for a net without exactly one image input and 200 classes in `prob`, or a snapshot of
    another net. The weights are compared here, since real Caffe ends the process where they do not fit.
    """

    def __init__(self, deploy: Path, snapshot: Path, mean: np.ndarray):
        definition = _definition(deploy)
        try:
            self._net = caffe.Net(str(deploy), caffe.TEST)
        except RuntimeError as error:
            raise BadInput(f"{deploy}: Caffe does not build this net: {error}") from error
        self._before = _softmax_bottom(deploy, definition)
        self._input = _image_input(deploy, self._net)
        self._prob_has_all_classes(deploy)
        _check_weights(self._net, definition.name, snapshot)
        self._net.copy_from(str(snapshot))
        height, width = self._net.blobs[self._input].data.shape[2:]
        self._crop = _centre_crop(deploy, mean.shape, self._net.blobs[self._input].data.shape[1:])
        self._mean = mean[self._crop]
        self.input_shape = (mean.shape[0], height, width)

    def _prob_has_all_classes(self, deploy: Path) -> None:
        blob = self._net.blobs["prob"].data
        if blob.size != len(blob) * CLASSES:
            raise BadInput(f"{deploy}: `prob` is {blob.shape}, not {CLASSES} classes an image; `make models`")

    def __call__(self, images: np.ndarray) -> Outputs:
        """Centre crop, less the mean at the same place, no mirror: uint8 (n, C, H, W) -> Outputs."""
        count = len(images)
        blob = self._net.blobs[self._input]
        if blob.data.shape[0] != count:
            blob.reshape(count, *self.input_shape)
            self._net.reshape()
        np.subtract(images[(slice(None), *self._crop)], self._mean, out=blob.data)
        self._net.forward()
        # The net writes over its blobs at the next batch, so these are copies.
        names = (self._before, "prob")
        return Outputs(*(np.array(self._net.blobs[name].data).reshape(count, -1) for name in names))


def _definition(deploy: Path):
    if not deploy.is_file():
        raise BadInput(f"{deploy}: no deploy net; `make models` renders it")
    try:
        return text_format.Parse(read_text(deploy, "`make models` renders it"), caffe_pb2.NetParameter())
    except (text_format.ParseError, RecursionError) as error:
        raise BadInput(f"{deploy}: not a net: {error}") from error


def _softmax_bottom(deploy: Path, definition) -> str:
    for layer in definition.layer:
        if layer.type == "Softmax" and list(layer.top) == ["prob"]:
            return layer.bottom[0]
    raise BadInput(f"{deploy}: no Softmax layer with top `prob`; `make models` renders one")


def _image_input(deploy: Path, net) -> str:
    inputs = list(net.inputs)
    if len(inputs) != 1 or net.blobs[inputs[0]].data.ndim != 4:
        raise BadInput(f"{deploy}: inputs {inputs}, not one of images; `make models` renders a deploy net")
    return inputs[0]


def _centre_crop(deploy: Path, image: tuple[int, ...], net_input: tuple[int, ...]) -> tuple[slice, ...]:
    """Where Caffe crops in the TEST phase, (H - crop) / 2 rounded down, as slices of (C, H, W)."""
    channels, height, width = net_input
    if channels != image[0] or height > image[1] or width > image[2]:
        raise BadInput(f"{deploy}: takes {tuple(net_input)}, more than images of {tuple(image)} have")
    top, left = (image[1] - height) // 2, (image[2] - width) // 2
    return slice(None), slice(top, top + height), slice(left, left + width)


def _check_weights(net, name: str, snapshot: Path) -> None:
    weights = read_message(snapshot, caffe_pb2.NetParameter, ".caffemodel", "name another one with --snapshot")
    stored = {layer.name: list(layer.blobs) for layer in (*weights.layer, *weights.layers)}
    another = f"it is a snapshot of another net than {name!r}: name the right one with --snapshot"
    # nin1 and nin2 differ in dropout alone, so only the name tells their snapshots apart.
    if weights.name and name and weights.name != name:
        raise BadInput(f"{snapshot}: holds the net {weights.name!r}; {another}")
    for layer, blobs in net.params.items():
        if layer not in stored:
            raise BadInput(f"{snapshot}: no weights for layer {layer}; {another}")
        here, there = [blob.data.shape for blob in blobs], [_shape(blob) for blob in stored[layer]]
        if [_legacy(shape) for shape in here] != [_legacy(shape) for shape in there]:
            raise BadInput(f"{snapshot}: layer {layer} has weights {there}, the net {here}; {another}")


def _shape(blob) -> tuple[int, ...]:
    return tuple(blob.shape.dim) or (blob.num, blob.channels, blob.height, blob.width)


def _legacy(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape as the four numbers that old files hold, so that old and new compare as Caffe compares them."""
    return (1,) * (4 - len(shape)) + tuple(shape)
