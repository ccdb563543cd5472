"""Cases of engine/caffe/_layers/recurrent.py."""

from __future__ import annotations

from ..layer_case import Bottom, cases


def cont(*shape: int) -> Bottom:
    """0 where a sequence begins, 1 where it continues."""
    return Bottom(shape, 0, 1, integers=True, gradient=False)


X, CONT, STATIC, STATE = (4, 3, 2, 5), cont(4, 3), (3, 6), (1, 3, 2)
HIDDEN = Bottom(STATE, gradient=False)  # exposed states get no gradient

for_both = (
    ("plain", "num_output: 2", X, CONT),
    ("one axis of features", "num_output: 5", (5, 2, 3), cont(5, 2)),
    ("several passes", "num_output: 2", X, CONT, {"forwards": 3}),
    ("goes on from pass to pass", "num_output: 2", (2, 3, 4), Bottom((2, 3), 1, 1, gradient=False), {"forwards": 3}),
    ("cont between 0 and 1", "num_output: 2", (3, 2, 4), Bottom((3, 2), 0, 1, gradient=False), {"forwards": 2}),
    ("static input", "num_output: 2", X, CONT, STATIC, {"forwards": 2}),
    ("static input of several axes", "num_output: 2", X, CONT, (3, 2, 4)),
    ("train", "num_output: 2", X, CONT, {"phase": "TRAIN", "forwards": 2}),
)
CASES = cases(
    "RNN",
    "recurrent_param { %s }",
    *for_both,
    ("exposed", "num_output: 2 expose_hidden: true", X, CONT, HIDDEN, {"tops": ("top", "h"), "forwards": 2}),
    ("exposed, static", "num_output: 2 expose_hidden: true", X, CONT, STATIC, HIDDEN, {"tops": ("top", "h")}),
)

CASES += cases(
    "LSTM",
    "recurrent_param { %s }",
    *for_both,
    (
        "exposed",
        "num_output: 2 expose_hidden: true",
        X, CONT, HIDDEN, HIDDEN,
        {"tops": ("top", "h", "c"), "forwards": 2},
    ),
    ("exposed, static", "num_output: 2 expose_hidden: true", X, CONT, STATIC, HIDDEN, HIDDEN, {"tops": ("top", "h", "c")}),
)  # fmt: skip

CASES += cases(
    "LSTMUnit",
    "%s",
    ("plain", "", (1, 3, 5), (1, 3, 20), cont(1, 3)),
    ("cont between 0 and 1", "", (1, 4, 3), (1, 4, 12), Bottom((1, 4), 0, 1, gradient=False)),
    ("large gates", "", (1, 4, 3), Bottom((1, 4, 12), -30, 30), cont(1, 4)),
    tops=("c", "h"),
)
