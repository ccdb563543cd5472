"""Cases of engine/caffe/_layers/sigmoid_loss.py."""

from ..layer_case import Bottom, cases, labels

SCORES, TARGETS = Bottom((3, 4, 2), -3, 3), Bottom((3, 4, 2), 0, 2, gradient=False)
CASES = cases(
    "SigmoidCrossEntropyLoss",
    "%s",
    ("default is the batch size", "", SCORES, TARGETS),
    ("targets of another shape", "", (3, 4, 2), labels((3, 8), 2)),
    *(
        (
            f"{mode.lower()} normalization, a target ignored" if ignore else f"{mode.lower()} normalization",
            f"loss_param {{ normalization: {mode} {ignore} }}",
            SCORES,
            TARGETS,
        )
        for mode in ("FULL", "VALID", "BATCH_SIZE", "NONE")
        for ignore in ("", "ignore_label: 1")
    ),
    ("normalize true", "loss_param { normalize: true ignore_label: 0 }", SCORES, TARGETS),
    ("normalize false", "loss_param { normalize: false ignore_label: 0 }", SCORES, TARGETS),
    ("every target ignored", "loss_param { ignore_label: 0 normalization: VALID }", (3, 4), labels((3, 4), 1)),
    ("at zero", "", Bottom((5, 7), 0, 0), labels((5, 7), 2)),
    ("large values", "", Bottom((5, 7), -200, 200), labels((5, 7), 2)),
    ("own loss weight", "loss_weight: 2.5", SCORES, TARGETS, {"top_diffs": False}),
)
