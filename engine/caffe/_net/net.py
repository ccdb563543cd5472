"""Net: what pycaffe's users see of a net."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from caffe._blob import Blob
from caffe._error import NetError, UnknownLayer, naming
from caffe._files import prototxt
from caffe._layers.base import Layer
from caffe._layers.python import Python, PythonLayer
from caffe._log import logger
from caffe._net import duplicate_names
from caffe._net import forward_all as _batches
from caffe._net import weights as _weights
from caffe._net.layered_net import LayeredNet
from caffe.proto import caffe_pb2


class Net(LayeredNet):
    """A net in one phase.

    ``Net('net.prototxt', caffe.TEST)``, ``Net('net.prototxt', caffe.TEST, weights='net.caffemodel')``
    or, as older code has it, ``Net('net.prototxt', 'net.caffemodel', caffe.TEST)``.

    Args:
        network_file: path of the prototxt, or a NetParameter whose state says phase, level, stages.
        phase: caffe.TRAIN or caffe.TEST.
        level: for layers' include and exclude rules.
        stages: likewise.
        weights: path of a .caffemodel to copy by layer name.

    Raises:
        PrototxtError, NetError, DataError, SnapshotError: what is wrong and where.
    """

    def __init__(
        self,
        network_file: str | Path | caffe_pb2.NetParameter,
        phase: int | str | None = None,
        level: int = 0,
        stages: Sequence[str] | None = None,
        weights: str | Path | None = None,
    ):
        if phase in ("TRAIN", "TEST"):
            raise TypeError(f"phase is caffe.TRAIN or caffe.TEST, not the word {phase!r}")
        if isinstance(phase, (str, Path)):
            phase, weights, level = level, phase, 0
            logger.warning(
                "DEPRECATION WARNING - deprecated use of Python interface. Use this instead: "
                "Net('%s', %s, weights='%s')", network_file, phase, weights,
            )  # fmt: skip
        if phase not in (None, caffe_pb2.TRAIN, caffe_pb2.TEST):
            raise TypeError(f"phase is caffe.TRAIN or caffe.TEST, not {phase!r}")
        net_param = caffe_pb2.NetParameter()
        if isinstance(network_file, caffe_pb2.NetParameter):
            net_param.CopyFrom(network_file)
            if phase is None and (level or stages):
                raise TypeError("Net needs the phase where level or stages are given")
        else:
            net_param = prototxt.read_net_param(network_file)
            if phase is None:
                raise TypeError("Net needs the phase: caffe.TRAIN or caffe.TEST")
        if phase is not None:
            net_param.state.phase = phase
            net_param.state.level = level
            net_param.state.stage.extend(stages or [])
        path = "" if isinstance(network_file, caffe_pb2.NetParameter) else str(network_file)
        with naming(path):
            super().__init__(net_param)
        self.where = path or self.where
        self._told: set[str] = set()  # what share_with has warned of
        if weights is not None:
            self.copy_from(weights)

    # ---- looking at it: pycaffe's names ----------------------------------------------------------

    @cached_property
    def blobs(self) -> "OrderedDict[str, Blob]":
        """Blobs by name, from input to output."""
        return OrderedDict(zip(self._blob_names, self._blobs, strict=True))

    @property
    def blob_loss_weights(self) -> "OrderedDict[str, float]":
        """Loss weights by blob name."""
        return OrderedDict(zip(self._blob_names, self._blob_loss_weights, strict=True))

    @property
    def layers(self) -> list[Layer | PythonLayer]:
        """Layers from input to output; a Python layer is the object of the person's class."""
        return [layer.instance if isinstance(layer, Python) else layer for layer in self._layers]

    @cached_property
    def layer_dict(self) -> "OrderedDict[str, Layer | PythonLayer]":
        """Layers by name, from input to output."""
        return OrderedDict(zip(self._layer_names, self.layers, strict=True))

    @cached_property
    def params(self) -> "OrderedDict[str, list[Blob]]":
        """Parameter blobs (weights, then biases) by the name of their layer."""
        return OrderedDict((layer.name, layer.blobs) for layer in self._layers if layer.blobs)

    @property
    def inputs(self) -> list[str]:
        """Names of the blobs a person fills."""
        return [self._blob_names[i] for i in self._inputs]

    @property
    def outputs(self) -> list[str]:
        """Names of the blobs that no layer takes, sorted."""
        return [self._blob_names[i] for i in self._outputs]

    @cached_property
    def top_names(self) -> "OrderedDict[str, list[str]]":
        """Names of the tops by layer name."""
        return self._names_by_layer(self.graph.tops)

    @cached_property
    def bottom_names(self) -> "OrderedDict[str, list[str]]":
        """Names of the bottoms by layer name."""
        return self._names_by_layer(self.graph.bottoms)

    def _bottom_ids(self, layer: int) -> list[int]:
        """Indices (in ``_blobs``) of a layer's bottoms."""
        return self.graph.bottoms[layer]

    def _top_ids(self, layer: int) -> list[int]:
        """Indices (in ``_blobs``) of a layer's tops."""
        return self.graph.tops[layer]

    def _names_by_layer(self, ids: list[list[int]]) -> "OrderedDict[str, list[str]]":
        names = ([self._blob_names[i] for i in row] for row in ids)
        return OrderedDict(zip(self._layer_names, names, strict=True))

    def _layer_index(self, name: str) -> int:
        if name not in self._layer_names:
            raise UnknownLayer(f"There is no layer '{name}'.{prototxt.nearest(name, self._layer_names)}")
        return self._layer_names.index(name)

    def forward(
        self, blobs: list[str] | None = None, start: str | None = None, end: str | None = None, **inputs: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Run forward.

        Args:
            blobs: names of blobs to return besides the outputs.
            start: name of the layer to begin with.
            end: name of the layer to end with; its tops are returned in place of the outputs.
            inputs: values for the input blobs, by name: all of them or none.

        Returns:
            Values by blob name, as views that the next pass overwrites.
        """
        first = self._layer_index(start) if start else 0
        last = self._layer_index(end) if end else len(self._layers) - 1
        # By index: of several layers with the name this pass runs the first, whose tops are returned.
        ends = [self._blob_names[i] for i in self.graph.tops[last]] if end else self.outputs
        wanted = {*ends, *(blobs or [])}
        self._fill("input", self.inputs, inputs, "data")
        self._forward(first, last)
        return {name: self.blobs[name].data for name in wanted}

    def backward(
        self, diffs: list[str] | None = None, start: str | None = None, end: str | None = None, **outputs: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Run backward.

        Args:
            diffs: names of blobs whose gradients to return besides the inputs'.
            start: name of the layer to begin with (the last in the net by default).
            end: name of the layer to end with; its bottoms' gradients are returned.
            outputs: gradients for the output blobs, by name: all of them or none.

        Returns:
            Gradients by blob name.
        """
        first = self._layer_index(start) if start else len(self._layers) - 1
        last = self._layer_index(end) if end else 0
        ends = [self._blob_names[i] for i in self.graph.bottoms[last]] if end else self.inputs
        wanted = {*ends, *(diffs or [])}
        self._fill("output", self.outputs, outputs, "diff")
        self._backward(first, last)
        return {name: self.blobs[name].diff for name in wanted}

    def _fill(self, what: str, names: list[str], given: dict[str, np.ndarray], member: str) -> None:
        if not given:
            return
        if set(given) != set(names):
            raise NetError(f"The {what}s given ({', '.join(sorted(given))}) are not the net's ({', '.join(names)}).")
        for name, values in given.items():
            blob = self.blobs[name]
            if np.shape(values)[:1] != tuple(blob.shape[:1]):
                raise NetError(
                    f"{what} '{name}' has shape {np.shape(values)}: it is not batch sized ({blob.shape[0]})."
                )
            getattr(blob, member)[...] = values

    def forward_all(self, blobs: list[str] | None = None, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Run forward over any number of inputs, batch by batch.

        Args:
            blobs: names of blobs to return besides the outputs.
            inputs: values for all input blobs, by name, of any one length.

        Returns:
            Values by blob name, as long as the inputs.
        """
        return _batches.forward(self, blobs, inputs)

    def forward_backward_all(
        self, blobs: list[str] | None = None, diffs: list[str] | None = None, **arrays: np.ndarray
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Run forward and backward over any number of inputs, batch by batch.

        Args:
            blobs: names of blobs to return besides the outputs.
            diffs: names of blobs whose gradients to return besides the inputs'.
            arrays: values for the input blobs, gradients for the output blobs, by name; what is not
                given stays as it is in the net.

        Returns:
            Values and gradients by blob name, as long as the arrays.
        """
        return _batches.forward_backward(self, blobs, diffs, arrays)

    def _batch(self, arrays: Mapping[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
        """Arrays of any one length, cut into batches of the net's size; the last is padded with zeros."""
        return _batches.split(arrays, self._blobs[0].shape[0])

    def clear_param_diffs(self) -> None:
        """Set the gradients of all parameters to zero."""
        for entry in self._params.learnable:
            entry.blob._diff.zero()

    def set_input_arrays(self, data: np.ndarray, labels: np.ndarray) -> None:
        """Let the first layer, a MemoryData, give these records from now on; the arrays are not copied.

        Args:
            data: float32, C contiguous (num, channels, height, width), num a multiple of the batch size.
            labels: float32 (num) or (num, 1, 1, 1).

        Raises:
            NetError: the first layer is another, or an array is of another type or shape.
        """
        layer = self._layers[0]
        if layer.type != "MemoryData":
            raise NetError("set_input_arrays may only be called if the first layer is a MemoryDataLayer.")
        layer.reset(data, labels.reshape(-1, 1, 1, 1) if labels.ndim == 1 else labels)

    # ---- weights -------------------------------------------------------------------------------

    def copy_from(self, path: str | Path) -> None:
        """Copy weights from a .caffemodel, or an HDF5 file, to the layers of the same names.

        Raises:
            SnapshotError: the file is broken, or its layers have other shapes.
        """
        _weights.copy_weights(self, _weights.read_weights(path), str(path))

    def save(self, path: str | Path) -> None:
        """Write all layers and their weights as a .caffemodel."""
        _weights.write_model(self, path)

    def save_hdf5(self, path: str | Path) -> None:
        """Write the weights as an HDF5 file (.caffemodel.h5).

        Raises:
            SnapshotError: layers have no name, one name, or one with a slash, as GoogLeNet's have.
        """
        _weights.write_hdf5_model(self, path)

    def load_hdf5(self, path: str | Path) -> None:
        """Copy weights from an HDF5 file to the layers of the same names.

        Raises:
            SnapshotError: as copy_from.
        """
        _weights.copy_weights(self, _weights.read_hdf5_weights(path), str(path))

    def share_with(self, other: "Net") -> None:
        """Use the other net's weights, in layers of the same names, as one's own.

        _net/duplicate_names.py matches layers of one name.

        Raises:
            NetError: a layer has other shapes there.
        """
        matched = duplicate_names.match(duplicate_names.by_weights(other.graph), duplicate_names.by_weights(self.graph))
        for name in other._layer_names:
            if name not in self._layer_names:
                logger.info("Ignoring source layer %s", name)
        for group in matched.uneven:
            message = duplicate_names.explain(self.graph, group, f"Net '{other.name}', whose weights are shared,")
            if len(group.numbers) < len(group.targets) and message not in self._told:
                self._told.add(message)
                logger.warning("%s", message)
        for source, target in ((source.value, target.value) for source, target in matched.pairs):
            shapes = [[blob.shape for blob in layer.blobs] for layer in (source, target)]
            if shapes[0] != shapes[1]:
                name = duplicate_names.label(other.graph, source)
                raise NetError(f"Cannot share weights of layer {name}: shapes {shapes[0]} and {shapes[1]}.")
            for ours, theirs in zip(target.blobs, source.blobs, strict=True):
                ours.share_data(theirs)
