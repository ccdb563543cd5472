"""How many images a solver's net trains on: what an epoch is."""

from dataclasses import dataclass
from pathlib import Path

from caffe.proto import caffe_pb2

from solvers.solver_file import parse, read


@dataclass(frozen=True)
class TrainingSet:
    """The images of one iteration, and of the whole set."""

    batch: int  # images an iteration
    images: int | None  # None where the source does not tell before it is read

    @property
    def iterations(self) -> float | None:
        """Iterations an epoch: 1000.0 for Tiny ImageNet in batches of 100."""
        return self.images / self.batch if self.images else None


def training_set(solver) -> TrainingSet | None:
    """That of a SolverParameter's net; None where no layer of its TRAIN phase reads images in batches."""
    path = Path(solver.net)
    if not path.is_file():
        return None
    for layer in parse(read(path), caffe_pb2.NetParameter(), path).layer:
        if _trains(layer):
            for kind in ("data_param", "image_data_param", "memory_data_param", "hdf5_data_param", "window_data_param"):
                if layer.HasField(kind) and (batch := getattr(layer, kind).batch_size):
                    return TrainingSet(batch * solver.iter_size, _images(layer))
    return None


def test_set(solver) -> TrainingSet | None:
    """What the TEST phase of a SolverParameter's net reads; None where no layer of it reads an LMDB or a list."""
    path = Path(solver.net)
    if not path.is_file():
        return None
    for layer in parse(read(path), caffe_pb2.NetParameter(), path).layer:
        tests = any(rule.phase == caffe_pb2.TEST for rule in layer.include)
        if tests and (batch := layer.data_param.batch_size or layer.image_data_param.batch_size):
            return TrainingSet(batch, _images(layer))
    return None


def _trains(layer) -> bool:
    test = caffe_pb2.TEST
    if layer.include:
        return any(not rule.HasField("phase") or rule.phase != test for rule in layer.include)
    return not any(rule.phase != test for rule in layer.exclude)


def _images(layer) -> int | None:
    if layer.type == "Data" and layer.data_param.backend == caffe_pb2.DataParameter.LMDB:
        return _records(Path(layer.data_param.source))
    if layer.type == "ImageData" and Path(layer.image_data_param.source).is_file():
        with Path(layer.image_data_param.source).open("rb") as file:
            return sum(bool(line.strip()) for line in file)
    return None


def _records(path: Path) -> int | None:
    import lmdb  # here: the journal and the curves do not need it

    try:
        with lmdb.open(str(path), readonly=True, lock=False, create=False) as environment:
            return environment.stat()["entries"]
    except lmdb.Error:
        return None
