"""The problem of a pipeline and a verifier: what is generated is judged, whatever goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from math import isfinite

from noise_search.ask import Ask, may_be_looked_at
from noise_search.budget import ZERO, Cost
from noise_search.candidate import Candidate
from noise_search.errors import UserError
from noise_search.noise import Medium
from noise_search.problem import (
    Batch,
    CutShort,
    LostVerifierError,
    Pipeline,
    Played,
    Sample,
    Score,
    Verifier,
    content_hash,
)


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
        price = self.pipeline.price(self._compared(ask))
        return price + self._look if may_be_looked_at(ask, self.medium) else price

    def lane(self, ask: Ask) -> Hashable:
        """The pipeline's."""
        return self.pipeline.lane(self._compared(ask))

    def play(self, asks: Sequence[Ask]) -> Batch:
        """Generate, then judge what can be judged."""
        played, overhead, stopped = self._generated(asks)
        shown = [(i, _sample(asks[i], p)) for i, p in played.items() if p.shown]
        lost, given, vain = None, list[Score | None](), ZERO
        try:
            given += judge(self.verifier, [s for _, s in shown]) if shown else []
        except LostVerifierError as error:
            lost, given, vain = str(error), error.scores, error.cost
        scores = {i: score for (i, _), score in zip(shown, given, strict=True) if score}
        unjudged = {i for i, _ in shown} - scores.keys()
        made = [
            self._candidate(asks[i], p, scores.get(i))
            for i, p in played.items()
            if i not in unjudged
        ]
        # they will be made and judged again
        overhead = sum((played[i].cost for i in unjudged), overhead + vain)
        cached = sum(score.cached for score in scores.values())
        return Batch(made, overhead, cached, lost, stopped)

    def _generated(self, asks: Sequence[Ask]) -> tuple[dict[int, Played], Cost, bool]:
        """What was played, by place; what was spent beside; whether the user ends the run."""
        try:
            played, overhead = self.pipeline.play([self._compared(ask) for ask in asks])
        except CutShort as cut:
            whole = {i: p for i, p in enumerate(cut.played) if p is not None}
            return whole, cut.overhead, True
        return dict(enumerate(played)), overhead, False

    def _compared(self, ask: Ask) -> Ask:
        return ask if self._earlier is None else replace(ask, earlier=self._earlier)

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
