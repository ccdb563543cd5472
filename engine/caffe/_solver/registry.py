"""Solver classes by the ``type`` field of a solver's prototxt (Caffe's solver_factory)."""

from collections.abc import Callable
from pathlib import Path

from caffe._files import prototxt
from caffe._registry import Registry
from caffe._solver.solver import Solver
from caffe.proto import caffe_pb2

SOLVERS: Registry[type[Solver]] = Registry("solver type")


def register(type_name: str) -> Callable[[type[Solver]], type[Solver]]:
    """Make a class the implementation of a solver type; each type can be registered once."""

    def add(cls):
        cls.type = type_name
        return SOLVERS.register(type_name)(cls)

    return add


def get_solver(solver: str | Path | caffe_pb2.SolverParameter, where: str = "") -> Solver:
    """Make the solver that a prototxt (or a SolverParameter) describes.

    Args:
        where: the file of a SolverParameter, for messages.

    Raises:
        PrototxtError: the type is unknown; the nearest known one is named.
    """
    if not isinstance(solver, caffe_pb2.SolverParameter):
        where = str(solver)
        solver = prototxt.read_solver_param(solver)
    return SOLVERS.find(solver.type, f"{where}: " if where else "")(solver, where)
