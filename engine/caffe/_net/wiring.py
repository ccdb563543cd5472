"""The steps before a net's layers are made: rules choose the layers of a phase, and Splits are inserted."""

from collections import Counter

from caffe._error import NetError, PrototxtError
from caffe._log import logger
from caffe.proto import caffe_pb2


def filter_net(net: caffe_pb2.NetParameter) -> caffe_pb2.NetParameter:
    """A copy of the net with only the layers whose include and exclude rules fit net.state.

    A layer with include rules needs one of them met; one with exclude rules none (Net::FilterNet).
    """
    filtered = caffe_pb2.NetParameter()
    filtered.CopyFrom(net)
    del filtered.layer[:]
    for layer in net.layer:
        if layer.include and layer.exclude:
            raise PrototxtError(f"Layer '{layer.name}': specify either include rules or exclude rules, not both.")
        if layer.include:
            keep = any(_meets(net.state, rule, layer.name) for rule in layer.include)
        else:
            keep = not any(_meets(net.state, rule, layer.name) for rule in layer.exclude)
        if keep:
            filtered.layer.add().CopyFrom(layer)
    return filtered


def _meets(state: caffe_pb2.NetState, rule: caffe_pb2.NetStateRule, layer: str) -> bool:
    name = caffe_pb2.Phase.Name
    reason = None
    if rule.HasField("phase") and rule.phase != state.phase:
        reason = f"phase ({name(state.phase)}) differed from the phase ({name(rule.phase)}) specified by"
    elif rule.HasField("min_level") and state.level < rule.min_level:
        reason = f"level ({state.level}) is below the min_level ({rule.min_level}) specified by"
    elif rule.HasField("max_level") and state.level > rule.max_level:
        reason = f"level ({state.level}) is above the max_level ({rule.max_level}) specified by"
    elif missing := set(rule.stage) - set(state.stage):
        reason = f"stages do not contain '{min(missing)}' specified by"
    elif present := set(rule.not_stage) & set(state.stage):
        reason = f"stages contain '{min(present)}', a not_stage of"
    if reason:
        logger.info("The NetState %s a rule in layer %s", reason, layer)
    return reason is None


def insert_splits(net: caffe_pb2.NetParameter) -> caffe_pb2.NetParameter:
    """A copy of the net in which every blob has one user (Caffe's insert_splits.cpp).

    A top that several layers take, or that is also a loss, goes through a Split layer
    ``<blob>_<layer>_<top>_split`` whose tops are ``<blob>_<layer>_<top>_split_<n>``.
    """
    producer: dict[str, tuple[int, int]] = {}  # blob -> (layer, top) that wrote it last
    source: dict[tuple[int, int], tuple[int, int]] = {}  # (layer, bottom) -> that
    uses: Counter[tuple[int, int]] = Counter()
    loss_weight: dict[tuple[int, int], float] = {}
    for i, layer in enumerate(net.layer):
        for j, blob in enumerate(layer.bottom):
            if blob not in producer:
                raise NetError(f"Unknown bottom blob '{blob}' (layer '{layer.name}', bottom index {j}).")
            source[i, j] = producer[blob]
            uses[producer[blob]] += 1
        for j, blob in enumerate(layer.top):
            producer[blob] = (i, j)
        # A loss uses its own top.
        for j, weight in zip(range(len(layer.top)), layer.loss_weight, strict=False):
            loss_weight[producer[layer.top[j]]] = weight
            if weight:
                uses[producer[layer.top[j]]] += 1

    split = caffe_pb2.NetParameter()
    split.CopyFrom(net)
    del split.layer[:]
    given: Counter[tuple[int, int]] = Counter()
    for i, layer in enumerate(net.layer):
        new = split.layer.add()
        new.CopyFrom(layer)
        for j, blob in enumerate(layer.bottom):
            top = source[i, j]
            if uses[top] > 1:
                new.bottom[j] = f"{_split_name(net.layer[top[0]].name, blob, top[1])}_{given[top]}"
                given[top] += 1
        for j, blob in enumerate(layer.top):
            if uses[i, j] > 1:
                name = _split_name(layer.name, blob, j)
                splitter = split.layer.add(name=name, type="Split", bottom=[blob])
                splitter.top.extend(f"{name}_{k}" for k in range(uses[i, j]))
                if weight := loss_weight.get((i, j)):
                    splitter.loss_weight.extend([weight] + [0] * (uses[i, j] - 1))
                    new.ClearField("loss_weight")
                    given[i, j] += 1
    return split


def _split_name(layer: str, blob: str, top: int) -> str:
    return f"{blob}_{layer}_{top}_split"


def describe(net: caffe_pb2.NetParameter, with_splits: caffe_pb2.NetParameter) -> list[str]:
    """A description of each layer that separates it from its namesakes, such as `layer 2: InnerProduct, data -> fc`.

    Args:
        net: the layers as the user wrote them; they are counted from 1.
        with_splits: the net's layers, with those that insert_splits put between; these get "".
    """
    described, number = [], 0
    for layer in with_splits.layer:
        given = net.layer[number] if number < len(net.layer) else None
        if given is None or (layer.name, layer.type) != (given.name, given.type):
            described.append("")
            continue
        number += 1
        blobs = " -> ".join(", ".join(side) for side in (given.bottom, given.top) if side)
        described.append(f"layer {number}: {layer.type}{blobs and ', '}{blobs}")
    return described
