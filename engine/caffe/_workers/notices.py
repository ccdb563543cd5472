"""The board for workers: notices in a torch.distributed.TCPStore, each written or read within a time limit.

TCPStore ignores its time limit if the network to its machine fails or its process is stopped. A request
then never returns. The board therefore asks it in threads, and asks nothing more once a thread is stuck.
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
        address, port: the board's place; without an address this process makes one for this machine alone.
        holds: True if this process holds the board.
        limit_s: seconds to look for the board, and to wait for an answer.

    Attributes:
        port: the board's port.

    Raises:
        CaffeError: the address is in use, or not on this machine.
        WorkerError: no process holds the board.
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
        """Use one part of the board; its notices are separate from those of other parts."""
        self._store = self.part(part)

    def part(self, name: str) -> dist.Store:
        """Return a part of the board for torch.distributed, which has its own time limit."""
        return dist.PrefixStore(name, self._store)

    def put(self, name: str, text: str, limit_s: float | None = None) -> None:
        """Write a notice without waiting for an answer. Raises as ``claim`` does."""
        self._within(limit_s, lambda: self._store.set(name, text))

    def claim(self, name: str, text: str, limit_s: float | None = None) -> str:
        """Write a notice unless there is one of this name; return the notice that stands there then.

        Raises:
            BoardGone: no answer came within the limit, which is the board's own by default.
        """
        return self._within(limit_s, lambda: self._store.compare_set(name, "", text)).decode()

    def read(self, name: str, limit_s: float | None = None) -> str | None:
        """Return the notice of this name, or None if there is none yet. Raises as ``claim`` does."""
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
    """Wait for a listener, because a waiting TCPStore fills the log with addresses in its own source."""
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=limit_s):
            return True
        time.sleep(0.1)
    return False


def brief(error: Exception) -> str:
    """The first line of torch.distributed's message, without the place in its source."""
    line = str(error).partition("\n")[0]
    return (line.rpartition("] ")[2] if line.startswith("[") else line).rstrip(". ")
