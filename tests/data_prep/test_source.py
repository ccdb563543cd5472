"""`make data` remembers the given set. An error about a missing, changed or invalid set names the command."""

import os
import shutil
from pathlib import Path

import pytest

from data_prep import build_lmdb, dataset, source
from harness.errors import UserError
from tests.data_prep.small_tiny_imagenet import files, jpeg, write_folder, write_zip


@pytest.fixture
def given(tmp_path, monkeypatch) -> Path:
    """A set in a folder with a space, which `make data` was given; the test is beside it."""
    (tmp_path / "my sets").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    path = write_zip(tmp_path / "my sets/mine.zip", files())
    monkeypatch.setenv("TINY_IMAGENET", str(path))
    assert dataset.main([]) == 0
    monkeypatch.setenv("TINY_IMAGENET", "")  # as Make passes on a variable that was not given
    return path


def test_the_source_given_once_is_used_again(given, tmp_path, capsys):
    assert dataset.find() == given and dataset.main([]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(given)
    assert build_lmdb.main(["--workers", "1"]) == 0
    assert "built from mine.zip" in capsys.readouterr().out
    os.utime(given, (1, 1))  # copied or touched: the same content
    assert dataset.find() == given
    unpacked = write_folder(tmp_path / "unpacked", files())
    source.remember(unpacked, tmp_path / "here/data")
    assert dataset.find() == unpacked


def test_a_set_in_the_folder_moves_with_it(given, tmp_path, monkeypatch):
    shutil.copy(given, tmp_path / "here/own.zip")
    monkeypatch.setenv("TINY_IMAGENET", "own.zip")
    assert dataset.main([]) == 0
    monkeypatch.setenv("TINY_IMAGENET", "")
    (tmp_path / "here").rename(tmp_path / "there")
    monkeypatch.chdir(tmp_path / "there")
    assert dataset.find() == Path("own.zip")


def test_a_source_that_has_gone_is_named_with_the_command(given, capsys):
    given.unlink()
    for command in (dataset.main, build_lmdb.main):
        assert command([]) == 1
        told = capsys.readouterr().err
        assert f"{given}: make data was given this set, and it is gone;" in told and "make data TINY_IMAGENET=" in told


def repainted(path: Path) -> None:
    write_zip(path, {**files(), "test/images/test_3.JPEG": jpeg(77)})


def test_a_source_that_has_changed_is_named_with_the_command(given, tmp_path, monkeypatch, capsys):
    assert build_lmdb.main(["--workers", "1"]) == 0
    repainted(given)
    for command in (dataset.main, build_lmdb.main):
        status = command([])
        told = capsys.readouterr().err
        assert f"{given}: has changed since make data was given it" in told and told.count("\n") == 1
        assert f"make data TINY_IMAGENET='{given}'" in told
        assert status == (1 if command is dataset.main else 0)  # the LMDBs are there
    monkeypatch.setenv("TINY_IMAGENET", str(given))
    assert dataset.main([]) == 0
    monkeypatch.setenv("TINY_IMAGENET", "")
    assert build_lmdb.main([]) == 1
    assert f"from other images than {given} holds" in capsys.readouterr().err


def test_a_folder_with_another_file_has_changed(given, tmp_path):
    unpacked = write_folder(tmp_path / "unpacked", files())
    source.remember(unpacked, tmp_path / "here/data")
    (unpacked / "val/images/val_7.JPEG").write_bytes(b"another")
    with pytest.raises(UserError, match="unpacked: has changed since make data was given it"):
        dataset.find()


def test_a_note_that_make_data_did_not_write_is_named(given):
    for text in ("{", "[]", '{"path": 3}', ""):
        Path("data/source.json").write_text(text)
        with pytest.raises(UserError, match="source.json: not what make data writes .*make data TINY_IMAGENET="):
            dataset.find()


@pytest.mark.parametrize(
    "begin, told",
    [
        (b"", "an empty file"),
        (b"\x1f\x8b\x08", "packed with gzip and no zip: unpack it"),
        (b"BZh9", "packed with bzip2 and no zip: unpack it"),
        (b"\xfd7zXZ\x00", "packed with xz and no zip: unpack it"),
        (b"7z\xbc\xaf\x27\x1c", "packed with 7z and no zip: unpack it"),
        (b"Rar!\x1a\x07", "packed with RAR and no zip: unpack it"),
        (b"\x28\xb5\x2f\xfd", "packed with zstd and no zip: unpack it"),
        (bytes(257) + b"ustar", "a tar archive and no zip: unpack it"),
        (b"my thesis, the only copy", "not a zip"),
        (b"PK\3\4 cut", "not a whole zip"),
    ],
)
def test_no_error_advises_deleting_a_file_of_another_kind(tmp_path, monkeypatch, capsys, begin, told):
    path = tmp_path / "mine"
    path.write_bytes(begin)
    monkeypatch.setenv("TINY_IMAGENET", str(path))
    monkeypatch.chdir(tmp_path)
    for command in (dataset.main, build_lmdb.main):
        assert command([]) == 1
        said = capsys.readouterr().err
        assert said.startswith(f"error: {path}: {told}") and "make data TINY_IMAGENET=path" in said
        assert not any(word in said for word in ("delete", "remove", "fetch it again"))
    assert path.read_bytes() == begin and not Path("data/source.json").exists()
