from collections.abc import Callable
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pytest
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler
from diffusers.schedulers.scheduling_flow_match_euler_discrete import (
    FlowMatchEulerDiscreteScheduler,
)
from diffusers.schedulers.scheduling_flow_match_heun_discrete import (
    FlowMatchHeunDiscreteScheduler,
)

from noise_search.pipelines.analytic.distributions import Mixture
from noise_search.samplers import (
    Level,
    Parts,
    ddim_step,
    discrete_levels,
    euler_step,
    from_eps,
    from_v,
    from_x0,
    heun_step,
    linear,
    shift,
    times,
    timesteps,
    to_flow,
    to_v,
    variance_exploding,
)

DATA = Mixture([0.3, 0.7], [[-2.0, 0.5], [1.0, 1.5]], [0.3, 0.6])
BETAS: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
Kind = Literal["epsilon", "sample", "v_prediction"]
SPLIT: dict[Kind, Callable[[torch.Tensor, torch.Tensor, Level], Parts[torch.Tensor]]] = {
    "epsilon": from_eps,
    "sample": from_x0,
    "v_prediction": from_v,
}


def start() -> tuple[np.random.Generator, torch.Tensor]:
    generator = np.random.default_rng(0)
    return generator, torch.from_numpy(generator.standard_normal((4, 2)))


def predict(kind: str, x: torch.Tensor, level: Level) -> torch.Tensor:
    """What a perfect model of the data would return for a sample."""
    parts = DATA.parts(x.numpy(), level)
    outputs = {
        "epsilon": parts.eps,
        "sample": parts.x0,
        "v_prediction": to_v(parts, level),
        "flow": to_flow(parts),
    }
    return torch.from_numpy(outputs[kind])


@pytest.mark.parametrize("kind", ["epsilon", "sample", "v_prediction"])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(
    ("spacing", "offset", "to_one"),
    [("leading", 0, True), ("leading", 1, False), ("trailing", 0, True), ("trailing", 0, False)],
)
def test_ddim_takes_the_steps_of_diffusers(
    spacing: Literal["leading", "trailing"], offset: int, to_one: bool, eta: float, kind: Kind
) -> None:
    scheduler: Any = DDIMScheduler(
        **BETAS,
        clip_sample=False,
        set_alpha_to_one=to_one,
        steps_offset=offset,
        prediction_type=kind,
        timestep_spacing=spacing,
    )
    scheduler.set_timesteps(20)
    steps = timesteps(20, spacing=spacing, offset=offset)
    assert steps == tuple(scheduler.timesteps.tolist())
    bars = scheduler.alphas_cumprod.tolist()
    levels = discrete_levels(bars, steps, final=1.0 if to_one else bars[0])
    generator, theirs = start()
    ours = theirs
    for step, (now, then) in zip(steps, pairwise(levels), strict=True):
        noise = torch.from_numpy(generator.standard_normal((4, 2)))
        output = predict(kind, theirs, now)
        theirs = scheduler.step(output, step, theirs, eta=eta, variance_noise=noise).prev_sample
        ours = ddim_step(SPLIT[kind](ours, predict(kind, ours, now), now), now, then, eta, noise)
        torch.testing.assert_close(ours, theirs.to(ours.dtype), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("factor", [1.0, 3.0])
def test_flow_euler_takes_the_steps_of_diffusers(factor: float) -> None:
    scheduler: Any = FlowMatchEulerDiscreteScheduler(shift=factor)
    scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / 12, 12).tolist())
    grid = [shift(t, factor) for t in times(12)]
    np.testing.assert_allclose(scheduler.sigmas.numpy(), grid, atol=1e-6)
    _, theirs = start()
    ours = theirs
    for timestep, (now, then) in zip(scheduler.timesteps, pairwise(grid), strict=True):
        output = predict("flow", theirs, linear(now))
        theirs = scheduler.step(output, timestep, theirs).prev_sample.double()
        ours = euler_step(ours, predict("flow", ours, linear(now)), now, then)
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_flow_heun_takes_the_steps_of_diffusers() -> None:
    scheduler: Any = FlowMatchHeunDiscreteScheduler(shift=3.0)
    scheduler.set_timesteps(6)
    sigmas = [float(sigma) for sigma in scheduler.sigmas]
    grid = [sigmas[0], *sigmas[1:-1:2], 0.0]
    _, theirs = start()
    ours = theirs
    for timestep, sigma in zip(scheduler.timesteps, sigmas, strict=False):
        output = predict("flow", theirs, linear(sigma))
        theirs = scheduler.step(output, timestep, theirs).prev_sample.double()
    for now, then in pairwise(grid[:-1]):
        ours = heun_step(lambda x, t: predict("flow", x, linear(t)), ours, now, then)
    # diffusers ends with an Euler step, because its velocity needs a positive sigma.
    ours = euler_step(ours, predict("flow", ours, linear(grid[-2])), grid[-2], grid[-1])
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


# diffusers 0.42 hands NumPy 2 a torch tensor in the old way when it makes this grid.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_ddim_on_the_exploding_path_takes_the_euler_steps_of_diffusers() -> None:
    scheduler: Any = EulerDiscreteScheduler(**BETAS, timestep_spacing="leading", steps_offset=1)
    scheduler.set_timesteps(20)
    levels = [variance_exploding(float(sigma)) for sigma in scheduler.sigmas]
    _, theirs = start()
    theirs = ours = theirs * levels[0].s
    for timestep, (now, then) in zip(scheduler.timesteps, pairwise(levels), strict=True):
        scheduler.scale_model_input(theirs, timestep)
        output = predict("epsilon", theirs, now)
        theirs = scheduler.step(output, timestep, theirs).prev_sample.double()
        ours = ddim_step(from_eps(ours, predict("epsilon", ours, now), now), now, then)
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
