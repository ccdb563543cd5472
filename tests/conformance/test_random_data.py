"""Data layers that draw at random: another order than real Caffe's, but the same records."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from .engines import OURS, REAL
from .training import HERE

LAYER = 'layer { name: "d" type: "%s" top: "data" top: "label" %s }\n'
IMAGES = 'image_data_param { source: "files/images.txt" batch_size: 5 shuffle: true } '
# type, fields, batches, how many different records there are
RANDOM = {
    "images shuffled": ("ImageData", IMAGES, 4, 5),
    "images mirrored": ("ImageData", IMAGES + "transform_param { mirror: true }", 16, 10),
    # 9 x 12 images: 2 x 2 places.
    "images cropped": (
        "ImageData",
        IMAGES.replace("}", "new_height: 9 new_width: 9 }") + "transform_param { crop_size: 8 scale: 0.5 }",
        60,
        20,
    ),
    "windows mirrored": (
        "WindowData",
        'transform_param { crop_size: 11 mirror: true mean_file: "data/test_mean.binaryproto" } '
        'window_data_param { source: "files/windows2.txt" batch_size: 4 fg_fraction: 0.5 context_pad: 3 }',
        12,
        4,
    ),
    "windows chosen": (
        "WindowData",
        "transform_param { crop_size: 6 } "
        'window_data_param { source: "files/windows1.txt" batch_size: 4 fg_fraction: 0.25 crop_mode: "square" }',
        20,
        4,
    ),
}


@pytest.mark.parametrize("name", RANDOM)
def test_the_same_records(name: str, real_caffe: None, work: Path) -> None:
    type_, fields, batches, count = RANDOM[name]
    (work / "random.prototxt").write_text(LAYER % (type_, fields))
    records = []
    for engine in (OURS, REAL):
        engine.python(HERE / "random_data.py", ["random.prototxt", str(batches), "random.npz"], work)
        with np.load(work / "random.npz") as file:
            rows = zip(file["data"], file["label"].ravel(), strict=True)
            records.append({(float(label), row.tobytes()) for row, label in rows})
    assert records[0] == records[1]
    assert len(records[0]) == count
