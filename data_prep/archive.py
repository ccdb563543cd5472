"""Reads the files of a data set, from a zip or a folder, in several processes at once.

An ``Entry`` is small and a reader pickles as its path. A worker process can thus get both, and read any file
without listing the set again (``listing.py``).
"""

import os
import stat
import struct
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

from data_prep.errors import BadImage
from harness.errors import UserError

MAX_FILE_BYTES = 16 << 20
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")


class Entry(NamedTuple):
    """One file of the set: its path below the top folder and, for a zip, its size and position."""

    name: str
    size: int = 0
    offset: int = 0
    stored_size: int = 0
    method: int = 0
    crc: int = 0


class FolderReader:
    """Reads entries of a folder."""

    def __init__(self, root: Path):
        self.root = root

    def read(self, entry: Entry) -> bytes:
        """The file's bytes. Raises ``UserError`` if it is gone, no file, or larger than ``MAX_FILE_BYTES``."""
        path = f"{self.root}/{entry.name}"
        try:
            # A file object would take five times as long to make as the file takes to read. O_NONBLOCK keeps a pipe
            # from blocking this process.
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                return self._read(descriptor, path)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror})") from error

    def _read(self, descriptor: int, path: str) -> bytes:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise UserError(f"{path}: not a file")
        if about.st_size > MAX_FILE_BYTES:
            raise UserError(f"{path}: larger than {MAX_FILE_BYTES} bytes, which no file of Tiny ImageNet is")
        data = os.read(descriptor, about.st_size + 1)
        if len(data) != about.st_size:
            raise UserError(f"{path}: its size changes while it is read; start again when it is at rest")
        return data

    def size(self, entry: Entry) -> int:
        """The file's size in bytes; 0 if it is gone."""
        try:
            return os.stat(f"{self.root}/{entry.name}").st_size
        except OSError:
            return 0


class ZipReader:
    """Reads entries of a zip by their position: one ``pread`` a file and no shared file offset."""

    def __init__(self, path: Path):
        self.path = path
        self._descriptor: int | None = None

    def __getstate__(self) -> Path:
        return self.path

    def __setstate__(self, path: Path) -> None:
        self.__init__(path)

    def __del__(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)

    def read(self, entry: Entry) -> bytes:
        """The file's bytes. Raises ``BadImage`` if they are damaged: cut, or with another name or checksum."""
        start = self._content_start(entry)
        data = os.pread(self._descriptor, entry.stored_size, start)
        if entry.method == zipfile.ZIP_DEFLATED:
            try:
                # One byte beyond the stated size exposes a member with a false size, without inflating it all.
                data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, entry.size + 1)
            except zlib.error as error:
                raise BadImage(f"{entry.name}: damaged in {self.path} ({error})") from error
        if len(data) != entry.size or zlib.crc32(data) != entry.crc:
            raise BadImage(f"{entry.name}: damaged in {self.path} (size or checksum is wrong)")
        return data

    def size(self, entry: Entry) -> int:
        """The file's size in bytes, according to the zip's directory."""
        return entry.size

    def check_name(self, entry: Entry) -> None:
        """Raise ``BadImage`` unless the member's own name ends with its name in the directory."""
        self._content_start(entry)

    def _content_start(self, entry: Entry) -> int:
        if self._descriptor is None:
            self._descriptor = os.open(self.path, os.O_RDONLY)
        header = os.pread(self._descriptor, _LOCAL_HEADER.size, entry.offset)
        if len(header) < _LOCAL_HEADER.size or header[:4] != b"PK\x03\x04":
            raise BadImage(f"{entry.name}: no such member where the directory of {self.path} says")
        name_size, extra_size = _LOCAL_HEADER.unpack(header)[9:]
        start = entry.offset + _LOCAL_HEADER.size
        # Bit 11 of the flags marks a UTF-8 name. Otherwise the name is in the code page of the first PCs.
        name = os.pread(self._descriptor, name_size, start).decode("utf-8" if header[7] & 8 else "cp437", "replace")
        if not name.endswith(entry.name):
            raise BadImage(f"{entry.name}: another member, {name!r:.80}, where the directory of {self.path} says")
        return start + name_size + extra_size


Reader = FolderReader | ZipReader
