"""How a net is made (Caffe's Net::Init): its layers, the blobs between them, and which of them need gradients.

LayeredNet and WholeNet run one. They change the values and shapes of its blobs, and nothing else.
"""

import torch

from caffe import _layers
from caffe._blob import Blob
from caffe._device import device
from caffe._error import NetError
from caffe._layers.base import BlobLayer, Layer
from caffe._log import logger
from caffe._net.memory import NetMemory
from caffe._net.params import ParamTable
from caffe._net.wiring import describe, filter_net, insert_splits
from caffe.proto import caffe_pb2


class Graph:
    """Layers wired by blobs, made once. Layers and blobs are known by their index.

    Args:
        net_param: the net, upgraded; its state says phase, level and stages.

    Attributes:
        name, phase: the net's.
        layers, layer_names: from input to output.
        descriptions: for messages about layers of one name; "" for a Split that the prototxt does not have.
        blobs, blob_names, blob_loss_weights: in the order in which layers first write them.
        bottoms, tops: each layer's blobs.
        loss_weights: each layer's, by its tops. In place, a blob has one from each layer.
        inputs, outputs: blobs that the user fills; blobs that no layer reads, sorted by name.
        params: the parameters: who owns them and who shares them.
        layer_need_backward: whether the backward pass runs a layer.
        bottom_need_backward, param_need_backward: whether it gives the gradient of each bottom and parameter.
        force_backward: whether the prototxt asks for every gradient.
        reads_written_over: whether a layer reads memory of a Split that a layer in place or a Python layer may write.
        shaped_for: the shapes of a layer's bottoms that its tops are shaped for.

    Raises:
        PrototxtError, NetError, DataError: what is wrong and where.
    """

    def __init__(self, net_param: caffe_pb2.NetParameter):
        filtered = filter_net(net_param)
        logger.info("Initializing net from parameters: \n%s", filtered)
        self.name = filtered.name
        self.phase = filtered.state.phase
        self.layers: list[Layer] = []
        self.layer_names: list[str] = []
        self.blobs: list[Blob] = []
        self.blob_names: list[str] = []
        self.blob_loss_weights: list[float] = []
        self.loss_weights: list[list[float]] = []
        self.bottoms: list[list[int]] = []
        self.tops: list[list[int]] = []
        self.inputs: list[int] = []
        self.params = ParamTable()
        self.bottom_need_backward: list[list[bool]] = []
        self.layer_need_backward: list[bool] = []
        self.param_need_backward: list[list[bool]] = []
        self.shaped_for: list[list[list[int]]] = []
        available: dict[str, int] = {}
        index: dict[str, int] = {}
        need_backward: list[bool] = []
        param = insert_splits(filtered)
        self.descriptions = describe(filtered, param)
        memory, taken = 0, NetMemory(self.phase == caffe_pb2.TRAIN)
        for layer_param in param.layer:
            if not layer_param.HasField("phase"):
                layer_param.phase = self.phase
            memory += self._add_layer(layer_param, available, index, need_backward, taken)
            logger.info("Memory required for data: %d", 4 * memory)
        self._skip_needless_backward()
        self.force_backward = param.force_backward
        if self.force_backward:
            self._force_backward()
        for name in sorted(available):
            logger.info("This network produces output %s", name)
        self.outputs = [available[name] for name in sorted(available)]
        self.params.share()
        self.reads_written_over = self._find_readers_of_written_over()

    def _add_layer(
        self,
        param: caffe_pb2.LayerParameter,
        available: dict[str, int],
        index: dict[str, int],
        need_backward: list[bool],
        taken: NetMemory,
    ) -> int:
        """Make one layer and wire it; returns the number of values its tops hold."""
        known_blobs = len(self.blobs)
        if param.propagate_down and len(param.propagate_down) != len(param.bottom):
            raise NetError(f"Layer '{param.name}': propagate_down must be specified 0 or {len(param.bottom)} times.")
        if len(param.loss_weight) not in (0, len(param.top)):
            raise NetError(f"Layer '{param.name}': loss_weight must be unspecified or specified once per top blob.")
        # BatchNorm gives its parameters lr_mult 0 in its setup; the prototxt decides what needs backward (net.cpp).
        given_lr_mult = [spec.lr_mult for spec in param.param]
        layer = _layers.create(param)
        self.layers.append(layer)
        self.layer_names.append(param.name)
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
            self.inputs.extend(top_ids)
        if layer.auto_top_blobs and len(top_ids) < layer.tops[0]:
            logger.info("%s -> (automatic)", param.name)
            top_ids.append(self._add_blob("(automatic)", need_backward))
        self.bottoms.append(bottom_ids)
        self.tops.append(top_ids)

        bottom, top = self.blobs_at(bottom_ids), self.blobs_at(top_ids)
        if isinstance(layer, BlobLayer):
            layer.setup_blobs(bottom, top)
        else:
            layer.setup([tuple(blob.shape) for blob in bottom])
        self.shaped_for.append([])
        self.reshape_layer(len(self.layers) - 1)
        taken.add(layer, self.blobs[known_blobs:])
        logger.info("Setting up %s", param.name)
        if layer.default_loss_weight and not param.loss_weight:
            # Real Caffe's losses write the default into their own parameter, and so into snapshots.
            param.loss_weight.extend([layer.default_loss_weight] + [0.0] * (len(top) - 1))
        weights = list(param.loss_weight) or [0.0] * len(top)
        self.loss_weights.append(weights)
        for blob_id, blob, weight in zip(top_ids, top, weights, strict=False):
            self.blob_loss_weights[blob_id] = weight
            logger.info("Top shape: %s", blob.shape_string())
            if weight:
                logger.info("    with loss weight %g", weight)
                blob._diff.set(torch.full(tuple(blob.shape), weight, device=device.current()))

        if len(param.param) > len(layer.blobs):
            raise NetError(f"Too many params specified for layer {param.name}.")
        for j in range(len(layer.blobs)):
            self.params.add(layer, j)
        trained = [j >= len(given_lr_mult) or given_lr_mult[j] != 0 for j in range(len(layer.blobs))]
        self.param_need_backward.append(trained)
        self.bottom_need_backward.append(propagate)
        # A bottom that needs its gradient gets it from this layer.
        needed = any(need_backward[i] for i in bottom_ids) or any(trained)
        self.layer_need_backward.append(needed)
        if needed:
            for blob_id in top_ids:
                need_backward[blob_id] = True
        return sum(blob.count for blob in top)

    def _add_blob(self, name: str, need_backward: list[bool]) -> int:
        self.blobs.append(Blob())
        self.blob_names.append(name)
        self.blob_loss_weights.append(0.0)
        need_backward.append(False)
        return len(self.blobs) - 1

    def _skip_needless_backward(self) -> None:
        """From the losses back: switch off what contributes to none (the second half of Net::Init)."""
        under_loss: set[int] = set()
        skip: set[int] = set()
        for i in reversed(range(len(self.layers))):
            tops = self.tops[i]
            contributes = any(self.blob_loss_weights[t] or t in under_loss for t in tops)
            skip_all = all(t in skip for t in tops)
            if self.layer_need_backward[i] and skip_all:
                self.layer_need_backward[i] = False
                self.bottom_need_backward[i] = [False] * len(self.bottoms[i])
            if not contributes:
                self.layer_need_backward[i] = False
            verb = "needs" if self.layer_need_backward[i] else "does not need"
            logger.info("%s %s backward computation.", self.layer_names[i], verb)
            for j, blob_id in enumerate(self.bottoms[i]):
                if contributes:
                    under_loss.add(blob_id)
                else:
                    self.bottom_need_backward[i][j] = False
                if not self.bottom_need_backward[i][j]:
                    skip.add(blob_id)

    def _find_readers_of_written_over(self) -> list[bool]:
        """For each layer: whether it reads memory of a Split that a layer in place or a Python layer may write.

        A Reshape or Flatten of one of the Split's tops may lead there. Without a Split nobody else reads that memory.
        """
        of = list(range(len(self.blobs)))  # the first blob of the memory
        split, written = set(), set()  # memory, so far and in the order of the layers
        for layer, bottoms, tops in zip(self.layers, self.bottoms, self.tops, strict=True):
            written |= {of[b] for b in bottoms if of[b] in split and (b in tops or isinstance(layer, BlobLayer))}
            if layer.shares_values and bottoms != tops:
                for top in tops:
                    of[top] = of[bottoms[0]]
                if layer.type == "Split":
                    split.add(of[bottoms[0]])
        return [any(of[b] in written for b in bottoms) for bottoms in self.bottoms]

    def _force_backward(self) -> None:
        for i, layer in enumerate(self.layers):
            self.layer_need_backward[i] = True
            self.param_need_backward[i] = [True] * len(layer.blobs)
            self.bottom_need_backward[i] = [
                need or layer.allow_force_backward(j) for j, need in enumerate(self.bottom_need_backward[i])
            ]

    def check_gradients(self, i: int) -> None:
        """Raise NetError if layer i is to give a gradient that it lacks, as real Caffe's backward pass of it does."""
        layer = self.layers[i]
        for j, need in enumerate(self.bottom_need_backward[i]):
            if need and self.layer_need_backward[i] and layer.lacks_gradient_of(j):
                raise layer.gradient_error(j, self.force_backward)

    def run_every_backward(self) -> None:
        """Let backward run in every layer, as `caffe time` does, and not only where a loss needs it.

        Each layer then computes what its own Backward would in real Caffe: gradients of weights that are trained, and
        of bottoms where somebody needs them or where Backward does not ask.
        """
        for i, layer in enumerate(self.layers):
            if layer.has_backward:
                self.layer_need_backward[i] = True
            else:
                logger.warning(
                    "Layer '%s' (%s) has no backward pass: it takes no time here; real Caffe stops at it.",
                    layer.name,
                    layer.type,
                )
            if layer.backward_unasked:
                self.bottom_need_backward[i] = [True] * len(self.bottoms[i])

    def blobs_at(self, ids: list[int]) -> list[Blob]:
        """The blobs with these indices."""
        return [self.blobs[i] for i in ids]

    def reshape_layer(self, i: int) -> None:
        """Shape a layer's tops for the shapes that its bottoms have now."""
        layer, bottom, top = self.layers[i], self.blobs_at(self.bottoms[i]), self.blobs_at(self.tops[i])
        if isinstance(layer, BlobLayer):
            layer.reshape_blobs(bottom, top)
            return
        # An input keeps the shape that a user gave it since it was made.
        if layer.type == "Input" and any(blob.shape for blob in top):
            return
        shapes = [blob.shape for blob in bottom]
        for blob, shape in zip(top, layer.top_shapes([tuple(shape) for shape in shapes]), strict=True):
            if layer.shares_values and blob not in bottom:
                blob.share(bottom[0], shape, gradients=layer.shares_gradients)
            else:
                layer.reshape(blob, shape)
        self.shaped_for[i] = shapes

    def reshape(self) -> None:
        """Spread changed shapes of inputs through the net."""
        for i in range(len(self.layers)):
            self.reshape_layer(i)
