"""BVLC's own nets (models/ and examples/ of its repository) on our engine and on real Caffe, blob by blob.

    python -m tests.conformance.bvlc_nets CHECKOUT [PART OF A PATH ...]

Both engines run every net with the same weights and inputs. Deploy nets run forward, nets with a loss also backward.
Layers that read data files become Input layers; nothing else is changed. The output is a table.
The exit status is 1 if a net does not run or differs by more than the project's bounds (compare.py).
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import caffe
import numpy as np
from caffe._files import prototxt
from caffe.proto import caffe_pb2

from .compare import GRADIENT, VALUE, distance
from .engines import OURS, REAL, EngineError, workspace

HERE = Path(__file__).parent
READERS = ("Data", "ImageData", "WindowData", "HDF5Data", "DummyData")


@dataclasses.dataclass(frozen=True)
class Net:
    """A prototxt of the checkout and its inputs.

    phase: TRAIN where a net has nothing random, else TEST (which has the loss, too).
    inputs: shapes by blob; labels are whole numbers below `classes`. With None they are the Input layer's,
    apart from the batch size.
    seed: the seed of the inputs. An image has 10^5 pooling windows.
    In one of them the two largest values may differ by less than float32 resolves.
    Rounding then decides which of them gets the gradient, on real Caffe with another BLAS kernel too.
    These seeds give no such window.
    """

    path: str
    phase: str = "TEST"
    inputs: dict[str, tuple[int, ...]] | None = None
    classes: int = 1000
    stages: str = "-"
    seed: int = 1701


def _labelled(*shape: int, label: str = "label") -> dict[str, tuple[int, ...]]:
    return {"data": shape, label: shape[:1]}


CIFAR, DIGITS, IMAGES = _labelled(6, 3, 32, 32), _labelled(5, 1, 28, 28), _labelled(2, 3, 227, 227)
NETS = (
    Net("models/bvlc_alexnet/deploy"),
    Net("models/bvlc_alexnet/train_val", inputs=IMAGES, seed=4),
    Net("models/bvlc_reference_caffenet/deploy"),
    Net("models/bvlc_reference_caffenet/train_val", inputs=IMAGES, seed=1),
    Net("models/bvlc_googlenet/deploy"),
    Net("models/bvlc_googlenet/train_val", inputs=_labelled(1, 3, 224, 224), seed=7),
    Net("models/bvlc_reference_rcnn_ilsvrc13/deploy"),
    Net("models/finetune_flickr_style/deploy"),
    Net("models/finetune_flickr_style/train_val", inputs=IMAGES, seed=1, classes=20),
    Net("examples/mnist/lenet"),
    Net("examples/mnist/lenet_train_test", "TRAIN", DIGITS, 10),
    Net("examples/mnist/mnist_autoencoder", "TRAIN", {"data": (5, 1, 28, 28)}),
    Net("examples/mnist/mnist_autoencoder", "TEST", {"data": (5, 1, 28, 28)}, stages="test-on-test"),
    Net("examples/cifar10/cifar10_quick"),
    Net("examples/cifar10/cifar10_quick_train_test", "TRAIN", CIFAR, 10),
    Net("examples/cifar10/cifar10_full"),
    Net("examples/cifar10/cifar10_full_train_test", "TRAIN", CIFAR, 10),
    Net("examples/cifar10/cifar10_full_sigmoid_train_test", "TRAIN", CIFAR, 10),
    Net("examples/cifar10/cifar10_full_sigmoid_train_test_bn", "TRAIN", CIFAR, 10),
    Net("examples/cifar10/cifar10_full_sigmoid_train_test_bn", "TEST", CIFAR, 10),
    Net("examples/siamese/mnist_siamese"),
    Net("examples/siamese/mnist_siamese_train_test", "TRAIN", {"pair_data": (7, 2, 28, 28), "sim": (7,)}, 2),
    Net("examples/net_surgery/conv"),
    Net("examples/net_surgery/bvlc_caffenet_full_conv"),
    Net("examples/feature_extraction/imagenet_val", inputs=IMAGES, seed=2),
    Net("examples/finetune_pascal_detection/pascal_finetune_trainval_test", inputs=IMAGES, seed=1, classes=21),
    Net("examples/hdf5_classification/train_val", "TRAIN", _labelled(10, 4), 2),
    Net("examples/hdf5_classification/nonlinear_train_val", "TRAIN", _labelled(10, 4), 2),
    Net("examples/pycaffe/linreg", "TRAIN", {"x": (10, 3, 2), "y": (10, 3, 2)}),
)


def adapted(net: Net, checkout: Path) -> caffe_pb2.NetParameter:
    """The net with Input layers for those that read files, and small batches."""
    param = prototxt.read_net_param(checkout / f"{net.path}.prototxt")
    for layer in param.layer:
        if layer.type == "Input" and net.inputs is None:
            for shape in layer.input_param.shape:
                shape.dim[0] = min(shape.dim[0], 2)
        elif layer.type in READERS:
            new = caffe_pb2.LayerParameter(name=layer.name, type="Input", top=layer.top, include=layer.include)
            new.input_param.shape.extend(caffe_pb2.BlobShape(dim=net.inputs[top]) for top in layer.top)
            layer.CopyFrom(new)
    return param


def draw_inputs(net: Net, param: caffe_pb2.NetParameter) -> dict[str, np.ndarray]:
    """Whole numbers for labels (inputs of one axis), pixels less their mean for photographs, else numbers in [0, 1).

    With photographs between 0 and 1, CaffeNet's fillers make values that nearly tie everywhere.
    """
    rng = np.random.RandomState(net.seed)
    inputs = {}
    for layer in param.layer:
        if layer.type == "Input":
            for top, shape in zip(layer.top, layer.input_param.shape):
                shape = tuple(shape.dim)
                values = rng.randint(0, net.classes, shape) if len(shape) == 1 else rng.random_sample(shape)
                if len(shape) == 4 and shape[1] == 3:
                    values = 255 * values - 128
                inputs.setdefault(top, values.astype(np.float32))
    return inputs


def run(net: Net, checkout: Path, work: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Every blob and gradient of our engine, and of real Caffe, which reads the weights that ours wrote."""
    param = adapted(net, checkout)
    (work / "net.prototxt").write_text(str(param))
    np.savez(work / "inputs.npz", **draw_inputs(net, param))
    # linreg's loss is a Python layer of its own.
    shutil.copyfile(checkout / "examples/pycaffe/layers/pyloss.py", work / "pyloss.py")
    (work / "net.caffemodel").unlink(missing_ok=True)
    found = []
    for engine in (OURS, REAL):
        out = f"{engine.name}.npz"
        args = ["net.prototxt", net.phase, net.stages, "net.caffemodel", "inputs.npz", out]
        engine.python(HERE / "run_net.py", args, work)
        with np.load(work / out) as file:
            found.append(dict(file))
    return found[0], found[1]


