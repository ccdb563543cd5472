"""Passes over more inputs than a net's batch holds (pycaffe's forward_all and forward_backward_all)."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from typing import Protocol

import numpy as np

from caffe._error import NetError

Arrays = dict[str, np.ndarray]


class Net(Protocol):
    """The part of a net that these passes use."""

    @property
    def inputs(self) -> list[str]: ...

    @property
    def outputs(self) -> list[str]: ...

    def forward(self, blobs: list[str] | None = None, **inputs: np.ndarray) -> Arrays: ...

    def backward(self, diffs: list[str] | None = None, **outputs: np.ndarray) -> Arrays: ...

    def _batch(self, arrays: Mapping[str, np.ndarray]) -> Iterator[Arrays]: ...


def split(arrays: Mapping[str, np.ndarray], size: int) -> Iterator[Arrays]:
    """Cut arrays of one length into batches; the last is padded with zeros.

    Raises:
        NetError: there are no arrays, or their lengths differ.
    """
    lengths = {name: len(values) for name, values in arrays.items()}
    if len(set(lengths.values())) != 1:
        raise NetError(f"Arrays of one length are needed, at least one: {lengths}.")
    for start in range(0, min(lengths.values()), size):
        yield {name: _pad(np.asarray(values[start : start + size]), size) for name, values in arrays.items()}


def _pad(part: np.ndarray, size: int) -> np.ndarray:
    missing = size - len(part)
    return np.concatenate([part, np.zeros((missing, *part.shape[1:]), part.dtype)]) if missing else part


def forward(net: Net, blobs: list[str] | None, inputs: Mapping[str, np.ndarray]) -> Arrays:
    """Net.forward_all."""
    outs = defaultdict(list)
    for batch in net._batch(inputs):
        _collect(outs, net.forward(blobs=blobs, **batch))
    return _join(outs, inputs)


def forward_backward(
    net: Net, blobs: list[str] | None, diffs: list[str] | None, given: Mapping[str, np.ndarray]
) -> tuple[Arrays, Arrays]:
    """Net.forward_backward_all."""
    if unknown := set(given) - {*net.inputs, *net.outputs}:
        raise NetError(f"Neither inputs nor outputs of the net: {', '.join(sorted(unknown))}.")

    def batches(names: Iterable[str]) -> Iterable[Arrays]:
        arrays = {name: given[name] for name in names if name in given}
        return net._batch(arrays) if arrays else ()

    if not given:
        raise NetError("Give inputs or gradients of outputs: there is nothing to run.")
    all_outs, all_diffs = defaultdict(list), defaultdict(list)
    for inputs, outputs in zip_longest(batches(net.inputs), batches(net.outputs), fillvalue={}):
        _collect(all_outs, net.forward(blobs=blobs, **inputs))
        _collect(all_diffs, net.backward(diffs=diffs, **outputs))
    return _join(all_outs, given), _join(all_diffs, given)


def _collect(parts: dict[str, list[np.ndarray]], batch: Arrays) -> None:
    for name, values in batch.items():
        # Copies, for the views will show the next pass; a loss is one number a batch.
        parts[name].append(np.atleast_1d(values.copy()))


def _join(parts: dict[str, list[np.ndarray]], given: Mapping[str, np.ndarray]) -> Arrays:
    """Each blob's batches after one another, without what the padding gave."""
    length = len(next(iter(given.values())))
    return {name: np.concatenate(batches)[:length] for name, batches in parts.items()}
