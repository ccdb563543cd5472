"""The changes that an edit of a solver makes, and the edits that have no effect."""

from math import exp, isclose
from pathlib import Path

from caffe.proto import caffe_pb2
from google.protobuf import text_format

# The fields that each policy reads besides base_lr (sgd_solver.cpp, GetLearningRate).
POLICY_FIELDS = {
    "fixed": (),
    "step": ("gamma", "stepsize"),
    "exp": ("gamma",),
    "inv": ("gamma", "power"),
    "multistep": ("gamma", "stepvalue"),
    "poly": ("power", "max_iter"),
    "sigmoid": ("gamma", "stepsize"),
    "plateau": ("gamma", "plateau_winsize"),  # a policy of our engine, not of Caffe 1.0
}


def changes(before, after) -> dict[str, str]:
    """`old -> new` by field name, for two SolverParameters."""
    return {
        field.name: f"{_shown(before, field)} -> {_shown(after, field)}"
        for field in after.DESCRIPTOR.fields
        if getattr(before, field.name) != getattr(after, field.name)
    }


def _shown(solver, field) -> str:
    value = getattr(solver, field.name)
    if field.enum_type:
        return field.enum_type.values_by_number[value].name
    if field.message_type:
        return "{" + text_format.MessageToString(value, as_one_line=True) + "}"
    if isinstance(value, float):
        return f"{value:.7g}"  # the digits that a 32-bit float holds
    if isinstance(value, (str, int)):
        return str(value) if value != "" else "nothing"
    return str(list(value))


def learning_rate(solver, iteration: int, drops: int | None = None) -> float:
    """The rate that Caffe computes for an iteration. Raises ValueError for a policy that Caffe does not have.

    Args:
        drops: a snapshot's current_step, from which multistep and plateau continue.
    """
    base, gamma, power = solver.base_lr, solver.gamma, solver.power
    match solver.lr_policy:
        case "fixed":
            return base
        case "step":
            return base * gamma ** (iteration // solver.stepsize)
        case "exp":
            return base * gamma**iteration
        case "inv":
            return base * (1 + gamma * iteration) ** -power
        case "multistep":
            passed = sum(iteration >= step for step in solver.stepvalue)
            return base * gamma ** (passed if drops is None else max(drops, passed))
        case "plateau":
            return base * gamma ** (drops or 0)
        case "poly":
            return base * (1 - iteration / solver.max_iter) ** power
        case "sigmoid":
            return base / (1 + exp(-gamma * (iteration - solver.stepsize)))
    raise ValueError(f"lr_policy {solver.lr_policy!r}: Caffe has {', '.join(POLICY_FIELDS)}")


def drops_of(state: Path) -> int:
    """The number of rate drops that a .solverstate records. Only some policies count them."""
    return caffe_pb2.SolverState.FromString(state.read_bytes()).current_step


def without_effect(before, after, iteration: int, drops: int = 0) -> list[str]:
    """One line for each edit that does not have its apparent effect from this iteration on."""
    edited = changes(before, after)
    policy = after.lr_policy
    lines = []
    try:
        rate = learning_rate(after, iteration, drops)
    except ArithmeticError:  # a stepsize of 0 and the like, which Caffe reports itself
        rate = after.base_lr
    if "base_lr" in edited and not isclose(rate, after.base_lr, rel_tol=1e-6):
        lines.append(
            f'base_lr: lr_policy "{policy}" computes the rate from it and the iteration, so it is now '
            f'{rate:.7g}; "fixed" would obey it (BVLC/caffe#2786)'
        )
    elif "lr_policy" in edited and not isclose(rate, after.base_lr, rel_tol=1e-6):
        lines.append(f'lr_policy: "{policy}" counts from iteration 0, so the rate is now {rate:.7g}')
    for field in ("gamma", "power", "stepsize", "stepvalue", "plateau_winsize"):
        if field in edited and field not in POLICY_FIELDS[policy]:
            lines.append(f'{field}: lr_policy "{policy}" does not read it')
    if policy == "multistep" and drops > sum(iteration >= step for step in after.stepvalue):
        lines.append(f"stepvalue: the snapshot has {drops} drops behind it, and they stay")
    if "weights" in edited:
        lines.append("weights: a resumed run takes its weights from the snapshot")
    if "type" in edited:
        lines.append(f"type: the snapshot's update history is that of {before.type}")
    if "random_seed" in edited:
        lines.append("random_seed: a snapshot of our engine brings its own random states")
    if "test_initialization" in edited:
        lines.append("test_initialization: it is for iteration 0")
    return lines
