"""Lists the files of a data set (a zip or a folder) and checks them before any is read."""

import hashlib
import os
import stat
import struct
import zipfile
from collections.abc import Iterable
from pathlib import Path

from data_prep.archive import MAX_FILE_BYTES, Entry, FolderReader, Reader, ZipReader
from data_prep.zip_directory import Place, plain_members
from harness.errors import UserError

TOP_FOLDER = "tiny-imagenet-200"
MAX_MEMBERS = 1_000_000
# The limit for all files together; the official set has a quarter of a gigabyte.
MAX_TOTAL_BYTES = 4 << 30
# The largest ratio of size to stored size. JPEGs have 1, the set's lists up to 6; deflate can reach 1032.
MAX_RATIO = 50
# The limit for a zip's directory, which is read whole before its members are counted. The official one has 13 million.
MAX_DIRECTORY_BYTES = 64 << 20
_END = struct.Struct("<4s4H2LH")
_ZIP64_LOCATOR = struct.Struct("<4sLQL")
_ZIP64_END = struct.Struct("<4sQ2H2L4Q")
_LOCAL_HEADER_BYTES = 30
# The file may be the user's only copy of something else, so no message asks to delete it.
_OTHER = "name the zip of Tiny ImageNet, or its unpacked folder: make data TINY_IMAGENET=path"
_PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"7z\xbc\xaf": "7z", b"Rar!": "RAR",
           b"\x28\xb5\x2f\xfd": "zstd"}  # fmt: skip


def list_files(path: Path) -> tuple[Reader, dict[str, Entry]]:
    """A reader for the set at ``path`` (zip or folder) and its entries by path below the top folder.

    Raises ``UserError`` if there is nothing at ``path``, or if the zip is cut or damaged. Content that no data set has
    is refused too. Examples are a name that leaves its folder, a link, encryption, a giant member, too many members.
    """
    if path.is_dir():
        return _list_folder(path)
    if path.is_file():
        return _list_zip(path)
    raise UserError(f"{path}: no such zip or folder; run `make data`, or set TINY_IMAGENET to where the set is")


def _list_folder(path: Path) -> tuple[Reader, dict[str, Entry]]:
    root = path / TOP_FOLDER if (path / TOP_FOLDER / "wnids.txt").is_file() else path
    entries: dict[str, Entry] = {}
    # The official layout is four levels deep. This limit also ends a loop of links.
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
                    # The size is left out: reading 100,000 of them takes longer than the rest of the listing.
                    entries[name] = Entry(name)
        _check_count(len(entries), path)
    return FolderReader(root), entries


def _list_zip(path: Path) -> tuple[Reader, dict[str, Entry]]:
    said = _directory_count(path)
    files = plain_members(path)
    if files is None:
        files = _any_members(path, said)
    _check_count(len(files), path)
    _check_places(files, path)
    top = "" if "wnids.txt" in files else TOP_FOLDER + "/"
    cut = len(top)
    reader, entries = ZipReader(path), {}
    for name, place in files.items():
        # Images are compared with their names when they are read. A damaged name may not look like an image's.
        if not (name.startswith(top) and name.endswith(".JPEG")):
            reader.check_name(Entry(name, *place))
        if name.startswith(top):
            entries[name[cut:]] = Entry(name[cut:], *place)
    return reader, entries


def _directory_count(path: Path) -> int | None:
    """The number of members that the end of a zip states; None if it has no end, which zipfile reports.

    Raises ``UserError`` if the directory is so long that reading it would fill the memory.
    """
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        # The end of a zip stands before a comment of up to 65535 bytes.
        file.seek(max(0, size - _END.size - 0xFFFF))
        tail = file.read()
        at = tail.rfind(b"PK\5\6")
        if at < 0 or len(tail) < at + _END.size:
            return None
        *_, count, directory_bytes, _, _ = _END.unpack_from(tail, at)
        locator = tail[max(0, at - _ZIP64_LOCATOR.size) : at]
        if locator.startswith(b"PK\6\7"):
            file.seek(min(size, _ZIP64_LOCATOR.unpack(locator)[2]))
            end = file.read(_ZIP64_END.size)
            if len(end) == _ZIP64_END.size:
                *_, count, directory_bytes, _ = _ZIP64_END.unpack(end)
    if directory_bytes > MAX_DIRECTORY_BYTES:
        raise UserError(f"{path}: its directory takes {directory_bytes} bytes; this is not the official zip")
    return count


