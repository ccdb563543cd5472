"""Which of several solvers, one a process, this process is (Caffe's solver_count and solver_rank).

``caffe train`` sets them for its workers (_workers/rendezvous.py). As in Caffe they decide which records of the training data
are this solver's, its random numbers (random_seed + rank), and that the first alone tests and takes snapshots.
pycaffe's scripts may set them too; what they lack is NCCL, to exchange gradients.
"""

from typing import NamedTuple

from caffe._error import CaffeError

_count = 1
_rank = 0


class Share(NamedTuple):
    """Which records belong to one of several solvers: every ``count``-th, from number ``rank`` on."""

    rank: int = 0
    count: int = 1


ALL = Share()


def share(training: bool) -> Share:
    """This solver's share of the data: in tests all of it, since only one solver tests (DataLayer::Skip)."""
    return Share(_rank, _count) if training else ALL


def solver_count() -> int:
    """How many solvers train together."""
    return _count


def set_solver_count(count: int) -> None:
    """Say how many solvers train together.

    Raises:
        CaffeError: less than one.
    """
    global _count
    if count < 1:
        raise CaffeError(f"solver_count should be 1 or more, not {count}.")
    _count = count


def solver_rank() -> int:
    """Which of the solvers this process is, from 0."""
    return _rank


def set_solver_rank(rank: int) -> None:
    """Say which of the solvers this process is.

    Raises:
        CaffeError: less than zero.
    """
    global _rank
    if rank < 0:
        raise CaffeError(f"solver_rank should be 0 or more, not {rank}.")
    _rank = rank


def set_multiprocess(multiprocess: bool) -> None:
    """Say that the solvers are processes, which here they always are: nothing depends on it."""


def has_nccl() -> bool:
    """False: solvers cannot exchange gradients over NCCL."""
    return False


class NCCL:
    """What exchanges gradients between solvers in real Caffe; here it can only be refused.

    Raises:
        CaffeError: always.
    """

    def __init__(self, solver, uid: str | bytes):
        raise CaffeError("This Caffe has no NCCL (caffe.has_nccl() is False): train with one solver on one GPU.")

    @staticmethod
    def new_uid() -> bytes:
        """The name that solvers find each other by.

        Raises:
            CaffeError: always.
        """
        raise CaffeError("This Caffe has no NCCL (caffe.has_nccl() is False): there is no uid to exchange.")
