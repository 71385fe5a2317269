"""From a spec to a verifier. Models are imported when they are asked for, not before."""

from __future__ import annotations

from noise_search.errors import UserError
from noise_search.problem import Verifier
from noise_search.registry import bind, check_name, find
from noise_search.specs import Spec

__all__ = ["load", "reward"]


def load(text: str) -> Verifier:
    """The verifier of a spec.

    Raises:
        UserError: the verifier is unknown, or cannot be had as asked.
    """
    spec = check_name("verifier", text)
    function = find("verifier", spec.name)
    verifier: Verifier = function(spec, **bind("verifier", spec, function, given=1))
    return verifier


def reward(spec: Spec, /, slope: tuple[float, ...] = (1.0,)) -> Verifier:
    """The linear reward slope . x of an analytic world; coordinates not named weigh nothing.

    Args:
        spec: as written.
        slope: the first coordinates of the slope, joined by "+".
    """
    from noise_search.verifiers.reward import Reward

    if spec.target is not None or spec.items:
        raise UserError(f"verifier {spec}: reward takes options alone, as in reward(slope=1+0.5)")
    return Reward(slope, str(spec))