def _check_places(files: dict[str, Place], path: Path) -> None:
    """Check that members lie in the zip and apart, and that their compression and total size are plausible.

    Overlapping members let a small zip hold a thousand times its size.
    """
    zip_bytes = path.stat().st_size
    total = total_stored = 0
    for name, (size, offset, stored, _, _) in files.items():
        total += size
        total_stored += _LOCAL_HEADER_BYTES + stored
        if not 0 <= offset <= zip_bytes - _LOCAL_HEADER_BYTES - stored:
            raise UserError(f"{path}: member {name!r:.80} lies outside it, so the zip is damaged; {_OTHER}")
        if size > MAX_RATIO * stored + 1024:
            raise UserError(f"{path}: member {name!r:.80} has {size} bytes in {stored}; this is not the official zip")
    if total > MAX_TOTAL_BYTES:
        raise UserError(f"{path}: holds more than {MAX_TOTAL_BYTES} bytes; this is not the official zip")
    if total_stored > zip_bytes:
        raise UserError(f"{path}: its members are larger than itself; this is not the official zip")


def _any_members(path: Path, said: int | None) -> dict[str, Place]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    # A damaged zip raises BadZipFile, or struct.error, ValueError, OverflowError, OSError, NotImplementedError.
    except Exception as error:
        raise UserError(f"{path}: {_no_zip(path, error)}; {_OTHER}") from error
    # A damaged length in the directory makes zipfile skip the members after it.
    if said is not None and len(members) != said:
        raise UserError(
            f"{path}: {said} members are said to be there, and {len(members)} are, so the zip is damaged; {_OTHER}"
        )
    files: dict[str, Place] = {}
    for member in members:
        _check_member(member, path)
        name = member.filename
        if name in files:
            raise UserError(f"{path}: member {name!r} is there twice; this is not the official zip")
        if not member.is_dir():
            size, stored, method = member.file_size, member.compress_size, member.compress_type
            files[name] = (size, member.header_offset, stored, method, member.CRC)
    return files


def files_digest(reader: Reader, entries: Iterable[Entry]) -> str:
    """SHA-256 of files' names and sizes, and of their checksums if a zip states them. No file is read."""
    digest = hashlib.sha256()
    for entry in sorted(entries):
        digest.update(f"{entry.name} {reader.size(entry)} {entry.crc}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _no_zip(path: Path, error: Exception) -> str:
    """The reason why a file is no whole zip: it is cut, or its first bytes show another kind."""
    with open(path, "rb") as file:
        start = file.read(262)
    if not start:
        return "an empty file"
    if start.startswith(b"PK"):
        return f"not a whole zip ({error}): it may be cut or damaged, so copy or download it once more"
    if start[257:] == b"ustar":
        return "a tar archive and no zip: unpack it"
    kind = next((kind for begin, kind in _PACKED.items() if start.startswith(begin)), None)
    return f"packed with {kind} and no zip: unpack it" if kind else f"not a zip ({error})"


def _check_count(count: int, path: Path) -> None:
    if count > MAX_MEMBERS:
        raise UserError(f"{path}: more than {MAX_MEMBERS} files; Tiny ImageNet has about 120,000")


def _check_member(member: zipfile.ZipInfo, path: Path) -> None:
    name = member.filename
    # orig_filename is checked too: zipfile cuts a name at its first NUL.
    if name != member.orig_filename or "\\" in name or name.startswith("/") or ":" in name or ".." in name.split("/"):
        wrong = "has a name that leaves its folder"
    elif stat.S_ISLNK(member.external_attr >> 16):
        wrong = "is a link"
    elif member.flag_bits & 0x1:
        wrong = "is encrypted"
    elif member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        wrong = f"has an unknown compression ({member.compress_type})"
    elif member.is_dir() and member.file_size:
        wrong = "is a folder with something in it"
    elif max(member.file_size, member.compress_size) > MAX_FILE_BYTES:
        wrong = f"is larger than {MAX_FILE_BYTES} bytes"
    else:
        return
    raise UserError(f"{path}: member {member.orig_filename!r} {wrong}; this is not the official zip")
