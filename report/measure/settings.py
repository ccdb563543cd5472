"""Numbers that were chosen: from the prototxts of models/ and the solvers."""

from collections.abc import Callable
from pathlib import Path

from caffe.proto import caffe_pb2

from harness import provenance
from harness.errors import UserError
from report import paper
from report.experiment import Experiment, Model
from report.measure.first_pass import explored
from report.measure.registry import MeasuredNumber, measures
from training import journal
from training.solver_file import parse, parse_solver, read

_CONVOLUTION, _FULLY_CONNECTED = "Convolution", "InnerProduct"


def nets(family: str | None = None) -> dict[str, object]:
    """The NetParameters of the report's models, or of one family, by model; invalid files are left out."""
    found = {}
    for path in sorted(Path("models").glob("*/train_val.prototxt")):
        of = paper.family_of(path.parent.name)
        if of is None or family not in (None, of):
            continue
        try:
            found[path.parent.name] = parse(read(path), caffe_pb2.NetParameter(), path)
        except (UserError, OSError):
            continue
    return found


def differences(model: str) -> str:
    """The differences of a model's net from this repository's net of that name, as "crop 24, not 48", or ""."""
    path = Path("models", model, "train_val.prototxt")
    own = provenance.ROOT / path
    if not (path.is_file() and own.is_file()) or path.resolve() == own:
        return ""
    try:
        here, there = (parse(read(each), caffe_pb2.NetParameter(), each) for each in (path, own))
    except (UserError, OSError):
        return ""
    found = []
    for what, value in _SIZES.items():
        pair = [str((layer := _data_layer(net)) and value(layer) or "none") for net in (here, there)]
        if pair[0] != pair[1]:
            found.append(f"{what} {pair[0]}, not {pair[1]}")
    for layer in (*here.layer, *there.layer):
        for field in ("data_param", "include", "transform_param"):
            layer.ClearField(field)
    if list(here.layer) != list(there.layer):
        found.append("other layer settings")
    return "; ".join(found)


_SIZES = {
    "crop": lambda layer: layer.transform_param.crop_size,
    "batch": lambda layer: layer.data_param.batch_size,
}


def solvers() -> dict[str, object]:
    """The SolverParameters of the report's models by model."""
    found = {}
    for path in sorted(Path("solvers").glob("*.prototxt")):
        if paper.family_of(path.stem) is None:
            continue
        try:
            found[path.stem] = parse_solver(read(path), path)
        except (UserError, OSError):
            continue
    return found


def _data_layer(net):
    """The data layer that the TRAIN phase reads."""
    train = caffe_pb2.TRAIN
    return next(
        (layer for layer in net.layer if layer.type == "Data" and any(r.phase == train for r in layer.include)), None
    )


def _same(values: dict[str, str]) -> MeasuredNumber | None:
    """One value if all models agree, otherwise each model's."""
    if not values:
        return None
    if len(set(values.values())) == 1:
        return MeasuredNumber(next(iter(values.values())))
    return MeasuredNumber(", ".join(values.values()), ", ".join(values))


def _of_alexnet(value: Callable[[list], str]) -> MeasuredNumber | None:
    """A value computed from the layers of each AlexNet."""
    return _same({name: value(list(net.layer)) for name, net in nets("alexnet").items()})


def _count(*types: str) -> Callable[[list], str]:
    return lambda layers: str(sum(layer.type in types for layer in layers))


def _after(type_: str) -> Callable[[list], str]:
    """The numbers of the convolutional layers that a layer of this type follows before the next one."""

    def value(layers: list) -> str:
        convolutions, found = 0, []
        for layer in layers:
            convolutions += layer.type == _CONVOLUTION
            if layer.type == type_ and convolutions not in found:
                found.append(convolutions)
        return ", ".join(map(str, found))

    return value


@measures("nin-mlpconv")
def mlpconv(_: Experiment) -> MeasuredNumber | None:
    """The number of convolutions with a window that a 1 x 1 convolution, the perceptron, follows."""

    def blocks(layers: list) -> str:
        kernels = [layer.convolution_param.kernel_size[0] for layer in layers if layer.type == _CONVOLUTION]
        return str(sum(one > 1 and after == 1 for one, after in zip(kernels, kernels[1:])))

    return _same({name: blocks(net.layer) for name, net in nets("nin").items()})


