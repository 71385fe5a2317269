"""From latents to pictures: a pipeline's own last part, as many rows at a time as memory allows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from noise_search.ask import Prompt
from noise_search.errors import Stop, UserError, out_of_memory
from noise_search.pipelines.driver import Driver
from noise_search.pipelines.embeddings import Apart
from noise_search.pipelines.signatures import decoder_name
from noise_search.pipelines.slices import Wanted
from noise_search.pipelines.solvers import Solver, joined
from noise_search.pipelines.standins import in_place
from noise_search.pipelines.strands import slice_of
from noise_search.pipelines.survey import Plan
from noise_search.pipelines.widths import Alone

__all__ = ["Decoding", "Shown"]

Shown = tuple[NDArray[Any], list[str | None]]
"""Pictures of (rows, height, width, 3), and what is broken in each, or None."""


class Decoding:
    """Shows latents.

    Args:
        driver: calls the pipeline.
        width: rows that are decoded at once; halved where memory does not suffice.
    """

    def __init__(self, driver: Driver, width: int) -> None:
        self.driver = driver
        self.width = width

    def halve(self, rows: int) -> None:
        """Decode fewer at once, as memory did not suffice for so many rows."""
        self.width = max(1, (min(self.width, rows) + 1) // 2)

    def spares(self, error: Exception, rows: int) -> bool:
        """Decode fewer rows at once after an error; whether that may help.

        Some decoders are made for one video at a time, and fail on more.
        """
        name = decoder_name(self.driver.pipe)
        decoder = None if name is None else getattr(self.driver.pipe, name)
        if out_of_memory(error):
            self.halve(rows)
        elif rows > 1 and _arose_in(error, decoder):
            self.width = 1
        else:
            return False
        return True

    def show(self, x: Tensor, plan: Plan, prompts: Sequence[Prompt], decoder: Any = None) -> Shown:
        """The pictures of a batch.

        Args:
            x: latents as the loop holds them.
            plan: how the pipeline walks their schedule.
            prompts: one a row.
            decoder: stands for the pipeline's own.
        """
        pipe, last = self.driver.pipe, len(plan.loop.times)
        wanted = Wanted(last, last, last, True, True)
        part = slice_of(Solver.of(pipe), plan, wanted, x, {}, lambda _, x: lambda _: x)
        name = decoder_name(pipe)
        with in_place(pipe, **({} if decoder is None or name is None else {name: decoder})):
            shown = self.driver.call(part, prompts)
        if shown is None:
            raise RuntimeError("the pipeline has returned no picture")
        return shown

    def show_all(
        self, latents: Sequence[Tensor], plan: Plan, prompts: Sequence[Prompt], decoder: Any
    ) -> Shown:
        """The pictures of latents, in parts of one width; see `show`.

        A picture's last bits depend on how many are decoded with it. So the last part is padded,
        and where memory does not suffice for one part, all are decoded at the new width.

        Raises:
            Alone: it may be that the pipeline takes a single prompt.
        """
        count = len(latents)
        pictures: list[NDArray[Any]] = []
        problems: list[str | None] = []
        while len(pictures) < count:
            first, width = len(pictures), min(self.width, count)
            now = [min(i, count - 1) for i in range(first, first + width)]
            x = joined([latents[i] for i in now], plan.copies)
            try:
                found = self.show(x, plan, [prompts[i] for i in now], decoder)
            except (Apart, UserError, Stop):
                raise
            except Exception as error:
                if not self.spares(error, width):
                    if width == 1 or self.driver.together:
                        raise
                    raise Alone(error) from error
                if width > 1:
                    pictures, problems = [], []
                    continue
                found = np.zeros((1, 1, 1, 3)), ["out of memory while decoding"]
            pictures += list(found[0])
            problems += found[1]
        shape = next((p.shape for p, q in zip(pictures, problems, strict=True) if not q), (1, 1, 3))
        same = [p if p.shape == shape else np.zeros(shape) for p in pictures[:count]]
        return np.stack(same), problems[:count]


def _arose_in(error: Exception, module: object) -> bool:
    """Whether an error has come out of a module's own methods."""
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_locals.get("self") is module:
            return module is not None
        trace = trace.tb_next
    return False
