"""The offline sample set: the official layout, real class names, a seed, and classes that a net can separate."""

import io

import numpy as np
import pytest
from PIL import Image

from data_prep import drawing, sample
from data_prep.classes import official_classes
from data_prep.tiny_imagenet import TinyImageNet


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("sample") / "set"
    assert (
        sample.main(["--out", str(out), "--images-per-class", "3", "--val-per-class", "2", "--test-images", "23"]) == 0
    )
    return out


def test_layout_and_classes(made):
    dataset = TinyImageNet.open(made)
    assert (len(dataset.train), len(dataset.val), len(dataset.test)) == (600, 400, 23)
    assert len(official_classes()) == 200 and dataset.wnids == tuple(sorted(official_classes()))
    names = [dataset.words[wnid] for wnid in dataset.wnids]
    assert len(set(names)) == 200 and all(name.startswith("drawing: ") and "," not in name for name in names)
    assert names[:2] == ["drawing: red disc with pale orange", "drawing: red triangle with pale orange"]
    assert names[104] == "drawing: cyan star with pale azure" and names[119] == "drawing: cyan heart with dark red"
    assert np.bincount([image.label for image in dataset.val]).tolist() == [2] * 200
    labels = [image.label for image in dataset.val]
    assert labels != sorted(labels)


def test_images_are_jpeg_64_and_a_few_gray(made):
    dataset = TinyImageNet.open(made)
    modes = []
    for image in dataset.train + dataset.val + dataset.test:
        picture = Image.open(io.BytesIO(dataset.reader.read(image.entry)))
        assert picture.format == "JPEG" and picture.size == (64, 64)
        modes.append(picture.mode)
    assert set(modes) == {"RGB", "L"} and 1 <= modes.count("L") < 40


def test_same_seed_same_files_and_nothing_made_twice(made, tmp_path):
    first, again, other = tmp_path / "a", made, tmp_path / "b"
    assert sample.make_sample(first, 3, 2, 23, seed=0)
    assert not sample.make_sample(first, 3, 2, 23, seed=0)
    assert sample.make_sample(other, 1, 1, 23, seed=1)
    assert sample.make_sample(other, 3, 2, 23, seed=1)
    for name in (
        "train/n01443537/images/n01443537_2.JPEG",
        "val/val_annotations.txt",
        "test/images/test_22.JPEG",
    ):
        assert (first / name).read_bytes() == (again / name).read_bytes() != (other / name).read_bytes()


def test_every_class_has_its_own_look():
    assert len({drawing.look_of(index) for index in range(200)}) == 200


def test_boxes_hold_the_drawing(made):
    lines = (made / "train/n01443537/n01443537_boxes.txt").read_text().splitlines()
    assert [line.split("\t")[0] for line in lines] == [f"n01443537_{number}.JPEG" for number in range(3)]
    for line in lines:
        left, top, right, bottom = map(int, line.split("\t")[1:])
        assert 0 <= left < right <= 63 and 0 <= top < bottom <= 63


def test_classes_can_be_separated():
    """The colours of the middle alone name a class far better than chance (0.5 %), and far from always."""
    looks = range(0, 200, 4)

    def colours(index: int, count: int, seed: int) -> np.ndarray:
        images, _ = drawing.draw(drawing.look_of(index), count, np.random.default_rng([seed, index]))
        middle = images[:, 20:44, 20:44].reshape(count, -1, 3) // 64
        codes = middle @ np.array([16, 4, 1], dtype=np.uint8)
        return np.stack([np.bincount(code, minlength=64) for code in codes]) ** 0.5

    train = np.stack([colours(index, 12, 0).mean(axis=0) for index in looks])
    found = np.concatenate([((colours(i, 6, 1)[:, None] - train) ** 2).sum(axis=2).argmin(axis=1) for i in looks])
    accuracy = np.mean(found == np.repeat(np.arange(len(looks)), 6))
    assert 0.15 < accuracy < 0.9
