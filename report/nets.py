"""The layers of a deploy net with their output sizes, for its picture beside the report's Figures 1 to 3."""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from caffe.proto import caffe_pb2
from google.protobuf import text_format

from harness.errors import UserError
from report import Missing
from training.solver_file import parse, read

#: The names of layer types in a picture; types that change no size (ReLU, Dropout, Softmax) are left out.
KINDS = {"Convolution": "convolution", "InnerProduct": "fully connected", "Pooling": "pooling", "LRN": "normalisation"}


@dataclass(frozen=True)
class Step:
    """One layer of a net."""

    name: str
    kind: str  # a value of KINDS, or "1 x 1 convolution"
    kernel: int  # 0 for a layer without a window
    channels: int
    side: int  # side of the output maps; 1 after a fully connected layer


@dataclass(frozen=True)
class Net:
    """A net as a sequence of steps, the input first."""

    name: str
    steps: list[Step]
    parameters: int


def read_net(deploy: Path) -> Net:
    """The net of a deploy prototxt, built by Caffe for one image; Missing if that is not possible."""
    if not deploy.is_file():
        raise Missing(f"{deploy}: no deploy net; `make models` renders it")
    try:
        definition = parse(read(deploy), caffe_pb2.NetParameter(), deploy)
    except UserError as error:
        raise Missing(str(error)) from error
    for layer in definition.layer:
        for shape in layer.input_param.shape:
            if shape.dim:
                shape.dim[0] = 1  # a whole batch of the deploy net takes gigabytes
    net = _built(definition, deploy)
    steps = [_input(net)]
    for layer in definition.layer:
        kind = KINDS.get(layer.type)
        if kind:
            shape = net.blobs[layer.top[0]].data.shape
            kernel = _kernel(layer)
            if kind == "convolution" and kernel == 1:
                kind = "1 x 1 convolution"
            steps.append(Step(layer.name, kind, kernel, shape[1], shape[2] if len(shape) == 4 else 1))
    return Net(deploy.parent.name, steps, sum(blob.data.size for blobs in net.params.values() for blob in blobs))


def _built(definition, deploy: Path):
    # Real Caffe prints every layer of every net it builds unless this is set before it is imported.
    os.environ.setdefault("GLOG_minloglevel", "2")
    import caffe  # a late import: Caffe's takes seconds

    with tempfile.NamedTemporaryFile("w", suffix=".prototxt") as file:
        file.write(text_format.MessageToString(definition))
        file.flush()
        try:
            return caffe.Net(file.name, caffe.TEST)
        except RuntimeError as error:
            raise Missing(f"{deploy}: Caffe does not build this net: {error}") from error


def _input(net) -> Step:
    shape = net.blobs[net.inputs[0]].data.shape if net.inputs else ()
    if len(shape) != 4:
        raise Missing(f"{net.inputs}: not one input of images; `make models` renders a deploy net")
    return Step(net.inputs[0], "input", 0, shape[1], shape[2])


def _kernel(layer) -> int:
    if layer.type == "Convolution":
        return layer.convolution_param.kernel_size[0] if layer.convolution_param.kernel_size else 0
    return layer.pooling_param.kernel_size if layer.type == "Pooling" else 0
