"""What schedulers' numbers mean: readings are proved where all data is one point."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import diffusers
import pytest
import torch

from noise_search.pipelines.schedules import (
    Path,
    Proof,
    draws_noise,
    proved,
    reading,
    stages_to_loop,
)
from noise_search.pipelines.solvers import Loop, Solver
from noise_search.samplers.path import Level
from tests.pipelines.zoo.warnings import KNOWN

pytestmark = [*KNOWN]
library: Any = diffusers
STEPS = 6
FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
Setting = Mapping[str, Any]
# class, its settings, settings of its grid, whether its steps draw noise
KNOWN_PATHS: list[tuple[str, Setting, Setting, bool]] = [
    ("DDIMScheduler", {}, {}, False),
    ("DDIMScheduler", {"set_alpha_to_one": False, "steps_offset": 1}, {}, False),
    (
        "DDIMScheduler",
        {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True},
        {},
        False,
    ),
    ("DDPMScheduler", {}, {}, True),
    ("EulerDiscreteScheduler", {}, {}, False),
    (
        "EulerDiscreteScheduler",
        {"prediction_type": "v_prediction", "use_karras_sigmas": True},
        {},
        False,
    ),
    ("EulerAncestralDiscreteScheduler", {}, {}, True),
    ("HeunDiscreteScheduler", {}, {}, False),
    ("DPMSolverMultistepScheduler", {}, {}, False),
    ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}, {}, True),
    ("DPMSolverMultistepScheduler", FLOW, {}, False),
    ("DPMSolverSinglestepScheduler", {"lower_order_final": True}, {}, False),
    ("UniPCMultistepScheduler", {}, {}, False),
    ("UniPCMultistepScheduler", {**FLOW, "flow_shift": 3.0}, {}, False),
    ("DEISMultistepScheduler", {}, {}, False),
    ("SASolverScheduler", {}, {}, True),
    ("LMSDiscreteScheduler", {}, {}, False),
    ("KDPM2AncestralDiscreteScheduler", {}, {}, True),
    ("LCMScheduler", {}, {}, True),
    ("TCDScheduler", {}, {}, False),  # it takes eta, which is the search's to say
    ("FlowMatchEulerDiscreteScheduler", {}, {}, False),
    ("FlowMatchEulerDiscreteScheduler", {"stochastic_sampling": True}, {}, True),
    ("FlowMatchEulerDiscreteScheduler", {"use_dynamic_shifting": True}, {"mu": 0.7}, False),
    ("FlowMatchEulerDiscreteScheduler", {"invert_sigmas": True}, {}, False),
    ("FlowMatchHeunDiscreteScheduler", {}, {}, False),
    ("FlowMatchLCMScheduler", {}, {}, True),
    ("CMStochasticIterativeScheduler", {}, {}, True),
    ("SCMScheduler", {}, {"intermediate_timesteps": None}, True),
    ("EDMEulerScheduler", {}, {}, False),
    ("EDMDPMSolverMultistepScheduler", {}, {}, False),
    ("CogVideoXDDIMScheduler", {}, {}, False),
    ("CogVideoXDPMScheduler", {}, {}, True),
]


def tried(name: str, given: Setting, grid: Setting) -> Proof:
    scheduler = getattr(library, name)(**given)
    scheduler.set_timesteps(STEPS, **grid)
    times = scheduler.timesteps[: -1 if name == "SCMScheduler" else None]
    loop = Loop(tuple(float(t) for t in times), 0)

    def make() -> Solver:
        solver = Solver(scheduler)
        solver.began()
        return solver

    return proved(make, loop, reading(scheduler, loop), STEPS)


@pytest.mark.parametrize(("name", "given", "grid", "random"), KNOWN_PATHS)
def test_paths_that_are_known(name: str, given: Setting, grid: Setting, random: bool) -> None:
    proof = tried(name, given, grid)
    assert proof.path is not None
    assert proof.cold
    assert proof.random == random
    levels = proof.path.levels
    assert all(now.is_noisier_than(levels[-1]) for now in levels[:-1])


@pytest.mark.parametrize("skip", [True, False])
def test_pndm_goes_on_but_cannot_begin_in_the_middle(skip: bool) -> None:
    proof = tried("PNDMScheduler", {"skip_prk_steps": skip}, {})
    assert proof.path is not None
    assert not proof.cold


def test_paths_that_are_not_known() -> None:
    assert tried("IPNDMScheduler", {}, {}).path is None


def test_a_wrong_reading_is_not_believed() -> None:
    scheduler = library.FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(STEPS)
    loop = Loop(tuple(float(t) for t in scheduler.timesteps), 0)
    [right] = reading(scheduler, loop)
    preserving = tuple(Level((1.0 - level.s**2) ** 0.5, level.s) for level in right.levels)
    wrong = Path(preserving, right.mixes)

    def make() -> Solver:
        solver = Solver(scheduler)
        solver.began()
        return solver

    assert proved(make, loop, [wrong], STEPS).path is None
    assert proved(make, loop, [wrong, right], STEPS).path == right


@pytest.mark.parametrize(
    ("name", "random"),
    [("DDIMScheduler", False), ("HeunDiscreteScheduler", False), ("LCMScheduler", True)],
)
def test_whether_steps_draw_noise_is_seen_by_what_it_changes(name: str, random: bool) -> None:
    assert draws_noise(getattr(library, name)()) is random


def test_x0_predictions_are_those_of_the_schedulers() -> None:
    generator = torch.Generator().manual_seed(0)
    x, out = torch.randn((2, 1, 4, 8, 8), generator=generator)
    for name in ("DDIMScheduler", "EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler"):
        given = {"clip_sample": False} if name == "DDIMScheduler" else {}
        scheduler = getattr(library, name)(**given)
        scheduler.set_timesteps(STEPS)
        loop = Loop(tuple(float(t) for t in scheduler.timesteps), 0)
        path = reading(scheduler, loop)[0]
        scheduler.scale_model_input(x, scheduler.timesteps[0])
        own = scheduler.step(out, scheduler.timesteps[0], x, generator=generator)
        torch.testing.assert_close(
            path.x0(0, out, x), own.pred_original_sample, rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize(("steps", "loop"), [(5, 5), (5, 9), (5, 6), (5, 4), (20, 7)])
def test_stages_and_the_steps_of_a_loop(steps: int, loop: int) -> None:
    found = [stages_to_loop(stage, steps, loop) for stage in range(steps + 1)]
    assert found[0] == 0
    assert found[-1] == loop
    assert found == sorted(found)
    assert found[1] >= 1
