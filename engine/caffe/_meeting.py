"""How workers find each other: the places torchrun gives them, or processes of our own for ``--gpu 0,1``.

Workers meet at a torch.distributed.TCPStore. There each lays down a card (_card.py) with what it is about to
train; all wait until every card is there, within a time limit, compare them, and only then join the process group.
A worker that fails says why in the store, so that the others can say it too.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist

from caffe import _card, _device, _log, _multi_solver
from caffe._error import CaffeError, WorkerError
from caffe._log import logger
from caffe._workers import ALONE, Group, Workers

_FAREWELL_S = 5
"""How long the process that holds the store waits for the others to have read there why all end."""


@dataclass(frozen=True)
class Place:
    """Which of how many workers a process is.

    Attributes:
        rank, size: among all.
        local_rank, local_size: among those of this machine.
        address, port: where the store is; None where this process starts the other workers itself.
        held: whether somebody else, torchrun's agent, holds the store.
        attempt: how often torchrun has started the workers anew.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    address: str | None = None
    port: int | None = None
    held: bool = False
    attempt: str = "0"

    @classmethod
    def of(cls, environ: Mapping[str, str], gpus: int) -> Place:
        """The place that torchrun's environment variables give, else worker 0 of as many as there are GPUs named.

        Raises:
            CaffeError: the variables do not make sense.
        """
        if not ("RANK" in environ and "WORLD_SIZE" in environ):
            return cls(size=max(1, gpus), local_size=max(1, gpus))
        rank, size = _number(environ, "RANK"), _number(environ, "WORLD_SIZE")
        if size == 1 and rank == 0:
            return cls()
        if not 0 <= rank < size:
            raise CaffeError(f"RANK={rank} is no place among WORLD_SIZE={size} workers.")
        for name in ("MASTER_ADDR", "MASTER_PORT"):
            if not environ.get(name):
                raise CaffeError(f"RANK and WORLD_SIZE are set, but not {name}: start workers with torchrun.")
        return cls(
            rank,
            size,
            _number(environ, "LOCAL_RANK", 0),
            _number(environ, "LOCAL_WORLD_SIZE", 1),
            environ["MASTER_ADDR"],
            _number(environ, "MASTER_PORT"),
            environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
            environ.get("TORCHELASTIC_RESTART_COUNT", "0"),
        )

    @property
    def is_alone(self) -> bool:
        return self.size == 1


