"""The tables of a comparison: verdicts, curves with bands, paired differences, plain sentences."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, Self

from noise_search.budget import SPOKEN, Cost
from noise_search.noise import Name
from noise_search.specs import parse
from noise_search.study.statistics import METHOD, Band, band, differences

SINGLE = "single"
"""The name of the reference in every table: one sample, without a search."""


class Entry(NamedTuple):
    """One entry of a comparison: a search and its budget, each as it was written."""

    search: str
    budget: str


class Row(NamedTuple):
    """A point of a curve; `low` and `high` are None where a band cannot be told."""

    search: str
    budget: str
    spent: float
    metric: str
    mean: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class Verdict:
    """What one search came to, for one prompt and seed.

    Attributes:
        prompt: name of the prompt.
        seed: root of the search's random numbers.
        entry: search and budget.
        winner: name of its best candidate, or None if nothing was finished.
        scores: the winner's, by the verifier that guided the search.
        evaluation: the winner's, by the evaluator held out of it.
        steps: denoiser evaluations on the winner's own path.
        spent: what the search was charged.
        candidates: how many it asked for.
        ended: why it ended, in words.
    """

    prompt: Name
    seed: int
    entry: Entry
    winner: Name | None
    scores: Mapping[str, float]
    evaluation: Mapping[str, float]
    steps: int
    spent: Cost
    candidates: int
    ended: str

    def record(self) -> dict[str, Any]:
        """The fields, for a record."""
        return {
            "prompt": self.prompt,
            "seed": self.seed,
            **self.entry._asdict(),
            "winner": self.winner,
            "scores": dict(self.scores),
            "evaluation": dict(self.evaluation),
            "steps": self.steps,
            "spent": self.spent.record(),
            "candidates": self.candidates,
            "ended": self.ended,
        }

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> Self:
        """The verdict of a record."""
        return cls(
            prompt=record["prompt"],
            seed=record["seed"],
            entry=Entry(record["search"], record["budget"]),
            winner=record["winner"],
            scores=record["scores"],
            evaluation=record["evaluation"],
            steps=record["steps"],
            spent=Cost(**record["spent"]),
            candidates=record["candidates"],
            ended=record["ended"],
        )


@dataclass(frozen=True)
class Tables:
    """All that is told of a comparison's verdicts.

    A search that finished nothing counts as a failure: its evaluation is 0 (the lowest value of
    the comparison, where that is below 0), and it is counted in `failed`. It has no verifier
    score to count.

    Attributes:
        verdicts: one a prompt, seed and entry.
        verifiers: names of the scores that guided the searches; the first is ranked by.
        evaluators: names of the scores held out of them.
        most_steps: stages of the finest schedule the pipeline has.
        unit: what spending is told in: a field of `Cost`.
        diversity: by entry the mean distance of two seeds' winners for one prompt; empty of a
            single seed.
        features: what that is told by.
    """

    verdicts: Sequence[Verdict]
    verifiers: Sequence[str]
    evaluators: Sequence[str]
    most_steps: int
    unit: str = "nfe"
    diversity: Mapping[Entry, float] = field(default_factory=dict[Entry, float])
    features: str = ""

    @cached_property
    def metrics(self) -> list[str]:
        """Names of all scores, those of the evaluators first."""
        return [*self.evaluators, *self.verifiers]

    @cached_property
    def entries(self) -> dict[Entry, list[Verdict]]:
        """The verdicts of each entry, in the order of the comparison."""
        found: dict[Entry, list[Verdict]] = defaultdict(list)
        for verdict in self.verdicts:
            found[verdict.entry].append(verdict)
        return dict(found)

    def is_share(self, metric: str) -> bool:
        """Whether a score only ever says right or wrong."""
        return all(self._of(v, metric) in (0, 1, None) for v in self.verdicts)

    def values(self, entry: Entry, metric: str) -> dict[Name, list[float | None]]:
        """Scores by prompt, one a seed, in the order of the seeds."""
        found: dict[Name, list[float | None]] = defaultdict(list)
        for verdict in self.entries[entry]:
            # an evaluator that could not judge has said nothing, which is not a 0
            missing = self._missing.get(metric) if verdict.winner is None else None
            value = self._of(verdict, metric)
            found[verdict.prompt].append(missing if value is None else value)
        return dict(found)

    def band(self, entry: Entry, metric: str) -> Band | None:
        """The mean of one entry with its band; None if it has no value at all."""
        clusters = self.values(entry, metric).values()
        known = [[v for v in values if v is not None] for values in clusters]
        return band(known, share=self.is_share(metric))

    def spent(self, entry: Entry) -> float:
        """What an entry was charged in the mean, in the comparison's unit."""
        verdicts = self.entries[entry]
        total: int = sum(getattr(v.spent, self.unit) for v in verdicts)
        return total / len(verdicts)

    def rows(self) -> list[Row]:
        """The curves: one line an entry and metric."""
        return [
            Row(*entry, self.spent(entry), metric, found.mean, found.low, found.high, found.n)
            for entry in self.entries
            for metric in self.metrics
            if (found := self.band(entry, metric)) is not None
        ]

    def difference(self, ours: Entry, theirs: Entry, metric: str) -> Band | None:
        """The paired difference of two entries, prompt by prompt and seed by seed."""
        return differences(self.values(ours, metric), self.values(theirs, metric))

    def opponents(self, entry: Entry) -> list[Entry]:
        """What an entry is compared with: the baseline at the same budget, and one sample."""
        if entry.search == SINGLE:
            return []
        rivals = [Entry(_baseline(self.entries), entry.budget)]
        rivals += [other for other in self.entries if other.search == SINGLE]
        return [rival for rival in rivals if rival in self.entries and rival != entry]

    def at_limit(self, entry: Entry) -> bool:
        """Whether an entry wanted more steps than the scheduler has."""
        steps = [v.steps for v in self.entries[entry] if v.winner is not None]
        return bool(steps) and is_steps(entry.search) and min(steps) >= self.most_steps

    def _of(self, verdict: Verdict, metric: str) -> float | None:
        held_out = metric in self.evaluators
        return (verdict.evaluation if held_out else verdict.scores).get(metric)

    @cached_property
    def _missing(self) -> dict[str, float]:
        """What counts for a search that finished nothing, by evaluator."""
        return {
            metric: min((0.0, *(v.evaluation.get(metric, 0.0) for v in self.verdicts)))
            for metric in self.evaluators
        }


