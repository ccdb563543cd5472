"""The states of a training that a snapshot keeps, by name. A solver hands them over; no solver is known here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from caffe._device import random_numbers
from caffe._log import logger
from caffe._net.duplicate_names import Named, by_name, is_stateful, label, match, of_layer
from caffe._workers.workers import Workers
from caffe.proto import caffe_pb2

if TYPE_CHECKING:
    from caffe._layers.base import Layer
    from caffe._net.net import Net
    from caffe._solver.progress import Progress

NetState = dict[str, "dict | list[dict]"]
"""States of a net's layers by their names. Stateful layers of one name have a list of type, tops and state."""


@dataclass(frozen=True)
class States:
    """A training's states by name.

    Attributes:
        net: the training net: its weights, and the states of its layers.
        test_nets: the nets that share its weights; only their layers' states are kept.
        history: the update history, times history_scale.
        history_scale: the factor between the history here and in files.
        progress: iteration, rate drops and losses.
    """

    net: Net
    test_nets: Sequence[Net]
    history: Sequence[torch.Tensor]
    history_scale: float
    progress: Progress

    def save_resume_state(self) -> dict[str, Any]:
        """The state that Caffe forgets and that a pass through a test net changes: random numbers and layers."""
        return {"random": random_numbers.save(), "nets": [_save_layers(net) for net in (self.net, *self.test_nets)]}

    def restore_resume_state(self, resume: dict[str, Any]) -> None:
        """Continue from what :meth:`save_resume_state` returned."""
        for net, layers in zip((self.net, *self.test_nets), resume["nets"], strict=False):
            for layer, state in layer_states(net, layers):
                layer.set_state(state)
        random_numbers.restore(resume["random"])


def share_weights_and_history(states: States, workers: Workers) -> None:
    """Give all workers the weights and the history of worker 0."""
    if workers.size == 1:
        return
    weights = [entry.blob._data for entry in states.net._params.learnable]
    *values, _ = shared = workers.share([*(each.tensor() for each in weights), *states.history, torch.zeros(1)])
    if workers.rank > 0:
        for weight, value in zip(weights, values, strict=False):
            weight.set(value.clone())
        for history, value in zip(states.history, shared[len(weights) :], strict=False):
            history.copy_(value)


def _save_layers(net: Net) -> NetState:
    """Layers' states by name; stateful layers that share a name get a list, with their types and tops."""
    stateful = [layer for layer in net._layers if is_stateful(layer)]
    found: NetState = {}
    for name, group in by_name([layer.name for layer in stateful]).items():
        states = [(stateful[i], state) for i in group if (state := stateful[i].get_state()) is not None]
        if len(group) > 1:
            found[name] = [{"type": each.type, "tops": [*each.param.top], "state": state} for each, state in states]
        elif states:
            found[name] = states[0][1]
    return found


def layer_states(net: Net, states: NetState) -> list[tuple[Layer, dict]]:
    """Match a net's layers with their saved states.

    The list is empty, with a warning, if the match is not sure. Data layers that read in step, such as
    images and their labels, must not lose each other.
    """
    known = [
        Named(name, dict(one["state"]), True, str(one.get("type", "")), tuple(one["tops"]) if "tops" in one else None)
        for name, saved in states.items()
        for one in (saved if isinstance(saved, list) else [{"state": saved}])
    ]
    wanted = [of_layer(layer) for layer in net._layers if is_stateful(layer)]
    matched = match(known, wanted)
    found = matched.found()
    unsure = {id(target.value) for group in matched.uneven if not group.sure for target in group.targets}
    lost = [
        layer.value
        for layer in wanted
        if id(layer.value) in unsure
        or id(layer.value) not in found
        and not layer.value.param.bottom
        and layer.value.get_state() is not None
    ]
    if lost:
        logger.warning(
            "The resume file has no state of its own for %s (net '%s', phase %s). An older version wrote one for all "
            "layers of a name, or the net has changed. To keep its data in step, no layer of this net gets its "
            "state back: all of them start again, as in real Caffe.",
            ", ".join(label(net.graph, layer) for layer in lost), net.name, caffe_pb2.Phase.Name(net.phase),
        )  # fmt: skip
        return []
    return [(target.value, source.value) for source, target in matched.pairs]
