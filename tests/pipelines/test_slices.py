"""Parts of a path: what a pipeline is handed where one begins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from noise_search.ask import Prompt
from noise_search.pipelines.driver import Driver
from noise_search.pipelines.slices import EARLIER, Slice, Wanted
from noise_search.pipelines.solvers import Solver
from tests.pipelines.zoo import KINDS, load
from tests.pipelines.zoo.warnings import KNOWN

pytestmark = [*KNOWN]


@pytest.mark.parametrize("known", [True, False])
def test_an_x0_that_a_pipeline_hands_back_is_that_of_the_step_before(
    known: bool, tmp_path: Path
) -> None:
    """CogVideoX's DPM++ remembers in its pipeline; what goes back has no step before."""
    kind = KINDS["cogvideox-dpm"]
    pipe = load(kind, tmp_path)
    plan, _, _ = Driver(pipe, kind.arguments, copies=2).survey(kind.steps, Prompt("p", "green"))
    x, before, zero = (torch.full((1, *plan.shape), value) for value in (1.0, 2.0, 0.0))
    memory = {EARLIER: before} if known else {}
    wanted = Wanted(2, 4, 4, shown=False, final=True)
    part = Slice(Solver.of(pipe), plan, wanted, x, memory, lambda *_: _silent(x))
    part.begin()
    answers = [part.step({"sample": zero}) for _ in range(2)]
    assert torch.equal(answers[-1][0], x)
    assert answers[-1][1] is (before if known else None)


def _silent(x: Tensor) -> Callable[[int], Tensor]:
    return lambda _: torch.zeros_like(x)
