"""The bench: what a run works with, made of specs or of a user's own objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noise_search.ask import Prompt
from noise_search.budget import ZERO, Cost
from noise_search.candidate import Candidate
from noise_search.errors import UserError
from noise_search.judged import Judged
from noise_search.noise import Book, Medium
from noise_search.problem import Pipeline, Verifier
from noise_search.ranking import ByScore, Ranking
from noise_search.run import World
from noise_search.study.arguments import live
from noise_search.study.judges import Judge, Judges, declared, held_out
from noise_search.study.settings import OF_PICTURES, OF_TEXTS, Settings

if TYPE_CHECKING:
    from noise_search.pipelines.loading import Options
    from noise_search.pipelines.text.options import TextOptions

_SWITCHES = "setting of adapters, attention, caches, tiles, compilation, scheduler or guider"
"""What a model's switches are called where a run was begun with others."""


@dataclass(frozen=True)
class Bench:
    """What a run works with.

    Attributes:
        settings: with the model's own defaults filled in.
        book: all recipes of the run.
        pipeline: what generates.
        verifier: what guides the search.
        evaluators: what judges the outcome, held out of the search.
        ranking: how candidates compare.
    """

    settings: Settings
    book: Book
    pipeline: Pipeline
    verifier: Verifier
    evaluators: Sequence[Verifier]
    ranking: Ranking

    @cached_property
    def problem(self) -> Judged:
        """Pipeline and verifier behind one door."""
        return Judged(self.pipeline, self.verifier)

    @cached_property
    def world(self) -> World:
        """Where its searches are held, for a run that has several worlds."""
        return World(self.problem, self.ranking, self.settings.batch or 1)

    @property
    def rate(self) -> float | None:
        """Frames a second, where it makes videos."""
        found: float | None = getattr(self.pipeline, "rate", None)
        return found

    @property
    def arguments(self) -> Mapping[str, object]:
        """What the pipeline's call is given besides, where it is a pipeline of diffusers."""
        found: Mapping[str, object] = getattr(self.pipeline, "arguments", {})
        return found

    @property
    def unit(self) -> str:
        """The field of `Cost` that budgets and curves are told in."""
        return self.pipeline.medium.unit

    @property
    def identity(self) -> dict[str, object]:
        """What decides samples and scores besides the settings: weights and versions."""
        model = self.pipeline.describe()
        return {
            "weights": model.get("weights"),
            **({_SWITCHES: model["switches"]} if "switches" in model else {}),
            "verifier": declared(self.verifier),
            "evaluators": {k: v for judge in self.evaluators for k, v in declared(judge).items()},
        }

    def shown(self, candidate: Candidate, prompt: Prompt) -> tuple[Any, Any, Cost]:
        """Pixels and latents of a candidate, and what making them again has cost.

        A text is in its candidate already: it has neither.
        """
        if candidate.text is not None:
            return None, None, ZERO
        return self.pipeline.picture(candidate, prompt)

    def score_of(self, candidate: Candidate) -> float:
        """The raw score that the ranking names first; minus infinity where there is none."""
        return candidate.scores.get(self.ranking.names[0], -inf)


def complete(settings: Settings, pipe: object = None) -> Settings:
    """The settings with the model's own defaults in place of None.

    Args:
        settings: as the user gave them.
        pipe: a loaded pipeline, where the model is not a spec.

    Raises:
        UserError: the model is unknown, or the settings contradict each other.
    """
    from noise_search.pipelines.loading import check_arguments, defaults, defaults_of, signature
    from noise_search.pipelines.previews import check_preview

    own = defaults(settings.model) if pipe is None else defaults_of(pipe)
    _check_medium(settings, own.medium)
    check_arguments(settings.model if pipe is None else pipe, settings.pipeline)
    if settings.fps is not None:
        signature(settings.model if pipe is None else pipe).check_rate(settings.pipeline)
    check_preview(settings.preview)
    if settings.preview is not None and not own.decoder:
        raise UserError(f"preview: {settings.model} decodes nothing; leave it out")
    steps = settings.steps or own.steps
    search_steps = settings.search_steps or steps
    if search_steps > steps:
        raise UserError(f"search_steps={search_steps} is more than steps={steps}")
    scale = own.guidance_scale if settings.guidance_scale is None else settings.guidance_scale
    written = {} if own.text is None else {key: getattr(own.text, key) for key in OF_TEXTS}
    verifier = settings.verifier or own.verifier
    return settings.model_copy(
        update={
            "verifier": verifier,
            "evaluate": settings.evaluate or held_out(own.evaluate, verifier),
            "budget": settings.budget or own.budget,
            "batch": settings.batch or own.batch,
            "steps": steps,
            "search_steps": search_steps,
            "guidance_scale": scale,
            **{k: v for k, v in written.items() if getattr(settings, k) is None},
        }
    )


