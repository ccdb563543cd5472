"""Timer: elapsed time, including the device's work (Caffe's util/benchmark.cpp)."""

import time

import torch

from caffe._device import device


def _now() -> float:
    """Seconds on a clock, once the device has finished its work."""
    if device.current().type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


class Timer:
    """A stopwatch: ``timer.start(); ...; timer.stop(); timer.ms``."""

    def __init__(self):
        self._started: float | None = None
        self._seconds = 0.0

    def start(self) -> None:
        """Start, unless the timer runs already."""
        if self._started is None:
            self._started = _now()

    def stop(self) -> None:
        """Stop, if the timer runs."""
        if self._started is not None:
            self._seconds = _now() - self._started
            self._started = None

    @property
    def ms(self) -> float:
        """Milliseconds between the last start and stop; a running timer is stopped."""
        self.stop()
        return 1000 * self._seconds
