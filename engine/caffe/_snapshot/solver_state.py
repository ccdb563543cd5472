"""Files of a solver's state: .solverstate (a SolverState) and .solverstate.h5, as Caffe writes and reads them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from caffe._error import SnapshotError
from caffe._files import hdf5
from caffe._files.blobproto import RAW, from_array, read_message, to_array

if TYPE_CHECKING:
    import h5py


@dataclasses.dataclass
class SolverState:
    """The part of a solver that Caffe keeps.

    Attributes:
        iter: how many times the weights were updated.
        current_step: how many rate drops were made.
        learned_net: path of the model that belongs to it.
        history: the update histories, in the order of the learnable parameters.
    """

    iter: int
    current_step: int
    learned_net: str | None
    history: list[np.ndarray]

    def to_bytes(self) -> bytes:
        """The content of a .solverstate."""
        state = RAW["SolverState"](iter=self.iter, learned_net=self.learned_net, current_step=self.current_step)
        for values in self.history:
            from_array(state.history.add(), values)
        return state.SerializeToString()

    def to_hdf5_bytes(self) -> bytes:
        """The content of a .solverstate.h5 (SGDSolver::SnapshotSolverStateToHDF5)."""

        def fill(file: h5py.File) -> None:
            hdf5.write_int(file, "iter", self.iter)
            if self.learned_net is not None:
                hdf5.write_string(file, "learned_net", self.learned_net)
            hdf5.write_int(file, "current_step", self.current_step)
            group = file.create_group("history")
            for index, values in enumerate(self.history):
                group[str(index)] = values

        return hdf5.to_bytes(fill)

    @classmethod
    def read(cls, path: Path) -> SolverState:
        """Read a .solverstate, or an HDF5 file if the name ends with .h5.

        Raises:
            SnapshotError: it is missing, broken, or no solver's state.
        """
        if path.suffix == ".h5":
            return cls._read_hdf5(path)
        state = read_message(path, "SolverState")
        if not state.HasField("iter"):
            raise SnapshotError(f"{path} is not a .solverstate: it has no iteration.")
        learned_net = state.learned_net if state.HasField("learned_net") else None
        history = [to_array(proto, str(path)) for proto in state.history]
        return cls(state.iter, state.current_step, learned_net, history)._checked(path)

    @classmethod
    def _read_hdf5(cls, path: Path) -> SolverState:
        with hdf5.reading(path, SnapshotError) as file:
            group = hdf5.read_group(file, "history")
            return cls(
                hdf5.read_int(file, "iter"),
                hdf5.read_int(file, "current_step"),
                hdf5.read_string(file, "learned_net") if "learned_net" in file else None,
                [hdf5.read_array(group, str(index)) for index in range(len(group))],
            )._checked(path)

    def _checked(self, path: Path) -> SolverState:
        if self.iter < 0 or self.current_step < 0:
            raise SnapshotError(f"{path} is broken: iteration {self.iter}, step {self.current_step}.")
        # protobuf returns bytes for a string that is not UTF-8.
        if self.learned_net is not None and (not isinstance(self.learned_net, str) or "\0" in self.learned_net):
            raise SnapshotError(f"{path} is broken: it names {self.learned_net!r} as its model.")
        return self
