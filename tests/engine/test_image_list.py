"""Lists of image files, line by line as real Caffe's getline has them."""

import os

import pytest
from caffe import DataError
from caffe._image_list import read_image_list


def test_lines(tmp_path):
    (tmp_path / "list").write_bytes(
        b"with space.png -3\nnolabel.png x\nnospace\nwindows.png 4\r\n\n  lead.png 12abc\nlast.png 5"
    )
    assert read_image_list(str(tmp_path / "list")) == [
        ("with space.png", -3), ("nolabel.png", 0), ("nospace", 0), ("windows.png", 4), ("", 0), ("  lead.png", 12),
        ("last.png", 5),
    ]  # fmt: skip


def test_names_that_hold_what_unicode_takes_for_spaces_and_line_ends(tmp_path):
    names = ["a\u2028b.png", "no\xa0break.png", "form\x0cfeed.png", "\x85.png", os.fsdecode(b"\xca\xfd.png")]
    (tmp_path / "list").write_bytes(b"".join(os.fsencode(name) + b" 1\n" for name in names))
    assert read_image_list(str(tmp_path / "list")) == [(name, 1) for name in names]


def test_empty_and_missing(tmp_path):
    (tmp_path / "list").touch()
    assert read_image_list(str(tmp_path / "list")) == []
    with pytest.raises(DataError, match="No list .*gone"):
        read_image_list(str(tmp_path / "gone"), "No list")
