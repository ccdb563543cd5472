"""Cases of engine/caffe/_layers/label_loss.py."""

from ..layer_case import Bottom, cases, labels, whole

CASES = cases(
    "HingeLoss",
    "hinge_loss_param { %s }",
    ("default is L1", "", Bottom((6, 5), -3, 3), labels((6,), 5)),
    ("L1 at the kink", "norm: L1", whole(7, 4), labels((7,), 4)),
    ("L2", "norm: L2", Bottom((6, 5), -3, 3), labels((6,), 5)),
    ("L2 at the kink", "norm: L2", whole(7, 4), labels((7,), 4)),
    ("rows are flattened", "norm: L2", (3, 4, 2), labels((3, 1, 1, 1), 8)),
)

CASES += cases(
    "MultinomialLogisticLoss",
    "%s",
    ("probabilities", "", Bottom((6, 5), 0, 1), labels((6,), 5)),
    ("labels with axes of one", "", Bottom((3, 4, 2), 0, 1), labels((3, 1, 1, 1), 8)),
    ("zeros have a floor", "", Bottom((7, 3), 0, 1, integers=True), labels((7,), 3)),
    ("own loss weight", "loss_weight: 2.5", Bottom((6, 5), 0, 1), labels((6,), 5), {"top_diffs": False}),
)

# The matrix files/infogain.binaryproto is that of make_layer_files.py: 4 x 4.
SOURCE = 'infogain_loss_param { source: "files/infogain.binaryproto" %s }'
IMAGES = ((2, 4, 5, 3), labels((2, 5, 3), 4))
CASES += cases(
    "InfogainLoss",
    "%s",
    ("matrix from a file", SOURCE % "", (6, 4), labels((6,), 4)),
    ("matrix as a bottom", "", *IMAGES, Bottom((1, 1, 4, 4), gradient=False), {"learned": True, "top_diffs": False}),
    ("axis 2", SOURCE % "axis: 2", (2, 3, 4, 5), labels((2, 3, 5), 4)),
    ("axis from the end", SOURCE % "axis: -1", (2, 3, 4), labels((2, 3), 4)),
    *(
        (
            f"{mode.lower()} normalization, a label ignored" if ignore else f"{mode.lower()} normalization",
            f"{SOURCE % ''} loss_param {{ normalization: {mode} {ignore} }}",
            *IMAGES,
        )
        for mode in ("FULL", "VALID", "BATCH_SIZE", "NONE")
        for ignore in ("", "ignore_label: 1")
    ),
    ("every label ignored", SOURCE % "" + " loss_param { ignore_label: 0 }", (3, 4), labels((3,), 1)),
    ("large values have a floor", SOURCE % "", Bottom((6, 4), -100, 100), labels((6,), 4)),
    ("softmax as second top", "loss_weight: 1.5 loss_weight: 0 " + SOURCE % "", *IMAGES, {"tops": ("loss", "scores")}),
)
