"""The ``caffe`` command: train, test, time, device_query, with Caffe's own flags (tools/caffe.cpp).

Two more commands are elsewhere in Caffe or not at all: draw (draw_net.py) and summary.
"""

import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from types import SimpleNamespace

from caffe._commands import command_line, completion
from caffe._commands import flags as _flags
from caffe._error import CaffeError
from caffe._log import logger


def _choose_device(gpu: str, precision: str, deterministic: bool = False, worker: int = 0, workers: int = 1) -> None:
    """Set Caffe's mode from the --gpu flag, and the precision.

    Args:
        worker, workers: this process's number on this machine, and how many there are; each has its own GPU.
    """
    from caffe._device import device
    from caffe._device import precision as _precision

    if precision:
        _precision.choose(precision)
    logger.info("Precision: %s", _precision.current())
    if gpu:
        _choose_gpu(gpu, worker, workers)
    else:
        logger.info("Use CPU.")
    if _precision.is_emulated(device.current()):
        logger.warning(
            "This CPU has no instructions for bf16: it computes in fp32 and rounds, which takes longer than fp32."
        )
    if deterministic and gpu:
        from caffe._device import determinism

        determinism.require()


def _choose_gpu(gpu: str, worker: int, workers: int) -> None:
    import torch

    from caffe._device import device

    ids = _gpu_ids(gpu) or list(range(workers))
    if len(ids) < workers:
        raise CaffeError(f"--gpu {gpu}: {workers} workers on this machine need a GPU each; name as many, or 'all'.")
    logger.info("Using GPUs %s", ", ".join(map(str, ids[:workers])))
    device.set_device(ids[worker])
    device.set_mode_gpu()
    # A command's nets keep their shapes, so cuDNN tries its algorithms once for each shape.
    torch.backends.cudnn.benchmark = True


def _gpu_ids(gpu: str) -> list[int]:
    import torch

    from caffe._device import device

    if gpu == "all":
        return list(range(torch.cuda.device_count()))
    try:
        ids = [int(number) for number in gpu.split(",") if number]
    except ValueError:
        raise CaffeError(f"--gpu {gpu}: give device numbers, such as 0 or 0,1, or 'all'.") from None
    if len(set(ids)) < len(ids):
        raise CaffeError(f"--gpu {gpu}: a GPU is named twice.")
    for number in ids:
        device.check(number)
    return ids


def _need(value: str, message: str) -> None:
    if not value:
        raise CaffeError(message)


class SignalHandler:
    """Turns signals into requests that the solver asks for between iterations.

    SIGINT and SIGHUP do what their flags say. SIGTERM, which a machine sends before it is taken away,
    stops with a snapshot. The first request to stop restores the signals' default effect, so that a
    second one ends the process at once.
    """

    def __init__(self, sigint_effect: str, sighup_effect: str):
        self._pending: list[str] = []
        effects = {signal.SIGINT: sigint_effect, signal.SIGHUP: sighup_effect, signal.SIGTERM: "stop"}
        self._stopping = [number for number, effect in effects.items() if effect == "stop"]
        for number, effect in effects.items():
            signal.signal(number, self._handler(effect))

    def _handler(self, effect: str) -> Callable:
        def handle(_number, _frame):
            if effect == "stop":
                for number in self._stopping:
                    signal.signal(number, signal.SIG_DFL)
            if effect != "none":
                self._pending.append(effect)

        return handle

    def next_action(self) -> str | None:
        """The oldest request not yet taken."""
        return self._pending.pop(0) if self._pending else None


