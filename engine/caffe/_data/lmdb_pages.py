"""Pages of an LMDB's data.mdb, each checked before its content is used.

The format is that of LMDB 0.9 on 64-bit little-endian machines (mdb.c: MDB_page, MDB_node, MDB_meta).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

BRANCH, LEAF, _IS_META = 1, 2, 8
NO_ROOT = 2**64 - 1
HEADER = 16  # bytes of a page's header
_DATABASE = [
    ("flags", "<u2"),
    ("depth", "<u2"),
    ("branch_pages", "<u8"),
    ("leaf_pages", "<u8"),
    ("overflow_pages", "<u8"),
    ("entries", "<u8"),
    ("root", "<u8"),
]
DATABASE = np.dtype([("pad", "<u4"), *_DATABASE])
_META = np.dtype(
    [
        ("magic", "<u4"),
        ("version", "<u4"),
        ("address", "<u8"),
        ("map_bytes", "<u8"),
        ("free", "V48"),
        ("flags_pad", "<u4"),
        *_DATABASE,
        ("last_page", "<u8"),
        ("transaction", "<u8"),
    ]
)
META_BYTES = HEADER + _META.itemsize
_MAGIC, _VERSION = 0xBEEFC0DE, 1
_MAGIC_BYTES, _MAGIC_OF_1_0 = _MAGIC.to_bytes(4, "little"), slice(24, 28)
_DEEPEST = 32  # levels that liblmdb's cursors hold
_BIG, _SUB, _REPEATED = 1, 2, 4  # flags of a node: its value has its own pages, is a database, is several values
_FLAGS = (0, _BIG, _SUB, _REPEATED, _SUB | _REPEATED)
_REVERSE_KEY, _INTEGER_KEY, _ANY_ORDER = 0x02, 0x08, 0x7E  # flags of a database

Read = Callable[[int, int], bytes]  # (number of bytes, offset) to those bytes, fewer at the end of the file


class Damaged(Exception):
    """The pages are not as LMDB writes them; the text names the fault."""


class Unreadable(Exception):
    """The LMDB is not damaged, but Caffe cannot read it; the text gives the reason and the remedy."""


@dataclass(frozen=True)
class State:
    """The newest committed state, from one of the first two pages.

    Attributes:
        metas: both pages' contents.
        slot: the number of the state's page.
    """

    meta: np.void
    page_bytes: int
    pages: int
    metas: tuple[bytes, bytes]
    slot: int

    @classmethod
    def read(cls, read: Read, file_bytes: int) -> "State":
        first = _checked_meta(read(META_BYTES, 0), file_bytes)
        page_bytes = int(np.frombuffer(first["free"].tobytes()[:4], "<u4")[0])
        if page_bytes not in {512 << shift for shift in range(8)}:
            raise Damaged(f"its pages are said to have {page_bytes} bytes")
        # A writer may be changing one of them, so read until they stay the same.
        metas = _metas(read, page_bytes)
        while (again := _metas(read, page_bytes)) != metas:
            metas = again
        found = [_checked_meta(content, file_bytes) for content in metas]
        slot = int(found[1]["transaction"] > found[0]["transaction"])
        pages = min(int(found[slot]["last_page"]) + 1, file_bytes // page_bytes)
        return cls(found[slot], page_bytes, pages, metas, slot)

    @property
    def transaction(self) -> int:
        """Number of the transaction that wrote this state."""
        return int(self.meta["transaction"])

    @property
    def entries(self) -> int:
        return int(self.meta["entries"])

    def check(self) -> None:
        if int(self.meta["flags"]) & ~_ANY_ORDER:
            raise Damaged(f"its keys are of another kind than LMDB knows (flags {self.meta['flags']})")
        if self.meta["root"] != NO_ROOT and not 1 <= self.meta["depth"] <= _DEEPEST:
            raise Damaged(f"its tree is said to be {self.meta['depth']} pages deep")

    def ranks(self, keys: list[bytes]) -> list[bytes] | list[int]:
        """The keys' sort order: the keys themselves, unless the LMDB was made with reverse_key or integerkey."""
        if self.meta["flags"] & _REVERSE_KEY:
            return [key[::-1] for key in keys]
        if self.meta["flags"] & _INTEGER_KEY:
            return [int.from_bytes(key, "little") for key in keys]
        return keys


def _metas(read: Read, page_bytes: int) -> tuple[bytes, bytes]:
    return read(META_BYTES, 0), read(META_BYTES, page_bytes)


def _checked_meta(content: bytes, file_bytes: int) -> np.void:
    if len(content) < META_BYTES:
        raise Damaged(f"the file has only {file_bytes} bytes")
    if content[_MAGIC_OF_1_0] == _MAGIC_BYTES:
        raise Unreadable(
            "the LMDB has the format of LMDB 1.0, and Caffe reads that of 0.9; write it again, by lmdb.open with "
            "lib_version=0"
        )
    meta = np.frombuffer(content, _META, offset=HEADER)[0]
    if not int.from_bytes(content[10:12], "little") & _IS_META or meta["magic"] != _MAGIC:
        raise Damaged("it does not begin as an LMDB does")
    if meta["version"] != _VERSION:
        raise Damaged(f"it is of version {meta['version']} of LMDB's format, not {_VERSION}")
    return meta


def transaction_of(meta: bytes) -> int:
    """The number of a first page's transaction."""
    return int.from_bytes(meta[META_BYTES - 8 :], "little")


