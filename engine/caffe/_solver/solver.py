"""Solver: the training loop (Caffe's solver.cpp). The update rules are in the files beside this one."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from caffe._device import random_numbers
from caffe._error import PrototxtError, SnapshotError, WriteError
from caffe._files import prototxt
from caffe._log import logger
from caffe._net.net import Net
from caffe._net.weights import check_fits_hdf5
from caffe._net.whole_net import WholeNet
from caffe._snapshot import restore, run_lock, write
from caffe._snapshot.states import States, share_weights_and_history
from caffe._solver.lr_policy import learning_rate
from caffe._solver.nets import SolverNets
from caffe._solver.progress import Progress
from caffe._workers import multi_solver
from caffe._workers.workers import ALONE, Workers
from caffe.proto import caffe_pb2

STOP, SNAPSHOT = "stop", "snapshot"
"""Requests of the action function between two iterations; None is no request."""
_REQUESTS = (None, SNAPSHOT, STOP)  # in order of urgency


class Solver:
    """Trains a net as its SolverParameter asks. Make one with get_solver or with the class of its type.

    Args:
        solver: path of the solver's prototxt, or a SolverParameter.
        where: the file of a SolverParameter, for messages.

    Attributes:
        param: the SolverParameter; base_lr and max_iter may be changed between steps.
        net: the training net.
        test_nets: the test nets, which use the training net's weights.
        progress: iteration, rate drops and recent losses, which rate policies and snapshots read.
        history: the update history (momentum), a tensor for each learnable parameter, times history_scale.
        history_scale: the factor between the history here and in snapshots.
        keep_blobs: whether the nets' blobs and diffs stay readable after an iteration, as pycaffe's users
            expect. The command reads none, sets this to False and trains faster (see _net/whole_net.py).
    """

    keep_blobs = True
    history_scale = 1.0

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
        # Only worker 0 tests and takes snapshots.
        self._is_root = multi_solver.solver_rank() == 0
        self._workers: Workers = ALONE
        if self._is_root and solver.snapshot:
            self._check_snapshot_prefix()
        if solver.random_seed >= 0:
            random_numbers.set_random_seed(solver.random_seed + multi_solver.solver_rank())
        self.progress = Progress(solver.average_loss)
        self.history: list[torch.Tensor] = []
        self._resume_state_before_test: dict | None = None
        self._snapshot_missed = False
        self._action: Callable[[], str | None] = lambda: None
        self._callbacks: list[tuple[Callable[[], None], Callable[[], None]]] = []
        self._stopping = False
        self._whole: dict[Net, WholeNet] = {}
        nets = SolverNets(solver, where, self.error, load_weights=self._is_root)
        self.net = nets.train_net()
        if self._is_root and solver.snapshot_format == caffe_pb2.SolverParameter.HDF5:
            check_fits_hdf5(self.net)  # at the first snapshot it would be too late: the training would be lost
        self.test_nets = nets.test_nets() if self._is_root else []
        logger.info("Solver scaffolding done.")

    def error(self, message: str) -> PrototxtError:
        """Make a PrototxtError that names the solver's file."""
        return PrototxtError(f"{self.where}: {message}" if self.where else message)

    def _check_snapshot_prefix(self) -> None:
        if not self.param.HasField("snapshot_prefix"):
            raise self.error("In solver params, snapshot is specified but snapshot_prefix is not.")
        try:
            run_lock.check_writable(self.param.snapshot_prefix)
        except WriteError as error:
            raise SnapshotError(str(self.error(str(error)))) from None

    # ---- training --------------------------------------------------------------------------------

    @property
    def lr(self) -> float:
        """The learning rate of the current iteration."""
        return learning_rate(self.param, self.progress, self.where)

    @property
    def iter(self) -> int:
        """How many times the weights were updated; a script may set it."""
        return self.progress.iteration

    @iter.setter
    def iter(self, iteration: int) -> None:
        self.progress.iteration = iteration

    @property
    def current_step(self) -> int:
        """How many rate drops were made (step, multistep and plateau)."""
        return self.progress.current_step

    @current_step.setter
    def current_step(self, step: int) -> None:
        self.progress.current_step = step

    def apply_update(self) -> None:
        """Update the weights from their gradients and count the iteration."""
        raise NotImplementedError

    def step(self, iterations: int) -> None:
        """Train for a number of iterations, with tests, display and snapshots at the solver's intervals."""
        stop = self.iter + iterations
        self.progress.begin_steps()
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
            self.progress.add_loss(self._average_over_workers(self._forward_backward()))
            if display:
                elapsed = time.perf_counter() - since
                logger.info(
                    "Iteration %d (%g iter/s, %gs/%d iters), loss = %s",
                    self.iter, (self.iter - displayed_at) / (elapsed or 1), elapsed, self.param.display,
                    f"{self.progress.smoothed_loss():g}",
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
        """Run the iter_size passes of an iteration; returns the loss, still on its device."""
        loss = 0.0
        for _ in range(self.param.iter_size):
            if (whole := self._as_whole(self.net)) is not None:
                loss = loss + whole.forward_backward()
            else:
                last = len(self.net._layers) - 1
                loss = loss + self.net._forward(0, last)
                self.net._backward(last, 0, keep=False)
        return loss / self.param.iter_size

    def _average_over_workers(self, loss: torch.Tensor | float) -> torch.Tensor | float:
        """Average the gradients over the workers; returns the average of their losses."""
        if self._workers.size == 1:
            return loss
        diffs = [entry.blob._diff for entry in self.net._params.learnable if entry.lr_mult]
        *means, loss = self._workers.average([*(diff.tensor() for diff in diffs), torch.as_tensor(loss)])
        for diff, mean in zip(diffs, means, strict=True):
            diff.set(mean)
        return loss.clone()  # a view would keep the vector of all gradients alive

    def _mean_numbers(self, outputs: list[torch.Tensor]) -> list[torch.Tensor]:
        """Average losses and other single numbers over the workers; outputs with more numbers are worker 0's."""
        numbers = [output for output in outputs if output.numel() == 1]
        means = iter(self._workers.average(numbers) if numbers else [])
        return [next(means).to(output.device) if output.numel() == 1 else output for output in outputs]

    def _request(self) -> str | None:
        """The most urgent request of any worker."""
        return _REQUESTS[self._workers.agree(_REQUESTS.index(self._action()))]

    def _forward(self, net: Net) -> torch.Tensor | float:
        """Run a forward pass without a backward pass; returns the loss, still on its device."""
        whole = self._as_whole(net)
        return whole.forward() if whole else net._forward(0, len(net._layers) - 1, record=False)

    def _as_whole(self, net: Net) -> WholeNet | None:
        """The whole-net pass of a net; None if its blobs are needed between layers."""
        if self.keep_blobs or not WholeNet.fits(net):
            return None
        if net not in self._whole:
            self._whole[net] = WholeNet(net)
        return self._whole[net]

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
            self._workers.first(lambda: stack.enter_context(write.reserve_prefix(self.param, self._states())))
            self.step(self.param.max_iter - self.iter)
            if self._snapshot_missed or (self.param.snapshot_after_train and not self._due(self.param.snapshot)):
                self.snapshot()
        if self._stopping:
            logger.info("Optimization stopped early.")
            return
        if self._due(self.param.display):
            # Like Caffe, run one more forward pass for the loss, since the weights were just updated.
            (loss,) = self._workers.average([torch.as_tensor(self._forward(self.net))])
            self.progress.add_loss(loss)
            logger.info("Iteration %d, loss = %g", self.iter, self.progress.smoothed_loss())
        if self._due(self.param.test_interval):
            self._test_all()
        logger.info("Optimization Done.")

    # ---- testing ---------------------------------------------------------------------------------

    def _test_all(self) -> None:
        # A run that resumes from a snapshot taken in this test repeats the whole test.
        self._resume_state_before_test = self._resume_state()
        for index in range(len(self.param.test_iter)):
            if not self._stopping:
                self._test(index)
        if not self._stopping:
            self._resume_state_before_test = None

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
            if not net:  # only worker 0 has test nets
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
        resume_state = self._resume_state_before_test or self._resume_state()
        self._workers.first(lambda: write.write_snapshot(self.param, self._states(), resume_state))
        self._snapshot_missed = False

    def _states(self) -> States:
        """The states that a snapshot keeps; sgd.py replaces history, so they are collected for each use."""
        return States(self.net, self.test_nets, self.history, self.history_scale, self.progress)

    def _resume_state(self) -> dict[str, Any]:
        """The resume state of all workers: worker 0's, with the others' inside."""
        first, *others = self._workers.exchange(self._states().save_resume_state())
        return {**first, "workers": others} if others else first

    def _try_snapshot(self) -> None:
        try:
            self.snapshot()
        except WriteError as error:
            self._snapshot_missed = True
            logger.error(
                "No snapshot of iteration %d: %s Training continues; the next snapshot tries again.", self.iter, error
            )

    def restore(self, path: str | Path) -> None:
        """Resume from a .solverstate."""
        restore.restore(self._states(), path, self._workers)
        self._resume_state_before_test = None

    def join(self, workers: Workers) -> None:
        """Train together with other workers, starting from worker 0's weights."""
        self._workers = workers
        share_weights_and_history(self._states(), workers)

    def share_weights(self, net: Net) -> None:
        """Let another net use the training net's weights."""
        net.share_with(self.net)

    def add_callback(self, on_start: Callable[[], None], on_gradients_ready: Callable[[], None]) -> None:
        """Call functions in each iteration: before the passes, and before the update."""
        self._callbacks.append((on_start, on_gradients_ready))

    def set_action_function(self, action: Callable[[], str | None]) -> None:
        """Call ``action`` after each iteration and test batch; it may return STOP or SNAPSHOT."""
        self._action = action
