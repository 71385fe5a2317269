"""Pipelines that price asks like the real ones and play none: for dry runs, without torch."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from noise_search.ask import Ask
from noise_search.budget import Cost
from noise_search.noise import LATENTS, TEXT
from noise_search.pipelines.stretches import Stretch, price
from noise_search.pipelines.text.bounds import bound
from noise_search.problem import Played

__all__ = ["PicturePrices", "TextPrices"]


class _Prices:
    """What prices alone have in common."""

    def play(self, asks: Sequence[Ask]) -> tuple[list[Played], Cost]:
        """There is no model to play anything with.

        Raises:
            TypeError: always.
        """
        raise TypeError("a pipeline for prices alone plays nothing")


class PicturePrices(_Prices):
    """The prices of denoising.

    Args:
        guided: whether the denoiser is given two rows an evaluation.
        decoder: whether a decoder turns latents into pixels.
        stochastic: whether a transition between stages draws noise.
        cheap: whether partial samples are shown by a cheaper decoder.
    """

    medium = LATENTS
    most_steps = 1000

    def __init__(
        self, *, guided: bool, decoder: bool, stochastic: bool, cheap: bool = False
    ) -> None:
        self.guided = guided
        self.decoder = decoder
        self.cheap = cheap
        self.stochastic = stochastic

    def price(self, ask: Ask) -> Cost:
        """The price the real pipeline has."""
        return price(ask, self.guided, self.decoder, self.cheap)

    def lane(self, ask: Ask) -> Hashable:
        """The lane the real pipeline has."""
        return Stretch.of(ask)


class TextPrices(_Prices):
    """The prices of writing, from above.

    Args:
        most: tokens of a text.
        step: tokens of a step.
    """

    medium = TEXT
    stochastic = True
    most_steps = 10_000

    def __init__(self, most: int, step: int) -> None:
        self.most = most
        self.step = step

    def price(self, ask: Ask) -> Cost:
        """At most what is written; what is read is known to the model's tokenizer alone."""
        return Cost(tokens_out=bound(ask, self.most, self.step))

    def lane(self, ask: Ask) -> Hashable:
        """All in one."""
        return None
