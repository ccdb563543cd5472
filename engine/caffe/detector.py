"""Detector: scores of image windows with a deploy net, as in R-CNN (pycaffe's caffe.Detector)."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from caffe import io
from caffe._error import CaffeError, NetError
from caffe._net.preprocessed_net import PreprocessedNet


class Detector(PreprocessedNet):
    """A deploy net that scores windows, each warped to the net's input.

    A window is (ymin, xmin, ymax, xmax) in pixels.

    Args:
        model_file: the deploy prototxt.
        pretrained_file: the net's .caffemodel.
        mean, input_scale, raw_scale, channel_swap: see caffe.io.Transformer.
        context_pad: number of pixels at each side of the net's input that show the window's surroundings. The
            mean fills the part outside the image.
    """

    def __init__(
        self,
        model_file: str | Path,
        pretrained_file: str | Path,
        mean: np.ndarray | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
        context_pad: int | None = None,
    ):
        super().__init__(model_file, pretrained_file, mean, input_scale, raw_scale, channel_swap)
        self.configure_crop(context_pad)

    def configure_crop(self, context_pad: int | None) -> None:
        """Set context_pad, and the mean image that fills a window's part outside the image.

        Raises:
            NetError: the padding leaves nothing of the net's input.
        """
        name = self.inputs[0]
        from_blob = np.argsort(self.transformer.transpose[name])
        self.crop_dims = np.array(self.blobs[name].shape[1:])[from_blob]
        self.context_pad = context_pad
        if not context_pad:
            return
        if 2 * context_pad >= min(self.crop_dims[:2]):
            raise NetError(
                f"context_pad {context_pad} leaves nothing of an input of {tuple(self.crop_dims[:2].tolist())}."
            )
        self.crop_mean = np.zeros(self.crop_dims, np.float32)
        if name in self.transformer.mean:
            # Undo the transformer's axes, channels and range.
            mean = self.transformer.mean[name].transpose(from_blob)
            if name in self.transformer.channel_swap:
                mean = mean[:, :, np.argsort(self.transformer.channel_swap[name])]
            self.crop_mean += mean / self.transformer.raw_scale.get(name, 1)

    def detect_windows(self, images_windows: Iterable[tuple[str, Sequence[Sequence[int]]]]) -> list[dict[str, Any]]:
        """Score windows of images.

        Args:
            images_windows: an image file and its windows, for each image.

        Returns:
            A dict for each window: its ``window``, its ``prediction`` (the net's first output) and ``filename``.

        Raises:
            NetError: there is no window, or one lies outside its image.
        """
        windows = [(filename, window) for filename, of_image in images_windows for window in of_image]
        if not windows:
            raise NetError("There is no window to score.")
        crops, read = [], None
        for filename, window in windows:
            if filename != read:
                image, read = io.load_image(filename), filename
            crops.append(self.crop(image, window))
        return [
            {"window": window, "prediction": prediction, "filename": filename}
            for (filename, window), prediction in zip(windows, self._outputs_for(crops), strict=True)
        ]

    def detect_selective_search(self, image_fnames: Sequence[str]) -> list[dict[str, Any]]:
        """Score the windows that selective search proposes; see detect_windows.

        Raises:
            CaffeError: selective_search_ijcv_with_python, a separate MATLAB program, is not installed.
        """
        try:
            import selective_search_ijcv_with_python as selective_search
        except ImportError:
            raise CaffeError(
                "detect_selective_search needs selective_search_ijcv_with_python and MATLAB, which are not part of "
                "Caffe; give windows of your own to detect_windows."
            ) from None
        filenames = [os.path.abspath(name) for name in image_fnames]
        windows = selective_search.get_windows(filenames, cmd="selective_search_rcnn")
        return self.detect_windows(zip(filenames, windows, strict=True))

    def crop(self, im: np.ndarray, window: Sequence[int]) -> np.ndarray:
        """Cut a window out of an image (height, width, channels), with its context if there is a context_pad.

        Returns:
            The window itself, or with context an image of the net's input size.

        Raises:
            NetError: no part of the window lies in the image.
        """
        window = np.asarray(window, int)
        if not self.context_pad:
            return self._cut(im, window, window)
        size = self.crop_dims[:2]
        half = (window[2:] - window[:2] + 1) / 2
        wider = size[1] / (size[1] - 2 * self.context_pad) * half
        centre = window[:2] + half
        box = np.round([*(centre - wider), *(centre + wider)]).astype(int)
        inside = np.clip(box, 0, [*im.shape[:2]] * 2)
        # Windows include their last pixel, so a length is one more than the difference.
        zoom = size[1] / (box[2:] - box[:2] + 1)
        top, left = offset = np.round(np.maximum(0, -box[:2]) * zoom).astype(int)
        fitted = np.round((inside[2:] - inside[:2] + 1) * zoom).astype(int)
        height, width = fitted = np.maximum(np.minimum(fitted, size - offset), 0)
        crop = self.crop_mean.copy()
        crop[top : top + height, left : left + width] = io.resize_image(self._cut(im, inside, window), fitted)
        return crop

    @staticmethod
    def _cut(im: np.ndarray, box: np.ndarray, window: np.ndarray) -> np.ndarray:
        part = im[box[0] : box[2], box[1] : box[3]]
        if not part.size or min(box) < 0:
            raise NetError(f"The window {tuple(window.tolist())} does not lie in an image of {im.shape[:2]}.")
        return part
