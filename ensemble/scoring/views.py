"""Views: the windows of an image that are averaged (report, section 6, "Test with Random Crops").

    center          the window of Caffe's TEST phase, and of every score file that names no view
    10crop          the four corners and the centre, each mirrored too (Krizhevsky et al. 2012, section 4.1)
    dense, dense:S  a grid over all places, at most S pixels apart (4), each mirrored too
    whole           the whole image, through a net that slides: one without InnerProduct
    center+mirror, whole+mirror

A net without a crop takes the whole image, so every view reduces to the image and its mirror.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from harness.errors import UserError

CENTER = "center"
DENSE_STEP = 4  #: pixels between the windows of `dense`
KNOWN = "center, center+mirror, 10crop, dense, dense:STEP, whole, whole+mirror"


class Window(NamedTuple):
    """A part of an image, in pixels from its upper left corner."""

    top: int
    left: int
    height: int
    width: int
    mirror: bool  #: True flips the window after the mean is subtracted, as in Caffe's Data layer


def named(name: str) -> str:
    """The canonical name of a view that a user typed, `dense` as `dense:4`; raises UserError for an unknown one."""
    found = re.fullmatch(r"(center|whole)(\+mirror)?|10crop|dense(:0*[1-9]\d{0,5})?", name)
    if not found:
        raise UserError(f"--view {name}: no such view; there are {KNOWN} (a step is 1 or more pixels)")
    if name.startswith("dense"):
        return f"dense:{int(name.partition(':')[2] or DENSE_STEP)}"
    return name


def folder(name: str) -> str:
    """The folder of a view's score files in a model's `scores`: "" for the centre, which stays apart."""
    return "" if name == CENTER else name.replace(":", "")


def center(image: tuple[int, int], crop: tuple[int, int]) -> Window:
    """The window that Caffe crops in the TEST phase: (H - crop) / 2, rounded down."""
    return Window((image[0] - crop[0]) // 2, (image[1] - crop[1]) // 2, crop[0], crop[1], False)


def windows(name: str, image: tuple[int, int], crop: tuple[int, int]) -> list[Window]:
    """The different windows of a view, at a net's crop, in images of that height and width.

    Raises UserError for a view that is unknown or larger than the image.
    """
    name = named(name)
    if crop[0] > image[0] or crop[1] > image[1]:
        raise UserError(
            f"--view {name}: a window of {crop[0]} x {crop[1]} is larger than images of {image[0]} x {image[1]}"
        )
    room = (image[0] - crop[0], image[1] - crop[1])
    middle = center(image, crop)
    if name.startswith("whole"):
        found = [Window(0, 0, image[0], image[1], False)]
    elif name.startswith("dense"):
        step = int(name.partition(":")[2])
        if step > min(image):
            raise UserError(f"--view {name}: a step of {step} pixels is larger than images of {image[0]} x {image[1]}")
        found = [
            middle._replace(top=top, left=left) for top in _spread(room[0], step) for left in _spread(room[1], step)
        ]
    elif name == "10crop":
        corners = [(0, 0), (0, room[1]), (room[0], 0), room]
        found = [middle, *(middle._replace(top=top, left=left) for top, left in corners)]
    else:
        found = [middle]
    if name not in (CENTER, "whole"):
        found = [window._replace(mirror=mirror) for mirror in (False, True) for window in found]
    return list(dict.fromkeys(found))  # all windows are the same without room to move


def _spread(room: int, step: int) -> list[int]:
    """Places from 0 to `room`, both included, evenly spread and at most `step` apart."""
    gaps = -(-room // step)
    return [room * at // gaps for at in range(gaps + 1)] if gaps else [0]


def at_random(count: int, image: tuple[int, int], crop: tuple[int, int], random: np.random.RandomState) -> list[Window]:
    """A window for each of `count` images, drawn as in the TRAIN phase: first the mirror, then the place."""
    mirror = random.randint(0, 2, count)
    top = random.randint(0, image[0] - crop[0] + 1, count)
    left = random.randint(0, image[1] - crop[1] + 1, count)
    return [Window(*map(int, place), crop[0], crop[1], bool(flip)) for *place, flip in zip(top, left, mirror)]


def cut(images: np.ndarray, mean: np.ndarray, chosen: Window | Sequence[Window], out: np.ndarray) -> None:
    """Fill `out` (n, C, h, w) from uint8 images (n, C, H, W) minus the mean image (C, H, W).

    `chosen` is one window for all images, or one for each; all are of `out`'s height and width.
    """
    if isinstance(chosen, Window):
        place = _place(chosen)
        np.subtract(images[(slice(None), *place)], mean[place], out=_way(out, chosen))
        return
    for row, (image, window) in enumerate(zip(images, chosen)):
        place = _place(window)
        np.subtract(image[place], mean[place], out=_way(out[row], window))


def _place(window: Window) -> tuple[slice, ...]:
    top, left, height, width, _ = window
    return slice(None), slice(top, top + height), slice(left, left + width)


def _way(out: np.ndarray, window: Window) -> np.ndarray:
    return out[..., ::-1] if window.mirror else out
