"""What a run would cost: the search is really held, against a problem that only prices.

Made-up scores take the place of a model. What a search costs does not depend on scores unless
it is adaptive; one that is shows itself by costing different sums under different scores, and
for it the budget is the bound. Of what is not known nothing is said: it is never 0.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from noise_search.ask import Ask, Prompt, may_be_looked_at, resolve
from noise_search.budget import JUDGING, UNITS, ZERO, Cost, Limits, check_judging, read_limits
from noise_search.candidate import Candidate
from noise_search.errors import Stop, UserError
from noise_search.moves import Plan, Start
from noise_search.noise import Medium, digest
from noise_search.problem import Batch
from noise_search.ranking import ByScore
from noise_search.run import Job, Run
from noise_search.study.settings import Settings
from noise_search.text import Text

SCORINGS = 3
"""Different made-up scores under which a search is held."""
MOST_SAMPLES = 2_000
"""Budgets for more samples than this are bounded, not played through."""
REHEARSED = 16
"""Samples after which a search that had nothing to object to will have nothing later."""
BYTES_OF_CANDIDATE = 900
"""In the journal and in `candidates.jsonl` together, as measured."""
BOUNDABLE = ("nfe", "forwards", "decodes", "previews", "verifier_calls", "tokens_out")
"""What is priced before anything is played."""


_SPELLED = {field: unit for unit, (field, times) in UNITS.items() if times == 1}


class Pricer(Protocol):
    """What prices asks without a model; `pipelines.loading.price_only` makes one."""

    @property
    def medium(self) -> Medium:
        """What samples are made of."""
        ...

    @property
    def stochastic(self) -> bool:
        """Whether a transition between stages draws noise."""
        ...

    @property
    def most_steps(self) -> int:
        """Evaluations of the finest schedule."""
        ...

    def price(self, ask: Ask) -> Cost:
        """What playing an ask costs, without its verifier."""
        ...


class _Handing:
    """Hands on what a pricer says of its model.

    Args:
        pricer: knows the prices.
    """

    def __init__(self, pricer: Pricer) -> None:
        self.pricer = pricer

    @property
    def medium(self) -> Medium:
        """The pricer's."""
        return self.pricer.medium

    @property
    def stochastic(self) -> bool:
        """The pricer's."""
        return self.pricer.stochastic

    @property
    def most_steps(self) -> int:
        """The pricer's."""
        return self.pricer.most_steps


class Judging(_Handing):
    """A pricer whose samples are looked at by a verifier that has a price.

    Args:
        pricer: knows the model's prices.
        judging: what a look costs at most, beside the call.
        earlier: after which share of the stages it is shown a preview, or None.
    """

    def __init__(self, pricer: Pricer, judging: Cost, earlier: float | None = None) -> None:
        super().__init__(pricer)
        self.judging = judging
        self.earlier = earlier

    def price(self, ask: Ask) -> Cost:
        """The pricer's, with the earlier preview."""
        return self.pricer.price(replace(ask, earlier=self.earlier))


def judging_of(pricer: Pricer) -> Cost:
    """What a look costs at most, beside the call."""
    return pricer.judging if isinstance(pricer, Judging) else ZERO


class Priced(_Handing):
    """A problem that charges its prices and answers with scores made up from a hash.

    Args:
        pricer: knows the prices.
        salt: another one makes up other scores.
    """

    def __init__(self, pricer: Pricer, salt: int = 0) -> None:
        super().__init__(pricer)
        self.salt = salt
        self._look = Cost(verifier_calls=1) + judging_of(pricer)

    def price(self, ask: Ask) -> Cost:
        """The pricer's price, and the verifier's if it may be looked at."""
        price = self.pricer.price(ask)
        return price + self._look if may_be_looked_at(ask, self.medium) else price

    def lane(self, ask: Ask) -> Hashable:
        """All in one: batches are not priced."""
        return None

    def play(self, asks: Sequence[Ask]) -> Batch:
        """Charge, and make up scores."""
        return Batch([self._candidate(ask) for ask in asks])

    def _candidate(self, ask: Ask) -> Candidate:
        score = int(digest("made up", self.salt, ask.name), 16) / 2**64
        return Candidate(
            name=ask.name,
            prompt=ask.prompt.name,
            noise=ask.path,
            steps=ask.steps,
            stage=ask.until,
            parent=None if ask.parent is None else ask.parent.name,
            scores={"made up": score} if ask.looked_at else {},
            cost=self.price(ask),
            text=Text() if self.medium.answers else None,
        )


