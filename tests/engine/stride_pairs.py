"""Layers of every type between others, layer by layer and as a whole net, beside float64.

    python -m tests.engine.stride_pairs      every layer between every two others: some minutes; prints the errors

Each net holds images, a convolution, a layer below, the subject, a layer above, and a sum-of-squares loss.
The images are a Parameter, so that they have gradients too. The layer above decides the strides of the subject's
incoming gradient. The layer below decides those of its values.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator

import torch
from caffe import TEST, TRAIN, Net, set_random_seed
from caffe._files.prototxt import parse
from caffe._net.whole_net import WholeNet
from caffe.proto import caffe_pb2

_CONV = 'convolution_param { weight_filler { type: "gaussian" std: 0.4 } bias_filler { type: "gaussian" std: 0.3 } %s }'
_DENSE = 'inner_product_param { weight_filler { type: "gaussian" std: 0.2 } %s }'


def _layer(name: str, kind: str, bottoms: str, tops: str, more: str = "") -> str:
    ends = "".join(f' bottom: "{b}"' for b in bottoms.split()) + "".join(f' top: "{t}"' for t in tops.split())
    return f'layer {{ name: "{name}" type: "{kind}"{ends} {more} }}\n'


def _one(kind: str, more: str = ""):
    return lambda name, bottom: _layer(name, kind, bottom, name, more)


def _dense_as_map(name: str, bottom: str) -> str:
    return _layer(f"{name}_flat", "InnerProduct", bottom, f"{name}_flat", _DENSE % "num_output: 48") + _layer(
        name, "Reshape", f"{name}_flat", name, "reshape_param { shape { dim: 0 dim: 4 dim: 6 dim: 2 } }"
    )


def _with_another(kind: str, more: str = ""):
    """A layer of two bottoms, the second from a convolution of the first."""
    return lambda name, bottom: (
        _layer(f"{name}_other", "Convolution", bottom, f"{name}_other", _CONV % "num_output: 4 kernel_size: 1")
        + _layer(name, kind, f"{bottom} {name}_other", name, more)
    )


def _sliced(name: str, bottom: str) -> str:
    wide = _CONV % "num_output: 8 kernel_size: 1"
    return _layer(f"{name}_wide", "Convolution", bottom, f"{name}_wide", wide) + _layer(
        f"{name}_slice", "Slice", f"{name}_wide", f"{name} {name}_rest"
    ) + _layer(f"{name}_silence", "Silence", f"{name}_rest", "")  # fmt: skip


def _normalised(relu: bool, kind: str = "Scale"):
    def text(name: str, bottom: str) -> str:
        scale = 'scale_param { bias_term: true filler { type: "gaussian" std: 1 } }'
        parts = _layer(f"{name}_norm", "BatchNorm", bottom, f"{name}_norm", "batch_norm_param { eps: 0.1 }") + _layer(
            name, kind, f"{name}_norm", name, scale
        )
        return parts + (_layer(f"{name}_relu", "ReLU", name, name) if relu else "")

    return text


CONVOLUTIONS = {
    "1 x 1": _one("Convolution", _CONV % "num_output: 4 kernel_size: 1"),
    "3 x 3": _one("Convolution", _CONV % "num_output: 4 kernel_size: 3 pad: 1"),
}
AROUND = {
    **CONVOLUTIONS,
    "one output": _one("Convolution", _CONV % "num_output: 1 kernel_size: 1"),
    "InnerProduct": _dense_as_map,
    "Deconvolution": _one("Deconvolution", _CONV % "num_output: 4 kernel_size: 2 stride: 2"),
    "Pooling, MAX": _one("Pooling", "pooling_param { kernel_size: 2 }"),
    "Pooling, AVE of all": _one("Pooling", "pooling_param { pool: AVE global_pooling: true }"),
    "Concat": _with_another("Concat"),
    "Concat, rows": _with_another("Concat", "concat_param { axis: 2 }"),
    "Slice": _sliced,
    "Flatten": lambda name, bottom: (
        _layer(f"{name}_flat", "Flatten", bottom, f"{name}_flat")
        + _layer(name, "Reshape", f"{name}_flat", name, "reshape_param { shape { dim: 0 dim: 2 dim: -1 dim: 1 } }")
    ),
    "Eltwise": _with_another("Eltwise"),
    "Tile": _one("Tile", "tile_param { tiles: 2 }"),
}
SUBJECTS = {
    "BatchNorm": _one("BatchNorm", "batch_norm_param { eps: 0.1 }"),
    "BatchNorm, given": _one("BatchNorm", "batch_norm_param { use_global_stats: true eps: 1 }"),
    "BatchNorm and Scale": _normalised(False),
    "BatchNorm, Scale and ReLU": _normalised(True),
    "Scale": _one("Scale", 'scale_param { bias_term: true filler { type: "gaussian" std: 1 } }'),
    "Bias": _one("Bias", 'bias_param { filler { type: "gaussian" std: 1 } }'),
    "ReLU": lambda name, bottom: CONVOLUTIONS["3 x 3"](name, bottom) + _layer(f"{name}_relu", "ReLU", name, name),
    "PReLU": _one("PReLU"),
    "ELU": _one("ELU"),
    "Sigmoid": _one("Sigmoid"),
    "Power": _one("Power", "power_param { power: 2 scale: 0.5 shift: 0.3 }"),
    "AbsVal": _one("AbsVal"),
    "BNLL": _one("BNLL"),
    "Swish": _one("Swish"),
    "LRN": _one("LRN", "lrn_param { local_size: 3 alpha: 0.5 }"),
    "LRN, within": _one("LRN", "lrn_param { local_size: 3 alpha: 0.5 norm_region: WITHIN_CHANNEL }"),
    "MVN": _one("MVN", "mvn_param { eps: 0.1 }"),
    "Softmax": _one("Softmax"),
    "Im2col": _one("Im2col", "convolution_param { kernel_size: 3 pad: 1 }"),
    "Reduction": lambda name, bottom: _layer(f"{name}_sum", "Reduction", bottom, f"{name}_sum", "reduction_param { axis: 3 }")
    + _layer(name, "Reshape", f"{name}_sum", name, "reshape_param { shape { dim: 1 } axis: 3 num_axes: 0 }"),
    "Split": _with_another("Eltwise", "eltwise_param { operation: PROD }"),
    **AROUND,
}  # fmt: skip
SHAPES = [(1, 3, 6, 5), (3, 2, 6, 1), (2, 1, 5, 6), (1, 3, 1, 5), (2, 3, 1, 1), (1, 1, 6, 1)]


def net_text(below: str, subject: str, above: str, shape: tuple[int, ...], first: str = "1 x 1") -> str:
    dims = " ".join(f"dim: {d}" for d in shape)
    return (
        _layer("data", "Parameter", "", "data", f"parameter_param {{ shape {{ {dims} }} }}")
        + CONVOLUTIONS[first]("first", "data")
        + AROUND[below]("below", "first")
        + SUBJECTS[subject]("subject", "below")
        + AROUND[above]("above", "subject")
        + _layer("loss", "Reduction", "above", "loss", "reduction_param { operation: SUMSQ } loss_weight: 0.5")
    )


class _Contiguous(torch.autograd.Function):
    """Keep strides that PyTorch might misread away from float64."""

    @staticmethod
    def forward(ctx, values):
        return values.clone(memory_format=torch.contiguous_format)

    @staticmethod
    def backward(ctx, gradient):
        return gradient.clone(memory_format=torch.contiguous_format)


def exact_gradients(net: Net) -> list[torch.Tensor]:
    """Gradients of the net's parameters in float64, for the data that its last pass had."""
    values, weights = {}, []
    for index, layer in enumerate(net._layers):
        need = layer.type != "BatchNorm"
        own = [b._data.tensor().double().requires_grad_(need) for b in layer.blobs]
        weights += own if need else []
        with torch.enable_grad():
            tops = layer.forward([_Contiguous.apply(values[b]) for b in net.graph.bottoms[index]], own)
        values.update(zip(net.graph.tops[index], map(_Contiguous.apply, tops), strict=True))
    loss = values[net._outputs[-1]] * 0.5
    return list(torch.autograd.grad(loss, weights))


