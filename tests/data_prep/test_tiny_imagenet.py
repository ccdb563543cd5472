"""data_prep reads the official layout, alike from zip and folder, and refuses what is not whole or not safe."""

import os
import re
import stat
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from data_prep import listing
from data_prep.classes import official_classes
from data_prep.errors import BadImage
from data_prep.splits import split
from data_prep.tiny_imagenet import TinyImageNet
from data_prep.zip_directory import plain_members
from harness.errors import UserError
from tests.data_prep.small_tiny_imagenet import TEST, TRAIN, VAL, WNIDS, files, write_folder, write_zip


@pytest.fixture(scope="module")
def made() -> dict[str, bytes]:
    return files()


def names(images):
    return [(image.entry.name, image.label) for image in images]


def test_lists_and_labels(made, tmp_path):
    dataset = TinyImageNet.open(write_zip(tmp_path / "set.zip", made))
    assert dataset.wnids == tuple(WNIDS)
    assert dataset.words[WNIDS[3]] == "thing 021, élément" and len(dataset.words) == 200
    assert names(dataset.train)[4] == (f"train/{WNIDS[1]}/images/{WNIDS[1]}_1.JPEG", 1)
    assert len(dataset.train) == 200 * TRAIN
    assert names(dataset.val)[0] == ("val/images/val_229.JPEG", 229 * 37 % 200)
    assert names(dataset.val)[-1] == ("val/images/val_0.JPEG", 0) and len(dataset.val) == VAL
    assert names(dataset.test) == [(f"test/images/test_{number}.JPEG", -1) for number in range(TEST)]


def test_a_set_without_its_test_images(made, tmp_path):
    """A copy of the set for training alone, without test images and without WordNet's words.txt."""
    part = {name: content for name, content in made.items() if not name.startswith("test/")}
    dataset = TinyImageNet.open(write_folder(tmp_path / "part", part), test=False)
    assert dataset.test == [] and "test" not in split(dataset, 0) and len(dataset.val) == VAL
    assert TinyImageNet.open(write_folder(tmp_path / "whole", made), test=False).test == []
    with pytest.raises(UserError, match="no image in test/images"):
        TinyImageNet.open(tmp_path / "part")
    (tmp_path / "part/words.txt").unlink()
    with pytest.raises(UserError, match="no words.txt, and its classes are not the official ones"):
        TinyImageNet.open(tmp_path / "part", test=False)
    names = dict(zip(WNIDS, sorted(official_classes())))
    for old, new in names.items():
        (tmp_path / "part/train" / old).rename(tmp_path / "part/train" / new)
        for image in (tmp_path / "part/train" / new).rglob("*.JPEG"):
            image.rename(image.with_name(image.name.replace(old, new)))
    for file in ("wnids.txt", "val/val_annotations.txt"):
        text = (tmp_path / "part" / file).read_text()
        (tmp_path / "part" / file).write_text(re.sub("|".join(names), lambda found: names[found[0]], text))
    assert TinyImageNet.open(tmp_path / "part", test=False).words["n01443537"] == "goldfish, Carassius auratus"


@pytest.mark.parametrize("top", ["", "tiny-imagenet-200/"])
def test_zip_and_folder_are_read_alike(made, tmp_path, top):
    of_zip = TinyImageNet.open(write_zip(tmp_path / "set.zip", made, top))
    write_folder(tmp_path / "set" / top, made)
    of_folder = TinyImageNet.open(tmp_path / "set")
    for part in ("train", "val", "test"):
        assert names(getattr(of_zip, part)) == names(getattr(of_folder, part))
    for image in (of_zip.train[7], of_zip.test[11]):
        assert of_zip.reader.read(image.entry) == made[image.entry.name]
    assert of_folder.reader.read(of_folder.val[5].entry) == made[of_folder.val[5].entry.name]


