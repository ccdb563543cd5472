"""Cases of engine/caffe/_layers/loss.py."""

from ..layer_case import Bottom, cases, labels

# No case has a second top (the probabilities).
# Real Caffe 1.0 aborts on it, with loss_weight given once, twice or not at all.
CASES = cases(
    "SoftmaxWithLoss",
    "%s",
    ("vector", "", (6, 5), labels((6,), 5)),
    ("own loss weight", "loss_weight: 2.5", (6, 5), labels((6,), 5), {"top_diffs": False}),
    ("spatial", "", (2, 3, 5, 4), labels((2, 5, 4), 3)),
    ("spatial with an axis of one", "", (2, 3, 5, 4), labels((2, 1, 5, 4), 3)),
    ("axis 2", "softmax_param { axis: 2 }", (2, 3, 5, 4), labels((2, 3, 4), 5)),
    ("axis from the end", "softmax_param { axis: -1 }", (2, 3, 5), labels((2, 3), 5)),
    *(
        (
            f"{mode.lower()} normalization, a label ignored" if ignore else f"{mode.lower()} normalization",
            f"loss_param {{ normalization: {mode} {ignore} }}",
            (2, 3, 5, 4),
            labels((2, 5, 4), 3),
        )
        for mode in ("FULL", "VALID", "BATCH_SIZE", "NONE")
        for ignore in ("", "ignore_label: 1")
    ),
    ("normalize false", "loss_param { normalize: false }", (2, 3, 5, 4), labels((2, 5, 4), 3)),
    ("normalize true, a label ignored", "loss_param { normalize: true ignore_label: 0 }", (2, 3, 5), labels((2, 5), 3)),
    ("every label ignored", "loss_param { ignore_label: 0 }", (3, 4), labels((3,), 1)),
    ("large values", "", Bottom((6, 5), -300, 300), labels((6,), 5)),
)
