"""The other side of the conversation: pipelines generate, verifiers judge, a problem is both."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from noise_search.ask import Ask, Prompt
from noise_search.budget import ZERO, Cost
from noise_search.candidate import Candidate
from noise_search.errors import Stop, UserError
from noise_search.noise import Medium
from noise_search.text import Text


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
        cost: of what gave no score, as answers of no use do.
    """

    def __init__(self, text: str, scores: Sequence[Score | None], cost: Cost = ZERO) -> None:
        super().__init__(text)
        self.scores = list(scores)
        self.cost = cost


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
            where the verifier asks for one; None otherwise.
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
        earlier: the earlier preview that the ask wants, or None.
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


class CutShort(Stop):
    """Raised by a pipeline whose user ends the run in the midst of a batch.

    Args:
        played: one an ask, in order; None where it did not come to its end.
        overhead: what was spent on those, and on states that had to be made again.
    """

    def __init__(self, played: Sequence[Played | None], overhead: Cost) -> None:
        super().__init__("the user has ended the run")
        self.played = list(played)
        self.overhead = overhead


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
        """Play one batch, in order; also the overhead (states that had to be made again).

        Raises:
            CutShort: the user ends the run.
        """
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
        stopped: the user ends the run. What was under way is not among the candidates, and what
            it had cost by then is overhead.
    """

    candidates: list[Candidate]
    overhead: Cost = ZERO
    cached: int = 0
    lost: str | None = None
    stopped: bool = False


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
