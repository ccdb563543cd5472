"""A small set in the official layout for tests: 200 classes, 3 train images each, 230 val, 17 test images."""

import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

WNIDS = [f"n{10_000_000 + 7 * i:08d}" for i in range(200)]
TRAIN, VAL, TEST = 3, 230, 17
GRAY = "train/n10000007/images/n10000007_2.JPEG"


def jpeg(seed: int, size: tuple[int, int] = (64, 64), mode: str = "RGB") -> bytes:
    """A JPEG of soft random colours."""
    channels = len(mode)  # L, RGB and CMYK are named by their channels
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 7, channels), dtype=np.uint8)
    image = Image.frombytes(mode, (7, 5), coarse.tobytes()).resize(size, Image.BICUBIC)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90)
    return file.getvalue()


def files() -> dict[str, bytes]:
    """Every file of the set by its path below the top folder; the classes are listed in no order."""
    listed = WNIDS[120:] + WNIDS[:120]
    made = {
        "wnids.txt": "".join(f"{wnid}\n" for wnid in listed).encode(),
        "words.txt": "".join(
            f"{wnid}\tthing {wnid[-3:]}, \u00e9l\u00e9ment\n" for wnid in [*WNIDS, "n99999999"]
        ).encode(),
    }
    for index, wnid in enumerate(WNIDS):
        made[f"train/{wnid}/{wnid}_boxes.txt"] = b""
        for number in range(TRAIN):
            made[f"train/{wnid}/images/{wnid}_{number}.JPEG"] = jpeg(TRAIN * index + number)
    made[GRAY] = jpeg(5, mode="L")
    lines = []
    for number in reversed(range(VAL)):
        made[f"val/images/val_{number}.JPEG"] = jpeg(1000 + number)
        lines.append(f"val_{number}.JPEG\t{WNIDS[number * 37 % 200]}\t0\t1\t62\t63\n")
    made["val/val_annotations.txt"] = "".join(lines).encode()
    for number in range(TEST):
        made[f"test/images/test_{number}.JPEG"] = jpeg(2000 + number)
    return made


def write_folder(root: Path, made: dict[str, bytes]) -> Path:
    """Write the files under ``root``."""
    for name, data in made.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def write_zip(path: Path, made: dict[str, bytes], top: str = "tiny-imagenet-200/") -> Path:
    """Write the files into a zip as the official one is: images stored, text deflated."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in made.items():
            stored = zipfile.ZIP_STORED if name.endswith(".JPEG") else zipfile.ZIP_DEFLATED
            archive.writestr(top + name, data, stored)
    return path
