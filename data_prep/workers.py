"""Decoding on all cores, with the records coming back in the order of the lists."""

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from ctypes import c_ubyte
from multiprocessing import get_context, parent_process

import numpy as np

from data_prep.archive import Entry, Reader
from data_prep.errors import DataError
from data_prep.records import BATCH_IMAGES, RECORD_BYTES, RecordBatch, make_records, new_room
from data_prep.tiny_imagenet import LabelledImage

Lists = dict[str, list[LabelledImage]]
Batches = Generator[tuple[str, RecordBatch], None, None]
#: Batches under way for each process: one in work and two that wait.
AHEAD = 3

_rooms: list[np.ndarray]


@contextmanager
def decoders(workers: int) -> Iterator[Callable[[Reader, Lists, bool], Batches]]:
    """Yield ``convert(reader, lists, encoded)``: (list's name, batch of records) for every image of every
    list, in order. A batch is valid until the next one is asked for.

    With more than one worker, images are decoded by that many processes, which lay the records out in memory
    that this process sees. They start at once and load while the caller goes on, to list the images. A few
    batches each are under way at a time, so memory stays small however slow the disk is. Raises ``DataError``
    when a process is killed.
    """
    if workers == 1:
        yield _convert_here
        return
    # Spawned, not forked: a fork copies the locks of threads that do not exist in the child.
    context = get_context("spawn")
    shared = [context.RawArray(c_ubyte, BATCH_IMAGES * RECORD_BYTES) for _ in range(AHEAD * workers)]
    executor = ProcessPoolExecutor(workers, context, initializer=_share, initargs=(shared,))

    def convert(reader: Reader, lists: Lists, encoded: bool) -> Batches:
        return _in_order(executor, [memoryview(new_room(room)).cast("B") for room in shared], reader, lists, encoded)

    try:
        with _ctrl_c_held_back():
            for _ in range(workers):
                executor.submit(_ready)
        yield convert
    except BrokenProcessPool as error:
        raise DataError("a decoding process was killed (out of memory?); build again with fewer --workers") from error
    finally:
        executor.shutdown(cancel_futures=True)


def _tasks(lists: Lists) -> Iterator[tuple[str, list[LabelledImage], int]]:
    for name, images in lists.items():
        for start in range(0, len(images), BATCH_IMAGES):
            yield name, images[start : start + BATCH_IMAGES], start


def _convert_here(reader: Reader, lists: Lists, encoded: bool) -> Batches:
    room = new_room()
    for name, images, start in _tasks(lists):
        yield name, make_records(reader, images, start, encoded, room)


def _in_order(
    executor: ProcessPoolExecutor, rooms: list[memoryview], reader: Reader, lists: Lists, encoded: bool
) -> Batches:
    free = deque(range(len(rooms)))
    under_way: deque[tuple[str, int, Future[RecordBatch]]] = deque()
    tasks = _tasks(lists)

    def hand_out() -> None:
        while free and (task := next(tasks, None)):
            name, images, start = task
            room = free.popleft()
            # By columns: a tuple with names takes eight times as long to pickle.
            entries, labels = zip(*images, strict=True)
            columns = list(zip(*entries, strict=True))
            under_way.append((name, room, executor.submit(_work, reader, columns, labels, start, encoded, room)))

    def batches() -> Batches:
        while under_way:
            name, room, future = under_way.popleft()
            batch = future.result()
            yield name, batch if encoded else batch._replace(values=rooms[room])
            free.append(room)
            hand_out()

    # At once, not when the first batch is asked for: the caller has other things to do before.
    hand_out()
    return batches()


@contextmanager
def _ctrl_c_held_back() -> Iterator[None]:
    # Ctrl-C reaches every process of the terminal. Workers started in here inherit the block and leave it to
    # the parent, which gets its own Ctrl-C at the end of the block and then ends them.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _share(shared: list) -> None:
    global _rooms
    _rooms = [new_room(room) for room in shared]
    # A killed parent says nothing to its processes, which would wait for work for ever.
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent_process().join()
    os._exit(1)


def _ready() -> None:
    """The first tasks: submitting one starts a process."""


def _work(
    reader: Reader, columns: list[tuple], labels: Sequence[int], start: int, encoded: bool, room: int
) -> RecordBatch:
    images = map(LabelledImage, map(Entry, *columns), labels)
    batch = make_records(reader, images, start, encoded, _rooms[room])
    return batch if encoded else batch._replace(values=b"")
