"""From a spec to a world with a closed form."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from noise_search.errors import UserError
from noise_search.pipelines.loading import check_guidance
from noise_search.pipelines.options import Options
from noise_search.problem import Pipeline
from noise_search.specs import Spec

__all__ = ["gaussian", "mixture"]

Dimension = Annotated[int, Field(ge=1, le=1_000_000)]
Positive = Annotated[float, Field(gt=0)]
Family = Literal["linear", "vp"]


def gaussian(
    spec: Spec,
    options: Options,
    /,
    dim: Dimension = 16,
    mean: float = 0.0,
    scale: Positive = 1.0,
    path: Family = "linear",
) -> Pipeline:
    """The world of N(mean, scale^2) in `dim` coordinates, with its exact denoiser.

    Args:
        spec: as written.
        options: the run's.
        dim: number of coordinates.
        mean: mean of every coordinate.
        scale: standard deviation of every coordinate.
        path: noise levels, linear (flow matching) or vp (cosine).
    """
    from noise_search.pipelines.analytic.distributions import Gaussian

    return _analytic(spec, Gaussian([mean] * dim, scale), options, path)


def mixture(
    spec: Spec,
    options: Options,
    /,
    dim: Dimension = 16,
    apart: Positive = 2.0,
    scale: Positive = 0.5,
    weight: Annotated[float, Field(gt=0, lt=1)] = 0.5,
    path: Family = "linear",
) -> Pipeline:
    """Two Gaussians at +apart and -apart on the first coordinate, with their exact denoiser.

    Args:
        spec: as written.
        options: the run's.
        dim: number of coordinates.
        apart: distance of each centre from the middle.
        scale: standard deviation of every coordinate within a component.
        weight: probability of the component at +apart.
        path: noise levels, linear (flow matching) or vp (cosine).
    """
    from noise_search.pipelines.analytic.distributions import Mixture

    centre = [apart] + [0.0] * (dim - 1)
    means = [centre, [-c for c in centre]]
    shares = [weight, 1.0 - weight]
    return _analytic(spec, Mixture(shares, means, [scale, scale]), options, path)


def _analytic(spec: Spec, distribution: Any, options: Options, path: Family) -> Pipeline:
    from noise_search.pipelines.analytic.world import Analytic

    if spec.target is not None or spec.items:
        raise UserError(f"model {spec}: {spec.name} takes options alone, as in {spec.name}(dim=64)")
    check_guidance(spec, options.guidance_scale)
    return Analytic(
        distribution,
        options.book,
        path=path,
        states=options.states,
        width=options.width,
        eta=options.eta,
        fast=options.fast,
    )
