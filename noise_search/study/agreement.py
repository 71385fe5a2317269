"""Watching for verifier hacking: whether what a search gains is seen by those held out of it.

A search finds what pleases its verifier, and the more it spends the more of that is the verifier's
own mistakes (Ma et al. 2501.09732, section 4; Gao et al. 2210.10760 on reward models). Evaluators
judge the winner, the first sample and a few others, and three figures tell the difference:

- the *ratio* of gains over the first sample, each in standard deviations of what was judged: 1
  where an evaluator sees all of the verifier's gain, 0 where it sees none, less where it is worse;
- the *doubted* winners: those which an evaluator ranks below the middle of the samples judged
  beside them, although the verifier ranks them above it;
- the *diversity*: the mean distance of two samples, by features.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import fsum, sqrt
from typing import Any, NamedTuple

from noise_search.budget import ZERO, Cost
from noise_search.candidate import Candidate
from noise_search.frames import key_frames
from noise_search.noise import Name

PANEL = 7
"""Finished candidates that are judged beside the winners, the first sample among them."""


class Gain(NamedTuple):
    """What one judge says a winner has over the first sample of its search.

    Attributes:
        gain: the difference of their scores, or the mean of many.
        deviation: of the scores of samples that did not win, within a prompt; None if unknown.
        n: searches.
    """

    gain: float
    deviation: float | None
    n: int

    @property
    def relative(self) -> float | None:
        """The gain in standard deviations."""
        return self.gain / self.deviation if self.deviation else None


def ratio(evaluator: Gain, verifier: Gain) -> float | None:
    """How much of a verifier's gain an evaluator sees; None where that cannot be told."""
    seen, said = evaluator.relative, verifier.relative
    return None if seen is None or said is None or said <= 0 else seen / said


@dataclass(frozen=True)
class Seen:
    """A finished sample that was shown to the evaluators.

    Attributes:
        standing: what the ranking of its search looks at first.
        evaluation: scores of the evaluators, by name.
    """

    standing: float
    evaluation: Mapping[str, float]

    def of(self, judge: str | None) -> float | None:
        """The score of an evaluator, or the standing where that is None."""
        return self.standing if judge is None else self.evaluation.get(judge)


def doubts(winner: Seen, others: Sequence[Seen]) -> tuple[str, ...]:
    """The evaluators that rank a winner below the middle, where the verifier ranks it above.

    >>> doubts(Seen(3.0, {"a": 0.1, "b": 0.9}), [Seen(1.0, {"a": 0.5, "b": 0.9})])
    ('a',)

    Args:
        winner: whose rank is told.
        others: what it is ranked among.
    """
    if _place(winner, others, None) <= 0:
        return ()
    return tuple(name for name in winner.evaluation if _place(winner, others, name) < 0)


def _place(winner: Seen, others: Sequence[Seen], judge: str | None) -> int:
    """How many of the others are below, less how many are above: 0 is the middle."""
    own = winner.of(judge)
    values = [value for other in others if (value := other.of(judge)) is not None]
    return 0 if own is None else sum((own > v) - (own < v) for v in values)


def panel_of(finished: Sequence[Candidate], winners: Sequence[Candidate]) -> list[Candidate]:
    """The first finished sample and a few others, evenly spread, none of them a winner."""
    won = {winner.name for winner in winners}
    others = [c for c in dict.fromkeys(finished) if c.name not in won]
    return [others[i] for i in key_frames(len(others), PANEL)] if others else []


@dataclass(frozen=True)
class Agreement:
    """How evaluators agree with the verifier on one search.

    Attributes:
        verifier: its name.
        winner: the winner's.
        first: the first sample.
        best: the winner.
        others: what was judged and did not win, the first sample among it.
        doubted: by the name of a winner, the evaluators that doubt it.
        features: what the diversity is told by.
        diversity: the mean distance of two of the others, or None.
        winners: the same of the winners, where several were kept.
        judged: samples that each evaluator was shown.
        spent: what the evaluators have spent, which is in no budget.
    """

    verifier: str
    winner: Name
    first: Seen
    best: Seen
    others: Sequence[Seen]
    doubted: Mapping[Name, tuple[str, ...]] = field(default_factory=dict[Name, tuple[str, ...]])
    features: str = "pixels"
    diversity: float | None = None
    winners: float | None = None
    judged: int = 0
    spent: Cost = ZERO


