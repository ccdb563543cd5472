"""Upgrades V0 nets of 2013 to V1 (Caffe's upgrade_proto.cpp); V0 has lower-case types and one parameter message."""

from caffe._error import PrototxtError
from caffe._log import logger
from caffe.proto import caffe_pb2

_TYPES = {
    "accuracy": "ACCURACY",
    "bnll": "BNLL",
    "concat": "CONCAT",
    "conv": "CONVOLUTION",
    "data": "DATA",
    "dropout": "DROPOUT",
    "euclidean_loss": "EUCLIDEAN_LOSS",
    "flatten": "FLATTEN",
    "hdf5_data": "HDF5_DATA",
    "hdf5_output": "HDF5_OUTPUT",
    "im2col": "IM2COL",
    "images": "IMAGE_DATA",
    "infogain_loss": "INFOGAIN_LOSS",
    "innerproduct": "INNER_PRODUCT",
    "lrn": "LRN",
    "multinomial_logistic_loss": "MULTINOMIAL_LOGISTIC_LOSS",
    "pool": "POOLING",
    "relu": "RELU",
    "sigmoid": "SIGMOID",
    "softmax": "SOFTMAX",
    "softmax_loss": "SOFTMAX_LOSS",
    "split": "SPLIT",
    "tanh": "TANH",
    "window_data": "WINDOW_DATA",
}
_PARAM_OF = {
    "concat": "concat_param",
    "conv": "convolution_param",
    "data": "data_param",
    "dropout": "dropout_param",
    "hdf5_data": "hdf5_data_param",
    "images": "image_data_param",
    "infogain_loss": "infogain_loss_param",
    "innerproduct": "inner_product_param",
    "lrn": "lrn_param",
    "pool": "pooling_param",
    "window_data": "window_data_param",
}
_WEIGHTED = ("conv", "innerproduct")
_SOURCED = ("data", "hdf5_data", "images", "window_data")
# Each V0 field's name in today's parameter message, and the types that have it.
_FIELDS = {
    "num_output": ("num_output", _WEIGHTED),
    "biasterm": ("bias_term", _WEIGHTED),
    "weight_filler": ("weight_filler", _WEIGHTED),
    "bias_filler": ("bias_filler", _WEIGHTED),
    "pad": ("pad", ("conv", "pool")),
    "kernelsize": ("kernel_size", ("conv", "pool")),
    "group": ("group", ("conv",)),
    "stride": ("stride", ("conv", "pool")),
    "pool": ("pool", ("pool",)),
    "dropout_ratio": ("dropout_ratio", ("dropout",)),
    "local_size": ("local_size", ("lrn",)),
    "alpha": ("alpha", ("lrn",)),
    "beta": ("beta", ("lrn",)),
    "k": ("k", ("lrn",)),
    "source": ("source", (*_SOURCED, "infogain_loss")),
    "batchsize": ("batch_size", _SOURCED),
    "rand_skip": ("rand_skip", ("data", "images")),
    "shuffle_images": ("shuffle", ("images",)),
    "new_height": ("new_height", ("images",)),
    "new_width": ("new_width", ("images",)),
    "concat_dim": ("concat_dim", ("concat",)),
    "det_fg_threshold": ("fg_threshold", ("window_data",)),
    "det_bg_threshold": ("bg_threshold", ("window_data",)),
    "det_fg_fraction": ("fg_fraction", ("window_data",)),
    "det_context_pad": ("context_pad", ("window_data",)),
    "det_crop_mode": ("crop_mode", ("window_data",)),
}
_TRANSFORMATION = {"scale": "scale", "meanfile": "mean_file", "cropsize": "crop_size", "mirror": "mirror"}


def is_v0(net: caffe_pb2.NetParameter) -> bool:
    """True if a net has a layer in the form of 2013."""
    return any(layer.HasField("layer") for layer in net.layers)


def upgrade_v0(net: caffe_pb2.NetParameter, where: str) -> bool:
    """Upgrade a V0 net to V1 in place.

    Returns:
        False if a layer has a field that its type lacks. As in Caffe, the field is logged and left out.

    Raises:
        PrototxtError: a type is unknown, or padding stands before a layer that cannot pad.
    """
    layers = _without_padding(net, where)
    upgraded = caffe_pb2.NetParameter(input=net.input, input_dim=net.input_dim)
    for field in ("name", "force_backward"):
        if net.HasField(field):
            setattr(upgraded, field, getattr(net, field))
    complete = True
    for layer in layers:
        complete &= _upgrade_layer(layer, upgraded.layers.add(), where)
    net.CopyFrom(upgraded)
    return complete


def _without_padding(net: caffe_pb2.NetParameter, where: str) -> list[caffe_pb2.V1LayerParameter]:
    """The layers, with each padding layer's pad moved into the layer above it."""
    source: dict[str, caffe_pb2.V1LayerParameter | None] = dict.fromkeys(net.input)
    remaining = []
    for connection in net.layers:
        layer = caffe_pb2.V1LayerParameter()
        layer.CopyFrom(connection)
        if layer.layer.type != "padding":
            remaining.append(layer)
        for j, bottom in enumerate(connection.bottom):
            if bottom not in source:
                raise PrototxtError(f"{where}: layer '{layer.layer.name}': unknown bottom blob '{bottom}'.")
            padding = source[bottom]
            if padding is None or padding.layer.type != "padding":
                continue
            shape = (len(connection.bottom), len(padding.bottom), len(padding.top))
            if layer.layer.type not in ("conv", "pool") or shape != (1, 1, 1):
                raise PrototxtError(
                    f"{where}: layer '{padding.layer.name}': padding can only stand before a conv or pool layer, "
                    "with one bottom and one top each."
                )
            layer.layer.pad = padding.layer.pad
            layer.bottom[j] = padding.bottom[0]
        source.update(dict.fromkeys(connection.top, connection))
    return remaining


def _upgrade_layer(old: caffe_pb2.V1LayerParameter, new: caffe_pb2.V1LayerParameter, where: str) -> bool:
    new.bottom.extend(old.bottom)
    new.top.extend(old.top)
    complete = True
    kind = old.layer.type
    for field, value in old.layer.ListFields():
        name = field.name
        if name == "name":
            new.name = value
        elif name == "type":
            if kind not in _TYPES:
                raise PrototxtError(f"{where}: unknown V0 layer type: {kind} (known: {', '.join(_TYPES)}).")
            new.type = caffe_pb2.V1LayerParameter.LayerType.Value(_TYPES[kind])
        elif name in ("blobs", "blobs_lr", "weight_decay"):
            getattr(new, name).extend(value)
        elif name in _TRANSFORMATION:
            setattr(new.transform_param, _TRANSFORMATION[name], value)
        elif name == "hdf5_output_param" and kind == "hdf5_output":
            new.hdf5_output_param.CopyFrom(value)
        elif name in _FIELDS and kind in _FIELDS[name][1]:
            _put(getattr(new, _PARAM_OF[kind]), _FIELDS[name][0], value)
        elif name not in ("new_num", "new_channels"):  # Caffe drops these two silently.
            logger.error("Unknown parameter %s for layer type %s", name, kind)
            complete = False
    return complete


def _put(param, name: str, value) -> None:
    field = param.DESCRIPTOR.fields_by_name[name]
    if field.is_repeated:
        getattr(param, name).append(value)
    elif field.message_type:
        getattr(param, name).CopyFrom(value)
    else:
        setattr(param, name, value)
