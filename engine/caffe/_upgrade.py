"""Old forms of files, brought to today's (Caffe's upgrade_proto.cpp). Nothing else lives here."""

from caffe._error import PrototxtError
from caffe._log import logger
from caffe.proto import caffe_pb2

# V1's enum is today's type name in capitals with underscores; these do not follow the rule.
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
_V1_OWN_FIELDS = {
    "type",
    "layer",
    "blobs_lr",
    "weight_decay",
    "param",
    "blob_share_mode",
}
# Types whose transformation once stood in their own parameter message.
_TRANSFORMED = {"Data": "data_param", "ImageData": "image_data_param", "WindowData": "window_data_param"}


def upgrade_net(net: caffe_pb2.NetParameter, where: str) -> caffe_pb2.NetParameter:
    """Bring a net to today's form, in place.

    Args:
        net: as parsed from text or binary.
        where: the file's name, for messages.

    Raises:
        PrototxtError: old and new forms are mixed, or the form is too old.
    """
    if net.layers:
        _upgrade_v1_layers(net, where)
    for layer in net.layer:
        _upgrade_transformation(layer)
        _upgrade_batch_norm(layer)
    _upgrade_input(net, where)
    return net


def _upgrade_v1_layers(net: caffe_pb2.NetParameter, where: str) -> None:
    if net.layer:
        raise PrototxtError(f"{where}: has both 'layer' and 'layers' (V1) fields; use one form.")
    if any(old.HasField("layer") for old in net.layers):
        raise PrototxtError(
            f"{where}: is in the V0 form of 2013, which this engine does not read yet; "
            "upgrade it with Caffe's upgrade_net_proto_text (or _binary)."
        )
    logger.info("Attempting to upgrade input file specified using deprecated V1LayerParameter: %s", where)
    net.layer.extend(_upgrade_v1_layer(old, where) for old in net.layers)
    net.ClearField("layers")
    logger.info("Successfully upgraded file specified using deprecated V1LayerParameter")


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
        if index < len(old.param) and old.param[index]:
            spec.name = old.param[index]
        if index < len(old.blob_share_mode):
            spec.share_mode = old.blob_share_mode[index]
        if index < len(old.blobs_lr):
            spec.lr_mult = old.blobs_lr[index]
        if index < len(old.weight_decay):
            spec.decay_mult = old.weight_decay[index]
    return new


def _upgrade_transformation(layer: caffe_pb2.LayerParameter) -> None:
    name = _TRANSFORMED.get(layer.type)
    if not name or not layer.HasField(name):
        return
    old = getattr(layer, name)
    for field in ("scale", "mean_file", "crop_size", "mirror"):
        if old.HasField(field):
            setattr(layer.transform_param, field, getattr(old, field))
            old.ClearField(field)


def _upgrade_batch_norm(layer: caffe_pb2.LayerParameter) -> None:
    # The running sums are no weights: old files had to give them lr_mult 0 by hand. Names stay: they may be shared.
    if layer.type == "BatchNorm" and len(layer.param) == 3:
        for spec in layer.param:
            spec.lr_mult = spec.decay_mult = 0


def _upgrade_input(net: caffe_pb2.NetParameter, where: str) -> None:
    if not net.input:
        return
    if net.input_shape and net.input_dim:
        raise PrototxtError(f"{where}: has both input_shape and input_dim; use input_shape.")
    if len(net.input_shape) not in (0, len(net.input)) or len(net.input_dim) not in (0, 4 * len(net.input)):
        raise PrototxtError(f"{where}: every input needs one input_shape (or four input_dim).")
    layer = caffe_pb2.LayerParameter(name="input", type="Input", top=net.input)
    layer.input_param.shape.extend(net.input_shape)
    for index in range(0, len(net.input_dim), 4):
        layer.input_param.shape.add(dim=net.input_dim[index : index + 4])
    rest = list(net.layer)
    del net.layer[:]
    net.layer.extend([layer, *rest])
    for field in ("input", "input_shape", "input_dim"):
        net.ClearField(field)


def upgrade_solver(solver: caffe_pb2.SolverParameter, where: str) -> caffe_pb2.SolverParameter:
    """Bring a solver to today's form, in place: the enum solver_type becomes the name type."""
    if solver.HasField("solver_type"):
        if solver.HasField("type"):
            raise PrototxtError(f"{where}: has both solver_type and type; use type.")
        names = {"NESTEROV": "Nesterov", "ADAGRAD": "AdaGrad", "RMSPROP": "RMSProp", "ADADELTA": "AdaDelta"}
        old = caffe_pb2.SolverParameter.SolverType.Name(solver.solver_type)
        solver.type = names.get(old, old.title() if old == "ADAM" else old)
        solver.ClearField("solver_type")
    return solver
