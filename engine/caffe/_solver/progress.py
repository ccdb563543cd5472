"""How far a training has come: the solver owns it, rate policies and snapshots read it."""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@dataclasses.dataclass
class Plateau:
    """The memory of lr_policy "plateau".

    Attributes:
        minimum_loss: the lowest displayed loss so far.
        last_event: the iteration that found it, or the last drop's iteration if that is later.
    """

    minimum_loss: float = math.inf
    last_event: int = 0

    def checked(self) -> Plateau:
        """The same, with numbers for sure: a damaged resume file may hold anything."""
        return Plateau(float(self.minimum_loss), int(self.last_event))


class Progress:
    """The iteration, the rate drops and the recent losses of one training.

    Args:
        average_loss: how many iterations the displayed loss averages.

    Attributes:
        iteration: how many times the weights were updated.
        current_step: how many rate drops were made (step, multistep and plateau).
        plateau: the memory of lr_policy "plateau".
    """

    def __init__(self, average_loss: int = 1):
        self.iteration = 0
        self.current_step = 0
        self.plateau = Plateau()
        self._losses: deque[torch.Tensor | float] = deque(maxlen=average_loss)
        self._keep_losses = False

    def begin_steps(self) -> None:
        """Forget the losses of earlier steps, as Caffe does, unless a snapshot has just restored them."""
        if not self._keep_losses:
            self._losses.clear()
        self._keep_losses = False

    def add_loss(self, loss: torch.Tensor | float) -> None:
        """Add an iteration's loss; a tensor may still be on its device."""
        self._losses.append(loss)

    def smoothed_loss(self) -> float | None:
        """The loss as displayed: the mean of the last average_loss iterations; None before the first."""
        # Keep the numbers, so that each loss is fetched from its device once.
        self._losses = deque(map(float, self._losses), self._losses.maxlen)
        return sum(self._losses) / len(self._losses) if self._losses else None

    def recent_losses(self) -> list[float]:
        """The losses that the displayed one averages, oldest first."""
        return [float(loss) for loss in self._losses]

    def save(self) -> dict[str, Any]:
        """Everything, as JSON can hold it; see :meth:`restore`."""
        return {
            "iter": self.iteration,
            "current_step": self.current_step,
            "losses": self.recent_losses(),
            "plateau": dataclasses.asdict(self.plateau),
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Continue from what :meth:`save` returned.

        Args:
            saved: real Caffe's snapshots have "iter" and "current_step" only. Without "plateau" its count starts
                at "iter"; without "losses" the next steps start with none.
        """
        plateau, losses = saved.get("plateau"), saved.get("losses")
        self.iteration, self.current_step = saved["iter"], saved["current_step"]
        self.plateau = Plateau(**plateau).checked() if plateau is not None else Plateau(last_event=self.iteration)
        if losses is not None:
            self._losses = deque(map(float, losses), self._losses.maxlen)
            self._keep_losses = True
