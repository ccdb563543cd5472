"""Layers that are computed together with the layer before them: a ReLU in place, and the Scale of a BatchNorm.

WholeNet computes them in one step with it. LayeredNet runs every layer, but a ReLU may write over its bottom.
"""

from dataclasses import dataclass, field

from caffe._layers.base import Layer
from caffe._layers.batch_norm import BatchNorm
from caffe._net.graph import Graph


@dataclass
class Step:
    """A layer with what is computed together with it.

    Attributes:
        index, layer: the layer.
        bottoms, tops: blobs by their index in the graph.
        scale: the index of the Scale that the step includes.
        relu: whether the step includes the ReLU after it.
        in_place: whether the ReLU's backward may overwrite the gradient of its top, which nobody else has.
        last_used: blobs that no later step reads.
    """

    index: int
    layer: Layer
    bottoms: list[int]
    tops: list[int]
    scale: int | None = None
    relu: bool = False
    in_place: bool = False
    last_used: list[int] = field(default_factory=list)


def overwriting_relus(graph: Graph) -> list[int | None]:
    """For each ReLU in place after a layer whose backward does not read its own top: the index of that layer.

    Such a ReLU writes over its bottom, as Caffe's do, in place of taking memory for its top.
    """
    return [
        before if before is not None and graph.layers[before].forward_relu else None
        for before in _layers_before_relus(graph)
    ]


def _layers_before_relus(graph: Graph) -> list[int | None]:
    """For each ReLU in place without a negative slope the layer that wrote its bottom; None for other layers."""
    writers: dict[int, int] = {}
    found: list[int | None] = []
    for i, layer in enumerate(graph.layers):
        bottoms, tops = graph.bottoms[i], graph.tops[i]
        is_relu = layer.type == "ReLU" and bottoms == tops and not layer.param.relu_param.negative_slope
        found.append(writers.get(bottoms[0]) if is_relu else None)
        writers.update(dict.fromkeys(tops, i))
    return found


def plan_steps(graph: Graph) -> list[Step]:
    """The steps of a whole pass, in their order."""
    steps: list[Step] = []
    writer: dict[int, Step] = {}  # the step that gave a blob its values, until another reads them
    before_relus = _layers_before_relus(graph)
    for index, layer in enumerate(graph.layers):
        bottoms, tops = graph.bottoms[index], graph.tops[index]
        before = writer.get(bottoms[0]) if bottoms else None
        if before and _only_reads(graph, index, before):
            if before_relus[index] is not None and before.layer.forward_relu:
                before.relu = True
                continue
            if _includes_scale(before, layer):
                del writer[bottoms[0]]
                before.scale, before.tops = index, tops
                writer[tops[0]] = before
                continue
        step = Step(index, layer, bottoms, tops)
        for blob in bottoms:
            read = writer.pop(blob, None)
            if read is not None:
                read.in_place = layer.gives_own_gradient
        writer.update(dict.fromkeys(tops, step))
        steps.append(step)
    wanted = set(graph.outputs)
    for step in reversed(steps):
        touched = {*step.bottoms, *step.tops}
        step.last_used = list(touched - wanted)
        wanted |= touched
    return steps


def _includes_scale(step: Step, layer: Layer) -> bool:
    """True if a step's BatchNorm can compute the layer after it, a Scale."""
    return (
        layer.type == "Scale"
        and isinstance(step.layer, BatchNorm)
        and step.scale is None
        and not step.relu
        and step.layer.takes_scale(layer)
    )


def _only_reads(graph: Graph, index: int, before: Step) -> bool:
    """True if a layer's one bottom is the only top of the step before it, no loss, and both learn or neither."""
    return (
        before.tops == graph.bottoms[index]
        and not graph.blob_loss_weights[before.tops[0]]
        and graph.layer_need_backward[index] == graph.layer_need_backward[before.index]
        and graph.bottom_need_backward[index] == [graph.layer_need_backward[index]]
    )
