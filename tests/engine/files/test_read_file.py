"""Files are read whole, and no further than such a file can go."""

import os
import threading

import pytest
from caffe import DataError, PrototxtError, SnapshotError
from caffe._files import prototxt
from caffe._files import read_file as _read_file
from caffe._files.blobproto import read_message
from caffe._files.read_file import read_file


@pytest.mark.parametrize("content", [b"", b"x", bytes(range(256)) * 9])
def test_content(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    assert read_file(path, 3000, DataError) == content
    assert read_file(str(path), len(content), DataError) == content


def test_too_large(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(11))
    with pytest.raises(DataError, match=f"{path} is too large: it has more than 10 bytes"):
        read_file(path, 10, DataError)


def test_a_device_without_end():
    with pytest.raises(SnapshotError, match="/dev/zero is too large: it has more than 5,000,000 bytes"):
        read_file("/dev/zero", 5_000_000, SnapshotError)


def test_a_pipe(tmp_path):
    """As `caffe train --solver=<(command)` gives."""
    os.mkfifo(tmp_path / "pipe")
    text = b'net: "n.prototxt"\n' + b"# a comment\n" * 20_000
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(text,))
    writer.start()
    assert prototxt.read_solver_param(tmp_path / "pipe").net == "n.prototxt"
    writer.join()


def test_names_that_cannot_be_opened(tmp_path):
    with pytest.raises(DataError, match="Could not open file .*gone: No such file"):
        read_file(tmp_path / "gone", 10, DataError)
    with pytest.raises(DataError, match="Cannot read the list .*: Is a directory"):
        read_file(tmp_path, 10, DataError, "Cannot read the list")
    with pytest.raises(DataError, match=r"Could not open file 'a\\x00b': there is a zero byte in its name"):
        read_file("a\0b", 10, DataError)


def test_limits_of_prototxts_and_messages(tmp_path, monkeypatch):
    path = tmp_path / "net.prototxt"
    path.write_bytes(b"# \n" * (_read_file.PROTOTXT // 3 + 1))
    with pytest.raises(PrototxtError, match="net.prototxt is too large: it has more than 16,777,216 bytes"):
        prototxt.read_net_param(path)
    path.write_bytes(b"")
    os.truncate(path, 2**31)  # sparse: nothing is on the disk
    with pytest.raises(SnapshotError, match="is too large: it has more than 2,147,483,647 bytes"):
        read_message(path, "NetParameter")
