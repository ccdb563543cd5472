"""The lines of debug_info: each layer's mean absolute values and gradients (net.cpp's DebugInfo)."""

import torch

from caffe._log import logger
from caffe._net.graph import Graph


def _mean_abs(tensor: torch.Tensor) -> float:
    return float(tensor.abs().sum()) / max(1, tensor.numel())


def log_forward(graph: Graph, i: int) -> None:
    for blob_id in graph.tops[i]:
        value = _mean_abs(graph.blobs[blob_id]._data.tensor())
        logger.info(
            "    [Forward] Layer %s, top blob %s data: %g", graph.layer_names[i], graph.blob_names[blob_id], value
        )
    for j, blob in enumerate(graph.layers[i].blobs):
        name = graph.params.display_name(graph.layers[i], j)
        value = _mean_abs(blob._data.tensor())
        logger.info("    [Forward] Layer %s, param blob %s data: %g", graph.layer_names[i], name, value)


def log_backward(graph: Graph, i: int) -> None:
    for blob_id, need in zip(graph.bottoms[i], graph.bottom_need_backward[i], strict=True):
        if need:
            value = _mean_abs(graph.blobs[blob_id]._diff.tensor())
            name = graph.blob_names[blob_id]
            logger.info("    [Backward] Layer %s, bottom blob %s diff: %g", graph.layer_names[i], name, value)
    for j, (blob, need) in enumerate(zip(graph.layers[i].blobs, graph.param_need_backward[i], strict=True)):
        if need:
            value = _mean_abs(blob._diff.tensor())
            logger.info("    [Backward] Layer %s, param blob %d diff: %g", graph.layer_names[i], j, value)


def log_norms(graph: Graph) -> None:
    blobs = [entry.blob for entry in graph.params.learnable]
    sums = [
        [sum(float(f(getattr(b, side).tensor())) for b in blobs) for side in ("_data", "_diff")]
        for f in (lambda t: t.abs().sum(), lambda t: t.double().square().sum())
    ]
    (l1_data, l1_diff), (sq_data, sq_diff) = sums
    logger.error(
        "    [Backward] All net params (data, diff): L1 norm = (%g, %g); L2 norm = (%g, %g)",
        l1_data, l1_diff, sq_data**0.5, sq_diff**0.5,
    )  # fmt: skip
