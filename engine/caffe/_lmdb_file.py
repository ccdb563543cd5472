"""LMDBs are opened here, to be read, after a look at their pages.

liblmdb maps the file into memory and believes what stands in it: a file that was cut ends the process with
SIGBUS, a flipped byte ends it or makes records disappear. So the tree of pages is walked first, with reads that
only can fall short. That takes the branch and leaf pages, about one page in 160 of Tiny ImageNet's, and not the
records; what a record holds is checked when it is read (_datum.py), and of a pixel nobody can know.
``lmdb.verify``, which looks at more, reads a page of every record: minutes on a cold disk.

The format is that of LMDB 0.9 on 64-bit little-endian machines (mdb.c: MDB_page, MDB_node, MDB_meta).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import lmdb
import numpy as np

from caffe._error import DataError

_HEADER = 16  # bytes of a page's header
_META = np.dtype(
    [
        ("magic", "<u4"),
        ("version", "<u4"),
        ("address", "<u8"),
        ("map_bytes", "<u8"),
        ("free", "V48"),
        ("flags_pad", "<u4"),
        ("flags", "<u2"),
        ("depth", "<u2"),
        ("branch_pages", "<u8"),
        ("leaf_pages", "<u8"),
        ("overflow_pages", "<u8"),
        ("entries", "<u8"),
        ("root", "<u8"),
        ("last_page", "<u8"),
        ("transaction", "<u8"),
    ]
)
_MAGIC, _VERSION = 0xBEEFC0DE, 1
_BRANCH, _LEAF, _IS_META = 1, 2, 8
_BIG = 1  # flag of a node whose value has pages of its own
_DEEPEST = 32  # levels that liblmdb's cursors hold
_NO_ROOT = 2**64 - 1
_TO_DO = "build it again, or copy it again from where it is whole"


def open_lmdb(source: str) -> lmdb.Environment:
    """An LMDB, open to be read; nothing is created and nothing locked, so the folder may be read-only.

    Args:
        source: its folder.

    Raises:
        DataError: it is missing, cut, damaged, or not an LMDB of records.
    """
    path = Path(source)
    if not (path / "data.mdb").is_file():
        raise DataError(f"Data source {source} is not an LMDB: there is no {path / 'data.mdb'}.")
    check(path / "data.mdb")
    with reading(source):
        return lmdb.open(str(path), readonly=True, lock=False, create=False, max_readers=1)


@contextmanager
def reading(source: str) -> Iterator[None]:
    """Around what is done with an open LMDB: what liblmdb finds wrong becomes a DataError that names the folder."""
    try:
        yield
    except lmdb.Error as error:
        if "already open in this process" in str(error):
            raise DataError(
                f"Data source {source} is open in this process already, by lmdb.open: close that environment first."
            ) from None
        raise DataError(f"Data source {source} cannot be read: {error}; {_TO_DO}.") from None


def check(path: Path) -> int:
    """Walk the pages of a data.mdb; returns how many records it holds.

    Raises:
        DataError: it is cut or damaged, or is not an LMDB of records.
    """
    try:
        with open(path, "rb", buffering=0) as file:
            return _Walk(file.fileno(), str(path)).records()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from None
    except _Damaged as damage:
        raise DataError(f"{path}: {damage}: the LMDB is cut or damaged; {_TO_DO}.") from None


class _Damaged(Exception):
    """What is wrong with a page."""


@dataclass
class _Leaf:
    """The nodes of a leaf page: where they lie and how long their keys and values are."""

    at: np.ndarray
    flags: np.ndarray
    key: np.ndarray
    value: np.ndarray


class _Walk:
    def __init__(self, descriptor: int, path: str):
        self.descriptor = descriptor
        self.file_bytes = os.fstat(descriptor).st_size
        self.path = path
        self.meta, self.page_bytes = self._newer_meta()
        self.pages = min(int(self.meta["last_page"]) + 1, self.file_bytes // self.page_bytes)
        self.counts = {_BRANCH: 0, _LEAF: 0}
        self.entries = 0
        self.last_key = b""
        self.extents: list[np.ndarray] = []  # (number of pages' first, number) of values with pages of their own

    def _newer_meta(self) -> tuple[np.void, int]:
        first = self._meta(0)
        page_bytes = int(np.frombuffer(first["free"].tobytes()[:4], "<u4")[0])
        if page_bytes not in {512 << shift for shift in range(8)}:
            raise _Damaged(f"its pages are said to have {page_bytes} bytes")
        second = self._meta(page_bytes)
        return (second if second["transaction"] > first["transaction"] else first), page_bytes

    def _meta(self, offset: int) -> np.void:
        content = os.pread(self.descriptor, _HEADER + _META.itemsize, offset)
        if len(content) < _HEADER + _META.itemsize:
            raise _Damaged(f"the file has only {self.file_bytes} bytes")
        meta = np.frombuffer(content, _META, offset=_HEADER)[0]
        if not int.from_bytes(content[10:12], "little") & _IS_META or meta["magic"] != _MAGIC:
            raise _Damaged("it does not begin as an LMDB does")
        if meta["version"] != _VERSION:
            raise _Damaged(f"it is of version {meta['version']} of LMDB's format, not {_VERSION}")
        return meta

    def records(self) -> int:
        meta = self.meta
        if meta["flags"]:
            raise _Damaged(f"its keys are of another kind than Caffe's (flags {meta['flags']})")
        if meta["root"] != _NO_ROOT:
            if not 1 <= meta["depth"] <= _DEEPEST:
                raise _Damaged(f"its tree is said to be {meta['depth']} pages deep")
            self._walk_tree(int(meta["root"]), int(meta["depth"]))
        overflow = self._check_extents()
        found = (self.entries, self.counts[_BRANCH], self.counts[_LEAF], overflow)
        said = tuple(int(meta[name]) for name in ("entries", "branch_pages", "leaf_pages", "overflow_pages"))
        if found != said:
            raise _Damaged(f"it has {found} records, branch, leaf and overflow pages, and is said to have {said}")
        return self.entries

    def _walk_tree(self, root: int, depth: int) -> None:
        pending = [(root, 1)]
        seen = set()
        while pending:
            number, level = pending.pop()
            if number in seen:
                raise _Damaged(f"page {number} is there twice")
            seen.add(number)
            kind = _LEAF if level == depth else _BRANCH
            page = self._page(number, kind)
            self.counts[kind] += 1
            if kind == _LEAF:
                self._check_leaf(number, page)
            else:
                children = self._children(number, page)
                pending += [(child, level + 1) for child in reversed(children)]

    def _page(self, number: int, kind: int) -> bytes:
        if not 2 <= number < self.pages:
            raise _Damaged(f"page {number} lies beyond its {self.pages} pages")
        page = os.pread(self.descriptor, self.page_bytes, number * self.page_bytes)
        if len(page) < self.page_bytes:
            raise _Damaged(f"page {number} is cut")
        stored, flags = int.from_bytes(page[:8], "little"), int.from_bytes(page[10:12], "little")
        if stored != number or flags != kind:
            raise _Damaged(f"page {number} says of itself that it is page {stored} of kind {flags}, not {kind}")
        return page

    def _nodes(self, number: int, page: bytes) -> _Leaf:
        words = np.frombuffer(page, "<u2")
        lower, upper = int(words[6]), int(words[7])
        if lower % 2 or not _HEADER < lower <= upper <= self.page_bytes:
            raise _Damaged(f"page {number} has no nodes, or they lie beyond it")
        at = words[_HEADER // 2 : lower // 2].astype(np.int64)
        if (at % 2).any() or at.min() < upper or at.max() > self.page_bytes - 8:
            raise _Damaged(f"a node of page {number} lies beyond it")
        word = at // 2
        value = words[word] | words[word + 1].astype(np.int64) << 16
        return _Leaf(at, words[word + 2].astype(np.int64), words[word + 3].astype(np.int64), value)

    def _children(self, number: int, page: bytes) -> list[int]:
        nodes = self._nodes(number, page)
        if (nodes.at + 8 + nodes.key > self.page_bytes).any():
            raise _Damaged(f"a key of page {number} lies beyond it")
        return (nodes.value | nodes.flags << 32).tolist()

    def _check_leaf(self, number: int, page: bytes) -> None:
        nodes = self._nodes(number, page)
        big = nodes.flags == _BIG
        if (nodes.flags[~big] != 0).any() or (nodes.key == 0).any():
            raise _Damaged(f"page {number} holds something else than records")
        start = nodes.at + 8 + nodes.key
        if (start + np.where(big, 8, nodes.value) > self.page_bytes).any():
            raise _Damaged(f"a record of page {number} lies beyond it")
        self.entries += len(nodes.at)
        for at, length in zip(nodes.at.tolist(), nodes.key.tolist(), strict=True):
            key = page[at + 8 : at + 8 + length]
            if key <= self.last_key:
                raise _Damaged(f"the keys of page {number} are not in order")
            self.last_key = key
        if big.any():
            place = np.frombuffer(page, np.uint8)[start[big][:, None] + np.arange(8)]
            first = place.view("<u8")[:, 0]
            count = (_HEADER - 1 + nodes.value[big]) // self.page_bytes + 1
            if (first < 2).any() or (first >= self.pages).any():
                raise _Damaged(f"a record of page {number} lies beyond the file's {self.pages} pages")
            self.extents.append(np.stack([first.astype(np.int64), count], axis=1))

    def _check_extents(self) -> int:
        """That records with pages of their own lie in the file and apart; returns how many pages they take."""
        if not self.extents:
            return 0
        extents = np.concatenate(self.extents)
        extents = extents[extents[:, 0].argsort()]
        end = extents.sum(axis=1)
        if end[-1] > self.pages or (end[:-1] > extents[1:, 0]).any():
            raise _Damaged("records lie over each other or beyond the file")
        return int(extents[:, 1].sum())
