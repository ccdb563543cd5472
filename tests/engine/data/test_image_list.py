"""Lists of image files, line by line as real Caffe's getline has them."""

import os
import re

import pytest
from caffe import DataError
from caffe._data.image_list import read_image_list


def test_lines(tmp_path):
    (tmp_path / "list").write_bytes(
        b"with space.png -3\nwindows.png 4\r\n\n \n  lead.png +12\ntab.png \t7\t\nmost.png 2147483647\n"
        b"least.png -2147483648\nwhole.png 3.0\n007.png 0007\nlast.png 5"
    )
    assert read_image_list(str(tmp_path / "list")) == [
        ("with space.png", -3), ("windows.png", 4), ("", 0), ("", 0), ("  lead.png", 12), ("tab.png", 7),
        ("most.png", 2147483647), ("least.png", -2147483648), ("whole.png", 3), ("007.png", 7), ("last.png", 5),
    ]  # fmt: skip


NO_LABELS = {
    "99999999999": 1215752191, "2147483648": -2147483648, "-2147483649": 2147483647, "4294967295": -1, "1.5": 1,
    "cat": 0, "": 0, "7abc": 7, "0x10": 0, "1e3": 1, "1_000": 1, "nan": 0, "-": 0, "9" * 5000: -1,
}  # fmt: skip
"""Labels that are no int32, and what real Caffe stores for each."""


@pytest.mark.parametrize("label", NO_LABELS)
def test_labels_that_are_no_int32(tmp_path, label):
    (tmp_path / "list").write_text(f"a.png 3\n\nb c.png {label}\nd.png 4\n")
    with pytest.raises(DataError, match=rf"list, line 3: the label '{re.escape(label[:40])}' is no whole number"):
        read_image_list(str(tmp_path / "list"))


@pytest.mark.parametrize(
    "lines, message",
    [
        ("a.png 3\nb.png\nc.png 1\n", "list, line 2: there is no label, while other lines have one"),
        ("a.png 3\nb.png\r\n", "list, line 2: there is no label, while other lines have one"),
        ("a.png\t3\nb.png\t4\n", "list, line 1: a tab stands before the label"),
        ("a b.png\t3\n", "list, line 1: the label 'b.png\t3' is no whole number"),
        ("a.png 3 \n", "list, line 1: the label '' is no whole number"),
    ],
)
def test_labels_that_are_missing_or_elsewhere(tmp_path, lines, message):
    """Real Caffe takes 0 for each, or looks for a file whose name has a tab in it."""
    (tmp_path / "list").write_bytes(lines.encode())
    with pytest.raises(DataError, match=message):
        read_image_list(str(tmp_path / "list"))


def test_a_list_without_any_label_gives_zeros_and_a_message(tmp_path, log_lines):
    (tmp_path / "list").write_text("a.png\n\nb\tc.png\n")
    assert read_image_list(str(tmp_path / "list")) == [("a.png", 0), ("", 0), ("b\tc.png", 0)]
    assert log_lines == [f"{tmp_path}/list has no labels: each image gets the label 0."]


def test_names_that_hold_what_unicode_takes_for_spaces_and_line_ends(tmp_path):
    names = ["a\u2028b.png", "no\xa0break.png", "form\x0cfeed.png", "\x85.png", os.fsdecode(b"\xca\xfd.png")]
    (tmp_path / "list").write_bytes(b"".join(os.fsencode(name) + b" 1\n" for name in names))
    assert read_image_list(str(tmp_path / "list")) == [(name, 1) for name in names]


def test_empty_and_missing(tmp_path):
    (tmp_path / "list").touch()
    assert read_image_list(str(tmp_path / "list")) == []
    with pytest.raises(DataError, match="No list .*gone"):
        read_image_list(str(tmp_path / "gone"), "No list")