def errors(text: str, phase: int) -> Iterator[str]:
    """The errors of either pass over a net, a line each. Raises CaffeError if the layers do not fit."""
    param = parse(text, caffe_pb2.NetParameter(), "test")
    param.state.phase = phase
    passes = {}
    for name in ("layer by layer", "whole net"):
        set_random_seed(5)
        net = Net(param)
        for layer in net._layers:
            if layer.type == "Parameter":
                layer.fill(layer.blobs[0], caffe_pb2.FillerParameter(type="gaussian", std=1))
            if layer.type == "BatchNorm":
                layer.blobs[1].data[...], layer.blobs[2].data[...] = 1.5, 1
        set_random_seed(6)
        if name == "whole net":
            assert WholeNet.fits(net)
            WholeNet(net).forward_backward()
        else:
            last = len(net.layers) - 1
            net._forward(0, last)
            net._backward(last, 0)
        passes[name] = [
            blob._diff.tensor().double() for layer in net._layers if layer.type != "BatchNorm" for blob in layer.blobs
        ]
        if name == "layer by layer":
            exact = exact_gradients(net)
    for name, found in passes.items():
        for index, (mine, want) in enumerate(zip(found, exact, strict=True)):
            far = float((mine - want).abs().max() / max(1.0, float(want.abs().max())))
            if not far <= 1e-4:
                yield f"{name}: gradient {index} of {len(exact)} is off by {far:.1g}"


def main() -> int:
    from caffe import CaffeError

    torch.set_num_threads(1)
    wrong = nets = 0
    for subject, below, above, first in itertools.product(SUBJECTS, AROUND, AROUND, CONVOLUTIONS):
        for shape, phase in itertools.product(SHAPES, (TRAIN, TEST) if "BatchNorm" in subject else (TRAIN,)):
            try:
                lines = list(errors(net_text(below, subject, above, shape, first), phase))
            except CaffeError:
                continue  # the layers do not fit
            nets += 1
            wrong += len(lines)
            for line in lines:
                print(f"{first}, {below}, {subject}, {above} {shape} phase {phase}: {line}", flush=True)
    print(f"{nets} nets, {wrong} wrong")
    return wrong > 0


if __name__ == "__main__":
    sys.exit(main())
