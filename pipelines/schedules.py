"""What a diffusers scheduler says of its levels, its steps and its x0-predictions."""

from __future__ import annotations

import copy
from typing import Any

from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_flow_match_euler_discrete import (
    FlowMatchEulerDiscreteScheduler,
)
from torch import Tensor

from noise_search.errors import UserError
from noise_search.samplers.convert import from_flow
from noise_search.samplers.ddim import ddim_step
from noise_search.samplers.path import Level, linear, variance_preserving

__all__ = ["DdimGrid", "FlowGrid", "Grid", "check_scheduler", "new_grid"]


class DdimGrid:
    """The steps of a `DDIMScheduler` (Song et al. 2010.02502), taken by the scheduler itself.

    Args:
        scheduler: this grid's own copy, which the pipeline sets up for its steps.
    """

    def __init__(self, scheduler: Any) -> None:
        self.scheduler = scheduler

    def levels(self) -> tuple[Level, ...]:
        """The level at which the denoiser sees each stage, and the last step's own."""
        inner = self.scheduler
        times = [int(t) for t in inner.timesteps]
        after = times[-1] - inner.config.num_train_timesteps // inner.num_inference_steps
        final = inner.alphas_cumprod[after] if after >= 0 else inner.final_alpha_cumprod
        bars = [*(inner.alphas_cumprod[t] for t in times), final]
        return tuple(variance_preserving(float(bar)) for bar in bars)

    def step(
        self, stage: int, output: Tensor, x: Tensor, eta: float, noise: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """X at a stage, and the x0-prediction, from x one stage before and the model's output."""
        time = self.scheduler.timesteps[stage - 1]
        found: tuple[Tensor, Tensor] = self.scheduler.step(
            output, time, x, eta=eta, variance_noise=noise, return_dict=False
        )
        return found


class FlowGrid:
    """The steps of a `FlowMatchEulerDiscreteScheduler`: Euler, or DDIM on the linear path.

    Args:
        scheduler: this grid's own copy, which the pipeline sets up for its steps.
    """

    def __init__(self, scheduler: Any) -> None:
        self.scheduler = scheduler

    def levels(self) -> tuple[Level, ...]:
        """A = 1 - sigma and s = sigma of each stage."""
        return tuple(linear(sigma) for sigma in self.scheduler.sigmas.tolist())

    def step(
        self, stage: int, output: Tensor, x: Tensor, eta: float, noise: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """X at a stage, and the x0-prediction, from x one stage before and the model's output."""
        inner = self.scheduler
        sigma = inner.sigmas[stage - 1]
        x0 = (x.float() - sigma * output.float()).to(output.dtype)
        if noise is None:
            # Found by time it would be found wrongly: the steps before were not taken.
            inner._step_index = stage - 1
            (after,) = inner.step(output, inner.timesteps[stage - 1], x, return_dict=False)
            return after, x0
        now, then = linear(float(sigma)), linear(float(inner.sigmas[stage]))
        parts = from_flow(x.float(), output.float(), now)
        return ddim_step(parts, now, then, eta, noise.float()).to(output.dtype), x0


Grid = DdimGrid | FlowGrid

_KNOWN: tuple[type, ...] = (DDIMScheduler, FlowMatchEulerDiscreteScheduler)


def check_scheduler(scheduler: Any, steps: int | None = None) -> None:
    """Refuse what cannot be driven stage by stage, before anything is spent.

    Raises:
        UserError: the scheduler or one of its settings is not supported.
    """
    name = type(scheduler).__name__
    if not any(isinstance(scheduler, known) for known in _KNOWN):
        names = " or ".join(known.__name__ for known in _KNOWN)
        raise UserError(f"scheduler {name} is not supported; use {names}")
    for setting in ("stochastic_sampling", "invert_sigmas", "rescale_betas_zero_snr"):
        if getattr(scheduler.config, setting, False):
            raise UserError(f"scheduler {name} with {setting}=True is not supported")
    if steps is not None and len(scheduler.timesteps) != steps:
        raise UserError(
            f"scheduler {name} takes {len(scheduler.timesteps)} steps where {steps} were asked for"
        )


def new_grid(scheduler: Any) -> Grid:
    """A grid with its own copy of a supported scheduler, to be set up by the pipeline's call."""
    own = copy.deepcopy(scheduler)
    return DdimGrid(own) if isinstance(own, DDIMScheduler) else FlowGrid(own)