def train(flags: SimpleNamespace) -> None:
    """Train or finetune a model."""
    _need(flags.solver, "Need a solver definition to train: --solver=FILE.")
    if flags.snapshot and flags.weights:
        raise CaffeError("Give a snapshot to resume training or weights to finetune but not both.")
    signals = SignalHandler(flags.sigint_effect, flags.sighup_effect)
    # Import only now: loading PyTorch takes seconds, and a signal may come meanwhile.
    from caffe._files import prototxt
    from caffe._solver import get_solver
    from caffe._workers import card
    from caffe._workers import rendezvous as _rendezvous
    from caffe.proto import caffe_pb2

    if flags.worker_timeout < 1:
        raise CaffeError(f"--worker_timeout={flags.worker_timeout}: give a number of seconds, 1 or more.")
    place = _rendezvous.Place.of(os.environ, len(_gpu_ids(flags.gpu)))
    # Workers meet before anything is read, so that an error in one worker is reported in all.
    with _rendezvous.of_workers(place, flags.worker_timeout, flags.arguments) as rendezvous:
        _allow_python_layers(flags)
        param = prototxt.read_solver_param(flags.solver)
        param.train_state.level = flags.level
        param.train_state.stage.extend(flags.stages)
        gpu = flags.gpu
        if not gpu and param.HasField("solver_mode") and param.solver_mode == caffe_pb2.SolverParameter.GPU:
            gpu = "all" if rendezvous else str(param.device_id)
        if flags.snapshot or flags.weights:
            del param.weights[:]
        if flags.weights:
            param.weights.append(flags.weights)

        _choose_device(gpu, flags.precision, flags.deterministic, place.local_rank, place.local_size)
        solver = get_solver(param, flags.solver)
        solver.keep_blobs = False
        solver.set_action_function(signals.next_action)
        if rendezvous:
            solver.join(rendezvous.join(card.of(solver.param, solver.net)))
        if flags.snapshot:
            logger.info("Resuming from %s", flags.snapshot)
            solver.restore(flags.snapshot)
        logger.info("Starting Optimization")
        solver.solve()
        logger.info("Optimization Done.")


def _allow_python_layers(flags: SimpleNamespace) -> None:
    from caffe._layers import python

    python.allowed = flags.allow_python_layers


def _load_net(flags: SimpleNamespace, phase: str):
    from caffe import TEST, TRAIN
    from caffe._net.net import Net

    _allow_python_layers(flags)
    _choose_device(flags.gpu, flags.precision)
    return Net(flags.model, {"TRAIN": TRAIN, "TEST": TEST}[phase], level=flags.level, stages=flags.stages)


def _need_iterations(flags: SimpleNamespace) -> None:
    if flags.iterations < 1:
        raise CaffeError(f"--iterations={flags.iterations}: give 1 or more.")


def test(flags: SimpleNamespace) -> None:
    """Score a model."""
    _need_iterations(flags)
    _need(flags.model, "Need a model definition to score: --model=FILE.")
    _need(flags.weights, "Need model weights to score: --weights=FILE.")
    from caffe._net.whole_net import WholeNet

    net = _load_net(flags, "TEST")
    for path in flags.weights.split(","):
        net.copy_from(path.strip())
    logger.info("Running for %d iterations.", flags.iterations)
    forward = WholeNet.forward_of(net)
    loss, sums = 0.0, []
    names = [(net._blob_names[i], net._blob_loss_weights[i]) for i in net._outputs for _ in range(net._blobs[i].count)]
    for batch in range(flags.iterations):
        loss += float(forward())
        scores = [x for i in net._outputs for x in net._blobs[i]._data.tensor().flatten().tolist()]
        sums = [s + x for s, x in zip(sums, scores, strict=True)] if sums else scores
        for (name, _), score in zip(names, scores, strict=True):
            logger.info("Batch %d, %s = %g", batch, name, score)
    logger.info("Loss: %g", loss / flags.iterations)
    for (name, weight), total in zip(names, sums, strict=True):
        mean = total / flags.iterations
        logger.info("%s = %g%s", name, mean, f" (* {weight:g} = {weight * mean:g} loss)" if weight else "")


