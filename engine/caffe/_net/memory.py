"""How much memory a net takes, so that a net too large is refused while it is made."""

from collections.abc import Iterable

from caffe._blob import Blob
from caffe._device import memory
from caffe._error import NetError
from caffe._layers.base import Layer

_FLOAT = 4


class NetMemory:
    """The least memory of a net, added up while it is made: its parameters and the blobs between its layers.

    Args:
        training: then each parameter has a gradient.
    """

    def __init__(self, training: bool):
        self.copies = 2 if training else 1
        self.free = memory.available_on_device()
        self.bytes = 0

    def add(self, layer: Layer, new_tops: Iterable[Blob]) -> None:
        """Add a layer; ``new_tops`` are those that it does not compute in place.

        Raises:
            NetError: the net takes more than there is; the layer is named.
        """
        self.bytes += _FLOAT * self.copies * sum(blob.count for blob in layer.blobs)
        if not layer.shares_values:
            self.bytes += _FLOAT * sum(blob.count for blob in new_tops)
        if self.bytes > self.free:
            raise NetError(
                f"Layer '{layer.name}' ({layer.type}): up to here the net takes {memory.gigabytes(self.bytes)} of memory, and "
                f"there are {memory.gigabytes(self.free)}; make batch_size, the images or num_output smaller."
            )
