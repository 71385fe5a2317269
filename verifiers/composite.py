"""Several verifiers as one: each is asked once about the whole batch and keeps its raw scores.

How their scores are joined is a ranking over a set of candidates (`noise_search.ranking`):
``rank(clip,aesthetic)`` takes the mean rank (Ma et al. 2501.09732), ``weighted(clip=1,pick=0.5)``
a sum of standardised scores, ``first(clip,aesthetic)`` lets the second break ties of the first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

from pydantic import Field

from noise_search.budget import ZERO, Cost
from noise_search.errors import UserError
from noise_search.judged import judge, most_of_judging
from noise_search.problem import LostVerifierError, Sample, Score, Verifier
from noise_search.ranking import ByScore, First, MeanRank, Ranking, Weighted
from noise_search.specs import Spec, parse
from noise_search.verifiers.loading import load
from noise_search.verifiers.models import Models

__all__ = ["Several", "first", "rank", "weighted"]

Weight = Annotated[float, Field(allow_inf_nan=False)]


class Several:
    """Verifiers whose scores a ranking joins.

    Args:
        parts: what is asked, each under a name of its own.
        name: the spec it was made from.
        ranking: how candidates compare.

    Attributes:
        earlier: after which share of the stages a part is to be shown a preview, or None.

    Raises:
        UserError: its parts want previews of several stages.
    """

    def __init__(self, parts: Sequence[Verifier], name: str, ranking: Ranking) -> None:
        self.parts = tuple({part.name: part for part in parts}.values())
        self.name = name
        self.ranking = ranking
        shares = {share for p in self.parts if (share := getattr(p, "earlier", None)) is not None}
        if len(shares) > 1:
            wanted = " and ".join(f"at={share:g}" for share in sorted(shares))
            raise UserError(f"verifier {name}: one earlier preview is kept, not {wanted}")
        self.earlier: float | None = next(iter(shares), None)

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        """One score a sample, in order; where one of the parts fails, the sample does."""
        columns: list[Sequence[Score | None]] = []
        lost: str | None = None
        vain = ZERO
        for part in self.parts:
            try:
                columns.append(judge(part, samples))
            except LostVerifierError as error:
                lost, vain = str(error), vain + error.cost
                columns.append(error.scores)
        found = [_joined([s for s in row if s is not None]) for row in zip(*columns, strict=True)]
        if lost is None:
            return found
        whole = [all(row) for row in zip(*columns, strict=True)]
        kept = [s if w else None for s, w in zip(found, whole, strict=True)]
        vain = sum((s.cost for s, w in zip(found, whole, strict=True) if not w), vain)
        raise LostVerifierError(lost, kept, vain)

    def most(self, moving: bool) -> Cost:
        """What judging one sample costs at most, by all of them."""
        return sum((most_of_judging(part, moving=moving) for part in self.parts), ZERO)


def rank(spec: Spec, models: Models, /) -> Verifier:
    """The mean rank by several verifiers within the set, ties averaged: `rank(clip,aesthetic)`."""
    return _several(spec, models, MeanRank)


def first(spec: Spec, models: Models, /) -> Verifier:
    """The first verifier, and where it sees no difference the next: `first(clip,aesthetic)`."""
    return _several(spec, models, First)


def weighted(spec: Spec, models: Models, /, **weights: Weight) -> Verifier:
    """A weighted sum of scores, standardised on the search's first 16: `weighted(clip=1,pick=2)`.

    Args:
        spec: as written.
        models: what other verifiers have loaded.
        weights: by the spec of a verifier; a negative one asks for low scores.
    """
    if spec.target is not None or spec.items or not weights:
        raise UserError(f"verifier {spec}: every verifier needs its weight, as in clip=1")
    if any(parse(key).name in ("rank", "weighted", "first") for key in weights):
        raise UserError(f"verifier {spec}: a ranking has no score that could be weighted")
    parts = [load(key, models) for key in weights]
    by_name = {p.name: w for p, w in zip(parts, weights.values(), strict=True)}
    return Several(parts, str(spec), Weighted(by_name))


def _several(spec: Spec, models: Models, join: Callable[[Sequence[Ranking]], Ranking]) -> Verifier:
    if spec.target is not None or len(spec.items) < 2:
        raise UserError(f"verifier {spec}: name two or more, as in {spec.name}(clip,aesthetic)")
    if len(set(spec.items)) < len(spec.items):
        raise UserError(f"verifier {spec}: one of them is named twice")
    parts: list[Verifier] = []
    rankings: list[Ranking] = []
    for item in spec.items:
        part = load(item, models)
        if isinstance(part, Several):
            parts += part.parts
            rankings.append(part.ranking)
        else:
            parts.append(part)
            rankings.append(ByScore(part.name))
    return Several(parts, str(spec), join(rankings))


def _joined(scores: Sequence[Score]) -> Score:
    """One score of several; in order of names, as a journal tells them."""
    failures = [score.failure for score in scores if score.failure is not None]
    values = {key: value for score in scores for key, value in score.values.items()}
    detail = {key: words for score in scores for key, words in score.detail.items()}
    return Score(
        {} if failures else dict(sorted(values.items())),
        "; ".join(failures) or None,
        detail,
        sum((score.cost for score in scores), ZERO),
        all(score.cached for score in scores),
    )
