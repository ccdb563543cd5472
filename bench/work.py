"""The arithmetic of a training iteration, for speeds in FLOP/s."""

from pathlib import Path

from caffe._commands.summary import measure
from caffe._files import prototxt


def training_flop(net: Path, batch: int) -> float:
    """Floating-point operations of one iteration: forward, and backward to weights and to inputs.

    A multiply-add is two. The first layer of weights gets no gradient for the images. As in `caffe summary`,
    convolutions and inner products count.
    """
    rows = measure(prototxt.read_net_param(str(net)), "TRAIN").rows.values()
    adds = [row.multiply_adds for row in rows if row.multiply_adds]
    return 2.0 * batch * (3 * sum(adds) - adds[0])
