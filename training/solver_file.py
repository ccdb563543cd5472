"""Reads and checks solver files: their fields, net, the net's data, and run folder."""

import difflib
import re
from pathlib import Path

from caffe.proto import caffe_pb2
from google.protobuf import text_format

from harness.errors import UserError

#: The first line of a solver whose lengths are a fraction of the report's; its numbers are no results.
REHEARSAL = "# A rehearsal: every length is the report's times "


_BUILT = Path("data/lmdb")  # output of make lmdb

#: The fields that a run needs, each with a line to write.
_GIVE = {
    "net": 'give the net, as net: "models/mine/train_val.prototxt"',
    "max_iter": "give the number of iterations, as max_iter: 30000",
    "snapshot_prefix": 'give where snapshots go, as snapshot_prefix: "runs/mine/mine"',
}


def solver_path(name: str) -> Path:
    """The path solvers/<name>.prototxt in the working folder. Its UserError lists the existing names."""
    path = Path("solvers", f"{name}.prototxt")
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in path.parent.glob("*.prototxt"))) or "none"
        raise UserError(f"{path}: no such solver; those here: {known}")
    return path


def read(path: Path) -> str:
    """The text of a prototxt. Raises UserError if the file is not text."""
    try:
        return path.read_text()
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not a text file") from error


def parse(text: str, message, path: Path):
    """The message that a prototxt holds. A UserError names an unknown field and the nearest known one."""
    try:
        return text_format.Parse(text, message)
    except text_format.ParseError as error:
        raise UserError(f"{path}:{error}{_nearest_field(str(error))}") from error


def _nearest_field(error: str) -> str:
    found = re.search(r'"caffe\.(\w+)" has no field named "(\w+)"', error)
    if not found:
        return ""
    fields = caffe_pb2.DESCRIPTOR.message_types_by_name[found[1]].fields_by_name
    near = difflib.get_close_matches(found[2], fields, 1)
    return f" Did you mean {near[0]}?" if near else ""


def field_values(text: str, field: str) -> list[re.Match]:
    """The matches at which a prototxt sets a number field, with the group "value". Comments and strings are skipped."""
    token = rf"""(?P<field>\b{field}\s*:\s*)(?P<value>[^\s#;,}}]+)|\#[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'"""
    return [match for match in re.finditer(token, text) if match["field"]]


def parse_solver(text: str, path: Path):
    """The SolverParameter of a solver's text, which must set net, max_iter and snapshot_prefix."""
    solver = parse(text, caffe_pb2.SolverParameter(), path)
    for field in _GIVE:
        if not getattr(solver, field):
            raise UserError(
                f"{path}: {field} is {'empty or 0' if solver.HasField(field) else 'missing'}; {_GIVE[field]}"
            )
    if solver.snapshot_format == caffe_pb2.SolverParameter.HDF5:
        raise UserError(f"{path}: snapshot_format HDF5 cannot be checked before a resume; remove that line")
    if Path(solver.snapshot_prefix).parent == Path("."):
        raise UserError(f'{path}: snapshot_prefix names no folder; "runs/{path.stem}/{path.stem}" would')
    return solver


def check_net(solver) -> None:
    """Raise UserError if the solver's net, one of its LMDBs, or its mean is missing."""
    path = Path(solver.net)
    if not path.is_file():
        raise UserError(f"{path}: no such net; make models renders those of models/variants.toml, others are yours")
    for layer in parse(read(path), caffe_pb2.NetParameter(), path).layer:
        if layer.type != "Data":
            continue
        mean, source = layer.transform_param.mean_file, layer.data_param.source
        is_lmdb = layer.data_param.backend == caffe_pb2.DataParameter.LMDB
        if is_lmdb and not Path(source, "data.mdb").is_file():
            raise UserError(f"{source}: no LMDB there, {path} reads it; {_made_by(source, 'convert_imageset')}")
        if mean and not Path(mean).is_file():
            raise UserError(f"{mean}: no mean there, {path} reads it; {_made_by(mean, 'compute_image_mean')}")


def _made_by(data: str, tool: str) -> str:
    """The command that makes the data that a net reads."""
    if Path(data).parent == _BUILT:
        return "run: make lmdb"
    return f"make it with caffe {tool}, or name another in the net; make lmdb makes {_BUILT} alone"
