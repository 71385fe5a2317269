"""Process reward models (PRMs) as verifiers of texts: a score a step, and one number of them all.

A step's score is the probability that the solution is on the right way after it.  The number of a
text is by default that of its last step (Snell et al. 2024, arXiv:2408.03314, section 5.1); the
lowest is that of Wang et al. 2024 (Math-Shepherd, arXiv:2312.08935), the product that of Lightman
et al. 2023 (arXiv:2305.20050).  ``process_models`` reads texts, ``process_files`` folders.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Literal

from noise_search.budget import Cost
from noise_search.problem import Sample, Score

if TYPE_CHECKING:
    from noise_search.verifiers.process_files import ProcessModel
    from noise_search.verifiers.process_models import Encoded

__all__ = ["AGGREGATIONS", "Aggregation", "Process", "RandomProcess"]

Aggregation = Literal["last", "min", "product", "mean"]

AGGREGATIONS: Mapping[Aggregation, Callable[[Sequence[float]], float]] = {
    "last": lambda scores: scores[-1],
    "min": min,
    "product": math.prod,
    "mean": fmean,
}
"""From the scores of the steps, at least one, to the score of the text."""


class Process:
    """How good a process reward model finds the steps of a text, in [0, 1].

    Texts are read one at a time: the last bits of a matrix product depend on how many rows it has,
    so a score must not share one.  On a CPU, groups of padded texts are no faster in calls of up to
    a hundred texts.

    Args:
        model: a loaded model.
        name: the spec it was made from.
        aggregate: how the scores of the steps become one.
        flip: the share of texts whose score p becomes 1 - p, chosen by a hash of prompt and words:
            a verifier spoiled on purpose (Snell et al. 2024, ICLR version, appendix K).
    """

    def __init__(
        self,
        model: ProcessModel,
        name: str,
        aggregate: Aggregation = "last",
        flip: float = 0.0,
    ) -> None:
        self.model = model
        self.name = name
        self.aggregate: Aggregation = aggregate
        self.flip = flip

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        """One score a sample, in order; its cost is all tokens of the sample, as none are kept."""
        return [self._score(sample) for sample in samples]

    def describe(self) -> dict[str, object]:
        """What decides the scores, for the run's record."""
        return {
            "class": type(self).__name__,
            "convention": self.model.convention.name,
            "version": self.model.version,
            "dtype": "float32",
            "aggregate": self.aggregate,
            "flip": self.flip,
        }

    def _score(self, sample: Sample) -> Score:
        try:
            steps = _steps(sample)
            encoded = self.model.convention.encode(sample.prompt.text, steps)
            self._check_length(encoded)
        except ValueError as error:
            return Score(failure=f"{self.name}: {_line(error)}")
        cost = Cost(judge_tokens=len(encoded.tokens))
        try:
            odds = self.model.convention.log_odds(encoded)
        except (RuntimeError, IndexError) as error:  # no memory, or a token it has no row for
            reason = f"{self.name} raised {type(error).__name__}: {_line(error)}"
            return Score(failure=reason, cost=cost)
        strange = [
            f"step {i} gave {odd}" for i, odd in enumerate(odds, 1) if not math.isfinite(odd)
        ]
        if strange:
            return Score(failure=f"{self.name}: {strange[0]}", cost=cost)
        scores = [_sigmoid(odd) for odd in odds]
        value = AGGREGATIONS[self.aggregate](scores)
        if _chance("flip", sample) < self.flip:
            value = 1 - value
        said = {"step scores": " ".join(f"{score:.4f}" for score in scores)}
        return Score({self.name: value}, detail=said, cost=cost)

    def _check_length(self, encoded: Encoded) -> None:
        longest, tokens = self.model.convention.longest, len(encoded.tokens)
        if longest is not None and tokens > longest:
            raise ValueError(f"{tokens} tokens, of which the model reads {longest} at most")


class RandomProcess:
    """A score in [0, 1) that is a hash of prompt and words: what a verifier must be better than.

    Args:
        name: the spec it was made from.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        """One score a sample, in order; it reads no tokens."""
        return [self._score(sample) for sample in samples]

    def describe(self) -> dict[str, object]:
        """What decides the scores, for the run's record."""
        return {"class": type(self).__name__}

    def _score(self, sample: Sample) -> Score:
        try:
            _steps(sample)
        except ValueError as error:
            return Score(failure=f"{self.name}: {error}")
        return Score({self.name: _chance("random", sample)})


def _steps(sample: Sample) -> list[str]:
    """The words of each step.

    Raises:
        ValueError: there is nothing that a process reward model could score.
    """
    if sample.text is None:
        raise ValueError("scores the steps of a text, and this is a picture")
    if not sample.text.words.strip():
        raise ValueError("there is no step to score yet")
    joined: list[str] = []
    for words, _ in sample.text.steps:
        if joined and not (words.strip() and joined[-1].strip()):
            joined[-1] += words  # a blank step, such as the end of the text alone, is none
        else:
            joined.append(words)
    return joined


def _chance(purpose: str, sample: Sample) -> float:
    """A uniform number in [0, 1) that depends on prompt and words alone."""
    words = "" if sample.text is None else sample.text.words
    parts = [
        hashlib.sha256(part.encode()).digest() for part in (purpose, sample.prompt.text, words)
    ]
    return (int.from_bytes(hashlib.sha256(b"".join(parts)).digest()[:8]) >> 11) / 2**53


def _sigmoid(odds: float) -> float:
    """1 / (1 + exp(-odds)) in double precision, without overflow."""
    small = math.exp(-abs(odds))
    return 1 / (1 + small) if odds >= 0 else small / (1 + small)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
