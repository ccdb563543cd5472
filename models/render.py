"""Render the nets of variants.toml from their templates.

    python -m models.render                     write models/<name>/train_val.prototxt and deploy.prototxt
    python -m models.render --check             write nothing; fail when a file differs from its template
    python -m models.render --variants FILE.toml --out DIR          the same for another table and folder

Each net is measured while it is rendered. pool3 of NIN gets the size of the map it averages. The report names this in
section 6, "changing the kernel size of the final pooling layer". A crop that leaves a layer without a map is refused.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from math import ceil
from pathlib import Path

import jinja2
from caffe.proto import caffe_pb2
from google.protobuf import text_format

from harness import commands
from models.variants import Variant, VariantError, read_variants

HERE = Path(__file__).parent
HEADER = "# Made by models/render.py from models/{template}.prototxt.j2: edit the template and render again."


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
    """The side of each map by layer name, for layers with square windows, as Caffe computes it.

    Convolution rounds down (conv_layer.cpp). Pooling rounds up, and drops a window that would start
    in the padding (pooling_layer.cpp). Raises VariantError if a map vanishes.
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
