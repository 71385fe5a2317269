"""What the rows of a batch have in common, in what parts it is walked, and what that costs."""

from __future__ import annotations

from dataclasses import dataclass, replace

from noise_search.ask import Ask
from noise_search.budget import ZERO, Cost

__all__ = ["Stretch", "price"]


@dataclass(frozen=True, slots=True)
class Stretch:
    """What the rows of one batch have in common; asks of equal stretches share a lane.

    Attributes:
        steps: evaluations of the whole schedule.
        begin: the stage to walk from.
        until: the stage whose state is kept.
        ahead: deterministic evaluations after it, for the preview alone.
        shown: whether pixels are wanted.
        negative: whether the rows have negative prompts.
        earlier: a stage between whose preview is kept beside, or None.
    """

    steps: int
    begin: int
    until: int
    ahead: int
    shown: bool
    negative: bool
    earlier: int | None = None

    @classmethod
    def of(cls, ask: Ask) -> Stretch:
        """The stretch of an ask. What is not looked at needs no look ahead."""
        ahead = min(ask.lookahead, ask.steps - ask.until) if ask.looked_at else 0
        negative = ask.prompt.negative is not None
        given = (ask.steps, ask.begin, ask.until, ahead, ask.looked_at, negative)
        return cls(*given, earlier=ask.earlier)

    @property
    def end(self) -> int:
        """The stage after the last evaluation."""
        return self.until + self.ahead

    @property
    def evaluations(self) -> int:
        """Denoiser evaluations of each row."""
        return self.end - self.begin

    @property
    def parts(self) -> tuple[Stretch, ...]:
        """The stretches it is walked in: to the earlier preview, and on from there."""
        if self.earlier is None:
            return (self,)
        first = replace(self, until=self.earlier, ahead=0, shown=True, earlier=None)
        return first, replace(self, begin=self.earlier, earlier=None)

    @property
    def finishes(self) -> bool:
        """Whether the rows come to the end of their paths."""
        return self.until == self.steps

    def showing(self, decoder: bool, cheap: bool) -> Cost:
        """What it costs to show a row at its end; see `price`."""
        if not (decoder and self.shown):
            return ZERO
        return Cost(previews=1) if cheap and not self.finishes else Cost(decodes=1)


def price(ask: Ask, guided: bool, decoder: bool, cheap: bool = False) -> Cost:
    """What playing an ask costs, without its verifier.

    Args:
        ask: the ask.
        guided: whether the denoiser is given two rows an evaluation (classifier-free guidance).
        decoder: whether a decoder turns latents into pixels.
        cheap: whether a cheaper one does where samples are partial.
    """
    stretch = Stretch.of(ask)
    nfe = stretch.evaluations
    shown = sum((part.showing(decoder, cheap) for part in stretch.parts), ZERO)
    return Cost(nfe, nfe * (1 + guided)) + shown