def _check_medium(settings: Settings, medium: Medium) -> None:
    """Refuse settings that have no meaning for what the model makes.

    Raises:
        UserError: there is one.
    """
    given = {key for key in (*OF_PICTURES, *OF_TEXTS) if getattr(settings, key) is not None}
    if settings.search_steps == settings.steps:
        given.discard("search_steps")  # as they are completed
    foreign = OF_PICTURES if medium.answers else OF_TEXTS
    makes = "writes; it has no denoising steps" if medium.answers else "draws; it writes no text"
    for key in foreign:
        if key in given:
            raise UserError(f"{key}: {settings.model} {makes}")
    if medium.answers and settings.eta:
        raise UserError(f"eta: {settings.model} {makes}")


def build(settings: Settings, book: Book, folder: Path | None) -> Bench:
    """The bench of completed settings.

    Args:
        settings: completed settings.
        book: the run's recipes.
        folder: where live latents are kept, or None for memory alone.
    """
    from noise_search.pipelines import loading as pipelines

    pipeline = pipelines.load(settings.model, options_of(settings, book, folder))
    return assemble(settings, book, pipeline)


def options_of(
    settings: Settings,
    book: Book,
    folder: Path | None,
    arguments: Mapping[str, Any] | None = None,
) -> Options:
    """The run options that a pipeline is made with.

    Args:
        settings: completed settings.
        book: the run's recipes.
        folder: where live latents are kept, or None for memory alone.
        arguments: of the pipeline's call; by default as the settings hold them.

    Raises:
        UserError: a picture among the arguments has changed, or an object is missing.
    """
    from noise_search.pipelines.loading import Options
    from noise_search.pipelines.states import States

    homes = [] if folder is None else [folder.parent]
    return Options(
        book=book,
        states=States(folder),
        width=settings.batch or 1,
        guidance_scale=settings.guidance_scale,
        eta=settings.eta,
        dtype=settings.dtype,
        device=settings.device,
        offload=settings.offload,
        preview=settings.preview,
        fps=settings.fps,
        threads=settings.threads,
        fast=settings.fast,
        arguments=live(settings.pipeline, homes) if arguments is None else arguments,
        trust_remote_code=settings.trust_remote_code,
        text=writing_of(settings),
    )


def writing_of(settings: Settings) -> TextOptions:
    """How completed settings want their texts."""
    from noise_search.pipelines.text.options import TextOptions

    given = {key: getattr(settings, key) for key in OF_TEXTS}
    return TextOptions(**{key: value for key, value in given.items() if value is not None})


def assemble(
    settings: Settings,
    book: Book,
    pipeline: Pipeline,
    verifier: Judge | None = None,
    evaluators: Judge | Sequence[Judge] | None = None,
    device: str | None = None,
) -> Bench:
    """A bench around a pipeline.

    Args:
        settings: completed settings.
        book: the run's recipes.
        pipeline: what generates.
        verifier: what guides the search; the settings' by default.
        evaluators: what is held out of it; the settings' by default.
        device: where verifiers run whose spec names no device; the settings' by default.

    Raises:
        UserError: a verifier cannot be had, or an evaluator shares weights with the verifier.
    """
    judges = Judges(settings, device or settings.device)
    guide = judges.verifier(verifier)
    apart = judges.evaluators(evaluators, guide)
    return Bench(settings, book, pipeline, guide, apart, ranking_of(guide))


def ranking_of(verifier: Verifier) -> Ranking:
    """How candidates compare that a verifier has judged: its own ranking, or its score."""
    found: Ranking = getattr(verifier, "ranking", None) or ByScore(verifier.name)
    return found