def time_layers(flags: SimpleNamespace) -> None:
    """Time every layer, forward and backward."""
    _need_iterations(flags)
    _need(flags.model, "Need a model definition to time: --model=FILE.")
    if flags.phase == "ALL":
        raise CaffeError("--phase=ALL: time runs a net in one phase, TRAIN or TEST.")
    net = _load_net(flags, flags.phase or "TRAIN")
    net.graph.run_every_backward()
    last = len(net.layers) - 1
    logger.info("Performing Forward")
    logger.info("Initial loss: %g", float(net._forward(0, last)))
    logger.info("Performing Backward")
    net._backward(last, 0)
    logger.info("*** Benchmark begins ***")
    logger.info("Testing for %d iterations.", flags.iterations)
    spent: dict[tuple[int, str], float] = defaultdict(float)
    start = _now()
    for iteration in range(flags.iterations):
        begun = _now()
        for direction, order in (("forward", range(last + 1)), ("backward", range(last, -1, -1))):
            for i in order:
                before = _now()
                net._forward(i, i) if direction == "forward" else net._backward(i, i)
                spent[i, direction] += _now() - before
        logger.info("Iteration: %d forward-backward time: %g ms.", iteration + 1, _now() - begun)
    total = _now() - start
    logger.info("Average time per layer: ")
    for i, name in enumerate(net._layer_names):
        for direction in ("forward", "backward"):
            logger.info("%10s\t%s: %g ms.", name, direction, spent[i, direction] / flags.iterations)
    for word, direction in (("Forward", "forward"), ("Backward", "backward")):
        sum_of = sum(ms for (_, d), ms in spent.items() if d == direction)
        logger.info("Average %s pass: %g ms.", word, sum_of / flags.iterations)
    logger.info("Average Forward-Backward: %g ms.", total / flags.iterations)
    logger.info("Total Time: %g ms.", total)
    logger.info("*** Benchmark ends ***")


def _now() -> float:
    """Milliseconds on a clock, once the device has finished its work."""
    import torch

    from caffe._device import device

    if device.current().type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() * 1000


def device_query(flags: SimpleNamespace) -> None:
    """Show what GPUs there are."""
    import torch

    from caffe._device import device

    logger.info("Querying GPUs %s", flags.gpu)
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not count:
        logger.info("No CUDA device is available: everything runs on the CPU.")
    for device_id in _gpu_ids(flags.gpu or "all"):
        if device_id >= count:
            raise CaffeError(f"GPU {device_id} does not exist: this machine has {count} GPU(s).")
        for line in device.describe(device_id):
            logger.info(line)


def draw(flags: SimpleNamespace) -> None:
    """Draw a picture of a net."""
    from caffe._commands import draw_net

    draw_net.draw(*flags.places, flags.rankdir, flags.phase or "ALL", flags.display_lrm)


def summary(flags: SimpleNamespace) -> None:
    """Print a table of a net's layers."""
    from caffe._commands import summary

    _allow_python_layers(flags)
    phases = ("TRAIN", "TEST") if flags.phase in ("", "ALL") else (flags.phase,)
    print(summary.summary(flags.places[0], phases, flags.level, flags.stages))


COMMANDS = {
    "train": train,
    "test": test,
    "device_query": device_query,
    "time": time_layers,
    "summary": summary,
    "draw": draw,
}


def _work(arguments: list[str]) -> None:
    if not arguments:
        raise command_line.UsageError("")
    flags = _flags.parse(arguments)
    if flags.completion:
        print(completion.script(flags.completion))
        return
    command_line.start_log("caffe", flags)
    try:
        COMMANDS[flags.command](flags)
    except RuntimeError as error:  # PyTorch's, which names the operation
        if not (flags.deterministic and "deterministic" in str(error)):
            raise
        raise CaffeError(f"--deterministic: {str(error).partition('. ')[0]}") from error


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    return command_line.run(_flags.PROGRAM, _work, arguments)


if __name__ == "__main__":
    sys.exit(main())
