"""Pictures, sentences and hard negatives that train the CLIP-like verifier of the shapes.

Every batch is drawn afresh from :mod:`noise_search.pipelines.shapes.scenes`.  Sentences come in
groups of near misses (another count, colours swapped, relation turned round), in the spirit of
NegCLIP (Yuksekgonul et al. 2023, arXiv:2210.01936), and every sentence gets two pictures: one
that shows it and one that is spoilt (an object missing, doubled, cut, merged, recoloured), because
a verifier of generated pictures is asked about exactly these faults.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from noise_search.pipelines.shapes.drawing import HUES, REACH, SIDE, Layout, place
from noise_search.pipelines.shapes.scenes import (
    COLORS,
    RELATIONS,
    SHAPES,
    Group,
    Scene,
    caption,
    parse,
)

__all__ = [
    "Objects",
    "census",
    "directions",
    "near_misses",
    "occupancy",
    "paint",
    "place_scenes",
    "spoil",
    "truth",
]

Floats = NDArray[np.float32]

_SLOTS = 6  # Four of the language, one extra object, one faint ghost.
_GHOST = 5


@dataclass
class Objects:
    """Objects of B pictures in S slots.

    ``centre`` (B, S, 2), ``size`` (B, S), ``shape`` (B, S), ``color`` (B, S), ``light`` (B, S)
    where 0 means absent, ``cut`` (B, S, 3) a half plane ``x cos + y sin < offset`` that keeps the
    object, ``tint`` (B, S) the colour beyond the cut, -1 for the background, ``stretch`` (B, S)
    half the logarithm of height over width and ``wobble`` (B, S) how many pixels the outline errs.
    """

    centre: Floats
    size: Floats
    shape: NDArray[np.int64]
    color: NDArray[np.int64]
    light: Floats
    cut: Floats
    tint: NDArray[np.int64]
    stretch: Floats
    wobble: Floats


def _spellings(scene: Scene) -> dict[str, list[str]]:
    """Sentences one change away from ``scene``, by the kind of the change (all parse)."""
    one, two, relation = scene.first, scene.second, scene.relation
    found: dict[str, list[Scene]] = {}
    found["count"] = [replace(scene, first=replace(one, count=n)) for n in (1, 2, 3, 4)]
    colors = [replace(scene, first=replace(one, color=c)) for c in COLORS]
    shapes = [replace(scene, first=replace(one, shape=s)) for s in SHAPES]
    if two is not None:
        colors += [replace(scene, second=replace(two, color=c)) for c in COLORS]
        shapes += [replace(scene, second=replace(two, shape=s)) for s in SHAPES]
        first = Group(one.count, two.color, two.shape)
        swapped = replace(scene, first=first, second=Group(1, one.color, one.shape))
        hues = replace(
            scene, first=replace(one, color=two.color), second=replace(two, color=one.color)
        )
        found["swap"] = [swapped, hues]
        found["part"] = [Scene("", one), Scene("", replace(one, count=min(one.count + 1, 4)))]
        if relation is not None:
            # Turning the relation round is the hardest miss, so it is listed as its own kind.
            turned = RELATIONS[RELATIONS.index(relation) ^ 1]
            found["turned"] = [replace(scene, relation=turned)]
            found["relation"] = [replace(scene, relation=r) for r in RELATIONS]
    found["color"], found["shape"] = colors, shapes
    own = caption(scene)
    return {k: [caption(s) for s in v if caption(s) != own] for k, v in found.items()}


def near_misses(sentence: str, allowed: frozenset[str]) -> list[list[str]]:
    """Hard negatives of ``sentence`` among ``allowed``, one non-empty list a kind of change."""
    kinds = _spellings(parse(sentence)).values()
    lists = [[text for text in texts if text in allowed] for texts in kinds]
    return [texts for texts in lists if texts]


def _layout(scene: Scene) -> Layout:
    members = [(k, group) for k, group in enumerate(scene.groups) for _ in range(group.count)]
    return Layout(
        colors=tuple(COLORS.index(group.color) for _, group in members),
        shapes=tuple(SHAPES.index(group.shape) for _, group in members),
        groups=tuple(k for k, _ in members),
        relation=None if scene.relation is None else RELATIONS.index(scene.relation),
    )


def place_scenes(scenes: Sequence[Scene], rng: np.random.Generator) -> Objects:
    """Fresh positions for each scene, with the small flaws that leave it right.

    Flaws: brightness, size up to 12 % off, sides 1 : 1.2, a rough outline, a ghost of 16 % light.
    """
    layouts = [_layout(scene) for scene in scenes]
    batch = len(layouts)
    xy, sizes = place(layouts, rng)
    centre = rng.uniform(4, SIDE - 4, (batch, _SLOTS, 2)).astype(np.float32)
    size = rng.uniform(3.2, 4.5, (batch, _SLOTS)).astype(np.float32)
    shape = rng.integers(len(SHAPES), size=(batch, _SLOTS))
    color = rng.integers(len(COLORS), size=(batch, _SLOTS))
    light = np.zeros((batch, _SLOTS), np.float32)
    for row, layout in enumerate(layouts):
        n = len(layout.colors)
        shape[row, :n], color[row, :n], light[row, :n] = layout.shapes, layout.colors, 1
        centre[row, :n], size[row, :n] = xy[row, :n], sizes[row, :n]
    light *= rng.uniform(0.7, 1.0, light.shape).astype(np.float32)
    size *= rng.uniform(0.88, 1.12, size.shape).astype(np.float32)
    ghosts = rng.uniform(0, 0.16, batch) * (rng.random(batch) < 0.25)
    light[:, _GHOST] = ghosts
    cut = np.tile(np.array([1, 0, 99], np.float32), (batch, _SLOTS, 1))
    tint = np.full((batch, _SLOTS), -1)
    stretch = rng.uniform(-0.09, 0.09, size.shape).astype(np.float32)
    rough = rng.uniform(0, 0.5, (batch, 1)) * (rng.random((batch, 1)) < 0.6)
    wobble = (rough * rng.uniform(0.5, 1.0, size.shape)).astype(np.float32)
    return Objects(centre, size, shape, color, light, cut, tint, stretch, wobble)


# Faded, merged, one too many, recoloured, reshaped, cut, stretched, grown together with a twin.
_FAULTS = (0.1, 0.12, 0.15, 0.08, 0.11, 0.12, 0.15, 0.17)


def spoil(objects: Objects, counts: Sequence[int], rng: np.random.Generator) -> None:
    """Spoil every picture in place, so that its own sentence (``counts`` objects) is wrong."""
    for row, count in enumerate(counts):
        who, color, shape = int(rng.integers(count)), objects.color, objects.shape
        kind = int(rng.choice(8, p=_FAULTS))
        if kind == 0 or (kind == 1 and not _merge(objects, row, who, count, rng)):
            _fade(objects, row, who, rng)
        elif kind == 2:
            _double(objects, row, who, count, rng)
        elif kind == 3:
            color[row, who] = _other(color[row, who], len(COLORS), rng)
        elif kind == 4:
            shape[row, who] = _other(shape[row, who], len(SHAPES), rng)
        elif kind == 5:
            _slice(objects, row, who, rng)
        elif kind == 6:
            objects.stretch[row, who] = rng.uniform(0.2, 0.45) * rng.choice((-1, 1))
        elif kind == 7:
            _twin(objects, row, who, rng)


def _other(value: np.int64, options: int, rng: np.random.Generator) -> int:
    return int((value + rng.integers(1, options)) % options)


def _fade(objects: Objects, row: int, who: int, rng: np.random.Generator) -> None:
    if rng.random() < 0.6:
        objects.light[row, who] *= rng.uniform(0, 0.25)
    else:
        objects.size[row, who] *= rng.uniform(0.25, 0.5)


def _double(objects: Objects, row: int, who: int, count: int, rng: np.random.Generator) -> None:
    """One object too many, most often the like of one that is there, where there is room."""
    if rng.random() < 0.7:
        objects.color[row, 4] = objects.color[row, who]
        objects.shape[row, 4] = objects.shape[row, who]
    spots = rng.uniform(4.5, SIDE - 4.5, (24, 2)).astype(np.float32)
    away = np.hypot(*np.moveaxis(spots[:, None] - objects.centre[row, None, :count], -1, 0))
    objects.centre[row, 4] = spots[away.min(axis=1).argmax()]
    objects.size[row, 4] = objects.size[row, who] * rng.uniform(0.75, 1.05)
    objects.light[row, 4] = rng.uniform(0.5, 1.0)


def _twin(objects: Objects, row: int, who: int, rng: np.random.Generator) -> None:
    """A second of its kind overlaps the object or just touches it."""
    for part in (objects.color, objects.shape, objects.light, objects.wobble):
        part[row, 4] = part[row, who]
    objects.size[row, 4] = objects.size[row, who] * rng.uniform(0.6, 1.0)
    away = rng.uniform(0.8, 1.8) * objects.size[row, who]
    angle = rng.uniform(0, 2 * np.pi)
    objects.centre[row, 4] = objects.centre[row, who] + away * np.array(
        [np.cos(angle), np.sin(angle)], np.float32
    )


def _slice(objects: Objects, row: int, who: int, rng: np.random.Generator) -> None:
    """Cut a part away, or paint it in another colour."""
    angle = rng.uniform(0, 2 * np.pi)
    offset = rng.uniform(-0.4, 0.1) * objects.size[row, who]
    objects.cut[row, who] = (np.cos(angle), np.sin(angle), offset)
    if rng.random() < 0.5:
        objects.tint[row, who] = _other(objects.color[row, who], len(COLORS), rng)


def _merge(objects: Objects, row: int, who: int, count: int, rng: np.random.Generator) -> bool:
    """Push the object into another of its colour (or deep into any); False if it is alone."""
    if count == 1:
        return False
    mate = (who + int(rng.integers(1, count))) % count
    alike = objects.color[row, mate] == objects.color[row, who]
    reach = float(objects.size[row, mate] + objects.size[row, who])
    step = rng.uniform(0.3, 0.8 if alike else 0.5) * reach
    away = objects.centre[row, who] - objects.centre[row, mate]
    away = away / max(float(np.hypot(*away)), 1e-3)
    objects.centre[row, who] = objects.centre[row, mate] + step * away
    return True


def paint(objects: Objects, rng: np.random.Generator) -> Floats:
    """Paint (B, 32, 32, 3) in [0, 1]; later slots lie over earlier ones, the ghost below all."""
    grid = np.arange(SIDE, dtype=np.float32) + 0.5
    x = grid[None, None, None, :] - objects.centre[..., 0, None, None]
    y = grid[None, None, :, None] - objects.centre[..., 1, None, None]
    taller = np.exp(objects.stretch)[..., None, None]
    x, y = x * taller, y / taller
    r, which = objects.size[..., None, None], objects.shape[..., None, None]
    outline = np.where(
        which == 0,
        np.sqrt(x * x + y * y) - r,
        np.where(
            which == 1,
            np.maximum(np.abs(x), np.abs(y)) - np.float32(REACH[1] / 2**0.5) * r,
            np.maximum(np.abs(x) * np.float32(3**0.5 / 2) - y * 0.5, y) - REACH[2] / 2 * r,
        ),
    )
    cos, sin, offset = np.moveaxis(objects.cut[..., None, None], 2, 0)
    beyond = np.clip(0.5 + x * cos + y * sin - offset, 0, 1) * (offset < 50)
    cover = np.clip(0.5 - outline - _rough(len(r), rng) * objects.wobble[..., None, None], 0, 1)
    ground = rng.uniform(0.03, 0.11, (len(cover), 1, 1, 1)).astype(np.float32)
    canvas = np.broadcast_to(ground, (*cover.shape[:1], SIDE, SIDE, 3)).copy()
    hue = _hues(objects.color, rng) * objects.light[..., None]
    tinted = np.where(objects.tint[..., None] < 0, ground[:, 0], HUES[objects.tint])
    for slot in (_GHOST, *range(_GHOST)):
        there = np.minimum(1, objects.light[:, slot] * 8)
        alpha = (cover[:, slot] * there[:, None, None])[..., None]
        mix = beyond[:, slot, ..., None]
        fill = hue[:, slot, None, None] * (1 - mix) + tinted[:, slot, None, None] * mix
        canvas += alpha * (np.maximum(fill, ground) - canvas)
    return canvas.astype(np.float32)


def _rough(batch: int, rng: np.random.Generator) -> Floats:
    """Smooth noise of unit variance, one field a picture: (B, 1, 32, 32)."""
    noise = rng.standard_normal((batch, SIDE, SIDE), np.float32)
    for axis in (1, 2):
        noise = 0.5 * noise + 0.25 * (np.roll(noise, 1, axis) + np.roll(noise, -1, axis))
    field: Floats = (noise / noise.std())[:, None]
    return field


def _hues(color: NDArray[np.int64], rng: np.random.Generator) -> Floats:
    """RGB of the hues, each shifted a little as a generator's colours are: (..., 3)."""
    shift = rng.uniform(0, 0.22, (*color.shape, 3)).astype(np.float32)
    rgb = HUES[color]
    return (rgb + shift * (rng.random((*color.shape, 1)) < 0.5) * (0.6 - rgb)).astype(np.float32)