def broken(made: dict[str, bytes], change: str) -> dict[str, bytes]:
    changed = dict(made)
    if change == "199 classes":
        changed["wnids.txt"] = made["wnids.txt"].split(b"\n", 1)[1]
    elif change == "a class twice":
        changed["wnids.txt"] = made["wnids.txt"].split(b"\n", 1)[1] + b"n10000000\n"
    elif change == "a path as class":
        changed["wnids.txt"] = b"../../etc\n" + made["wnids.txt"].split(b"\n", 1)[1]
    elif change == "no words":
        changed["words.txt"] = made["words.txt"].replace(WNIDS[9].encode(), b"n00000000")
    elif change == "no train folder":
        changed = {name: data for name, data in made.items() if not name.startswith(f"train/{WNIDS[42]}/")}
    elif change == "a class too many":
        changed["train/n00000001/images/n00000001_0.JPEG"] = b""
    elif change == "val image missing":
        del changed["val/images/val_17.JPEG"]
    elif change == "val line missing":
        lines = made["val/val_annotations.txt"].splitlines(keepends=True)
        changed["val/val_annotations.txt"] = b"".join(lines[1:])
    elif change == "val class unknown":
        changed["val/val_annotations.txt"] = made["val/val_annotations.txt"].replace(b"\tn10000000\t", b"\tn55555555\t")
    elif change == "val leaves its folder":
        changed["val/val_annotations.txt"] += b"../../train/x.JPEG\tn10000000\n"
    elif change == "no test images":
        changed = {name: data for name, data in made.items() if not name.startswith("test/")}
    elif change == "no annotations":
        del changed["val/val_annotations.txt"]
    elif change == "image at the wrong place":
        changed["val/n10000000/x.JPEG"] = b""
    return changed


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("199 classes", "199 classes, 199 of them different"),
        ("a class twice", "200 classes, 199 of them different"),
        ("a path as class", "'../../etc' is not a WordNet id"),
        ("no words", f"no words for {WNIDS[9]}"),
        ("no train folder", f"class {WNIDS[42]} .* no image"),
        ("a class too many", "train/n00000001 is a class that wnids.txt does not list"),
        ("val image missing", "'val_17.JPEG' is not in val/images"),
        ("val line missing", "no line for val/images/val_229.JPEG"),
        ("val class unknown", "val_annotations.txt line 30: "),
        ("val leaves its folder", r"line 231: '../../train/x.JPEG' is not in val/images"),
        ("no test images", "no image in test/images"),
        ("no annotations", "val/val_annotations.txt is missing"),
        ("image at the wrong place", "val/n10000000/x.JPEG"),
    ],
)
def test_a_set_that_is_not_whole(made, tmp_path, change, told):
    path = write_zip(tmp_path / "set.zip", broken(made, change))
    with pytest.raises(UserError, match=told) as error:
        TinyImageNet.open(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_cut_zip_and_missing_path(made, tmp_path):
    path = write_zip(tmp_path / "set.zip", made)
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(UserError, match="not a whole zip"):
        TinyImageNet.open(path)
    with pytest.raises(UserError, match="no such zip or folder"):
        TinyImageNet.open(tmp_path / "elsewhere")


@pytest.mark.parametrize("name", ["../out.txt", "a/../../out.txt", "/etc/out.txt", "a\\..\\out.txt", "C:out.txt"])
def test_zip_names_that_leave_their_folder(tmp_path, name):
    path = write_zip(tmp_path / "set.zip", {name: b"x"}, top="")
    with pytest.raises(UserError, match="leaves its folder"):
        TinyImageNet.open(path)


def test_zip_links_and_giants_and_doubles(tmp_path):
    link = zipfile.ZipInfo("wnids.txt")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(UserError, match="is a link"):
        TinyImageNet.open(tmp_path / "link.zip")
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("wnids.txt", bytes(17 << 20))
    with pytest.raises(UserError, match="larger than"):
        TinyImageNet.open(tmp_path / "bomb.zip")
    with (
        zipfile.ZipFile(tmp_path / "twice.zip", "w") as archive,
        pytest.warns(UserWarning, match="Duplicate"),
    ):
        archive.writestr("wnids.txt", "a")
        archive.writestr("wnids.txt", "b")
    with pytest.raises(UserError, match="twice"):
        TinyImageNet.open(tmp_path / "twice.zip")


def test_member_that_lies_about_its_size_or_bytes(made, tmp_path):
    path = write_zip(tmp_path / "set.zip", made)
    dataset = TinyImageNet.open(path)
    image = dataset.train[3].entry
    content = bytearray(path.read_bytes())
    content[content.index(made[image.name]) + 700] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(BadImage, match="checksum"):
        dataset.reader.read(image)
    with pytest.raises(BadImage, match="no such member"):
        dataset.reader.read(image._replace(offset=image.offset + 1))


def test_files_of_a_folder_that_are_no_images_to_read(made, tmp_path):
    root = write_folder(tmp_path / "set", made)
    dataset = TinyImageNet.open(root)
    pipe, giant, gone = (root / image.entry.name for image in dataset.train[:3])
    pipe.unlink()
    os.mkfifo(pipe)
    os.truncate(giant, 17 << 20)
    gone.unlink()
    for image, told in zip(dataset.train, ("not a file", "larger than 16777216 bytes", "cannot be read"), strict=False):
        with pytest.raises(UserError, match=told) as error:
            dataset.reader.read(image.entry)
        assert str(root / image.entry.name) in str(error.value)


def unusual_zips(made: dict[str, bytes], folder: Path) -> Iterator[Path]:
    """Whole zips that hold the set in a form which the quick reader does not handle."""
    whole = write_zip(folder / "whole.zip", made).read_bytes()
    for name in ("comment", "before", "space"):
        path = folder / f"{name}.zip"
        path.write_bytes(b"#!before\n" + whole if name == "before" else whole)
        with zipfile.ZipFile(path, "a") as archive:
            if name == "comment":
                archive.comment = b"made by hand"
            elif name == "space":
                archive.writestr("tiny-imagenet-200/a note.txt", "seen")
        yield path


def test_unusual_zips_are_read_by_zipfile(made, tmp_path):
    usual = write_zip(tmp_path / "set.zip", made)
    assert plain_members(usual) is not None
    expected = TinyImageNet.open(usual)
    for path in unusual_zips(made, tmp_path):
        assert plain_members(path) is None
        dataset = TinyImageNet.open(path)
        assert names(dataset.train) == names(expected.train)
        assert dataset.reader.read(dataset.val[4].entry) == made[dataset.val[4].entry.name]


def test_a_damaged_directory_reads_as_by_zipfile_or_not_at_all(tmp_path):
    path = write_zip(tmp_path / "set.zip", {f"a/b_{i}.JPEG": bytes(i) for i in range(9)} | {"wnids.txt": b"x" * 99})
    whole = path.read_bytes()
    start = whole.index(b"PK\x01\x02")
    random = Random(5)
    alike = 0
    for _ in range(2000):
        broken = bytearray(whole)
        broken[random.randrange(start, len(whole))] = random.randrange(256)
        path.write_bytes(broken)
        quick = plain_members(path)
        try:
            slow = listing._any_members(path, None)
        except UserError:
            continue  # for example a bad date, which does not matter here
        if quick is not None:
            assert quick == slow
            alike += 1
    assert 200 < alike < 1900


class TestZipsMadeToHarm:
    def test_too_compressed(self, tmp_path):
        with zipfile.ZipFile(tmp_path / "z.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("wnids.txt", bytes(1 << 20))
        with pytest.raises(UserError, match="member 'wnids.txt' has 1048576 bytes in 10"):
            TinyImageNet.open(tmp_path / "z.zip")

    def test_too_large_together(self, tmp_path, monkeypatch):
        monkeypatch.setattr(listing, "MAX_TOTAL_BYTES", 500)
        write_zip(tmp_path / "z.zip", {"a": bytes(200), "b": bytes(301)})
        with pytest.raises(UserError, match="z.zip: holds more than 500 bytes"):
            TinyImageNet.open(tmp_path / "z.zip")

    def test_members_over_each_other(self, tmp_path):
        """Two names for the same bytes: the directory says both, the zip has them once."""
        path = write_zip(tmp_path / "z.zip", {"a": bytes(range(250)) * 9, "b": b"b"}, top="")
        content = bytearray(path.read_bytes())
        first, second = (match.start() for match in re.finditer(b"PK\x01\x02", content))
        content[second + 16 : second + 28] = content[first + 16 : first + 28]  # checksum and sizes
        content[second + 42 : second + 46] = content[first + 42 : first + 46]  # place
        path.write_bytes(content)
        with pytest.raises(UserError, match="its members are larger than itself"):
            TinyImageNet.open(path)

    def test_a_member_outside(self, tmp_path):
        path = write_zip(tmp_path / "z.zip", {"a": b"aaa", "b": b"b"}, top="")
        content = bytearray(path.read_bytes())
        at = content.index(b"PK\x01\x02") + 42
        content[at : at + 4] = (1 << 30).to_bytes(4, "little")
        path.write_bytes(content)
        with pytest.raises(UserError, match="member 'a' lies outside it"):
            TinyImageNet.open(path)

    @pytest.mark.parametrize("zip64", [False, True])
    def test_a_directory_that_takes_the_memory(self, tmp_path, monkeypatch, zip64):
        monkeypatch.setattr(listing, "MAX_DIRECTORY_BYTES", 1000)
        if zip64:
            monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 3)
        path = write_zip(tmp_path / "z.zip", {f"{i}" * 30: b"" for i in range(40)})
        assert (b"PK\x06\x06" in path.read_bytes()) == zip64
        monkeypatch.setattr(zipfile, "ZipFile", None)
        with pytest.raises(UserError, match=r"its directory takes \d{4} bytes"):
            TinyImageNet.open(path)

    def test_a_directory_that_ends_too_early(self, made, tmp_path):
        """A length that is too long in one entry makes zipfile leave out those after it."""
        path = write_zip(tmp_path / "z.zip", made)
        content = bytearray(path.read_bytes())
        last = content.rindex(b"PK\x01\x02")
        before = content.rindex(b"PK\x01\x02", 0, last)
        content[before + 33] = 0x20  # the high byte of the comment's length
        path.write_bytes(content)
        with zipfile.ZipFile(path) as archive:
            assert len(archive.infolist()) == len(made) - 1
        with pytest.raises(UserError, match=f"{len(made)} members are said to be there, and {len(made) - 1} are"):
            TinyImageNet.open(path)

    @pytest.mark.parametrize("place, other", [(-5, ord("x")), (-6, ord("7")), (-30, 0x80), (-1, ord("/"))])
    def test_a_name_that_is_another_in_the_directory(self, tmp_path, made, place, other):
        """Otherwise an image would be left out or taken for another without a message."""
        path = write_zip(tmp_path / "z.zip", made)
        content = bytearray(path.read_bytes())
        name = b"train/n10000000/images/n10000000_1.JPEG"
        content[content.rindex(name) + len(name) + place] = other
        path.write_bytes(content)
        with pytest.raises(UserError):
            dataset = TinyImageNet.open(path)
            for image in dataset.train[:6]:
                dataset.reader.read(image.entry)


def test_split_is_seeded_and_stratified(made, tmp_path):
    dataset = TinyImageNet.open(write_zip(tmp_path / "set.zip", made))
    whole, held = split(dataset, seed=3), split(dataset, seed=3, holdout_per_class=2)
    assert set(whole) == {"train", "val", "test"}
    assert sorted(names(whole["train"])) == sorted(names(dataset.train))
    assert names(whole["train"]) != names(dataset.train)
    assert names(split(dataset, seed=3)["train"]) == names(whole["train"])
    assert names(split(dataset, seed=4)["train"]) != names(whole["train"])
    assert names(whole["val"]) == names(dataset.val) and names(whole["test"]) == names(dataset.test)
    assert Counter(label for _, label in names(held["holdout"])) == dict.fromkeys(range(200), 2)
    assert not set(names(held["holdout"])) & set(names(held["train"]))
    assert set(names(held["holdout"])) | set(names(held["train"])) == set(names(dataset.train))
    assert names(held["val"]) == names(dataset.val)
    assert names(split(dataset, seed=4, holdout_per_class=2)["holdout"]) != names(held["holdout"])
    with pytest.raises(UserError, match="cannot hold out 3 images a class"):
        split(dataset, seed=3, holdout_per_class=TRAIN)


def test_shuffled_order_mixes_classes(made, tmp_path):
    labels = [label for _, label in names(split(TinyImageNet.open(write_zip(tmp_path / "s.zip", made)), 0)["train"])]
    # In the list's own order every class is seen only once in three neighbours.
    assert sum(a == b for a, b in zip(labels, labels[1:])) < 20
    assert len(set(labels[:100])) > 60


def test_a_loop_of_links_in_a_folder_ends(made, tmp_path):
    root = write_folder(tmp_path / "set", made)
    (root / "val" / "loop").symlink_to(root)
    assert len(TinyImageNet.open(root).val) == VAL
