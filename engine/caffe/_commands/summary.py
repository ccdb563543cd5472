"""caffe summary: a net as a table of its layers.

Output sizes are those of one image. Multiply-adds count one image's forward pass through convolutions,
inner products and recurrent layers. The few of all other layers are left out. Shared parameters count
once. The net is made as for training, but its parameters get no values. If a Data layer's LMDB is
missing, crop_size gives the images' size.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

from caffe._error import DataError, naming
from caffe._files import prototxt
from caffe._layers.base import Layer
from caffe._log import logger
from caffe._net.net import Net
from caffe._net.wiring import filter_net
from caffe.proto import caffe_pb2

HEAD = ("layer", "type", "window", "output", "parameters", "multiply-adds", "phase")
_NUMBERS = (4, 5)  # columns of HEAD
_FLOAT_BYTES = 4
_FILLERS = caffe_pb2.FillerParameter.DESCRIPTOR


@dataclass(frozen=True)
class Row:
    """One layer."""

    layer: str
    type: str
    window: str
    output: str
    parameters: int
    multiply_adds: int


@dataclass(frozen=True)
class Phase:
    """A net in one phase."""

    name: str
    rows: dict[int, Row]  # by the layer's number in the prototxt
    batch: int
    values: int  # count over all blobs, for the whole batch
    notes: tuple[str, ...]


def summary(path: str, phases: Sequence[str], level: int = 0, stages: Sequence[str] = ()) -> str:
    """The table of a net's prototxt, for one phase or for several side by side.

    Raises:
        CaffeError: the net cannot be read or made.
    """
    net = prototxt.read_net_param(path)
    with naming(path):
        made = [measure(net, phase, level, list(stages)) for phase in phases]
    notes = dict.fromkeys(note for phase in made for note in phase.notes)
    return "\n".join([_table(made), "", *notes, *_totals(net.name or path, made)])


def measure(net_param: caffe_pb2.NetParameter, phase: str, level: int = 0, stages: Sequence[str] = ()) -> Phase:
    """Measure a net in one phase."""
    param = caffe_pb2.NetParameter()
    param.CopyFrom(net_param)
    param.state.phase, param.state.level = caffe_pb2.Phase.Value(phase), level
    param.state.stage.extend(stages)
    level_before = logger.level
    logger.setLevel(logging.WARNING)  # because a net logs many lines as it is made
    try:
        filtered = filter_net(param)
        types = [layer.type for layer in filtered.layer]
        notes = [_without_data(layer) for layer in filtered.layer]
        for layer in filtered.layer:
            _without_fillers(layer)
        net, places = Net(filtered), _places(param)
    finally:
        logger.setLevel(level_before)
    shapes = {name: tuple(blob.shape) for name, blob in net.blobs.items()}
    counted: set[str] = set()
    given = [layer for layer, described in zip(net.graph.layers, net.graph.descriptions, strict=True) if described]
    rows = [
        replace(_row(layer, made, shapes, counted), type=of)
        for layer, made, of in zip(filtered.layer, given, types, strict=True)
    ]
    values = sum(prod(shapes[blob]) for blob in {top for layer in filtered.layer for top in layer.top})
    batch = next((shape[0] for shape in shapes.values() if shape), 1)
    return Phase(phase, dict(zip(places, rows, strict=True)), batch, values, tuple(filter(None, notes)))


def _places(param: caffe_pb2.NetParameter) -> list[int]:
    """The numbers of the layers that the net keeps in its state."""
    numbered = caffe_pb2.NetParameter(state=param.state)
    for number, layer in enumerate(param.layer):
        numbered.layer.add(name=str(number), include=layer.include, exclude=layer.exclude)
    return [int(layer.name) for layer in filter_net(numbered).layer]


def _without_data(layer: caffe_pb2.LayerParameter) -> str:
    """Replace a Data layer without its images by an Input; returns a note about it."""
    source, crop = layer.data_param.source, layer.transform_param.crop_size
    if layer.type != "Data" or Path(source, "data.mdb").is_file():
        return ""
    if not crop:
        raise DataError(
            f"Layer '{layer.name}': {source} is not there and no crop_size is given, so that the size of the images "
            "is not known; make the LMDB, or take the net's deploy.prototxt."
        )
    batch, tops = layer.data_param.batch_size, list(layer.top)
    layer.ClearField("data_param")
    layer.ClearField("transform_param")
    layer.type = "Input"
    for number in range(len(tops)):
        layer.input_param.shape.add(dim=[batch] if number else [batch, 3, crop, crop])
    return f"{source} is not there: images of 3 x {crop} x {crop} are assumed, as crop_size says."


def _without_fillers(layer: caffe_pb2.LayerParameter) -> None:
    for field, message in layer.ListFields():
        if field.message_type and not field.is_repeated:
            for inner, _ in message.ListFields():
                if inner.message_type is _FILLERS:
                    message.ClearField(inner.name)


def _row(layer: caffe_pb2.LayerParameter, made: Layer, shapes: dict[str, tuple[int, ...]], counted: set[str]) -> Row:
    blobs = [tuple(blob.shape) for blob in made.blobs]
    parameters = 0
    for number, shape in enumerate(blobs):
        shared = layer.param[number].name if number < len(layer.param) else ""
        parameters += 0 if shared in counted else prod(shape)
        counted |= {shared} - {""}
    tops = dict.fromkeys(" x ".join(map(str, shapes[top][1:])) or "1" for top in layer.top)
    work = _multiply_adds(layer, blobs, [shapes[b] for b in layer.bottom], [shapes[t] for t in layer.top])
    return Row(layer.name, layer.type, _window(layer), ", ".join(tops), parameters, work)


def _multiply_adds(layer: caffe_pb2.LayerParameter, blobs: list, bottoms: list, tops: list) -> int:
    """One image's multiply-adds forward: each weight counts as often as it is used."""
    if layer.type in ("Convolution", "Deconvolution"):  # a top for each bottom
        maps = tops if layer.type == "Convolution" else bottoms
        return prod(blobs[0]) * sum(prod(shape[layer.convolution_param.axis + 1 :]) for shape in maps)
    if layer.type == "InnerProduct":
        return prod(blobs[0]) * prod(bottoms[0][1 : layer.inner_product_param.axis])
    if layer.type in ("RNN", "LSTM"):  # for each step of a stream
        return sum(prod(shape) for shape in blobs if len(shape) > 1) * bottoms[0][0]
    return 0


