"""The other side of the conversation: pipelines generate, verifiers judge, a problem is both."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import isfinite
from typing import Any, Protocol, cast

from noise_search.budget import ZERO, Cost
from noise_search.candidate import Candidate
from noise_search.errors import UserError
from noise_search.moves import Continue, Move
from noise_search.noise import Book, Name, Recipe, Segment, Splice, digest


@dataclass(frozen=True)
class Prompt:
    """One thing to generate for.

    Attributes:
        name: short and safe as a file name; the same text always gets the same name.
        text: what the model is asked for.
        negative: what it is asked to avoid.
        seed: the root seed of this prompt's search, or None for the run's.
    """

    name: Name
    text: str
    negative: str | None = None
    seed: int | None = None


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

    def history(self, book: Book) -> list[Segment]:
        """The stretches that lead to the parent, for one whose latents are gone."""
        if self.parent is None:
            return []
        return book.segments(self.parent.noise, self.parent.stage)


def resolve(prompt: Prompt, move: Move, steps: int, stochastic: bool) -> Ask:
    """The ask of a move.

    Args:
        prompt: whose search it is.
        move: what the search asked for.
        steps: the schedule for a start that names none.
        stochastic: whether transitions draw noise; where they do not, going on without going
            back leaves the path's name as it is.

    Raises:
        ValueError: the move leads nowhere (its bounds cross).
    """
    if not isinstance(move, Continue):
        steps = move.steps or steps
        parent, rewind, path = None, 0, move.noise
        begin = 0
    else:
        parent, rewind, steps = move.candidate, move.rewind, move.candidate.steps
        begin = parent.stage - rewind
        same = rewind == 0 and (not stochastic or move.noise == parent.noise)
        path = (
            parent.noise
            if same
            else Splice(parent.noise.name, move.noise.name, parent.stage, rewind)
        )
    until = min(move.until, steps)
    if rewind < 0 or begin < 0 or until <= begin or move.lookahead < 0:
        raise ValueError(f"a move from stage {begin} to {until} of {steps} leads nowhere")
    return Ask(prompt, move.noise, path, steps, parent, rewind, until, move.lookahead, move.look)


@dataclass(frozen=True)
class Score:
    """A verifier's answer: named values, or a failure with its reason. Never a stand-in number."""

    values: Mapping[str, float] = field(default_factory=dict[str, float])
    failure: str | None = None
    detail: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Sample:
    """What a verifier is shown.

    Attributes:
        prompt: what was asked for.
        pixels: the image, (height, width, 3) uint8; a vector (d,) in an analytic world.
        stage: evaluations made; below `steps` the pixels are an x0-prediction.
        steps: evaluations of the whole path.
    """

    prompt: Prompt
    pixels: object
    stage: int
    steps: int


@dataclass(frozen=True)
class Played:
    """What became of an ask: where it got, what it cost, what it looks like.

    Attributes:
        cost: what was really spent on it.
        pixels: what the verifier is to see, or None for a waypoint.
        failure: why there is nothing to go on from.
        ended: finished before the last stage.
    """

    cost: Cost
    pixels: object | None = None
    failure: str | None = None
    ended: bool = False
    detail: Mapping[str, str] = field(default_factory=dict[str, str])


class Pipeline(Protocol):
    """What generates. Rows of a batch must not depend on their neighbours."""

    @property
    def stochastic(self) -> bool:
        """Whether a transition between stages draws noise."""
        ...

    @property
    def most_steps(self) -> int:
        """Evaluations of the finest schedule it has."""
        ...

    def price(self, ask: Ask) -> Cost:
        """An upper bound of what playing this costs, without the verifier."""
        ...

    def lane(self, ask: Ask) -> Hashable:
        """Asks of equal lanes may share a batch."""
        ...

    def play(self, asks: Sequence[Ask]) -> tuple[list[Played], Cost]:
        """Play one batch, in order; also the overhead (states that had to be made again)."""
        ...

    def picture(self, candidate: Candidate, prompt: Prompt) -> tuple[Any, Any, Cost]:
        """Pixels and latents of any candidate, and what making them again has cost."""
        ...

    def describe(self) -> Mapping[str, object]:
        """What the record says of it: class, weights, number type, device, width, threads."""
        ...


