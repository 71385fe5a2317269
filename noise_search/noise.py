"""Noise as a name: a recipe from which the tensors of a whole path can be made again.

A recipe holds numbers and the *names* of its parents, never other recipes, so a chain of
ten thousand neighbors pickles as flat lines. Its name is a digest of its content; equality
and hash go by name. A recipe names a path, not one tensor: step 0 is the initial noise, step
p > 0 the noise injected at step p, step -p the noise of a renoising that lands on stage p.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from math import sqrt
from typing import ClassVar, Generic, NamedTuple, Protocol, Self, TypeVar

Name = str
Field = str | int | float


def digest(*parts: object) -> Name:
    """A name of 16 hex characters for a tuple of JSON values, the same in every process."""
    text = json.dumps(parts, separators=(",", ":"), allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def seed_from(*parts: object, bits: int = 63) -> int:
    """A seed of so many bits, as a function of its parts."""
    return int(digest(*parts), 16) >> (64 - bits)


class Array(Protocol):
    """What recipes need of a numpy array or a tensor."""

    def __add__(self, other: Self, /) -> Self: ...
    def __sub__(self, other: Self, /) -> Self: ...
    def __mul__(self, other: Self | float, /) -> Self: ...
    def __truediv__(self, other: Self | float, /) -> Self: ...
    def sum(self) -> Self:
        """The sum of all elements."""
        ...

    def __float__(self) -> float: ...


A = TypeVar("A", bound=Array)
A_co = TypeVar("A_co", bound=Array, covariant=True)


class Source(Protocol[A_co]):
    """Where a recipe finds numbers."""

    def draw(self, seed: int, /) -> A_co:
        """A standard normal array of the sample's shape, in float64."""
        ...

    def tensor(self, name: Name, step: int, /) -> A_co:
        """The array of another recipe."""
        ...


