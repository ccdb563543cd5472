"""This process's number among several solvers, one per process (Caffe's solver_count and solver_rank).

``caffe train`` sets them for its workers (_workers/rendezvous.py). As in Caffe, they choose this solver's
training records and its random numbers (random_seed + rank). Only the first solver tests and takes
snapshots. pycaffe's scripts may set them too, but lack NCCL to exchange gradients.
"""

from typing import NamedTuple

from caffe._error import CaffeError

_count = 1
_rank = 0


class Share(NamedTuple):
    """One solver's share of the records: every ``count``-th, from number ``rank`` on."""

    rank: int = 0
    count: int = 1


ALL = Share()


def share(training: bool) -> Share:
    """Return this solver's share of the data; only one solver tests, so it gets all (DataLayer::Skip)."""
    return Share(_rank, _count) if training else ALL


def solver_count() -> int:
    """The number of solvers that train together."""
    return _count


def set_solver_count(count: int) -> None:
    """Set the number of solvers that train together.

    Raises:
        CaffeError: less than one.
    """
    global _count
    if count < 1:
        raise CaffeError(f"solver_count should be 1 or more, not {count}.")
    _count = count


def solver_rank() -> int:
    """This process's number among the solvers, from 0."""
    return _rank


def set_solver_rank(rank: int) -> None:
    """Set this process's number among the solvers.

    Raises:
        CaffeError: less than zero.
    """
    global _rank
    if rank < 0:
        raise CaffeError(f"solver_rank should be 0 or more, not {rank}.")
    _rank = rank


def set_multiprocess(multiprocess: bool) -> None:
    """Do nothing: solvers are always processes here."""


def has_nccl() -> bool:
    """False: solvers cannot exchange gradients over NCCL."""
    return False


class NCCL:
    """The exchange of gradients between solvers in real Caffe; this engine always refuses it.

    Raises:
        CaffeError: always.
    """

    def __init__(self, solver, uid: str | bytes):
        raise CaffeError("This Caffe has no NCCL (caffe.has_nccl() is False): train with one solver on one GPU.")

    @staticmethod
    def new_uid() -> bytes:
        """The name by which solvers find each other.

        Raises:
            CaffeError: always.
        """
        raise CaffeError("This Caffe has no NCCL (caffe.has_nccl() is False): there is no uid to exchange.")
