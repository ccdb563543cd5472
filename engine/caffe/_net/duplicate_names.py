"""Layers of one name, or of none: how files and other nets find each of them, and the messages about them.

Real Caffe finds layers by name alone: the first of two namesakes gets the last one's weights, the other none.
Here namesakes are matched by their type and tops first, then by their order.
"""

from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Any, NamedTuple

from caffe._layers.base import Layer
from caffe._log import logger
from caffe._net.graph import Graph
from caffe.proto import caffe_pb2

_MOST_LISTED = 5


class Named(NamedTuple):
    """A layer of a net or of a file, as far as matching needs it.

    Attributes:
        name: the layer's.
        value: what the caller wants matched: the layer itself, its weights or its state.
        holds: whether it has anything to match. Namesakes without are passed over.
        type: the layer's; "" where a file does not say.
        tops: names of the layer's tops; None where a file does not say.
    """

    name: str
    value: Any
    holds: bool = True
    type: str = ""
    tops: tuple[str, ...] | None = None


class Uneven(NamedTuple):
    """Layers of one name that have not all found a match.

    Attributes:
        sources, targets: those of the name.
        numbers: for a target's id the number of its source, from 0.
        sure: True if types and tops separate them; otherwise the first ones are matched.
    """

    sources: list[Named]
    targets: list[Named]
    numbers: dict[int, int]
    sure: bool


class Match(NamedTuple):
    """Two lists of layers, matched.

    Attributes:
        pairs: (source, target), in the order of the sources.
        uneven: names for which not all are pairs.
    """

    pairs: list[tuple[Named, Named]]
    uneven: list[Uneven]

    def found(self) -> set[int]:
        """Ids of the matched targets' values."""
        return {id(target.value) for _, target in self.pairs}


def of_layer(layer: Layer, holds: bool = True) -> Named:
    """A net's layer, to be matched."""
    return Named(layer.name, layer, holds, layer.type, tuple(layer.param.top))


def by_weights(graph: Graph) -> list[Named]:
    """A net's layers, to be matched for their weights."""
    return [of_layer(layer, bool(layer.blobs)) for layer in graph.layers]


def match(sources: Sequence[Named], targets: Sequence[Named]) -> Match:
    """Find for each source the target that it belongs to: by name, among namesakes by type, tops and order."""
    groups = by_name([target.name for target in targets])
    pairs: list[tuple[int, Named, Named]] = []
    uneven = []
    for name, indices in by_name([source.name for source in sources]).items():
        wanted = [targets[index] for index in groups.get(name, ())]
        if len(indices) > 1 or len(wanted) > 1:
            indices = [index for index in indices if sources[index].holds]
            wanted = [target for target in wanted if target.holds]
        found = [sources[index] for index in indices]
        numbers: dict[int, int] = {}
        sure = True
        for tag, i, i_end, j, j_end in _align(found, wanted):
            sure = sure and not (tag == "replace" and i_end - i != j_end - j)
            for number, target in zip(range(i, i_end), wanted[j:j_end], strict=False):
                pairs.append((indices[number], found[number], target))
                numbers[id(target)] = number
        if found and wanted and not len(found) == len(wanted) == len(numbers):
            uneven.append(Uneven(found, wanted, numbers, sure))
    return Match([(source, target) for _, source, target in sorted(pairs, key=lambda pair: pair[0])], uneven)


def by_name(names: Sequence[str]) -> dict[str, list[int]]:
    """The indices at which each name stands in a list of names."""
    groups: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        groups.setdefault(name, []).append(index)
    return groups


def _align(sources: list[Named], targets: list[Named]) -> list[tuple[str, int, int, int, int]]:
    """Namesakes in their order, as difflib's opcodes: those of the same type and tops belong together."""
    typed = all(layer.type for layer in (*sources, *targets))
    keys = [[(layer.type if typed else "", layer.tops) for layer in side] for side in (sources, targets)]
    return SequenceMatcher(None, *keys, autojunk=False).get_opcodes()


# ---- messages ------------------------------------------------------------------------------------


def label(graph: Graph, layer: Layer) -> str:
    """A layer's name for messages. A layer without a name, or with namesakes, gets its description too."""
    if layer.name and graph.layer_names.count(layer.name) == 1:
        return f"'{layer.name}'"
    described = next(text for each, text in zip(graph.layers, graph.descriptions, strict=True) if each is layer)
    return f"'{layer.name}' ({described})"


def listing(graph: Graph, indices: Sequence[int]) -> str:
    """The descriptions of layers of one name; of many, the first few."""
    shown = [graph.descriptions[i] for i in indices[:_MOST_LISTED]]
    return "; ".join(shown + ([f"and {len(indices) - len(shown)} more"] if len(indices) > len(shown) else []))


def is_stateful(layer: Layer) -> bool:
    """True if snapshots may keep a state of this layer."""
    return type(layer).get_state is not Layer.get_state


def warn(graph: Graph) -> None:
    """Warn of namesakes that real Caffe, or a user's script, would take for each other."""
    for name, group in by_name(graph.layer_names).items():
        with_weights = [i for i in group if graph.layers[i].blobs]
        with_state = [i for i in group if is_stateful(graph.layers[i])]
        concerned = {i for kind in (with_weights, with_state) if len(kind) > 1 for i in kind}
        if not concerned:
            continue
        params = f" net.params['{name}'] shows the last one's weights only." if len(with_weights) > 1 else ""
        logger.warning(
            "Net '%s', phase %s: %d layers %s (%s). This Caffe tells them apart by type, tops and order when it loads, "
            "shares or resumes. Real Caffe mixes them up, and HDF5 files cannot hold them.%s "
            "Give each layer a name of its own.",
            graph.name, caffe_pb2.Phase.Name(graph.phase), len(concerned),
            f"are named '{name}'" if name else "have no name",
            listing(graph, sorted(concerned)), params,
        )  # fmt: skip


def explain(graph: Graph, group: Uneven, where: str) -> str:
    """A message about layers of one name, of which a file or another net has more or fewer than the net.

    Args:
        where: what has the sources.
    """
    name = group.sources[0].name
    described = {id(layer): text for layer, text in zip(graph.layers, graph.descriptions, strict=True)}
    got, rest = [], []
    for target in group.targets:
        number, text = group.numbers.get(id(target)), described[id(target.value)]
        rest += [f"{text}, got none and keeps its own"] if number is None else []
        got += [] if number is None else [f"{text}, got those of number {number + 1}"]
    ignored = [str(i + 1) for i in range(len(group.sources)) if i not in group.numbers.values()]
    if ignored:
        rest.append(f"number{'s' if ignored[1:] else ''} {', '.join(ignored)} {'are' if ignored[1:] else 'is'} ignored")
    named = f"named '{name}'" if name else "without a name"
    return (
        f"{where} has weights of {len(group.sources)} layer(s) {named}, "
        f"net '{graph.name}' in phase {caffe_pb2.Phase.Name(graph.phase)} has {len(group.targets)}: "
        f"{'; '.join(got + rest)}. "
        f"{'' if group.sure else 'Only their order could decide. '}Give each layer a name of its own."
    )
