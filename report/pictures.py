"""Images of the LMDBs as data URIs, so that the page needs no other file."""

import base64
import io
from collections.abc import Collection
from pathlib import Path

import numpy as np
from PIL import Image

from ensemble.scoring.records import Split, read_mean


def data_uris(data: Path, split: str, names: Collection[str]) -> dict[str, str]:
    """JPEG data URIs by image name; images that are not in the LMDB are left out. UserError without the LMDB."""
    if not names:
        return {}
    shape = read_mean(data / "mean.binaryproto").shape
    with Split(data / f"{split}_lmdb") as records:
        found = records.named(frozenset(names), shape)
    return {name: _data_uri(image) for name, image in found.items()}


def _data_uri(image: np.ndarray) -> str:
    """A JPEG of uint8 (3, H, W), BGR. It is a third of a PNG's size, and the images were JPEGs before."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image[::-1].transpose(1, 2, 0))).save(file, "JPEG", quality=88, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