@dataclass
class Records:
    """The records of some leaf pages.

    Attributes:
        keys: the keys in the order of the pages.
        key_starts, starts, ends: offsets in the file of each key and each value.
        big: True for values with their own pages.
        named: name and number of records of databases that replace values.
        repeated: the keys with several values.
    """

    keys: list[bytes]
    key_starts: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    big: np.ndarray
    named: list[tuple[bytes, int]]
    repeated: list[bytes]


@dataclass
class _Nodes:
    """The nodes of some pages: the page of each, its offset in all pages together, and its content."""

    page: np.ndarray
    at: np.ndarray
    key: np.ndarray  # length
    value: np.ndarray  # length
    flags: np.ndarray


class Pages:
    """Branch and leaf pages of one state.

    Raises:
        Damaged: (all methods) a page is not as LMDB writes it.
    """

    def __init__(self, read: Read, state: State):
        self._read = read
        self._size = state.page_bytes
        self.state = state

    def children(self, number: int) -> list[int]:
        """The pages below a branch page."""
        nodes = self._nodes([number], self._page(number, BRANCH))
        self._refuse(nodes.at + 8 + nodes.key > self._size, [number], nodes.page, "a key of page {} lies beyond it")
        return (nodes.value | nodes.flags << 32).tolist()

    def records(self, numbers: list[int]) -> Records:
        """The records of leaf pages; NumPy takes as long for one page as for twenty, so pass many."""
        content = b"".join([self._page(number, LEAF) for number in numbers])
        nodes = self._nodes(numbers, content)
        big = nodes.flags == _BIG
        strange = (nodes.key == 0) | ~np.isin(nodes.flags, _FLAGS)
        self._refuse(strange, numbers, nodes.page, "page {} holds something else than records")
        key_starts = nodes.at + 8
        starts = key_starts + nodes.key
        beyond = starts + np.where(big, 8, nodes.value) > (nodes.page + 1) * self._size
        self._refuse(beyond, numbers, nodes.page, "a record of page {} lies beyond it")
        keys = [content[a:b] for a, b in zip(key_starts.tolist(), starts.tolist(), strict=True)]
        named, repeated = [], []
        for index in np.flatnonzero(nodes.flags & ~_BIG).tolist():
            if nodes.flags[index] == _SUB:
                value = content[starts[index] : starts[index] + nodes.value[index]]
                named.append((keys[index], self._named(numbers[nodes.page[index]], value)))
            else:
                repeated.append(keys[index])
        first = np.frombuffer(content, np.uint8)[starts[big][:, None] + np.arange(8)].view("<u8")[:, 0]
        outside = (first < 2) | (first >= self.state.pages)
        text = f"a record of page {{}} lies beyond the file's {self.state.pages} pages"
        self._refuse(outside, numbers, nodes.page[big], text)
        move = (np.array(numbers) - np.arange(len(numbers)))[nodes.page] * self._size
        starts += move
        starts[big] = first.astype(np.int64) * self._size + HEADER
        return Records(keys, key_starts + move, starts, starts + nodes.value, big, named, repeated)

    def _page(self, number: int, kind: int) -> bytes:
        if not 2 <= number < self.state.pages:
            raise Damaged(f"page {number} lies beyond its {self.state.pages} pages")
        page = self._read(self._size, number * self._size)
        if len(page) < self._size:
            raise Damaged(f"page {number} is cut")
        stored, flags = int.from_bytes(page[:8], "little"), int.from_bytes(page[10:12], "little")
        if stored != number or flags != kind:
            raise Damaged(f"page {number} says of itself that it is page {stored} of kind {flags}, not {kind}")
        return page

    def _nodes(self, numbers: list[int], content: bytes) -> _Nodes:
        words = np.frombuffer(content, "<u2").astype(np.int64)
        rows = words.reshape(len(numbers), -1)
        lower, upper = rows[:, 6], rows[:, 7]
        wrong = (lower % 2 != 0) | (lower <= HEADER) | (lower > upper) | (upper > self._size)
        self._refuse(wrong, numbers, np.arange(len(numbers)), "page {} has no nodes, or they lie beyond it")
        page, column = np.nonzero(np.arange(HEADER // 2, lower.max() // 2) < lower[:, None] // 2)
        at = rows[page, HEADER // 2 + column]
        wrong = (at % 2 != 0) | (at < upper[page]) | (at > self._size - 8)
        self._refuse(wrong, numbers, page, "a node of page {} lies beyond it")
        at += page * self._size
        low, high, flags, key = words[(at // 2)[:, None] + np.arange(4)].T
        return _Nodes(page, at, key, low | high << 16, flags)

    def _refuse(self, wrong: np.ndarray, numbers: list[int], page: np.ndarray, text: str) -> None:
        if wrong.any():
            raise Damaged(text.format(numbers[page[wrong.argmax()]]))

    def _named(self, number: int, value: bytes) -> int:
        """The number of records of a database that replaces a value."""
        if len(value) == DATABASE.itemsize:
            database = np.frombuffer(value, DATABASE)[0]
            if database["root"] == NO_ROOT or 2 <= database["root"] < self.state.pages:
                if database["depth"] <= _DEEPEST and not int(database["flags"]) & ~_ANY_ORDER:
                    return int(database["entries"])
        raise Damaged(f"page {number} holds something else than records")
