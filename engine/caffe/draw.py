"""Pictures of nets (pycaffe's caffe.draw). They need the library pydot, and graphviz's `dot` except for text."""

from pathlib import Path

try:
    import pydot
except ImportError:
    raise ImportError("caffe.draw needs the library pydot: pip install pydot") from None

from caffe._error import CaffeError, PrototxtError
from caffe._files import upgrade
from caffe.proto import caffe_pb2

_LAYER = {"shape": "record", "style": "filled"}
_IN_PLACE = {**_LAYER, "fillcolor": "#90EE90"}
_BLOB = {"shape": "octagon", "style": "filled", "fillcolor": "#E0E0E0"}
_COLORS = {"Convolution": "#FF5050", "Deconvolution": "#FF5050", "Pooling": "#FF9900", "InnerProduct": "#CC33FF"}
_WITH_WEIGHTS = ("Convolution", "Deconvolution", "InnerProduct")


def get_pooling_types_dict() -> dict[int, str]:
    """Names of the pooling methods by number."""
    return {number: name for name, number in caffe_pb2.PoolingParameter.PoolMethod.items()}


def get_edge_label(layer: caffe_pb2.LayerParameter) -> str:
    """The label of the arrows to a layer's tops: batch size or number of outputs, otherwise ``""`` quoted."""
    if layer.type == "Data":
        return f"Batch {layer.data_param.batch_size}"
    if layer.type in ("Convolution", "Deconvolution"):
        return str(layer.convolution_param.num_output)
    if layer.type == "InnerProduct":
        return str(layer.inner_product_param.num_output)
    return '""'


def get_layer_lr_mult(layer: caffe_pb2.LayerParameter) -> tuple[float, float]:
    """Return the factors of the learning rate for a layer's weights and biases.

    Raises:
        ValueError: the layer is no Convolution, Deconvolution or InnerProduct, or has more than two factors.
    """
    if layer.type not in _WITH_WEIGHTS:
        raise ValueError(f"{layer.type} layers do not have a learning rate multiplier")
    given = [spec.lr_mult for spec in layer.param]
    if len(given) > 2:
        raise ValueError(f"Layer '{layer.name}' has {len(given)} learning rate multipliers instead of two")
    return tuple(given + [1.0, 1.0][len(given) :])


def _window(layer: caffe_pb2.LayerParameter) -> list[str]:
    """Kernel size, stride and pad in words; one number if all axes have the same."""
    param = layer.pooling_param if layer.type == "Pooling" else layer.convolution_param
    words = []
    for word, name, side, default in (
        ("kernel size", "kernel_size", "kernel", 1), ("stride", "stride", "stride", 1), ("pad", "pad", "pad", 0),
    ):  # fmt: skip
        sides = [getattr(param, f"{side}_{axis}") for axis in "hw"]
        value = getattr(param, name)
        if param.HasField(f"{side}_h") or param.HasField(f"{side}_w"):
            sizes = sides
        else:
            sizes = [value] if isinstance(value, int) else list(value) or [default]
        words.append(f"{word}: {'x'.join(map(str, sizes if len(set(sizes)) > 1 else sizes[:1]))}")
    return words


def get_layer_label(layer: caffe_pb2.LayerParameter, rankdir: str, display_lrm: bool = False) -> str:
    """The text of a layer's box, in double quotes: name, type, window, learning rates.

    Args:
        rankdir: direction of the graph. LR stacks the words, TB and BT put them side by side.
        display_lrm: True adds the factors of the learning rate.
    """
    kind = layer.type
    if layer.type == "Pooling":
        kind += f" {get_pooling_types_dict()[layer.pooling_param.pool]}"
    words = [layer.name, f"({kind})"]
    if layer.type in ("Convolution", "Deconvolution", "Pooling"):
        words += _window(layer)
    if display_lrm and layer.type in _WITH_WEIGHTS and any(factors := get_layer_lr_mult(layer)):
        words.append("lr mult: {:.1f}, {:.1f}".format(*factors))
    # These characters have their own meaning in a record's label.
    escaped = ["".join(f"\\{c}" if c in '\\{}|<>"' else c for c in word) for word in words]
    return '"' + (" " if rankdir in ("TB", "BT") else r"\n").join(escaped) + '"'


