"""Classifier: class scores of images with a deploy net (pycaffe's caffe.Classifier)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from caffe import io
from caffe._error import NetError
from caffe._net.preprocessed_net import PreprocessedNet


class Classifier(PreprocessedNet):
    """A deploy net that classifies images of any size.

    Args:
        model_file: the deploy prototxt.
        pretrained_file: the net's .caffemodel.
        image_dims: (height, width) of the resized images, before the crop to the net's input. The default
            is that input's size.
        mean, input_scale, raw_scale, channel_swap: see caffe.io.Transformer.
    """

    def __init__(
        self,
        model_file: str | Path,
        pretrained_file: str | Path,
        image_dims: Sequence[int] | None = None,
        mean: np.ndarray | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
    ):
        super().__init__(model_file, pretrained_file, mean, input_scale, raw_scale, channel_swap)
        self.crop_dims = np.array(self.blobs[self.inputs[0]].shape[2:])
        self.image_dims = self.crop_dims if image_dims is None or not len(image_dims) else image_dims

    def predict(self, inputs: Sequence[np.ndarray], oversample: bool = True) -> np.ndarray:
        """Return the class scores of images.

        Args:
            inputs: images (height, width, channels), as caffe.io.load_image returns them.
            oversample: True averages over ten crops (corners and centre, and mirrored). False uses the centre
                alone.

        Returns:
            (number of images, classes), the net's first output.

        Raises:
            NetError: there is no image, or image_dims are smaller than the net's input.
        """
        if not len(inputs):
            raise NetError("There is no image to classify.")
        if any(self.crop_dims > np.array(self.image_dims)):
            raise NetError(
                f"image_dims {tuple(self.image_dims)} are smaller than the net's input {tuple(self.crop_dims.tolist())}."
            )
        images = [io.resize_image(image, self.image_dims) for image in inputs]
        if oversample:
            scores = self._outputs_for(io.oversample(images, self.crop_dims))
            return scores.reshape(len(images), 10, -1).mean(1)
        top, left = ((np.array(self.image_dims) - self.crop_dims) / 2).astype(int)
        height, width = self.crop_dims
        return self._outputs_for([image[top : top + height, left : left + width] for image in images])
