"""Rankings over several verifiers: raw scores are kept, failures have a reason."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from noise_search.ask import Prompt
from noise_search.errors import UserError
from noise_search.problem import Sample
from noise_search.verifiers.loading import load

SAMPLE = Sample(Prompt("p", "a"), np.array([2.0, 4.0]), 8, 8)


@pytest.mark.parametrize(
    "text",
    [
        "rank(reward,reward(slope=0+1))",
        "first(reward,reward(slope=0+1))",
        "weighted(reward=1,reward(slope=0+1)=0.5)",
    ],
)
def test_every_raw_score_is_kept(text: str) -> None:
    verifier: Any = load(text)
    [score] = verifier.score([SAMPLE])
    assert score.values == {"reward": 2.0, "reward(slope=0+1)": 4.0}
    assert verifier.ranking.names == ("reward", "reward(slope=0+1)")


def test_the_failure_of_one_fails_the_sample() -> None:
    [score] = load("rank(reward,reward(slope=0+0+1))").score([SAMPLE])
    assert score.values == {}
    assert score.failure == "a reward of 3 coordinates of shape (2,)"


@pytest.mark.parametrize("text", ["rank(reward)", "weighted(reward)", "first(reward,rewrd)"])
def test_what_cannot_be_joined_is_refused(text: str) -> None:
    with pytest.raises(UserError):
        load(text)
