"""Counts the images that a solver's nets read: an epoch of training, a pass of a test."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from caffe.proto import caffe_pb2

from training.solver_file import parse, read

_BATCHED = ("data_param", "image_data_param", "memory_data_param", "hdf5_data_param", "window_data_param")


@dataclass(frozen=True)
class TrainingSet:
    """The images of one iteration, and of the whole set."""

    batch: int  # images an iteration
    images: int | None  # None if the source has no count before it is read

    @property
    def iterations(self) -> float | None:
        """Iterations an epoch: 1000.0 for Tiny ImageNet in batches of 100."""
        return self.images / self.batch if self.images else None


def training_set(solver) -> TrainingSet | None:
    """The training set of a SolverParameter's net, None if no layer of its TRAIN phase reads images in batches."""
    net = _net(solver.net)
    for layer in _layers(net):
        if _takes_part(layer, _state(net, caffe_pb2.TRAIN, solver.train_state)):
            for kind in _BATCHED:
                if layer.HasField(kind) and (batch := getattr(layer, kind).batch_size):
                    return TrainingSet(batch * solver.iter_size, _images(layer))
    return None


def test_set(solver) -> TrainingSet | None:
    """The data of the solver's first test net. It is None if no TEST-only layer reads an LMDB or a list."""
    return next(iter(test_sets(solver)), None)


def test_sets(solver) -> list[TrainingSet | None]:
    """The data of each test net, in Caffe's order: test_net_param, test_net, then `net` for the rest of test_iter."""
    nets = [*solver.test_net_param, *map(_net, solver.test_net)]
    nets += [_net(solver.net)] * max(len(solver.test_iter) - len(nets), not nets)
    states = list(solver.test_state) or [caffe_pb2.NetState()] * len(nets)
    return [_read_by(net, state) for net, state in zip(nets, states)]


def _read_by(net, state) -> TrainingSet | None:
    for layer in _layers(net):
        if not _takes_part(layer, _state(net, caffe_pb2.TEST, state)):
            continue
        # A layer of both phases tests on the train images. Their number is not that of val.
        if not _takes_part(layer, _state(net, caffe_pb2.TRAIN)):
            if batch := layer.data_param.batch_size or layer.image_data_param.batch_size:
                return TrainingSet(batch, _images(layer))
    return None


def _net(path: str):
    """The NetParameter of a file, None if there is no such file."""
    file = Path(path)
    return parse(read(file), caffe_pb2.NetParameter(), file) if file.is_file() else None


def _layers(net) -> Iterator:
    """The layers of a net, including those of the V1 format."""
    if net is not None:
        yield from net.layer
        yield from net.layers


def _state(net, phase: int, more=None):
    """The NetState of a phase: the net's own, then what the solver adds (solver.cpp)."""
    state = caffe_pb2.NetState(phase=phase)
    state.MergeFrom(net.state)
    if more is not None:
        state.MergeFrom(more)
    return state


def _takes_part(layer, state) -> bool:
    """True if a layer is in the net of a state (net.cpp, FilterNet)."""
    if layer.include:
        return any(_meets(rule, state) for rule in layer.include)
    return not any(_meets(rule, state) for rule in layer.exclude)


def _meets(rule, state) -> bool:
    stages = set(state.stage)
    return (
        (not rule.HasField("phase") or rule.phase == state.phase)
        and (not rule.HasField("min_level") or state.level >= rule.min_level)
        and (not rule.HasField("max_level") or state.level <= rule.max_level)
        and stages.issuperset(rule.stage)
        and stages.isdisjoint(rule.not_stage)
    )


def _images(layer) -> int | None:
    if layer.data_param.source and layer.data_param.backend == caffe_pb2.DataParameter.LMDB:
        return _records(Path(layer.data_param.source))
    if layer.image_data_param.source and Path(layer.image_data_param.source).is_file():
        with Path(layer.image_data_param.source).open("rb") as file:
            return sum(bool(line.strip()) for line in file)
    return None


def _records(path: Path) -> int | None:
    import lmdb  # a local import: the journal and the curves do not need lmdb

    try:
        with lmdb.open(str(path), readonly=True, lock=False, create=False) as environment:
            return environment.stat()["entries"]
    except lmdb.Error:
        return None
