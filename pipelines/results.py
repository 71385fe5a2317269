"""What the rows of a slice came to, and what they have cost."""

from __future__ import annotations

import torch

from noise_search.budget import Cost
from noise_search.pipelines.decoding import Shown
from noise_search.pipelines.rows import as_bytes, problem_of
from noise_search.pipelines.slices import Slice
from noise_search.pipelines.solvers import MEMORY, rows_of
from noise_search.pipelines.stretches import Stretch
from noise_search.pipelines.survey import Plan
from noise_search.pipelines.walks import Walked

__all__ = ["beside", "noted_at", "results", "spent", "tried"]


def results(
    part: Slice, shown: Shown | None, width: int, count: int, stretch: Stretch
) -> list[Walked]:
    """Each row's state, pixels and what is broken in it.

    Args:
        part: the slice, walked to its end.
        shown: the pictures, if they were wanted.
        width: rows of the batch.
        count: rows of it that are no padding.
        stretch: what was to be walked.
    """
    whole = {k: v.detach().cpu() for k, v in part.kept.items()}
    rows = {k: [v] * width if k == MEMORY else rows_of(v, width) for k, v in whole.items()}
    seen = rows_of(part.seen.detach().cpu(), width)
    noted = {s: i for s, i in noted_at(part.plan, stretch).items() if i in part.noted}
    x0 = {stage: rows_of(part.noted[i].cpu(), width) for stage, i in noted.items()}
    found: list[Walked] = []
    for i in range(count):
        # Copies, so that a batch is not held by one of its rows; files want them contiguous.
        state = {
            k: values[i].clone(memory_format=torch.contiguous_format) for k, values in rows.items()
        }
        checked = [v for k, v in state.items() if k != MEMORY]
        checked += [seen[i]] if shown is not None else []
        sound = all(bool(v.isfinite().all()) for v in checked if v.is_floating_point())
        problem = None if sound else "latents are not finite"
        pixels = None
        if shown is not None:
            problem = problem or shown[1][i] or problem_of(shown[0][i], stretch.finishes)
            pixels = None if problem else as_bytes(shown[0][i])
        own = {
            stage: values[i].clone(memory_format=torch.contiguous_format)
            for stage, values in x0.items()
        }
        found.append(Walked(state, pixels, problem, seen=own))
    return found


def beside(part: Slice, rows: int) -> Cost:
    """What a batch has cost only to learn what the denoiser's answer looks like."""
    return Cost(rows if part.beside else 0, part.beside)


def spent(part: Slice, rows: int) -> Cost:
    """What rows have cost that did not come to the end of their slice."""
    made = range(part.wanted.begin, max(part.wanted.begin, part.index))
    return Cost(len(made), sum(part.plan.rows[i] for i in made)) * rows


def tried(part: Slice, rows: int) -> Cost:
    """What the evaluation has cost at which a batch has failed."""
    return Cost(rows if part.tried else 0, part.tried)


def noted_at(plan: Plan, stretch: Stretch) -> dict[int, int]:
    """The loop's steps that make the x0-predictions of the stages on the way, by stage.

    Where the loop makes fewer steps than there are stages, it may be the first one of the way.
    """
    first, on_the_way = plan.at(stretch.begin), [s for s in stretch.noted if s > stretch.begin]
    return {stage: max(first, plan.at(stage) - 1) for stage in on_the_way}
