"""What a pipeline cannot do with a path, refused before anything is spent."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import Any

from noise_search.errors import UserError
from noise_search.pipelines.stretches import Stretch
from noise_search.pipelines.survey import Plan

__all__ = ["check_stretch"]

_SCHEDULES = ("sigmas", "timesteps")
"""Arguments that name each step of a schedule."""


def check_stretch(
    pipe: Any,
    arguments: Mapping[str, Any],
    plan: Plan,
    stretch: Stretch,
    *,
    eta: float,
    rewound: bool,
) -> None:
    """Refuse what the noise levels of a pipeline do not allow.

    Args:
        pipe: the pipeline.
        arguments: of its call.
        plan: how it walks the schedule.
        stretch: what is to be walked.
        eta: how random a step is to be.
        rewound: whether a path goes back.

    Raises:
        UserError: its steps or its noise levels do not fit.
    """
    made, kind = len(plan.loop.times), type(pipe).__name__
    for name in _SCHEDULES:
        if arguments.get(name) is not None and made != plan.steps:
            raise UserError(f"{name}: {made} steps; set steps={made}, not {plan.steps}")
    scheduler, known = type(pipe.scheduler).__name__, plan.proof.path is not None
    if eta > 0.0 and not (known or "eta" in signature(pipe.scheduler.step).parameters):
        raise UserError(f"eta: the noise levels of {kind} with {scheduler} are not known")
    if rewound and not known:
        raise UserError(
            f"{kind} with {scheduler}: its noise levels are not known, so a search "
            "cannot go back; searches over final noises work"
        )
    if rewound and not plan.proof.cold and stretch.begin:
        raise UserError(f"{scheduler} cannot begin in the middle of a path; a search goes back")
    if plan.proof.random and stretch.ahead and not known:
        raise UserError(f"lookahead: the noise levels of {scheduler} are not known")
