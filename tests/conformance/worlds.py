"""The worlds of the suite, and a count of what is done in them that knows nothing of ledgers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from noise_search.ask import Prompt
from noise_search.budget import Cost
from noise_search.noise import Book
from noise_search.pipelines.analytic.world import Analytic
from noise_search.pipelines.text.decoder import Cursor
from noise_search.pipelines.text.pipeline import TextPipeline
from noise_search.problem import Sample, Score, Verifier
from noise_search.samplers.path import Level
from noise_search.study.bench import Bench, build, complete
from noise_search.study.prompts import prompts_of
from noise_search.study.settings import Settings


@dataclass(frozen=True)
class World:
    """A model, what judges it, and prompts to search for.

    Attributes:
        name: for the names of tests.
        model: spec of the model; `{folder}` is where tiny weights lie.
        options: further settings.
        tiny: kind of the pipeline whose tiny weights are wanted, "text" or one of shapes; or None.
        pictures: whether it makes pictures, with a network.
        texts: prompts.
        tokens: of a stage, in budgets, where it writes; 0 where it does not.
    """

    name: str
    model: str
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    tiny: str | None = None
    pictures: bool = False
    texts: tuple[str, ...] = ("a red circle", "two blue squares")
    tokens: int = 0

    def __str__(self) -> str:
        return self.name

    @property
    def prompts(self) -> list[Prompt]:
        """The prompts, named."""
        return prompts_of(self.texts)

    @property
    def writes(self) -> bool:
        """Whether it makes texts."""
        return self.tokens > 0

    @property
    def unit(self) -> str:
        """The field of `Cost` that its budgets are told in."""
        return "tokens_out" if self.writes else "nfe"

    def budget(self, stages: int) -> str:
        """A budget of so many stages; all of a path's buy one whole sample, whatever its length."""
        return f"{stages * self.tokens}tok" if self.writes else f"{stages}nfe"

    def at(self, folder: Path) -> World:
        """The same world with its weights in a folder."""
        return replace(self, model=self.model.format(folder=folder))

    def settings(self, search: str, budget: str, **others: Any) -> Settings:
        """Completed settings of a run in this world."""
        given = {"model": self.model, "search": search, "budget": budget, "batch": 4}
        return complete(Settings.of({**given, **self.options, **others}))


GAUSSIAN = World("gaussian", "gaussian(dim=4)", {"steps": 6})
GAUSSIAN_SDE = World("gaussian-sde", "gaussian(dim=4)", {"steps": 6, "eta": 1.0})
MIXTURE = World("mixture", "mixture(dim=4)", {"steps": 6})
ANALYTIC = [
    GAUSSIAN,
    MIXTURE,
    GAUSSIAN_SDE,
    World("mixture-sde", "mixture(dim=4,path=vp)", {"steps": 6, "eta": 0.5}),
]


def _tiny(name: str, kind: str, **options: Any) -> World:
    options = {"verifier": "redness", "steps": 4, **options}
    return World(name, "tiny-shapes:{folder}", options, tiny=kind, pictures=True)


SHAPES = [
    _tiny("shapes", "flow", guidance_scale=2.0),
    _tiny("shapes-sde", "ddim", guidance_scale=1.0, eta=0.7),
]
SHIPPED = [
    World(f"shipped-{kind}", f"shapes:{kind}", {"steps": 4}, pictures=True)
    for kind in ("flow", "ddim")
]
WORLDS = [*ANALYTIC, *SHAPES]


def _tiny_text(name: str, steps: int, tokens: int, **options: Any) -> World:
    """A world of texts that have room for so many steps of so many tokens."""
    whole = {"verifier": "words", "steps": steps, "max_tokens": steps * tokens, **options}
    sums = ("3 + 4 * 2", "12 - 5")
    return World(name, "hf:{folder}", whole, tiny="text", texts=sums, tokens=tokens)


TEXT = _tiny_text("text", steps=6, tokens=4, step_tokens=8)
VOTES = _tiny_text(  # where nearly every text has an answer, and some have the same
    "votes",
    steps=4,
    tokens=3,
    step_tokens=4,
    split="tokens:3",
    temperature=0.7,
    top_p=0.9,
    answers="number",
)
TEXTS = [TEXT, VOTES]


@dataclass
class Tally:
    """What a denoiser and a verifier were really given.

    Attributes:
        widths: rows of each evaluation.
        distinct: how many different rows each had: padding repeats a row, guidance doubles all.
        drawn: tokens that were written.
        judged: samples a verifier scored,
        judge_tokens: and the tokens of them that are texts.
        hooks: what it is told by.
    """

    widths: list[int] = field(default_factory=list[int])
    distinct: list[int] = field(default_factory=list[int])
    drawn: int = 0
    judged: int = 0
    judge_tokens: int = 0
    hooks: list[Any] = field(default_factory=list[Any])

    @property
    def work(self) -> int:
        """What budgets are told in: evaluations of one latent, or tokens."""
        return sum(self.distinct) + self.drawn

    def agrees(self, cost: Cost) -> bool:
        """Whether a ledger tells the same, of a run that does not pad."""
        return (sum(self.widths), self.drawn) == (cost.forwards, cost.tokens_out)

    def evaluated(self, rows: np.ndarray) -> None:
        """One evaluation of a batch of latents."""
        self.widths.append(len(rows))
        self.distinct.append(len({row.tobytes() for row in rows}))

    def bench(self, settings: Settings, book: Book, folder: Path | None) -> Bench:
        """The usual bench, watched: an argument of `run_folder`."""
        usual = build(settings, book, folder)
        pipeline: Any = usual.pipeline
        if isinstance(pipeline, Analytic):
            data: Any = pipeline.distribution
            data.parts = self._watched(data.parts)
        elif isinstance(pipeline, TextPipeline):
            pipeline.decoder.extend = self._written(pipeline.decoder.extend)  # type: ignore[method-assign]
        else:
            self.hooks.append(pipeline.pipe.transformer.register_forward_pre_hook(self._hook))
        return replace(usual, verifier=_Counting(usual.verifier, self))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Count no more: the network may go on to serve others."""
        for hook in self.hooks:
            hook.remove()

    def _watched(self, parts: Callable[..., Any]) -> Callable[..., Any]:
        def watched(x: np.ndarray, at: Level) -> Any:
            self.evaluated(x)
            return parts(x, at)

        return watched

    def _written(self, extend: Callable[..., None]) -> Callable[..., None]:
        def watched(cursors: Sequence[Cursor]) -> None:
            extend([_CountingCursor(cursor, self) for cursor in cursors])

        return watched

    def _hook(self, _: object, given: tuple[Any, ...]) -> None:
        self.evaluated(given[0].numpy())


class _Counting:
    """A verifier whose calls are counted."""

    def __init__(self, inner: Verifier, tally: Tally) -> None:
        self.inner = inner
        self.tally = tally
        self.name = inner.name

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        self.tally.judged += len(samples)
        self.tally.judge_tokens += sum(len(s.text.tokens) for s in samples if s.text is not None)
        return self.inner.score(samples)


class _CountingCursor:
    """A text under way whose new tokens are counted."""

    def __init__(self, inner: Cursor, tally: Tally) -> None:
        self.inner = inner
        self.tally = tally
        self.context = inner.context
        self.tokens = inner.tokens

    def uniform(self) -> float | None:
        return self.inner.uniform()

    def take(self, token: int) -> bool:
        self.tally.drawn += 1
        return self.inner.take(token)
