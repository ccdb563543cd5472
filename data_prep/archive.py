"""The files of a data set, read alike from a zip and from a folder, by several processes at once.

``list_files`` indexes the set once. An ``Entry`` is small and a reader pickles as its path, so a worker
process can be handed both and read any file without parsing the zip's directory of 120,000 members again.
"""

import os
import stat
import struct
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

from data_prep.errors import BadImage, DataError

TOP_FOLDER = "tiny-imagenet-200"
MAX_MEMBERS = 1_000_000
MAX_FILE_BYTES = 16 << 20
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")


class Entry(NamedTuple):
    """One file of the set: its path below the top folder, its size, and where it lies in the zip."""

    name: str
    size: int
    offset: int = 0
    stored_size: int = 0
    method: int = 0
    crc: int = 0


class FolderReader:
    """Reads entries of a folder."""

    def __init__(self, root: Path):
        self.root = root

    def read(self, entry: Entry) -> bytes:
        """The file's bytes. Raises ``DataError`` when it is gone, changed or larger than ``MAX_FILE_BYTES``."""
        path = f"{self.root}/{entry.name}"
        if entry.size > MAX_FILE_BYTES:
            raise DataError(f"{path}: larger than {MAX_FILE_BYTES} bytes, which no file of Tiny ImageNet is")
        try:
            # Without a file object, whose making takes five times as long as the reading.
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                data = os.read(descriptor, entry.size + 1)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from error
        if len(data) != entry.size:
            raise DataError(f"{path}: its size changed after the files were listed; start again when it is at rest")
        return data


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
        """The file's bytes. Raises ``BadImage`` when they are damaged: cut, or of another checksum."""
        if self._descriptor is None:
            self._descriptor = os.open(self.path, os.O_RDONLY)
        header = os.pread(self._descriptor, _LOCAL_HEADER.size, entry.offset)
        if len(header) < _LOCAL_HEADER.size or header[:4] != b"PK\x03\x04":
            raise BadImage(f"{entry.name}: no such member where the directory of {self.path} says")
        name_size, extra_size = _LOCAL_HEADER.unpack(header)[9:]
        start = entry.offset + _LOCAL_HEADER.size + name_size + extra_size
        data = os.pread(self._descriptor, entry.stored_size, start)
        if entry.method == zipfile.ZIP_DEFLATED:
            try:
                # One byte beyond the stated size shows a member that lies about it, without inflating it all.
                data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, entry.size + 1)
            except zlib.error as error:
                raise BadImage(f"{entry.name}: damaged in {self.path} ({error})") from error
        if len(data) != entry.size or zlib.crc32(data) != entry.crc:
            raise BadImage(f"{entry.name}: damaged in {self.path} (size or checksum is wrong)")
        return data


Reader = FolderReader | ZipReader


def list_files(path: Path) -> tuple[Reader, dict[str, Entry]]:
    """A reader for the set at ``path`` (zip or folder) and its entries by path below the top folder.

    Raises ``DataError`` when there is nothing at ``path``, the zip is cut or damaged, or it holds something a
    data set never does: a name that leaves its folder, a link, encryption, a giant member, too many members.
    """
    if path.is_dir():
        return _list_folder(path)
    if path.is_file():
        return _list_zip(path)
    raise DataError(f"{path}: no such zip or folder; run `make data`, or set TINY_IMAGENET to where the set is")


def _list_folder(path: Path) -> tuple[Reader, dict[str, Entry]]:
    root = path / TOP_FOLDER if (path / TOP_FOLDER / "wnids.txt").is_file() else path
    entries: dict[str, Entry] = {}
    # The official layout is four levels deep; going no deeper also ends a loop of links.
    pending = [("", 0)]
    while pending:
        folder, depth = pending.pop()
        with os.scandir(root / folder) as listing:
            for item in listing:
                name = folder + item.name
                if item.is_dir():
                    if depth < 3:
                        pending.append((name + "/", depth + 1))
                else:
                    entries[name] = Entry(name, item.stat().st_size if item.is_file() else 0)
                    _check_count(len(entries), path)
    return FolderReader(root), entries


def _list_zip(path: Path) -> tuple[Reader, dict[str, Entry]]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, struct.error, ValueError, OverflowError, NotImplementedError) as error:
        raise DataError(f"{path}: not a whole zip ({error}); delete it and fetch it again") from error
    _check_count(len(members), path)
    top = "" if any(member.filename == "wnids.txt" for member in members) else TOP_FOLDER + "/"
    files: dict[str, Entry] = {}
    for member in members:
        _check_member(member, path)
        name = member.filename.removeprefix(top)
        if member.is_dir() or not member.filename.startswith(top):
            continue
        if name in files:
            raise DataError(f"{path}: member {member.filename!r} is there twice; this is not the official zip")
        size, stored, method = member.file_size, member.compress_size, member.compress_type
        files[name] = Entry(name, size, member.header_offset, stored, method, member.CRC)
    return ZipReader(path), files


def _check_count(count: int, path: Path) -> None:
    if count > MAX_MEMBERS:
        raise DataError(f"{path}: more than {MAX_MEMBERS} files; Tiny ImageNet has about 120,000")


def _check_member(member: zipfile.ZipInfo, path: Path) -> None:
    name = member.filename
    # orig_filename too: zipfile cuts a name at its first NUL.
    if name != member.orig_filename or "\\" in name or name.startswith("/") or ":" in name or ".." in name.split("/"):
        wrong = "has a name that leaves its folder"
    elif stat.S_ISLNK(member.external_attr >> 16):
        wrong = "is a link"
    elif member.flag_bits & 0x1:
        wrong = "is encrypted"
    elif member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        wrong = f"has an unknown compression ({member.compress_type})"
    elif max(member.file_size, member.compress_size) > MAX_FILE_BYTES:
        wrong = f"is larger than {MAX_FILE_BYTES} bytes"
    else:
        return
    raise DataError(f"{path}: member {member.orig_filename!r} {wrong}; this is not the official zip")
