"""Every layer type beside itself in float64, for bottoms and gradients with unusual strides.

    python -m tests.engine.strides       all shapes, strides and types: some minutes; prints the errors

PyTorch may misread a tensor if an axis of size 1 has a stride that no layout gives it.
Such a stride says nothing about the place of the numbers, but PyTorch's kernels choose by it.
test_strides.py takes a part of the sweep.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Sequence

import torch
from caffe._device import precision, random_numbers

from tests.conformance.layer_case import Bottom
from tests.engine.build import make_layer
from tests.engine.stride_subjects import SUBJECTS, Subject

SIZES = {"records": 3, "channels": 4, "rows": 6, "columns": 5}  #: each axis has this many numbers, or one


def shapes() -> Iterator[tuple[int, ...]]:
    """Records, channels, rows and columns: each of them one and more, together 16."""
    yield from itertools.product(*((1, many) for many in SIZES.values()))


def _strided(values: torch.Tensor, order: Sequence[int], of_one: int | None = None) -> torch.Tensor:
    """The values laid out with the last axis of ``order`` innermost; axes of one number get the stride ``of_one``."""
    dense = values.permute(*order).contiguous()
    result = dense.permute(*(order.index(axis) for axis in range(values.dim())))
    if of_one is None:
        return result
    strides = [of_one if n == 1 else s for n, s in zip(result.shape, result.stride(), strict=True)]
    return result.as_strided(result.shape, strides)


def layouts(values: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
    """The same values in every memory layout in which a layer may pass them on."""
    axes = values.dim()
    plain = list(range(axes))
    yield "contiguous", values.contiguous()
    if axes < 2 or not values.numel():
        return
    last = [0, *range(2, axes), 1]  # channels innermost
    orders = {"contiguous": plain, "channels last": last, "reversed": plain[::-1], "records inside": [*plain[1:], 0]}
    for name, order in orders.items():
        if order != plain:
            yield name, _strided(values, order)
        for stride in (0, 1, values.shape[1], 10_007) if 1 in values.shape else ():
            yield f"{name}, axes of one with stride {stride}", _strided(values, order, stride)
    for axis in plain:
        for name, order in (("contiguous", plain), ("channels last", last)):
            wide = torch.cat([values, values, values], axis)
            yield (
                f"middle of axis {axis}, {name}",
                _strided(wide, order).narrow(axis, values.shape[axis], values.shape[axis]),
            )


def expansions(values: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
    """Tensors that repeat the first number of an axis along it, with stride 0."""
    for axis, count in enumerate(values.shape):
        if count > 1:
            yield f"axis {axis} expanded", values.narrow(axis, 0, 1).expand(values.shape)
            if values.dim() == 4:
                last = values.narrow(axis, 0, 1).contiguous(memory_format=torch.channels_last)
                yield f"axis {axis} of channels last expanded", last.expand(values.shape)
    if values.dim():
        yield "one number expanded", values.flatten()[:1].reshape([1] * values.dim()).expand(values.shape)


class Sweep:
    """One subject in one shape.

    Args:
        dtype: the type under test, float32, or bfloat16 if that precision is chosen.
    """

    def __init__(self, subject: Subject, shape: tuple[int, ...], dtype: torch.dtype = torch.float32):
        self.subject, self.dtype = subject, dtype
        bottoms = [b if isinstance(b, Bottom) else Bottom(b) for b in subject.bottoms(*shape)]
        self.layer = make_layer(subject.text, *(b.shape for b in bottoms), phase=subject.phase, tops=subject.tops)
        draw = torch.Generator().manual_seed(7)
        self.bottoms = [self._draw(bottom, draw) for bottom in bottoms]
        self.learned = [bottom.gradient and not bottom.integers for bottom in bottoms]
        self.weights = [torch.rand(tuple(b.shape), generator=draw) * 1.5 - 0.5 for b in self.layer.blobs]
        if self.layer.type == "BatchNorm":
            self.weights = [self.weights[0], self.weights[1].abs() + 0.1, torch.ones(1)]
        tops = self._tops(torch.float64, self.bottoms, self.weights, False)
        self.gradients = [self._rounded(torch.rand(top.shape, generator=draw) * 2 - 1) for top in tops]

    def _rounded(self, values: torch.Tensor) -> torch.Tensor:
        return values.to(self.dtype).float()

    def _draw(self, bottom: Bottom, draw: torch.Generator) -> torch.Tensor:
        values = torch.rand(bottom.shape, generator=draw)
        if bottom.integers:
            return (values * (bottom.high - bottom.low + 1)).floor() + bottom.low
        return self._rounded(bottom.low + (bottom.high - bottom.low) * values)

    def _tops(self, dtype, bottoms, weights, relu):
        random_numbers.set_random_seed(3)
        self.layer._first = self.layer._last = []
        run = self.layer.compute if dtype != torch.float64 else self._exactly
        return run(
            [b.to(dtype) for b in bottoms], [w.to(dtype) if dtype == torch.float64 else w for w in weights], relu
        )

    def _exactly(self, bottoms, weights, relu):
        return (self.layer.forward_relu if relu else self.layer.forward)(bottoms, weights)

    def results(self, dtype, bottoms, gradients, relu: bool) -> list[torch.Tensor]:
        """The tops, then the gradients of bottoms and weights; in float64 with nothing but usual strides."""
        if dtype == torch.float64:  # without layouts that PyTorch might misread there too
            bottoms, gradients = (
                [x.clone(memory_format=torch.contiguous_format) for x in each] for each in (bottoms, gradients)
            )
        bottoms = [b.detach().requires_grad_(need) for b, need in zip(bottoms, self.learned, strict=True)]
        trained = self.layer.type != "BatchNorm"
        weights = [w.clone().requires_grad_(trained) for w in self.weights]
        tops = self._tops(dtype, bottoms, weights, relu)
        ends = [(top, g) for top, g in zip(tops, gradients, strict=True) if top.requires_grad]
        wanted = [x for x in (*bottoms, *weights) if x.requires_grad]
        if not wanted:
            return list(tops)
        found = torch.autograd.grad(
            [top for top, _ in ends], wanted, [g.to(top.dtype) for top, g in ends], allow_unused=True
        )
        zeros = (torch.zeros_like(x) if g is None else g for x, g in zip(wanted, found, strict=True))
        return [*(top.detach() for top in tops), *zeros]

    def errors(self, every: bool) -> Iterator[str]:
        """The errors, a line each.

        Args:
            every: also try bottoms in each layout, and expanded; otherwise bottoms are as layers make them.
        """
        for relu in (False, True) if self.subject.relu else (False,):
            # In bfloat16 a sum near 0 may round to either side of it, and the ReLU's gradient with it.
            beside = self.dtype if relu and self.dtype == torch.bfloat16 else torch.float64
            exact = self.results(beside, self.bottoms, self.gradients, relu)
            usual = ("contiguous", "channels last")
            for of_bottom, bottoms in self._together(self.bottoms, layouts if every else self._usual):
                for of_gradient, gradients in self._together(self.gradients, layouts):
                    if every and of_bottom not in usual and of_gradient not in usual and of_bottom != of_gradient:
                        continue
                    found = self.results(self.dtype, bottoms, gradients, relu)
                    yield from self._compare(f"{of_bottom}; gradient {of_gradient}", found, exact, relu)
            for of_gradient, gradients in self._together(self.gradients, expansions):
                plain = [g.contiguous() for g in gradients]
                exact = self.results(beside, self.bottoms, plain, relu)
                for of_bottom, bottoms in self._together(self.bottoms, self._usual):
                    found = self.results(self.dtype, bottoms, gradients, relu)
                    yield from self._compare(f"{of_bottom}; gradient {of_gradient}", found, exact, relu)
            for of_bottom, bottoms in self._together(self.bottoms, expansions) if every else ():
                kept = [
                    b if learned else own for b, own, learned in zip(bottoms, self.bottoms, self.learned, strict=True)
                ]
                if relu or "Pooling" in self.layer.type or "MAX" in self.subject.text:
                    continue  # ties
                exact = self.results(torch.float64, kept, self.gradients, relu)
                for of_gradient, gradients in self._together(self.gradients, layouts):
                    found = self.results(self.dtype, kept, gradients, relu)
                    yield from self._compare(f"{of_bottom}; gradient {of_gradient}", found, exact, relu)

    @staticmethod
    def _usual(values):
        """Layouts of the values that convolutions and others pass on."""
        names = (
            "contiguous",
            "channels last",
            f"channels last, axes of one with stride {values.shape[1] if values.dim() > 1 else 0}",
        )
        yield from (pair for pair in layouts(values) if pair[0] in names)

    def _together(self, tensors, ways) -> Iterator[tuple[str, list[torch.Tensor]]]:
        """Each way for all tensors; a tensor that it is not for stays as it is."""
        by_name = [dict(ways(t.to(self.dtype) if t.dim() > 1 else t)) for t in tensors]
        names = dict.fromkeys(name for each in by_name for name in each)
        for name in names:
            yield name, [each.get(name, t) for each, t in zip(by_name, tensors, strict=True)]

    def _compare(self, where, found, exact, relu) -> Iterator[str]:
        tolerance = 2e-5 if self.dtype == torch.float32 else 4e-2
        for index, (mine, want) in enumerate(zip(found, exact, strict=True)):
            # A sum that cancels has the digits of its parts.
            far = float((mine.double() - want).abs().max() / max(1.0, float(want.abs().max()))) if want.numel() else 0.0
            if not far <= tolerance:
                what = f"top {index}" if index < len(self.gradients) else f"gradient {index - len(self.gradients)}"
                yield f"{what} is off by {far:.1g}{' with ReLU' if relu else ''}: bottom {where}"


def sweep(name: str, shape: tuple[int, ...], dtype: torch.dtype = torch.float32, every: bool = False) -> list[str]:
    """The errors of a subject in a shape, a line each."""
    return [f"{name} {shape}: {line}" for line in Sweep(SUBJECTS[name], shape, dtype).errors(every)]


def main() -> int:
    torch.set_num_threads(1)
    wrong = 0
    dtype = torch.bfloat16 if precision.is_reduced() else torch.float32
    for name in SUBJECTS if len(sys.argv) == 1 else sys.argv[1:]:
        for shape in shapes():
            lines = sweep(name, shape, dtype, every=True)
            wrong += len(lines)
            for line in lines[:3]:
                print(line, flush=True)
            if len(lines) > 3:
                print(f"{name} {shape}: and {len(lines) - 3} more", flush=True)
    print(f"{wrong} wrong")
    return wrong > 0


if __name__ == "__main__":
    sys.exit(main())
