"""Any JSON as a journal or a manifest, any arrays as scores: read, or refused by name."""

import io
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from caffe import SnapshotError
from caffe._snapshot.manifest import Manifest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ensemble.scoring.score_file import load, save, score_path
from harness.errors import UserError
from training import journal

from .any_input import few, file_of, quick
from .experiment_files import scores

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


class TestJson:
    keys = st.sampled_from(["event", "time", "iteration", "command", "engine", "solver", "solver_file", "status"])
    lines = st.dictionaries(
        keys, anything | st.sampled_from(["start", "end", "2026-03-05T01:02:03+00:00", 3, ["caffe"]])
    )

    @settings(quick, max_examples=200)
    @given(st.lists(lines | anything, max_size=4))
    def test_any_journal(self, lines):
        content = "".join(json.dumps(line) + "\n" for line in lines).encode()
        with file_of(content, journal.FILE) as path:
            try:
                assert isinstance(journal.told(journal.read(path.parent)), str)
            except UserError as error:
                assert str(path) in str(error)

    @settings(quick, max_examples=200)
    @given(
        anything
        | st.fixed_dictionaries({"format": st.just(1), "iter": anything, "versions": anything, "files": anything})
    )
    def test_any_manifest(self, content):
        with file_of(json.dumps(content).encode(), "x.manifest.json") as path:
            try:
                manifest = Manifest.read(path)
                manifest.check([])
            except SnapshotError as error:
                assert str(path) in str(error)


class TestScores:
    @few
    @given(st.binary(max_size=200))
    def test_any_bytes(self, content):
        with tempfile.TemporaryDirectory() as folder:
            path = score_path(Path(folder), "m", "val")
            path.parent.mkdir(parents=True)
            path.write_bytes(content)
            with pytest.raises(UserError, match="val.npz: not a whole score file"):
                load(Path(folder), "m", "val")

    @few
    @given(st.dictionaries(st.sampled_from(["scores", "labels", "names", "split", "accuracy"]), arrays.arrays(
        st.sampled_from(["f4", "f8", "i8", "u1", "U3", "S2", "c8", "?"]), arrays.array_shapes(min_dims=0, max_dims=3, max_side=3)
    ), min_size=1))  # fmt: skip
    def test_any_arrays(self, changed):
        with tempfile.TemporaryDirectory() as folder:
            path = score_path(Path(folder), "m", "val")
            save(path, scores())
            with np.load(path) as stored:
                whole = dict(stored)
            memory = io.BytesIO()
            np.savez(memory, **{**whole, **changed})
            path.write_bytes(memory.getvalue())
            try:
                load(Path(folder), "m", "val")
            except UserError as error:
                assert str(path) in str(error)
            else:
                assert set(changed) <= {"accuracy"}
