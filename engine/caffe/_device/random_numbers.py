"""Caffe's random numbers: one global generator, and generators seeded from it.

Fillers and Dropout draw from the global generator. Every data transformer has its own generator, so that
crops do not depend on other draws. The global generator seeds it when the layer is set up. The streams
differ from real Caffe's, because a GPU cannot match boost's mt19937 bit for bit. The distributions are
the same. Host draws use NumPy's generators, which are fast and have a small state. A snapshot keeps that
state, so that training resumes exactly (see _snapshot/write.py).
"""

import json

import numpy as np
import torch

from caffe._device import device as _device

_host = np.random.Generator(np.random.SFC64())
_cuda: dict[int, torch.Generator] = {}


def set_random_seed(seed: int) -> None:
    """Restart the global generator (and the GPUs' ones) from a seed (0 or more)."""
    global _host
    _host = np.random.Generator(np.random.SFC64(seed))
    _cuda.clear()


def host() -> np.random.Generator:
    """The global generator for draws on the host."""
    return _host


def spawn() -> np.random.Generator:
    """Return a new generator, seeded by one draw from the global one (caffe_rng_rand)."""
    return np.random.Generator(np.random.SFC64(int(_host.integers(2**32))))


def _cuda_generator(device: torch.device) -> torch.Generator:
    index = device.index or 0
    if index not in _cuda:
        _cuda[index] = torch.Generator(device).manual_seed(int(_host.integers(2**32)))
    return _cuda[index]


def dropout_mask(like: torch.Tensor, keep: float) -> torch.Tensor:
    """Return dropout's factors: 1 / keep with probability ``keep``, otherwise 0, independently.

    Returns:
        A tensor of the shape, type, device and layout of ``like``.
    """
    if like.is_cuda:
        mask = torch.empty_like(like).bernoulli_(keep, generator=_cuda_generator(like.device))
    else:
        mask = _in_layout_of(like, torch.from_numpy(_coins(like.numel(), keep))).to(like.dtype)
    return mask.mul_(1 / keep)


def _coins(count: int, keep: float) -> np.ndarray:
    """Return uint8 ones and zeros.

    Sixteen bits for each are four times faster than a float, and far finer than any dropout_ratio in
    use. A fair coin needs one bit (bench/README.md).
    """
    if keep == 0.5:
        return np.unpackbits(np.frombuffer(_host.bytes(-(-count // 8)), np.uint8), count=count)
    bits = np.frombuffer(_host.bytes(2 * count), np.uint16)
    return (bits < round(keep * 65536)).view(np.uint8)


def _in_layout_of(like: torch.Tensor, flat: torch.Tensor) -> torch.Tensor:
    if like.dim() == 4 and like.is_contiguous(memory_format=torch.channels_last):
        n, c, h, w = like.shape
        return flat.view(n, h, w, c).permute(0, 3, 1, 2)
    return flat.view(like.shape)


def uniform(like: torch.Tensor) -> torch.Tensor:
    """Return independent uniform numbers in [0, 1), with the shape, type and device of ``like``."""
    if like.is_cuda:
        return torch.empty_like(like).uniform_(generator=_cuda_generator(like.device))
    return torch.from_numpy(_host.random(tuple(like.shape), np.float32)).to(like.dtype)


def get_state(generator: np.random.Generator) -> dict:
    """The state of a host generator as plain numbers that JSON can hold."""
    return json.loads(json.dumps(generator.bit_generator.state, default=lambda a: a.tolist()))


def set_state(generator: np.random.Generator, state: dict) -> None:
    """Put a host generator into a state from :func:`get_state`."""
    words = {**state["state"], "state": np.array(state["state"]["state"], np.uint64)}
    generator.bit_generator.state = {**state, "state": words}


def save() -> dict:
    """Return the states of the global generators for a snapshot, without changing them."""
    device = _device.current()
    generator = _cuda.get(device.index or 0) if device.type == "cuda" else None
    return {"host": get_state(_host), "cuda": bytes(generator.get_state().numpy()).hex() if generator else None}


def restore(states: dict) -> None:
    """Restore the states from :func:`save`, a GPU's only if there is one. Broken states raise ValueError."""
    set_state(_host, states["host"])
    _cuda.clear()
    device = _device.current()
    if states["cuda"] and device.type == "cuda":
        state = np.frombuffer(bytes.fromhex(states["cuda"]), np.uint8).copy()
        generator = _cuda[device.index or 0] = torch.Generator(device)
        try:
            generator.set_state(torch.from_numpy(state))
        except RuntimeError as error:
            raise ValueError(f"no state of a GPU's generator: {error}") from error
