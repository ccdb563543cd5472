"""Workers that train one net together (Caffe's parallel.cpp), by torch.distributed: what a solver asks of them.

Each worker has the whole net and its own share of the data, batch_size records an iteration as the prototxt says.
Gradients are averaged before each update, so that all have the same weights at any time. Worker 0 alone tests,
logs and writes snapshots; all walk through the same iterations and the same test batches, so that what a signal
asks of one of them is done by all at once.
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
    """One worker alone, which has nobody to ask.

    Attributes:
        rank: which worker this process is, from 0.
        size: how many there are.
    """

    rank = 0
    size = 1

    def average(self, tensors: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        """Means over the workers of tensors of the same shapes in each, float32."""
        return tensors

    def share(self, tensors: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        """Worker 0's tensors, float32, for all; each gives some of the same shapes."""
        return tensors

    def exchange(self, value: Any) -> list[Any]:
        """Everyone's values, such as JSON can hold, in the order of ranks."""
        return [value]

    def agree(self, request: int) -> int:
        """The largest of everyone's numbers."""
        return request

    def first(self, work: Callable[[], Any]) -> None:
        """Let worker 0 do something; where it raises a CaffeError, all raise that."""
        work()


ALONE = Workers()


class Group(Workers):
    """Several workers in processes of their own, joined by torch.distributed's process group.

    Every method is a collective: all workers call it, and a worker that does not is an error in the others within
    the group's time limit.

    Args:
        lost: makes of what torch.distributed says the error to raise.
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
        """All values in one new vector on the current device: one message instead of many."""
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
        told = self.exchange([type(failed).__name__, str(failed)] if failed else None)[0]
        if failed:
            raise failed
        if told:
            raise getattr(_error, told[0], CaffeError)(told[1])