def choose_color_by_layertype(layertype: str) -> str:
    """The color of a layer's box."""
    return _COLORS.get(layertype, "#6495ED")


def _in_phase(layer: caffe_pb2.LayerParameter, phase: int | None) -> bool:
    if phase is None:
        return True
    if layer.include and layer.exclude:
        raise PrototxtError(f"Layer '{layer.name}': specify either include rules or exclude rules, not both.")
    included = not layer.include or any(rule.phase == phase for rule in layer.include)
    return included and all(rule.phase != phase for rule in layer.exclude)


def get_pydot_graph(
    caffe_net: caffe_pb2.NetParameter,
    rankdir: str,
    label_edges: bool = True,
    phase: int | None = None,
    display_lrm: bool = False,
) -> pydot.Dot:
    """The net as a graph: boxes for layers (green if in place), octagons for blobs.

    Args:
        caffe_net: the net; V1 nets are upgraded, unlike in real pycaffe.
        rankdir: LR, TB or BT.
        label_edges: True writes get_edge_label at the arrows.
        phase: caffe.TRAIN or caffe.TEST for the layers of one phase, or None for all.
        display_lrm: see get_layer_label.
    """
    net = caffe_pb2.NetParameter()
    net.CopyFrom(caffe_net)
    net = upgrade.upgrade_net(net, net.name or "the net")
    graph = pydot.Dot(pydot.make_quoted(net.name or "Net"), graph_type="digraph", rankdir=rankdir)
    blobs: set[str] = set()

    def blob_node(blob: str) -> str:
        name = pydot.make_quoted(f"{blob}_blob")
        if blob not in blobs:
            blobs.add(blob)
            graph.add_node(pydot.Node(name, label=pydot.make_quoted(blob), **_BLOB))
        return name

    for number, layer in enumerate(net.layer):
        if not _in_phase(layer, phase):
            continue
        in_place = len(layer.bottom) == 1 and list(layer.bottom) == list(layer.top)
        style = _IN_PLACE if in_place else {**_LAYER, "fillcolor": choose_color_by_layertype(layer.type)}
        # The number keeps layers of two phases apart, which often share a name.
        name = pydot.make_quoted(f"{layer.name}_{layer.type}_{number}")
        graph.add_node(pydot.Node(name, label=get_layer_label(layer, rankdir, display_lrm=display_lrm), **style))
        for blob in layer.bottom:
            graph.add_edge(pydot.Edge(blob_node(blob), name, label='""'))
        for blob in layer.top:
            label = get_edge_label(layer) if label_edges else '""'
            graph.add_edge(pydot.Edge(name, blob_node(blob), label=label))
    return graph


def draw_net(
    caffe_net: caffe_pb2.NetParameter,
    rankdir: str,
    ext: str = "png",
    phase: int | None = None,
    display_lrm: bool = False,
) -> bytes:
    """Return the picture of a net in a format of graphviz (png, pdf, svg, ...); ``raw`` is its text.

    See get_pydot_graph for the arguments.

    Raises:
        CaffeError: graphviz is not installed, or does not know the format.
    """
    graph = get_pydot_graph(caffe_net, rankdir, phase=phase, display_lrm=display_lrm)
    if ext == "raw":
        return graph.to_string().encode()
    try:
        return graph.create(format=ext)
    except FileNotFoundError:
        raise CaffeError(
            "Drawing needs graphviz's program `dot` (Debian: apt install graphviz); the format raw does not."
        ) from None
    except AssertionError as error:
        raise CaffeError(f"graphviz could not draw the net as {ext}: {error}") from None


def draw_net_to_file(
    caffe_net: caffe_pb2.NetParameter,
    filename: str | Path,
    rankdir: str = "LR",
    phase: int | None = None,
    display_lrm: bool = False,
) -> None:
    """Write the picture of a net to a file, in the format of its extension.

    See draw_net for the arguments and errors.
    """
    path = Path(filename)
    path.write_bytes(draw_net(caffe_net, rankdir, path.suffix.removeprefix("."), phase, display_lrm))
