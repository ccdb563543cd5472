"""The contract between a net and its layers, and the registry of layer types.

To add a layer type, write a class in its family's file and decorate it with ``@register("Type")``. State
its numbers of bottoms and tops. Define ``setup`` (read the parameters, make the weight blobs),
``top_shapes`` and ``forward``. Gradients come from autograd over ``forward``. If Caffe's gradient differs
from PyTorch's derivative, or a closed form is faster, ``forward`` calls its own torch.autograd.Function.
Then add the type's cases to tests/conformance/.
"""

import enum
from collections.abc import Callable, Sequence
from functools import partial

import torch

from caffe._blob import Blob
from caffe._device import precision as _precision
from caffe._error import NetError, PrototxtError
from caffe._files.blobproto import to_array
from caffe._filler import fill
from caffe._net.strides import natural_both_ways
from caffe._registry import Registry
from caffe.proto import caffe_pb2

Shape = tuple[int, ...]

LAYERS: Registry[type["Layer"]] = Registry("layer type")


def register(type_name: str) -> Callable[[type["Layer"]], type["Layer"]]:
    """Make a class the implementation of a prototxt type; a type can be registered once."""

    def add(cls):
        cls.type = type_name
        return LAYERS.register(type_name)(cls)

    return add


def layer_type_list() -> list[str]:
    """Names of all layer types, sorted."""
    return list(LAYERS)


def create(param: caffe_pb2.LayerParameter) -> "Layer":
    """Make the layer that a LayerParameter describes.

    Raises:
        PrototxtError: the type is unknown; the message names the nearest known ones.
    """
    return LAYERS.find(param.type, f"Layer '{param.name}': ")(param)


class Precision(enum.Enum):
    """The type that a layer computes in if bfloat16 is chosen."""

    FLOAT32 = enum.auto()
    """float32, for losses, normalisations and other sums of many numbers."""
    REDUCED = enum.auto()
    """bfloat16, weights too, for the layers that take the most time."""
    AS_GIVEN = enum.auto()
    """The type of the bottoms, for layers that move values or handle each alone."""


class BlobVec(list):
    """A layer's parameter blobs."""

    def add_blob(self, *shape: int) -> None:
        """Append a blob of zeros, as Python layers do in their setup."""
        self.append(Blob(shape))

    def __setitem__(self, index, value) -> None:
        if not isinstance(value, Blob):
            raise TypeError("A layer's parameters are Blobs; set their values with [i].data[...] = values.")
        super().__setitem__(index, value)


