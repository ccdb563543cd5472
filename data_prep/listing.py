"""What files a data set has, be it a zip or a folder, checked before anything is read."""

import os
import stat
import struct
import zipfile
from pathlib import Path

from data_prep.archive import MAX_FILE_BYTES, Entry, FolderReader, Reader, ZipReader
from data_prep.errors import DataError
from data_prep.zip_directory import Place, plain_members

TOP_FOLDER = "tiny-imagenet-200"
MAX_MEMBERS = 1_000_000


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
                    # Not its size: asking for 100,000 of them takes longer than the rest of the listing.
                    entries[name] = Entry(name)
        _check_count(len(entries), path)
    return FolderReader(root), entries


def _list_zip(path: Path) -> tuple[Reader, dict[str, Entry]]:
    files = plain_members(path)
    if files is None:
        files = _any_members(path)
    _check_count(len(files), path)
    top = "" if "wnids.txt" in files else TOP_FOLDER + "/"
    cut = len(top)
    return ZipReader(path), {
        name[cut:]: Entry(name[cut:], *place) for name, place in files.items() if name.startswith(top)
    }


def _any_members(path: Path) -> dict[str, Place]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, struct.error, ValueError, OverflowError, NotImplementedError) as error:
        raise DataError(f"{path}: not a whole zip ({error}); delete it and fetch it again") from error
    files: dict[str, Place] = {}
    for member in members:
        _check_member(member, path)
        name = member.filename
        if name in files:
            raise DataError(f"{path}: member {name!r} is there twice; this is not the official zip")
        if not member.is_dir():
            size, stored, method = member.file_size, member.compress_size, member.compress_type
            files[name] = (size, member.header_offset, stored, method, member.CRC)
    return files


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
