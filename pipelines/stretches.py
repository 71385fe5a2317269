"""What the rows of a batch have in common, and what walking them costs."""

from __future__ import annotations

from dataclasses import dataclass, replace

from noise_search.ask import Ask
from noise_search.budget import ZERO, Cost
from noise_search.ladder import carried, preview_stage

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
        earlier: the stage of the path whose preview is shown beside, or None. It may lie before
            `begin`: the rows carry it with them then.
        carried: stages whose x0-predictions the rows carry with them from `until` on.
    """

    steps: int
    begin: int
    until: int
    ahead: int
    shown: bool
    negative: bool
    earlier: int | None = None
    carried: tuple[int, ...] = ()

    @classmethod
    def of(cls, ask: Ask) -> Stretch:
        """The stretch of an ask. What is not looked at needs no look ahead."""
        ahead = min(ask.lookahead, ask.steps - ask.until) if ask.looked_at else 0
        negative = ask.prompt.negative is not None
        whole = cls(ask.steps, ask.begin, ask.until, ahead, ask.looked_at, negative)
        if ask.earlier is None:
            return whole
        stage = preview_stage(ask.earlier, ask.until, ask.steps) if ask.looked_at else None
        return replace(whole, earlier=stage, carried=carried(ask.earlier, ask.until, ask.steps))

    @property
    def end(self) -> int:
        """The stage after the last evaluation."""
        return self.until + self.ahead

    @property
    def evaluations(self) -> int:
        """Denoiser evaluations of each row."""
        return self.end - self.begin

    @property
    def noted(self) -> tuple[int, ...]:
        """The stages whose x0-predictions are wanted, in order."""
        return tuple(sorted({*self.carried, *(() if self.earlier is None else (self.earlier,))}))

    @property
    def apart(self) -> bool:
        """Whether an earlier preview is shown beside; the first of a path is its own."""
        itself = self.earlier == self.until and not self.ahead
        return self.earlier is not None and not itself

    @property
    def whole(self) -> bool:
        """Whether it leads from noise to sample."""
        return self.begin == 0 and self.finishes

    @property
    def finishes(self) -> bool:
        """Whether the rows come to the end of their paths."""
        return self.until == self.steps

    def showing(self, decoder: bool, cheap: bool) -> Cost:
        """What it costs to show a row, and its earlier preview; see `price`."""
        if not (decoder and self.shown):
            return ZERO
        preview = Cost(previews=1) if cheap else Cost(decodes=1)
        return (Cost(decodes=1) if self.finishes else preview) + (preview if self.apart else ZERO)


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
    return Cost(nfe, nfe * (1 + guided)) + stretch.showing(decoder, cheap)