class Layer:
    """One layer of a net.

    Attributes:
        type: the prototxt's type.
        param: the LayerParameter, with its phase set.
        blobs: the layer's parameters (weights, biases), which are shared only by name.
        bottoms, tops: allowed numbers, as (least, most); most is None for any number.
        default_loss_weight: loss weight of the first top if the prototxt gives none; 1 for losses.
        precision: the type that the layer computes in if bfloat16 is chosen (see _device/precision.py).
        casts_weights: True if the weights are rounded to that type before forward gets them.
        forward_relu: forward and the ReLU after it in one step, or None. With in_place its backward may overwrite the
            gradient of the top. A layer that has it makes a new array for its top. Its backward does not read the
            result of forward alone, which a separate ReLU overwrites.
        has_backward: False if real Caffe has none at all, and aborts if it is called.
        backward_unasked: True if real Caffe's Backward_cpu computes the bottom's gradient even if it is not needed.
        gives_own_gradient: True if the bottom's gradient is a new array that nothing else uses.
        keeps_bottoms: indices of bottoms that real Caffe's backward does not read, so that writing them after forward
            changes nothing. Autograd reads them here, so the net passes a copy if a user might write.
        reads_late: True if backward reads the bottoms' current values. The net puts them into ``now`` meanwhile.
        shares_values, shares_gradients: True if the tops are the bottom's memory (Caffe's ShareData and ShareDiff).
    """

    type: str
    bottoms: tuple[int, int | None] = (1, 1)
    tops: tuple[int, int | None] = (1, 1)
    default_loss_weight = 0.0
    auto_top_blobs = False
    precision: Precision = Precision.FLOAT32
    casts_weights = True
    forward_relu: Callable | None = None
    has_backward = True
    backward_unasked = False
    gives_own_gradient = False
    keeps_bottoms: tuple[int, ...] = ()
    reads_late = False
    now: Sequence[torch.Tensor] | None = None
    shares_values = False
    shares_gradients = False

    def __init__(self, param: caffe_pb2.LayerParameter):
        self.param = param
        self.blobs = BlobVec()
        for proto in param.blobs:
            values = to_array(proto, f"layer '{param.name}'")
            self.blobs.append(Blob(values.shape))
            self.blobs[-1]._data.set(torch.from_numpy(values))

    @property
    def name(self) -> str:
        return self.param.name

    @property
    def training(self) -> bool:
        """True in phase TRAIN."""
        return self.param.phase == caffe_pb2.TRAIN

    @property
    def in_place(self) -> bool:
        """True if the first top is the first bottom."""
        return self.param.bottom[:1] == self.param.top[:1] != []

    def check_counts(self) -> None:
        """Raise NetError unless the layer's numbers of bottoms and tops fit its type."""
        for word, (least, most), names in (
            ("bottom", self.bottoms, self.param.bottom),
            ("top", self.tops, self.param.top),
        ):
            if word == "top" and self.auto_top_blobs:
                least = 0
            if len(names) < least or (most is not None and len(names) > most):
                want = str(least) if least == most else f"{least} or more" if most is None else f"{least} to {most}"
                raise self.error(f"{self.type} takes {want} {word} blob(s), not {len(names)}")

    def error(self, message: str) -> NetError:
        """Return a NetError that names this layer."""
        return NetError(f"Layer '{self.name}' ({self.type}): {message}.")

    def setup(self, bottom: Sequence[Shape]) -> None:
        """Read and check the parameters, and make the weight blobs; the net calls this once.

        Args:
            bottom: shapes of the bottoms.
        """

    def top_shapes(self, bottom: Sequence[Shape]) -> list[Shape]:
        """Return the tops' shapes for the bottoms' shapes; the net calls this before forward if those changed."""
        raise NotImplementedError

    def begin_pass(self) -> None:
        """Prepare for a pass; the net calls this once before forward, but not when backward recomputes forward.

        Layers that carry something from pass to pass (running sums, a hidden state) need it. Their forward
        may change that only if begin_pass was called since the last forward.
        """

    def forward(self, bottom: Sequence[torch.Tensor], weights: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        """Compute the tops, one for each that the prototxt names.

        The result depends on the arguments alone, and for data and dropout on random numbers. Forward
        changes no argument, so the net can differentiate it and decide what it keeps.

        Args:
            bottom: values of the bottoms.
            weights: values of ``blobs``, in their order.
        """
        raise NotImplementedError

    def compute(
        self,
        bottom: Sequence[torch.Tensor],
        weights: Sequence[torch.Tensor],
        relu: bool = False,
        in_place: bool = False,
    ) -> Sequence[torch.Tensor]:
        """``forward`` in the chosen precision; the net calls this.

        Args:
            relu: True also computes the top's ReLU in the same step, for layers with ``forward_relu``.
            in_place: that ReLU's backward may overwrite the gradient of the top.
        """
        forward = partial(self.forward_relu, in_place=in_place) if relu else self.forward
        bottom = [natural_both_ways(x) for x in bottom]
        return [natural_both_ways(top) for top in self._in_precision(forward, bottom, weights)]

    def _in_precision(self, forward: Callable, bottom, weights) -> Sequence[torch.Tensor]:
        if not _precision.is_reduced() or self.precision is Precision.AS_GIVEN:
            return forward(bottom, weights)
        if self.precision is Precision.REDUCED and _precision.is_emulated(bottom[0].device):
            rounded = [[x.to(torch.bfloat16).float() for x in values] for values in (bottom, weights)]
            return [top.to(torch.bfloat16) for top in forward(*rounded)]
        dtype = torch.bfloat16 if self.precision is Precision.REDUCED else torch.float32
        if self.casts_weights:
            weights = [w.to(dtype) for w in weights]
        return forward([x.to(dtype) for x in bottom], weights)

    def get_state(self) -> dict | None:
        """The state that a snapshot must keep so that training resumes exactly, as values for JSON."""
        return None

    def set_state(self, state: dict) -> None:
        """Resume from a state of get_state."""

    def identify_data(self) -> str | None:
        """A text that identifies the layer's data, for workers that must read the same data."""
        return None

    def allow_force_backward(self, index: int) -> bool:
        """True if force_backward may ask for the gradient of this bottom, which is not a label."""
        return True

    def lacks_gradient_of(self, index: int) -> str | None:
        """The name, for messages, of a bottom that the layer has no gradient for; None for any other bottom."""
        return None

    def gradient_error(self, index: int, forced: bool = False) -> NetError:
        """Return a NetError for a backward pass that needs a gradient which the layer lacks.

        Args:
            forced: True if force_backward asks for it.
        """
        advice = (
            "force_backward: true asks for it, whatever propagate_down says: remove force_backward from the net"
            if forced
            else "propagate_down: false stops it there"
        )
        return self.error(f"there is no gradient with respect to {self.lacks_gradient_of(index)}; {advice}")

    def add_blob(self, index: int, shape: Shape, filler: caffe_pb2.FillerParameter) -> None:
        """Make and fill parameter blob ``index``, or check the one that came with the prototxt."""
        if index < len(self.blobs):
            if tuple(self.blobs[index].shape) != tuple(shape):
                raise self.error(
                    f"incorrect shape of parameter {index}: expected {tuple(shape)}, "
                    f"instead it was {tuple(self.blobs[index].shape)}"
                )
            return
        blob = Blob()
        self.reshape(blob, shape)
        self.fill(blob, filler)
        self.blobs.append(blob)

    def reshape(self, blob: Blob, shape: Shape) -> None:
        """Give a blob a shape; an error names this layer."""
        try:
            blob.reshape(*shape)
        except NetError as error:
            raise self.error(str(error).rstrip(".")) from None

    def fill(self, blob: Blob, filler: caffe_pb2.FillerParameter) -> None:
        """Fill a blob's values; an error of the filler names this layer."""
        try:
            fill(blob, filler)
        except PrototxtError as error:
            raise PrototxtError(f"Layer '{self.name}' ({self.type}): {error}") from None


class BlobLayer(Layer):
    """A layer that works on Blobs instead of tensors, in place and with its own backward.

    It serves layers of users' code (Python layers). The net calls these methods instead of top_shapes and
    forward.
    """

    def setup_blobs(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Set up the layer; the net calls this once, before the first reshape."""

    def reshape_blobs(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Shape the tops."""
        raise NotImplementedError

    def forward_blobs(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Fill the tops' data."""
        raise NotImplementedError

    def backward_blobs(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Fill the bottoms' diff if propagate_down says so, and add to the parameters' diff."""
        raise NotImplementedError


class _NoGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, result, bottom, layer, index):
        ctx.error = layer.gradient_error(index)
        return result.view_as(result)

    @staticmethod
    def backward(ctx, gradient):
        raise ctx.error


def no_gradient(layer: Layer, result: torch.Tensor, bottom: torch.Tensor, index: int) -> torch.Tensor:
    """Return ``result``; a backward pass that needs the gradient of ``bottom``, the ``index``-th, raises NetError.

    Real Caffe aborts for such layers. A gradient of zeros would hide that nothing is learned.
    """
    return _NoGradient.apply(result, bottom, layer, index) if bottom.requires_grad else result


def canonical_axis(axis: int, shape: Shape, layer: Layer) -> int:
    """Return an axis counted from 0; a negative one counts from the end (Blob::CanonicalAxisIndex)."""
    if not -len(shape) <= axis < len(shape):
        raise layer.error(f"axis {axis} is out of range for a blob with {len(shape)} axes")
    return axis % len(shape)
