"""Upgrades old forms of files to today's (Caffe's upgrade_proto.cpp); no other module does."""

import os

from caffe._error import PrototxtError
from caffe._files.upgrade_v0 import is_v0, upgrade_v0
from caffe._log import logger
from caffe.proto import caffe_pb2

# A V1 type is today's name in capitals with underscores; these do not follow the rule.
_V1_IRREGULAR = {
    "ABSVAL": "AbsVal",
    "ARGMAX": "ArgMax",
    "BNLL": "BNLL",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "IM2COL": "Im2col",
    "LRN": "LRN",
    "MVN": "MVN",
    "RELU": "ReLU",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "TANH": "TanH",
}
_V1_TYPES = {
    value.number: _V1_IRREGULAR.get(value.name, value.name.title().replace("_", ""))
    for value in caffe_pb2.V1LayerParameter.LayerType.DESCRIPTOR.values
    if value.name != "NONE"
}
_SOLVER_TYPES = ("SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam")
_V1_OWN_FIELDS = {
    "type",
    "layer",
    "blobs_lr",
    "weight_decay",
    "param",
    "blob_share_mode",
}
# These V1 types once had the transformation in their own parameter message.
_TRANSFORMED = {
    caffe_pb2.V1LayerParameter.DATA: "data_param",
    caffe_pb2.V1LayerParameter.IMAGE_DATA: "image_data_param",
    caffe_pb2.V1LayerParameter.WINDOW_DATA: "window_data_param",
}
_TRANSFORMATION = ("scale", "mean_file", "crop_size", "mirror")


def upgrade_net(net: caffe_pb2.NetParameter, where: str) -> caffe_pb2.NetParameter:
    """Upgrade a net to today's form in place; see upgrade_as_needed."""
    upgrade_as_needed(net, where)
    return net


def needs_upgrade(net: caffe_pb2.NetParameter) -> bool:
    """True if anything in a net is in an old form."""
    return bool(net.layers or net.input or any(map(_has_old_batch_norm, net.layer)))


def upgrade_as_needed(net: caffe_pb2.NetParameter, where: str) -> bool:
    """Upgrade a net to today's form in place.

    Args:
        net: a net as parsed from text or binary.
        where: the file's name, for messages.

    Returns:
        False if something had to be left out, which the log names.

    Raises:
        PrototxtError: old and new forms are mixed, or Caffe never had the old form.
    """
    complete = True
    if is_v0(net):
        _attempt("V0LayerParameter", where)
        complete = upgrade_v0(net, where)
        _done("V0LayerParameter") if complete else logger.error("%s: upgraded but for the above.", where)
    if any(map(_has_old_transformation, net.layers)):
        _attempt("transformation parameters", where)
        for layer in net.layers:
            _upgrade_transformation(layer)
        _done("transformation parameters.")
    if net.layers:
        if net.layer:
            raise PrototxtError(f"{where}: has both 'layer' and 'layers' (V1) fields; use one form.")
        _attempt("V1LayerParameter", where)
        net.layer.extend(_upgrade_v1_layer(old, where) for old in net.layers)
        net.ClearField("layers")
        _done("V1LayerParameter")
    if net.input:
        _attempt("input fields", where)
        _upgrade_input(net, where)
        _done("input fields.")
    if any(map(_has_old_batch_norm, net.layer)):
        logger.info("Attempting to upgrade batch norm layers using deprecated params: %s", where)
        for layer in filter(_has_old_batch_norm, net.layer):
            # Running sums are not trained, but some old files lack the zero multipliers.
            for spec in layer.param:
                spec.lr_mult = spec.decay_mult = 0
        logger.info("Successfully upgraded batch norm layers using deprecated params.")
    return complete


def _attempt(what: str, where: str) -> None:
    logger.info("Attempting to upgrade input file specified using deprecated %s: %s", what, where)


def _done(what: str) -> None:
    logger.info("Successfully upgraded file specified using deprecated %s", what)


