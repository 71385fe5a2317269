"""The rows of a batch, what walking them comes to, and the earlier previews that paths carry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, NamedTuple, TypeVar

from noise_search.ask import Prompt
from noise_search.budget import ZERO, Cost
from noise_search.noise import Array, Name, Recipe
from noise_search.pipelines.states import State
from noise_search.pipelines.stretches import Stretch

__all__ = ["SEEN", "Picture", "Row", "Walk", "Walked", "carried_to", "carrying", "seen_of"]

A = TypeVar("A", bound=Array)
SEEN = "seen."
"""How the parts of a state begin that are x0-predictions on its path: the stage follows."""


@dataclass(frozen=True, slots=True)
class Row(Generic[A]):
    """One row of a batch: the sample at the stage it begins from, and the noise to go on with.

    Attributes:
        prompt: what it is for.
        x: the sample; the initial noise where it begins with nothing else.
        noise: of the steps to take.
        memory: what the solver remembers of the path so far.
        fresh: whether it begins with its initial noise.
        seen: x0-predictions of stages before it that its path carries, by stage.
        origin: the path whose array of step 0 is the noise that this one began with.
    """

    prompt: Prompt
    x: A
    noise: Recipe
    memory: State = field(default_factory=dict[str, Any])
    fresh: bool = True
    seen: Mapping[int, A] = field(default_factory=dict[int, A])
    origin: Name = ""


@dataclass(frozen=True, slots=True)
class Walked:
    """Where a row got: its state, what it looks like if asked for, and what is broken in it.

    Attributes:
        earlier: what it looked like at an earlier stage, if that was asked for.
        seen: x0-predictions on the way, by stage: those that the stretch notes.
    """

    state: State
    pixels: object | None
    problem: str | None
    earlier: object | None = None
    seen: Mapping[int, Any] = field(default_factory=dict[int, Any])


@dataclass(frozen=True, slots=True)
class Walk:
    """What became of a batch.

    Attributes:
        rows: None where the user has ended the run before the row came to its end.
        each: the cost of each of the others.
        overhead: what was spent beside them.
        stopped: the user ends the run.
    """

    rows: Sequence[Walked | None]
    each: Cost
    overhead: Cost = ZERO
    stopped: bool = False


class Picture(NamedTuple, Generic[A]):
    """A candidate shown again: pixels, latents as the sampler holds them, and what it has cost."""

    pixels: Any
    latents: A
    overhead: Cost


def seen_of(state: State) -> dict[int, Any]:
    """The x0-predictions that a path carries with its state, by stage."""
    return {int(key[len(SEEN) :]): x0 for key, x0 in state.items() if key.startswith(SEEN)}


def carrying(
    rows: Sequence[Row[A]], walked: Sequence[Walked | None], stretch: Stretch
) -> list[Walked | None]:
    """Rows with all that was seen on their paths; their states carry what may be needed of it."""
    found = list(walked)
    for i, (row, end) in enumerate(zip(rows, walked, strict=True)):
        if end is not None and stretch.noted:
            seen = {**row.seen, **end.seen}
            kept = {f"{SEEN}{stage}": seen[stage] for stage in stretch.carried if stage in seen}
            found[i] = replace(end, state={**end.state, **kept}, seen=seen)
    return found


def carried_to(stretch: Stretch) -> list[int]:
    """The stages whose x0-predictions the rows of a stretch have to bring with them."""
    return [stage for stage in stretch.noted if stage <= stretch.begin]
