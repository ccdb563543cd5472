"""A deploy net with trained weights, behind pycaffe: images in, class scores out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from google.protobuf import text_format

from ensemble.rule import CLASSES
from ensemble.scoring import views
from harness.errors import UserError
from harness.files import read_message, read_text

# Real Caffe prints every layer of every net it builds unless this is set before it is imported.
os.environ.setdefault("GLOG_minloglevel", "2")
import caffe  # noqa: E402
from caffe.proto import caffe_pb2  # noqa: E402

#: Layers whose weights fit one size of image.
_ONE_SIZE = ("InnerProduct",)


class Outputs(NamedTuple):
    """The outputs of a batch: the Softmax layer's input and output, each float32 (n, 200)."""

    before: np.ndarray  #: the input of the Accuracy layer in the TEST phase
    prob: np.ndarray


def use(gpu: str) -> None:
    """Select the device of all later nets by caffe's own --gpu; "" is the CPU. If it names several, the first counts.

    Raises UserError for anything but a GPU's number.
    """
    first = "0" if gpu == "all" else gpu.partition(",")[0]
    if not gpu:
        caffe.set_mode_cpu()
    elif first.isdecimal():
        caffe.set_device(int(first))
        caffe.set_mode_gpu()
    else:
        raise UserError(f"--gpu {gpu}: not a GPU's number; as 0, or 0,1 or all, of which the first is taken")


class DeployNet:
    """models/<name>/deploy.prototxt with the weights of a snapshot and the mean image (C, H, W) of its data.

    Raises UserError for a net without exactly one image input and 200 classes in `prob`. Raises it also for a snapshot
    of another net. The weights are compared here, since real Caffe ends the process if they do not fit.
    """

    def __init__(self, deploy: Path, snapshot: Path, mean: np.ndarray):
        definition = _definition(deploy)
        try:
            self._net = caffe.Net(str(deploy), caffe.TEST)
        except RuntimeError as error:
            raise UserError(f"{deploy}: Caffe does not build this net: {error}") from error
        self._before = _softmax_bottom(deploy, definition)
        self._input = _image_input(deploy, self._net)
        self._prob_has_all_classes(deploy)
        _check_weights(self._net, definition.name, snapshot)
        self._net.copy_from(str(snapshot))
        channels, height, width = self._net.blobs[self._input].data.shape[1:]
        if channels != mean.shape[0] or height > mean.shape[1] or width > mean.shape[2]:
            raise UserError(
                f"{deploy}: takes {(channels, height, width)}, more than images of {tuple(mean.shape)} have"
            )
        self._mean = mean
        self._deploy = deploy
        self._one_size = _one_size(definition)
        self.channels = int(channels)
        self.image, self.crop = (int(mean.shape[1]), int(mean.shape[2])), (int(height), int(width))

    def _prob_has_all_classes(self, deploy: Path) -> None:
        blob = self._net.blobs["prob"].data
        if blob.size != len(blob) * CLASSES:
            raise UserError(f"{deploy}: `prob` is {blob.shape}, not {CLASSES} classes an image; `make models`")

    @property
    def whole(self) -> views.Window | None:
        """The window of the whole image; None if the net cannot take it or the centre is already the whole."""
        if self._one_size or self.image == self.crop:
            return None
        return self.windows("whole")[0]

    def windows(self, view: str) -> list[views.Window]:
        """The windows of a view for this net; raises UserError for one that is unknown or does not fit."""
        found = views.windows(view, self.image, self.crop)
        size = (found[0].height, found[0].width)
        if size != self.crop and self._one_size:
            raise UserError(
                f"--view {view}: layer {self._one_size} of {self._deploy} takes images of {self.crop[0]} x {self.crop[1]} "
                f"alone, not of {size[0]} x {size[1]}; 10crop and dense move that window over the image"
            )
        return found

    def __call__(self, images: np.ndarray, chosen: views.Window | Sequence[views.Window] | None = None) -> Outputs:
        """Run a window of each image, minus the mean at the same place: uint8 (n, C, H, W) -> Outputs.

        `chosen` is one window for all images or one for each. The default is the TEST phase's, the centre.
        """
        chosen = views.center(self.image, self.crop) if chosen is None else chosen
        first = chosen if isinstance(chosen, views.Window) else chosen[0]
        shape = (*images.shape[:2], first.height, first.width)
        blob = self._net.blobs[self._input]
        if tuple(blob.shape) != shape:
            blob.reshape(*shape)
            self._net.reshape()
        views.cut(images, self._mean, chosen, blob.data)
        self._net.forward()
        return Outputs(*(self._classes(name, len(images)) for name in (self._before, "prob")))

    def _classes(self, name: str, count: int) -> np.ndarray:
        """A blob as (n, 200); a sliding net has several places, which are averaged."""
        # The net writes over its blobs at the next batch, so this is a copy.
        scores = np.array(self._net.blobs[name].data).reshape(count, CLASSES, -1)
        return scores[:, :, 0] if scores.shape[2] == 1 else scores.mean(axis=2)


