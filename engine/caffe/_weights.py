"""Files of weights: .caffemodel (a NetParameter) and .caffemodel.h5, read and written as Caffe does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from caffe import _hdf5
from caffe._blobproto import RAW, from_array, read_message, shape_of, to_array
from caffe._error import SnapshotError
from caffe._log import logger
from caffe._whole_file import write_file

if TYPE_CHECKING:
    import h5py
    from google.protobuf.message import Message

    from caffe._net import Net

Weights = list[tuple[str, "dict[int, Message]"]]
"""Layer names, and their parameters' BlobProtos by number."""


def read_weights(path: str | Path) -> Weights:
    """The weights in a .caffemodel of any age, or in an HDF5 file, whatever its name.

    Raises:
        SnapshotError: the file is missing, cut, or no model.
    """
    if _hdf5.is_hdf5(path):
        return read_hdf5_weights(path)
    net = read_message(path, "NetParameter")
    old = [layer.layer if layer.HasField("layer") else layer for layer in net.layers]
    layers = [(layer.name, dict(enumerate(layer.blobs))) for layer in (*net.layer, *old)]
    if not layers:
        raise SnapshotError(f"{path} holds no layers: it is not a .caffemodel.")
    return layers


def read_hdf5_weights(path: str | Path) -> Weights:
    """The weights in an HDF5 file: datasets data/<layer>/<number>.

    Raises:
        SnapshotError: the file is missing, cut, or no model.
    """
    with _hdf5.reading(path, SnapshotError) as file:
        data = _hdf5.read_group(file, "data")
        groups = [(name, _hdf5.read_group(data, name)) for name in data]
        return [(name, {int(key): _read_proto(group, key) for key in group}) for name, group in groups]


def _read_proto(group: h5py.Group, key: str) -> Message:
    proto = RAW["BlobProto"]()
    from_array(proto, _hdf5.read_array(group, key))
    return proto


def copy_weights(net: Net, layers: Weights, where: str, complete: bool = False) -> None:
    """Copy weights to the net's layers of the same names; others are ignored with a line.

    Everything is checked before anything is copied. A parameter that the net shares by name may be
    missing: HDF5 files hold it only with its owner.

    Args:
        complete: whether every layer with parameters must be there, as in a snapshot; else those that
            are not keep theirs, with a warning.

    Raises:
        SnapshotError: the number or the shapes of a layer's parameters differ, or a layer is missing.
    """
    targets = dict(zip(net._layer_names, net._layers, strict=True))
    shared = {id(blob) for blob, _ in net._params.shared}
    own = {name for name, layer in targets.items() if any(id(blob) not in shared for blob in layer.blobs)}
    if missing := own - {name for name, _ in layers}:
        names = ", ".join(f"'{name}'" for name in targets if name in missing)
        if complete:
            raise SnapshotError(f"{where} has no weights for the net's {names}: it is damaged, or of another net.")
        logger.warning("%s has no weights for the net's %s: they stay as they are.", where, names)
    copies = []
    for name, protos in layers:
        target = targets.get(name)
        if target is None:
            logger.info("Ignoring source layer %s", name)
            continue
        needed = {index for index, blob in enumerate(target.blobs) if id(blob) not in shared}
        if not needed <= protos.keys() <= set(range(len(target.blobs))):
            raise SnapshotError(
                f"{where}: layer '{name}' has {len(protos)} parameter blobs, the net's has {len(target.blobs)}: "
                "it is a snapshot of another net."
            )
        for index, proto in protos.items():
            blob = target.blobs[index]
            if not _same_shape(proto, tuple(blob.shape)):
                raise SnapshotError(
                    f"{where}: cannot copy param {index} weights from layer '{name}'; shape mismatch. Source "
                    f"param shape is {shape_of(proto)}; target param shape is {tuple(blob.shape)}. To learn this "
                    "layer's parameters from scratch rather than copying from a saved net, rename the layer."
                )
            copies.append((blob, to_array(proto, f"{where}, layer '{name}'")))
    for blob, values in copies:
        blob._data.set(torch.from_numpy(values.reshape(blob.shape)))


def _same_shape(proto: Message, shape: tuple[int, ...]) -> bool:
    # Files before 2014 give four dimensions, a bias as 1 x 1 x 1 x N (Blob::ShapeEquals).
    stored = shape_of(proto)
    if proto.HasField("shape"):
        return stored == shape
    return len(shape) <= 4 and stored == (1,) * (4 - len(shape)) + shape


def _host(array) -> np.ndarray:
    return array.tensor().cpu().contiguous().numpy()


def model_bytes(net: Net, diff: bool = False) -> bytes:
    """The net with its weights (and gradients) as the content of a .caffemodel."""
    model = RAW["NetParameter"](name=net.name)
    for layer in net._layers:
        proto = model.layer.add()
        proto.MergeFromString(layer.param.SerializeToString())
        del proto.blobs[:]
        for blob in layer.blobs:
            from_array(proto.blobs.add(), _host(blob._data), _host(blob._diff) if diff else None)
    return model.SerializeToString()


def hdf5_bytes(net: Net, diff: bool = False) -> bytes:
    """The net's weights (and gradients) as the content of a .caffemodel.h5 (Net::ToHDF5).

    Groups data and diff have a group for each layer, with or without parameters. data holds a shared
    parameter with its owner only, diff with each.

    Raises:
        SnapshotError: a layer's name has a slash, which separates groups in HDF5.
    """
    shared = {id(blob) for blob, _ in net._params.shared}

    def fill(file: h5py.File) -> None:
        for group in ("data", "diff")[: 1 + diff]:
            file.create_group(group)
        for layer in net._layers:
            if "/" in layer.name:
                raise SnapshotError(
                    f"Layer '{layer.name}' cannot be saved in an HDF5 file: its name has a slash. "
                    "Rename it, or save a .caffemodel (snapshot_format: BINARYPROTO)."
                )
            data = file["data"].create_group(layer.name)
            for index, blob in enumerate(layer.blobs):
                if id(blob) not in shared:
                    data[str(index)] = _host(blob._data)
            if diff:
                gradients = file["diff"].create_group(layer.name)
                for index, blob in enumerate(layer.blobs):
                    gradients[str(index)] = _host(blob._diff)

    return _hdf5.to_bytes(fill)


def write_model(net: Net, path: str | Path, diff: bool = False) -> None:
    """Write a .caffemodel."""
    write_file(path, model_bytes(net, diff))


def write_hdf5_model(net: Net, path: str | Path, diff: bool = False) -> None:
    """Write a .caffemodel.h5."""
    write_file(path, hdf5_bytes(net, diff))
