"""HDF5Data and HDF5Output (Caffe's hdf5_data_layer.cpp, hdf5_output_layer.cpp)."""

import os
from typing import TYPE_CHECKING

import numpy as np
import torch

from caffe._device import device as _device
from caffe._device import random_numbers
from caffe._error import DataError, SnapshotError
from caffe._files import hdf5
from caffe._files.read_file import MESSAGE, read_file
from caffe._files.whole_file import write_file
from caffe._layers.base import Layer, register
from caffe._log import logger
from caffe._workers import multi_solver

if TYPE_CHECKING:
    import h5py


@register("HDF5Data")
class HDF5Data(Layer):
    """Rows of the datasets named like the tops, from the files listed in ``source``, one after the other.

    A batch may span files. With shuffle, each round draws a new random order of the files and of the rows in
    each. One file is in memory at a time. In training, each of several solvers takes its share.
    """

    bottoms = (0, 0)
    tops = (1, None)

    def setup(self, bottom):
        param = self.param.hdf5_data_param
        if self.param.HasField("transform_param"):
            raise self.error("does not transform data: remove transform_param")
        if param.batch_size < 1:
            raise self.error("batch_size must be 1 or more")
        logger.info("Loading list of HDF5 filenames from: %s", param.source)
        content = read_file(param.source, MESSAGE, DataError, f"{self.name}: failed to open source file")
        self.files = list(map(os.fsdecode, content.split()))
        logger.info("Number of HDF5 files: %d", len(self.files))
        if not self.files:
            raise DataError(f"{param.source} must have at least 1 HDF5 filename listed.")
        self._random = random_numbers.spawn()
        self._start_round()
        self._load()
        self._shapes = [rows.shape[1:] for rows in self._rows]

    def _start_round(self) -> None:
        """Start with the first file of a new order."""
        self._file = 0
        self._file_order = self._permutation(len(self.files))

    def _permutation(self, count: int) -> list[int]:
        shuffle = self.param.hdf5_data_param.shuffle
        return (self._random.permutation(count) if shuffle else np.arange(count)).tolist()

    def _load(self) -> None:
        """Read the current file and start with its first row."""
        path = self.files[self._file_order[self._file]]
        with hdf5.reading(path, DataError) as file:
            self._rows = [hdf5.read_array(file, top) for top in self.param.top]
        counts = {rows.shape[:1] for rows in self._rows}
        if len(counts) != 1 or counts & {(), (0,)}:
            raise DataError(f"{path}: datasets {', '.join(self.param.top)} must have rows, the same number each.")
        shapes = [rows.shape[1:] for rows in self._rows]
        if shapes != getattr(self, "_shapes", shapes):
            raise DataError(f"{path}: rows are of shapes {shapes}, but in the first file of {self._shapes}.")
        self._start_rows()

    def _start_rows(self) -> None:
        self._row = 0
        # A snapshot keeps the state before the draw instead of the whole order.
        self._before_order = random_numbers.get_state(self._random)
        self._order = self._permutation(len(self._rows[0]))

    def _after_last_row(self) -> None:
        if len(self.files) == 1:
            self._start_rows()
            return
        self._file += 1
        if self._file == len(self.files):
            self._start_round()
        self._load()

    def top_shapes(self, bottom):
        return [(self.param.hdf5_data_param.batch_size, *shape) for shape in self._shapes]

    def forward(self, bottom, weights):
        parts = []
        rank, count = multi_solver.share(self.training)
        missing = self.param.hdf5_data_param.batch_size * count
        while missing:
            chosen = self._order[self._row : self._row + missing]
            mine = chosen[(rank + missing) % count :: count]
            parts.append([rows[mine] for rows in self._rows])
            missing -= len(chosen)
            self._row += len(chosen)
            if self._row == len(self._order):
                self._after_last_row()
        device = _device.current()
        return [torch.from_numpy(np.concatenate(top)).to(device) for top in zip(*parts, strict=True)]

    def identify_data(self):
        return f"the files that {self.param.hdf5_data_param.source} lists: {', '.join(self.files)}"

    def get_state(self):
        return {"files": self._file_order, "file": self._file, "row": self._row, "random": self._before_order}

    def set_state(self, state):
        if sorted(state["files"]) != list(range(len(self.files))):
            raise DataError(f"{self.param.hdf5_data_param.source} lists other files than before.")
        self._file_order, self._file = state["files"], range(len(self.files))[state["file"]]
        random_numbers.set_state(self._random, state["random"])
        self._load()
        self._row = state["row"]
        if not 0 <= self._row < len(self._order):
            raise DataError(f"{self.files[self._file_order[self._file]]} has fewer rows than before.")


@register("HDF5Output")
class HDF5Output(Layer):
    """Writes its two bottoms as the datasets data and label of a file, each with four axes.

    As in Caffe it holds one batch, so a second forward pass is refused.
    """

    bottoms = (2, 2)
    tops = (0, 0)

    def setup(self, bottom):
        self.file_name = self.param.hdf5_output_param.file_name
        self._written = False
        self._write(lambda file: None)

    def top_shapes(self, bottom):
        if bottom[0][:1] != bottom[1][:1]:
            raise self.error(f"data and label must have the same batch size, not {bottom[0]} and {bottom[1]}")
        if max(map(len, bottom)) > 4:
            raise self.error(f"bottoms must have 4 axes or fewer, not {bottom[0]} and {bottom[1]}")
        return []

    def forward(self, bottom, weights):
        if self._written:
            raise self.error(f"{self.file_name} holds a batch already: the layer can write only one")

        def fill(file: "h5py.File") -> None:
            for name, values in zip(("data", "label"), bottom, strict=True):
                shape = (*values.shape, 1, 1, 1, 1)[:4]
                file[name] = values.detach().cpu().to(torch.float32).reshape(shape).numpy()

        logger.info("Saving HDF5 file %s", self.file_name)
        self._write(fill)
        self._written = True
        logger.info("Successfully saved %d rows", len(bottom[0]))
        return []

    def _write(self, fill) -> None:
        try:
            write_file(self.file_name, hdf5.to_bytes(fill))
        except SnapshotError as error:
            raise DataError(f"Layer '{self.name}' (HDF5Output): {error}") from None
