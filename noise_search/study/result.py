"""What a search came to, as Python users hold it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from noise_search.ask import Prompt
from noise_search.budget import Cost
from noise_search.candidate import Candidate
from noise_search.noise import Recipe
from noise_search.run import Outcome
from noise_search.study.agreement import Agreement

if TYPE_CHECKING:
    from PIL.Image import Image


class Point(NamedTuple):
    """The best score after so much was spent."""

    spent: int
    score: float


@dataclass(frozen=True)
class Winner:
    """One of the best samples of a search.

    Attributes:
        candidate: its record.
        pixels: (height, width, 3) uint8, of a video (frames, height, width, 3); a vector (d,) in
            an analytic world; None of a text.
        latents: what the pipeline holds of it, as an array.
        evaluation: scores of the held-out evaluators.
        unjudged: why one of them gave none, or None.
        doubted: the evaluators that rank it below the middle of what was judged beside it.
    """

    candidate: Candidate
    pixels: Any
    latents: Any
    evaluation: Mapping[str, float] = field(default_factory=dict[str, float])
    unjudged: str | None = None
    doubted: tuple[str, ...] = ()

    @property
    def image(self) -> Image:
        """The picture; of a video its key frames side by side.

        Raises:
            TypeError: it is a text.
        """
        from PIL.Image import fromarray

        if self.pixels is None:
            raise TypeError("this winner is a text; see `text` and `answer`")
        from noise_search.study.video import strip

        return fromarray(strip(self.pixels))

    @property
    def text(self) -> str | None:
        """What was written, or None of a picture."""
        return None if self.candidate.text is None else self.candidate.text.words

    @property
    def answer(self) -> str | None:
        """The answer that a text came to, in its normal form."""
        return self.candidate.answer

    @property
    def noise(self) -> Recipe:
        """The name of its noise; a `Gaussian` holds a plain seed."""
        return self.candidate.noise

    @property
    def scores(self) -> Mapping[str, float]:
        """Raw scores by verifier."""
        return self.candidate.scores

    @property
    def failure(self) -> str | None:
        """Why it failed, or None."""
        return self.candidate.failure


@dataclass(frozen=True)
class Result:
    """What the search for one prompt came to.

    Attributes:
        prompt: what was asked for.
        outcome: every candidate and what was spent.
        winners: the top k, best first; empty if nothing was finished.
        first: the first sample that was finished, as a user without a search would have got.
        first_pixels: its pixels.
        standing: what the ranking looks at first, by name, of each finished candidate among all.
        write: writes the whole run into a folder.
        unit: what spending is told in: a field of `Cost`.
        agreement: how the evaluators agree with the verifier; None where there are none, and in a
            run that had ended before.
        cached: verifier calls of the whole run that the score cache has answered.
    """

    prompt: Prompt
    outcome: Outcome
    winners: Sequence[Winner]
    first: Candidate | None
    first_pixels: Any | None
    standing: Mapping[str, float]
    write: Callable[[Path], None]
    unit: str = "nfe"
    agreement: Agreement | None = None
    cached: int = 0

    @property
    def best(self) -> Winner | None:
        """The winner, or None if nothing was finished."""
        return self.winners[0] if self.winners else None

    def top(self, k: int) -> Sequence[Winner]:
        """The k best; at most as many as `top_k` asked to keep."""
        return self.winners[:k]

    @property
    def candidates(self) -> Sequence[Candidate]:
        """All candidates, in the order they were asked for."""
        return self.outcome.candidates

    @property
    def spent(self) -> Cost:
        """What the search has spent."""
        return self.outcome.spent

    def curve(self) -> list[Point]:
        """Best score of a finished sample against NFE (tokens written), a point an improvement."""
        points: list[Point] = []
        spent = 0
        for candidate in self.candidates:
            spent += getattr(candidate.cost, self.unit)
            if candidate.finished:
                score = self.standing[candidate.name]
                if not points or score > points[-1].score:
                    points.append(Point(spent, score))
        return points

    def save(self, folder: str | Path) -> Path:
        """Write pictures with their recipes, `candidates.jsonl` and `run.json` into a folder."""
        path = Path(folder)
        self.write(path)
        return path
