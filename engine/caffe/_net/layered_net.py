"""The passes of a net layer by layer (Caffe's net.cpp): forward and backward, each layer alone.

_net/net.py adds the names that pycaffe's users see.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch.autograd.graph import GradientEdge, get_gradient_edge

from caffe._blob import Blob, address, own_memory
from caffe._device.allocator import keep_freed_memory
from caffe._error import NetError
from caffe._layers.base import BlobLayer
from caffe._log import logger
from caffe._net import debug_info, duplicate_names, fusion
from caffe._net.graph import Graph
from caffe.proto import caffe_pb2


class _Entry(torch.autograd.Function):
    """A bottom's values at the beginning of a layer's history.

    A leaf would keep them for as long as the history lives; this way only what a backward formula reads is kept.
    """

    @staticmethod
    def forward(ctx, values, wanted):
        return values.detach()

    @staticmethod
    def backward(ctx, gradient):
        return None, None  # the gradient is taken where it arrives


class _Tape(NamedTuple):
    """One layer's history: where its gradients come in and go out, None where there is none.

    Edges, not tensors: these would keep what no backward reads, as values that a ReLU in place has replaced.
    """

    bottom: list[GradientEdge | None]
    weights: list[GradientEdge | None]
    top: list[GradientEdge | None]
    types: list[torch.dtype]  #: the types of the tops' values, and so of their gradients


def _edges(tensors: Sequence[torch.Tensor]) -> list[GradientEdge | None]:
    return [get_gradient_edge(t) if t.requires_grad else None for t in tensors]


class LayeredNet:
    """A graph and the passes over it, one layer after the other.

    Args:
        net_param: the net, upgraded; its state says phase, level and stages.

    Attributes:
        graph: the layers and the blobs between them.
        debug_info: whether each pass logs mean values and gradients.

    Raises:
        PrototxtError, NetError, DataError: what is wrong and where.
    """

    def __init__(self, net_param: caffe_pb2.NetParameter):
        keep_freed_memory()
        self.graph = graph = Graph(net_param)
        self.name = graph.name
        self.where = f"Net '{self.name}'"  # for messages; a Net read from a file is called by the file
        self.phase = graph.phase
        self.debug_info = net_param.debug_info
        # Scripts know these as private names of pycaffe's Net; other rooms of the engine use them, too.
        self._layers, self._layer_names = graph.layers, graph.layer_names
        self._blobs, self._blob_names, self._blob_loss_weights = graph.blobs, graph.blob_names, graph.blob_loss_weights
        self._inputs, self._outputs = graph.inputs, graph.outputs
        self._params = graph.params
        self._tapes: list[_Tape | None] = [None] * len(graph.layers)
        self._overwrites = fusion.overwriting_relus(graph)
        self._callbacks: dict[str, list[Callable[[int], None]]] = {
            when: [] for when in ("before_forward", "after_forward", "before_backward", "after_backward")
        }
        duplicate_names.warn(graph)
        logger.info("Network initialization done.")

    def _of(self, ids: list[int]) -> list[Blob]:
        return self.graph.blobs_at(ids)

    def reshape(self) -> None:
        """Spread changed shapes of inputs through the net."""
        self.graph.reshape()

    # ---- running it ----------------------------------------------------------------------------

    def _forward(self, start: int, end: int, record: bool = True) -> torch.Tensor | float:
        """Run layers start to end (inclusive) forward.

        Args:
            record: False forgets what backward would need: for passes that only score.

        Returns:
            The loss: the sum of losses, each times its loss_weight; a tensor of one number, since
            on a GPU turning it into a float waits for the device.
        """
        self.check_has_layers()
        graph = self.graph
        losses = []
        self._tapes[start : end + 1] = [None] * (end + 1 - start)
        for i in range(start, end + 1):
            self._run_callbacks("before_forward", i)
            self._forward_layer(i, record, overwrite=self._may_overwrite(i, start))
            for blob_id, weight in zip(graph.tops[i], graph.loss_weights[i], strict=False):
                if weight:
                    blob = graph.blobs[blob_id]
                    losses.append((blob._data.tensor() * blob._diff.tensor()).sum())
            if self.debug_info:
                debug_info.log_forward(graph, i)
            self._run_callbacks("after_forward", i)
        return sum(losses) if losses else 0.0

    def score(self) -> torch.Tensor | float:
        """Run all layers forward, and keep nothing that backward would need; returns the loss."""
        return self._forward(0, len(self._layers) - 1, record=False)

    @property
    def is_watched(self) -> bool:
        """True if debug_info or a callback looks at blobs between layers."""
        return self.debug_info or any(self._callbacks.values())

    def check_has_layers(self) -> None:
        """Such a net can be made and looked at, as in real Caffe, but not run.

        Raises:
            NetError: there is none.
        """
        if not self.graph.layers:
            raise NetError(
                f"{self.where} has no layer in phase {caffe_pb2.Phase.Name(self.phase)}: nothing to run. "
                "Do its layers' include and exclude rules leave any?"
            )

    def _may_overwrite(self, i: int, start: int) -> bool:
        """True if layer i of a pass that began at ``start`` is a ReLU that may overwrite its bottom.

        The history of layers that the pass does not run may hold values from before it.
        """
        before = self._overwrites[i]
        return before is not None and before >= start

    def _forward_layer(self, i: int, record: bool, again: bool = False, overwrite: bool = False) -> None:
        graph = self.graph
        layer, bottom, top = graph.layers[i], graph.blobs_at(graph.bottoms[i]), graph.blobs_at(graph.tops[i])
        if isinstance(layer, BlobLayer):
            layer.reshape_blobs(bottom, top)
            layer.forward_blobs(bottom, top)
            return
        if [blob.shape for blob in bottom] != graph.shaped_for[i]:
            graph.reshape_layer(i)
        if not again:
            layer.begin_pass()
        values = [blob._data.tensor() for blob in bottom]
        weights = [blob._data.tensor() for blob in layer.blobs]
        compute = layer.compute_over if overwrite else layer.compute
        if bottom and not layer.shares_values:
            for blob in top:
                if blob not in bottom:
                    blob._data.release()
        if record and graph.layer_need_backward[i]:
            # A user writes where there is a view, and so does a layer in place: over what backward needs.
            values = [
                v.clone() if blob._data.has_view and self._needs_copy(i, j) else v
                for j, (v, blob) in enumerate(zip(values, bottom, strict=True))
            ]
            wanted = torch.empty(0, requires_grad=True)
            weights = [
                w.detach().requires_grad_(need) for w, need in zip(weights, graph.param_need_backward[i], strict=True)
            ]
            with torch.enable_grad():
                values = [
                    _Entry.apply(v, wanted) if need else v
                    for v, need in zip(values, graph.bottom_need_backward[i], strict=True)
                ]
                begin = _edges(values)  # before a ReLU overwrites them: then they are its top
                results = compute(values, weights)
            self._tapes[i] = _Tape(begin, _edges(weights), _edges(results), [result.dtype for result in results])
        else:
            with torch.no_grad():
                results = compute(values, weights)
        taken = {address(v) for v in values}
        for blob, result in zip(top, results, strict=False):
            if tuple(result.shape) != tuple(blob.shape):
                blob.reshape(*result.shape)
            # If a layer returns its input unchanged (Dropout in TEST, a part of Slice), users still see a separate blob.
            if blob in bottom:
                blob._data.set(result)
            elif layer.shares_values:
                blob.share(bottom[0], blob.shape, gradients=layer.shares_gradients)
            else:
                blob._data.set(own_memory(result.detach(), taken))

    def _needs_copy(self, i: int, j: int) -> bool:
        """True if bottom j of layer i may be overwritten before backward, which must see the values of forward."""
        graph = self.graph
        in_place = graph.bottoms[i][j] in graph.tops[i]
        return in_place or graph.reads_written_over[i] or j in graph.layers[i].keeps_bottoms

    def _backward(self, start: int, end: int, keep: bool = True) -> None:
        """Run layers start down to end (inclusive) backward.

        Args:
            keep: False frees what the forward pass left as soon as it is used; a second backward
                pass then needs another forward pass.
        """
        graph = self.graph
        for i in range(start, end - 1, -1):
            self._run_callbacks("before_backward", i)
            if graph.layer_need_backward[i]:
                self._backward_layer(i, keep)
                if self.debug_info:
                    debug_info.log_backward(graph, i)
            self._run_callbacks("after_backward", i)
        if self.debug_info and start == len(graph.layers) - 1 and end == 0:
            debug_info.log_norms(graph)

    def _backward_layer(self, i: int, keep: bool) -> None:
        graph = self.graph
        layer, bottom, top = graph.layers[i], graph.blobs_at(graph.bottoms[i]), graph.blobs_at(graph.tops[i])
        if isinstance(layer, BlobLayer):
            layer.backward_blobs(top, graph.bottom_need_backward[i], bottom)
            return
        graph.check_gradients(i)
        tape = self._tapes[i]
        if tape is None:
            # backward(start=...) over layers that were not run forward: take the blobs as they are.
            saved = [blob._data.tensor().clone() if blob._data.has_view else blob._data.tensor() for blob in top]
            try:
                self._forward_layer(i, True, again=True)
            finally:
                for blob, values in zip(top, saved, strict=True):
                    blob._data.set(values)
            tape = self._tapes[i]
        ends = [
            (edge, blob._diff.tensor().to(dtype))
            for edge, dtype, blob in zip(tape.top, tape.types, top, strict=False)
            if edge is not None
        ]
        wanted = [edge for edge in (*tape.bottom, *tape.weights) if edge is not None]
        gradients: Iterator[torch.Tensor | None] = iter([None] * len(wanted))
        if ends and wanted:
            edges, diffs = zip(*ends, strict=True)
            layer.now = [blob._data.tensor() for blob in bottom] if layer.reads_late else None
            try:
                gradients = iter(torch.autograd.grad(edges, wanted, diffs, retain_graph=keep, allow_unused=True))
            finally:
                layer.now = None
        if not keep:
            self._tapes[i] = None
        # Autograd gives the same tensor on where a gradient is that of the top.
        taken = {address(blob._diff.tensor()) for blob in top}
        for edge, blob in zip(tape.bottom, bottom, strict=True):
            if edge is not None:
                gradient = next(gradients)
                if gradient is None:
                    gradient = torch.zeros_like(blob._data.tensor())
                if blob in top:
                    blob._diff.set(gradient)
                elif not (layer.shares_gradients and address(blob._diff.tensor()) in taken):
                    blob._diff.set(own_memory(gradient, taken))
        for edge, blob in zip(tape.weights, layer.blobs, strict=True):
            if edge is not None and (gradient := next(gradients)) is not None:
                blob.accumulate_diff(own_memory(gradient, taken))

    def _run_callbacks(self, when: str, i: int) -> None:
        for callback in self._callbacks[when]:
            callback(i)

    def before_forward(self, callback: Callable[[int], None]) -> None:
        """Call ``callback(layer_index)`` before each layer's forward."""
        self._callbacks["before_forward"].append(callback)

    def after_forward(self, callback: Callable[[int], None]) -> None:
        """Call ``callback(layer_index)`` after each layer's forward."""
        self._callbacks["after_forward"].append(callback)

    def before_backward(self, callback: Callable[[int], None]) -> None:
        """Call ``callback(layer_index)`` before each layer's backward."""
        self._callbacks["before_backward"].append(callback)

    def after_backward(self, callback: Callable[[int], None]) -> None:
        """Call ``callback(layer_index)`` after each layer's backward."""
        self._callbacks["after_backward"].append(callback)
