"""What a scheduler's numbers mean: the noise level at each step, and x0 from a model's output.

The class of a scheduler suggests a reading; the reading is then proved on the scheduler itself.
Where all data is one point c, the model's output is known in closed form and every x on the way
is a c + s n. A scheduler whose steps do not pass through those points has an unknown path.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from noise_search.pipelines.solvers import Draws, Loop, Solver
from noise_search.samplers.convert import Parts
from noise_search.samplers.path import Level, linear, variance_exploding, variance_preserving

__all__ = ["Path", "Proof", "draws_noise", "proved", "reading", "stages_to_loop"]

_SIDE = 64  # of the square on which a reading is proved
_EXACT, _NEARLY = 1e-2, 6e-2  # relative errors allowed: of an ODE's points, of a spread


@dataclass(frozen=True)
class Path:
    """Levels of the loop's steps, and x0 = alpha x + beta out at each.

    Attributes:
        levels: before each step, and after the last.
        mixes: (alpha, beta) of each step.
        rescaled: whether it is a flow's, scaled up so that all data has its own size: the loop
            then shows its model the flow's samples, and makes of answers what it steps by.
    """

    levels: tuple[Level, ...]
    mixes: tuple[tuple[float, float], ...]
    rescaled: bool = False

    def x0(self, index: int, out: Tensor, x: Tensor) -> Tensor:
        """The x0-prediction of a step, from the model's output and what it saw."""
        alpha, beta = self.mixes[index]
        return (alpha * x.float() + beta * _first_half(out, x).float()).to(x.dtype)

    def parts(self, index: int, out: Tensor, x: Tensor) -> Parts[Tensor]:
        """Data and noise of a step, in single precision at least."""
        level, wide = self.levels[index], x if x.dtype == torch.float64 else x.float()
        alpha, beta = self.mixes[index]
        x0 = alpha * wide + beta * _first_half(out, x).to(wide.dtype)
        return Parts(x0, (wide - level.a * x0) / level.s)

    def said(self, index: int, x0: Tensor, x: Tensor) -> Tensor:
        """What a model would have to say for this x0-prediction."""
        alpha, beta = self.mixes[index]
        return (x0 - alpha * x) / beta


@dataclass(frozen=True)
class Proof:
    """What came of trying a reading.

    Attributes:
        path: the reading, or None where the scheduler did not keep to it.
        cold: whether a path may begin in its middle, without a solver's memory.
        random: whether steps draw noise of their own.
    """

    path: Path | None
    cold: bool
    random: bool


def _first_half(out: Tensor, x: Tensor) -> Tensor:
    """Without the variance that some models predict beside it."""
    return out[:, : x.shape[1]] if out.ndim > 1 and out.shape[1] == 2 * x.shape[1] else out


