"""Draws 200 distinct classes for the offline sample set: one shape, texture and pair of colours each.

All functions work on a whole batch of ``n`` images. Arrays are (n, 64, 64) or (n, 64, 64, 3), float32.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

SIZE = 64
_ROWS, _COLUMNS = np.meshgrid(np.arange(SIZE, dtype=np.float32), np.arange(SIZE, dtype=np.float32), indexing="ij")


def _polygon(corners: int) -> Callable[[np.ndarray], np.ndarray]:
    half = np.pi / corners
    return lambda angle: np.cos(half) / np.cos(np.mod(angle, 2 * half) - half)


def _waves(count: int, depth: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda angle: 1 - depth + depth * np.cos(count * angle)


def _cross(angle: np.ndarray) -> np.ndarray:
    folded = np.abs(np.mod(angle + np.pi / 4, np.pi / 2) - np.pi / 4)
    return np.minimum(1 / np.cos(folded), 0.35 / np.maximum(np.sin(folded), 1e-3))


def _star(angle: np.ndarray) -> np.ndarray:
    return 0.45 + 0.55 * np.abs(np.mod(angle, 2 * np.pi / 5) / (np.pi / 5) - 1)


# The distance of the outline from the middle, in units of the size, at each angle.
OUTLINES: tuple[Callable[[np.ndarray], np.ndarray], ...] = (
    lambda angle: np.ones_like(angle),
    _polygon(3),
    _polygon(4),
    _polygon(6),
    _star,
    _cross,
    _waves(4, 0.28),
    _waves(9, 0.14),
    lambda angle: 0.42 / np.sqrt(1 - 0.82 * np.cos(angle) ** 2),
    lambda angle: 0.55 + 0.45 * np.cos(angle),
)

# The share of the second colour, before contrast, by position along and across the shape in units of its size.
TEXTURES: tuple[Callable[[np.ndarray, np.ndarray], np.ndarray], ...] = (
    lambda along, across: np.full_like(along, -1.0),
    lambda along, across: np.sin(9 * along),
    lambda along, across: np.sin(7 * along) * np.sin(7 * across),
    lambda along, across: np.sin(12 * np.hypot(along, across)),
    lambda along, across: 1.6 * across,
)

PALETTES = 20

DRAWING = "drawing: "  #: prefix of every drawn class's name, so that no page takes one for a photograph
_SHAPES = ("disc", "triangle", "square", "hexagon", "star", "cross", "clover", "gear", "ellipse", "heart")
_HUES = ("red", "orange", "lime", "green", "jade", "cyan", "azure", "indigo", "purple", "pink")


@dataclass(frozen=True)
class Look:
    """The look of a class: indices into ``OUTLINES``, ``PALETTES`` and ``TEXTURES``."""

    outline: int
    palette: int
    texture: int


def look_of(class_index: int) -> Look:
    """The look of class 0 to 199: every outline in every palette, once. The texture follows from both."""
    outline, palette = class_index % len(OUTLINES), class_index // len(OUTLINES) % PALETTES
    return Look(outline, palette, (outline + palette) % len(TEXTURES))


def name_of(look: Look) -> str:
    """A class's name by its look: "drawing: red star with dark cyan". Each of the 200 looks has another name."""
    hue = look.palette // 2
    second = f"dark {_HUES[(hue + 5) % 10]}" if look.palette % 2 else f"pale {_HUES[(hue + 1) % 10]}"
    return f"{DRAWING}{_HUES[hue]} {_SHAPES[look.outline]} with {second}"


