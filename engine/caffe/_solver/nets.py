"""The nets that a SolverParameter asks for: one to train, and those to test."""

from collections.abc import Callable

from caffe._error import PrototxtError, naming
from caffe._files import prototxt, upgrade
from caffe._log import logger
from caffe._net.net import Net
from caffe.proto import caffe_pb2


class SolverNets:
    """Makes the nets of a solver.

    Args:
        where: the solver's file, for messages; "" without one.
        error: makes an error that names this file.
        load_weights: whether to load the solver's ``weights``; other workers get them from worker 0.
    """

    def __init__(
        self,
        param: caffe_pb2.SolverParameter,
        where: str,
        error: Callable[[str], PrototxtError],
        load_weights: bool,
    ):
        self._param = param
        self._where = where
        self._error = error
        self._load_weights = load_weights

    def train_net(self) -> Net:
        """Make the training net."""
        param = self._param
        given = [name for name in ("net", "net_param", "train_net", "train_net_param") if param.HasField(name)]
        if len(given) != 1:
            raise self._error(
                "SolverParameter must specify a train net using exactly one of these fields: "
                f"net, net_param, train_net, train_net_param (given: {', '.join(given) or 'none'})."
            )
        logger.info("Creating training net from %s: %s", given[0], self._source_name(given[0]))
        return self._make_net(getattr(param, given[0]), caffe_pb2.TRAIN, param.train_state)

    def _source_name(self, field: str) -> str:
        value = getattr(self._param, field)
        return value if isinstance(value, str) else "(inline)"

    def test_nets(self) -> list[Net]:
        """Make a test net for each test_iter: first those named, then the training net's file for the rest."""
        param = self._param
        sources = [*param.test_net_param, *param.test_net]
        generic = param.net if param.HasField("net") else param.net_param if param.HasField("net_param") else None
        if generic is None and len(param.test_iter) != len(sources) or len(param.test_iter) < len(sources):
            raise self._error("test_iter must be specified for each test network.")
        sources += [generic] * (len(param.test_iter) - len(sources))
        if param.test_state and len(param.test_state) != len(sources):
            raise self._error("test_state must be unspecified or specified once per test net.")
        if sources and param.test_interval < 1:
            raise self._error("test_interval must be 1 or more where there are test nets.")
        nets = []
        for index, source in enumerate(sources):
            state = param.test_state[index] if param.test_state else caffe_pb2.NetState()
            shown = source if isinstance(source, str) else "(inline)"
            logger.info("Creating test net (#%d) specified by net: %s", index, shown)
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
            upgrade.upgrade_net(param, f"{self._where or 'the solver'}, inline net")
        # The later overrides the earlier: the phase, the net's own state, the solver's state for this net.
        merged = caffe_pb2.NetState(phase=phase)
        merged.MergeFrom(param.state)
        merged.MergeFrom(state)
        param.state.CopyFrom(merged)
        with naming(source if isinstance(source, str) else self._where):
            net = Net(param)
        if isinstance(source, str):
            net.where = source
        for weights in self._param.weights if self._load_weights else ():
            for path in weights.split(","):
                logger.info("Finetuning from %s", path.strip())
                net.copy_from(path.strip())
        return net
