"""The operations that `caffe train --deterministic` would refuse on a GPU, found on the CPU.

The docstring of torch.use_deterministic_algorithms lists the operations without a deterministic form on CUDA.
If that depends on an argument, so does the check here.
"""

import pytest
import torch
from caffe import set_random_seed
from torch.utils._python_dispatch import TorchDispatchMode

from tests.engine.build import make_net
from tests.engine.net.test_whole_net import LOSS, NETS, conv, layer

# By the name of the operator, which the message of torch's error begins with: any use of it.
REFUSED = {
    "_adaptive_avg_pool2d_backward", "_adaptive_avg_pool3d_backward", "adaptive_max_pool2d_backward",
    "avg_pool3d_backward", "fractional_max_pool2d_backward", "max_unpool2d", "reflection_pad2d_backward",
    "upsample_bilinear2d_backward", "put", "put_", "histc", "kthvalue", "grid_sampler_2d_backward",
    "_embedding_bag_dense_backward", "_ctc_loss_backward",
}  # fmt: skip
SUMMING = {"nll_loss2d_forward", "nll_loss2d_backward"}  # unless reduction, an argument, is 0: none

SCORES_AS_MAPS = conv("c", "data", 5) + layer(
    "out", "Pooling", "c", more="pooling_param { pool: AVE global_pooling: true }"
)
DUMMY = """layer { name: "d" type: "DummyData" top: "data" top: "label" dummy_data_param {
  shape { dim: 3 dim: 4 dim: 9 dim: 11 } shape { dim: 3 } data_filler { type: "gaussian" } data_filler { value: 2 } } }"""


class Seen(TorchDispatchMode):
    """Collects the operators that are run, backward passes included, and refuses those in the lists above."""

    def __init__(self):
        super().__init__()
        self.refused = set()
        self.names = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.name().removeprefix("aten::").partition(".")[0]
        self.names.add(name)
        given = dict(zip([each.name for each in func._schema.arguments], args)) | (kwargs or {})
        summing = name in SUMMING and given["reduction"] != 0
        floats = name == "cumsum" and given["self"].is_floating_point()
        if name in REFUSED or summing or floats or (name == "bincount" and given.get("weights") is not None):
            self.refused.add(name)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("text", [*NETS.values(), SCORES_AS_MAPS + LOSS], ids=[*NETS, "scores as maps"])
def test_no_operation_is_left_to_chance(text):
    set_random_seed(3)
    net = make_net(DUMMY + text)
    with Seen() as seen:
        net.clear_param_diffs()
        net.forward()
        net.backward()
    assert {"_log_softmax", "scatter_"} <= seen.names  # the loss, forward and backward
    assert seen.refused == set()


def test_such_an_operation_is_seen():
    scores = torch.zeros(2, 3, 4, 5, requires_grad=True)
    with Seen() as seen:
        torch.nn.functional.nll_loss(scores.log_softmax(1), torch.zeros(2, 4, 5, dtype=torch.long)).backward()
        torch.nn.functional.adaptive_avg_pool2d(scores, (3, 2)).sum().backward()
    assert seen.refused == {"nll_loss2d_forward", "nll_loss2d_backward", "_adaptive_avg_pool2d_backward"}
