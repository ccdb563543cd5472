"""Update rules by solver type (Caffe's sgd_solvers), and the registry of types."""

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import torch

from caffe import _device, _prototxt
from caffe._error import PrototxtError
from caffe._log import logger
from caffe._solver import Solver
from caffe.proto import caffe_pb2

_TYPES: dict[str, type["SGDSolver"]] = {}


def register(type_name: str) -> Callable[[type["SGDSolver"]], type["SGDSolver"]]:
    """Make a class the implementation of a solver type; a type can be registered once."""

    def add(cls):
        if type_name in _TYPES:
            raise ValueError(f"solver type {type_name} is registered twice")
        cls.type = type_name
        _TYPES[type_name] = cls
        return cls

    return add


def get_solver(solver: str | Path | caffe_pb2.SolverParameter) -> Solver:
    """Make the solver that a prototxt (or a SolverParameter) describes, of the type it names.

    Raises:
        PrototxtError: the type is unknown; the nearest known one is named.
    """
    if not isinstance(solver, caffe_pb2.SolverParameter):
        solver = _prototxt.read_solver_param(solver)
    if solver.type not in _TYPES:
        known = sorted(_TYPES)
        raise PrototxtError(
            f"Unknown solver type: {solver.type}.{_prototxt.nearest(solver.type, known)} (known: {', '.join(known)})"
        )
    return _TYPES[solver.type](solver)


@register("SGD")
class SGDSolver(Solver):
    """Stochastic gradient descent with momentum.

    history = momentum * history + rate * lr_mult * gradient; weight -= history. The rate is inside
    the history, so that momentum gathered before a rate drop keeps its size; torch.optim.SGD has it
    outside and differs from Caffe just there.
    """

    def __init__(self, solver):
        super().__init__(solver)
        device = _device.current()
        self.history = [torch.zeros(tuple(entry.blob.shape), device=device) for entry in self.net._params.learnable]

    def apply_update(self) -> None:
        rate = self.lr
        if self._due(self.param.display):
            logger.info("Iteration %d, lr = %g", self.iter, rate)
        learnable = self.net._params.learnable
        values = [entry.blob._data.tensor() for entry in learnable]
        gradients = [entry.blob._diff.tensor() for entry in learnable]
        with torch.no_grad():
            self._clip(gradients)
            if self.param.iter_size > 1:
                torch._foreach_mul_(gradients, 1.0 / self.param.iter_size)
            self._regularize(values, gradients)
            updates = self._updates(gradients, rate)
            torch._foreach_sub_(values, updates)
        for entry, update in zip(learnable, updates, strict=True):
            # Caffe leaves what it subtracted in diff.
            entry.blob._diff.set(update)
        self.iter += 1

    def _clip(self, gradients: list[torch.Tensor]) -> None:
        limit = self.param.clip_gradients
        if limit < 0:
            return
        norm = float(torch.stack([g.double().square().sum() for g in gradients]).sum().sqrt())
        if norm > limit:
            logger.info(
                "Gradient clipping: scaling down gradients (L2 norm %g > %g) by scale factor %g",
                norm, limit, limit / norm,
            )  # fmt: skip
            torch._foreach_mul_(gradients, limit / norm)

    def _regularize(self, values: list[torch.Tensor], gradients: list[torch.Tensor]) -> None:
        kind = self.param.regularization_type
        if kind not in ("L1", "L2"):
            raise PrototxtError(f"Unknown regularization type: {kind} (L1 and L2 are known).")
        for decay, group in self._grouped("decay_mult").items():
            if decay := decay * self.param.weight_decay:
                terms = [values[i] if kind == "L2" else values[i].sign() for i in group]
                torch._foreach_add_([gradients[i] for i in group], terms, alpha=decay)

    def _updates(self, gradients: list[torch.Tensor], rate: float) -> list[torch.Tensor]:
        """What to subtract from each weight, for its gradient; moves the history on."""
        torch._foreach_mul_(self.history, self.param.momentum)
        for lr_mult, group in self._grouped("lr_mult").items():
            torch._foreach_add_([self.history[i] for i in group], [gradients[i] for i in group], alpha=rate * lr_mult)
        torch._foreach_copy_(gradients, self.history)
        return gradients

    def _grouped(self, field: str) -> dict[float, list[int]]:
        """Indices of the learnable parameters by their lr_mult or decay_mult: one pass for each."""
        groups = defaultdict(list)
        for index, entry in enumerate(self.net._params.learnable):
            groups[getattr(entry, field)].append(index)
        return groups