def summary(found: Sequence[Agreement]) -> dict[str, Any]:
    """What searches for several prompts, or one, come to: means over them, for a record."""
    if not found:
        return {}
    verifier = gain_of(found, None)
    names = dict.fromkeys(name for one in found for name in one.best.evaluation)
    gains = {name: gain for name in names if (gain := gain_of(found, name)) is not None}
    spread = {
        "features": found[0].features,
        "judged": _mean(one.diversity for one in found),
        "winners": _mean(one.winners for one in found),
    }
    full = {name for name in gains if _had_no_room(found, name)}
    return {
        "searches": len(found),
        "judged": sum(one.judged for one in found),
        "spent": sum((one.spent for one in found), ZERO).record(),
        **({} if verifier is None else {"verifier": {found[0].verifier: _record(verifier)}}),
        "evaluators": {
            name: {
                **_record(gain),
                "ratio": None if verifier is None or name in full else ratio(gain, verifier),
                **({"unbeaten": True} if name in full else {}),
                "doubted": sum(name in one.doubted.get(one.winner, ()) for one in found),
            }
            for name, gain in gains.items()
        },
        **({} if spread["judged"] is None else {"diversity": spread}),
    }


def _record(gain: Gain) -> dict[str, Any]:
    return {"gain": gain.gain, "deviation": gain.deviation}


def gain_of(found: Sequence[Agreement], judge: str | None) -> Gain | None:
    """The mean gain by one evaluator, or by the verifier where that is None; None if unknown."""
    pairs = [(one.first.of(judge), one.best.of(judge)) for one in found]
    known = [best - first for first, best in pairs if first is not None and best is not None]
    if not known:
        return None
    groups = ([seen.of(judge) for seen in one.others] for one in found)
    return Gain(fsum(known) / len(known), deviation_within(groups), len(known))


def _had_no_room(found: Sequence[Agreement], judge: str) -> bool:
    """Whether the first sample was right already for an evaluator, in every search.

    It has seen none better, and the winner is as good: a gain of 0 says nothing of the verifier.
    """
    for one in found:
        first = one.first.of(judge)
        values = [value for other in one.others if (value := other.of(judge)) is not None]
        if first is None or one.best.of(judge) != first or max(values, default=first) > first:
            return False
    return True


def deviation_within(groups: Iterable[Sequence[float | None]]) -> float | None:
    """The standard deviation within groups, pooled; None where no group has two values.

    >>> deviation_within([[1.0, 3.0], [7.0, 9.0, None], [5.0]])
    1.4142135623730951
    """
    squares, freedom = list[float](), 0
    for group in groups:
        values = [value for value in group if value is not None]
        if len(values) > 1:
            mean = fsum(values) / len(values)
            squares += [(value - mean) ** 2 for value in values]
            freedom += len(values) - 1
    return sqrt(fsum(squares) / freedom) if freedom else None


def lines_of(record: Mapping[str, Any]) -> list[str]:
    """A summary in plain words: gains and their ratios, then doubts and diversity."""
    if not record:
        return []
    evaluators = record["evaluators"].items()
    gains = [_told(*pair) for pair in (*record.get("verifier", {}).items(), *evaluators)]
    beside = [
        f"{name} doubts {seen['doubted']} of {record['searches']} winners"
        for name, seen in evaluators
        if seen["doubted"]
    ]
    if (spread := record.get("diversity")) is not None:
        beside.append(f"diversity {spread['judged']:.3f} by {spread['features']}")
    lines = [f"gain over the first sample: {', '.join(gains)}"]
    return [*lines, "; ".join(beside)] if beside else lines


def _told(name: str, said: Mapping[str, Any]) -> str:
    gain, deviation, share = said["gain"], said["deviation"], said.get("ratio")
    if said.get("unbeaten"):
        return f"{name} {gain:+.3g} (it has seen none better than the first)"
    notes = [f"{gain / deviation:+.2f} sd"] if deviation else []
    notes += [] if share is None else [f"ratio {share:.2f}"]
    return f"{name} {gain:+.3g}" + (f" ({', '.join(notes)})" if notes else "")


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fsum(known) / len(known) if known else None
