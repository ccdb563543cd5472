"""Nets written in Python: NetSpec, layers, params, to_proto (pycaffe's net_spec).

``L.Convolution(bottom, num_output=5, kernel_size=3)`` makes a layer and returns its top. A NetSpec names
the tops that are assigned to it, and its to_proto returns the NetParameter::

    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[1, 3, 64, 64]))
    n.conv1 = L.Convolution(n.data, num_output=96, kernel_size=11, stride=4)
    n.pool1 = L.Pooling(n.conv1, pool=P.Pooling.MAX, kernel_size=3, stride=2)
    print(n.to_proto())
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.message import Message

from caffe.proto import caffe_pb2


def _parameter_fields() -> dict[str, str]:
    """Return each layer type's LayerParameter field, such as convolution_param for Convolution."""
    return {
        field.message_type.name.removesuffix("Parameter"): field.name
        for field in caffe_pb2.LayerParameter.DESCRIPTOR.fields
        if field.name.endswith("_param")
    }


_FIELD_OF = _parameter_fields()


class Top:
    """One output of a layer, which other layers take as input.

    Attributes:
        fn: the Function that makes this top.
        n: the number of this output, from 0.
    """

    def __init__(self, fn: Function, n: int):
        self.fn = fn
        self.n = n

    def to_proto(self) -> caffe_pb2.NetParameter:
        """The net that computes this top."""
        return to_proto(self)


class Function:
    """A planned layer: its type, its inputs and its parameters.

    Args:
        type_name: the prototxt's type.
        inputs: Tops of other layers.
        params: ``ntop`` (number of tops, 1 by default), ``in_place``, and fields of the type's own
            parameter message or of LayerParameter.

    Raises:
        TypeError: an input is not a Top.
    """

    def __init__(self, type_name: str, inputs: tuple[Top, ...], params: Mapping[str, Any]):
        for index, bottom in enumerate(inputs):
            if not isinstance(bottom, Top):
                raise TypeError(f"{type_name} input {index} is not a Top (type is {type(bottom)})")
        self.type_name = type_name
        self.inputs = inputs
        self.params = dict(params)
        self.ntop = self.params.pop("ntop", 1)
        self.in_place = self.params.pop("in_place", False)
        self.tops = tuple(Top(self, n) for n in range(self.ntop))


class _Writer:
    """Turns tops into a NetParameter with the layers in order of need."""

    def __init__(self, names: Mapping[Top | Function, str]):
        self._names = dict(names)
        self._numbers: Counter[str] = Counter()
        self._layers: dict[Function, caffe_pb2.LayerParameter] = {}

    def add(self, item: Top | Function) -> None:
        function = item.fn if isinstance(item, Top) else item
        if function in self._layers:
            return
        layer = caffe_pb2.LayerParameter(type=function.type_name)
        for bottom in function.inputs:
            self.add(bottom)
            layer.bottom.append(self._layers[bottom.fn].top[bottom.n])
        layer.top.extend(layer.bottom if function.in_place else map(self._name, function.tops))
        # A layer takes the name of its first top, whether given or generated.
        layer.name = self._name(function.tops[0] if function.tops else function)
        for name, value in function.params.items():
            _assign(_holder_of(layer, name), name, value)
        self._layers[function] = layer

    def _name(self, item: Top | Function) -> str:
        if item not in self._names:
            kind = (item.fn if isinstance(item, Top) else item).type_name
            self._numbers[kind] += 1
            self._names[item] = f"{kind}{self._numbers[kind]}"
        return self._names[item]

    def net(self) -> caffe_pb2.NetParameter:
        return caffe_pb2.NetParameter(layer=self._layers.values())


def to_proto(*tops: Top | Function) -> caffe_pb2.NetParameter:
    """Return the net of all layers needed for these tops; its blobs are named by type and number."""
    writer = _Writer({})
    for top in tops:
        writer.add(top.fn if isinstance(top, Top) else top)
    return writer.net()


def _holder_of(layer: caffe_pb2.LayerParameter, name: str) -> Message:
    """Return the message that has a keyword as a field: the layer's own parameters first, then the layer."""
    own = _FIELD_OF.get(layer.type)
    if own is None or name.endswith("param"):
        return layer
    holder = getattr(layer, own)
    in_layer_only = name in layer.DESCRIPTOR.fields_by_name and name not in holder.DESCRIPTOR.fields_by_name
    return layer if in_layer_only else holder


def _assign(message: Message, name: str, value: Any) -> None:
    """Set a field from Python values: dicts are messages, lists repeat, one value may stand for a list.

    Raises:
        AttributeError: the message has no such field; the error names the nearest known.
    """
    field = message.DESCRIPTOR.fields_by_name.get(name)
    if field is None:
        # The parser of prototxts imports modules that NetSpec does not need otherwise.
        from caffe._files.prototxt import nearest

        known = list(message.DESCRIPTOR.fields_by_name)
        raise AttributeError(f"{message.DESCRIPTOR.name} has no field '{name}'.{nearest(name, known)}")
    if field.is_repeated:
        for item in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(item, Mapping):
                _assign_all(getattr(message, name).add(), item)
            else:
                getattr(message, name).append(item)
    elif isinstance(value, Mapping):
        _assign_all(getattr(message, name), value)
    elif isinstance(value, Message):
        getattr(message, name).CopyFrom(value)
    else:
        setattr(message, name, value)


assign_proto = _assign  # pycaffe's name


def param_name_dict() -> dict[str, str]:
    """Return each layer type's parameter name in LayerParameter, such as convolution for Convolution."""
    return {type_name: field.removesuffix("_param") for type_name, field in _FIELD_OF.items()}


def _assign_all(message: Message, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        _assign(message, name, value)


class NetSpec:
    """A net with blobs as attributes or items; assigning a top names it and its layer."""

    def __init__(self):
        super().__setattr__("tops", OrderedDict())

    def __setattr__(self, name: str, value: Top | Function) -> None:
        self.tops[name] = value

    def __getattr__(self, name: str) -> Top | Function:
        try:
            return vars(self)["tops"][name]
        except KeyError:
            raise AttributeError(f"this NetSpec has no top '{name}'") from None

    def __setitem__(self, name: str, value: Top | Function) -> None:
        self.tops[name] = value

    def __getitem__(self, name: str) -> Top | Function:
        return self.tops[name]

    def to_proto(self) -> caffe_pb2.NetParameter:
        """Return the net of all layers needed for the tops, with their assigned names."""
        writer = _Writer({top: name for name, top in self.tops.items()})
        for top in self.tops.values():
            writer.add(top)
        return writer.net()


class _Layers:
    """``L.<Type>(*bottoms, **params)`` makes a layer; it returns the top or tops, or with ntop=0 the layer."""

    def __getattr__(self, type_name: str) -> Callable[..., Top | tuple[Top, ...] | Function]:
        if type_name.startswith("__"):
            raise AttributeError(type_name)

        def layer(*bottoms: Top, **params: Any) -> Top | tuple[Top, ...] | Function:
            function = Function(type_name, bottoms, params)
            if function.ntop == 0:
                return function
            return function.tops[0] if function.ntop == 1 else function.tops

        return layer


class _Parameters:
    """``P.<Name>.<VALUE>`` gives the enum values of a parameter message, such as P.Pooling.MAX."""

    def __getattr__(self, name: str) -> type[Message]:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(caffe_pb2, f"{name}Parameter")


layers = _Layers()
params = _Parameters()
