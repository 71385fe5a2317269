"""The other side of the conversation: pipelines generate, verifiers judge, a problem is both."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import isfinite
from typing import Any, Protocol, cast

from noise_search.budget import ZERO, Cost
from noise_search.candidate import Candidate
from noise_search.errors import UserError
from noise_search.moves import Continue, Move
from noise_search.noise import Medium, Name, Recipe, Splice, digest
from noise_search.text import Text


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
        earlier: a stage on the way whose preview is shown to the verifier beside the outcome, or
            None. The candidate is the same with it and without.
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
    earlier: int | None = None

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


def passing(ask: Ask, share: float | None) -> Ask:
    """The ask with the stage of an earlier preview, where one is wanted and lies on the way.

    Args:
        ask: what is played.
        share: after which share of the stages a verifier is to be shown a preview, or None.
    """
    if share is None or not ask.looked_at:
        return ask
    stage = min(max(1, round(share * ask.until)), ask.until - 1)
    return replace(ask, earlier=stage) if stage > ask.begin else ask


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


@dataclass(frozen=True)
class Score:
    """A verifier's answer: named values, or a failure with its reason. Never a stand-in number.

    Attributes:
        values: higher is better.
        failure: why there are none.
        detail: words beside the values.
        cost: what it took besides the call, such as a judge's tokens: a function of the sample
            alone, whatever was in a cache.
        cached: whether it was known, and the verifier was not asked.
    """

    values: Mapping[str, float] = field(default_factory=dict[str, float])
    failure: str | None = None
    detail: Mapping[str, str] = field(default_factory=dict[str, str])
    cost: Cost = ZERO
    cached: bool = False


class LostVerifierError(UserError):
    """A verifier that cannot go on, whatever it is shown: its server is gone, say.

    Args:
        text: why, in one line.
        scores: one a sample, in order; None where there is none.
    """

    def __init__(self, text: str, scores: Sequence[Score | None]) -> None:
        super().__init__(text)
        self.scores = list(scores)


@dataclass(frozen=True)
class Sample:
    """What a verifier is shown.

    Attributes:
        prompt: what was asked for.
        pixels: the image, (height, width, 3) uint8; a vector (d,) in an analytic world; None
            where the model writes.
        stage: stages made; below `steps` the pixels are an x0-prediction.
        steps: stages of the whole path.
        text: what was written, where the model writes.
        earlier: of the shape of `pixels`, the x0-prediction of an earlier stage of the same path,
            where the verifier asks for one and it lies on the way; None otherwise.
    """

    prompt: Prompt
    pixels: object
    stage: int
    steps: int
    text: Text | None = None
    earlier: object | None = None


@dataclass(frozen=True)
class Played:
    """What became of an ask: where it got, what it cost, what it looks like.

    Attributes:
        cost: what was really spent on it.
        pixels: what the verifier is to see, or None for a waypoint.
        failure: why there is nothing to go on from.
        ended: finished before the last stage.
        detail: words to keep beside the scores.
        stage: where it got, if it ended before the stage it was asked for.
        text: what was written so far, where the model writes.
        seen: the text that the verifier is to see (a lookahead is in it), or None.
        earlier: the preview of the stage that the ask names, or None.
    """

    cost: Cost
    pixels: object | None = None
    failure: str | None = None
    ended: bool = False
    detail: Mapping[str, str] = field(default_factory=dict[str, str])
    stage: int | None = None
    text: Text | None = None
    seen: Text | None = None
    earlier: object | None = None

    @property
    def shown(self) -> bool:
        """Whether there is something for a verifier to see."""
        return self.failure is None and (self.pixels is not None or self.seen is not None)


class Pipeline(Protocol):
    """What generates. Rows of a batch must not depend on their neighbours."""

    @property
    def medium(self) -> Medium:
        """What its samples are made of."""
        ...

    @property
    def stochastic(self) -> bool:
        """Whether a transition between stages draws noise."""
        ...

    @property
    def most_steps(self) -> int:
        """Stages of the finest schedule it has."""
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
        """Pixels and latents of any candidate, and what making them again has cost.

        Where the model writes, a `Text` made again from its recipe takes the place of both.
        """
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
    """What a played batch brought: candidates in the order asked, and overhead.

    Attributes:
        candidates: in the order asked.
        overhead: what was spent beside them.
        cached: verifier calls among their costs that the score cache has answered.
        lost: why the verifier cannot go on, or None. What it has not judged is not among the
            candidates; the run ends once these are filed.
    """

    candidates: list[Candidate]
    overhead: Cost = ZERO
    cached: int = 0
    lost: str | None = None


class Problem(Protocol):
    """Pipeline and verifier behind one door."""

    @property
    def medium(self) -> Medium:
        """What its samples are made of."""
        ...

    @property
    def stochastic(self) -> bool:
        """Whether a transition between stages draws noise."""
        ...

    @property
    def most_steps(self) -> int:
        """Stages of the finest schedule it has."""
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


def content_hash(content: object) -> str:
    """The sha256 of what was looked at: the bytes of an array, or the words of a text."""
    if isinstance(content, Text):
        return hashlib.sha256(content.words.encode()).hexdigest()
    return hashlib.sha256(memoryview(cast("bytes", content)).tobytes()).hexdigest()


def most_of_judging(verifier: Verifier, *, moving: bool) -> Cost:
    """What judging one sample costs at most beside the call itself, such as a judge's tokens.

    Args:
        verifier: says it by a method `most`; one that has none costs nothing.
        moving: whether samples are videos.
    """
    most: Callable[[bool], Cost] | None = getattr(verifier, "most", None)
    return ZERO if most is None else most(moving)


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
    """The problem of a pipeline whose samples a verifier judges.

    A verifier that compares a sample with an earlier preview of it has an attribute ``earlier``:
    after which share of the stages the preview is taken.
    """

    def __init__(self, pipeline: Pipeline, verifier: Verifier) -> None:
        self.pipeline = pipeline
        self.verifier = verifier
        self._earlier: float | None = getattr(verifier, "earlier", None)
        # pipelines of videos have a rate of frames
        moving = getattr(pipeline, "rate", None) is not None
        self._look = Cost(verifier_calls=1) + most_of_judging(verifier, moving=moving)

    @property
    def medium(self) -> Medium:
        """The pipeline's."""
        return self.pipeline.medium

    @property
    def stochastic(self) -> bool:
        """The pipeline's."""
        return self.pipeline.stochastic

    @property
    def most_steps(self) -> int:
        """The pipeline's."""
        return self.pipeline.most_steps

    def price(self, ask: Ask) -> Cost:
        """The pipeline's price, and the verifier's if it may be looked at."""
        price = self.pipeline.price(passing(ask, self._earlier))
        return price + self._look if may_be_looked_at(ask, self.medium) else price

    def lane(self, ask: Ask) -> Hashable:
        """The pipeline's."""
        return self.pipeline.lane(passing(ask, self._earlier))

    def play(self, asks: Sequence[Ask]) -> Batch:
        """Generate, then judge what can be judged."""
        played, overhead = self.pipeline.play([passing(a, self._earlier) for a in asks])
        shown = [(i, _sample(asks[i], p)) for i, p in enumerate(played) if p.shown]
        lost, given = None, list[Score | None]()
        try:
            given += judge(self.verifier, [s for _, s in shown]) if shown else []
        except LostVerifierError as error:
            lost, given = str(error), error.scores
        scores = {i: score for (i, _), score in zip(shown, given, strict=True) if score}
        unjudged = {i for i, _ in shown} - scores.keys()
        made = [
            self._candidate(a, p, scores.get(i))
            for i, (a, p) in enumerate(zip(asks, played, strict=True))
            if i not in unjudged
        ]
        overhead = sum((played[i].cost for i in unjudged), overhead)  # they will be made again
        return Batch(made, overhead, sum(score.cached for score in scores.values()), lost)

    def _candidate(self, ask: Ask, played: Played, score: Score | None) -> Candidate:
        judged = score or Score()
        content = played.pixels if played.seen is None else played.seen
        stage = _stage(ask, played)
        whole = played.ended or stage >= ask.steps
        return Candidate(
            name=ask.name,
            prompt=ask.prompt.name,
            noise=ask.path,
            steps=ask.steps,
            stage=stage,
            parent=None if ask.parent is None else ask.parent.name,
            scores=judged.values,
            failure=played.failure or judged.failure,
            cost=played.cost + judged.cost + Cost(verifier_calls=int(score is not None)),
            ended=played.ended,
            detail={**played.detail, **judged.detail},
            sha256=None if content is None else content_hash(content),
            text=played.text,
            lookahead=0 if whole else ask.lookahead,
        )


def _sample(ask: Ask, played: Played) -> Sample:
    return Sample(
        ask.prompt, played.pixels, _stage(ask, played), ask.steps, played.seen, played.earlier
    )


def _stage(ask: Ask, played: Played) -> int:
    return ask.until if played.stage is None else played.stage
