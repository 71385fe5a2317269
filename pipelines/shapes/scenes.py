"""The language of coloured shapes and the pictures it describes.

A sentence names one or two groups of objects ("three red circles", "a red circle left of a
blue square").  The language is closed: :func:`captions` lists every sentence, :func:`parse` reads
one back, :func:`render` draws it as 32 x 32 RGB.  The categories follow GenEval (Ghosh et al.
2023, arXiv:2310.11513): single object, counting, two objects, position, and mixed (a counted
group beside one object).  12 % of the sentences are held out of all training by a hash.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a prompt is read without NumPy, so that a bad one is refused at once
    import numpy as np

    from noise_search.pipelines.shapes.drawing import Layout, Picture

__all__ = [
    "CATEGORIES",
    "COLORS",
    "RELATIONS",
    "SHAPES",
    "WORDS",
    "Group",
    "Scene",
    "UnknownWord",
    "caption",
    "captions",
    "held_out",
    "held_out_captions",
    "parse",
    "render",
    "render_batch",
    "training_captions",
]

COLORS = ("red", "yellow", "green", "cyan", "blue", "magenta")
"""Six hues, 60 degrees apart on the colour circle, in that order."""

SHAPES = ("circle", "square", "triangle")
RELATIONS = ("left of", "right of", "above", "below")
CATEGORIES = ("single", "count", "pair", "position", "mixed")

_NUMBERS = ("one", "two", "three", "four")
_COUNT_OF = {"a": 1, "an": 1} | {word: n for n, word in enumerate(_NUMBERS, start=1)}
_SHAPE_OF = {shape: (shape, False) for shape in SHAPES} | {s + "s": (s, True) for s in SHAPES}
_HELD_OUT_PERCENT = 12

WORDS = tuple(
    sorted({*_COUNT_OF, *COLORS, *_SHAPE_OF, "and", *(w for r in RELATIONS for w in r.split())})
)
"""Every word of the language, sorted."""


class UnknownWord(ValueError):  # noqa: N818  # the word is what matters, not that it failed
    """A word outside the language; ``word`` is the word, ``known`` is :data:`WORDS`."""

    def __init__(self, word: str, known: tuple[str, ...] = WORDS) -> None:
        super().__init__(f"unknown word {word!r}; the words known are: {', '.join(known)}")
        self.word = word
        self.known = known

    def __reduce__(self) -> tuple[type[UnknownWord], tuple[str, tuple[str, ...]]]:
        # The default rebuilds an exception from its message, which is not the word.
        return (type(self), (self.word, self.known))


@dataclass(frozen=True)
class Group:
    """``count`` objects alike in colour and shape."""

    count: int
    color: str
    shape: str


@dataclass(frozen=True)
class Scene:
    """What a sentence says: one group, or two groups with or without a relation."""

    category: str
    first: Group
    relation: str | None = None
    second: Group | None = None

    @property
    def groups(self) -> tuple[Group, ...]:
        """The one or two groups, in the order of the sentence."""
        return (self.first,) if self.second is None else (self.first, self.second)


def _category(first: Group, relation: str | None, second: Group | None) -> str:
    if second is None:
        return "single" if first.count == 1 else "count"
    if first.count > 1:
        return "mixed"
    return "pair" if relation is None else "position"


def caption(scene: Scene) -> str:
    """The sentence of a scene, in the one spelling that :func:`captions` uses."""
    text = _phrase(scene.first)
    if scene.second is not None:
        text += f" {scene.relation or 'and'} {_phrase(scene.second)}"
    return text


def _phrase(group: Group) -> str:
    if group.count == 1:
        return f"a {group.color} {group.shape}"
    return f"{_NUMBERS[group.count - 1]} {group.color} {group.shape}s"


@lru_cache(maxsize=1)
def _all_captions() -> tuple[str, ...]:
    things = list(product(COLORS, SHAPES))
    found = [Scene("single", Group(1, *thing)) for thing in things]
    found += [Scene("count", Group(n, *thing)) for n in (2, 3, 4) for thing in things]
    # Groups of one colour would need telling apart by outline alone: out of the language.
    pairs = [(a, b) for a, b in product(things, things) if a[0] != b[0]]
    links: list[tuple[int, str | None]] = [(1, None)]
    links += [(1, relation) for relation in RELATIONS]
    links += [(2, None), (3, None)]
    links += [(2, relation) for relation in RELATIONS]
    for n, relation in links:
        for a, b in pairs:
            first, second = Group(n, *a), Group(1, *b)
            found.append(Scene(_category(first, relation, second), first, relation, second))
    return tuple(caption(scene) for scene in found)


def captions() -> list[str]:
    """Every sentence of the language, always in the same order."""
    return list(_all_captions())


def parse(text: str) -> Scene:
    """Read a sentence; case, spacing, "a", "an" or "one" and a final full stop do not matter.

    Raises :class:`UnknownWord` for a word outside :data:`WORDS` and ``ValueError`` for known
    words that make no sentence of the language.
    """
    words = text.strip().removesuffix(".").lower().split()
    for word in words:
        if word not in WORDS:
            raise UnknownWord(word)
    sentence = " ".join(words)
    parts = re.split(rf" (and|{'|'.join(RELATIONS)}) ", f" {sentence} ")
    if len(parts) not in (1, 3):
        raise _no_sentence(sentence, "at most two groups of objects")
    groups = [_parse_group(part.split(), sentence) for part in parts[::2]]
    if len(groups) == 1:
        return Scene(_category(groups[0], None, None), groups[0])
    relation = None if parts[1] == "and" else parts[1]
    first, second = groups
    _check_two_groups(first, relation, second, sentence)
    return Scene(_category(first, relation, second), first, relation, second)


def _parse_group(words: list[str], sentence: str) -> Group:
    if len(words) != 3 or words[0] not in _COUNT_OF or words[1] not in COLORS:
        raise _no_sentence(sentence, "a group is a number, a colour and a shape")
    if words[2] not in _SHAPE_OF:
        raise _no_sentence(sentence, "a group is a number, a colour and a shape")
    count = _COUNT_OF[words[0]]
    shape, plural = _SHAPE_OF[words[2]]
    if plural != (count > 1):
        raise _no_sentence(sentence, f"{words[0]!r} and {words[2]!r} disagree in number")
    return Group(count, words[1], shape)


def _check_two_groups(first: Group, relation: str | None, second: Group, sentence: str) -> None:
    if first.color == second.color:
        raise _no_sentence(sentence, "the two groups must differ in colour")
    if second.count > 1:
        raise _no_sentence(sentence, "the second group is a single object")
    most = 3 if relation is None else 2
    if first.count > most:
        raise _no_sentence(sentence, f"with {relation or 'and'!r} the first group has 1 to {most}")


def _no_sentence(sentence: str, rule: str) -> ValueError:
    return ValueError(f"not a sentence of the shapes language: {sentence!r} ({rule})")


def held_out(text: str) -> bool:
    """Whether the sentence is kept out of all training: 12 % by CRC-32, the same everywhere."""
    canonical = caption(parse(text))
    return zlib.crc32(canonical.encode("ascii")) % 100 < _HELD_OUT_PERCENT


def training_captions() -> list[str]:
    """The sentences a model may be trained on."""
    return [text for text in _all_captions() if not held_out(text)]


def held_out_captions() -> list[str]:
    """The sentences no model has been trained on."""
    return [text for text in _all_captions() if held_out(text)]


def _layout(scene: Scene) -> Layout:
    from noise_search.pipelines.shapes.drawing import Layout

    members = [(k, group) for k, group in enumerate(scene.groups) for _ in range(group.count)]
    return Layout(
        colors=tuple(COLORS.index(group.color) for _, group in members),
        shapes=tuple(SHAPES.index(group.shape) for _, group in members),
        groups=tuple(k for k, _ in members),
        relation=None if scene.relation is None else RELATIONS.index(scene.relation),
    )


def render_batch(scenes: list[Scene], rng: np.random.Generator) -> Picture:
    """Draw scenes with fresh positions, sizes and brightness: (B, 32, 32, 3) uint8."""
    from noise_search.pipelines.shapes.drawing import draw, place

    layouts = [_layout(scene) for scene in scenes]
    return draw(layouts, *place(layouts, rng), rng)


def render(scene: Scene, rng: np.random.Generator) -> Picture:
    """Draw one scene: (32, 32, 3) uint8."""
    picture: Picture = render_batch([scene], rng)[0]
    return picture
