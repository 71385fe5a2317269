"""The Python call: search the noise of a loaded pipeline, or of a model by its spec."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, overload

from noise_search.candidate import Candidate
from noise_search.noise import Book
from noise_search.problem import Verifier
from noise_search.study.bench import Bench, assemble, build, complete, options_of, verifier_of
from noise_search.study.folder import write_folder
from noise_search.study.generate import conclude, drive, jobs_of, run_folder, run_header
from noise_search.study.prompts import prompts_of
from noise_search.study.result import Result
from noise_search.study.settings import Settings

Judge = str | Verifier | Callable[..., Any]


class _Listener:
    """A watcher made of a callable."""

    def __init__(self, listen: Callable[[Candidate], bool | None] | None) -> None:
        self._listen = listen

    def begin(self, label: str, total_nfe: int | None) -> None:
        """Show nothing."""

    def candidate(self, candidate: Candidate) -> bool | None:
        """Ask the callable."""
        return None if self._listen is None else self._listen(candidate)

    def end(self) -> None:
        """Show nothing."""


@overload
def search(pipe: object, prompt: str, **options: Any) -> Result: ...
@overload
def search(pipe: object, prompt: Sequence[str], **options: Any) -> list[Result]: ...
def search(
    pipe: object,
    prompt: str | Sequence[str],
    *,
    verifier: Judge | None = None,
    search: str = "random",
    budget: str = "64nfe",
    seed: int = 0,
    steps: int | None = None,
    search_steps: int | None = None,
    evaluate: Judge | None = None,
    out: str | Path | None = None,
    on_candidate: Callable[[Candidate], bool | None] | None = None,
    **settings: Any,
) -> Result | list[Result]:
    """Search for better noise under a budget.

    Args:
        pipe: a loaded `DiffusionPipeline`, or the spec of a model, such as "shapes".
        prompt: a text gives a `Result`, a list of texts a list.
        verifier: what guides the search: a spec, a verifier, or a callable `f(images, prompt)`
            that returns a score an image.
        search: spec of the search, such as "prune(at=0.25+0.5)".
        budget: of each prompt, such as "640nfe" or "640nfe+90s".
        seed: root of all random numbers.
        steps: denoising steps of a final sample; the model's own by default.
        search_steps: steps while searching; `steps` by default.
        evaluate: what judges the winners, held out of the search.
        out: a folder to keep the run in; given again, an unfinished run is resumed.
        on_candidate: called with each candidate; returning False stops the search.
        settings: further fields of `Settings`: guidance_scale, eta, batch, top_k, dtype, device,
            threads, fast, metadata.

    Raises:
        UserError: something asked for is unknown or impossible.
    """
    chosen = Settings.of(
        {
            "model": pipe if isinstance(pipe, str) else type(pipe).__name__,
            "search": search,
            "verifier": verifier if isinstance(verifier, str) else None,
            "evaluate": evaluate if isinstance(evaluate, str) else None,
            "budget": budget,
            "seed": seed,
            "steps": steps,
            "search_steps": search_steps,
            **settings,
        }
    )
    prompts = prompts_of([prompt] if isinstance(prompt, str) else prompt)
    completed, bench_of = _bench_of(pipe, chosen, verifier, evaluate)
    head, jobs = run_header(prompts, completed), jobs_of(prompts, completed)
    watch = _Listener(on_candidate)
    if out is not None:
        results = run_folder(
            completed, Path(out), head, jobs, workers=1, watch=watch, bench_of=bench_of
        )
    else:
        bench = bench_of(completed, Book(), None)
        driven = drive(bench, jobs, watch)
        results = conclude(bench, driven, completed.top_k, write_folder)
    return results[0] if isinstance(prompt, str) else results


def _bench_of(
    pipe: object, chosen: Settings, verifier: Judge | None, evaluate: Judge | None
) -> tuple[Settings, Callable[[Settings, Book, Path | None], Bench]]:
    """Completed settings, and how the bench is made of specs and objects."""
    from noise_search.pipelines import loading

    if all(isinstance(named, str | None) for named in (pipe, verifier, evaluate)):
        return complete(chosen), build
    completed = complete(chosen) if isinstance(pipe, str) else complete(chosen, pipe)

    def bench_of(settings: Settings, book: Book, folder: Path | None) -> Bench:
        options = options_of(settings, book, folder)
        pipeline = (
            loading.load(pipe, options) if isinstance(pipe, str) else loading.wrap(pipe, options)
        )
        judge = verifier_of(settings.verifier if verifier is None else verifier)
        held_out = None if evaluate is None else verifier_of(evaluate)
        return assemble(settings, book, pipeline, judge, held_out)

    return completed, bench_of
