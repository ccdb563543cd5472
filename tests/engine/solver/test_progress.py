"""Progress: what one training has reached, saved and restored without a solver."""

import json
import math

import pytest
import torch
from caffe._solver.progress import Plateau, Progress


def advanced() -> Progress:
    progress = Progress(average_loss=3)
    progress.iteration, progress.current_step, progress.plateau = 17, 2, Plateau(0.25, 11)
    for loss in (8, 4.5, torch.tensor(2.25), 1):
        progress.add_loss(loss)
    return progress


def test_the_loss_is_averaged_over_the_last_iterations():
    assert Progress(average_loss=2).smoothed_loss() is None
    assert advanced().smoothed_loss() == (4.5 + 2.25 + 1) / 3


def test_saved_as_json_and_restored():
    saved = json.loads(json.dumps(advanced().save()))
    assert saved == {
        "iter": 17, "current_step": 2, "losses": [4.5, 2.25, 1], "plateau": {"minimum_loss": 0.25, "last_event": 11},
    }  # fmt: skip
    restored = Progress(average_loss=3)
    restored.restore(saved)
    assert restored.save() == saved


def test_restored_losses_count_in_the_next_steps_only():
    progress = Progress(average_loss=3)
    progress.restore(advanced().save())
    progress.begin_steps()
    assert progress.recent_losses() == [4.5, 2.25, 1]
    progress.begin_steps()
    assert progress.recent_losses() == []


def test_from_a_snapshot_of_real_caffe():
    """It has the iteration and the step only: the plateau's count starts there, the losses at the next step."""
    progress = advanced()
    progress.restore({"iter": 40, "current_step": 1})
    assert (progress.iteration, progress.current_step) == (40, 1)
    assert progress.plateau == Plateau(math.inf, 40)
    progress.begin_steps()
    assert progress.recent_losses() == []


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        ({"losses": [None]}, TypeError),
        ({"losses": ["a lot"]}, ValueError),
        ({"plateau": {"minimum_loss": "low", "last_event": 3}}, ValueError),
        ({"plateau": {"minimum_loss": 0.5, "last_event": None}}, TypeError),
        ({"plateau": {"minimum_loss": 0.5, "last_event": math.inf}}, OverflowError),
    ],
)
def test_values_that_are_no_numbers(damage, error):
    with pytest.raises(error):
        Progress(average_loss=3).restore(advanced().save() | damage)
