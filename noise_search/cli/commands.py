"""What each command does, between the flags and the library."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from noise_search.cli import report
from noise_search.cli.checks import check_device_there, check_folder, check_run
from noise_search.cli.halt import resumable
from noise_search.cli.progress import watcher
from noise_search.cli.request import RUNS, CompareRequest, Keys, read_comparison, read_request
from noise_search.errors import UserError
from noise_search.study.dry_run import estimate, price_of
from noise_search.study.generate import generate, jobs_of, resume, run_header
from noise_search.study.settings import Settings, checked

if TYPE_CHECKING:
    from noise_search.study.gallery import Lineup
    from noise_search.study.result import Result

OK = 0
DIFFERENT = 1
NOTHING = 1


def run_generate(
    given: Mapping[str, Any], config: Path | None, *, download: bool, dry_run: bool, quiet: bool
) -> int:
    """Search for every prompt, or say what that would cost; 1 if a prompt came to nothing."""
    request = read_request(given, config, _fetching(download and not dry_run, quiet=quiet))
    settings, prompts, out = request.settings, request.prompts, request.out
    pricer = price_of(settings)
    check_run(settings, prompts, pricer)
    check_folder(out, run_header(prompts, settings))
    if dry_run:
        one = estimate(pricer, jobs_of(prompts[:1], settings)) * len(prompts)
        kept = settings.top_k * len(prompts)
        report.print_estimate(len(prompts), kept, one, _unknown(settings))
        return OK
    check_device_there(settings.device)
    with resumable(out):
        watch = watcher(len(prompts), quiet=quiet)
        results = generate(prompts, settings, out, workers=request.workers, watch=watch)
    report.print_results(results, out, quiet=quiet)
    return _found(results)


def run_compare(
    given: Mapping[str, Any], config: Path | None, *, download: bool, dry_run: bool, quiet: bool
) -> None:
    """Compare searches at equal budgets, or say what that would cost."""
    request = read_comparison(given, config, _fetching(download and not dry_run, quiet=quiet))
    pricer = price_of(request.settings)
    for settings in request.variants():
        check_run(settings, request.prompts, pricer)
    check_folder(request.out, None)
    from noise_search.study import compare

    if dry_run:
        one = estimate(pricer, compare.jobs_of(_lineup(request)))
        total = one * (len(request.prompts) * request.seeds)
        report.print_estimate(len(request.prompts), None, total, _unknown(request.settings))
        return
    check_device_there(request.settings.device)
    with resumable(request.out):
        comparison = compare.compare(
            request.prompts,
            request.settings,
            request.searches,
            request.budgets,
            request.seeds,
            request.out,
            workers=request.workers,
            watch=watcher(len(request.prompts), quiet=quiet),
        )
    report.print_comparison(comparison, quiet=quiet)


def run_demo(given: Mapping[str, Any], *, quiet: bool) -> None:
    """Run the demonstration."""
    keys = _run_keys(given)
    out = keys.out or RUNS / "demo"
    check_folder(out, None)
    from noise_search.study.demo import demo

    again = "noise-search demo" + (f" --out {shlex.quote(str(out))}" if keys.out else "")
    with resumable(out, again):
        demo(out, workers=keys.workers, watch=watcher(0, quiet=quiet))


def run_resume(
    run: Path, given: Mapping[str, Any], *, trust: bool, cache: bool, quiet: bool
) -> int:
    """Go on with a run; 1 if a prompt came to nothing."""
    keys = _run_keys(given)
    if not run.is_dir():
        raise UserError(f"resume: {run} is not a folder")
    with resumable(run):
        watch = watcher(0, quiet=quiet)
        found = resume(run, workers=keys.workers, watch=watch, trust_remote_code=trust, cache=cache)
    if isinstance(found, list):
        report.print_results(found, run, quiet=quiet)
        return _found(found)
    report.print_comparison(found, quiet=quiet)
    return OK


def run_reproduce(source: Path, candidate: str | None, out: Path | None, *, trust: bool) -> int:
    """Make a picture again; the exit code says whether it is as it was."""
    from noise_search.study.reproduce import reproduce

    if not source.exists():
        raise UserError(f"reproduce: there is no {source}")
    if candidate is not None and not source.is_dir():
        raise UserError("candidate: a picture is one candidate; give the run's folder instead")
    again = reproduce(source, candidate=candidate, trust_remote_code=trust)
    if out is not None:
        report.write_picture(again.pixels, out, again.rate)
    typer.echo(report.verdict(again))
    return DIFFERENT if again.equal is False else OK


def _found(results: Sequence[Result]) -> int:
    return OK if all(result.best is not None for result in results) else NOTHING


def _fetching(download: bool, *, quiet: bool) -> Callable[[Mapping[str, Any]], None]:
    """What is done with settings before their model is looked at: fetch, where that is asked."""

    def fetch(values: Mapping[str, Any]) -> None:
        if download:
            from noise_search.cli.prefetch import fetch_and_say

            fetch_and_say(values, quiet=quiet)

    return fetch


def _lineup(request: CompareRequest) -> Lineup:
    """What is compared, for one prompt and one seed."""
    from noise_search.study.gallery import Lineup
    from noise_search.study.tables import SINGLE, Entry

    entries = [Entry(SINGLE, ""), *(Entry(s, b) for s in request.searches for b in request.budgets)]
    return Lineup(request.settings, request.prompts[:1], entries, 1)


def _run_keys(given: Mapping[str, Any]) -> Keys:
    return checked(Keys, {key: value for key, value in given.items() if value is not None})


def _unknown(settings: Settings) -> tuple[str, ...]:
    """What cannot be priced without the model: what a text reads, or how pictures are made."""
    from noise_search.pipelines.loading import Defaults, defaults

    if defaults(settings.model).medium.answers:
        return ("tokens_in",)
    if settings.model.startswith("diffusers:"):
        return ("forwards",)  # rows are counted at its denoiser
    if defaults(settings.model) != Defaults() or settings.guidance_scale is not None:
        return ()
    return ("forwards", "decodes")
