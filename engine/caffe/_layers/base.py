"""The contract between a net and its layers, and the registry of layer types.

To add a layer type: write a class in the file of its family, decorate it with ``@register("Type")``,
state how many bottoms and tops it takes, and define ``setup`` (read the parameters, make the weight
blobs), ``top_shapes`` and ``forward``. Gradients come from autograd over ``forward``; where Caffe's
gradient is not the derivative that PyTorch would take, or a closed form is faster, ``forward`` calls
a torch.autograd.Function of its own. Then add its cases to tests/conformance/.
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
        PrototxtError: the type is unknown; the nearest known ones are named.
    """
    return LAYERS.find(param.type, f"Layer '{param.name}': ")(param)


class Precision(enum.Enum):
    """What a layer computes in where bfloat16 is chosen."""

    FLOAT32 = enum.auto()
    """float32: losses, normalisations, whatever adds up many numbers."""
    REDUCED = enum.auto()
    """bfloat16, weights too: where the time goes."""
    AS_GIVEN = enum.auto()
    """Whatever its bottoms are: layers that move values or handle each alone."""


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
        param: the LayerParameter it was made from, phase set.
        blobs: its parameters (weights, biases), shared with nobody but by name.
        bottoms, tops: how many it takes, as (least, most); most None for any number.
        loss_weight: of each top where the prototxt gives none: 1 for the first top of a loss.
        precision: what the layer computes in where bfloat16 is chosen (see _device/precision.py).
        casts_weights: whether its weights are rounded to that before forward gets them.
        forward_relu: forward and the ReLU after it in one step; None where there is no such. With in_place its
            backward may overwrite the gradient of the top. A layer that has it makes a new array of its top, and no
            backward of it reads what forward alone gives: where the two are two steps, the ReLU writes over that.
        has_backward: False where real Caffe has none at all, and aborts if it is called.
        backward_unasked: real Caffe's Backward_cpu computes the gradient of the bottom even where nobody needs it.
        gives_own_gradient: the gradient of its bottom is a new array that nobody else has.
        keeps_bottoms: indices of bottoms that real Caffe's backward does not read, so that writing them after forward
            changes nothing. Autograd reads them here; the net gives it a copy where a user might write.
        reads_late: its backward reads bottoms as they are by then. The net puts them into ``now`` while it runs that.
        shares_values, shares_gradients: its tops are its bottom's memory, as Caffe's ShareData and ShareDiff make them.
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
        """True in the phase TRAIN."""
        return self.param.phase == caffe_pb2.TRAIN

    @property
    def in_place(self) -> bool:
        """True where the first top is the first bottom."""
        return self.param.bottom[:1] == self.param.top[:1] != []

    def check_counts(self) -> None:
        """Raise NetError unless the layer has as many bottoms and tops as its type takes."""
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
        """A NetError that names this layer, to be raised."""
        return NetError(f"Layer '{self.name}' ({self.type}): {message}.")

    def setup(self, bottom: Sequence[Shape]) -> None:
        """Read and check the parameters, and make the weight blobs; called once.

        Args:
            bottom: shapes of the bottoms.
        """

    def top_shapes(self, bottom: Sequence[Shape]) -> list[Shape]:
        """Shapes of the tops for shapes of the bottoms; called before each forward if they changed."""
        raise NotImplementedError

    def begin_pass(self) -> None:
        """Called before forward, once a pass; not where backward has to compute forward again.

        For layers that carry something from pass to pass (running sums, a hidden state): forward
        may change that only where begin_pass was called since.
        """

    def forward(self, bottom: Sequence[torch.Tensor], weights: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        """Compute the tops, one for each that the prototxt names.

        A function of its arguments (and, for data and dropout, of random numbers): it changes
        neither, so that the net can differentiate it and decide what it keeps.

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
        """``forward`` in the precision that is chosen; what a net calls.

        Args:
            relu: compute the ReLU of the top as well, in one step: for layers with ``forward_relu``.
            in_place: of that ReLU; its backward may overwrite the gradient of the top.
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
        """What a snapshot must keep so that training can go on exactly, as JSON can hold it."""
        return None

    def set_state(self, state: dict) -> None:
        """Go on from a state of get_state."""

    def identify_data(self) -> str | None:
        """What tells the data that the layer reads from other data, for workers that must read the same."""
        return None

    def allow_force_backward(self, index: int) -> bool:
        """Whether force_backward may ask for the gradient of this bottom (not of labels)."""
        return True

    def lacks_gradient_of(self, index: int) -> str | None:
        """For messages, the name of a bottom that the layer has no gradient for; None for any other bottom."""
        return None

    def gradient_error(self, index: int, forced: bool = False) -> NetError:
        """A NetError for a backward pass that wants a gradient which the layer lacks, to be raised.

        Args:
            forced: force_backward asks for it.
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
        """Give a blob a shape; what is wrong with it is said of this layer."""
        try:
            blob.reshape(*shape)
        except NetError as error:
            raise self.error(str(error).rstrip(".")) from None

    def fill(self, blob: Blob, filler: caffe_pb2.FillerParameter) -> None:
        """Fill a blob's values; what is wrong with the filler is said of this layer."""
        try:
            fill(blob, filler)
        except PrototxtError as error:
            raise PrototxtError(f"Layer '{self.name}' ({self.type}): {error}") from None


class BlobLayer(Layer):
    """A layer that works on Blobs instead of tensors, in place and with a backward of its own.

    For what only a person's code can do (Python layers). The net calls these methods in place of
    top_shapes and forward.
    """

    def setup_blobs(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Called once, before the first reshape."""

    def reshape_blobs(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Shape the tops."""
        raise NotImplementedError

    def forward_blobs(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Fill the tops' data."""
        raise NotImplementedError

    def backward_blobs(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Fill the bottoms' diff where propagate_down says so; add to the parameters' diff."""
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
    """``result``, so that a backward pass that wants the gradient of ``bottom``, the layer's ``index``-th, raises NetError.

    For layers that abort real Caffe then; to hand back zeros would hide that nothing is learned.
    """
    return _NoGradient.apply(result, bottom, layer, index) if bottom.requires_grad else result


def canonical_axis(axis: int, shape: Shape, layer: Layer) -> int:
    """An axis counted from 0, for one that may count from the end (Blob::CanonicalAxisIndex)."""
    if not -len(shape) <= axis < len(shape):
        raise layer.error(f"axis {axis} is out of range for a blob with {len(shape)} axes")
    return axis % len(shape)