@measures("alexnet-layers")
def alexnet_layers(_: Experiment) -> MeasuredNumber | None:
    return _of_alexnet(_count(_CONVOLUTION, _FULLY_CONNECTED))


@measures("alexnet-convolutions")
def alexnet_convolutions(_: Experiment) -> MeasuredNumber | None:
    return _of_alexnet(_count(_CONVOLUTION))


@measures("alexnet-fully-connected")
def alexnet_fully_connected(_: Experiment) -> MeasuredNumber | None:
    return _of_alexnet(_count(_FULLY_CONNECTED))


@measures("alexnet-normalised")
def alexnet_normalised(_: Experiment) -> MeasuredNumber | None:
    return _of_alexnet(_after("LRN"))


@measures("alexnet-pooled")
def alexnet_pooled(_: Experiment) -> MeasuredNumber | None:
    return _of_alexnet(_after("Pooling"))


def _crops(family: str, shown: str) -> MeasuredNumber | None:
    layers = {name: _data_layer(net) for name, net in nets(family).items()}
    crops = {name: layer.transform_param.crop_size for name, layer in layers.items() if layer}
    if not crops:
        return None
    values = [shown.format(crop) if crop else "none" for crop in crops.values()]
    same = len(set(values)) == 1 and family == "alexnet"
    return MeasuredNumber(values[0]) if same else MeasuredNumber(", ".join(values), ", ".join(crops))


@measures("alexnet-crop")
def alexnet_crop(_: Experiment) -> MeasuredNumber | None:
    return _crops("alexnet", "{0} x {0}")


@measures("nin-crop")
def nin_crop(_: Experiment) -> MeasuredNumber | None:
    return _crops("nin", "{}")


@measures("mirror")
def mirror(_: Experiment) -> MeasuredNumber | None:
    layers = [layer for net in nets().values() if (layer := _data_layer(net))]
    mirrored = sum(layer.transform_param.mirror for layer in layers)
    if not layers:
        return None
    return MeasuredNumber("all" if mirrored == len(layers) else f"{mirrored} of {len(layers)}")


@measures("batch-size")
def batch_size(_: Experiment) -> MeasuredNumber | None:
    layers = {name: _data_layer(net) for name, net in nets().items()}
    return _same({name: str(layer.data_param.batch_size) for name, layer in layers.items() if layer})


@measures("learning-rates")
def learning_rates(experiment: Experiment) -> MeasuredNumber | None:
    """The rates at which a training or a try began; base_lr of solvers/ may have been dropped since."""
    begun = {model.name: _first_rate(model) for model in experiment.models if paper.family_of(model.name)}
    begun |= {name: one.base_lr for name, one in solvers().items() if name not in begun}
    tried = explored(experiment)
    rates = {*begun.values(), *(one.rate for one in (tried.outcomes if tried else []))}
    if not rates:
        return None
    shown = sorted({f"{rate:.4g}" for rate in rates}, key=float, reverse=True)
    return MeasuredNumber(
        ", ".join(shown), f"at the start of {', '.join(begun)}" + (" and of make explore" if tried else "")
    )


def _first_rate(model: Model) -> float:
    """The rate at iteration 0: the first run's solver has it, else the first change of the rate."""
    if model.journal:
        try:
            return parse_solver(model.journal[0]["solver"], model.folder / journal.FILE).base_lr
        except UserError:  # the log's rate is used instead
            pass
    changes = model.curves.rate_changes
    return changes[0].before if changes else model.solver.base_lr


@measures("momentum")
def momentum(_: Experiment) -> MeasuredNumber | None:
    return _same({name: f"{solver.momentum:.4g}" for name, solver in solvers().items()})


@measures("snapshot-epochs")
def snapshot_epochs(_: Experiment) -> MeasuredNumber | None:
    """The tests per snapshot, which are epochs because test_interval is an epoch in solvers/."""
    files = solvers().items()
    return _same(
        {name: f"{solver.snapshot / solver.test_interval:g}" for name, solver in files if solver.test_interval}
    )