class Verifier(Protocol):
    """What judges."""

    @property
    def name(self) -> str:
        """The spec it was made from."""
        ...

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        """One score a sample, in order."""
        ...


@dataclass(frozen=True)
class Batch:
    """What a played batch brought: candidates in the order asked, and overhead."""

    candidates: list[Candidate]
    overhead: Cost = ZERO


class Problem(Protocol):
    """Pipeline and verifier behind one door."""

    @property
    def stochastic(self) -> bool:
        """Whether a transition between stages draws noise."""
        ...

    @property
    def most_steps(self) -> int:
        """Evaluations of the finest schedule it has."""
        ...

    def price(self, ask: Ask) -> Cost:
        """An upper bound of what playing this costs."""
        ...

    def lane(self, ask: Ask) -> Hashable:
        """Asks of equal lanes may share a batch."""
        ...

    def play(self, asks: Sequence[Ask]) -> Batch:
        """Play asks of one lane, at most a batch of them."""
        ...


def pixel_hash(pixels: object) -> str:
    """The sha256 of what was looked at: the bytes of an array, or a text."""
    data = pixels if isinstance(pixels, str) else memoryview(cast("bytes", pixels)).tobytes()
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()


def judge(verifier: Verifier, samples: Sequence[Sample]) -> list[Score]:
    """A verifier's scores; whatever it does wrong is a failure of the samples it was shown."""
    try:
        scores = list(verifier.score(samples))
    except UserError:
        raise
    except Exception as error:  # a broken verifier must not lose what was paid for
        said = f"{verifier.name} raised {type(error).__name__}: {error}"[:300]
        return [Score(failure=said)] * len(samples)
    if len(scores) != len(samples):
        said = f"{verifier.name} gave {len(scores)} scores for {len(samples)} samples"
        return [Score(failure=said)] * len(samples)
    return [_sound(verifier.name, score) for score in scores]


def _sound(name: str, score: Score) -> Score:
    if score.failure is not None:
        return score
    if not score.values:
        return Score(failure=f"{name} gave no score", detail=score.detail)
    for key, value in score.values.items():
        if not isinstance(value, (int, float)) or not isfinite(value):  # pyright: ignore
            return Score(failure=f"{key} gave {value}", detail=score.detail)
    return score


class Judged:
    """The problem of a pipeline whose samples a verifier judges."""

    def __init__(self, pipeline: Pipeline, verifier: Verifier) -> None:
        self.pipeline = pipeline
        self.verifier = verifier

    @property
    def stochastic(self) -> bool:
        """The pipeline's."""
        return self.pipeline.stochastic

    @property
    def most_steps(self) -> int:
        """The pipeline's."""
        return self.pipeline.most_steps

    def price(self, ask: Ask) -> Cost:
        """The pipeline's price, and one verifier call if it is looked at."""
        return self.pipeline.price(ask) + Cost(verifier_calls=int(ask.looked_at))

    def lane(self, ask: Ask) -> Hashable:
        """The pipeline's."""
        return self.pipeline.lane(ask)

    def play(self, asks: Sequence[Ask]) -> Batch:
        """Generate, then judge what can be judged."""
        played, overhead = self.pipeline.play(asks)
        shown = [
            (i, Sample(asks[i].prompt, p.pixels, asks[i].until, asks[i].steps))
            for i, p in enumerate(played)
            if p.failure is None and p.pixels is not None
        ]
        scores = dict(
            zip(
                (i for i, _ in shown),
                judge(self.verifier, [s for _, s in shown]) if shown else [],
                strict=True,
            )
        )
        made = [
            self._candidate(a, p, scores.get(i))
            for i, (a, p) in enumerate(zip(asks, played, strict=True))
        ]
        return Batch(made, overhead)

    def _candidate(self, ask: Ask, played: Played, score: Score | None) -> Candidate:
        judged = score or Score()
        return Candidate(
            name=ask.name,
            prompt=ask.prompt.name,
            noise=ask.path,
            steps=ask.steps,
            stage=ask.until,
            parent=None if ask.parent is None else ask.parent.name,
            scores=judged.values,
            failure=played.failure or judged.failure,
            cost=played.cost + Cost(verifier_calls=int(score is not None)),
            ended=played.ended,
            detail={**played.detail, **judged.detail},
            sha256=None if played.pixels is None else pixel_hash(played.pixels),
        )
