"""Update steps that all solver types share, and the rules with momentum: SGD and Nesterov (Caffe's sgd_solvers)."""

from collections import defaultdict

import numpy as np
import torch

from caffe._device import device as _device
from caffe._log import logger
from caffe._solver.registry import register
from caffe._solver.solver import Solver


@register("SGD")
class SGDSolver(Solver):
    """Stochastic gradient descent with momentum.

    history = momentum * history + rate * lr_mult * gradient; weight -= history. The rate is inside
    the history, so momentum gathered before a rate drop keeps its size. torch.optim.SGD has the rate
    outside, and differs from Caffe after each drop.

    Attributes:
        history: each weight's last step, times history_scale.
        history_scale: a power of two, so that scaling changes no digit. It is 1 unless PyTorch's fused
            update is used (see _update).
        histories: how many history blobs a parameter has. The order is that of a .solverstate: the first
            blob of every parameter, then the second of every parameter.
    """

    histories = 1
    history_scale = 2.0**20

    def __init__(self, solver, where=""):
        super().__init__(solver, where)
        self.check()
        shapes = [tuple(entry.blob.shape) for entry in self.net._params.learnable]
        device = _device.current()
        self.history = [torch.zeros(shape, device=device) for shape in shapes * self.histories]

    def check(self) -> None:
        """Raise PrototxtError for solver parameters that this type refuses."""

    def apply_update(self) -> None:
        rate = self.lr
        if self._due(self.param.display):
            logger.info("Iteration %d, lr = %g", self.progress.iteration, rate)
        learnable = self.net._params.learnable
        if learnable:
            self._apply(learnable, rate)
        self.progress.iteration += 1

    def _apply(self, learnable, rate: np.float32) -> None:
        """Update one or more parameters; PyTorch's passes over lists refuse an empty list."""
        values = [entry.blob._data.tensor() for entry in learnable]
        gradients = [entry.blob._diff.tensor() for entry in learnable]
        # The mode may have been set after the solver was made.
        self.history = [past.to(_device.current()) for past in self.history]
        with torch.no_grad():
            self._clip(gradients)
            if self.param.iter_size > 1:
                torch._foreach_mul_(gradients, 1.0 / self.param.iter_size)
            updates = self._update(values, gradients, rate)
        for entry, update in zip(learnable, updates, strict=False):
            # Caffe leaves the subtracted update in diff.
            entry.blob._diff.set(update)

    def _update(
        self, values: list[torch.Tensor], gradients: list[torch.Tensor], rate: np.float32
    ) -> list[torch.Tensor]:
        """Regularize, update the history, and subtract the rule's update from each weight.

        PyTorch's fused update needs one pass over the weights, five times faster than one pass for each
        operation. Its rule is history = momentum * history + (1 - dampening) * g; weight -= lr * history.
        It computes 1 - dampening in float32: exact for numbers from 2 on, but not for rates. So history and
        1 - dampening (the rate) are multiplied by history_scale, and lr divides by it.

        Returns:
            The subtracted updates, for diff; an empty list if nobody reads diff.
        """
        scale, momentum, decay = self.history_scale, self.param.momentum, self.param.weight_decay
        groups = defaultdict(list)
        for index, entry in enumerate(self.net._params.learnable):
            groups[float(rate * np.float32(entry.lr_mult)) * scale, decay * entry.decay_mult].append(index)
        l2 = self.param.regularization_type == "L2" or not decay
        if not (scale > 1 and momentum and l2 and all(r == 0 or 2 <= r < 2**24 for r, _ in groups)):
            self._regularize(values, gradients)
            updates = self._updates(gradients, rate)
            torch._foreach_sub_(values, updates)
            return updates
        for (scaled_rate, decay), group in groups.items():
            torch._fused_sgd_(
                [values[i] for i in group], [gradients[i].contiguous() for i in group], [self.history[i] for i in group],
                weight_decay=decay, momentum=momentum, lr=1 / scale, dampening=1 - scaled_rate,
                nesterov=False, maximize=False, is_first_step=False,
            )  # fmt: skip
        diff_is_read = self.keep_blobs or self.param.snapshot_diff
        return torch._foreach_div(self.history, scale) if diff_is_read else []

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
            raise self.error(f"Unknown regularization type: {kind} (L1 and L2 are known).")
        for decay, group in self._grouped("decay_mult").items():
            if decay := decay * self.param.weight_decay:
                terms = [values[i] if kind == "L2" else values[i].sign() for i in group]
                torch._foreach_add_([gradients[i] for i in group], terms, alpha=decay)

    def _updates(self, gradients: list[torch.Tensor], rate: np.float32) -> list[torch.Tensor]:
        """Update the history; returns the update to subtract from each weight, in the gradient's place."""
        torch._foreach_mul_(self.history, self.param.momentum)
        for lr_mult, group in self._grouped("lr_mult").items():
            scaled_rate = rate * lr_mult * self.history_scale
            torch._foreach_add_([self.history[i] for i in group], [gradients[i] for i in group], alpha=scaled_rate)
        torch._foreach_copy_(gradients, self.history)
        torch._foreach_div_(gradients, self.history_scale)
        return gradients

    def _grouped(self, field: str) -> dict[float, list[int]]:
        """Indices of the learnable parameters by their lr_mult or decay_mult, for one pass a group."""
        groups = defaultdict(list)
        for index, entry in enumerate(self.net._params.learnable):
            groups[getattr(entry, field)].append(index)
        return groups


@register("Nesterov")
class NesterovSolver(SGDSolver):
    """Nesterov's accelerated gradient: SGD's history, but the weight steps beyond it.

    weight -= (1 + momentum) * new history - momentum * old history.
    """

    history_scale = 1.0

    def _updates(self, gradients, rate):
        momentum = self.param.momentum
        updates = torch._foreach_mul(self.history, -momentum)
        super()._updates(gradients, rate)
        torch._foreach_add_(updates, self.history, alpha=1 + momentum)
        return updates