def occupancy(objects: Objects, cells: int) -> Floats:
    """Which colour and outline has its centre in which cell: (B, 18, cells, cells), 0 or 1."""
    batch = len(objects.centre)
    found = np.zeros((batch, len(COLORS) * len(SHAPES), cells, cells), np.float32)
    row, slot = np.nonzero(objects.light > 0.3)
    x, y = np.clip(objects.centre[row, slot].T * cells / SIDE, 0, cells - 1).astype(np.int64)
    kind = objects.color[row, slot] * len(SHAPES) + objects.shape[row, slot]
    found[row, kind, y, x] = 1
    return found


_SAID = np.array([(-1, 0), (1, 0), (0, -1), (0, 1)], np.float32)  # First group from the second.


def directions(scenes: Sequence[Scene], objects: Objects) -> tuple[Floats, Floats]:
    """Unit vectors from the other group to each colour, as drawn and as said: (B, 6, 2) each.

    Zero for colours that are absent, and in the second array where no relation is said.
    """
    drawn, said = np.zeros((2, len(scenes), len(COLORS), 2), np.float32)
    for row, scene in enumerate(scenes):
        if scene.second is None:
            continue
        one, two = COLORS.index(scene.first.color), COLORS.index(scene.second.color)
        n = scene.first.count
        away = objects.centre[row, :n].mean(axis=0) - objects.centre[row, n]
        drawn[row, one] = away / max(float(np.hypot(*away)), 1e-3)
        drawn[row, two] = -drawn[row, one]
        if scene.relation is not None:
            said[row, one] = _SAID[RELATIONS.index(scene.relation)]
            said[row, two] = -said[row, one]
    return drawn, said


