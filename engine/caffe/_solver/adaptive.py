"""Rules with a rate for every weight: AdaGrad, RMSProp, AdaDelta, Adam (Caffe's sgd_solvers).

``rate`` below is the policy's rate times the parameter's lr_mult, ``g`` the gradient after clipping,
iter_size and decay; all operations are by element.
"""

import torch

from caffe._solver.registry import register
from caffe._solver.sgd import SGDSolver


class _AdaptiveSolver(SGDSolver):
    history_scale = 1.0

    def _scale(self, tensors: list[torch.Tensor], rate: float) -> list[torch.Tensor]:
        """Multiply each parameter's tensor by its own rate, in place."""
        for lr_mult, group in self._grouped("lr_mult").items():
            torch._foreach_mul_([tensors[i] for i in group], rate * lr_mult)
        return tensors

    def _divide_by_root(self, values: list[torch.Tensor], squares: list[torch.Tensor]) -> None:
        """Divide by ``sqrt(squares) + delta``, in place."""
        roots = torch._foreach_sqrt(squares)
        torch._foreach_add_(roots, self.param.delta)
        torch._foreach_div_(values, roots)


@register("AdaGrad")
class AdaGradSolver(_AdaptiveSolver):
    """history += g^2; weight -= rate * g / (sqrt(history) + delta)."""

    def check(self):
        if self.param.momentum:
            raise self.error("Momentum cannot be used with AdaGrad: leave it out of the solver.")

    def _updates(self, gradients, rate):
        torch._foreach_addcmul_(self.history, gradients, gradients)
        self._divide_by_root(gradients, self.history)
        return self._scale(gradients, rate)


@register("RMSProp")
class RMSPropSolver(_AdaptiveSolver):
    """history = rms_decay * history + (1 - rms_decay) * g^2; weight -= rate * g / (sqrt(history) + delta)."""

    def check(self):
        if self.param.momentum:
            raise self.error("Momentum cannot be used with RMSProp: leave it out of the solver.")
        if not 0 <= self.param.rms_decay < 1:
            raise self.error("rms_decay should lie between 0 and 1 (1 itself is too much).")

    def _updates(self, gradients, rate):
        torch._foreach_mul_(self.history, self.param.rms_decay)
        torch._foreach_addcmul_(self.history, gradients, gradients, value=1 - self.param.rms_decay)
        self._divide_by_root(gradients, self.history)
        return self._scale(gradients, rate)


@register("AdaDelta")
class AdaDeltaSolver(_AdaptiveSolver):
    """Steps in proportion to the gradient, as large as recent steps were.

    The first history averages g^2, the second the squared steps, both with ``momentum`` as decay:
    step = g * sqrt((second + delta) / (first + delta)); weight -= rate * step.
    """

    histories = 2

    def _updates(self, gradients, rate):
        count, decay, delta = len(gradients), self.param.momentum, self.param.delta
        squares, steps = self.history[:count], self.history[count:]
        torch._foreach_mul_(squares, decay)
        torch._foreach_addcmul_(squares, gradients, gradients, value=1 - decay)
        ratios = torch._foreach_add(steps, delta)
        torch._foreach_div_(ratios, torch._foreach_add(squares, delta))
        torch._foreach_sqrt_(ratios)
        torch._foreach_mul_(gradients, ratios)
        torch._foreach_mul_(steps, decay)
        torch._foreach_addcmul_(steps, gradients, gradients, value=1 - decay)
        return self._scale(gradients, rate)


@register("Adam")
class AdamSolver(_AdaptiveSolver):
    """Averages of g and of g^2, corrected for their start at zero.

    The first history averages g with decay ``momentum``, the second g^2 with decay ``momentum2``:
    weight -= rate * c * first / (sqrt(second) + delta), where
    c = sqrt(1 - momentum2^t) / (1 - momentum^t) in step t = iteration + 1.
    """

    histories = 2

    def check(self):
        if not (self.param.momentum < 1 and self.param.momentum2 <= 1):
            raise self.error("Adam corrects for 1 - momentum^t: momentum must be below 1, momentum2 not above.")

    def _updates(self, gradients, rate):
        count, step = len(gradients), self.progress.iteration + 1
        first, second = self.history[:count], self.history[count:]
        beta1, beta2 = self.param.momentum, self.param.momentum2
        torch._foreach_mul_(first, beta1)
        torch._foreach_add_(first, gradients, alpha=1 - beta1)
        torch._foreach_mul_(second, beta2)
        torch._foreach_addcmul_(second, gradients, gradients, value=1 - beta2)
        torch._foreach_copy_(gradients, first)
        self._divide_by_root(gradients, second)
        return self._scale(gradients, rate * (1 - beta2**step) ** 0.5 / (1 - beta1**step))
