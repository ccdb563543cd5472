"""The random numbers: a seed repeats them, and a snapshot keeps their state."""

import json

import numpy as np
import pytest
import torch
from caffe import set_random_seed
from caffe._device import device as _device
from caffe._device import random_numbers


def draws():
    return random_numbers.host().random(5).tolist(), random_numbers.dropout_mask(torch.ones(7, 9), 0.4).tolist()


def test_save_and_restore_through_json():
    draws()
    state = json.loads(json.dumps(random_numbers.save()))
    expected = [draws() for _ in range(3)]
    set_random_seed(5)
    assert draws() != expected[0]
    random_numbers.restore(state)
    assert [draws() for _ in range(3)] == expected


def test_state_in_the_middle_of_a_word():
    """Small draws leave half of a 64-bit word behind: it belongs to the state."""
    generator = random_numbers.spawn()
    generator.integers(0, 2, 3, np.uint32)
    state = json.loads(json.dumps(random_numbers.get_state(generator)))
    expected = generator.integers(0, 1000, 9, np.uint32).tolist()
    other = random_numbers.spawn()
    random_numbers.set_state(other, state)
    assert other.integers(0, 1000, 9, np.uint32).tolist() == expected


def test_spawned_generators_differ_and_follow_the_seed():
    set_random_seed(3)
    first, second = random_numbers.spawn().random(4).tolist(), random_numbers.spawn().random(4).tolist()
    assert first != second
    set_random_seed(3)
    assert random_numbers.spawn().random(4).tolist() == first


def test_mask_probability():
    for keep in (0.1, 0.5, 0.9):
        mask = random_numbers.dropout_mask(torch.ones(401, 500), keep)
        assert set(mask.unique().tolist()) == {0, np.float32(1 / keep)}
        assert abs((mask > 0).double().mean().item() - keep) < 5 * np.sqrt(keep * (1 - keep) / 200_000)


def test_a_broken_state_of_a_gpus_generator_is_a_value_error(monkeypatch):
    states = {**random_numbers.save(), "cuda": "00ff"}
    monkeypatch.setattr(_device, "current", lambda: torch.device("cuda", 0))
    generator = torch.Generator
    monkeypatch.setattr(torch, "Generator", lambda device: generator())
    with pytest.raises(ValueError, match="no state of a GPU's generator"):
        random_numbers.restore(states)
    random_numbers._cuda.clear()
