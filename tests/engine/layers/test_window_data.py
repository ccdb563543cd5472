"""The WindowData layer: how often each window is drawn, its place, and the refused configurations."""

import json

import numpy as np
import pytest
from caffe import TRAIN, CaffeError
from PIL import Image

from tests.engine.build import make_layer

# class, overlap, x1, y1, x2, y2 by image; those of 0.4 lie between the thresholds.
IMAGES = (
    ["1 0.9 1 2 6 7", "2 0.6 0 0 3 3", "7 0.4 2 2 5 5", "3 0.1 4 0 8 5"],
    ["5 0.6 2 2 9 9", "6 0.3 0 0 9 9", "6 0.2999 0 0 4 4"],
)


@pytest.fixture
def folder(tmp_path, rng):
    for i in range(2):
        Image.fromarray(rng.integers(1, 256, (10, 12, 3), np.uint8)).save(tmp_path / f"{i}.png")
    write(tmp_path, IMAGES)
    return tmp_path


def write(folder, images):
    parts = [f"# {i}\n{i}.png\n3\n10\n12\n{len(lines)}\n" + "\n".join(lines) for i, lines in enumerate(images)]
    (folder / "windows.txt").write_text("\n".join(parts) + "\n")


def window_data(folder, batch, fields="", transform="crop_size: 6"):
    text = f"""window_data_param {{ source: "{folder}/windows.txt" root_folder: "{folder}/" batch_size: {batch}
        fg_threshold: 0.5 bg_threshold: 0.3 {fields} }} transform_param {{ {transform} }}"""
    return make_layer(f'type: "WindowData" {text}', tops=2, phase=TRAIN)


def test_share_of_foreground_and_choice(folder):
    """Background comes first with label 0, then the foreground's classes, each equally often."""
    layer = window_data(folder, 10, "fg_fraction: 0.69")
    labels = np.array([layer.forward([], [])[1].numpy() for _ in range(100)])
    assert (labels[:, :4] == 0).all()
    counts = [(labels[:, 4:] == label).sum() for label in (1, 2, 5)]
    assert sum(counts) == 600 and min(counts) > 150
    assert layer.top_shapes([]) == [(10, 3, 6, 6), (10,)]


def test_plain_crop_mirror_mean_and_scale(folder):
    """Windows as large as the crop come as they are, or mirrored, less the mean in place, times the scale."""
    write(folder, (["1 1 1 2 6 7"], ["0 0 4 3 9 8"]))
    image = np.asarray(Image.open(folder / "0.png")).astype(np.float32)[:, :, ::-1].transpose(2, 0, 1)
    want = (image[:, 2:8, 1:7] - np.array([[[3.0]], [[5]], [[6]]])) * 0.5
    layer = window_data(
        folder,
        1,
        "fg_fraction: 1 scale: 0.5",
        "crop_size: 6 mirror: true scale: 9 mean_value: 3 mean_value: 5 mean_value: 6",
    )
    seen = [layer.forward([], [])[0].numpy()[0] for _ in range(30)]
    kinds = [[np.array_equal(data, kind) for kind in (want, want[:, :, ::-1])] for data in seen]
    assert all(sum(kind) == 1 for kind in kinds)
    assert 5 < sum(kind[1] for kind in kinds) < 25


def test_context_outside_the_image_stays_zero(folder):
    # 4 x 4 in the corner, one pixel of context at crop 6: one row above, one column left.
    write(folder, (["1 1 0 0 3 3"], ["0 0 4 3 9 8"]))
    data = window_data(folder, 1, "fg_fraction: 1 context_pad: 1").forward([], [])[0].numpy()[0]
    assert not data[:, 0].any() and not data[:, :, 0].any() and (data[:, 1:, 1:] > 0).all()
    mirrored = window_data(folder, 1, "fg_fraction: 1 context_pad: 1", "crop_size: 6 mirror: true")
    zero_columns = {
        tuple(np.flatnonzero(~mirrored.forward([], [])[0].numpy()[0].any((0, 1))).tolist()) for _ in range(20)
    }
    assert zero_columns == {(0,), (5,)}


