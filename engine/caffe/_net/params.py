"""The parameters of a net: who owns which, who shares by name, and the factors of rate and decay."""

from dataclasses import dataclass

from caffe._blob import Blob
from caffe._error import NetError
from caffe._layers.base import Layer
from caffe._log import logger
from caffe.proto import caffe_pb2


@dataclass
class Learnable:
    """A parameter that is trained: its owner's blob and the factors of its rate and decay."""

    name: str
    layer: Layer
    blob: Blob
    lr_mult: float
    decay_mult: float
    lr_given: bool
    decay_given: bool


class ParamTable:
    """Collects parameters as layers are added (Net::AppendParam).

    Attributes:
        learnable: parameters in the order of their owners; what a solver updates and snapshots.
        shared: (blob, owner) of the parameters that are another's by name.
    """

    def __init__(self):
        self.learnable: list[Learnable] = []
        self.shared: list[tuple[Blob, Learnable]] = []
        self._owners: dict[str, Learnable] = {}

    @staticmethod
    def display_name(layer: Layer, index: int) -> str:
        """The name a prototxt gives a parameter, else its number."""
        spec = layer.param.param
        return spec[index].name if index < len(spec) and spec[index].name else str(index)

    def add(self, layer: Layer, index: int) -> caffe_pb2.ParamSpec:
        """Take in parameter ``index`` of a layer; returns its ParamSpec.

        Raises:
            NetError: it shares by name but differs in shape, lr_mult or decay_mult.
        """
        spec = layer.param.param[index] if index < len(layer.param.param) else caffe_pb2.ParamSpec()
        blob = layer.blobs[index]
        owner = self._owners.get(spec.name) if spec.name else None
        if owner is None:
            entry = Learnable(
                self.display_name(layer, index), layer, blob, spec.lr_mult, spec.decay_mult,
                spec.HasField("lr_mult"), spec.HasField("decay_mult"),
            )  # fmt: skip
            self.learnable.append(entry)
            if spec.name:
                self._owners[spec.name] = entry
            return spec
        index_there = owner.layer.blobs.index(owner.blob)
        logger.info(
            "Sharing parameters '%s' owned by layer '%s', param index %d", spec.name, owner.layer.name, index_there
        )
        self._check_shape(spec, layer, blob, owner)
        for field in ("lr", "decay"):
            if spec.HasField(f"{field}_mult"):
                value = getattr(spec, f"{field}_mult")
                if getattr(owner, f"{field}_given") and getattr(owner, f"{field}_mult") != value:
                    raise NetError(f"Shared param '{spec.name}' has mismatched {field}_mult.")
                setattr(owner, f"{field}_mult", value)
                setattr(owner, f"{field}_given", True)
        self.shared.append((blob, owner))
        return spec

    @staticmethod
    def _check_shape(spec: caffe_pb2.ParamSpec, layer: Layer, blob: Blob, owner: Learnable) -> None:
        permissive = spec.share_mode == caffe_pb2.ParamSpec.PERMISSIVE
        if blob.count != owner.blob.count if permissive else blob.shape != owner.blob.shape:
            hint = "" if permissive else " (share_mode: PERMISSIVE asks for the same count only)"
            raise NetError(
                f"Cannot share param '{spec.name}' owned by layer '{owner.layer.name}' with layer '{layer.name}': "
                f"shape {owner.blob.shape_string()} there, {blob.shape_string()} here{hint}."
            )

    def share(self) -> None:
        """Make shared parameters use their owners' memory (Net::ShareWeights)."""
        for blob, owner in self.shared:
            blob.share_data(owner.blob)
            blob.share_diff(owner.blob)
