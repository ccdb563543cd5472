"""Files of weights: .caffemodel (a NetParameter) and .caffemodel.h5, read and written as Caffe does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from caffe._error import SnapshotError
from caffe._files import hdf5
from caffe._files.blobproto import RAW, from_array, read_message, shape_of, to_array
from caffe._files.whole_file import write_file
from caffe._log import logger
from caffe._net import duplicate_names
from caffe._net.duplicate_names import Named, explain, label

if TYPE_CHECKING:
    import h5py
    from google.protobuf.message import Message

    from caffe._net.layered_net import LayeredNet

Weights = list[Named]
"""A file's layers; the value of each is a dict of its parameters' BlobProtos by number."""


def read_weights(path: str | Path) -> Weights:
    """The weights in a .caffemodel of any age, or in an HDF5 file, whatever its name.

    Raises:
        SnapshotError: the file is missing, cut, or no model.
    """
    if hdf5.is_hdf5(path):
        return read_hdf5_weights(path)
    net = read_message(path, "NetParameter")
    old = [layer.layer if layer.HasField("layer") else layer for layer in net.layers]
    types = [*(layer.type for layer in net.layer), *("" for _ in old)]
    tops = [tuple(layer.top) for layer in (*net.layer, *net.layers)]
    layers = [
        Named(layer.name, dict(enumerate(layer.blobs)), bool(layer.blobs), *rest)
        for layer, *rest in zip((*net.layer, *old), types, tops, strict=True)
    ]
    if not layers:
        raise SnapshotError(f"{path} holds no layers: it is not a .caffemodel.")
    return layers


def read_hdf5_weights(path: str | Path) -> Weights:
    """The weights in an HDF5 file: datasets data/<layer>/<number>.

    Raises:
        SnapshotError: the file is missing, cut, or no model.
    """
    with hdf5.reading(path, SnapshotError) as file:
        data = hdf5.read_group(file, "data")
        groups = [(name, hdf5.read_group(data, name)) for name in data]
        return [
            Named(name, {int(key): _read_proto(group, key) for key in group}, len(group) > 0) for name, group in groups
        ]


def _read_proto(group: h5py.Group, key: str) -> Message:
    proto = RAW["BlobProto"]()
    from_array(proto, hdf5.read_array(group, key))
    return proto


def copy_weights(net: LayeredNet, layers: Weights, where: str, complete: bool = False) -> None:
    """Copy weights to the net's layers of the same names; others are ignored with a line.

    _net/duplicate_names.py matches layers of one name. Everything is checked before anything is copied. A parameter
    that the net shares by name may be missing: HDF5 files hold it only with its owner.

    Args:
        complete: whether every layer with parameters must be there, as in a snapshot; else those that
            are not keep theirs, with a warning.

    Raises:
        SnapshotError: the number or the shapes of a layer's parameters differ, or a layer is missing.
    """
    matched = duplicate_names.match(layers, duplicate_names.by_weights(net.graph))
    for name in (source.name for source in layers):
        if name not in net.graph.layer_names:
            logger.info("Ignoring source layer %s", name)
    shared = {id(blob) for blob, _ in net.graph.params.shared}
    _check_all_found(net, matched, shared, where, complete)
    copies = []
    for source, found in matched.pairs:
        protos, target = source.value, found.value
        needed = {index for index, blob in enumerate(target.blobs) if id(blob) not in shared}
        if not needed <= protos.keys() <= set(range(len(target.blobs))):
            raise SnapshotError(
                f"{where}: layer {label(net.graph, target)} has {len(protos)} parameter blobs, the net's has "
                f"{len(target.blobs)}: it is a snapshot of another net."
            )
        for index, proto in protos.items():
            blob = target.blobs[index]
            if not _same_shape(proto, tuple(blob.shape)):
                raise SnapshotError(
                    f"{where}: cannot copy param {index} weights from layer {label(net.graph, target)}; shape mismatch. "
                    f"Source param shape is {shape_of(proto)}; target param shape is {tuple(blob.shape)}. To learn "
                    "this layer's parameters from scratch rather than copying from a saved net, rename the layer."
                )
            copies.append((blob, to_array(proto, f"{where}, layer {label(net.graph, target)}")))
    for blob, values in copies:
        blob._data.set(torch.from_numpy(values.reshape(blob.shape)))


def _check_all_found(
    net: LayeredNet, matched: duplicate_names.Match, shared: set[int], where: str, complete: bool
) -> None:
    """Raise, or warn, where the net's layers are not matched to weights, or not for sure."""
    own = [layer for layer in net.graph.layers if any(id(blob) not in shared for blob in layer.blobs)]
    found = matched.found()
    missing = [layer for layer in own if id(layer) not in found]
    if missing and complete:
        names = ", ".join(label(net.graph, layer) for layer in missing)
        raise SnapshotError(f"{where} has no weights for the net's {names}: it is damaged, or of another net.")
    for group in matched.uneven:
        logger.warning("%s", explain(net.graph, group, where))
    told = {target.name for group in matched.uneven for target in group.targets}
    if names := ", ".join(label(net.graph, layer) for layer in missing if layer.name not in told):
        logger.warning("%s has no weights for the net's %s: they stay as they are.", where, names)


