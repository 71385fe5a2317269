"""Cost: a vector of integers, one for each thing that a search can spend."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from fractions import Fraction

from noise_search.errors import UserError, nearest


@dataclass(frozen=True, slots=True)
class Cost:
    """What a move costs. Fields are counts, so sums are exact.

    Attributes:
        nfe: denoiser evaluations of one latent; a guided (CFG) pair is one.
        forwards: rows the denoiser was really given; a guided pair is two.
        decodes: latents turned into pixels by a decoder.
        previews: latents turned into pixels by a cheaper one, or at a lower resolution.
        verifier_calls: samples a verifier scored.
        tokens_in: tokens read by a language model.
        tokens_out: tokens written by a language model.
        judge_calls: answers of a judge over the network, those that were of no use too.
        judge_tokens: tokens of a judge, read and written.
        micro_usd: money, in millionths of a US dollar.
        flops: floating point operations, where known.
        microseconds: wall time, counted only where time is limited.
    """

    nfe: int = 0
    forwards: int = 0
    decodes: int = 0
    previews: int = 0
    verifier_calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    judge_calls: int = 0
    judge_tokens: int = 0
    micro_usd: int = 0
    flops: int = 0
    microseconds: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(getattr(self, n) + getattr(other, n) for n in _NAMES))

    def __sub__(self, other: Cost) -> Cost:
        return Cost(*(getattr(self, n) - getattr(other, n) for n in _NAMES))

    def __mul__(self, times: int) -> Cost:
        return Cost(*(getattr(self, n) * times for n in _NAMES))

    def record(self) -> dict[str, int]:
        """The fields that are not 0, for a record."""
        return {n: v for n in _NAMES if (v := getattr(self, n))}

    def __bool__(self) -> bool:
        return any(getattr(self, n) for n in _NAMES)


_NAMES = tuple(f.name for f in fields(Cost))
ZERO = Cost()

Limits = Mapping[str, int]
"""Upper limits by field of `Cost`; a field that is absent is not limited."""

# spelling -> (field of Cost, multiplier to the field's own unit)
UNITS: Mapping[str, tuple[str, int]] = {
    "nfe": ("nfe", 1),
    "forwards": ("forwards", 1),
    "calls": ("verifier_calls", 1),
    "tok": ("tokens_out", 1),
    "ktok": ("tokens_out", 1_000),
    "jcalls": ("judge_calls", 1),
    "jtok": ("judge_tokens", 1),
    "kjtok": ("judge_tokens", 1_000),
    "usd": ("micro_usd", 1_000_000),
    "s": ("microseconds", 1_000_000),
    "min": ("microseconds", 60_000_000),
    "h": ("microseconds", 3_600_000_000),
}


SPOKEN: Mapping[str, str] = {
    "nfe": "NFE",
    "forwards": "forwards",
    "decodes": "decodes",
    "previews": "cheap previews",
    "verifier_calls": "verifier calls",
    "tokens_in": "tokens read",
    "tokens_out": "tokens written",
    "judge_calls": "judge calls",
    "judge_tokens": "tokens of the verifier",
    "micro_usd": "US dollars",
}
"""Fields of `Cost` as people call them."""
JUDGING = ("judge_calls", "judge_tokens", "micro_usd")
"""What a judge spends: known as the most that a look can cost, and in truth mostly far less."""


def check_judging(limits: Limits, price: Cost) -> None:
    """Refuse limits of a judge that would never hold anything back, whoever relies on them.

    Args:
        limits: of a budget.
        price: of one sample with its verifier, at most.

    Raises:
        UserError: nothing spends what is limited.
    """
    for field in JUDGING:
        if field in limits and not getattr(price, field):
            hint = "; a judge's usd_in= and usd_out= tell what it costs"
            hint = hint if field == "micro_usd" else ""
            raise UserError(f"budget: the verifier spends no {SPOKEN[field]} here{hint}")


def read_limits(text: str) -> dict[str, int]:
    """Limits from their spelling, as in `640nfe+90s`.

    >>> read_limits("640nfe+90s")
    {'nfe': 640, 'microseconds': 90000000}

    Raises:
        UserError: the text is not a budget.
    """
    limits: dict[str, int] = {}
    for part in text.replace(" ", "").split("+"):
        match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,6})?)([a-zA-Z_]*)", part)
        if match is None:
            raise UserError(f"budget: {part!r} is not a limit; write a number and a unit, 640nfe")
        number, unit = match.groups()
        if unit.lower() not in UNITS:
            raise UserError(f"budget: unknown unit {unit!r} in {part!r}{nearest(unit, UNITS)}")
        field, multiplier = UNITS[unit.lower()]
        amount = Fraction(number) * multiplier
        if amount != int(amount) or not amount:
            raise UserError(f"budget: {part!r} is not a whole number of {field} above 0")
        if field in limits:
            raise UserError(f"budget: {field} is limited twice in {text!r}")
        limits[field] = int(amount)
    return limits