def test_files_in_memory(folder):
    layer = window_data(folder, 4, "cache_images: true")
    for i in range(2):
        (folder / f"{i}.png").unlink()
    assert layer.forward([], [])[0].numpy().any()
    with pytest.raises(CaffeError, match="Could not open or find file .*png"):
        window_data(folder, 4).forward([], [])


def test_state_resumes_exactly(folder):
    layer, other = (window_data(folder, 5, "fg_fraction: 0.5", "crop_size: 6 mirror: true") for _ in range(2))
    layer.forward([], [])
    other.set_state(json.loads(json.dumps(layer.get_state())))
    for _ in range(5):
        for a, b in zip(layer.forward([], []), other.forward([], []), strict=True):
            np.testing.assert_array_equal(a, b)


class TestRefused:
    def refuse(self, folder, message, fields="", transform="crop_size: 6", batch=2):
        with pytest.raises(CaffeError, match=message):
            window_data(folder, batch, fields, transform).forward([], [])

    def test_fields(self, folder):
        self.refuse(folder, "must be 1 or more", transform="")
        self.refuse(folder, "must be 1 or more", batch=0)
        self.refuse(folder, "context_pad 3 leaves nothing", "context_pad: 3")
        self.refuse(folder, "fg_fraction must be from 0 to 1", "fg_fraction: 1.5")
        self.refuse(folder, "as many as channels", transform="crop_size: 6 mean_value: 1 mean_value: 2")

    @pytest.mark.parametrize(
        "change, message",
        [
            (lambda text: "", "needs foreground and background windows; it has 0 and 0"),
            (lambda text: text[:60], r"windows.txt, line 9: it is cut: y2 is missing"),
            (lambda text: text.replace("0.9", "x"), "windows.txt, line 7: a window's overlap is no number: 'x'"),
            (lambda text: text.replace("0.9", "nan"), "windows.txt, line 7: a window's overlap is no number: 'nan'"),
            (lambda text: text.replace("# 1", "1 1"), "windows.txt, line 13: image 1 must begin with #"),
            (lambda text: text.replace("\n3\n10", "\n1\n10"), "3 channels"),
            (lambda text: text.replace("# 1", "# 2"), "windows.txt, line 17: image 2 is not one of its 2"),
            (
                lambda text: text.replace("1 0.9", "0 0.9"),
                "windows.txt, line 7: a foreground window has class 0; classes count from 1",
            ),
        ],
    )
    def test_file(self, folder, change, message):
        path = folder / "windows.txt"
        path.write_text(change(path.read_text()))
        self.refuse(folder, message)

    @pytest.mark.parametrize(
        "label", ["99999999999", "2147483648", "-2147483649", "1.5", "cat", "7abc", "1_0", "9" * 5000]
    )
    @pytest.mark.parametrize("place", ["class", "x2", "count"])
    def test_words_that_are_no_int32(self, folder, label, place):
        """Real Caffe reads INT_MAX or a part of the word, and then garbage."""
        path = folder / "windows.txt"
        old, new, line = {
            "class": ("2 0.6", f"{label} 0.6", 8),
            "x2": ("2 0.6 0 0 3 3", f"2 0.6 0 0 {label} 3", 8),
            "count": ("12\n3\n", f"12\n{label}\n", 16),
        }[place]
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))
        self.refuse(folder, rf"windows.txt, line {line}: .* is no whole number of 32 bits: '{label[:40]}'")

    @pytest.mark.parametrize("window", ["1 1 5 5 12 9", "1 1 -1 0 5 5", "1 1 5 5 4 9"])
    def test_window_outside_the_image(self, folder, window):
        write(folder, ([window], ["0 0 0 0 5 5"]))
        self.refuse(folder, "does not lie in the image of 12 x 10", "fg_fraction: 1")

    def test_far_outside_with_context(self, folder):
        write(folder, (["1 1 50 50 60 60"], ["0 0 0 0 5 5"]))
        self.refuse(folder, "does not lie in the image", "fg_fraction: 1 context_pad: 1")

    def test_file_gone(self, folder):
        (folder / "windows.txt").unlink()
        self.refuse(folder, "Could not open the window file .*windows.txt")
