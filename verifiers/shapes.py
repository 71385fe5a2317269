"""Checks pictures of coloured shapes by classical image analysis: no weights, no learning.

Reads the objects of a 32 x 32 picture (hue, connected component, outline against templates) and
compares them with a sentence, in the manner of GenEval's detector-based scoring (Ghosh et al.
2023, arXiv:2310.11513).  It is the ground truth of the built-in studies, so it is strict: the
multiset of objects must match exactly and a relation must hold clearly for every object.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from noise_search.pipelines.shapes.scenes import COLORS, RELATIONS, SHAPES, Scene, parse

__all__ = ["FoundObject", "is_correct", "read_scene"]

_SIDE = 32
_VISIBLE = 96.0  # Of 255, in colourfulness or brightness: about half of a true object's.
_SPECK = 6  # Components of fewer pixels are no objects; the smallest true one has some 25.
_SMALLEST, _LARGEST = 12.0, 200.0  # Areas an object of the language can have, generously.
_MIN_IOU = 0.70
_MIN_LEAD = 3.0  # Pixels by which "left of" and the others must hold.
_TOUCHING = np.ones((3, 3), dtype=bool)

_Plane = NDArray[np.float64]


class FoundObject(NamedTuple):
    """One object of a picture; ``None`` for a colour or outline that is none of the language.

    ``centre`` is (x, y) in pixels from the top left corner, ``area`` is in pixels.
    """

    color: str | None
    shape: str | None
    centre: tuple[float, float]
    area: float


def read_scene(image: NDArray[np.generic]) -> tuple[FoundObject, ...]:
    """The objects of a (32, 32, 3) picture with values 0 to 255, in no particular order.

    A picture with values that are not finite has no objects.
    """
    if image.shape != (_SIDE, _SIDE, 3):
        raise ValueError(f"a picture of shape (32, 32, 3) is wanted, not {image.shape}")
    pixels = image.astype(np.float64)
    if not np.isfinite(pixels).all():
        return ()
    pixels = pixels.clip(0.0, 255.0)
    high, low = pixels.max(axis=2), pixels.min(axis=2)
    chroma = high - low
    vivid = chroma > _VISIBLE
    hue = np.where(vivid, _nearest_hue(pixels, high, chroma), -1)
    found: list[FoundObject] = []
    for index in np.unique(hue[vivid]):
        found += _objects(COLORS[index], hue == index, chroma)
    # Bright but colourless: an object all the same, and none that a sentence can name.
    return (*found, *_objects(None, (high > _VISIBLE) & ~vivid & ~_rim(vivid), high))


def _nearest_hue(pixels: _Plane, high: _Plane, chroma: _Plane) -> NDArray[np.int64]:
    """The index into COLORS, 60 degrees apart, nearest to each pixel's hue."""
    red, green, blue = np.moveaxis(pixels, 2, 0)
    span = np.maximum(chroma, 1e-9)
    sixth = np.where(
        high == red,
        (green - blue) / span,
        np.where(high == green, 2.0 + (blue - red) / span, 4.0 + (red - green) / span),
    )
    index: NDArray[np.int64] = np.rint(sixth).astype(np.int64) % len(COLORS)
    return index


def _rim(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask grown by one pixel: the partly covered outline that a threshold cuts off."""
    grown: NDArray[np.bool_] = ndimage.binary_dilation(mask, _TOUCHING)
    return grown


def _objects(color: str | None, mask: NDArray[np.bool_], strength: _Plane) -> list[FoundObject]:
    labels, _ = ndimage.label(mask, _TOUCHING)
    found = []
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        # All that follows needs only the object and the pixels around it.
        window = tuple(slice(max(side.start - 2, 0), side.stop + 2) for side in box)
        inside = labels[window] == label
        if inside.sum() >= _SPECK:
            corner = (window[1].start, window[0].start)
            found.append(_describe(color, inside, strength[window], corner))
    return found


def _describe(
    color: str | None, inside: NDArray[np.bool_], strength: _Plane, corner: tuple[int, int]
) -> FoundObject:
    full = float(np.quantile(strength[inside], 0.75))
    cover = np.where(_rim(inside), np.minimum(strength / full, 1.0), 0.0)
    area = float(cover.sum())
    height, width = cover.shape
    x = np.arange(width, dtype=np.float64) + 0.5 + corner[0]
    y = np.arange(height, dtype=np.float64) + 0.5 + corner[1]
    centre = (float(cover.sum(axis=0) @ x / area), float(cover.sum(axis=1) @ y / area))
    shape = None
    if color is not None and _SMALLEST <= area <= _LARGEST:
        dx: _Plane = x[None, :] - centre[0]
        dy: _Plane = y[:, None] - centre[1]
        overlaps = [
            _overlap(cover, _distance(name, dx.astype(np.float64), dy.astype(np.float64), area))
            for name in SHAPES
        ]
        best = int(np.argmax(overlaps))
        shape = SHAPES[best] if overlaps[best] >= _MIN_IOU else None
    return FoundObject(color, shape, centre, area)


def _overlap(cover: _Plane, distance: _Plane) -> float:
    """Soft intersection over union with the template of a signed distance."""
    template = np.clip(0.5 - distance, 0.0, 1.0)
    return float(np.minimum(cover, template).sum() / np.maximum(cover, template).sum())


def _distance(shape: str, x: _Plane, y: _Plane, area: float) -> _Plane:
    """Signed distance to the outline of a shape of that area around 0, negative inside."""
    distance: _Plane
    if shape == "circle":
        distance = np.hypot(x, y) - (area / np.pi) ** 0.5
    elif shape == "square":
        distance = np.maximum(np.abs(x), np.abs(y)) - area**0.5 / 2
    else:
        # Equilateral with a point up; its area is 3 sqrt(3) times the inradius squared.
        inradius = (area / 27**0.5) ** 0.5
        distance = np.maximum(np.abs(x) * 0.75**0.5 - y / 2, y) - inradius
    return distance


def is_correct(image: NDArray[np.generic], caption: str) -> bool:
    """Whether the picture shows exactly what the sentence says.

    Raises ``ValueError`` for a sentence outside the language.
    """
    scene = parse(caption)
    found = read_scene(image)
    wanted: Counter[tuple[str | None, str | None]] = Counter()
    for group in scene.groups:
        wanted[group.color, group.shape] += group.count
    if Counter((item.color, item.shape) for item in found) != wanted:
        return False
    return scene.relation is None or _relation_holds(scene, found)


def _relation_holds(scene: Scene, found: tuple[FoundObject, ...]) -> bool:
    """Every object of the first group against the one of the second."""
    first = [item.centre for item in found if item.color == scene.first.color]
    (target,) = [item.centre for item in found if item.color != scene.first.color]
    across = scene.relation in RELATIONS[:2]
    sign = 1.0 if scene.relation in ("left of", "above") else -1.0
    for centre in first:
        dx, dy = target[0] - centre[0], target[1] - centre[1]
        lead, other = (sign * dx, abs(dy)) if across else (sign * dy, abs(dx))
        # The named axis must dominate: "left of" that is rather "above" does not count.
        if lead < _MIN_LEAD or lead <= other:
            return False
    return True
