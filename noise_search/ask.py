"""A move made definite: for which prompt, from where, to where, by which noise."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from noise_search.candidate import Candidate
from noise_search.moves import Continue, Move
from noise_search.noise import Medium, Name, Recipe, Splice, digest


@dataclass(frozen=True)
class Prompt:
    """One thing to generate for.

    Attributes:
        name: short and safe as a file name; the same text always gets the same name.
        text: what the model is asked for.
        negative: what it is asked to avoid.
        seed: the root seed of this prompt's search, or None for the run's.
        answer: the right answer, where it is known; shown to evaluators alone.
    """

    name: Name
    text: str
    negative: str | None = None
    seed: int | None = None
    answer: str | None = None


@dataclass(frozen=True)
class Ask:
    """A move made definite: what is played, cached and journalled.

    Attributes:
        prompt: what to generate for.
        noise: the noise of the steps to take now.
        path: the noise of the whole path, a splice where `noise` continues another.
        steps: evaluations of the whole schedule.
        parent: the candidate to go on from, or None to begin.
        rewind: stages to go back first.
        until: the stage to stop at, at most `steps`.
        lookahead: deterministic stages more before it is scored.
        look: whether it is scored although unfinished.
        about: the finished texts in the context of the path, oldest first: what it revises.
        earlier: after which share of the stages the verifier is to be shown an earlier preview
            of the path, or None. The candidate is the same with it and without.
    """

    prompt: Prompt
    noise: Recipe
    path: Recipe
    steps: int
    parent: Candidate | None
    rewind: int
    until: int
    lookahead: int
    look: bool
    about: tuple[Candidate, ...] = ()
    earlier: float | None = None

    @cached_property
    def name(self) -> Name:
        """The name of the candidate this leads to."""
        return digest(
            self.prompt.name,
            self.noise.name,
            self.steps,
            None if self.parent is None else self.parent.name,
            self.rewind,
            self.until,
            self.lookahead,
            self.look,
        )

    @property
    def begin(self) -> int:
        """The stage from which evaluations are made."""
        return 0 if self.parent is None else self.parent.stage - self.rewind

    @property
    def looked_at(self) -> bool:
        """Whether the outcome is shown to the verifier."""
        return self.look or self.until >= self.steps


def may_be_looked_at(ask: Ask, medium: Medium) -> bool:
    """Whether a verifier may see the outcome: a text may end, and so be whole, at any step."""
    return ask.looked_at or medium.answers


def resolve(
    prompt: Prompt,
    move: Move,
    steps: int,
    stochastic: bool,
    about: tuple[Candidate, ...] = (),
) -> Ask:
    """The ask of a move.

    Args:
        prompt: whose search it is.
        move: what the search asked for.
        steps: the schedule for a start that names none.
        stochastic: whether transitions draw noise; where they do not, going on without going
            back leaves the path's name as it is.
        about: what a revision has in context.

    Raises:
        ValueError: the move leads nowhere (its bounds cross).
    """
    noise: Recipe = move.noise
    path: Recipe
    if not isinstance(move, Continue):
        steps = move.steps or steps
        parent, rewind, path = None, 0, move.noise
        begin = 0
    else:
        parent, rewind, steps = move.candidate, move.rewind, move.candidate.steps
        begin = parent.stage - rewind
        if rewind == 0 and (not stochastic or move.noise == parent.noise):
            noise = path = parent.noise  # siblings that cannot differ are one, and paid once
        else:
            path = Splice(parent.noise.name, move.noise.name, parent.stage, rewind)
    until = min(move.until, steps)
    if rewind < 0 or begin < 0 or until <= begin or move.lookahead < 0:
        raise ValueError(f"a move from stage {begin} to {until} of {steps} leads nowhere")
    return Ask(prompt, noise, path, steps, parent, rewind, until, move.lookahead, move.look, about)
