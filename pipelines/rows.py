"""Rows and batches: which rows can share a call, and what they look like in the loop and after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from noise_search.health import image_problem
from noise_search.pipelines.solvers import MEMORY, joined
from noise_search.pipelines.survey import Plan
from noise_search.pipelines.walks import Row

__all__ = ["alike", "as_bytes", "batched", "by_prompt", "copied", "like", "problem_of"]


def alike(rows: Sequence[Row[Tensor]]) -> list[list[int]]:
    """Places of rows that can share a call: that begin alike and came the same way."""
    groups: dict[tuple[bool, bytes], list[int]] = {}
    for i, row in enumerate(rows):
        words = row.memory.get(MEMORY)
        key = (row.fresh, b"" if words is None else bytes(words.tolist()))
        groups.setdefault(key, []).append(i)
    return list(groups.values())


def by_prompt(rows: Sequence[Row[Tensor]], part: Sequence[int]) -> list[list[int]]:
    """Places of rows by prompt: embeddings of different lengths cannot share a batch."""
    groups: dict[str, list[int]] = {}
    for i in part:
        groups.setdefault(rows[i].prompt.name, []).append(i)
    return list(groups.values())


def copied(x: Tensor, plan: Plan) -> Tensor:
    """A sample as often as the loop holds it."""
    alone = x.ndim == len(plan.shape)
    return x.expand(plan.copies, *plan.shape) if plan.copies > 1 and alone else x


def batched(
    rows: Sequence[Row[Tensor]], plan: Plan, place: torch.device
) -> tuple[Tensor, dict[str, Tensor]]:
    """The batch's sample, where its rows have one yet, and its solvers' memory."""
    if rows[0].fresh:
        return torch.empty(0, device=place), {}
    wide = [copied(row.x, plan).to(plan.dtype) for row in rows]
    memory = {
        k: v if k == MEMORY else joined([r.memory[k] for r in rows], plan.copies).to(place)
        for k, v in rows[0].memory.items()
    }
    return joined(wide, plan.copies).to(place), memory


def like(noises: Sequence[Tensor], sample: Tensor, copies: int) -> Tensor:
    """The batch of noises, in the order, number type and place of a sample."""
    if copies > 1:
        noises = [n.expand(copies, *n.shape) for n in noises]
    return joined(noises, copies).to(device=sample.device, dtype=sample.dtype)


def problem_of(picture: NDArray[Any], finished: bool) -> str | None:
    """What is broken in a picture, or in all frames of a video."""
    if picture.ndim != 4:
        return image_problem(picture, finished)
    problems = [image_problem(frame, finished) for frame in picture]
    if any(p is not None and "finite" in p for p in problems):
        return "pixels are not finite"
    return problems[0] if all(problems) else None


def as_bytes(picture: NDArray[Any]) -> NDArray[np.uint8]:
    """[0, 1] to 8 bits, as diffusers makes its PIL pictures."""
    return (picture * 255).round().astype(np.uint8)