@dataclass(frozen=True)
class Estimate:
    """What a run would cost.

    Attributes:
        candidates: samples made, or None if that is not known.
        cost: by field of `Cost`; None where it is not known, absent where there is none.
        exact: what it will cost if no sample fails; otherwise at most that.
    """

    candidates: int | None
    cost: Mapping[str, int | None] = field(default_factory=dict[str, int | None])
    exact: bool = True

    def __mul__(self, times: int) -> Estimate:
        return Estimate(
            None if self.candidates is None else self.candidates * times,
            {kind: None if n is None else n * times for kind, n in self.cost.items()},
            self.exact,
        )

    def __add__(self, other: Estimate) -> Estimate:
        kinds = {**self.cost, **other.cost}
        return Estimate(
            _sum(self.candidates, other.candidates),
            {kind: _sum(self.cost.get(kind, 0), other.cost.get(kind, 0)) for kind in kinds},
            self.exact and other.exact,
        )

    @property
    def record_bytes(self) -> int | None:
        """Room that the records of its candidates take, about."""
        return None if self.candidates is None else self.candidates * BYTES_OF_CANDIDATE


def _sum(a: int | None, b: int | None) -> int | None:
    return None if a is None or b is None else a + b


def estimate(pricer: Pricer, jobs: Sequence[Job]) -> Estimate:
    """What jobs would cost together; what they share is played once.

    What a judge spends is told as the worst case: every look at its highest price, or the limit.

    Args:
        pricer: knows the model's prices.
        jobs: the searches of one prompt, as the run itself would hold them.
    """
    found, look = _estimate(pricer, jobs), judging_of(pricer)
    calls = found.cost.get("verifier_calls")
    worst: dict[str, int | None] = {}
    for kind in (kind for kind in JUDGING if getattr(look, kind)):
        limits = [job.limits.get(kind) for job in jobs]
        limit = None if None in limits else sum(n for n in limits if n is not None)
        most = None if calls is None else calls * getattr(look, kind)
        worst[kind] = min((n for n in (most, limit) if n is not None), default=None)
    return replace(found, cost={**found.cost, **worst}, exact=False) if worst else found


def _estimate(pricer: Pricer, jobs: Sequence[Job]) -> Estimate:
    known = not pricer.medium.answers  # how long a text becomes is known to nobody
    if known and all(_samples(pricer, job) <= MOST_SAMPLES for job in jobs):
        held = [_hold(Priced(pricer, salt), jobs) for salt in range(SCORINGS)]
        if all(cost == held[0] for cost in held):
            count, cost = held[0]
            timed = any("microseconds" in job.limits for job in jobs)
            return Estimate(count, {k: getattr(cost, k) for k in _kinds(cost)}, not timed)
    if len(jobs) == 1:
        return _bound(pricer, jobs[0])
    # what different searches share may depend on scores; apart, each costs at most this
    apart: dict[Plan, list[Job]] = defaultdict(list)
    for job in jobs:
        apart[job.plan].append(job)
    parts = list(apart.values()) if len(apart) > 1 else [[job] for job in jobs]
    costs = [_estimate(pricer, part) for part in parts]
    return replace(sum(costs[1:], costs[0]), exact=False)


def rehearse(pricer: Pricer, job: Job) -> None:
    """Hold the beginning of a search, so that what it has to object to is heard at once.

    Raises:
        UserError: the search refuses what it is asked.
    """
    sample = sample_price(pricer, job.prompt, job.steps)
    small = {
        name: min(limit, REHEARSED * getattr(sample, name)) if name in BOUNDABLE else limit
        for name, limit in job.limits.items()
    }
    seen: list[Candidate] = []

    def listen(candidate: Candidate) -> None:
        seen.append(candidate)
        if len(seen) > REHEARSED * job.steps:
            raise Stop

    Run(Priced(pricer), ByScore("made up"), listen=listen).drive([replace(job, limits=small)])


def _hold(problem: Priced, jobs: Sequence[Job]) -> tuple[int, Cost]:
    """How many candidates there are, and what they cost, of searches against a problem."""
    known = [replace(job, limits=_boundable(job.limits)) for job in jobs]
    run = Run(problem, ByScore("made up"))
    run.drive(known)
    return len(run.played), sum((c.cost for c in run.played.values()), ZERO)


def _boundable(limits: Limits) -> dict[str, int]:
    return {name: limit for name, limit in limits.items() if name in BOUNDABLE}


def _samples(pricer: Pricer, job: Job) -> int:
    """Whole samples that a budget allows; endlessly many if time alone is limited."""
    price = sample_price(pricer, job.prompt, job.steps)
    counts = [
        limit // max(1, getattr(price, name)) for name, limit in _boundable(job.limits).items()
    ]
    return min(counts, default=0 if not job.limits else MOST_SAMPLES + 1)