def _upgrade_v1_layer(old: caffe_pb2.V1LayerParameter, where: str) -> caffe_pb2.LayerParameter:
    new = caffe_pb2.LayerParameter()
    for field, value in old.ListFields():
        if field.name in _V1_OWN_FIELDS:
            continue
        if field.is_repeated:
            getattr(new, field.name).extend(value)
        elif field.message_type:
            getattr(new, field.name).CopyFrom(value)
        else:
            setattr(new, field.name, value)
    if old.type not in _V1_TYPES:
        raise PrototxtError(f"{where}: layer '{old.name}' has no type.")
    new.type = _V1_TYPES[old.type]
    count = max(len(old.param), len(old.blob_share_mode), len(old.blobs_lr), len(old.weight_decay))
    for index in range(count):
        spec = new.param.add()
        if index < len(old.param):
            spec.name = old.param[index]
        if index < len(old.blob_share_mode):
            spec.share_mode = old.blob_share_mode[index]
        if index < len(old.blobs_lr):
            spec.lr_mult = old.blobs_lr[index]
        if index < len(old.weight_decay):
            spec.decay_mult = old.weight_decay[index]
    return new


def _old_transformation(layer: caffe_pb2.V1LayerParameter) -> caffe_pb2.DataParameter | None:
    name = _TRANSFORMED.get(layer.type)
    return getattr(layer, name) if name else None


def _has_old_transformation(layer: caffe_pb2.V1LayerParameter) -> bool:
    old = _old_transformation(layer)
    return old is not None and any(map(old.HasField, _TRANSFORMATION))


def _upgrade_transformation(layer: caffe_pb2.V1LayerParameter) -> None:
    old = _old_transformation(layer)
    if old is None:
        return
    # Caffe leaves both messages in every data layer, even if they are empty.
    old.SetInParent()
    layer.transform_param.SetInParent()
    for field in _TRANSFORMATION:
        if old.HasField(field):
            setattr(layer.transform_param, field, getattr(old, field))
            old.ClearField(field)


def _has_old_batch_norm(layer: caffe_pb2.LayerParameter) -> bool:
    return layer.type == "BatchNorm" and len(layer.param) == 3


def _upgrade_input(net: caffe_pb2.NetParameter, where: str) -> None:
    # Old weight files have inputs without a shape, which carry no information.
    if net.input_shape or net.input_dim:
        shapes = net.input_shape or [
            caffe_pb2.BlobShape(dim=net.input_dim[first : first + 4]) for first in range(0, len(net.input_dim) - 3, 4)
        ]
        if len(shapes) < len(net.input):
            given = f"{len(shapes)} input_shape" if net.input_shape else f"{len(net.input_dim)} input_dim"
            names = ", ".join(net.input)
            raise PrototxtError(f"{where}: every input needs an input_shape or four input_dim; {names}: {given}.")
        layer = caffe_pb2.LayerParameter(name="input", type="Input", top=net.input)
        # Extra input shapes are ignored.
        layer.input_param.shape.extend(shapes[: len(net.input)])
        rest = list(net.layer)
        del net.layer[:]
        net.layer.extend([layer, *rest])
    for field in ("input", "input_shape", "input_dim"):
        net.ClearField(field)


def upgrade_solver(solver: caffe_pb2.SolverParameter, where: str) -> caffe_pb2.SolverParameter:
    """Upgrade a solver to today's form in place: the enum solver_type becomes the string type."""
    if solver.HasField("solver_type"):
        if solver.HasField("type"):
            raise PrototxtError(f"{where}: has both solver_type and type; use type.")
        _attempt("'solver_type' field (enum)", where)
        solver.type = _SOLVER_TYPES[solver.solver_type]
        solver.ClearField("solver_type")
        _done("'solver_type' field (enum) to 'type' field (string).")
    return solver


def default_snapshot_prefix(solver: caffe_pb2.SolverParameter, path: str) -> None:
    """Name snapshots after the solver's file if its prefix is missing or only a folder."""
    stem = os.path.splitext(path)[0]
    if not solver.HasField("snapshot_prefix"):
        solver.snapshot_prefix = stem
        logger.info("snapshot_prefix was not specified and is set to %s", stem)
    elif os.path.isdir(solver.snapshot_prefix):
        solver.snapshot_prefix = os.path.join(solver.snapshot_prefix, os.path.basename(stem))
        logger.info("snapshot_prefix was a directory and is replaced to %s", solver.snapshot_prefix)
