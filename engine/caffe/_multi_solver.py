"""What pycaffe has for solvers in several processes, one a GPU.

There is no NCCL here, and so one solver: the count and rank are kept for scripts that set them, and change nothing.
"""

from caffe._error import CaffeError

_count = 1
_rank = 0


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
