"""K-means as a classifier: on images that fall into clusters, beside plain loops, and what it says of bad input."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from first_pass import clusters, kmeans, pixels
from harness.errors import UserError
from tests.ensemble.small_ensemble import raw_datum, write_lmdb, write_mean

ROOT = Path(__file__).parents[2]
SHAPE = (3, 32, 48)
COLOURS = ((0, 0, 250), (0, 250, 0), (250, 0, 0), (250, 250, 250))
LABELS = (7, 199, 0, 7)  # two clusters of one class


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """40 train images of four colours, a tenth of them with a wrong label, and 12 of val of which 3 are wrong."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(5)
    for split, count, wrong in (("train", 40, 10), ("val", 12, 4)):
        images = [colour(number % 4, random) for number in range(count)]
        labels = [150 if number % wrong == 3 else LABELS[number % 4] for number in range(count)]
        write_lmdb(Path(f"data/lmdb/{split}_lmdb"), [f"{split}_{n}" for n in range(count)],
                   [raw_datum(*pair) for pair in zip(images, labels)])  # fmt: skip
    write_mean(Path("data/lmdb/mean.binaryproto"), np.full(SHAPE, 120, np.float32))
    return tmp_path


def colour(number: int, random) -> np.ndarray:
    image = np.broadcast_to(np.array(COLOURS[number])[:, None, None], SHAPE) + random.normal(0, 3, SHAPE)
    return np.clip(image, 0, 255).astype(np.uint8)


def test_pixels_are_averaged_over_squares(place):
    from ensemble.scoring.records import Split

    found, labels = pixels.read(Path("data/lmdb/train_lmdb"), SHAPE)
    assert found.shape == (40, 3 * 16 * 16) and found.dtype == np.float32 and labels[1] == 199
    with Split(Path("data/lmdb/train_lmdb")) as split:
        image = next(split.batches(3, SHAPE)).images[2].astype(float)
    channel, row, column = 1, 5, 11
    square = image[channel, 2 * row : 2 * row + 2, 3 * column : 3 * column + 3]  # 32 x 48 to 16 x 16
    assert found[2].reshape(3, 16, 16)[channel, row, column] == pytest.approx(square.mean(), abs=1e-3)
    assert pixels.averaged((3, 64, 64)) == (16, 16) and pixels.averaged((3, 12, 34)) == (12, 2)


def test_a_cluster_stands_for_the_class_of_most_of_its_images(place, capsys):
    assert kmeans.main(["--clusters", "4"]) is None
    row = kmeans.read(Path("runs/kmeans.json"))[0]
    # 7 of the labels of the fourth colour are wrong every 10 images: 3, 13, 23, 33 of 40; of val 3, 7, 11 of 12.
    assert (row.train_error, row.val.error, row.val.images) == (4 / 40, 3 / 12, 12)
    # Wilson's interval, by its formula.
    z, n, p = 1.959964, 12, 0.25
    centre, half = p + z * z / (2 * n), z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    bounds = [(centre - half) / (1 + z * z / n), (centre + half) / (1 + z * z / n)]
    assert [row.val.low, row.val.high] == pytest.approx(bounds, abs=1e-5)
    said = capsys.readouterr()
    assert (
        "4 clusters, seed 0: error on val 0.2500" in said.out
        and "error by lot 0.995; the report: 0.982" in said.out
        and "Of 40 train images, a part" in said.out
    )
    assert "averaged to 16 x 16" in said.err


def test_the_nearest_centre_by_plain_loops(place):
    images, labels = pixels.read(Path("data/lmdb/train_lmdb"), SHAPE)
    before = images.copy()
    fitted = clusters.fit(images, labels, 5, seed=3)
    assert np.array_equal(images, before), "a second fit starts from the same"
    wrong = 0
    for image, label in zip(images, labels):
        nearest = min(range(5), key=lambda one: ((image - fitted.model.cluster_centers_[one]) ** 2).sum())
        wrong += fitted.classes[nearest] != label
    assert fitted.wrong(images, labels) == wrong == round(fitted.train_error * len(labels))


