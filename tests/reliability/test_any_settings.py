"""Under any settings no budget is passed, and the ledger says what was really done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noise_search.budget import ZERO
from noise_search.study.prompts import prompts_of
from noise_search.study.settings import Settings
from tests.conformance.faults import SCORES, Fault, faulty
from tests.conformance.folders import driven
from tests.conformance.worlds import Tally, World

EXAMPLES, NIGHTLY_EXAMPLES = 100, 1000

shares = st.sampled_from([0.1, 0.25, 0.5, 0.75, 0.9])
small = st.integers(1, 6)
SEARCHES: dict[str, st.SearchStrategy[str]] = {
    "random": st.builds("random(batch={})".format, st.integers(1, 9)),
    "zero-order": st.builds(
        "zero-order(neighbors={},cosine={},elitist={})".format,
        small,
        st.sampled_from([-0.9, 0.0, 0.5, 0.99]),
        st.booleans(),
    ),
    "paths": st.builds(
        "paths(paths={},width={},start={},forward={},backward={})".format,
        st.integers(1, 3),
        st.integers(1, 4),
        shares,
        shares,
        shares,
    ),
    "prune": st.builds(
        "prune(at={},keep={})".format,
        st.lists(shares, min_size=1, max_size=3).map(lambda at: "+".join(map(str, at))),
        st.sampled_from([0.1, 0.34, 0.5, 0.9, 1.0]),
    ),
    "steps": st.just("steps"),
}
budgets = st.one_of(
    st.integers(1, 120).map("{}nfe".format),
    st.integers(1, 30).map("{}calls".format),
    st.builds("{}nfe+{}calls".format, st.integers(1, 120), st.integers(1, 30)),
    st.builds("{}forwards+{}calls".format, st.integers(1, 120), st.integers(1, 30)),
)


@dataclass(frozen=True)
class Setup:
    """A run of any kind."""

    settings: Settings
    texts: int
    fault: Fault


@st.composite
def setups(draw: st.DrawFn, search: str) -> Setup:
    steps = draw(st.integers(1, 12))
    world = World(
        "any",
        draw(
            st.sampled_from(["gaussian(dim={})", "mixture(dim={})", "gaussian(dim={},path=vp)"])
        ).format(draw(st.integers(3, 6))),  # in two dimensions neighbors coincide
    )
    fewer = st.one_of(st.none(), st.integers(1, steps))
    others: dict[str, Any] = {
        "seed": draw(st.integers(0, 99)),
        "steps": steps,
        # what goes back along its paths has no other schedule to search on
        "search_steps": draw(st.none() if search == "paths" else fewer),
        "eta": draw(st.sampled_from([0.0, 0.3, 1.0])),
        "batch": draw(st.integers(1, 9)),
        "fast": draw(st.booleans()),
        "top_k": draw(st.integers(1, 3)),
    }
    spec, budget = draw(SEARCHES[search]), draw(budgets)
    fault = Fault("score", draw(st.sampled_from(list(SCORES))), draw(st.sampled_from([0, 0.3, 1])))
    return Setup(world.settings(spec, budget, **others), draw(st.integers(1, 3)), fault)


def check(setup: Setup) -> None:
    chosen = setup.settings
    prompts = prompts_of(f"text {i}" for i in range(setup.texts))
    with Tally() as tally:
        found = driven(prompts, chosen, faulty(setup.fault, tally.bench))
    assert found.overhead == ZERO
    spent = [outcome.spent for outcome in found.outcomes]
    for cost in spent:
        assert all(getattr(cost, kind) <= most for kind, most in chosen.limits.items())
    assert sum(tally.distinct) == sum(cost.nfe for cost in spent)
    assert sum(tally.distinct) == sum(cost.forwards for cost in spent)
    assert tally.judged == sum(cost.verifier_calls for cost in spent)
    assert chosen.fast or set(tally.widths) <= {chosen.batch}
    assert not chosen.fast or tally.widths == tally.distinct


@pytest.mark.timeout(600)
@pytest.mark.parametrize("search", SEARCHES)
def test_used_is_never_more_than_the_budget_and_equals_what_was_counted(search: str) -> None:
    @settings(max_examples=EXAMPLES)
    @given(setups(search))
    def holds(setup: Setup) -> None:
        check(setup)

    holds()


@pytest.mark.nightly
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("search", SEARCHES)
def test_it_holds_in_a_thousand_cases_of_each_search(search: str) -> None:
    @settings(max_examples=NIGHTLY_EXAMPLES)
    @given(setups(search))
    def holds(setup: Setup) -> None:
        check(setup)

    holds()
