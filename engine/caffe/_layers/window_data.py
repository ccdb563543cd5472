"""WindowData (Caffe's window_data_layer.cpp): windows of images for R-CNN."""

import math
import os
import re
from dataclasses import dataclass

import numpy as np
import torch

from caffe._data.image import decode_image, resize
from caffe._data.image_list import parse_int32
from caffe._data.transformer import DataTransformer
from caffe._device import device, random_numbers
from caffe._error import DataError
from caffe._files.read_file import IMAGE, MESSAGE, read_file
from caffe._layers.base import Layer, register
from caffe._log import logger


@dataclass(frozen=True)
class Window:
    """A rectangle of an image, including its last row and column, and its class."""

    image: str
    label: int
    x1: int
    y1: int
    x2: int
    y2: int


class _Words:
    """The words of a window file, each with its line for messages."""

    def __init__(self, content: bytes, where: str):
        self._words = ((word, number) for number, line in enumerate(content.split(b"\n"), 1) for word in line.split())
        self._where = where
        self.line = 1

    def error(self, message: str) -> DataError:
        """Return a DataError that names the file and the line of the last word."""
        return DataError(f"{self._where}, line {self.line}: {message}.")

    def next(self, what: str | None) -> bytes | None:
        """The next word. At the end this raises an error, or returns None if ``what`` is None."""
        word, self.line = next(self._words, (None, self.line))
        if word is None and what is not None:
            raise self.error(f"it is cut: {what} is missing")
        return word

    def number(self, what: str) -> int:
        """The next word as a whole number of 32 bits."""
        word = self.next(what)
        if (value := parse_int32(word)) is None:
            raise self.error(f"{what} is no whole number of 32 bits: '{os.fsdecode(word)[:40]}'")
        return value

    def share(self, what: str) -> np.float32:
        """The next word as a number."""
        word = self.next(what)
        if not re.fullmatch(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", word):
            raise self.error(f"{what} is no number: '{os.fsdecode(word)[:40]}'")
        return np.float32(word)


@dataclass
class WindowFile:
    """The windows of a file, split by their overlap with an object into foreground and background."""

    foreground: list[Window]
    background: list[Window]
    images: list[str]

    @classmethod
    def read(cls, param) -> "WindowFile":
        """Read ``source``, with a head and the lines of its windows for each image.

        The head is ``# index path channels height width count``. Each window has a line
        ``class overlap x1 y1 x2 y2``. Windows below bg_threshold become class 0. Those between the thresholds
        are left out.

        Raises:
            DataError: the file is missing, empty or no window file; the message names the line.
        """
        where = f"Window file {param.source}"
        content = read_file(param.source, MESSAGE, DataError, "Could not open the window file")
        words = _Words(content, where)
        found, windows = cls([], [], []), []
        while (word := words.next(None)) is not None:
            index = words.number("an image's index")
            path = param.root_folder + os.fsdecode(words.next("an image's path"))
            channels = words.number("the channels")
            if word != b"#" or channels != 3:
                raise words.error(f"image {index} must begin with # and have 3 channels")
            words.number("the height"), words.number("the width")
            found.images.append(path)
            for _ in range(words.number("the number of windows")):
                label, overlap = words.number("a window's class"), words.share("a window's overlap")
                corners = [words.number(name) for name in ("x1", "y1", "x2", "y2")]
                windows.append((words.line, index, label, overlap, corners))
        for line, index, label, overlap, corners in windows:
            if not 0 <= index < len(found.images):
                raise DataError(
                    f"{where}, line {line}: image {index} is not one of its {len(found.images)}; they count from 0."
                )
            if overlap >= param.fg_threshold:
                if label <= 0:
                    raise DataError(
                        f"{where}, line {line}: a foreground window has class {label}; classes count from 1."
                    )
                found.foreground.append(Window(found.images[index], label, *corners))
            elif overlap < param.bg_threshold:
                found.background.append(Window(found.images[index], 0, *corners))
        if not (found.foreground and found.background):
            raise DataError(
                f"{where} needs foreground and background windows; it has {len(found.foreground)} and "
                f"{len(found.background)}."
            )
        return found


@register("WindowData")
class WindowData(Layer):
    """Batches of random windows, first background, then a share fg_fraction of foreground, warped to crop_size.

    With context_pad a window grows so that this many pixels around it are context. With crop_mode "square"
    it grows to a square. Pixels outside the image stay 0. The layer uses transform_param's crop_size, mirror
    and mean, and window_data_param's scale. Tops: data (batch_size, 3, crop_size, crop_size) and labels.
    """

    bottoms = (0, 0)
    tops = (2, 2)

    def setup(self, bottom):
        param, self.crop = self.param.window_data_param, self.param.transform_param.crop_size
        if param.batch_size < 1 or self.crop < 1:
            raise self.error("window_data_param's batch_size and transform_param's crop_size must be 1 or more")
        if self.crop <= 2 * param.context_pad:
            raise self.error(f"context_pad {param.context_pad} leaves nothing of crop_size {self.crop}")
        self.windows = WindowFile.read(param)
        self.foreground = int(np.float32(param.batch_size) * np.float32(param.fg_fraction))
        if not 0 <= self.foreground <= param.batch_size:
            raise self.error(f"fg_fraction must be from 0 to 1, not {param.fg_fraction:g}")
        self._random = random_numbers.spawn()
        self._files: dict[str, bytes] = {}
        if param.cache_images:
            self._files = {path: self._content(path) for path in self.windows.images}
        self._mean = self._cut_mean()
        counts = len(self.windows.foreground), len(self.windows.background)
        logger.info("Number of images: %d; windows: %d foreground, %d background", len(self.windows.images), *counts)

    def _cut_mean(self) -> np.ndarray:
        """The middle of the mean in a crop's size, or one value per channel: (3 or 1, rows, columns)."""
        mean = DataTransformer(self.param.transform_param, self.training).mean
        if mean is None:
            return np.zeros((1, 1, 1), np.float32)
        if not self.param.transform_param.HasField("mean_file"):
            if len(mean) not in (1, 3):
                raise self.error(f"specify either 1 mean_value or as many as channels, 3, not {len(mean)}")
            return mean
        offset = (mean.shape[2] - self.crop) // 2
        cut = mean[:, offset : offset + self.crop, offset : offset + self.crop] if offset >= 0 else mean
        if cut.shape != (3, self.crop, self.crop):
            raise self.error(f"the mean of size {mean.shape} does not cover a crop of {self.crop}")
        return cut

    def _content(self, path: str) -> bytes:
        source = self.param.window_data_param.source
        return read_file(path, IMAGE, DataError, f"Window file {source}: Could not open or find file")

    def top_shapes(self, bottom):
        batch = self.param.window_data_param.batch_size
        return [(batch, 3, self.crop, self.crop), (batch,)]

    def forward(self, bottom, weights):
        batch = self.param.window_data_param.batch_size
        data, labels = np.zeros((batch, 3, self.crop, self.crop), np.float32), np.empty(batch, np.float32)
        for item in range(batch):
            inside = item >= batch - self.foreground
            windows = self.windows.foreground if inside else self.windows.background
            window = windows[self._random.integers(len(windows))]
            mirror = bool(self.param.transform_param.mirror and self._random.integers(2))
            labels[item] = window.label
            self._fill(data[item], window, mirror)
        return [torch.from_numpy(top).to(device.current()) for top in (data, labels)]

    def _fill(self, data: np.ndarray, window: Window, mirror: bool) -> None:
        content = self._files.get(window.image) or self._content(window.image)
        image = decode_image(content, window.image)
        (x1, y1, x2, y2), (top, left, right), (height, width) = self._place(window, image.shape)
        rows, columns = image.shape[:2]
        if not (0 <= x1 <= x2 < columns and 0 <= y1 <= y2 < rows and height > 0 and width > 0):
            source = self.param.window_data_param.source
            raise DataError(f"Window file {source}: {window} does not lie in the image of {columns} x {rows}.")
        left = right if mirror else left
        # Rounding may make the window a pixel larger than its space.
        height, width = min(height, self.crop - top), min(width, self.crop - left)
        pixels = resize(image[y1 : y2 + 1, x1 : x2 + 1], height, width).transpose(2, 0, 1).astype(np.float32)
        if mirror:
            pixels = pixels[:, :, ::-1]
        place = (slice(None), slice(top, top + height), slice(left, left + width))
        mean = self._mean if self._mean.shape[1:] == (1, 1) else self._mean[place]
        data[place] = (pixels - mean) * np.float32(self.param.window_data_param.scale)

    def _place(self, window: Window, shape: tuple[int, ...]) -> tuple[tuple, tuple, tuple]:
        """Find a window's rectangle in the image and its position in the crop.

        Returns:
            The image's (x1, y1, x2, y2). Then (above, left, right), the crop's pixels that stay 0. Last the
            (height, width) in the crop.
        """
        param, crop = self.param.window_data_param, np.float32(self.crop)
        x1, y1, x2, y2 = window.x1, window.y1, window.x2, window.y2
        square = param.crop_mode == "square"
        if not (param.context_pad or square):
            return (x1, y1, x2, y2), (0, 0, 0), (self.crop, self.crop)
        # Compute in float32 as Caffe does, so that halves round alike.
        scale = crop / np.float32(self.crop - 2 * param.context_pad)
        half = [np.float32((y2 - y1 + 1) / 2), np.float32((x2 - x1 + 1) / 2)]
        centre = [np.float32(y1) + half[0], np.float32(x1) + half[1]]
        if square:
            half = [max(half)] * 2
        placed = []
        for middle, reach, length in zip(centre, half, shape, strict=False):
            first, last = _round(middle - reach * scale), _round(middle + reach * scale)
            before, after = max(0, -first), max(0, last - length + 1)
            factor = crop / np.float32(last - first + 1)
            first, last = first + before, last - after
            sizes = [_round(np.float32(pixels) * factor) for pixels in (before, last - first + 1, after)]
            placed.append((first, last, *sizes))
        (y1, y2, above, height, _), (x1, x2, left, width, right) = placed
        return (x1, y1, x2, y2), (above, left, right), (height, width)

    def get_state(self):
        return {"random": random_numbers.get_state(self._random)}

    def set_state(self, state):
        random_numbers.set_state(self._random, state["random"])


def _round(value: np.float32) -> int:
    """Round to the nearest whole number, halves away from zero, as C does."""
    return int(math.copysign(math.floor(abs(float(value)) + 0.5), value))