def census(scenes: Sequence[Scene]) -> Floats:
    """How many objects there are of each colour and outline: (B, 18)."""
    found = np.zeros((len(scenes), len(COLORS) * len(SHAPES)), np.float32)
    for row, scene in enumerate(scenes):
        for group in scene.groups:
            kind = COLORS.index(group.color) * len(SHAPES) + SHAPES.index(group.shape)
            found[row, kind] += group.count
    return found


def truth(scenes: Sequence[Scene], objects: Objects) -> NDArray[np.int8]:
    """Does picture i show sentence j of the same list: (B, B); 1 yes, 0 no, -1 undecided.

    The same objects without the relation, or with a relation that happens to hold, are undecided:
    such pairs stay out of the loss, because neither pulling nor pushing would be right.
    """
    kinds = [tuple(sorted((g.color, g.shape, g.count) for g in s.groups)) for s in scenes]
    texts = [caption(s) for s in scenes]
    out = np.zeros((len(scenes), len(scenes)), np.int8)
    for i, j in _equal_pairs(kinds):
        if texts[i] == texts[j]:
            out[i, j] = 1
        elif scenes[j].relation is None or _lead(scenes[i], scenes[j], objects, i) > -1.0:
            out[i, j] = -1
    return out


def _equal_pairs(kinds: Sequence[object]) -> list[tuple[int, int]]:
    places: dict[object, list[int]] = {}
    for index, kind in enumerate(kinds):
        places.setdefault(kind, []).append(index)
    return [(i, j) for rows in places.values() for i in rows for j in rows]


def _lead(drawn: Scene, said: Scene, objects: Objects, row: int) -> float:
    """By how many pixels the relation ``said`` leads the other axis in picture ``row``."""
    n = drawn.first.count
    index = RELATIONS.index(said.relation or "")
    offset = objects.centre[row, n] - objects.centre[row, :n]  # From first group to second.
    if said.first.color != drawn.first.color:
        offset = -offset
    sign = 1 if index % 2 == 0 else -1
    axis = index // 2
    return float((sign * offset[:, axis] - np.abs(offset[:, 1 - axis])).min())
