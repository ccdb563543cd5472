"""The passes of a whole net at once, for training and testing by the command.

The passes of _net/layered_net.py leave every blob's values and gradients behind, because pycaffe's users look at
them; where nobody looks, a net runs here as one graph. Layers are the same ones. What is gained: no memory for
blobs that no backward pass needs, gradients freed as soon as they are used, one call into PyTorch for the whole
backward pass, and in one step what are several layers in Caffe: a convolution or inner product and the ReLU in
place after it; a BatchNorm, the Scale that gives it factors and summands, and the ReLU in place after them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from caffe._blob import Blob, own_memory
from caffe._layers.base import BlobLayer, Layer
from caffe._layers.batch_norm import BatchNorm

if TYPE_CHECKING:
    from caffe._net.layered_net import LayeredNet


@dataclass
class _Step:
    """A layer's turn: blobs by their index in the net; ``relu`` if the ReLU after it is done with it.

    ``scale``: the index of the Scale that is done with it. ``in_place``: the gradient of its top is nobody
    else's, so that the ReLU's backward may overwrite it.
    """

    index: int
    layer: Layer
    bottoms: list[int]
    tops: list[int]
    scale: int | None = None
    relu: bool = False
    in_place: bool = False
    last_used: list[int] = field(default_factory=list)


class WholeNet:
    """Runs a net as one graph; afterwards only its outputs and its parameters' gradients can be looked at.

    Args:
        net: the net; one that :meth:`fits`.
    """

    def __init__(self, net: LayeredNet):
        net.check_has_layers()
        self._net = net
        self._steps = self._plan()

    @staticmethod
    def fits(net: LayeredNet) -> bool:
        """Whether nothing in the net needs its blobs between layers.

        What does: Python layers, inputs, callbacks, debug_info, memory of several blobs that a layer in place writes.
        """
        by_blobs = any(isinstance(layer, BlobLayer) for layer in net._layers) or any(net._reads_written_over)
        return not (by_blobs or net._inputs or net.debug_info or any(net._callbacks.values()))

    @classmethod
    def forward_of(cls, net: LayeredNet) -> Callable[[], torch.Tensor | float]:
        """A function that runs a net forward and returns the loss: at once where that fits."""
        last = len(net._layers) - 1
        return cls(net).forward if cls.fits(net) else lambda: net._forward(0, last, record=False)

    def _plan(self) -> list[_Step]:
        net = self._net
        steps: list[_Step] = []
        writer: dict[int, _Step] = {}  # who gave a blob its values, until somebody reads them
        for index, layer in enumerate(net._layers):
            bottoms, tops = net._layer_bottoms[index], net._layer_tops[index]
            before = writer.get(bottoms[0]) if bottoms else None
            if before and self._is_its_relu(index, before):
                before.relu = True
                continue
            if before and self._is_its_scale(index, before):
                del writer[bottoms[0]]
                before.scale, before.tops = index, tops
                writer[tops[0]] = before
                continue
            step = _Step(index, layer, bottoms, tops)
            for blob in bottoms:
                read = writer.pop(blob, None)
                if read is not None:
                    read.in_place = layer.gives_own_gradient
            writer.update(dict.fromkeys(tops, step))
            steps.append(step)
        wanted = set(net._outputs)
        for step in reversed(steps):
            touched = {*step.bottoms, *step.tops}
            step.last_used = list(touched - wanted)
            wanted |= touched
        return steps

    def _is_its_relu(self, index: int, before: _Step) -> bool:
        """Whether a layer is the ReLU in place of the only top of the layer before it."""
        net, layer = self._net, self._net._layers[index]
        return (
            layer.type == "ReLU"
            and not layer.param.relu_param.negative_slope
            and before.layer.forward_relu is not None
            and before.tops == net._layer_tops[index]
            and self._only_reads(index, before)
        )

    def _is_its_scale(self, index: int, before: _Step) -> bool:
        """Whether a layer is the Scale that a BatchNorm before it can do."""
        return (
            self._net._layers[index].type == "Scale"
            and isinstance(before.layer, BatchNorm)
            and before.scale is None
            and not before.relu
            and before.layer.takes_scale(self._net._layers[index])
            and self._only_reads(index, before)
        )

    def _only_reads(self, index: int, before: _Step) -> bool:
        """Whether a layer's one bottom is the only top of the step before it, no loss, and both learn or neither."""
        net = self._net
        return (
            before.tops == net._layer_bottoms[index]
            and not net._blob_loss_weights[before.tops[0]]
            and net._layer_need_backward[index] == net._layer_need_backward[before.index]
            and net._bottom_need_backward[index] == [net._layer_need_backward[index]]
        )

    def forward(self) -> torch.Tensor | float:
        """Run forward only; returns the loss, as LayeredNet._forward does."""
        return self._forward(None)

    def forward_backward(self) -> torch.Tensor | float:
        """Run forward and backward, adding to the parameters' gradients; returns the loss."""
        leaves: list[tuple[Blob, torch.Tensor]] = []
        loss = self._forward(leaves)
        # The graph leads from the losses alone, and so not through every layer that force_backward asks.
        for i in reversed(range(len(self._net._layers))):
            self._net.check_gradients(i)
        if isinstance(loss, torch.Tensor) and loss.requires_grad:
            gradients = torch.autograd.grad(loss, [leaf for _, leaf in leaves], allow_unused=True)
            taken: set[int] = set()
            for (blob, _), gradient in zip(leaves, gradients, strict=True):
                if gradient is not None:
                    blob.accumulate_diff(own_memory(gradient, taken))
            loss = loss.detach()
        return loss

    def _forward(self, leaves: list[tuple[Blob, torch.Tensor]] | None) -> torch.Tensor | float:
        """Run forward; records for a backward pass if there is a list to take the parameters' leaves."""
        net = self._net
        values: dict[int, torch.Tensor] = {}
        losses = []
        for step in self._steps:
            bottom = [values[blob] for blob in step.bottoms]
            self._shape(step, bottom)
            step.layer.begin_pass()
            layers = [step.index] if step.scale is None else [step.index, step.scale]
            blobs = [blob for index in layers for blob in net._layers[index].blobs]
            weights = [blob._data.tensor() for blob in blobs]
            recorded = leaves is not None and net._layer_need_backward[step.index]
            if recorded:
                learned = [need for index in layers for need in net._param_need_backward[index]]
                propagate = net._bottom_need_backward[step.index]
                bottom = [x if need else x.detach() for x, need in zip(bottom, propagate, strict=True)]
                weights = [w.detach().requires_grad_(need) for w, need in zip(weights, learned, strict=True)]
                leaves += [pair for pair in zip(blobs, weights, strict=True) if pair[1].requires_grad]
            with torch.set_grad_enabled(recorded):
                tops = step.layer.compute(bottom, weights, step.relu, step.in_place)
                del bottom
                own = net._layer_loss_weights[layers[-1]]
                for blob, top, weight in zip(step.tops, tops, own, strict=False):
                    values[blob] = top
                    if weight:
                        losses.append((top * net._blobs[blob]._diff.tensor()).sum())
            del tops
            for blob in step.last_used:
                values.pop(blob, None)
        for blob in net._outputs:
            net._blobs[blob]._data.set(values[blob])
        return sum(losses) if losses else 0.0

    def _shape(self, step: _Step, bottom: Sequence[torch.Tensor]) -> None:
        """Tell the layer when its bottoms' shapes are other than before."""
        net = self._net
        shapes = [list(x.shape) for x in bottom]
        if shapes != net._shaped_for[step.index]:
            for blob, shape in zip(step.bottoms, shapes, strict=True):
                net._blobs[blob].reshape(*shape)
            net._reshape_layer(step.index)
            if step.scale is not None:
                net._reshape_layer(step.scale)
