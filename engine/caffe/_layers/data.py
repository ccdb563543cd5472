"""Data: records of an LMDB (Caffe's data_layer.cpp)."""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from caffe._data.datum import datum_to_image
from caffe._data.records import RecordCursor, ResidentRecords
from caffe._data.transformer import DataTransformer
from caffe._device import device as _device
from caffe._device import random_numbers
from caffe._layers.base import Layer, register
from caffe._workers import multi_solver
from caffe.proto import caffe_pb2


@dataclass
class _Batch:
    """A batch on the host, and the layer's state after it."""

    data: torch.Tensor
    labels: torch.Tensor
    record_shape: tuple[int, int, int]
    state: dict


@register("Data")
class Data(Layer):
    """Batches of transformed records in the order of the LMDB's keys; crop_size lets records differ in size.

    In training, several solvers take records in turn. Together they read the records of one solver with a
    batch_size as many times larger.

    A GPU keeps all records if they are images of one size and fit into half of its free memory. Otherwise a
    thread prepares the next batch. The CPU makes each batch only when it is needed: its cores have other
    work, and memory use stays small.

    Tops: data (batch_size, channels, height, width), and optionally labels (batch_size).
    """

    bottoms = (0, 0)
    tops = (1, 2)

    def setup(self, bottom):
        param = self.param.data_param
        if param.backend != caffe_pb2.DataParameter.LMDB:
            raise self.error(
                "data_param has backend LEVELDB, which is not supported"
                + ("" if param.HasField("backend") else " (it is Caffe's default)")
                + "; for an LMDB write backend: LMDB, a LevelDB has to be converted"
            )
        if param.batch_size < 1:
            raise self.error("batch_size must be 1 or more")
        self.batch_size = param.batch_size
        self.cursor = RecordCursor(param.source)
        self._share = multi_solver.share(self.training)
        self.transformer = DataTransformer(self.param.transform_param, self.training)
        where = self.cursor.where(self.cursor.key)
        self.record_shape = datum_to_image(self.cursor.peek(), self.param.transform_param, where).shape
        self.transformer.check(self.record_shape, where)
        self._state = self._state_now(self.cursor)
        self._ahead: Future[_Batch] | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._resident: ResidentRecords | None = None
        self._resident_tried = False

    def top_shapes(self, bottom):
        data = (self.batch_size, *self.transformer.shape(self.record_shape))
        return [data, (self.batch_size,)][: len(self.param.top)]

    def forward(self, bottom, weights):
        device = _device.current()
        if device.type == "cuda" and not self._resident_tried:
            self._make_resident(device, torch.cuda.mem_get_info(device)[0] // 2)
        if self._resident is not None and self._resident.pixels.device != device:
            # The mode has changed since, so continue with the next record from the file.
            self.cursor.seek(self._resident.key)
            self._resident = None
        if self._resident is not None:
            pixels, labels = self._resident.take(self.batch_size, self._share)
            tops = [self.transformer.on_device(pixels), labels]
            self._state = self._state_now(self._resident)
        else:
            batch = self._next_batch(ahead=device.type == "cuda")
            tops = [batch.data.to(device, non_blocking=True), batch.labels.to(device, non_blocking=True)]
            self.record_shape, self._state = batch.record_shape, batch.state
        return tops[: len(self.param.top)]

    def _make_resident(self, device: torch.device, room: int) -> None:
        self._resident_tried = True
        self._resident = ResidentRecords.load(self.cursor.source, device, room)
        if self._resident is not None:
            self._resident.seek(self.cursor.key)

    def _next_batch(self, ahead: bool) -> _Batch:
        """The next batch; with ``ahead``, a thread then makes the one after it."""
        batch = self._read() if self._ahead is None else self._ahead.result()
        self._ahead = None
        if ahead:
            self._thread = self._thread or ThreadPoolExecutor(1, f"data-{self.name}")
            self._ahead = self._thread.submit(self._read_ahead)
        return batch

    def _read_ahead(self) -> _Batch:
        batch = self._read()
        if _device.current().type == "cuda":  # A GPU copies from pinned memory while the host works.
            batch.data, batch.labels = batch.data.pin_memory(), batch.labels.pin_memory()
        return batch

    def _read(self) -> _Batch:
        keys, datums = self.cursor.take(self.batch_size, self._share)
        images = []
        for key, datum in zip(keys, datums, strict=True):
            image = datum_to_image(datum, self.param.transform_param, self.cursor.where(key))
            if image.shape != self.record_shape:
                self.transformer.check(image.shape, self.cursor.where(key))
            images.append(image)
        data = self.transformer.batch(images, f"Layer '{self.name}'")
        labels = torch.from_numpy(np.array([datum.label for datum in datums], np.float32))
        return _Batch(data, labels, images[0].shape, self._state_now(self.cursor))

    def _state_now(self, records: RecordCursor | ResidentRecords) -> dict:
        return {"next_key": records.key.decode("latin-1"), "random": random_numbers.get_state(self.transformer.random)}

    def identify_data(self):
        return f"{self.cursor.source} with {self.cursor.identity()}"

    def get_state(self):
        return self._state

    def set_state(self, state):
        if self._ahead is not None:
            self._ahead.exception()  # The thread may be using the cursor.
            self._ahead = None
        self.cursor.seek(state["next_key"].encode("latin-1"))
        if self._resident is not None:
            self._resident.seek(self.cursor.key)
        random_numbers.set_state(self.transformer.random, state["random"])
        self._state = state
