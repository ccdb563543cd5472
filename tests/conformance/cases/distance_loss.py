"""Cases of engine/caffe/_layers/distance_loss.py."""

from ..layer_case import Bottom, cases, labels

CASES = cases(
    "EuclideanLoss",
    "%s",
    ("both gradients", "", (6, 5), (6, 5)),
    ("images", "", (2, 3, 5, 4), (2, 3, 5, 4)),
    ("shapes of one count", "", (3, 4, 2), (3, 2, 2, 2)),
    ("own loss weight", "loss_weight: 2.5", (6, 5), (6, 5), {"top_diffs": False}),
)

PAIRS = (Bottom((9, 4), -0.5, 0.5), Bottom((9, 4), -0.5, 0.5), labels((9,), 2))
CASES += cases(
    "ContrastiveLoss",
    "contrastive_loss_param { %s }",
    ("default margin", "", *PAIRS),
    ("margin", "margin: 0.75", *PAIRS),
    ("legacy", "margin: 0.75 legacy_version: true", *PAIRS),
    ("axes of one", "margin: 0.75", (5, 3, 1, 1), (5, 3, 1, 1), labels((5, 1, 1, 1), 2)),
    ("equal features", "", Bottom((6, 3), 0.5, 0.5), Bottom((6, 3), 0.5, 0.5), labels((6,), 2)),
    ("at the margin", "margin: 1", Bottom((9, 1), 0, 2, True), Bottom((9, 1), 0, 0, True), labels((9,), 2)),
    (
        "at the margin, legacy",
        "margin: 1 legacy_version: true",
        Bottom((9, 1), 0, 2, True),
        Bottom((9, 1), 0, 0, True),
        labels((9,), 2),
    ),
    ("parts of one are dissimilar", "", *PAIRS[:2], Bottom((9,), 0, 2, gradient=False)),
)