def spelt(budget: str) -> str:
    """A budget as people write it.

    >>> spelt("64nfe+90s")
    '64 NFE + 90 s'
    >>> spelt("2ktok")
    '2k tokens'
    """
    words = {"nfe": " NFE", "tok": " tokens", "ktok": "k tokens"}
    parts = (re.fullmatch(r"([\d.]+)(\D*)", part) for part in budget.split("+"))
    said = (f"{m[1]}{words.get(m[2], f' {m[2]}')}" if m else "" for m in parts)
    return " + ".join(said) or budget


def shortened(name: str, longest: int) -> str:
    """A name with what does not fit left out of its middle: its end often tells it apart.

    >>> shortened("paths(paths=2,width=4)", 14)
    'paths(p…dth=4)'
    """
    end = (longest - 1) // 2
    return name if len(name) <= longest else f"{name[: longest - 1 - end]}…{name[-end:]}"


def is_steps(search: str) -> bool:
    """Whether this is the baseline that spends everything on denoising steps."""
    return parse(search).name == "steps"


def _baseline(entries: Mapping[Entry, object]) -> str:
    """Random search if it takes part, the first search otherwise."""
    searches = [entry.search for entry in entries if entry.search != SINGLE]
    return next((s for s in searches if parse(s).name == "random"), searches[0])


