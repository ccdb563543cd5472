"""A deploy net together with what its images must go through: what Classifier and Detector share."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from caffe import io
from caffe._error import NetError
from caffe._net.net import Net
from caffe.proto import caffe_pb2


class PreprocessedNet(Net):
    """A net in phase TEST that is given images as caffe.io.load_image reads them.

    Args:
        model_file: the deploy prototxt.
        pretrained_file: its .caffemodel.
        mean, input_scale, raw_scale, channel_swap: see caffe.io.Transformer.

    Attributes:
        transformer: the caffe.io.Transformer of the net's first input.
    """

    def __init__(
        self,
        model_file: str | Path,
        pretrained_file: str | Path,
        mean: np.ndarray | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
    ):
        super().__init__(model_file, caffe_pb2.TEST, weights=pretrained_file)
        if not self.inputs:
            raise NetError(f"{model_file} has no Input layer: a deploy prototxt is needed.")
        name = self.inputs[0]
        self.transformer = io.Transformer({name: self.blobs[name].data.shape})
        self.transformer.set_transpose(name, (2, 0, 1))
        if mean is not None:
            self.transformer.set_mean(name, mean)
        if input_scale is not None:
            self.transformer.set_input_scale(name, input_scale)
        if raw_scale is not None:
            self.transformer.set_raw_scale(name, raw_scale)
        if channel_swap is not None:
            self.transformer.set_channel_swap(name, channel_swap)

    def _outputs_for(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """The net's first output, one for each image (height, width, channels)."""
        name = self.inputs[0]
        batch = np.stack([self.transformer.preprocess(name, image) for image in images])
        return self.forward_all(**{name: batch})[self.outputs[0]]
