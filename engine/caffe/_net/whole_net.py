"""The passes of a whole net at once, for training and testing by the command.

The passes of _net/layered_net.py leave every blob's values and gradients behind for pycaffe's users. If nobody
looks, a net runs here as one graph of the same layers. That saves the memory of blobs that no backward pass needs,
and frees gradients as soon as they are used. PyTorch is called once for the whole backward pass.

Some layers are joined into one step: a convolution or inner product with the ReLU in place after it, and a
BatchNorm with its Scale and the ReLU in place after them.
"""

from collections.abc import Callable, Sequence

import torch

from caffe._blob import Blob, own_memory
from caffe._layers.base import BlobLayer
from caffe._net.fusion import Step, plan_steps
from caffe._net.layered_net import LayeredNet


class WholeNet:
    """Runs a net as one graph; afterwards only its outputs and its parameters' gradients can be looked at.

    Args:
        net: the net; one that :meth:`fits`.
    """

    def __init__(self, net: LayeredNet):
        net.check_has_layers()
        self._graph = net.graph
        self._steps = plan_steps(net.graph)

    @staticmethod
    def fits(net: LayeredNet) -> bool:
        """True if nothing in the net needs its blobs between layers.

        These do: Python layers, inputs, callbacks, debug_info, memory of several blobs that a layer in place writes.
        """
        graph = net.graph
        by_blobs = any(isinstance(layer, BlobLayer) for layer in graph.layers) or any(graph.reads_written_over)
        return not (by_blobs or graph.inputs or net.is_watched)

    @classmethod
    def forward_of(cls, net: LayeredNet) -> Callable[[], torch.Tensor | float]:
        """A function that runs a net forward and returns the loss: at once where that fits."""
        return cls(net).forward if cls.fits(net) else net.score

    def forward(self) -> torch.Tensor | float:
        """Run forward only; returns the loss, as LayeredNet.score does."""
        return self._forward(None)

    def forward_backward(self) -> torch.Tensor | float:
        """Run forward and backward, adding to the parameters' gradients; returns the loss."""
        leaves: list[tuple[Blob, torch.Tensor]] = []
        loss = self._forward(leaves)
        # The graph leads from the losses alone, and so not through every layer that force_backward asks.
        for i in reversed(range(len(self._graph.layers))):
            self._graph.check_gradients(i)
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
        graph = self._graph
        values: dict[int, torch.Tensor] = {}
        losses = []
        for step in self._steps:
            bottom = [values[blob] for blob in step.bottoms]
            self._shape(step, bottom)
            step.layer.begin_pass()
            layers = [step.index] if step.scale is None else [step.index, step.scale]
            blobs = [blob for index in layers for blob in graph.layers[index].blobs]
            weights = [blob._data.tensor() for blob in blobs]
            recorded = leaves is not None and graph.layer_need_backward[step.index]
            if recorded:
                learned = [need for index in layers for need in graph.param_need_backward[index]]
                propagate = graph.bottom_need_backward[step.index]
                bottom = [x if need else x.detach() for x, need in zip(bottom, propagate, strict=True)]
                weights = [w.detach().requires_grad_(need) for w, need in zip(weights, learned, strict=True)]
                leaves += [pair for pair in zip(blobs, weights, strict=True) if pair[1].requires_grad]
            with torch.set_grad_enabled(recorded):
                tops = step.layer.compute(bottom, weights, step.relu, step.in_place)
                del bottom
                own = graph.loss_weights[layers[-1]]
                for blob, top, weight in zip(step.tops, tops, own, strict=False):
                    values[blob] = top
                    if weight:
                        losses.append((top * graph.blobs[blob]._diff.tensor()).sum())
            del tops
            for blob in step.last_used:
                values.pop(blob, None)
        for blob in graph.outputs:
            graph.blobs[blob]._data.set(values[blob])
        return sum(losses) if losses else 0.0

    def _shape(self, step: Step, bottom: Sequence[torch.Tensor]) -> None:
        """Reshape the layer if its bottoms' shapes have changed."""
        graph = self._graph
        shapes = [list(x.shape) for x in bottom]
        if shapes != graph.shaped_for[step.index]:
            for blob, shape in zip(step.bottoms, shapes, strict=True):
                graph.blobs[blob].reshape(*shape)
            graph.reshape_layer(step.index)
            if step.scale is not None:
                graph.reshape_layer(step.scale)