def test_what_is_there_is_not_fitted_again(place, monkeypatch, capsys):
    assert kmeans.main(["--clusters", "4 2", "--seed", "0,5"]) is None
    rows = kmeans.read(Path("runs/kmeans.json"))
    assert [(row.clusters, row.seed) for row in rows] == [(2, 0), (2, 5), (4, 0), (4, 5)]
    monkeypatch.setattr(clusters, "fit", lambda *_: pytest.fail("fitted again"))
    assert kmeans.main(["--clusters", "4", "--seed", "5"]) is None
    assert capsys.readouterr().out.count("4 clusters, seed 5") == 2
    assert kmeans.read(Path("runs/kmeans.json")) == rows
    # Other images: what was of the old ones goes.
    monkeypatch.undo()
    os.chdir(place)
    write_mean(Path("data/lmdb/mean.binaryproto"), np.full(SHAPE, 121, np.float32))
    assert kmeans.main(["--clusters", "3"]) is None
    assert [row.clusters for row in kmeans.read(Path("runs/kmeans.json"))] == [3]


def test_held_out_images_have_an_error_too(place):
    images = [colour(number % 4, np.random.default_rng(8)) for number in range(8)]
    write_lmdb(Path("data/lmdb/holdout_lmdb"), [f"h_{n}" for n in range(8)],
               [raw_datum(image, LABELS[n % 4]) for n, image in enumerate(images)])  # fmt: skip
    assert kmeans.main(["--clusters", "4"]) is None
    held = kmeans.read(Path("runs/kmeans.json"))[0].holdout
    assert (held.error, held.images) == (0, 8) and held.high > 0.2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--clusters", "41"], "41 clusters of 40 train images; take fewer"),
        (["--clusters", "0"], 'CLUSTERS="0": 0 is no number from 1 to 100000'),
        (["--clusters", "200 many"], 'CLUSTERS="200 many": many is no number'),
        (["--clusters", " "], 'CLUSTERS="": names no number'),
        (["--seed", "-1"], 'SEED="-1": -1 is no number from 0 to 4294967295'),
        (["--seed", "4294967296"], "4294967296 is no number"),
        (["--data", "nowhere"], "nowhere/mean.binaryproto: no mean image; `make lmdb` makes it"),
    ],
)
def test_bad_input_is_one_line(place, options, said):
    assert said in kmeans.main(options) and not Path("runs").exists()


def test_labels_of_other_classes_and_no_lmdb(place):
    write_lmdb(Path("data/lmdb/val_lmdb2"), ["a"], [raw_datum(colour(0, np.random.default_rng(1)), 200)])
    with pytest.raises(UserError, match="labels from 200 to 200, not of 200 classes"):
        pixels.read(Path("data/lmdb/val_lmdb2"), SHAPE)
    Path("data/lmdb/val_lmdb/data.mdb").unlink()
    assert "val_lmdb: no LMDB; `make lmdb` makes it" in kmeans.main([])


@pytest.mark.parametrize("text", ["{", "[]", '{"rows": [{"clusters": 3}]}', '{"rows": 3}', '{"rows": [3]}'])
def test_a_damaged_file_is_named(place, text):
    Path("runs").mkdir()
    Path("runs/kmeans.json").write_text(text)
    assert "runs/kmeans.json: not what `make kmeans` writes" in kmeans.main([])
    assert Path("runs/kmeans.json").read_text() == text


def test_without_scikit_learn_it_says_so(place):
    program = (
        "import sys; sys.modules['sklearn.cluster'] = None; from first_pass import kmeans; sys.exit(kmeans.main([]))"
    )
    paths = os.pathsep.join([str(ROOT / "engine"), str(ROOT)])
    done = subprocess.run([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": paths},
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "first_pass.kmeans: scikit-learn is missing; make setup installs it"
