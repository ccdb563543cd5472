"""Solver types: update rules by family; importing this package registers them all."""

from caffe._solver.adaptive import AdaDeltaSolver, AdaGradSolver, AdamSolver, RMSPropSolver
from caffe._solver.registry import get_solver, register
from caffe._solver.sgd import NesterovSolver, SGDSolver

__all__ = [
    "AdaDeltaSolver",
    "AdaGradSolver",
    "AdamSolver",
    "NesterovSolver",
    "RMSPropSolver",
    "SGDSolver",
    "get_solver",
    "register",
]