def _window(layer: caffe_pb2.LayerParameter) -> str:
    """Kernel, stride and pad in words, such as `5x5 pad 2`."""
    if layer.type in ("Convolution", "Deconvolution"):
        param, words = layer.convolution_param, []
    elif layer.type == "Pooling":
        param, words = layer.pooling_param, [caffe_pb2.PoolingParameter.PoolMethod.Name(layer.pooling_param.pool)]
        if param.global_pooling:
            return f"{words[0]} global"
    else:
        return ""
    words += [_sides(param, "kernel_size", "kernel")]
    words += [f"{word} {_sides(param, word, word)}" for word in ("stride", "pad") if _sides(param, word, word)]
    group = layer.convolution_param.group
    return " ".join(words + ([f"group {group}"] if group > 1 else []))


def _sides(param, name: str, side: str) -> str:
    """A kernel as `5x5`, stride and pad as `2`, or `2x1` if sides differ, and '' for the default."""
    if param.HasField(f"{side}_h") or param.HasField(f"{side}_w"):
        sizes = [getattr(param, f"{side}_{axis}") for axis in "hw"]
    else:
        given = getattr(param, name)
        sizes = [given] if isinstance(given, int) else list(given)
    if name == "kernel_size":
        return "x".join(map(str, sizes * 2 if len(sizes) == 1 else sizes))
    different = "x".join(map(str, sizes if len(set(sizes)) > 1 else sizes[:1]))
    return "" if different == ("1" if name == "stride" else "0") else different


def _table(phases: Sequence[Phase]) -> str:
    lines = [HEAD]
    for place in sorted({place for phase in phases for place in phase.rows}):
        found = {phase.name: phase.rows[place] for phase in phases if place in phase.rows}
        everywhere = len(found) == len(phases) and len(set(found.values())) == 1
        for name, row in [("", row) for row in set(found.values())] if everywhere else found.items():
            numbers = [f"{number:,}" if number else "" for number in (row.parameters, row.multiply_adds)]
            lines.append((row.layer, row.type, row.window, row.output, *numbers, name if len(phases) > 1 else ""))
    width = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    aligned = (
        [word.rjust(n) if i in _NUMBERS else word.ljust(n) for i, (word, n) in enumerate(zip(line, width))]
        for line in lines
    )
    return "\n".join("  ".join(line).rstrip() for line in aligned)


def _totals(name: str, phases: Sequence[Phase]) -> list[str]:
    parameters = max(sum(row.parameters for row in phase.rows.values()) for phase in phases)
    lines = [
        f"{name}: {parameters:,} parameters, {_bytes(parameters)}; "
        f"in training, with gradients and update history, {_bytes(3 * parameters)}"
    ]
    for phase in phases:
        work = sum(row.multiply_adds for row in phase.rows.values())
        blobs = f"blobs of a batch of {phase.batch}: {_bytes(phase.values)}"
        gradients = f", with gradients {_bytes(2 * phase.values)}" if phase.name == "TRAIN" else ""
        lines.append(f"{phase.name}: {len(phase.rows)} layers, {work:,} multiply-adds an image; {blobs}{gradients}")
    return lines


def _bytes(values: int) -> str:
    """The size of float32 values as text, such as 4.0 MB."""
    return f"{values * _FLOAT_BYTES / 1e6:,.1f} MB"
