"""Decodes on all cores and returns the records in the order of the lists."""

import signal
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from ctypes import c_ubyte
from functools import partial
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection

from data_prep.archive import Entry, Reader
from data_prep.records import BATCH_IMAGES, RECORD_BYTES, RecordBatch, make_records, new_room
from data_prep.tiny_imagenet import LabelledImage
from harness.errors import UserError

Lists = dict[str, list[LabelledImage]]
Batches = Generator[tuple[str, RecordBatch], None, None]
#: Batches under way for each process: one in work, one that waits, one that this process reads.
AHEAD = 3


@contextmanager
def decoders(workers: int) -> Iterator[Callable[[Reader, Lists, bool], Batches]]:
    """Yield ``convert(reader, lists, encoded)``, which gives (list's name, batch of records) in order.

    It covers every image of every list. A batch is valid until the next one is requested.

    With more than one worker, that many processes decode images. They lay the records out in memory that this
    process sees. They start at once and load while the caller continues, to list the images. Each has only a few
    batches under way, so memory stays small even with a slow disk. Raises ``UserError`` if a process is killed.
    """
    if workers == 1:
        yield _convert_here
        return
    crew: list[_Worker] = []
    try:
        with _ctrl_c_held_back():
            crew += [_Worker() for _ in range(workers)]
        yield partial(_in_order, crew)
    except (EOFError, ConnectionError) as error:
        raise UserError("a decoding process was killed (out of memory?); build again with fewer --workers") from error
    finally:
        for worker in crew:
            worker.end()


class _Worker:
    """A process that makes records from the tasks that it gets, in their order.

    A ProcessPoolExecutor would do the same with two threads here, which take a tenth of this process's time.
    """

    def __init__(self):
        # Workers are spawned, not forked: a fork copies the locks of threads that do not exist in the child.
        context = get_context("spawn")
        shared = [context.RawArray(c_ubyte, BATCH_IMAGES * RECORD_BYTES) for _ in range(AHEAD)]
        self._rooms = [memoryview(new_room(room)).cast("B") for room in shared]
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, shared), daemon=True)
        self._process.start()
        # This process keeps only its own end open, so that each side notices when the other dies.
        theirs.close()

    def send(self, reader: Reader, images: list[LabelledImage], start: int, encoded: bool, room: int) -> None:
        """Send a task. The pipe holds more tasks than are ever under way, so this does not wait."""
        # Entries are sent by columns: a tuple with names takes eight times as long to pickle.
        entries, labels = zip(*images, strict=True)
        self._connection.send((reader, list(zip(*entries, strict=True)), labels, start, encoded, room))

    def receive(self, room: int) -> RecordBatch:
        """The records of the oldest task, which were laid out in this room."""
        batch = self._connection.recv()
        if isinstance(batch, Exception):
            raise batch
        return batch if batch.values else batch._replace(values=self._rooms[room])

    def end(self) -> None:
        """End the process in any state: its results are received, or no longer wanted."""
        self._connection.close()
        self._process.terminate()
        self._process.join()


def _serve(connection: Connection, shared: Sequence) -> None:
    """Serve tasks until the other side closes or is killed."""
    rooms = [new_room(room) for room in shared]
    while True:
        try:
            reader, columns, labels, start, encoded, room = connection.recv()
            try:
                images = map(LabelledImage, map(Entry, *columns), labels)
                batch = make_records(reader, images, start, encoded, rooms[room])
                result = batch if encoded else batch._replace(values=b"")
            except Exception as error:
                result = error
            connection.send(result)
        except (EOFError, ConnectionError):
            return


def _tasks(lists: Lists) -> Iterator[tuple[str, list[LabelledImage], int]]:
    for name, images in lists.items():
        for start in range(0, len(images), BATCH_IMAGES):
            yield name, images[start : start + BATCH_IMAGES], start


def _convert_here(reader: Reader, lists: Lists, encoded: bool) -> Batches:
    room = new_room()
    for name, images, start in _tasks(lists):
        yield name, make_records(reader, images, start, encoded, room)


def _in_order(crew: Sequence[_Worker], reader: Reader, lists: Lists, encoded: bool) -> Batches:
    under_way: deque[tuple[str, _Worker, int]] = deque()
    tasks = _tasks(lists)

    def hand_out(worker: _Worker, room: int) -> None:
        if task := next(tasks, None):
            name, images, start = task
            worker.send(reader, images, start, encoded, room)
            under_way.append((name, worker, room))

    def batches() -> Batches:
        while under_way:
            name, worker, room = under_way.popleft()
            yield name, worker.receive(room)
            hand_out(worker, room)

    # Hand tasks out at once, not at the first request: the caller has other work to do before.
    for room in range(AHEAD):
        for worker in crew:
            hand_out(worker, room)
    return batches()


@contextmanager
def _ctrl_c_held_back() -> Iterator[None]:
    # Ctrl-C reaches every process of the terminal. Workers started in here inherit the block and leave Ctrl-C to the
    # parent. The parent gets its own Ctrl-C at the end of the block and then ends them.
    resource_tracker.ensure_running()  # the first process would start the tracker, which ends the block
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
