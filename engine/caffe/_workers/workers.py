"""Workers that train one net together (Caffe's parallel.cpp), by torch.distributed: a solver's requests to them.

Each worker has the whole net and its own share of the data, with the prototxt's batch_size records an
iteration. Gradients are averaged before each update, so that all always have the same weights. Worker 0
alone tests, logs and writes snapshots. All run the same iterations and the same test batches. A signal to
one worker therefore takes effect in all at once.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.distributed as dist

from caffe import _error
from caffe._device import device as _device
from caffe._error import CaffeError


class Workers:
    """A single worker, without others.

    Attributes:
        rank: this process's number, from 0.
        size: the number of workers.
    """

    rank = 0
    size = 1

    def average(self, tensors: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        """Return means over the workers; each passes float32 tensors of the same shapes."""
        return tensors

    def share(self, tensors: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        """Return worker 0's float32 tensors to all; each passes tensors of the same shapes."""
        return tensors

    def exchange(self, value: Any) -> list[Any]:
        """Return all workers' values in the order of ranks; JSON must be able to hold them."""
        return [value]

    def agree(self, request: int) -> int:
        """Return the largest of all workers' numbers."""
        return request

    def first(self, work: Callable[[], Any]) -> None:
        """Let worker 0 do something; if it raises a CaffeError, all raise it."""
        work()


ALONE = Workers()


class Group(Workers):
    """Several workers, each a process, joined by torch.distributed's process group.

    Every method is a collective, which all workers call. If one does not, the others raise an error within
    the group's time limit.

    Args:
        lost: makes the error to raise from torch.distributed's error.
    """

    def __init__(self, lost: Callable[[Exception], CaffeError]):
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self._lost = lost

    @contextlib.contextmanager
    def _talking(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            raise self._lost(error) from None

    def average(self, tensors):
        flat = self._flat(tensors)
        with self._talking():
            dist.all_reduce(flat)
        return self._apart(flat.mul_(1 / self.size), tensors)

    def share(self, tensors):
        flat = self._flat(tensors)
        with self._talking():
            dist.broadcast(flat, 0)
        return self._apart(flat, tensors)

    @staticmethod
    def _flat(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        """All values in one new vector on the current device, for one message instead of many."""
        device = _device.current()
        return torch.cat([tensor.detach().to(device, torch.float32).reshape(-1) for tensor in tensors])

    @staticmethod
    def _apart(flat: torch.Tensor, like: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        parts = flat.split([tensor.numel() for tensor in like])
        return [part.view(tensor.shape) for part, tensor in zip(parts, like, strict=True)]

    def exchange(self, value):
        content = json.dumps(value).encode()
        room = self.agree(len(content))
        mine = torch.zeros(room, dtype=torch.uint8)
        mine[: len(content)] = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        theirs = [torch.empty_like(mine) for _ in range(self.size)]
        with self._talking():
            dist.all_gather(theirs, mine)
        return [json.loads(bytes(each.numpy()).rstrip(b"\0")) for each in theirs]

    def agree(self, request):
        number = torch.tensor([request], dtype=torch.int64)
        with self._talking():
            dist.all_reduce(number, dist.ReduceOp.MAX)
        return int(number)

    def first(self, work):
        failed: CaffeError | None = None
        if self.rank == 0:
            try:
                work()
            except CaffeError as error:
                failed = error
        failure = self.exchange([type(failed).__name__, str(failed)] if failed else None)[0]
        if failed:
            raise failed
        if failure:
            raise getattr(_error, failure[0], CaffeError)(failure[1])
