"""Solver: the training loop (Caffe's solver.cpp). The update rules are in the files beside this one."""

import contextlib
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import torch

from caffe._device import random_numbers
from caffe._error import PrototxtError, SnapshotError, WriteError, naming
from caffe._files import prototxt, upgrade
from caffe._log import logger
from caffe._net.net import Net
from caffe._net.weights import check_fits_hdf5
from caffe._net.whole_net import WholeNet
from caffe._snapshot import restore as _restore
from caffe._snapshot import write
from caffe._solver.lr_policy import Plateau, learning_rate
from caffe._workers import multi_solver
from caffe._workers.workers import ALONE, Workers
from caffe.proto import caffe_pb2

STOP, SNAPSHOT = "stop", "snapshot"
"""What the action function may ask for between two iterations; None asks for nothing."""
_REQUESTS = (None, SNAPSHOT, STOP)  # the more urgent, the later


class Solver:
    """Trains a net as a SolverParameter says. Made by get_solver or by the class of its type.

    Args:
        solver: path of the solver's prototxt, or a SolverParameter.
        where: for messages, the file that a SolverParameter comes from.

    Attributes:
        param: the SolverParameter; base_lr and max_iter may be changed between steps.
        net: the training net.
        test_nets: the test nets, which use the training net's weights.
        iter: how many times the weights were updated.
        history: the update history (momentum), a tensor for each learnable parameter.
        current_step: how many rate drops lie behind (step, multistep and plateau).
        plateau: what lr_policy "plateau" remembers.
        before_test: while a test is under way, what a snapshot keeps of the time before it.
        keep_blobs: whether the nets' blobs and diffs can be looked at after an iteration, as pycaffe's users
            expect. The command, where nobody looks, sets it to False and trains faster (see _net/whole_net.py).
    """

    keep_blobs = True

    def __init__(self, solver: str | Path | caffe_pb2.SolverParameter, where: str = ""):
        if not isinstance(solver, caffe_pb2.SolverParameter):
            where = str(solver)
            solver = prototxt.read_solver_param(solver)
        self.where = where
        logger.info("Initializing solver from parameters: \n%s", solver)
        self.param = solver
        if solver.average_loss < 1:
            raise self.error("average_loss should be 1 or more.")
        if solver.iter_size < 1:
            raise self.error("iter_size should be 1 or more.")
        # Of several solvers the first alone tests and takes snapshots.
        self._is_root = multi_solver.solver_rank() == 0
        self._workers: Workers = ALONE
        if self._is_root:
            self._check_snapshot_prefix()
        if solver.random_seed >= 0:
            random_numbers.set_random_seed(solver.random_seed + multi_solver.solver_rank())
        self.iter = 0
        self.current_step = 0
        self.plateau = Plateau()
        self.history: list[torch.Tensor] = []
        self.before_test: dict | None = None
        self._snapshot_missed = False
        self._losses: deque[torch.Tensor | float] = deque(maxlen=solver.average_loss)
        self._keep_losses = False
        self._action: Callable[[], str | None] = lambda: None
        self._callbacks: list[tuple[Callable[[], None], Callable[[], None]]] = []
        self._stopping = False
        self._whole: dict[Net, WholeNet] = {}
        self.net = self._train_net()
        if self._is_root and solver.snapshot_format == caffe_pb2.SolverParameter.HDF5:
            check_fits_hdf5(self.net)  # now rather than at the first snapshot, when a training would be lost
        self.test_nets = self._make_test_nets() if self._is_root else []
        logger.info("Solver scaffolding done.")

    def error(self, message: str) -> PrototxtError:
        """A PrototxtError that names the solver's file, to be raised."""
        return PrototxtError(f"{self.where}: {message}" if self.where else message)

    # ---- making the nets -------------------------------------------------------------------------

    def _check_snapshot_prefix(self) -> None:
        if not self.param.snapshot:
            return
        if not self.param.HasField("snapshot_prefix"):
            raise self.error("In solver params, snapshot is specified but snapshot_prefix is not.")
        probe = Path(f"{self.param.snapshot_prefix}_iter_0.tempfile")
        try:
            probe.touch()
            probe.unlink()
        except OSError as error:
            message = self.error(
                f"Cannot write to snapshot prefix '{self.param.snapshot_prefix}' ({error.strerror}). "
                "Make sure that the directory exists and is writable."
            )
            raise SnapshotError(str(message)) from None

    def _train_net(self) -> Net:
        param = self.param
        given = [name for name in ("net", "net_param", "train_net", "train_net_param") if param.HasField(name)]
        if len(given) != 1:
            raise self.error(
                "SolverParameter must specify a train net using exactly one of these fields: "
                f"net, net_param, train_net, train_net_param (given: {', '.join(given) or 'none'})."
            )
        logger.info("Creating training net from %s: %s", given[0], self._source_name(given[0]))
        return self._make_net(getattr(param, given[0]), caffe_pb2.TRAIN, param.train_state)

    def _source_name(self, field: str) -> str:
        value = getattr(self.param, field)
        return value if isinstance(value, str) else "(inline)"

    def _make_test_nets(self) -> list[Net]:
        param = self.param
        sources = [*param.test_net_param, *param.test_net]
        generic = param.net if param.HasField("net") else param.net_param if param.HasField("net_param") else None
        if generic is None and len(param.test_iter) != len(sources) or len(param.test_iter) < len(sources):
            raise self.error("test_iter must be specified for each test network.")
        sources += [generic] * (len(param.test_iter) - len(sources))
        if param.test_state and len(param.test_state) != len(sources):
            raise self.error("test_state must be unspecified or specified once per test net.")
        if sources and param.test_interval < 1:
            raise self.error("test_interval must be 1 or more where there are test nets.")
        nets = []
        for index, source in enumerate(sources):
            state = param.test_state[index] if param.test_state else caffe_pb2.NetState()
            what = source if isinstance(source, str) else "(inline)"
            logger.info("Creating test net (#%d) specified by net: %s", index, what)
            nets.append(self._make_net(source, caffe_pb2.TEST, state))
            nets[-1].debug_info = param.debug_info
        return nets

    def _make_net(self, source: str | caffe_pb2.NetParameter, phase: int, state: caffe_pb2.NetState) -> Net:
        param = caffe_pb2.NetParameter()
        if isinstance(source, str):
            param.CopyFrom(prototxt.read_net_param(source))
        else:
            # Real Caffe does not upgrade it, finds no layers and dies.
            param.CopyFrom(source)
            upgrade.upgrade_net(param, f"{self.where or 'the solver'}, inline net")
        # The solver's default, then what the net says, then what the solver says of this net.
        merged = caffe_pb2.NetState(phase=phase)
        merged.MergeFrom(param.state)
        merged.MergeFrom(state)
        param.state.CopyFrom(merged)
        with naming(source if isinstance(source, str) else self.where):
            net = Net(param)
        if isinstance(source, str):
            net.where = source
        # Others get theirs from the first.
        for weights in self.param.weights if self._is_root else ():
            for path in weights.split(","):
                logger.info("Finetuning from %s", path.strip())
                net.copy_from(path.strip())
        return net

    # ---- training --------------------------------------------------------------------------------

    @property
    def lr(self) -> float:
        """The learning rate of the current iteration."""
        return learning_rate(self)

    def apply_update(self) -> None:
        """Update the weights from their gradients and count the iteration."""
        raise NotImplementedError

    def step(self, iterations: int) -> None:
        """Train for a number of iterations, with tests, display and snapshots as the solver says."""
        stop = self.iter + iterations
        if not self._keep_losses:
            self._losses.clear()
        self._keep_losses = False
        displayed_at, since = self.iter, time.perf_counter()
        while self.iter < stop:
            self.net.clear_param_diffs()
            if self._due(self.param.test_interval) and (self.iter > 0 or self.param.test_initialization):
                self._test_all()
                if self._stopping:
                    break
            for on_start, _ in self._callbacks:
                on_start()
            display = self._due(self.param.display)
            self.net.debug_info = display and self.param.debug_info
            self._losses.append(self._averaged(self._forward_backward()))
            if display:
                elapsed = time.perf_counter() - since
                logger.info(
                    "Iteration %d (%g iter/s, %gs/%d iters), loss = %s",
                    self.iter, (self.iter - displayed_at) / (elapsed or 1), elapsed, self.param.display,
                    f"{self.smoothed_loss():g}",
                )  # fmt: skip
                displayed_at, since = self.iter, time.perf_counter()
                outputs = [output._data.tensor() for output in self.net._of(self.net._outputs)]
                self._log_outputs("Train", self.net, self._mean_numbers(outputs))
            for _, on_gradients_ready in self._callbacks:
                on_gradients_ready()
            self.apply_update()
            request = self._request()
            if self._due(self.param.snapshot) or request == SNAPSHOT:
                self._try_snapshot()
            if request == STOP:
                self._stopping = True
                break

    def _due(self, interval: int) -> bool:
        return interval > 0 and self.iter % interval == 0

    def _forward_backward(self) -> torch.Tensor | float:
        """One iteration's passes (iter_size of them); returns the loss, still on its device."""
        loss = 0.0
        for _ in range(self.param.iter_size):
            if (whole := self._as_whole(self.net)) is not None:
                loss = loss + whole.forward_backward()
            else:
                last = len(self.net._layers) - 1
                loss = loss + self.net._forward(0, last)
                self.net._backward(last, 0, keep=False)
        return loss / self.param.iter_size

    def _averaged(self, loss: torch.Tensor | float) -> torch.Tensor | float:
        """The mean of the workers' losses; their gradients become the means as well."""
        if self._workers.size == 1:
            return loss
        diffs = [entry.blob._diff for entry in self.net._params.learnable if entry.lr_mult]
        *means, loss = self._workers.average([*(diff.tensor() for diff in diffs), torch.as_tensor(loss)])
        for diff, mean in zip(diffs, means, strict=True):
            diff.set(mean)
        return loss.clone()  # a part of the one vector, which it would keep

    def _mean_numbers(self, outputs: list[torch.Tensor]) -> list[torch.Tensor]:
        """Losses and other single numbers as the workers' mean; what has a value for each record is worker 0's."""
        numbers = [output for output in outputs if output.numel() == 1]
        means = iter(self._workers.average(numbers) if numbers else [])
        return [next(means).to(output.device) if output.numel() == 1 else output for output in outputs]

    def _request(self) -> str | None:
        """What was asked of any worker."""
        return _REQUESTS[self._workers.agree(_REQUESTS.index(self._action()))]

    def _forward(self, net: Net) -> torch.Tensor | float:
        """A forward pass that no backward pass follows; returns the loss, still on its device."""
        whole = self._as_whole(net)
        return whole.forward() if whole else net._forward(0, len(net._layers) - 1, record=False)

    def _as_whole(self, net: Net) -> WholeNet | None:
        """The net to be run at once; None where its blobs are wanted between layers."""
        if self.keep_blobs or not WholeNet.fits(net):
            return None
        if net not in self._whole:
            self._whole[net] = WholeNet(net)
        return self._whole[net]

    def smoothed_loss(self) -> float | None:
        """The loss as displayed: the mean of the last average_loss iterations; None before the first."""
        # As numbers from now on: each is fetched from its device once.
        self._losses = deque(map(float, self._losses), self._losses.maxlen)
        return sum(self._losses) / len(self._losses) if self._losses else None

    def recent_losses(self) -> list[float]:
        """The losses that the displayed one averages, oldest first, for a snapshot."""
        return [float(loss) for loss in self._losses]

    def set_recent_losses(self, losses: list[float]) -> None:
        """Go on with the losses of a snapshot."""
        self._losses.clear()
        self._losses.extend(losses)
        self._keep_losses = True

    def _log_outputs(self, phase: str, net: Net, values: list[torch.Tensor]) -> None:
        number = 0
        for blob_id, value in zip(net._outputs, values, strict=True):
            name, weight = net._blob_names[blob_id], net._blob_loss_weights[blob_id]
            for x in value.flatten().tolist():
                loss = f" (* {weight:g} = {weight * x:g} loss)" if weight else ""
                logger.info("    %s net output #%d: %s = %g%s", phase, number, name, x, loss)
                number += 1

    def solve(self, resume_file: str | Path | None = None) -> None:
        """Train to max_iter, from a .solverstate if one is given."""
        logger.info("Solving %s", self.net.name)
        logger.info("Learning Rate Policy: %s", self.param.lr_policy)
        self._stopping = False
        if resume_file is not None:
            logger.info("Restoring previous solver status from %s", resume_file)
            self.restore(resume_file)
        with contextlib.ExitStack() as stack:
            self._workers.first(lambda: stack.enter_context(write.training(self)))
            self.step(self.param.max_iter - self.iter)
            if self._snapshot_missed or (self.param.snapshot_after_train and not self._due(self.param.snapshot)):
                self.snapshot()
        if self._stopping:
            logger.info("Optimization stopped early.")
            return
        if self._due(self.param.display):
            # As Caffe: one more forward pass for the loss, since the weights were just updated.
            (loss,) = self._workers.average([torch.as_tensor(self._forward(self.net))])
            self._losses.append(loss)
            logger.info("Iteration %d, loss = %g", self.iter, self.smoothed_loss())
        if self._due(self.param.test_interval):
            self._test_all()
        logger.info("Optimization Done.")

    # ---- testing ---------------------------------------------------------------------------------

    def _test_all(self) -> None:
        # The run that goes on from a snapshot of now does the whole test.
        self.before_test = self._forgotten()
        for index in range(len(self.param.test_iter)):
            if not self._stopping:
                self._test(index)
        if not self._stopping:
            self.before_test = None

    def _test(self, index: int) -> None:
        """Average the outputs of a test net over its test_iter batches and log them."""
        logger.info("Iteration %d, Testing net (#%d)", self.iter, index)
        batches = self.param.test_iter[index]
        net = self.test_nets[index] if self._is_root else None
        if net:
            net.share_with(self.net)
        sums: list[torch.Tensor] = []
        loss = 0.0
        for _ in range(batches):
            while (request := self._request()) is not None:
                if request == SNAPSHOT:
                    self._try_snapshot()
                elif request == STOP:
                    self._stopping = True
            if self._stopping:
                logger.info("Test interrupted.")
                return
            if not net:  # another worker's
                continue
            loss = loss + self._forward(net)
            outputs = [blob._data.tensor() for blob in net._of(net._outputs)]
            sums = [s + o for s, o in zip(sums, outputs, strict=True)] if sums else [o.clone() for o in outputs]
        if not net or batches < 1:
            return
        if self.param.test_compute_loss:
            logger.info("Test loss: %g", float(loss) / batches)
        self._log_outputs("Test", net, [s / batches for s in sums])

    # ---- snapshots and the rest of pycaffe ---------------------------------------------------------

    def snapshot(self) -> None:
        """Write the snapshot of the current iteration (see _snapshot/write.py)."""
        forgotten = self.before_test or self._forgotten()
        self._workers.first(lambda: write.write_snapshot(self, forgotten))
        self._snapshot_missed = False

    def _forgotten(self) -> dict:
        """What Caffe forgets, of all workers: the first's, and beside it the others'."""
        first, *others = self._workers.exchange(write.forgotten(self))
        return {**first, "workers": others} if others else first

    def _try_snapshot(self) -> None:
        try:
            self.snapshot()
        except WriteError as error:
            self._snapshot_missed = True
            logger.error(
                "No snapshot of iteration %d: %s Training goes on; the next one tries again.", self.iter, error
            )

    def restore(self, path: str | Path) -> None:
        """Go on from a .solverstate."""
        _restore.restore(self, path, self._workers)

    def join(self, workers: Workers) -> None:
        """Train together with others, from worker 0's weights."""
        self._workers = workers
        _restore.take_weights(self, workers)

    def share_weights(self, net: Net) -> None:
        """Let another net use the training net's weights."""
        net.share_with(self.net)

    def add_callback(self, on_start: Callable[[], None], on_gradients_ready: Callable[[], None]) -> None:
        """Call functions in each iteration: before the passes, and before the update."""
        self._callbacks.append((on_start, on_gradients_ready))

    def set_action_function(self, action: Callable[[], str | None]) -> None:
        """Ask ``action`` after each iteration and test batch whether to STOP or SNAPSHOT."""
        self._action = action
