"""The workers' rendezvous, with places from torchrun or with our own processes for ``--gpu 0,1``.

Workers meet at a board (notices.py). Each writes a card (card.py) that describes its training. All wait
for every card, within a time limit, and compare them. Only then do they join the process group. A worker
that fails writes the reason on the board, so that the others can report it too.
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

from caffe import _log
from caffe._device import device
from caffe._error import CaffeError, WorkerError
from caffe._log import logger
from caffe._workers import card as _card
from caffe._workers import multi_solver
from caffe._workers.notices import Board, BoardGone, brief
from caffe._workers.workers import ALONE, Group, Workers

_FAREWELL_S = 5
"""Seconds that the board's process waits for the others to read the reason of the end."""

_ANSWER_S = 2
"""Seconds that a worker waits at its end for the board's answer."""


@dataclass(frozen=True)
class Place:
    """A process's number among the workers.

    Attributes:
        rank, size: number among all workers, and how many there are.
        local_rank, local_size: the same among those of this machine.
        address, port: the board's place; None if this process starts the other workers itself.
        held: True if another process, torchrun's agent, holds the board.
        attempt: torchrun's count of restarts.
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
        """The place in torchrun's environment variables; otherwise worker 0 with one worker per named GPU.

        Raises:
            CaffeError: the variables are not consistent.
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
        port = _number(environ, "MASTER_PORT")
        if not 0 < port < 1 << 16:
            raise CaffeError(f"MASTER_PORT={port} is no port: these are 1 to 65535.")
        return cls(
            rank,
            size,
            _number(environ, "LOCAL_RANK", 0),
            _number(environ, "LOCAL_WORLD_SIZE", 1),
            environ["MASTER_ADDR"],
            port,
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
def of_workers(place: Place, limit_s: int, arguments: Sequence[str]) -> Iterator[Rendezvous | None]:
    """Surround a training by several workers; a single worker gets None.

    Args:
        limit_s: seconds to wait for another worker, at the rendezvous and in each collective.
        arguments: the command line, for workers that this process starts.

    Raises:
        CaffeError: another worker is missing, has failed, or trains something else; each worker raises it.
    """
    if place.is_alone:
        yield None
        return
    multi_solver.set_solver_count(place.size)
    multi_solver.set_solver_rank(place.rank)
    _log.of_worker(place.rank)
    _share_cores(place)
    rendezvous = Rendezvous(place, limit_s, arguments)
    try:
        yield rendezvous
        rendezvous.part()
    except BaseException as error:
        rendezvous.report(error)
        raise
    finally:
        rendezvous.close()


def _share_cores(place: Place) -> None:
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, torch.get_num_threads() // place.local_size))


class Rendezvous:
    """The board, this process's child workers, and the process group once all are there."""

    def __init__(self, place: Place, limit_s: int, arguments: Sequence[str]):
        self._place = place
        self._limit_s = limit_s
        self._failed = False
        self._children: dict[int, subprocess.Popen] = {}
        self._group: Workers = ALONE
        self._holds = place.rank == 0 and not place.held
        self._board = Board(place.address, place.port, self._holds, limit_s)
        self._board.use(f"caffe/{place.attempt}")
        if place.address is None:
            self._start_others(self._board.port, arguments)

    def _start_others(self, port: int, arguments: Sequence[str]) -> None:
        """Start this machine's other workers with the same command; this process is the first."""
        size = self._place.size
        lead = {"WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        lead["OMP_NUM_THREADS"] = torch.get_num_threads()
        if "lo" in [name for _, name in socket.if_nameindex()]:
            os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        for rank in range(1, size):
            variables = {name: str(value) for name, value in {**lead, "RANK": rank, "LOCAL_RANK": rank}.items()}
            # -P: ignore a folder named caffe in the user's working folder.
            command = [sys.executable, "-P", "-m", "caffe", *arguments]
            # With its own process group, a terminal's Ctrl-C reaches only this process, which agrees with the others.
            self._children[rank] = subprocess.Popen(
                command, env=os.environ | variables, stdin=subprocess.DEVNULL, process_group=0
            )

    # ---- coming together ---------------------------------------------------------------------------

    def join(self, card: _card.Card) -> Workers:
        """Wait for all workers, check that all train the same, and join the process group.

        Raises:
            WorkerError: a worker is missing, has failed, or differs.
        """
        try:
            self._put_up(card)
            cards = self._wait_for_cards()
        except BoardGone as error:
            raise self.lost(error) from None
        _card.compare(cards)
        limit = timedelta(seconds=self._limit_s)
        backend = "cpu:gloo,cuda:nccl" if device.current().type == "cuda" else "gloo"
        store = self._board.part("group")
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

    def _put_up(self, card: _card.Card) -> None:
        mine = json.dumps({**card, _card.PROCESS: f"{socket.gethostname()} {os.getpid()}"})
        rank = self._place.rank
        if self._board.claim(f"card/{rank}", mine) != mine:
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
                if card := self._board.read(f"card/{rank}"):
                    cards[rank] = json.loads(card)
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

    def _why(self, limit_s: float | None = None) -> str | None:
        """The reason of a worker's failure, if known. Raises BoardGone if the board does."""
        if said := self._board.read("failed", limit_s):
            return said
        for rank, child in self._children.items():
            if status := child.poll():
                how = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
                return f"Worker {rank} has ended with {how}."
        return None

    def lost(self, error: Exception) -> WorkerError:
        """Return the error to raise instead of torch.distributed's, with the worker's own reason if known."""
        until = time.monotonic() + _ANSWER_S
        why = None
        with contextlib.suppress(BoardGone):
            while not (why := self._why(_ANSWER_S)) and time.monotonic() < until:
                time.sleep(0.05)
        why = why or f"A worker no longer answers ({brief(error)})."
        return WorkerError(f"{why} Training cannot go on without it; --snapshot resumes from the last snapshot.")

    def report(self, error: BaseException) -> None:
        """Write on the board why this worker fails, unless another worker was the first."""
        self._failed = True
        # A broken process group, usually a hung device queue, could block exit.
        last = threading.Timer(4 * _FAREWELL_S, os._exit, [1])
        last.daemon = True
        last.start()
        if isinstance(error, WorkerError):
            return
        said = " ".join(str(error).split()) or type(error).__name__
        with contextlib.suppress(BoardGone):
            self._board.claim("failed", f"Worker {self._place.rank} has failed: {said}", _ANSWER_S)

    # ---- parting -----------------------------------------------------------------------------------

    def part(self) -> None:
        """Wait until all workers have finished."""
        self._group.agree(0)

    def close(self) -> None:
        """Leave the group; a process that holds the board or has children waits for their end."""
        if dist.is_initialized():
            dist.destroy_process_group()
        with contextlib.suppress(BoardGone):
            self._board.put(f"left/{self._place.rank}", "yes", _ANSWER_S)
            if self._failed and self._holds:
                self._wait_for_the_others()
        self._end_children()

    def _wait_for_the_others(self) -> None:
        others = set(range(1, self._place.size))
        until = time.monotonic() + _FAREWELL_S
        while others and time.monotonic() < until:
            gone = {rank for rank in others if rank in self._children and self._children[rank].poll() is not None}
            others -= gone | {rank for rank in others if self._board.read(f"left/{rank}")}
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
