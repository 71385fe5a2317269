"""Costs add up exactly; ledgers nest and are never passed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noise_search.budget import ZERO, Cost, Ledger, read_limits
from noise_search.errors import UserError

costs = st.builds(Cost, nfe=st.integers(0, 50), verifier_calls=st.integers(0, 5))


@given(st.lists(costs), st.integers(0, 300), st.integers(0, 300))
def test_nested_ledgers_pass_no_limit_when_asked_first(
    wanted: list[Cost], outer: int, inner: int
) -> None:
    above = Ledger({"nfe": outer})
    ledger = Ledger({"nfe": inner, "verifier_calls": 20}, above)
    bought = ZERO
    for cost in wanted:
        if ledger.affords(cost):
            ledger.charge(cost)
            bought += cost
    assert ledger.spent == above.spent == bought
    assert bought.nfe <= min(outer, inner)
    assert bought.verifier_calls <= 20
    assert ledger.left()["nfe"] == inner - bought.nfe


@given(costs, costs)
def test_costs_are_vectors(a: Cost, b: Cost) -> None:
    assert a + b - b == a
    assert a * 3 == a + a + a
    assert Cost(**a.record()) == a
    assert bool(a) == (a != ZERO)


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("640nfe", {"nfe": 640}),
        ("640nfe+90s", {"nfe": 640, "microseconds": 90_000_000}),
        ("20ktok", {"tokens_out": 20_000}),
        ("1.5ktok + 3 calls", {"tokens_out": 1_500, "verifier_calls": 3}),
        ("2NFE", {"nfe": 2}),
        ("0.5min", {"microseconds": 30_000_000}),
    ],
)
def test_budgets_are_read(text: str, limits: dict[str, int]) -> None:
    assert read_limits(text) == limits


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("640", "unknown unit ''"),
        ("640nef", "did you mean 'nfe'"),
        ("-1nfe", "not a limit"),
        ("0nfe", "above 0"),
        ("1.5nfe", "whole number"),
        ("1nfe+2nfe", "twice"),
        ("", "not a limit"),
        ("nan nfe", "not a limit"),
        ("1e9nfe", "not a limit"),
        ("9" * 400 + "nfe", "not a limit"),
    ],
)
def test_impossible_budgets_are_named(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        read_limits(text)
