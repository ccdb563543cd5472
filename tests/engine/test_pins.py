"""Versions of the libraries that read untrusted files: the pins and the engine's bounds leave known holes out."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]


def engine_bounds() -> dict[str, Requirement]:
    project = tomllib.loads((ROOT / "engine" / "pyproject.toml").read_text())["project"]
    return {found.name: found for found in map(Requirement, project["dependencies"])}


def pins() -> dict[str, str]:
    lines = (line.partition("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines())
    return dict(line.split("==") for line in lines if line)


@pytest.mark.parametrize(
    "package, last_with_a_hole",
    [("lmdb", "2.2.0"), ("pillow", "12.3.0"), ("protobuf", "5.29.4"), ("h5py", "3.15.1")],
)
def test_known_holes_are_left_out(package, last_with_a_hole):
    bound = engine_bounds()[package].specifier
    assert not bound.contains(last_with_a_hole)
    assert bound.contains(pins()[package])


def test_the_pins_are_what_the_engine_wants():
    for name, bound in engine_bounds().items():
        assert bound.specifier.contains(pins()[name]), name
