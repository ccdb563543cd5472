"""The board where workers meet: notices in a torch.distributed.TCPStore, each put up or read within a time limit.

TCPStore keeps to no limit where the machine that holds it is cut off, or its process is stopped: what is asked of it
then never returns. So it is asked in threads, and once one of them is stuck nothing more is asked.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch.distributed as dist

from caffe._error import CaffeError, WorkerError


class BoardGone(Exception):
    """The board does not answer."""


class Board:
    """Notices, each with a name, that all workers can read.

    Args:
        address, port: where it is; without an address it is made here, for this machine alone.
        holds: whether it is this process that holds it.
        limit_s: how long to look for it, and to wait for an answer.

    Attributes:
        port: where it is.

    Raises:
        CaffeError: its place is in use, or not on this machine.
        WorkerError: nobody holds it.
    """

    def __init__(self, address: str | None, port: int | None, holds: bool, limit_s: float):
        self._limit_s = limit_s
        self._stuck = False
        listener = None
        if address is None:
            # TCPStore's own socket would listen to every network that this machine is on.
            address, holds = "127.0.0.1", True
            with socket.create_server((address, 0)) as own:
                port, listener = own.getsockname()[1], own.detach()
        where = f"{address}, port {port}"

        def look() -> dist.TCPStore | None:
            if holds or _somebody_listens(address, port, limit_s):
                limit = timedelta(seconds=limit_s)
                return dist.TCPStore(address, port, None, holds, limit, False, master_listen_fd=listener)
            return None

        try:
            self._store: dist.Store | None = self._within(limit_s + 1, look)
            self.port = self._store.port if self._store else None
        except BoardGone as error:
            if holds:
                raise CaffeError(
                    f"{where}, where workers are to meet, is in use or not this machine's ({error}). "
                    "Choose another port (torchrun's --master-port)."
                ) from None
            self._store = None
        if self._store is None:
            raise WorkerError(f"Worker 0 was not found at {where} within {limit_s} s: is it running?")

    def use(self, part: str) -> None:
        """Keep to a part of the board: its notices have nothing to do with those of another part."""
        self._store = self.part(part)

    def part(self, name: str) -> dist.Store:
        """A part of the board for torch.distributed, which has its own time limit."""
        return dist.PrefixStore(name, self._store)

    def put(self, name: str, text: str, limit_s: float | None = None) -> None:
        """Put up a notice, and wait for no answer. Raises as ``claim`` does."""
        self._within(limit_s, lambda: self._store.set(name, text))

    def claim(self, name: str, text: str, limit_s: float | None = None) -> str:
        """Put up a notice, unless there is one of this name; returns what stands there then.

        Raises:
            BoardGone: there is no answer within the limit, or this board's own.
        """
        return self._within(limit_s, lambda: self._store.compare_set(name, "", text)).decode()

    def read(self, name: str, limit_s: float | None = None) -> str | None:
        """The notice of this name; None if there is none yet. Raises as ``claim`` does."""
        return self._within(limit_s, lambda: self._store.get(name).decode() if self._store.check([name]) else None)

    def _within(self, limit_s: float | None, ask: Callable[[], Any]) -> Any:
        if self._stuck:
            raise BoardGone("it has not answered before")
        found: list[Any] = []

        def work() -> None:
            try:
                found.append(ask())
            except RuntimeError as error:
                found.append(BoardGone(brief(error)))

        limit_s = self._limit_s if limit_s is None else limit_s
        thread = threading.Thread(target=work, name="board", daemon=True)
        thread.start()
        thread.join(limit_s)
        if not found:
            self._stuck = True
            raise BoardGone(f"no answer within {limit_s} s")
        if isinstance(found[0], BoardGone):
            raise found[0]
        return found[0]


def _somebody_listens(address: str, port: int, limit_s: float) -> bool:
    """Wait for it: TCPStore, where it has to wait, fills the log with its own source's addresses."""
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=limit_s):
            return True
        time.sleep(0.1)
    return False


def brief(error: Exception) -> str:
    """The first line of what torch.distributed says, without where in its source it says so."""
    line = str(error).partition("\n")[0]
    return (line.rpartition("] ")[2] if line.startswith("[") else line).rstrip(". ")