def _bound(pricer: Pricer, job: Job) -> Estimate:
    """What a budget allows at most, whatever the search does; unlimited things are unknown."""
    if pricer.medium.answers:
        return _bound_of_texts(pricer, job)
    sample = sample_price(pricer, job.prompt, 1)
    limits = _boundable(job.limits or _as_limits(pricer, job))
    # every candidate takes an evaluation at least, and every evaluation as many rows as any other
    bounds = [limits[k] // getattr(sample, k) for k in ("nfe", "forwards") if k in limits]
    nfe = min(bounds, default=None)
    cost = {kind: None if nfe is None else nfe * getattr(sample, kind) for kind in _kinds(sample)}
    if nfe is not None and "verifier_calls" in limits:
        cost["verifier_calls"] = min(nfe, limits["verifier_calls"])
    elif "verifier_calls" in limits:
        cost["verifier_calls"] = limits["verifier_calls"]
    return Estimate(nfe, cost, exact=False)


def _bound_of_texts(pricer: Pricer, job: Job) -> Estimate:
    """What a budget allows of texts: a token a candidate, and a call, at least."""
    limits = _boundable(job.limits) or sample_price(pricer, job.prompt, job.steps).record()
    most = min((limits[k] for k in ("tokens_out", "verifier_calls") if k in limits), default=None)
    cost = {"tokens_out": limits.get("tokens_out"), "verifier_calls": most}
    return Estimate(None, cost, exact=False)


def _as_limits(pricer: Pricer, job: Job) -> Limits:
    """The limits of a job that has none because it is one sample."""
    return {"nfe": sample_price(pricer, job.prompt, job.steps).nfe}


def _kinds(cost: Cost) -> list[str]:
    return [kind for kind in BOUNDABLE if getattr(cost, kind)]


def price_of(settings: Settings) -> Pricer:
    """What prices the model of completed settings; neither torch nor weights are loaded."""
    from noise_search.pipelines.loading import price_only, signature
    from noise_search.study.bench import writing_of
    from noise_search.verifiers.loading import earlier_of_spec, most_of_spec

    pricer = price_only(
        settings.model,
        guidance_scale=settings.guidance_scale,
        eta=settings.eta,
        writing=writing_of(settings),
        preview=settings.preview,
    )
    moving = signature(settings.model).films(settings.pipeline)
    if settings.verifier is None:
        return pricer
    look = most_of_spec(settings.verifier, moving=moving)
    earlier = earlier_of_spec(settings.verifier)
    return Judging(pricer, look, earlier) if look or earlier is not None else pricer


def named(cost: Cost, budget: str) -> str:
    """The part of a cost that a budget is too small for, as it is spelled in budgets."""
    for name, limit in read_limits(budget).items():
        if getattr(cost, name) > limit:
            return _spelled(cost, name)
    return budget


def _spelled(cost: Cost, name: str) -> str:
    """A part of a cost, as it is spelled in budgets."""
    amount = getattr(cost, name)
    if name == "micro_usd":
        return f"{amount / 1e6:g}usd"
    return f"{amount}{_SPELLED.get(name, name)}"


def sample_price(pricer: Pricer, prompt: Prompt, steps: int) -> Cost:
    """What one whole sample costs, verifier included."""
    return Priced(pricer).price(
        resolve(prompt, Start(pricer.medium.fresh(0)), steps, pricer.stochastic)
    )


def check_budget(pricer: Pricer, prompt: Prompt, settings: Settings) -> None:
    """Refuse a budget that cannot pay for one sample, and one that would never end.

    Where winners are made again on a longer schedule, that is paid for too.

    Raises:
        UserError: the budget is impossible.
    """
    steps, search_steps = settings.steps or 1, settings.search_steps or 1
    least, needs = sample_price(pricer, prompt, search_steps), "one sample"
    if search_steps != steps:
        least += sample_price(pricer, prompt, steps) * settings.top_k
        needs = f"one sample and {settings.top_k} in full"
    check_judging(settings.limits, least)
    for name, limit in settings.limits.items():
        most = "up to " if pricer.medium.answers or name in JUDGING else ""
        if getattr(least, name) > limit:
            price = f"{most}{_spelled(least, name)}"
            raise UserError(
                f"budget: {settings.budget} is less than {needs} of {settings.model} ({price})"
            )
    if not any(getattr(least, name) or name == "microseconds" for name in settings.limits):
        unit = _SPELLED[pricer.medium.unit]
        raise UserError(
            f"budget: {settings.budget} limits nothing that {settings.model} spends; "
            f"limit {unit}, calls or time"
        )
