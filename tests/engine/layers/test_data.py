"""The Data layer: its records, their order and labels, and the refused configurations."""

import io
import json

import numpy as np
import pytest
import torch
from caffe import TEST, TRAIN, DataError, NetError
from PIL import Image

from tests.engine.build import make_layer
from tests.engine.records import datum, write_lmdb


def data_layer(source, batch, text="", phase=TEST, tops=2):
    return make_layer(f'type: "Data" data_param {{ source: "{source}" batch_size: {batch} backend: LMDB }} {text}',
                      phase=phase, tops=tops)  # fmt: skip


def batch_of(layer) -> list[np.ndarray]:
    tops = layer.forward([], [])
    assert all(top.dtype == torch.float32 for top in tops)
    assert [tuple(top.shape) for top in tops] == layer.top_shapes([])
    return [top.numpy() for top in tops]


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (5, 3, 4, 6), np.uint8)


@pytest.fixture
def source(tmp_path, images):
    """Five records; keys sort otherwise than they were written, labels are 10 to 14."""
    keys = ["3", "1", "4", "0", "2"]
    return write_lmdb(tmp_path / "lmdb", [datum(images[int(k)], 10 + int(k)) for k in keys], keys)


def test_order_of_keys_and_wrap(source, images):
    layer = data_layer(source, 3)
    seen = [batch_of(layer) for _ in range(4)]
    order = [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]
    assert np.concatenate([labels for _, labels in seen]).tolist() == [10 + i for i in order]
    np.testing.assert_array_equal(np.concatenate([data for data, _ in seen]), images[order].astype(np.float32))


def test_batch_larger_than_the_set(source, images):
    data, labels = batch_of(data_layer(source, 12))
    assert data.shape == (12, 3, 4, 6) and labels.shape == (12,)
    np.testing.assert_array_equal(data[10:], images[:2])


def test_a_crop_makes_one_batch_of_several_sizes(tmp_path, rng):
    shapes = [(3, 6, 4), (3, 5, 7), (3, 4, 4)]
    images = [rng.integers(0, 256, shape, np.uint8) for shape in shapes]
    source = write_lmdb(tmp_path / "lmdb", [datum(image, i) for i, image in enumerate(images)], list("012"))
    data, labels = batch_of(data_layer(source, 3, "transform_param { crop_size: 3 }"))
    assert labels.tolist() == [0, 1, 2]
    for image, seen in zip(images, data):
        top, left = (image.shape[1] - 3) // 2, (image.shape[2] - 3) // 2
        np.testing.assert_array_equal(seen, image[:, top : top + 3, left : left + 3])
    with pytest.raises(DataError, match=r"'subject'.*differ in size \(\(3, 4, 4\), \(3, 5, 7\), \(3, 6, 4\)\)"):
        batch_of(data_layer(source, 3))
    with pytest.raises(DataError, match="record 1: records of size \\(3, 5, 7\\) are smaller than crop_size 6"):
        batch_of(data_layer(write_lmdb(tmp_path / "b", [datum(rng.integers(0, 9, s, np.uint8), 0)
                                       for s in ((3, 8, 8), (3, 5, 7))], list("01")), 2,
                            "transform_param { crop_size: 6 }"))  # fmt: skip


def test_labels_may_be_left_out(source):
    assert len(batch_of(data_layer(source, 2, tops=1))) == 1


def test_two_layers_read_one_lmdb_apart(source):
    first, second = data_layer(source, 2), data_layer(source, 3)
    assert batch_of(first)[1].tolist() == [10, 11]
    assert batch_of(second)[1].tolist() == [10, 11, 12]
    assert batch_of(first)[1].tolist() == [12, 13]


def test_float_data(tmp_path, rng):
    image = rng.normal(size=(2, 3, 4)).astype(np.float32)
    data, labels = batch_of(data_layer(write_lmdb(tmp_path / "l", [datum(image, -1)]), 1))
    np.testing.assert_array_equal(data[0], image)
    assert labels.tolist() == [-1]


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_encoded_images_come_as_bgr(tmp_path, rng):
    rgb = rng.integers(0, 256, (5, 7, 3), np.uint8)
    data, _ = batch_of(data_layer(write_lmdb(tmp_path / "l", [datum(png(rgb))]), 1))
    np.testing.assert_array_equal(data[0], rgb[:, :, ::-1].transpose(2, 0, 1))


