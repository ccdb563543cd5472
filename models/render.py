"""Render the nets of variants.toml from their templates.

    python -m models.render                     write models/<name>/train_val.prototxt and deploy.prototxt
    python -m models.render --check             write nothing; fail when a file differs from its template
    python -m models.render --variants FILE.toml --out DIR          the same for another table and folder

Each net is measured as it is rendered: pool3 of NIN gets the size of the map it averages (report,
section 6: "changing the kernel size of the final pooling layer"), and a crop that leaves some layer
without a map is refused.
"""

import argparse
import difflib
import os
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import MISSING, asdict, dataclass, fields
from math import ceil
from pathlib import Path

import jinja2
from caffe.proto import caffe_pb2
from google.protobuf import text_format

import commands

HERE = Path(__file__).parent
HEADER = "# Made by models/render.py from models/{template}.prototxt.j2: edit the template and render again."


UNITS = ("ReLU", "PReLU")
OF_PRELU = ("slope_lr_mult", "channel_shared")
OF_RESNET = ("width", "blocks", "stem_stride")
POSITIVE = ("num_output", "batch_size", "image_size", *OF_RESNET)


class VariantError(ValueError):
    """A row of the table that makes no net."""


@dataclass(frozen=True)
class Variant:
    """One row of variants.toml, with what all rows share filled in. Sizes are in pixels."""

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
    slope_lr_mult: float = 1  # of a PReLU's slopes; 0 leaves them at 0.25
    channel_shared: bool = False  # one slope a layer, not one a channel
    width: int = 0  # channels of a resnet's first stage
    blocks: int = 0  # in each of its four stages
    stem_stride: int = 0  # of its first convolution; 2 makes the rest four times cheaper

    @property
    def input_size(self) -> int:
        """Side of the net's input: Caffe takes a crop_size of 0 as no crop."""
        return self.crop_size or self.image_size


def read_variants(path: Path) -> list[Variant]:
    """The rows of a table: its top level holds what all share, each of its tables is one net."""
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
        # An int will do for a float, but true and false are no ints.
        if not isinstance(value, (int, float) if kind is float else kind) or (type(value) is bool and kind is not bool):
            raise VariantError(f"{where}: {key} = {value!r}, a {kind.__name__} is wanted")
        if key in POSITIVE and value < 1:
            raise VariantError(f"{where}: {key} = {value}, 1 or more is wanted")
    variant = Variant(name=name, **values)
    _check_choices(where, variant, values)
    return variant


def _check_choices(where: str, variant: Variant, given: dict) -> None:
    """Raise VariantError for a value that is none, or that nothing in the net would take."""
    if not 0 <= variant.crop_size <= variant.image_size:
        raise VariantError(f"{where}: crop_size {variant.crop_size} of {variant.image_size} pixel images")
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


def render(variant: Variant, *, deploy: bool) -> str:
    """The text of one net: train_val (phases TRAIN and TEST), or deploy (Input to Softmax)."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    try:
        template = environment.get_template(f"{variant.template}.prototxt.j2")
    except jinja2.TemplateNotFound as error:
        raise VariantError(f"[{variant.name}]: no template models/{error.name}") from error

    def text(global_pool_kernel: int) -> str:
        body = template.render(
            asdict(variant) | {"unit_type": variant.unit},
            input_size=variant.input_size,
            deploy=deploy,
            global_pool_kernel=global_pool_kernel,
        )
        lines = [HEADER.format(template=variant.template), f'name: "{variant.name}"', *body.splitlines()]
        return "\n".join(filter(str.strip, lines)) + "\n"

    measured = map_sizes(text(1), variant.input_size)
    if "pool3" not in measured:
        return text(1)
    # With a kernel of 1 and a stride of 1, pool3 is as large as the map below it.
    final = text(measured["pool3"])
    assert map_sizes(final, variant.input_size)["pool3"] == 1
    return final


def map_sizes(prototxt: str, input_size: int) -> dict[str, int]:
    """Side of the map that each layer with square windows makes, by layer name, as Caffe computes it.

    Convolution rounds down (conv_layer.cpp), Pooling rounds up and drops a window that would start
    in the padding (pooling_layer.cpp). Raises VariantError where a map vanishes.
    """
    net = text_format.Parse(prototxt, caffe_pb2.NetParameter())
    sides = {"data": input_size}
    sizes: dict[str, int] = {}
    for layer in net.layer:
        if not layer.bottom or layer.bottom[0] not in sides:
            continue
        side = sides[layer.bottom[0]]
        if layer.type == "Convolution":
            window = layer.convolution_param
            kernel, stride, pad = window.kernel_size[0], [*window.stride, 1][0], [*window.pad, 0][0]
            side = (side + 2 * pad - kernel) // stride + 1
        elif layer.type == "Pooling":
            window = layer.pooling_param
            if window.global_pooling:
                window = caffe_pb2.PoolingParameter(kernel_size=side)
            kernel, stride, pad = window.kernel_size, window.stride, window.pad
            out = ceil((side + 2 * pad - kernel) / stride) + 1
            side = out - 1 if pad and (out - 1) * stride >= side + pad else out
        elif layer.type == "InnerProduct":
            continue
        if side < 1:
            raise VariantError(f"{net.name}: {input_size} pixels are too few, none is left at {layer.name}")
        sides[layer.top[0]] = sizes[layer.name] = side
    return sizes


def rendered_files(variants: list[Variant], out: Path) -> Iterator[tuple[Path, str]]:
    for variant in variants:
        for kind in ("train_val", "deploy"):
            yield out / variant.name / f"{kind}.prototxt", render(variant, deploy=kind == "deploy")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.tmp")
    with beside.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m models.render", description=__doc__.split("\n")[0])
    parser.add_argument("--variants", type=Path, default=HERE / "variants.toml", metavar="FILE.toml")
    parser.add_argument("--out", type=Path, default=HERE, metavar="DIR")
    parser.add_argument("--check", action="store_true", help="fail when a file differs")
    options = parser.parse_args(argv)
    try:
        files = list(rendered_files(read_variants(options.variants), options.out))
        if options.check:
            differing = [path for path, text in files if not path.is_file() or path.read_text() != text]
            if differing:
                names = ", ".join(os.path.relpath(path) for path in differing)
                sys.exit(f"{names}: not what the templates give; run python -m models.render and commit")
        else:
            stale = [(path, text) for path, text in files if not path.is_file() or path.read_text() != text]
            for path, text in stale:
                write(path, text)
    except (OSError, ValueError, jinja2.TemplateError, text_format.ParseError) as error:
        sys.exit(f"models.render: {error}")
    done = "as the templates give them" if options.check or not stale else f"{len(stale)} rendered"
    print(f"{len(files)} files in {os.path.relpath(options.out)}: {done}")


if __name__ == "__main__":
    commands.run(main)
