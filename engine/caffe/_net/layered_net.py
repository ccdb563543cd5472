"""How a net is made and run (Caffe's net.cpp): layers wired by blobs, forward and backward one by one.

What pycaffe's users see of it is in _net/net.py.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch.autograd.graph import GradientEdge, get_gradient_edge

from caffe import _layers
from caffe._blob import Blob, address, own_memory
from caffe._device import device
from caffe._device.allocator import keep_freed_memory
from caffe._error import NetError
from caffe._layers.base import BlobLayer, Layer
from caffe._log import logger
from caffe._net import debug_info, duplicate_names
from caffe._net.memory import NetMemory
from caffe._net.params import ParamTable
from caffe._net.wiring import filter_net, insert_splits
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
    types: list[torch.dtype]  #: of the tops' values, and so of their gradients


def _edges(tensors: Sequence[torch.Tensor]) -> list[GradientEdge | None]:
    return [get_gradient_edge(t) if t.requires_grad else None for t in tensors]


class LayeredNet:
    """Layers, the blobs between them, and the passes over them.

    Args:
        net_param: the net, upgraded; its state says phase, level and stages.

    Raises:
        PrototxtError, NetError, DataError: what is wrong and where.
    """

    def __init__(self, net_param: caffe_pb2.NetParameter):
        keep_freed_memory()
        filtered = filter_net(net_param)
        logger.info("Initializing net from parameters: \n%s", filtered)
        self.name = filtered.name
        self.where = f"Net '{self.name}'"  # for messages; whoever read it from a file says which
        self.phase = filtered.state.phase
        self.debug_info = filtered.debug_info
        self._layers: list[Layer] = []
        self._layer_names: list[str] = []
        self._blobs: list[Blob] = []
        self._blob_names: list[str] = []
        self._blob_loss_weights: list[float] = []
        self._layer_loss_weights: list[list[float]] = []  # of a layer's tops: in place, a blob has one a layer
        self._layer_bottoms: list[list[int]] = []
        self._layer_tops: list[list[int]] = []
        self._inputs: list[int] = []
        self._params = ParamTable()
        self._bottom_need_backward: list[list[bool]] = []
        self._layer_need_backward: list[bool] = []
        self._param_need_backward: list[list[bool]] = []
        self._tapes: list[_Tape | None] = []
        self._overwrites: list[int | None] = []  # of a ReLU that may write over its bottom: who wrote that
        self._reads_written_over: list[bool] = []  # of a layer: what others may write before its backward
        self._shaped_for: list[list[list[int]]] = []  # bottom shapes that the tops have now
        self._callbacks: dict[str, list[Callable[[int], None]]] = {
            when: [] for when in ("before_forward", "after_forward", "before_backward", "after_backward")
        }
        available: dict[str, int] = {}
        index: dict[str, int] = {}
        need_backward: list[bool] = []
        param = insert_splits(filtered)
        self._descriptions = duplicate_names.describe(filtered, param)  # for messages about layers of one name
        memory, taken = 0, NetMemory(self.phase == caffe_pb2.TRAIN)
        for layer_param in param.layer:
            if not layer_param.HasField("phase"):
                layer_param.phase = self.phase
            memory += self._add_layer(layer_param, available, index, need_backward, taken)
            logger.info("Memory required for data: %d", 4 * memory)
        self._skip_needless_backward()
        self._forced = param.force_backward
        if self._forced:
            self._force_backward()
        for name in sorted(available):
            logger.info("This network produces output %s", name)
        self._outputs = [available[name] for name in sorted(available)]
        self._params.share()
        self._tapes = [None] * len(self._layers)
        self._overwrites = self._find_overwriting()
        self._reads_written_over = self._find_readers_of_written_over()
        duplicate_names.warn(self)
        logger.info("Network initialization done.")

    def _add_layer(
        self,
        param: caffe_pb2.LayerParameter,
        available: dict[str, int],
        index: dict[str, int],
        need_backward: list[bool],
        taken: NetMemory,
    ) -> int:
        """Make one layer and wire it; returns the number of values its tops hold."""
        known_blobs = len(self._blobs)
        if param.propagate_down and len(param.propagate_down) != len(param.bottom):
            raise NetError(f"Layer '{param.name}': propagate_down must be specified 0 or {len(param.bottom)} times.")
        if len(param.loss_weight) not in (0, len(param.top)):
            raise NetError(f"Layer '{param.name}': loss_weight must be unspecified or specified once per top blob.")
        # BatchNorm gives its parameters lr_mult 0 in its setup; who needs backward goes by the prototxt (net.cpp).
        given_lr_mult = [spec.lr_mult for spec in param.param]
        layer = _layers.create(param)
        self._layers.append(layer)
        self._layer_names.append(param.name)
        logger.info("Creating Layer %s", param.name)
        layer.check_counts()

        bottom_ids, propagate = [], []
        for j, blob in enumerate(param.bottom):
            if blob not in available:
                raise NetError(f"Unknown bottom blob '{blob}' (layer '{param.name}', bottom index {j}).")
            logger.info("%s <- %s", param.name, blob)
            bottom_ids.append(available.pop(blob))
            propagate.append(param.propagate_down[j] if param.propagate_down else need_backward[bottom_ids[j]])
        top_ids = []
        for j, blob in enumerate(param.top):
            if j < len(param.bottom) and param.bottom[j] == blob:
                logger.info("%s -> %s (in-place)", param.name, blob)
                top_ids.append(index[blob])
            elif blob in index:
                raise NetError(f"Top blob '{blob}' produced by multiple sources (the second is layer '{param.name}').")
            else:
                logger.info("%s -> %s", param.name, blob)
                top_ids.append(self._add_blob(blob, need_backward))
                index[blob] = top_ids[-1]
            available[blob] = top_ids[-1]
        if param.type == "Input":
            self._inputs.extend(top_ids)
        if layer.auto_top_blobs and len(top_ids) < layer.tops[0]:
            logger.info("%s -> (automatic)", param.name)
            top_ids.append(self._add_blob("(automatic)", need_backward))
        self._layer_bottoms.append(bottom_ids)
        self._layer_tops.append(top_ids)

        bottom, top = self._of(bottom_ids), self._of(top_ids)
        if isinstance(layer, BlobLayer):
            layer.setup_blobs(bottom, top)
        else:
            layer.setup([tuple(blob.shape) for blob in bottom])
        self._shaped_for.append([])
        self._reshape_layer(len(self._layers) - 1)
        taken.add(layer, self._blobs[known_blobs:])
        logger.info("Setting up %s", param.name)
        if layer.default_loss_weight and not param.loss_weight:
            # Real Caffe's losses write the default into their own parameter, and so into snapshots.
            param.loss_weight.extend([layer.default_loss_weight] + [0.0] * (len(top) - 1))
        weights = list(param.loss_weight) or [0.0] * len(top)
        self._layer_loss_weights.append(weights)
        for blob_id, blob, weight in zip(top_ids, top, weights, strict=False):
            self._blob_loss_weights[blob_id] = weight
            logger.info("Top shape: %s", blob.shape_string())
            if weight:
                logger.info("    with loss weight %g", weight)
                blob._diff.set(torch.full(tuple(blob.shape), weight, device=device.current()))

        if len(param.param) > len(layer.blobs):
            raise NetError(f"Too many params specified for layer {param.name}.")
        for j in range(len(layer.blobs)):
            self._params.add(layer, j)
        trained = [j >= len(given_lr_mult) or given_lr_mult[j] != 0 for j in range(len(layer.blobs))]
        self._param_need_backward.append(trained)
        self._bottom_need_backward.append(propagate)
        # A bottom that needs its gradient gets it from this layer.
        needed = any(need_backward[i] for i in bottom_ids) or any(trained)
        self._layer_need_backward.append(needed)
        if needed:
            for blob_id in top_ids:
                need_backward[blob_id] = True
        return sum(blob.count for blob in top)

    def _add_blob(self, name: str, need_backward: list[bool]) -> int:
        self._blobs.append(Blob())
        self._blob_names.append(name)
        self._blob_loss_weights.append(0.0)
        need_backward.append(False)
        return len(self._blobs) - 1

    def _skip_needless_backward(self) -> None:
        """From the losses back: switch off what contributes to none (the second half of Net::Init)."""
        under_loss: set[int] = set()
        skip: set[int] = set()
        for i in reversed(range(len(self._layers))):
            tops = self._layer_tops[i]
            contributes = any(self._blob_loss_weights[t] or t in under_loss for t in tops)
            skip_all = all(t in skip for t in tops)
            if self._layer_need_backward[i] and skip_all:
                self._layer_need_backward[i] = False
                self._bottom_need_backward[i] = [False] * len(self._layer_bottoms[i])
            if not contributes:
                self._layer_need_backward[i] = False
            verb = "needs" if self._layer_need_backward[i] else "does not need"
            logger.info("%s %s backward computation.", self._layer_names[i], verb)
            for j, blob_id in enumerate(self._layer_bottoms[i]):
                if contributes:
                    under_loss.add(blob_id)
                else:
                    self._bottom_need_backward[i][j] = False
                if not self._bottom_need_backward[i][j]:
                    skip.add(blob_id)

    def _find_overwriting(self) -> list[int | None]:
        """For each ReLU in place after a layer whose backward does not read its own top: the index of that layer.

        Such a ReLU writes over its bottom, as Caffe's do, in place of taking memory for its top.
        """
        writers: dict[int, int] = {}
        found: list[int | None] = []
        for i, layer in enumerate(self._layers):
            bottoms, tops = self._layer_bottoms[i], self._layer_tops[i]
            before = None
            if layer.type == "ReLU" and bottoms == tops and not layer.param.relu_param.negative_slope:
                before = writers.get(bottoms[0])
            found.append(before if before is not None and self._layers[before].forward_relu else None)
            writers.update(dict.fromkeys(tops, i))
        return found

    def _find_readers_of_written_over(self) -> list[bool]:
        """For each layer: whether it reads memory of a Split that a layer in place or a Python layer may write.

        Through a Reshape or Flatten, say, of one of its tops. Without a Split nobody else reads that memory.
        """
        of = list(range(len(self._blobs)))  # the first blob of the memory
        split, written = set(), set()  # memory, so far and in the order of the layers
        for layer, bottoms, tops in zip(self._layers, self._layer_bottoms, self._layer_tops, strict=True):
            written |= {of[b] for b in bottoms if of[b] in split and (b in tops or isinstance(layer, BlobLayer))}
            if layer.shares_values and bottoms != tops:
                for top in tops:
                    of[top] = of[bottoms[0]]
                if layer.type == "Split":
                    split.add(of[bottoms[0]])
        return [any(of[b] in written for b in bottoms) for bottoms in self._layer_bottoms]

    def _force_backward(self) -> None:
        for i, layer in enumerate(self._layers):
            self._layer_need_backward[i] = True
            self._param_need_backward[i] = [True] * len(layer.blobs)
            self._bottom_need_backward[i] = [
                need or layer.allow_force_backward(j) for j, need in enumerate(self._bottom_need_backward[i])
            ]

    def check_gradients(self, i: int) -> None:
        """Raise NetError if layer i is to give a gradient that it lacks, as real Caffe's backward pass of it does."""
        layer = self._layers[i]
        for j, need in enumerate(self._bottom_need_backward[i]):
            if need and self._layer_need_backward[i] and layer.lacks_gradient_of(j):
                raise layer.gradient_error(j, self._forced)

    def run_every_backward(self) -> None:
        """Let backward run in every layer, as `caffe time` does, and not only where a loss needs it.

        Each layer then computes what its own Backward would in real Caffe: gradients of weights that are trained, and
        of bottoms where somebody needs them or where Backward does not ask.
        """
        for i, layer in enumerate(self._layers):
            if layer.has_backward:
                self._layer_need_backward[i] = True
            else:
                logger.warning(
                    "Layer '%s' (%s) has no backward pass: it takes no time here; real Caffe stops at it.",
                    layer.name,
                    layer.type,
                )
            if layer.backward_unasked:
                self._bottom_need_backward[i] = [True] * len(self._layer_bottoms[i])

    def _of(self, ids: list[int]) -> list[Blob]:
        return [self._blobs[i] for i in ids]

    def _reshape_layer(self, i: int) -> None:
        layer, bottom, top = self._layers[i], self._of(self._layer_bottoms[i]), self._of(self._layer_tops[i])
        if isinstance(layer, BlobLayer):
            layer.reshape_blobs(bottom, top)
            return
        # An input keeps the shape that a person gave it since it was made.
        if layer.type == "Input" and any(blob.shape for blob in top):
            return
        shapes = [blob.shape for blob in bottom]
        for blob, shape in zip(top, layer.top_shapes([tuple(shape) for shape in shapes]), strict=True):
            if layer.shares_values and blob not in bottom:
                blob.share(bottom[0], shape, gradients=layer.shares_gradients)
            else:
                layer.reshape(blob, shape)
        self._shaped_for[i] = shapes

    def reshape(self) -> None:
        """Spread changed shapes of inputs through the net."""
        for i in range(len(self._layers)):
            self._reshape_layer(i)

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
        losses = []
        self._tapes[start : end + 1] = [None] * (end + 1 - start)
        for i in range(start, end + 1):
            self._run_callbacks("before_forward", i)
            self._forward_layer(i, record, overwrite=self._may_overwrite(i, start))
            for blob_id, weight in zip(self._layer_tops[i], self._layer_loss_weights[i], strict=False):
                if weight:
                    blob = self._blobs[blob_id]
                    losses.append((blob._data.tensor() * blob._diff.tensor()).sum())
            if self.debug_info:
                debug_info.log_forward(self, i)
            self._run_callbacks("after_forward", i)
        return sum(losses) if losses else 0.0

    def check_has_layers(self) -> None:
        """Such a net can be made and looked at, as in real Caffe, but not run.

        Raises:
            NetError: there is none.
        """
        if not self._layers:
            raise NetError(
                f"{self.where} has no layer in phase {caffe_pb2.Phase.Name(self.phase)}: nothing to run. "
                "Do its layers' include and exclude rules leave any?"
            )

    def _may_overwrite(self, i: int, start: int) -> bool:
        """Whether layer i of a pass that began at ``start`` is a ReLU that may write over its bottom.

        Values of before the pass may be in the history of layers that it does not run.
        """
        before = self._overwrites[i]
        return before is not None and before >= start

    def _forward_layer(self, i: int, record: bool, again: bool = False, overwrite: bool = False) -> None:
        layer, bottom, top = self._layers[i], self._of(self._layer_bottoms[i]), self._of(self._layer_tops[i])
        if isinstance(layer, BlobLayer):
            layer.reshape_blobs(bottom, top)
            layer.forward_blobs(bottom, top)
            return
        if [blob.shape for blob in bottom] != self._shaped_for[i]:
            self._reshape_layer(i)
        if not again:
            layer.begin_pass()
        values = [blob._data.tensor() for blob in bottom]
        weights = [blob._data.tensor() for blob in layer.blobs]
        compute = layer.compute_over if overwrite else layer.compute
        if bottom and not layer.shares_values:
            for blob in top:
                if blob not in bottom:
                    blob._data.release()
        if record and self._layer_need_backward[i]:
            # A user writes where there is a view, and so does a layer in place: over what backward needs.
            values = [
                v.clone() if blob._data.has_view and self._needs_copy(i, j) else v
                for j, (v, blob) in enumerate(zip(values, bottom, strict=True))
            ]
            wanted = torch.empty(0, requires_grad=True)
            weights = [
                w.detach().requires_grad_(need) for w, need in zip(weights, self._param_need_backward[i], strict=True)
            ]
            with torch.enable_grad():
                values = [
                    _Entry.apply(v, wanted) if need else v
                    for v, need in zip(values, self._bottom_need_backward[i], strict=True)
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
            # What a layer hands on as it is (Dropout in TEST, a part of Slice) is a blob of its own to people.
            if blob in bottom:
                blob._data.set(result)
            elif layer.shares_values:
                blob.share(bottom[0], blob.shape, gradients=layer.shares_gradients)
            else:
                blob._data.set(own_memory(result.detach(), taken))

    def _needs_copy(self, i: int, j: int) -> bool:
        """Whether bottom j of layer i may be written over before backward, which must see what forward saw."""
        in_place = self._layer_bottoms[i][j] in self._layer_tops[i]
        return in_place or self._reads_written_over[i] or j in self._layers[i].keeps_bottoms

    def _backward(self, start: int, end: int, keep: bool = True) -> None:
        """Run layers start down to end (inclusive) backward.

        Args:
            keep: False frees what the forward pass left as soon as it is used; a second backward
                pass then needs another forward pass.
        """
        for i in range(start, end - 1, -1):
            self._run_callbacks("before_backward", i)
            if self._layer_need_backward[i]:
                self._backward_layer(i, keep)
                if self.debug_info:
                    debug_info.log_backward(self, i)
            self._run_callbacks("after_backward", i)
        if self.debug_info and start == len(self._layers) - 1 and end == 0:
            debug_info.log_norms(self)

    def _backward_layer(self, i: int, keep: bool) -> None:
        layer, bottom, top = self._layers[i], self._of(self._layer_bottoms[i]), self._of(self._layer_tops[i])
        if isinstance(layer, BlobLayer):
            layer.backward_blobs(top, self._bottom_need_backward[i], bottom)
            return
        self.check_gradients(i)
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