def test_encoded_gray(tmp_path, rng):
    gray = rng.integers(0, 256, (5, 7), np.uint8)
    source = write_lmdb(tmp_path / "l", [datum(png(gray))])
    np.testing.assert_array_equal(batch_of(data_layer(source, 1))[0][0], gray[None])
    forced = data_layer(source, 1, "transform_param { force_color: true }")
    np.testing.assert_array_equal(batch_of(forced)[0][0], np.stack([gray] * 3))


def test_force_gray(tmp_path):
    rgb = np.full((4, 6, 3), (200, 100, 50), np.uint8)
    layer = data_layer(write_lmdb(tmp_path / "l", [datum(png(rgb))]), 1, "transform_param { force_gray: true }")
    data, _ = batch_of(layer)
    assert data.shape == (1, 1, 4, 6)
    # OpenCV's weights; whole numbers, so one level of rounding.
    np.testing.assert_allclose(data, 0.299 * 200 + 0.587 * 100 + 0.114 * 50, atol=1)


def test_state_resumes_exactly(source):
    """The state is JSON; another layer put into it gives what the first gives next."""
    text = "transform_param { crop_size: 3 mirror: true }"
    layer = data_layer(source, 3, text, TRAIN)
    batch_of(layer)
    state = json.loads(json.dumps(layer.get_state()))
    expected = [batch_of(layer) for _ in range(4)]
    other = data_layer(source, 3, text, TRAIN)
    batch_of(other)
    other.set_state(state)
    for mine, theirs in zip([batch_of(other) for _ in range(4)], expected, strict=True):
        np.testing.assert_array_equal(mine[0], theirs[0])
        np.testing.assert_array_equal(mine[1], theirs[1])


def test_state_of_another_lmdb_is_refused(source, tmp_path, images):
    state = data_layer(source, 1).get_state() | {"next_key": "99"}
    with pytest.raises(DataError, match="has no record b'99'"):
        data_layer(source, 1).set_state(state)


class TestRefused:
    def test_missing(self, tmp_path):
        with pytest.raises(DataError, match="nowhere is not an LMDB"):
            data_layer(tmp_path / "nowhere", 1)

    def test_empty(self, tmp_path):
        with pytest.raises(DataError, match="is empty"):
            data_layer(write_lmdb(tmp_path / "l", []), 1)

    def test_garbage_file(self, tmp_path):
        (tmp_path / "data.mdb").write_bytes(b"no LMDB at all" * 1000)
        with pytest.raises(DataError, match="data.mdb: it does not begin as an LMDB does"):
            data_layer(tmp_path, 1)

    def test_another_size_in_a_batch(self, tmp_path):
        records = [datum(np.zeros(shape, np.uint8)) for shape in [(3, 4, 5), (3, 4, 6)]]
        layer = data_layer(write_lmdb(tmp_path / "l", records), 2)
        with pytest.raises(DataError, match=r"differ in size \(\(3, 4, 5\), \(3, 4, 6\)\)"):
            batch_of(layer)

    def test_record_that_is_no_datum(self, tmp_path):
        with pytest.raises(DataError, match="00000000.* is not a Datum"):
            data_layer(write_lmdb(tmp_path / "l", [b"\xff\xff\xff"]), 1)

    def test_too_few_values(self, tmp_path):
        short = datum(np.zeros((3, 4, 5), np.uint8))
        short.data = short.data[:-1]
        with pytest.raises(DataError, match="59 values are not an image"):
            data_layer(write_lmdb(tmp_path / "l", [short]), 1)

    @pytest.mark.parametrize("kind", ["text", "cut", "broken chunk"])
    def test_image_that_does_not_decode(self, tmp_path, kind):
        whole = png(np.arange(64 * 64 * 3, dtype=np.uint32).astype(np.uint8).reshape(64, 64, 3))
        content = {
            "text": b"not an image",
            "cut": whole[: len(whole) // 2],
            # The name of the chunk after the header (8 signature, 25 header, 4 length).
            "broken chunk": whole[:37] + b"\xff" + whole[38:],
        }[kind]
        with pytest.raises(DataError, match="record 00000000: the image cannot be decoded"):
            data_layer(write_lmdb(tmp_path / "l", [datum(content)]), 1)

    def test_leveldb_and_batch_size(self, source):
        for backend, message in {"backend: LEVELDB": "LEVELDB, which is not", "": "LEVELDB.*Caffe's default"}.items():
            with pytest.raises(NetError, match=f"{message}.*write backend: LMDB"):
                make_layer(f'type: "Data" data_param {{ source: "{source}" batch_size: 1 {backend} }}')
        with pytest.raises(NetError, match="batch_size"):
            data_layer(source, 0)