def _same_shape(proto: Message, shape: tuple[int, ...]) -> bool:
    # Files before 2014 give four dimensions, a bias as 1 x 1 x 1 x N (Blob::ShapeEquals).
    stored = shape_of(proto)
    if proto.HasField("shape"):
        return stored == shape
    return len(shape) <= 4 and stored == (1,) * (4 - len(shape)) + shape


def _host(array) -> np.ndarray:
    return array.tensor().cpu().contiguous().numpy()


def model_bytes(net: LayeredNet, diff: bool = False) -> bytes:
    """The net with its weights (and gradients) as the content of a .caffemodel."""
    model = RAW["NetParameter"](name=net.name)
    for layer in net.graph.layers:
        proto = model.layer.add()
        proto.MergeFromString(layer.param.SerializeToString())
        del proto.blobs[:]
        for blob in layer.blobs:
            from_array(proto.blobs.add(), _host(blob._data), _host(blob._diff) if diff else None)
    return model.SerializeToString()


def hdf5_bytes(net: LayeredNet, diff: bool = False) -> bytes:
    """The net's weights (and gradients) as the content of a .caffemodel.h5 (Net::ToHDF5).

    Groups data and diff have a group for each layer, with or without parameters. data holds a shared
    parameter with its owner only, diff with each.

    Raises:
        SnapshotError: as check_fits_hdf5.
    """
    check_fits_hdf5(net)
    shared = {id(blob) for blob, _ in net.graph.params.shared}

    def fill(file: h5py.File) -> None:
        for group in ("data", "diff")[: 1 + diff]:
            file.create_group(group)
        for layer in net.graph.layers:
            data = file["data"].create_group(layer.name)
            for index, blob in enumerate(layer.blobs):
                if id(blob) not in shared:
                    data[str(index)] = _host(blob._data)
            if diff:
                gradients = file["diff"].create_group(layer.name)
                for index, blob in enumerate(layer.blobs):
                    gradients[str(index)] = _host(blob._diff)

    return hdf5.to_bytes(fill)


_MOST_NAMED = 5


def check_fits_hdf5(net: LayeredNet) -> None:
    """See that an HDF5 file can hold the net: it has a group for each layer, with the layer's name.

    Raises:
        SnapshotError: layers have no name, one name, or one that HDF5 does not take; or h5py is missing.
    """
    hdf5.need(SnapshotError, "HDF5 output")
    unfit = list(_unfit_for_hdf5(net))
    if not unfit:
        return
    (who, why), *others = unfit[:_MOST_NAMED]
    more = len(unfit) - _MOST_NAMED
    sentences = [
        f"{who[0].upper()}{who[1:]} cannot be saved in an HDF5 file: {why}.",
        *(f"Nor can {who}: {why}." for who, why in others),
        *([f"Nor can {more} more."] if more > 0 else []),
        "Rename what is named here, or save a .caffemodel (snapshot_format: BINARYPROTO).",
    ]
    raise SnapshotError(" ".join(sentences))


def _unfit_for_hdf5(net: LayeredNet) -> Iterator[tuple[str, str]]:
    """The parts of a net that have no group of their own in an HDF5 file, and why."""
    for name, group in duplicate_names.by_name(net.graph.layer_names).items():
        which = duplicate_names.listing(net.graph, group)
        if not name:
            yield f"layers without a name ({which})", "each needs one there"
            continue
        if len(group) > 1:
            yield f"the layers named '{name}' ({which})", "each needs a name of its own there"
        # A Split is named after a layer and a blob. The layer is reported already, so only the blob is left.
        is_split = not net.graph.descriptions[group[0]]
        source = net.graph.layers[group[0]].param.bottom[0] if is_split else name
        if why := hdf5.unfit_name(source):
            yield f"blob '{source}', which several layers read," if is_split else f"layer '{name}'", why


def write_model(net: LayeredNet, path: str | Path, diff: bool = False) -> None:
    """Write a .caffemodel."""
    write_file(path, model_bytes(net, diff))


def write_hdf5_model(net: LayeredNet, path: str | Path, diff: bool = False) -> None:
    """Write a .caffemodel.h5."""
    write_file(path, hdf5_bytes(net, diff))
