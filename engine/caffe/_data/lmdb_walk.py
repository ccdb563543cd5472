"""One walk through the tree of an LMDB's pages, which checks the tree and finds the records."""

from array import array
from operator import lt

import numpy as np

from caffe._data.lmdb_pages import NO_ROOT, Damaged, Pages, Read, Records, State, Unreadable

_AT_ONCE = 64  # leaf pages checked together
_NAMED = 5  # names that a message lists


class Index:
    """The places of an LMDB's records in its file, in the order of their keys; each takes 27 bytes."""

    def __init__(self) -> None:
        self.key_starts, self.key_lengths = array("q"), array("H")
        self.starts, self.ends = array("q"), array("q")
        self.big = bytearray()  # 1 for values with their own pages

    def __len__(self) -> int:
        return len(self.starts)

    def add(self, records: Records) -> None:
        self.key_starts.frombytes(records.key_starts.tobytes())
        self.key_lengths.extend(map(len, records.keys))
        self.starts.frombytes(records.starts.tobytes())
        self.ends.frombytes(records.ends.tobytes())
        self.big += records.big.tobytes()


def walk(read: Read, state: State) -> Index:
    """Find the records of a state.

    Raises:
        Damaged: a page is missing or not as LMDB writes it.
        Unreadable: the LMDB holds named databases, or several values under a key.
    """
    return _Walk(read, state).run()


class _Walk:
    def __init__(self, read: Read, state: State):
        self.state = state
        self.pages = Pages(read, state)
        self.index = Index()
        self.branches = self.leaves = 0
        self.seen: set[int] = set()
        self.last: list[bytes] | list[int] = []
        self.named: list[tuple[bytes, int]] = []
        self.repeated: list[bytes] = []

    def run(self) -> Index:
        self.state.check()
        meta = self.state.meta
        if meta["root"] != NO_ROOT:
            self._walk(int(meta["root"]), int(meta["depth"]))
        if self.repeated:
            raise Unreadable(
                f"the LMDB is whole, but key {self.repeated[0].decode(errors='replace')} has several values (dupsort), "
                "which is not supported; write the records to a new LMDB, each under a key of its own"
            )
        found = (len(self.index), self.branches, self.leaves, self._check_extents())
        said = tuple(int(meta[name]) for name in ("entries", "branch_pages", "leaf_pages", "overflow_pages"))
        if found != said:
            raise Damaged(f"it has {found} records, branch, leaf and overflow pages, and is said to have {said}")
        if self.named:
            self._refuse_names()
        return self.index

    def _walk(self, root: int, depth: int) -> None:
        pending = [([root], 1)]  # pages of one parent, and their level
        while pending:
            numbers, level = pending.pop()
            if level == depth:
                for start in range(0, len(numbers), _AT_ONCE):
                    self._leaves(numbers[start : start + _AT_ONCE])
                continue
            self._meet(numbers[:1])
            self.branches += 1
            if numbers[1:]:
                pending.append((numbers[1:], level))
            pending.append((self.pages.children(numbers[0]), level + 1))

    def _meet(self, numbers: list[int]) -> None:
        for number in numbers:
            if number in self.seen:
                raise Damaged(f"page {number} is there twice")
            self.seen.add(number)

    def _leaves(self, numbers: list[int]) -> None:
        self._meet(numbers)
        self.leaves += len(numbers)
        records = self.pages.records(numbers)
        self.index.add(records)
        self.named += records.named
        self.repeated += records.repeated
        ranks = self.last + self.state.ranks(records.keys)
        if not all(map(lt, ranks, ranks[1:])):
            raise Damaged(f"the keys of pages {numbers[0]} to {numbers[-1]} are not in order")
        self.last = ranks[-1:]

    def _check_extents(self) -> int:
        """Check that large records lie in the file and do not overlap; returns their number of pages."""
        big = np.flatnonzero(np.frombuffer(self.index.big, np.bool_))
        if not len(big):
            return 0
        size = self.state.page_bytes
        first = np.frombuffer(self.index.starts, np.int64)[big] // size
        end = (np.frombuffer(self.index.ends, np.int64)[big] - 1) // size + 1
        order = first.argsort()
        if end.max() > self.state.pages or (end[order][:-1] > first[order][1:]).any():
            raise Damaged("records lie over each other or beyond the file")
        return int((end - first).sum())

    def _refuse_names(self) -> None:
        shown = [f"'{name.decode(errors='replace')}' (records: {count})" for name, count in self.named[:_NAMED]]
        more = f" and {len(self.named) - _NAMED} more" if len(self.named) > _NAMED else ""
        beside = len(self.index) - len(self.named)
        raise Unreadable(
            f"the LMDB is whole, but it has named databases, which Caffe cannot read: {', '.join(shown)}{more}"
            + (f", beside {beside} records without one" if beside else "")
            + "; write the records to a new LMDB without a name: lmdb.open without max_dbs, no open_db, and "
            "env.begin(write=True) without db"
        )
