"""The rows of variants.toml: a net's settings, and the checks on them."""

import difflib
import tomllib
from dataclasses import MISSING, dataclass, fields
from pathlib import Path

UNITS = ("ReLU", "PReLU")
OF_PRELU = ("slope_lr_mult", "channel_shared")
OF_RESNET = ("width", "blocks", "stem_stride")
POSITIVE = ("num_output", "batch_size", "image_size", *OF_RESNET)


class VariantError(ValueError):
    """A row of the table that makes no net."""


@dataclass(frozen=True)
class Variant:
    """One row of variants.toml, completed by the shared settings. Sizes are in pixels."""

    name: str
    template: str
    num_output: int
    batch_size: int
    image_size: int
    crop_size: int
    mirror: bool
    dropout_ratio: float
    weight_filler: str
    input_scale: float
    train_source: str
    test_source: str
    mean_file: str
    encoded: bool
    unit: str = UNITS[0]
    slope_lr_mult: float = 1  # rate factor of a PReLU's slopes; 0 leaves them at 0.25
    channel_shared: bool = False  # one slope a layer instead of one a channel
    width: int = 0  # channels of a resnet's first stage
    blocks: int = 0  # blocks in each of a resnet's four stages
    stem_stride: int = 0  # stride of a resnet's first convolution; 2 makes the rest four times cheaper

    @property
    def input_size(self) -> int:
        """Side of the net's input: Caffe takes a crop_size of 0 as no crop."""
        return self.crop_size or self.image_size


def read_variants(path: Path) -> list[Variant]:
    """The rows of a table: its top level holds the shared settings, each of its tables is one net."""
    table = tomllib.loads(path.read_text())
    shared = {key: value for key, value in table.items() if not isinstance(value, dict)}
    rows = {key: value for key, value in table.items() if isinstance(value, dict)}
    return [_variant(path, name, shared | row) for name, row in rows.items()]


def _variant(path: Path, name: str, values: dict) -> Variant:
    known = {field.name: field for field in fields(Variant) if field.name != "name"}
    where = f"{path} [{name}]"
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            raise VariantError(f"{where}: unknown key {key}" + (f", did you mean {near[0]}?" if near else ""))
    if missing := {key for key, field in known.items() if field.default is MISSING} - values.keys():
        raise VariantError(f"{where}: {', '.join(sorted(missing))} missing")
    for key, value in values.items():
        kind = known[key].type
        # An int is valid for a float, but true and false are not ints.
        if not isinstance(value, (int, float) if kind is float else kind) or (type(value) is bool and kind is not bool):
            raise VariantError(f"{where}: {key} = {value!r}, a {kind.__name__} is wanted")
        if key in POSITIVE and value < 1:
            raise VariantError(f"{where}: {key} = {value}, 1 or more is wanted")
    variant = Variant(name=name, **values)
    _check_choices(where, variant, values)
    return variant


def _check_choices(where: str, variant: Variant, given: dict) -> None:
    """Raise VariantError for a value that is invalid, or that no part of the net uses."""
    if not 0 <= variant.crop_size <= variant.image_size:
        raise VariantError(f"{where}: crop_size {variant.crop_size} of {variant.image_size} pixel images")
    if not 0 <= variant.dropout_ratio < 1:
        raise VariantError(f"{where}: dropout_ratio {variant.dropout_ratio:g}; it is 0 or more and less than 1")
    if variant.unit not in UNITS:
        raise VariantError(f"{where}: unit = {variant.unit!r}, one of {', '.join(UNITS)} is wanted")
    if variant.slope_lr_mult < 0:
        raise VariantError(f"{where}: slope_lr_mult = {variant.slope_lr_mult}, 0 or more is wanted")
    for key in given:
        if key in OF_PRELU and variant.unit != "PReLU":
            raise VariantError(f"{where}: {key} is a PReLU's, the unit is {variant.unit}")
        if key in OF_RESNET and variant.template != "resnet":
            raise VariantError(f"{where}: {key} is of the template resnet, not of {variant.template}")
    if variant.template == "resnet" and (missing := [key for key in OF_RESNET if key not in given]):
        raise VariantError(
            f"{where}: {', '.join(missing)} missing; the template resnet needs {'it' if len(missing) == 1 else 'them'}"
        )