def _definition(deploy: Path):
    if not deploy.is_file():
        raise UserError(f"{deploy}: no deploy net; `make models` renders it")
    try:
        return text_format.Parse(read_text(deploy, "`make models` renders it"), caffe_pb2.NetParameter())
    except (text_format.ParseError, RecursionError) as error:
        raise UserError(f"{deploy}: not a net: {error}") from error


def _one_size(definition) -> str | None:
    """The layer that ties a net to one size of image, if any. Real Caffe ends the process at another size.

    The number of its weights depends on its input's size. After a global pooling that size no longer depends on the
    image.
    """
    pooled = {top for layer in definition.layer if layer.pooling_param.global_pooling for top in layer.top}
    bound = (layer for layer in definition.layer if layer.type in _ONE_SIZE and not pooled.issuperset(layer.bottom))
    return next((layer.name for layer in bound), None)


def _softmax_bottom(deploy: Path, definition) -> str:
    for layer in definition.layer:
        if layer.type == "Softmax" and list(layer.top) == ["prob"]:
            return layer.bottom[0]
    raise UserError(f"{deploy}: no Softmax layer with top `prob`; `make models` renders one")


def _image_input(deploy: Path, net) -> str:
    inputs = list(net.inputs)
    if len(inputs) != 1 or net.blobs[inputs[0]].data.ndim != 4:
        raise UserError(f"{deploy}: inputs {inputs}, not one of images; `make models` renders a deploy net")
    return inputs[0]


def _check_weights(net, name: str, snapshot: Path) -> None:
    weights = read_message(snapshot, caffe_pb2.NetParameter, ".caffemodel", "name another one with --snapshot")
    stored = {layer.name: list(layer.blobs) for layer in (*weights.layer, *weights.layers) if layer.blobs}
    another = f"it is a snapshot of another net than {name!r}: name the right one with --snapshot"
    # nin1 and nin2 differ in dropout alone, so only the name distinguishes their snapshots.
    if weights.name and name and weights.name != name:
        raise UserError(f"{snapshot}: holds the net {weights.name!r}; {another}")
    for layer, blobs in net.params.items():
        if layer not in stored:
            raise UserError(f"{snapshot}: no weights for layer {layer}; {another}")
        here, there = [blob.data.shape for blob in blobs], [_shape(blob) for blob in stored[layer]]
        if [_legacy(shape) for shape in here] != [_legacy(shape) for shape in there]:
            raise UserError(f"{snapshot}: layer {layer} has weights {there}, the net {here}; {another}")


def _shape(blob) -> tuple[int, ...]:
    return tuple(blob.shape.dim) or (blob.num, blob.channels, blob.height, blob.width)


def _legacy(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape as the four numbers of old files, so that old and new compare as they do in Caffe."""
    return (1,) * (4 - len(shape)) + tuple(shape)