def compare(ours: dict[str, np.ndarray], real: dict[str, np.ndarray]) -> Iterator[tuple[str, int, float]]:
    """(data or diff, how many, largest distance) for values and, if there are any, gradients."""
    if set(ours) != set(real):
        raise EngineError(f"blobs of one engine only: {', '.join(sorted(set(ours) ^ set(real)))}")
    values = [name for name in real if name.endswith("|data")]
    yield "data", len(values), max(distance(ours[name], real[name]) for name in values)
    gradients = [name for name in real if name.endswith("|diff")]
    if gradients:
        # Gradients that cancel (of a bias before a difference) are rounding: they count against the net's largest.
        largest = {name: float(np.abs(real[name]).max()) for name in gradients}
        floor = 1e-3 * max(largest.values()) or 1.0
        far = [distance(ours[name], real[name]) * (size or 1.0) / max(size, floor) for name, size in largest.items()]
        yield "diff", len(gradients), max(far)


def main() -> int:
    """Run the nets and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkout", type=Path, help="a checkout of BVLC/caffe")
    parser.add_argument("parts", nargs="*", help="only nets whose path has one of these in it")
    args = parser.parse_args()
    if reason := REAL.why_not():
        print(f"bvlc_nets: error: real Caffe: {reason}", file=sys.stderr)
        return 1
    if not (args.checkout / "models").is_dir():
        print(f"bvlc_nets: error: {args.checkout} is no checkout of BVLC/caffe: it has no models/", file=sys.stderr)
        return 1
    caffe.init_log(2)
    failed = 0
    print("| net | phase | blobs | largest difference | gradients | largest difference |\n|---|---|---|---|---|---|")
    for net in NETS:
        if args.parts and not any(part in net.path for part in args.parts):
            continue
        with workspace() as work:
            try:
                found = list(compare(*run(net, args.checkout.resolve(), work)))
            except EngineError as error:
                failed += 1
                print(f"| {net.path} | {net.phase} | does not run | | | |", flush=True)
                print(error, file=sys.stderr)
                continue
        limits = {"data": VALUE, "diff": GRADIENT}
        failed += any(not far <= limits[member] for member, _, far in found)
        cells = [f"{number} | {far:.1e}" for _, number, far in found] + ["| "] * (2 - len(found))
        print(f"| {net.path} | {net.phase} | {' | '.join(cells)} |", flush=True)
    print(f"{failed} failed" if failed else "all within the bounds", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
