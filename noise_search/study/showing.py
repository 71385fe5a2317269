"""What is shown when a search has ended: its winners, and a few others to the evaluators."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from noise_search.budget import Cost
from noise_search.candidate import Candidate
from noise_search.judged import judge
from noise_search.noise import Name
from noise_search.problem import Sample, Score
from noise_search.ranking import standing
from noise_search.run import Outcome
from noise_search.study.agreement import Agreement, Seen, doubts, panel_of
from noise_search.study.bench import Bench
from noise_search.study.diversity import Eye
from noise_search.study.result import Result, Winner


class Showing:
    """One search that has ended: its pictures, each made once, and what evaluators say of them.

    Args:
        bench: what the run works with.
        outcome: what the search came to.
        extras: gets what making pictures again has cost.
        panel: whether evaluators are shown more than the winners.
    """

    def __init__(
        self, bench: Bench, outcome: Outcome, extras: list[Cost], *, panel: bool = True
    ) -> None:
        self._panel = panel
        self._bench = bench
        self._outcome = outcome
        self._extras = extras
        self._winners: dict[Name, Winner] = {}
        self.agreement: Agreement | None = None

    @cached_property
    def finished(self) -> list[Candidate]:
        """Every whole sample, in the order asked for."""
        return [c for c in self._outcome.candidates if c.finished]

    @property
    def first(self) -> Candidate | None:
        """The first sample that was finished, as a user without a search would have got."""
        return self.finished[0] if self.finished else None

    @cached_property
    def standing(self) -> dict[Name, float]:
        """What the ranking looks at first, of each finished candidate among all."""
        ranking = self._outcome.ranking or self._bench.ranking
        return standing(ranking, self._outcome.candidates)

    def result(self, keep: int, write: Callable[[Path], None], cached: int) -> Result:
        """What the search came to.

        Args:
            keep: how many of its best, with their pictures.
            write: writes the whole run into a folder.
            cached: verifier calls of the whole run that the score cache has answered.
        """
        winners = self.evaluated([self.winner(c) for c in self._outcome.found[:keep]])
        return Result(
            self._outcome.prompt,
            self._outcome,
            winners,
            self.first,
            None if self.first is None else self.winner(self.first).pixels,
            self.standing,
            write,
            self._bench.unit,
            self.agreement,
            cached,
        )

    def winner(self, candidate: Candidate) -> Winner:
        """A candidate with its picture."""
        if candidate.name not in self._winners:
            pixels, latents, extra = self._bench.shown(candidate, self._outcome.prompt)
            self._extras.append(extra)
            self._winners[candidate.name] = Winner(candidate, pixels, latents)
        return self._winners[candidate.name]

    def evaluated(self, winners: Sequence[Winner]) -> list[Winner]:
        """The winners with the evaluators' scores, and how these agree with the verifier's."""
        if not self._bench.evaluators or not winners:
            return list(winners)
        panel = panel_of(self.finished, [w.candidate for w in winners]) if self._panel else []
        shown = [*winners, *(self._beside(candidate) for candidate in panel)]
        rows = self._scores(shown)
        judged = [self._joined(w, row) for w, row in zip(shown, rows, strict=True)]
        seen = {w.candidate.name: self._seen(w) for w in judged}
        others = [seen[candidate.name] for candidate in panel]
        best = [
            replace(w, doubted=doubts(seen[w.candidate.name], others))
            for w in judged[: len(winners)]
        ]
        if self._panel:
            self.agreement = replace(
                self._agreement(best, shown, seen, others), judged=len(shown), spent=spent_on(rows)
            )
        return best

    def _beside(self, candidate: Candidate) -> Winner:
        """One of the panel; only the first sample is remembered, for pictures may be large."""
        if candidate == self.first or candidate.name in self._winners:
            return self.winner(candidate)
        pixels, _, extra = self._bench.shown(candidate, self._outcome.prompt)
        self._extras.append(extra)
        return Winner(candidate, pixels, None)

    def _scores(self, shown: Sequence[Winner]) -> list[tuple[Score, ...]]:
        samples = [self._sample(w) for w in shown]
        columns = [judge(evaluator, samples) for evaluator in self._bench.evaluators]
        return list(zip(*columns, strict=True))

    def _sample(self, shown: Winner) -> Sample:
        candidate = shown.candidate
        return Sample(
            self._outcome.prompt, shown.pixels, candidate.stage, candidate.steps, candidate.text
        )

    def _joined(self, winner: Winner, scores: Sequence[Score]) -> Winner:
        values = {key: value for score in scores for key, value in score.values.items()}
        failures = [score.failure for score in scores if score.failure is not None]
        return replace(winner, evaluation=values, unjudged="; ".join(failures) or None)

    def _seen(self, winner: Winner) -> Seen:
        # of a video its mean is told; the least of its frames stands beside it
        told = {k: v for k, v in winner.evaluation.items() if not k.endswith(".min")}
        return Seen(self.standing[winner.candidate.name], told)

    def _agreement(
        self,
        best: Sequence[Winner],
        shown: Sequence[Winner],
        seen: dict[Name, Seen],
        others: Sequence[Seen],
    ) -> Agreement:
        eye = Eye.of(self._bench.verifier)
        vectors: list[Any] = [eye.look(w.pixels) for w in shown]
        return Agreement(
            self._bench.verifier.name,
            best[0].candidate.name,
            seen[self.finished[0].name],
            seen[best[0].candidate.name],
            others,
            {w.candidate.name: w.doubted for w in best if w.doubted},
            eye.name,
            eye.diversity(vectors[len(best) :]),
            eye.diversity(vectors[: len(best)]),
        )


def spent_on(rows: Iterable[Sequence[Score]]) -> Cost:
    """What evaluators have spent: a call a score, and what each took besides."""
    scores = [score for row in rows for score in row]
    return sum((score.cost for score in scores), Cost(verifier_calls=len(scores)))
