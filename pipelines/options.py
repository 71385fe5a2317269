"""How a run wants its model, and what a model is best used with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from noise_search.noise import LATENTS, TEXT, Book, Medium
from noise_search.pipelines.states import States
from noise_search.pipelines.text.options import TextOptions

__all__ = ["Defaults", "Dtype", "Offload", "Options"]

Dtype = Literal["float32", "bfloat16", "float16"]
Offload = Literal["model", "sequential"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a run wants its model.

    Attributes:
        book: the recipes of the run.
        states: where latents are kept; in memory where it is None.
        steps: evaluations of the run's longest schedule, or None.
        width: rows of every batch.
        guidance_scale: strength of guidance, or None for the model's own.
        eta: how random a step is; 0 is deterministic.
        dtype: precision of the model.
        threads: CPU threads, or None to leave them as they are.
        device: where the model runs.
        offload: what leaves the device while it is not used: whole models, or their parts.
        fast: do not pad short batches; results then depend on the batch in their last bits.
        arguments: further keywords of the pipeline's call.
        preview: how partial samples are shown; None is the model's own decoder.
        fps: frames a second of videos; None is the pipeline's own.
        trust_remote_code: whether code that lies with a model may run.
        text: how texts are written, where the model writes.
    """

    book: Book
    states: States | None = None
    steps: int | None = None
    width: int = 8
    guidance_scale: float | None = None
    eta: float = 0.0
    dtype: Dtype = "float32"
    threads: int | None = None
    device: str = "cpu"
    offload: Offload | None = None
    fast: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    preview: str | None = None
    fps: float | None = None
    trust_remote_code: bool = False
    text: TextOptions = field(default_factory=TextOptions)


@dataclass(frozen=True)
class Defaults:
    """What a model is best used with; None where it has no answer.

    Attributes:
        verifier: spec of the verifier that guides a search.
        evaluate: spec of the evaluator held out of it.
        steps: denoiser evaluations of a full path.
        guidance_scale: strength of guidance.
        decoder: whether latents are decoded.
        budget: of one prompt.
        batch: rows of a batch.
        searches: what a comparison compares.
        budgets: and at which budgets.
        text: how texts are written; None where the model makes none.
    """

    verifier: str | None = None
    evaluate: str | None = None
    steps: int = 50
    guidance_scale: float | None = None
    decoder: bool = False
    budget: str = "64nfe"
    batch: int = 8
    searches: tuple[str, ...] = ("random", "zero-order", "paths", "prune", "steps")
    budgets: tuple[str, ...] = ("32nfe", "64nfe", "128nfe")
    text: TextOptions | None = None

    @property
    def medium(self) -> Medium:
        """What the samples are made of."""
        return LATENTS if self.text is None else TEXT
