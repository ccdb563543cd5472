"""What debug_info logs of every layer: mean absolute values and gradients (net.cpp's DebugInfo)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from caffe._log import logger

if TYPE_CHECKING:
    from caffe._net.layered_net import LayeredNet


def _mean_abs(tensor: torch.Tensor) -> float:
    return float(tensor.abs().sum()) / max(1, tensor.numel())


def log_forward(net: LayeredNet, i: int) -> None:
    for blob_id in net._layer_tops[i]:
        value = _mean_abs(net._blobs[blob_id]._data.tensor())
        logger.info(
            "    [Forward] Layer %s, top blob %s data: %g", net._layer_names[i], net._blob_names[blob_id], value
        )
    for j, blob in enumerate(net._layers[i].blobs):
        name = net._params.display_name(net._layers[i], j)
        value = _mean_abs(blob._data.tensor())
        logger.info("    [Forward] Layer %s, param blob %s data: %g", net._layer_names[i], name, value)


def log_backward(net: LayeredNet, i: int) -> None:
    for blob_id, need in zip(net._layer_bottoms[i], net._bottom_need_backward[i], strict=True):
        if need:
            value = _mean_abs(net._blobs[blob_id]._diff.tensor())
            name = net._blob_names[blob_id]
            logger.info("    [Backward] Layer %s, bottom blob %s diff: %g", net._layer_names[i], name, value)
    for j, (blob, need) in enumerate(zip(net._layers[i].blobs, net._param_need_backward[i], strict=True)):
        if need:
            value = _mean_abs(blob._diff.tensor())
            logger.info("    [Backward] Layer %s, param blob %d diff: %g", net._layer_names[i], j, value)


def log_norms(net: LayeredNet) -> None:
    blobs = [entry.blob for entry in net._params.learnable]
    sums = [
        [sum(float(f(getattr(b, side).tensor())) for b in blobs) for side in ("_data", "_diff")]
        for f in (lambda t: t.abs().sum(), lambda t: t.double().square().sum())
    ]
    (l1_data, l1_diff), (sq_data, sq_diff) = sums
    logger.error(
        "    [Backward] All net params (data, diff): L1 norm = (%g, %g); L2 norm = (%g, %g)",
        l1_data, l1_diff, sq_data**0.5, sq_diff**0.5,
    )  # fmt: skip
