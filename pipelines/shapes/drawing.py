"""Placing and drawing objects on a 32 x 32 canvas, many scenes at a time.

Everything is an array over (scene, object): positions come from rejection sampling, outlines from
signed distances, so thousands of pictures a second need no loop over pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["HUES", "REACH", "SIDE", "Floats", "Layout", "Picture", "draw", "place"]

Picture = NDArray[np.uint8]
Floats = NDArray[np.float32]

SIDE = 32
HUES = np.array(
    [(1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 1, 1), (0, 0, 1), (1, 0, 1)], dtype=np.float32
)
"""RGB of the six hues."""

REACH = np.array([1.0, 0.88 * 2**0.5, 1.35], dtype=np.float32)
"""Radius of the circle around a circle, a square, a triangle of size 1: near equal areas."""

_SLOTS = 4
_GAP = 2.0  # Clear pixels between the circles around two objects: they never touch.
_MARGIN = 0.6  # Clear pixels to the border, so that no outline is cut.
_BACKGROUND = (10.0, 26.0)
_BRIGHTNESS = (215.0, 255.0)
_SIZES = {1: (4.0, 5.5), 2: (3.8, 5.0), 3: (3.4, 4.2), 4: (3.2, 3.9)}
_DOMINANCE = 3.0  # A relation leads the other axis by this many pixels: "left" is not "above".
_TRIES = 48
_ROUNDS = 200


@dataclass(frozen=True)
class Layout:
    """A scene as indices: one entry an object, and the relation of group 0 to group 1."""

    colors: tuple[int, ...]
    shapes: tuple[int, ...]
    groups: tuple[int, ...]
    relation: int | None


def place(layouts: Sequence[Layout], rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Centres (B, 4, 2) as (x, y) and sizes (B, 4); rejection sampling until all fit."""
    centres = np.zeros((len(layouts), _SLOTS, 2), dtype=np.float32)
    sizes = np.zeros((len(layouts), _SLOTS), dtype=np.float32)
    open_ = np.arange(len(layouts))
    for _ in range(_ROUNDS):
        if open_.size == 0:
            return centres, sizes
        xy, size, fits = _propose([layouts[int(i)] for i in open_], rng)
        done = fits.any(axis=1)
        pick = fits.argmax(axis=1)
        rows = np.flatnonzero(done)
        centres[open_[rows]] = xy[rows, pick[rows]]
        sizes[open_[rows]] = size[rows]
        open_ = open_[~done]
    raise RuntimeError(f"no room found for {layouts[int(open_[0])]}")


def _propose(
    layouts: Sequence[Layout], rng: np.random.Generator
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """48 candidate placements a scene: centres (B, T, 4, 2), sizes (B, 4), which fit (B, T)."""
    batch = len(layouts)
    shapes = _padded([layout.shapes for layout in layouts], 0)
    groups = _padded([layout.groups for layout in layouts], -1)
    low, high = np.array([_SIZES[len(layout.colors)] for layout in layouts], np.float32).T
    size = low[:, None] + (high - low)[:, None] * rng.random((batch, _SLOTS), dtype=np.float32)
    reach = REACH[shapes] * size
    edge = (reach + _MARGIN)[:, None, :, None]
    xy = edge + (SIDE - 2 * edge) * rng.random((batch, _TRIES, _SLOTS, 2), dtype=np.float32)
    apart = np.ones((batch, _TRIES), dtype=np.bool_)
    for i in range(_SLOTS):
        for j in range(i):
            away = np.hypot(*np.moveaxis(xy[:, :, i] - xy[:, :, j], -1, 0))
            missing = (groups[:, i] < 0) | (groups[:, j] < 0)
            apart &= missing[:, None] | (away > (reach[:, i] + reach[:, j] + _GAP)[:, None])
    return xy, size, apart & _related(layouts, xy, groups)


def _related(layouts: Sequence[Layout], xy: Floats, groups: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which placements (B, T) keep the relation, for each object of group 0 against group 1."""
    none = -1
    relation = np.array([none if lay.relation is None else lay.relation for lay in layouts])
    sign = np.where(relation % 2 == 0, 1.0, -1.0)[:, None]  # left, above: group 0 is smaller
    axis = (relation // 2 == 1).astype(np.int64)  # 0 for x, 1 for y
    last = (groups == 1).argmax(axis=1)  # The second group is one object.
    rows = np.arange(len(layouts))
    target = xy[rows, :, last]
    keeps = np.ones(xy.shape[:2], dtype=np.bool_)
    for slot in range(_SLOTS):
        offset = target - xy[:, :, slot]
        lead = sign * offset[rows, :, axis] - np.abs(offset[rows, :, 1 - axis])
        keeps &= (groups[:, slot] != 0)[:, None] | (lead > _DOMINANCE)
    keeps |= (relation == none)[:, None]
    return keeps


def _padded(rows: Sequence[tuple[int, ...]], fill: int) -> NDArray[np.int64]:
    out = np.full((len(rows), _SLOTS), fill, dtype=np.int64)
    for i, row in enumerate(rows):
        out[i, : len(row)] = row
    return out


def coverage(shapes: NDArray[np.int64], centres: Floats, sizes: Floats) -> Floats:
    """How much of each pixel an object covers: (..., 32, 32) in [0, 1], anti-aliased."""
    grid = np.arange(SIDE, dtype=np.float32) + 0.5
    x = grid[None, :] - centres[..., 0, None, None]
    y = grid[:, None] - centres[..., 1, None, None]
    r = sizes[..., None, None]
    which = shapes[..., None, None]
    circle = np.sqrt(x * x + y * y) - r
    square = np.maximum(np.abs(x), np.abs(y)) - 0.88 * r
    # Equilateral, point up: three half planes at the inradius, half the circumradius 1.35 r.
    slope = np.float32(3**0.5 / 2)
    triangle = np.maximum(np.abs(x) * slope - y * 0.5, y) - 0.675 * r
    distance = np.where(which == 0, circle, np.where(which == 1, square, triangle))
    covered: Floats = np.clip(0.5 - distance, 0.0, 1.0).astype(np.float32)
    return covered


def draw(
    layouts: Sequence[Layout], centres: Floats, sizes: Floats, rng: np.random.Generator
) -> Picture:
    """Paint the objects on a dark background: (B, 32, 32, 3) uint8."""
    batch = len(layouts)
    present = _padded([layout.groups for layout in layouts], -1) >= 0
    shapes = _padded([layout.shapes for layout in layouts], 0)
    colors = HUES[_padded([layout.colors for layout in layouts], 0)]
    light = rng.uniform(*_BRIGHTNESS, size=(batch, _SLOTS, 1)).astype(np.float32)
    ground = rng.uniform(*_BACKGROUND, size=(batch, 1, 1, 1)).astype(np.float32)
    covered = coverage(shapes, centres, sizes) * present[:, :, None, None]
    # Objects are disjoint, so colours add: ground + sum of cover * (colour - ground).
    paint = np.maximum(colors * light, ground[:, :, 0]) - ground[:, :, 0]
    pixels = ground + np.einsum("bshw,bsc->bhwc", covered, paint)
    picture: Picture = np.rint(pixels).astype(np.uint8)
    return picture