def draw(look: Look, count: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """``count`` images of a class: (n, 64, 64, 3) uint8 RGB, and boxes (n, 4) int (left, top, right, bottom).

    Position, size, angle, light, colours (a little), background, clutter and noise differ from image to image.
    """
    picture = _background(count, random)
    for _ in range(3):
        _paint_clutter(picture, random)
    along, across, size = _pose(count, random)
    distance, angle = np.hypot(along, across), np.arctan2(across, along)
    inside = np.clip((OUTLINES[look.outline](angle) - distance) * size + 0.5, 0, 1)
    mixture = np.clip(TEXTURES[look.texture](along, across) * 2 + 0.5, 0, 1)[..., None]
    first, second = _palette_colours(look.palette, count, random)
    paint = first + (second - first) * mixture
    picture += (paint - picture) * inside[..., None]
    picture *= _light(count, random)
    picture += random.standard_normal(picture.shape, dtype=np.float32) * random.uniform(3, 14, (count, 1, 1, 1))
    return np.clip(picture, 0, 255).astype(np.uint8), _boxes(inside > 0.5)


def _column(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32)[:, None, None]


def _pose(count: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    size = _column(random.uniform(13, 25, count))
    column, row = _column(random.uniform(22, 42, count)), _column(random.uniform(22, 42, count))
    turn = random.uniform(0, 2 * np.pi, count)
    cosine, sine = _column(np.cos(turn)), _column(np.sin(turn))
    x, y = (_COLUMNS - column) / size, (_ROWS - row) / size
    return cosine * x + sine * y, cosine * y - sine * x, size


def _palette_colours(palette: int, count: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    # Ten hues, each with a light neighbour or a dark opposite as its second colour.
    hue = palette // 2 / 10 + random.uniform(-0.025, 0.025, count)
    opposite = palette % 2
    saturation = random.uniform(0.75, 1, count)
    first = _rgb(hue, saturation, random.uniform(0.75, 1, count))
    value = random.uniform(0.3, 0.5, count) if opposite else np.ones(count)
    second = _rgb(hue + (0.5 if opposite else 0.1), 0.8 * saturation, value)
    return first[:, None, None], second[:, None, None]


def _rgb(hue: np.ndarray, saturation: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Colours (n, 3), 0 to 255; hue counts turns."""
    sector = np.mod(hue[:, None] * 6 + np.array([0, 4, 2]), 6)
    pure = np.clip(np.abs(sector - 3) - 1, 0, 1)
    return (255 * value[:, None] * (1 - saturation[:, None] * (1 - pure))).astype(np.float32)


def _background(count: int, random: np.random.Generator) -> np.ndarray:
    """Soft blotches around a random muted colour."""
    cells = 6
    base = _rgb(random.random(count), random.uniform(0, 0.5, count), random.uniform(0.3, 0.8, count))
    coarse = base[:, None, None] + random.normal(0, 22, (count, cells, cells, 3))
    position = np.linspace(0, cells - 1, SIZE)
    stretch = np.maximum(0, 1 - np.abs(position[:, None] - np.arange(cells))).astype(np.float32)
    wide = np.einsum("xj,nijc->nixc", stretch, coarse.astype(np.float32), optimize=True)
    return np.einsum("yi,nixc->nyxc", stretch, wide, optimize=True)


def _paint_clutter(picture: np.ndarray, random: np.random.Generator) -> None:
    """Paint one partly transparent ellipse of a random colour into each image, in place."""
    count = len(picture)
    column, row = _column(random.uniform(0, SIZE, count)), _column(random.uniform(0, SIZE, count))
    width, height = _column(random.uniform(3, 14, count)), _column(random.uniform(3, 14, count))
    distance = np.hypot((_COLUMNS - column) / width, (_ROWS - row) / height)
    strength = _column(random.uniform(0.4, 0.9, count))
    cover = np.clip((1 - distance) * np.minimum(width, height) + 0.5, 0, 1) * strength
    colour = _rgb(random.random(count), random.uniform(0, 0.8, count), random.uniform(0.2, 1, count))
    picture += (colour[:, None, None] - picture) * cover[..., None]


def _light(count: int, random: np.random.Generator) -> np.ndarray:
    slope_x, slope_y = (
        _column(random.uniform(-0.25, 0.25, count)),
        _column(random.uniform(-0.25, 0.25, count)),
    )
    level = _column(random.uniform(0.75, 1.1, count))
    return (level + slope_x * (_COLUMNS / SIZE - 0.5) + slope_y * (_ROWS / SIZE - 0.5))[..., None]


def _boxes(inside: np.ndarray) -> np.ndarray:
    rows, columns = inside.any(axis=2), inside.any(axis=1)
    left, top = columns.argmax(axis=1), rows.argmax(axis=1)
    right, bottom = SIZE - 1 - columns[:, ::-1].argmax(axis=1), SIZE - 1 - rows[:, ::-1].argmax(axis=1)
    return np.stack([left, top, right, bottom], axis=1)
