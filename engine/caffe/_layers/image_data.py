"""ImageData (Caffe's image_data_layer.cpp)."""

import hashlib

import numpy as np
import torch

from caffe._data.image import read_image
from caffe._data.image_list import read_image_list
from caffe._data.transformer import DataTransformer
from caffe._device import device as _device
from caffe._device import random_numbers
from caffe._error import DataError
from caffe._layers.base import Layer, register
from caffe._log import logger
from caffe._workers import multi_solver


def hash_of(images: list[tuple[str, int]]) -> str:
    """A hash that identifies a list of images."""
    return hashlib.sha256(repr(images).encode(errors="surrogateescape")).hexdigest()[:12]


@register("ImageData")
class ImageData(Layer):
    """Batches of image files, resized and transformed, in the order of a list or in a random one.

    Images of a batch may differ in size only if transform_param crops them to one size. Tops: data
    (batch_size, channels, height, width), BGR or gray, and labels (batch_size). See _data/image.py for the
    values of resized images.
    """

    bottoms = (0, 0)
    tops = (2, 2)

    def setup(self, bottom):
        param = self.param.image_data_param
        if bool(param.new_height) != bool(param.new_width):
            raise self.error("new_height and new_width must be set together")
        if param.batch_size < 1:
            raise self.error("batch_size must be 1 or more")
        self.size = (param.new_height, param.new_width) if param.new_height else None
        logger.info("Opening file %s", param.source)
        self.images = read_image_list(param.source, "Could not open the list of images")
        if not self.images:
            raise DataError(f"The list of images {param.source} is empty.")
        self.transformer = DataTransformer(self.param.transform_param, self.training)
        self._random = random_numbers.spawn()
        if multi_solver.share(self.training).count > 1 and not (param.shuffle or param.rand_skip):
            logger.warning(
                "Layer '%s' gives all workers the same images: shuffle or rand_skip tells them apart.", self.name
            )
        self._start_round()
        logger.info("A total of %d images.", len(self.images))
        if param.rand_skip:
            self._next = int(random_numbers.host().integers(param.rand_skip))
            logger.info("Skipping first %d data points.", self._next)
            if self._next >= len(self.images):
                raise DataError(f"{param.source}: not enough points to skip: {self._next} of {len(self.images)}.")
        self.record_shape = self._read()[0].shape

    def _start_round(self) -> None:
        self._next = 0
        # A snapshot keeps the state before the draw instead of the whole order.
        self._before_order = random_numbers.get_state(self._random)
        count = len(self.images)
        shuffle = self.param.image_data_param.shuffle
        self._order = self._random.permutation(count) if shuffle else np.arange(count)

    def _read(self) -> tuple[np.ndarray, int]:
        """The next image, (channels, height, width) uint8, and its label; the position stays."""
        param = self.param.image_data_param
        path, label = self.images[self._order[self._next]]
        try:
            image = read_image(param.root_folder + path, param.is_color, self.size).transpose(2, 0, 1)
        except DataError as error:
            raise DataError(f"{param.source}, line {self._order[self._next] + 1}: {error}") from None
        self.transformer.check(image.shape, param.root_folder + path)
        return np.ascontiguousarray(image), label

    def top_shapes(self, bottom):
        batch = self.param.image_data_param.batch_size
        return [(batch, *self.transformer.shape(self.record_shape)), (batch,)]

    def forward(self, bottom, weights):
        images, labels = [], []
        for _ in range(self.param.image_data_param.batch_size):
            image, label = self._read()
            images.append(image)
            labels.append(label)
            self._next += 1
            if self._next == len(self.images):
                self._start_round()
        self.record_shape = images[0].shape
        device = _device.current()
        return [
            self.transformer.batch(images, f"Layer '{self.name}'").to(device),
            torch.tensor(labels, dtype=torch.float32, device=device),
        ]

    def identify_data(self):
        return f"{self.param.image_data_param.source} with {len(self.images)} images ({hash_of(self.images)})"

    def get_state(self):
        return {
            "next": self._next,
            "order": self._before_order,
            "random": random_numbers.get_state(self.transformer.random),
        }

    def set_state(self, state):
        random_numbers.set_state(self._random, state["order"])
        self._start_round()
        if not 0 <= state["next"] < len(self.images):
            raise DataError(f"{self.param.image_data_param.source} has fewer images than before.")
        self._next = state["next"]
        random_numbers.set_state(self.transformer.random, state["random"])
