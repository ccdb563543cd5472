"""The ImageData layer: its images, their order and shape, and the refused configurations."""

import json

import numpy as np
import pytest
from caffe import TEST, TRAIN, CaffeError
from PIL import Image

from tests.engine.build import make_layer


@pytest.fixture
def folder(tmp_path, rng):
    """Seven gray images of 6 x 5, one level each: 10, 20, ... Their labels are 0 to 6."""
    for i in range(7):
        Image.fromarray(np.full((6, 5), 10 * i + 10, np.uint8)).save(tmp_path / f"{i}.png")
    (tmp_path / "list.txt").write_text("".join(f"{i}.png {i}\n" for i in range(7)))
    return tmp_path


def image_data(folder, batch, fields="", more="", phase=TEST):
    text = f'image_data_param {{ source: "{folder}/list.txt" root_folder: "{folder}/" batch_size: {batch} {fields} }}'
    return make_layer(f'type: "ImageData" {text} {more}', tops=2, phase=phase)


def labels_of(layer, batches) -> list[int]:
    labels = []
    for _ in range(batches):
        data, label = (top.numpy() for top in layer.forward([], []))
        assert [data.shape, label.shape] == layer.top_shapes([]) and data.dtype == np.float32
        assert (data == 10 * label[:, None, None, None] + 10).all()
        labels += label.astype(int).tolist()
    return labels


def test_order_and_round(folder):
    layer = image_data(folder, 3)
    assert layer.top_shapes([]) == [(3, 3, 6, 5), (3,)]
    assert labels_of(layer, 5) == [i % 7 for i in range(15)]
    assert image_data(folder, 3, "is_color: false").top_shapes([])[0] == (3, 1, 6, 5)
    assert image_data(folder, 3, "new_height: 9 new_width: 4").top_shapes([])[0] == (3, 3, 9, 4)


@pytest.mark.parametrize(("fields", "warned"), [("", 1), ("shuffle: true", 0), ("rand_skip: 2", 0)])
def test_several_solvers_with_the_same_images_get_a_message(monkeypatch, folder, log_lines, fields, warned):
    monkeypatch.setattr("caffe._workers.multi_solver._count", 2)
    image_data(folder, 2, fields, phase=TRAIN)
    assert len([line for line in log_lines if "gives all workers the same images" in line]) == warned


def test_shuffle(folder):
    layer = image_data(folder, 7, "shuffle: true")
    rounds = [tuple(labels_of(layer, 1)) for _ in range(10)]
    assert all(sorted(labels) == list(range(7)) for labels in rounds) and len(set(rounds)) == 10


def test_rand_skip(folder):
    firsts = {labels_of(image_data(folder, 1, "rand_skip: 3"), 1)[0] for _ in range(40)}
    assert firsts == {0, 1, 2}
    layer = image_data(folder, 1, "rand_skip: 3")
    first = labels_of(layer, 1)[0]
    assert labels_of(layer, 8) == [(first + 1 + i) % 7 for i in range(8)]


@pytest.mark.parametrize("fields", ["", "shuffle: true", "shuffle: true rand_skip: 4"])
def test_state_resumes_exactly(folder, fields):
    more = "transform_param { mirror: true crop_size: 4 }"
    layer = image_data(folder, 3, fields, more, TRAIN)
    labels_of(layer, 4)
    state = json.loads(json.dumps(layer.get_state()))
    expected = [layer.forward([], []) for _ in range(6)]
    other = image_data(folder, 3, fields, more, TRAIN)
    labels_of(other, 1)
    other.set_state(state)
    for want in expected:
        for a, b in zip(other.forward([], []), want, strict=True):
            np.testing.assert_array_equal(a, b)


def test_random_crops_of_images_in_color(folder, rng):
    """Each batch of one crop a place, from images whose memory runs through the colors first."""
    pixels = rng.integers(0, 256, (6, 5, 3), np.uint8)
    for i in range(7):
        Image.fromarray(pixels).save(folder / f"{i}.png")
    data = image_data(folder, 40, more="transform_param { crop_size: 4 mirror: true }", phase=TRAIN).forward([], [])[0]
    places = [pixels[y : y + 4, x : x + 4, ::-1].transpose(2, 0, 1) for y in range(3) for x in range(2)]
    kinds = {p.astype(np.float32).tobytes() for place in places for p in (place, place[:, :, ::-1])}
    assert {x.numpy().tobytes() for x in data} <= kinds
    assert len({x.numpy().tobytes() for x in data}) > 8


def test_crop_makes_sizes_one(folder, rng):
    pixels = rng.integers(0, 256, (8, 9, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "1.png")
    data = image_data(folder, 2, more="transform_param { crop_size: 4 scale: 2 }").forward([], [])[0].numpy()
    assert (data[0] == 20).all()
    np.testing.assert_array_equal(data[1], 2.0 * pixels[2:6, 2:6, ::-1].transpose(2, 0, 1))


class TestRefused:
    def refuse(self, message, *args, **options):
        with pytest.raises(CaffeError, match=message):
            image_data(*args, **options).forward([], [])

    def test_fields(self, folder):
        self.refuse("new_height and new_width", folder, 1, "new_height: 3")
        self.refuse("batch_size", folder, 0)
        with pytest.raises(CaffeError, match="not enough points to skip"):
            for _ in range(50):
                image_data(folder, 1, "rand_skip: 99")

    def test_list(self, folder):
        (folder / "list.txt").write_text("")
        self.refuse("is empty", folder, 1)
        (folder / "list.txt").unlink()
        self.refuse("Could not open the list of images .*list.txt: No such file", folder, 1)

    def test_image_gone(self, folder):
        (folder / "2.png").unlink()
        self.refuse("list.txt, line 3: Could not open or find file .*2.png", folder, 3)

    def test_sizes_differ(self, folder):
        Image.fromarray(np.zeros((6, 4), np.uint8)).save(folder / "1.png")
        self.refuse("'subject'.*differ in size", folder, 2)
        self.refuse("smaller than crop_size 5", folder, 2, more="transform_param { crop_size: 5 }")

    def test_fewer_images_than_before(self, folder):
        layer = image_data(folder, 1)
        with pytest.raises(CaffeError, match="fewer images than before"):
            layer.set_state(layer.get_state() | {"next": 7})
