"""The worlds of the suite, and a count of what is done in them that knows nothing of ledgers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from noise_search.noise import Book
from noise_search.pipelines.analytic.world import Analytic
from noise_search.problem import Prompt, Sample, Score, Verifier
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
        tiny: kind of the shapes pipeline whose tiny weights are wanted, or None.
        pictures: whether it makes pictures, with a network.
        texts: prompts.
    """

    name: str
    model: str
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    tiny: str | None = None
    pictures: bool = False
    texts: tuple[str, ...] = ("a red circle", "two blue squares")

    def __str__(self) -> str:
        return self.name

    @property
    def prompts(self) -> list[Prompt]:
        """The prompts, named."""
        return prompts_of(self.texts)

    def at(self, folder: Path) -> World:
        """The same world with its weights in a folder."""
        return replace(self, model=self.model.format(folder=folder))

    def settings(self, search: str, budget: str, **others: Any) -> Settings:
        """Completed settings of a run in this world."""
        given = {"model": self.model, "search": search, "budget": budget, "batch": 4}
        return complete(Settings.of({**given, **self.options, **others}))


GAUSSIAN = World("gaussian", "gaussian(dim=4)", {"steps": 6})
MIXTURE = World("mixture", "mixture(dim=4)", {"steps": 6})
ANALYTIC = [
    GAUSSIAN,
    MIXTURE,
    World("gaussian-sde", "gaussian(dim=4)", {"steps": 6, "eta": 1.0}),
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


@dataclass
class Tally:
    """What a denoiser and a verifier were really given.

    Attributes:
        widths: rows of each evaluation.
        distinct: how many different rows each had: padding repeats a row, guidance doubles all.
        judged: samples a verifier scored.
        hooks: what it is told by.
    """

    widths: list[int] = field(default_factory=list[int])
    distinct: list[int] = field(default_factory=list[int])
    judged: int = 0
    hooks: list[Any] = field(default_factory=list[Any])

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
        return self.inner.score(samples)