def _number(environ: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = environ.get(name)
    if text is None and default is not None:
        return default
    try:
        return int(text or "")
    except ValueError:
        raise CaffeError(f"{name}={text}: the environment variable should be a number, as torchrun sets it.") from None


@contextlib.contextmanager
def of_workers(place: Place, limit_s: int, arguments: Sequence[str]) -> Iterator[Meeting | None]:
    """Around a training by several workers; None for one alone.

    Args:
        limit_s: how long to wait for another worker, at the meeting and in each collective.
        arguments: the command line, for workers that this process starts.

    Raises:
        CaffeError: another worker is missing, has failed, or trains something else; on each worker.
    """
    if place.is_alone:
        yield None
        return
    _multi_solver.set_solver_count(place.size)
    _multi_solver.set_solver_rank(place.rank)
    _log.of_worker(place.rank)
    _share_cores(place)
    meeting = Meeting(place, limit_s, arguments)
    try:
        yield meeting
        meeting.part()
    except BaseException as error:
        meeting.tell(error)
        raise
    finally:
        meeting.close()


def _share_cores(place: Place) -> None:
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, torch.get_num_threads() // place.local_size))


class Meeting:
    """The store, the workers that this process has started, and the process group once all are there."""

    def __init__(self, place: Place, limit_s: int, arguments: Sequence[str]):
        self._place = place
        self._limit_s = limit_s
        self._failed = False
        self._children: dict[int, subprocess.Popen] = {}
        self._group: Workers = ALONE
        self._holds = place.rank == 0 and not place.held
        store = self._open()
        self._store = dist.PrefixStore(f"caffe/{place.attempt}", store)
        if place.address is None:
            self._start_others(store.port, arguments)

    def _open(self) -> dist.TCPStore:
        place = self._place
        address, port = place.address or "127.0.0.1", place.port or 0
        limit = timedelta(seconds=self._limit_s)
        found: list[dist.TCPStore | RuntimeError] = []
        listener = None
        if place.address is None:
            # TCPStore's own socket would listen to every network that this machine is on.
            with socket.create_server((address, 0)) as own:
                port, listener = own.getsockname()[1], own.detach()

        def look() -> None:
            try:
                if self._holds or _somebody_listens(address, port, self._limit_s):
                    found.append(
                        dist.TCPStore(
                            address, port, None, self._holds, limit, wait_for_workers=False, master_listen_fd=listener
                        )
                    )
            except RuntimeError as error:
                found.append(error)

        # In a thread: TCPStore keeps to its limit where nobody answers, but not where something else does.
        thread = threading.Thread(target=look, name="meeting", daemon=True)
        thread.start()
        thread.join(self._limit_s + 1)
        store = found[0] if found else None
        if not isinstance(store, dist.TCPStore):
            where = f"{address}, port {port}"
            if self._holds:
                raise CaffeError(
                    f"{where}, where workers are to meet, is in use or not this machine's ({_brief(found[0])}). "
                    "Choose another port (torchrun's --master-port)."
                )
            raise WorkerError(f"Worker 0 was not found at {where} within {self._limit_s} s: is it running?")
        return store

    def _start_others(self, port: int, arguments: Sequence[str]) -> None:
        """Start the workers of this machine but the first, which this process is: the same command in each."""
        size = self._place.size
        lead = {"WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        lead["OMP_NUM_THREADS"] = torch.get_num_threads()
        if "lo" in [name for _, name in socket.if_nameindex()]:
            os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        for rank in range(1, size):
            variables = {name: str(value) for name, value in {**lead, "RANK": rank, "LOCAL_RANK": rank}.items()}
            # -P: a folder named caffe where the user stands is not ours.
            command = [sys.executable, "-P", "-m", "caffe", *arguments]
            # In a process group of its own: a terminal's Ctrl-C reaches this process alone, which agrees with the others.
            self._children[rank] = subprocess.Popen(
                command, env=os.environ | variables, stdin=subprocess.DEVNULL, process_group=0
            )

    # ---- coming together ---------------------------------------------------------------------------

    def join(self, card: _card.Card) -> Workers:
        """Wait for all, see that all are about to train the same, and join the process group.

        Raises:
            WorkerError: one is missing, has failed, or differs.
        """
        try:
            self._lay_down(card)
            cards = self._wait_for_cards()
        except WorkerError:
            raise
        except RuntimeError as error:
            raise self.lost(error) from None
        _card.compare(cards)
        limit = timedelta(seconds=self._limit_s)
        backend = "cpu:gloo,cuda:nccl" if _device.current().type == "cuda" else "gloo"
        store = dist.PrefixStore("group", self._store)
        try:
            dist.init_process_group(
                backend, store=store, rank=self._place.rank, world_size=self._place.size, timeout=limit
            )
        except RuntimeError as error:
            raise self.lost(error) from None
        self._group = Group(self.lost)
        names = ", ".join(f"{rank} {each[_card.WHERE]}" for rank, each in enumerate(cards))
        logger.info("%d workers train together, each with batch_size records an iteration: %s", len(cards), names)
        logger.info("Losses are means over the workers; worker 0 tests and takes snapshots.")
        return self._group

    def _lay_down(self, card: _card.Card) -> None:
        mine = json.dumps({**card, _card.PROCESS: f"{socket.gethostname()} {os.getpid()}"})
        rank = self._place.rank
        if self._store.compare_set(f"card/{rank}", "", mine).decode() != mine:
            raise WorkerError(
                f"There is a worker {rank} already: another run meets at this port. Choose another "
                "(torchrun's --master-port)."
            )

    def _wait_for_cards(self) -> list[_card.Card]:
        size = self._place.size
        cards: dict[int, _card.Card] = {}
        until = time.monotonic() + self._limit_s
        while len(cards) < size:
            for rank in set(range(size)) - set(cards):
                if self._store.check([f"card/{rank}"]):
                    cards[rank] = json.loads(self._store.get(f"card/{rank}"))
            if len(cards) < size:
                if why := self._why():
                    raise WorkerError(why)
                if time.monotonic() > until:
                    missing = ", ".join(str(rank) for rank in range(size) if rank not in cards)
                    raise WorkerError(
                        f"Of {size} workers some did not come within {self._limit_s} s (--worker_timeout): {missing}."
                    )
                time.sleep(0.05)
        return [cards[rank] for rank in range(size)]

    # ---- when one fails ----------------------------------------------------------------------------

    def _why(self) -> str | None:
        """What is known of a worker that has failed."""
        if self._store.check(["failed"]):
            return self._store.get("failed").decode()
        for rank, child in self._children.items():
            if status := child.poll():
                how = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
                return f"Worker {rank} has ended with {how}."
        return None

    def lost(self, error: Exception) -> WorkerError:
        """What to raise where torch.distributed raises: why a worker failed, if it or the system says so."""
        until = time.monotonic() + 2
        why = None
        with contextlib.suppress(RuntimeError):  # the store is gone as well
            while not (why := self._why()) and time.monotonic() < until:
                time.sleep(0.05)
        why = why or f"A worker no longer answers ({_brief(error)})."
        return WorkerError(f"{why} Training cannot go on without it; --snapshot resumes from the last snapshot.")

    def tell(self, error: BaseException) -> None:
        """Say in the store why this worker fails, unless another was the first."""
        self._failed = True
        # Whatever of a broken group, a device's queue above all, would hold this process back.
        last = threading.Timer(4 * _FAREWELL_S, os._exit, [1])
        last.daemon = True
        last.start()
        if isinstance(error, WorkerError):
            return
        said = " ".join(str(error).split()) or type(error).__name__
        with contextlib.suppress(RuntimeError):
            self._store.compare_set("failed", "", f"Worker {self._place.rank} has failed: {said}")

    # ---- parting -----------------------------------------------------------------------------------

    def part(self) -> None:
        """Wait until all have come to the end."""
        self._group.agree(0)

    def close(self) -> None:
        """Leave the group; a process that holds the store or has started others sees them end."""
        if dist.is_initialized():
            dist.destroy_process_group()
        with contextlib.suppress(RuntimeError):
            self._store.set(f"left/{self._place.rank}", "")
            if self._failed and self._holds:
                self._wait_for_the_others()
        self._end_children()

    def _wait_for_the_others(self) -> None:
        others = set(range(1, self._place.size))
        until = time.monotonic() + _FAREWELL_S
        while others and time.monotonic() < until:
            gone = {rank for rank in others if rank in self._children and self._children[rank].poll() is not None}
            others -= gone | {rank for rank in others if self._store.check([f"left/{rank}"])}
            time.sleep(0.02)

    def _end_children(self) -> None:
        for end in (None, subprocess.Popen.terminate, subprocess.Popen.kill):
            for child in self._children.values():
                if end and child.poll() is None:
                    end(child)
            until = time.monotonic() + _FAREWELL_S
            for child in self._children.values():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(max(0, until - time.monotonic()))


def _somebody_listens(address: str, port: int, limit_s: float) -> bool:
    """Wait for it: TCPStore, where it has to wait, fills the log with its own source's addresses."""
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=limit_s):
            return True
        time.sleep(0.1)
    return False


def _brief(error: Exception) -> str:
    """The first line of what torch.distributed says, without where in its source it says so."""
    line = str(error).partition("\n")[0]
    return (line.rpartition("] ")[2] if line.startswith("[") else line).rstrip(". ")