def summary_of(tables: Tables, prompts: int, seeds: int) -> dict[str, Any]:
    """The contents of `summary.json`."""
    entries = [_entry_record(tables, entry) for entry in tables.entries]
    pairs = [
        _difference_record(tables, entry, other, metric)
        for entry in tables.entries
        for other in tables.opponents(entry)
        for metric in tables.metrics
    ]
    limit = [e["budget"] for e in entries if e["at_step_limit"]]
    lines = [line for e in entries for line in e["lines"]]
    lines += [pair["line"] for pair in pairs]
    if limit:
        lines.append(
            f"steps reached the scheduler's limit of {tables.most_steps:,} steps at "
            f"{', '.join(map(spelt, limit))}: more budget buys it nothing"
        )
    return {
        "prompts": prompts,
        "seeds": seeds,
        "verifiers": list(tables.verifiers),
        "evaluators": list(tables.evaluators),
        "bands": METHOD,
        "failures": "a search that finished nothing counts as 0 by the evaluator (the lowest "
        "value seen, where that is below 0), and has no verifier score",
        "most_steps": tables.most_steps,
        "entries": entries,
        "differences": pairs,
        "lines": lines,
    }


def _entry_record(tables: Tables, entry: Entry) -> dict[str, Any]:
    verdicts = tables.entries[entry]
    bands = {m: found for m in tables.metrics if (found := tables.band(entry, m)) is not None}
    spent = tables.spent(entry)
    failed = sum(v.winner is None for v in verdicts)
    whole = entry.budget == f"{spent:g}nfe"
    unit = SPOKEN[tables.unit].split()[0]
    head = name_of(entry) if whole else f"{name_of(entry)} ({spent:.4g} {unit} spent)"
    lines = [f"{head}: {_mean(b, tables.is_share(m))} by {m}" for m, b in bands.items()]
    if failed:
        lines.append(f"{head}: {failed} of {len(verdicts)} searches finished nothing")
    return {
        **entry._asdict(),
        "spent": {tables.unit: spent},
        "n": len(verdicts),
        "failed": failed,
        "at_step_limit": tables.at_limit(entry),
        "metrics": {metric: found._asdict() for metric, found in bands.items()},
        "lines": lines,
    }


def _difference_record(tables: Tables, ours: Entry, theirs: Entry, metric: str) -> dict[str, Any]:
    found = tables.difference(ours, theirs, metric)
    pair = {**ours._asdict(), "against": theirs._asdict(), "metric": metric}
    title = f"{name_of(ours)} against {name_of(theirs)}, by {metric}"
    if found is None:
        return {**pair, "line": f"{title}: nothing to compare"}
    said = _difference(found, tables.is_share(metric))
    return {**pair, **found._asdict(), "resolved": found.resolved, "line": f"{title}: {said}"}


def name_of(entry: Entry) -> str:
    """An entry as people call it."""
    search = "one sample" if entry.search == SINGLE else entry.search
    return f"{search} at {spelt(entry.budget)}"


def _mean(found: Band, share: bool) -> str:
    scale, unit, digits = (100, " %", ".0f") if share else (1, "", ".4g")
    text = f"{found.mean * scale:{digits}}{unit}"
    if found.low is not None and found.high is not None:
        text += f" [{found.low * scale:{digits}}, {found.high * scale:{digits}}]"
    return f"{text}, n = {found.n}"


def _difference(found: Band, share: bool) -> str:
    scale, unit, digits = (100, " points", "+.1f") if share else (1, "", "+.3g")
    text = f"{found.mean * scale:{digits}}{unit}"
    if found.low is None or found.high is None:
        return f"{text}; one pair alone has no band"
    if found.low == found.high == 0:
        return f"no difference in any of {found.n} pairs"
    text += f" [{found.low * scale:{digits}}, {found.high * scale:{digits}}], n = {found.n}; "
    return text + (("better" if found.mean > 0 else "worse") if found.resolved else "not resolved")
