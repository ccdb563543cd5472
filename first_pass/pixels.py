"""An image as a few numbers: its pixels, averaged over squares to at most 16 x 16.

K-means of all 12,288 values takes sixteen times the time and memory (5 GB for the train set). It
only adds noise of single pixels. Neighbours are alike, so the squared distance of two images is nearly that of the
averaged ones. The report does not state its K-means input.
"""

from pathlib import Path

import numpy as np

from ensemble import rule
from ensemble.scoring.records import Split
from harness.errors import UserError

LARGEST_SIDE = 16
_BATCH = 1000


def read(split: Path, shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A split's averaged pixels, float32 (n, C * h * w) of 0 to 255, and its labels, int64 (n,).

    Args:
        split: the LMDB.
        shape: (C, H, W) of its images.

    Raises:
        UserError: no LMDB, a damaged one, or one without labels of the 200 classes.
    """
    height, width = averaged(shape)
    with Split(split) as records:
        count, at = len(records), 0
        pixels = np.empty((count, shape[0] * height * width), np.float32)
        labels = np.empty(count, np.int64)
        for batch in records.batches(_BATCH, shape):
            end = at + len(batch.labels)
            squares = batch.images.reshape(-1, shape[0], height, shape[1] // height, width, shape[2] // width)
            squares.mean(axis=(3, 5), dtype=np.float32, out=pixels[at:end].reshape(-1, shape[0], height, width))
            labels[at:end] = batch.labels
            at = end
    if labels.min() < 0 or labels.max() >= rule.CLASSES:
        raise UserError(f"{split}: labels from {labels.min()} to {labels.max()}, not of {rule.CLASSES} classes")
    return pixels, labels


def averaged(shape: tuple[int, int, int]) -> tuple[int, int]:
    """The largest sides (h, w) up to 16 that divide the image's."""
    return tuple(max(side for side in range(1, LARGEST_SIDE + 1) if whole % side == 0) for whole in shape[1:])