def stages_to_loop(stage: int, steps: int, loop: int) -> int:
    """The loop's steps made at a stage: a second-order solver makes more than one, others skip.

    >>> [stages_to_loop(s, 4, 7) for s in range(5)]
    [0, 2, 4, 6, 7]
    """
    return -(-stage * loop // steps)


def reading(scheduler: Any, loop: Loop) -> list[Path]:
    """What a scheduler's numbers could mean, the likeliest first; none where nothing is known."""
    kind = str(getattr(scheduler.config, "prediction_type", None) or "epsilon")
    times = [*loop.times]
    if kind == "trigflow":
        return [_trigonometric(scheduler, loop)]
    sigmas = getattr(scheduler, "sigmas", None)
    if sigmas is not None and len(sigmas) > loop.first + len(times):
        at = [float(s) for s in sigmas[loop.first : loop.first + len(times) + 1]]
        return [_by_sigma(scheduler, kind, at)]
    bars = getattr(scheduler, "alphas_cumprod", None)
    if bars is None or any(t != int(t) or not 0 <= t < len(bars) for t in times):
        return []
    seen = [variance_preserving(float(bars[int(t)])) for t in times]
    mixes = [_preserving(kind, level) for level in seen]
    return [Path((*seen, last), tuple(mixes)) for last in _last_levels(scheduler, times[-1])]


def _last_levels(scheduler: Any, time: float) -> list[Level]:
    """Where a discrete grid may end: one step below its last time, or at clean data."""
    bars, config = scheduler.alphas_cumprod, scheduler.config
    after = int(time) - config.num_train_timesteps // max(1, scheduler.num_inference_steps or 1)
    final = getattr(scheduler, "final_alpha_cumprod", 1.0)
    bar = bars[after] if after >= 0 else final
    found = [variance_preserving(float(b)) for b in (bar, 1.0, bars[0])]
    return list(dict.fromkeys(found))


def _by_sigma(scheduler: Any, kind: str, sigmas: Sequence[float]) -> Path:
    """Schedulers that count in sigmas: preserving, exploding or straight paths."""
    levels: list[Level]
    if hasattr(scheduler, "precondition_outputs"):
        levels = [variance_exploding(s) for s in sigmas]
        mixes = [_preconditioned(kind, s, scheduler.config.sigma_data) for s in sigmas[:-1]]
    elif hasattr(scheduler, "get_scalings_for_boundary_condition"):
        # Consistency models (Song et al. 2303.01469, algorithm 1) noise from the least sigma on.
        least = float(scheduler.config.sigma_min)
        levels = [variance_exploding(max(s**2 - least**2, 0.0) ** 0.5) for s in sigmas]
        scales = [scheduler.get_scalings_for_boundary_condition(s) for s in sigmas[:-1]]
        mixes = [(float(skip), float(out)) for skip, out in scales]
    elif hasattr(scheduler, "_sigma_to_alpha_sigma_t"):
        pairs = [scheduler._sigma_to_alpha_sigma_t(torch.tensor(s).double()) for s in sigmas]
        levels = [Level(float(a), float(s)) for a, s in pairs]
        mixes = [_preserving(kind, level) for level in levels[:-1]]
    elif hasattr(scheduler, "alphas_cumprod"):
        levels = [variance_exploding(s) for s in sigmas]
        mixes = [_exploding(kind, s) for s in sigmas[:-1]]
    elif not all(0.0 <= s <= 1.0 for s in sigmas):
        # x / (1 + s) = (1 - t) x0 + t z with t = s / (1 + s), and what is stepped by is z.
        exploding = tuple(variance_exploding(s) for s in sigmas)
        return Path(exploding, tuple((1.0, -s) for s in sigmas[:-1]), rescaled=True)
    elif getattr(scheduler.config, "invert_sigmas", False):
        levels = [linear(1.0 - s) for s in sigmas]
        mixes = [(1.0, 1.0 - s) for s in sigmas[:-1]]
    else:
        levels = [linear(s) for s in sigmas]
        mixes = [(1.0, -s) for s in sigmas[:-1]]
    return Path(tuple(levels), tuple(mixes))


def _preserving(kind: str, level: Level) -> tuple[float, float]:
    """Coefficients where a^2 + s^2 = 1; a straight path where the model predicts its flow."""
    if kind == "sample":
        return 0.0, 1.0
    if kind == "v_prediction":
        return level.a, -level.s
    if kind == "flow_prediction":
        return 1.0, -level.s
    return (1.0 / level.a, -level.s / level.a) if level.a else (0.0, 0.0)


def _exploding(kind: str, sigma: float) -> tuple[float, float]:
    """Coefficients where a = 1 and s = sigma, of models trained on preserving paths."""
    if kind == "sample":
        return 0.0, 1.0
    if kind == "v_prediction":
        return 1.0 / (sigma**2 + 1.0), -sigma / (sigma**2 + 1.0) ** 0.5
    return 1.0, -sigma


def _preconditioned(kind: str, sigma: float, data: float) -> tuple[float, float]:
    """Coefficients of Karras et al. (2206.00364, table 1)."""
    total = sigma**2 + data**2
    sign = -1.0 if kind == "v_prediction" else 1.0
    return data**2 / total, sign * sigma * data / total**0.5


def _trigonometric(scheduler: Any, loop: Loop) -> Path:
    """TrigFlow (Lu & Song 2410.11081): x = cos(t) x0 + sin(t) z, both of the data's scale."""
    grid = scheduler.timesteps.double()[loop.first : loop.first + len(loop.times) + 1]
    cos, sin = torch.cos(grid).clamp(min=0.0).tolist(), torch.sin(grid).tolist()
    scale = float(getattr(scheduler.config, "sigma_data", 1.0))
    levels = [Level(a, s * scale) for a, s in zip(cos, sin, strict=True)]
    return Path(tuple(levels), tuple(zip(cos[:-1], [-s for s in sin[:-1]], strict=True)))


def proved(make: Callable[[], Solver], loop: Loop, paths: Sequence[Path], steps: int) -> Proof:
    """The first reading that a scheduler keeps to, from the beginning and from the middle.

    Args:
        make: gives the scheduler as a pipeline has set it up, anew each time.
        loop: the steps of the pipeline's loop.
        paths: the readings.
        steps: stages of the whole schedule.
    """
    bounds = [stages_to_loop(s, steps, len(loop.times)) for s in range(steps + 1)]
    for path in paths:
        trial = _Trial(make, loop, path)
        if not all(beta for _, beta in path.mixes):
            continue
        calm, random = trial.runs(0)
        if trial.keeps(calm, random, bounds):
            middle = sorted({bounds[1], bounds[steps // 2], bounds[-2]} - {0, bounds[-1]})
            cold = all(trial.keeps(*trial.runs(b), bounds[-1:]) for b in middle)
            return Proof(path, cold, trial.draws(calm, random))
    return Proof(None, False, bool(_draws(make, loop)))


class _Trial:
    """Runs a scheduler where all data is one point."""

    def __init__(self, make: Callable[[], Solver], loop: Loop, path: Path) -> None:
        self.make, self.loop, self.path = make, loop, path
        self.generator = torch.Generator().manual_seed(0)
        shape = (1, 4, _SIDE, _SIDE)
        self.point = torch.rand(shape, generator=self.generator) * 1.8 - 0.9
        self.noise = torch.randn(shape, generator=self.generator)

    def runs(self, begin: int) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
        """The x at each step from `begin` on, with no noise and with some drawn on the way."""
        return self._run(begin, None), self._run(begin, self._drawn)

    def _drawn(self, _: int) -> Tensor:
        return torch.randn(self.noise.shape, generator=self.generator)

    def _run(self, begin: int, draws: Draws | None) -> dict[int, Tensor]:
        solver = self.make()
        place = solver.inner.timesteps.device
        point = self.point.to(place)
        x = self.path.levels[begin].mix(self.point, self.noise).to(place)
        solver.stand(self.loop.first + begin)
        found, earlier = {begin: x}, None
        for index in range(begin, len(self.loop.times)):
            out = self.path.said(index, point, x)
            x, earlier = step_alone(solver, self.loop, index, out, x, earlier, draws)
            found[index + 1] = x
        return {index: x.cpu() for index, x in found.items()}

    def draws(self, calm: dict[int, Tensor], random: dict[int, Tensor]) -> bool:
        """Whether noise made a difference."""
        return any(not torch.equal(calm[i], random[i]) for i in calm)

    def keeps(
        self, calm: dict[int, Tensor], random: dict[int, Tensor], bounds: Sequence[int]
    ) -> bool:
        """Whether x is a c + s n at every bound; of a random path, whether it is spread so."""
        return all(
            self._spread(random[i], i) if self.draws(calm, random) else self._meets(calm[i], i)
            for i in bounds
            if i in calm
        )

    def _meets(self, x: Tensor, index: int) -> bool:
        wanted = self.path.levels[index].mix(self.point, self.noise)
        return bool((x - wanted).norm() <= _EXACT * wanted.norm())

    def _spread(self, x: Tensor, index: int) -> bool:
        level = self.path.levels[index]
        rest = float((x - level.a * self.point).std())
        return abs(rest - level.s) <= _NEARLY * level.s + _EXACT * level.a


def step_alone(
    solver: Solver,
    loop: Loop,
    index: int,
    out: Tensor,
    x: Tensor,
    earlier: Tensor | None,
    noise: Draws | None,
) -> tuple[Tensor, Tensor | None]:
    """One step of a scheduler outside of a pipeline: x after it, and its own x0 if it hands it on.

    Args:
        solver: stands before the step.
        loop: the steps of the pipeline's loop.
        index: of the step.
        out: the model's output.
        x: what the model saw.
        earlier: the x0 of the step before, for schedulers that want it handed back.
        noise: what the step may draw; zeros where there is none.
    """
    variance = str(getattr(solver.inner.config, "variance_type", ""))
    if variance.startswith("learned"):
        # Of a range, the least: where x0 is known, no more is left (Nichol & Dhariwal 2102.09672).
        said = -1.0 if variance == "learned_range" else 0.0
        out = torch.cat([out, torch.full_like(out, said)], dim=1)
    given = solver.arguments(loop, index, out, x, earlier)
    answer = solver.step(noise, **given, return_dict=False)
    return answer[0], answer[1] if solver.takes_earlier else None


def draws_noise(scheduler: Any) -> bool | None:
    """Whether the steps of a scheduler draw noise; None where it takes a pipeline to set it up."""
    solver = Solver(scheduler)
    for extra in ({}, {"mu": 1.0}):
        try:
            solver.inner.set_timesteps(4, **extra)
        except (TypeError, ValueError):
            continue
        loop = Loop(tuple(float(t) for t in solver.inner.timesteps), 0)
        return _draws(lambda: Solver(solver.inner), loop)
    return None


def _draws(make: Callable[[], Solver], loop: Loop) -> bool | None:
    """Whether noise makes a difference to the first step; None where it cannot be made alone."""
    x = torch.full((1, 4, 8, 8), 0.5).to(make().inner.timesteps.device)

    def stepped(noise: Draws | None) -> Tensor:
        solver = make()
        solver.stand(loop.first)
        return step_alone(solver, loop, 0, x, x, None, noise)[0]

    try:
        return not torch.equal(stepped(None), stepped(lambda _: torch.ones_like(x)))
    except (TypeError, ValueError, RuntimeError):
        return None