@dataclass(frozen=True, eq=False)
class Recipe:
    """Base of all recipes; a new kind is one dataclass with `make` in this module."""

    kind: ClassVar[str]
    kinds: ClassVar[dict[str, type[Recipe]]] = {}

    def __init_subclass__(cls) -> None:
        cls.kind = cls.__name__.lower()
        Recipe.kinds[cls.kind] = cls

    @cached_property
    def name(self) -> Name:
        """The digest of kind and fields."""
        return digest(self.kind, *(getattr(self, f.name) for f in fields(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Recipe) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    @property
    def parents(self) -> tuple[Name, ...]:
        """Names of the recipes this one is made from."""
        return ()

    def make(self, source: Source[A], step: int) -> A:
        """The array of one step."""
        raise TypeError(f"{self.kind} has no arrays of its own")

    def line(self) -> dict[str, Field]:
        """The flat record; `Recipe.read` is its inverse."""
        return {
            "name": self.name,
            "kind": self.kind,
            **{f.name: getattr(self, f.name) for f in fields(self)},
        }

    @staticmethod
    def read(line: Mapping[str, Field]) -> Recipe:
        """The recipe of a flat record.

        Raises:
            ValueError: the kind is unknown, or the record does not match its own name.
        """
        known = Recipe.kinds.get(str(line.get("kind")))
        if known is None:
            raise ValueError(f"noise of unknown kind {line.get('kind')!r}")
        try:
            recipe = known(**{f.name: line[f.name] for f in fields(known)})
        except KeyError as missing:
            raise ValueError(f"a {known.kind} noise without {missing}") from None
        if line.get("name", recipe.name) != recipe.name:
            raise ValueError(f"noise {line['name']} does not match its record")
        return recipe


@dataclass(frozen=True, eq=False)
class Gaussian(Recipe):
    """Standard normal noise. Step 0 is `torch.randn` of this very seed on the CPU."""

    seed: int

    def make(self, source: Source[A], step: int) -> A:
        """Draw from this seed at step 0, from a seed derived of (seed, step) elsewhere."""
        return source.draw(self.seed if step == 0 else seed_from("step", self.seed, step))


@dataclass(frozen=True, eq=False)
class Neighbor(Recipe):
    """A noise of the same norm at an exact cosine to `of`, at every step of the path.

    y = |x| (c u + sqrt(1 - c^2) w), u = x / |x|, w a random unit vector orthogonal to u: the
    neighborhood of zero-order search (Ma et al. 2501.09732, App. A; formula by its first author).
    """

    of: Name
    seed: int
    cosine: float

    @property
    def parents(self) -> tuple[Name, ...]:
        """The pivot."""
        return (self.of,)

    def make(self, source: Source[A], step: int) -> A:
        """Rotate the pivot's array of this step by arccos(cosine) in a random plane."""
        x = source.tensor(self.of, step)
        v = source.draw(seed_from("step", self.seed, step))
        square = float((x * x).sum())
        if square == 0.0:
            raise ValueError("a noise of norm 0 has no neighbors")
        w = v - x * (float((v * x).sum()) / square)
        stretch = sqrt((1.0 - self.cosine**2) * square / float((w * w).sum()))
        return x * self.cosine + w * stretch


@dataclass(frozen=True, eq=False)
class Tokens(Recipe):
    """The uniform random numbers that decide which tokens a text is made of, step by step."""

    seed: int


@dataclass(frozen=True, eq=False)
class Revision(Recipe):
    """The random numbers of a text that is written with the text of `of` before its eyes.

    A chain of revisions is a chain of names: the texts of `of`, of what that was a revision of,
    and so on, are in context, the latest `SEEN` of them (Snell et al. 2408.03314, section 6.1).
    """

    of: Name
    seed: int

    SEEN: ClassVar[int] = 4

    @property
    def parents(self) -> tuple[Name, ...]:
        """What is revised."""
        return (self.of,)


@dataclass(frozen=True, eq=False)
class Splice(Recipe):
    """The whole path of a continued candidate: `head` up to stage `at`, then `tail`.

    With `rewind` > 0 the sample is first renoised from stage `at` to `at - rewind` with the
    tail's array of step -(at - rewind).
    """

    head: Name
    tail: Name
    at: int
    rewind: int

    @property
    def parents(self) -> tuple[Name, ...]:
        """Head and tail."""
        return (self.head, self.tail)

    def make(self, source: Source[A], step: int) -> A:
        """The head's array before the cut, the tail's after it."""
        cut = self.at - self.rewind
        before = step < cut if step >= 0 else -step != cut
        return source.tensor(self.head if before else self.tail, step)


@dataclass(frozen=True)
class Medium:
    """What samples are made of, and so how their noises are named and what they are paid in.

    Attributes:
        name: "latents" or "text".
        fresh: names a new noise, by its seed.
        near: names a noise near another: of (name, seed, strength).
        unit: the field of `Cost` that its budgets and curves are told in.
        answers: samples come to an answer, of which several can agree, and may end early.
    """

    name: str
    fresh: Callable[[int], Recipe]
    near: Callable[[Name, int, float], Recipe]
    unit: str
    answers: bool


LATENTS = Medium("latents", Gaussian, Neighbor, "nfe", answers=False)
TEXT = Medium("text", Tokens, lambda of, seed, _: Revision(of, seed), "tokens_out", answers=True)


class Segment(NamedTuple):
    """One stretch of a path: go back by `rewind` stages, then on to `until` under `noise`.

    Attributes:
        noise: what it is walked under.
        rewind: stages that it goes back first.
        until: the stage it leads to.
        before: name of the path that it goes on from; empty at the beginning.
    """

    noise: Recipe
    rewind: int
    until: int
    before: Name = ""


class Book:
    """All recipes a run has named, by name. Grows only; parents always come first."""

    def __init__(self, recipes: Iterable[Recipe] = ()) -> None:
        self._recipes: dict[Name, Recipe] = {}
        for recipe in recipes:
            self.add(recipe)

    def __contains__(self, name: object) -> bool:
        return name in self._recipes

    def __getitem__(self, name: Name) -> Recipe:
        return self._recipes[name]

    def add(self, recipe: Recipe) -> None:
        """Note a recipe.

        Raises:
            ValueError: a parent is not in the book.
        """
        if recipe.name in self._recipes:
            return
        for parent in recipe.parents:
            if parent not in self._recipes:
                raise ValueError(f"noise {recipe.name} has an unknown parent {parent}")
        self._recipes[recipe.name] = recipe

    def closure(
        self, names: Iterable[Name], known: Callable[[Name], bool] = lambda _: False
    ) -> list[Recipe]:
        """The recipes of these names and all their ancestors, parents first, less the known."""
        found: dict[Name, Recipe] = {}
        todo = list(names)
        while todo:
            recipe = self._recipes[todo[-1]]
            missing = [p for p in recipe.parents if p not in found and not known(p)]
            if missing and recipe.name not in found:
                todo.extend(missing)
                continue
            todo.pop()
            if not known(recipe.name):
                found.setdefault(recipe.name, recipe)
        return list(found.values())

    def segments(self, noise: Recipe, until: int) -> list[Segment]:
        """The stretches that lead from nothing to stage `until` along this path."""
        found: list[Segment] = []
        first = noise
        while isinstance(first, Splice):
            found.append(Segment(self._recipes[first.tail], first.rewind, until, first.head))
            until, first = first.at, self._recipes[first.head]
        return [Segment(first, 0, until), *reversed(found)]

    def revised(self, noise: Recipe) -> list[Name]:
        """The paths whose texts are in context, oldest first; none but for a revision."""
        found: list[Name] = []
        first = self.segments(noise, 0)[0].noise
        while isinstance(first, Revision) and len(found) < Revision.SEEN:
            found.append(first.of)
            first = self.segments(self._recipes[first.of], 0)[0].noise
        return found[::-1]


class Tensors(Generic[A]):
    """Makes the arrays that recipes name; arrays of pivots are kept, the oldest let go.

    Arrays depend on (recipe, step) alone, not on batch, position, device or process.

    Args:
        book: the recipes.
        draw: `draw(seed)` gives a standard normal array of the sample's shape in float64.
        keep: how many arrays to keep.
    """

    def __init__(self, book: Book, draw: Callable[[int], A], keep: int = 256) -> None:
        self.book = book
        self.draw = draw
        self._keep = keep
        self._made: OrderedDict[tuple[Name, int], A] = OrderedDict()

    def tensor(self, name: Name, step: int) -> A:
        """The array of one recipe at one step. Long chains of parents need no recursion."""
        for recipe in self.book.closure([name], lambda known: (known, step) in self._made):
            self._made[recipe.name, step] = recipe.make(self, step)
        made = self._made[name, step]
        self._made.move_to_end((name, step))
        while len(self._made) > self._keep and next(iter(self._made)) != (name, step):
            self._made.popitem(last=False)
        return made
