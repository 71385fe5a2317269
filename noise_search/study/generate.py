"""One run over many prompts: search, conclude, and write its folder."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from noise_search.ask import Prompt, resolve
from noise_search.budget import ZERO, Cost, check_judging
from noise_search.errors import UserError
from noise_search.journal import Journal, header
from noise_search.moves import Plan, Start
from noise_search.noise import Book
from noise_search.registry import build_search
from noise_search.run import STOPPED, Job, Outcome, Player, Run
from noise_search.searches.compose import refined
from noise_search.specs import parse
from noise_search.study.bench import Bench, build, complete
from noise_search.study.files import read_json
from noise_search.study.folder import prompt_record, write_folder
from noise_search.study.inputs import save_inputs
from noise_search.study.result import Result
from noise_search.study.settings import Settings
from noise_search.study.showing import Showing
from noise_search.study.video import check_films
from noise_search.study.watch import Silent, Watcher, listening
from noise_search.study.workers import Workers

if TYPE_CHECKING:
    from noise_search.study.compare import Comparison

LIVE = "live"
"""The folder beside the journal where latents are kept while a run lasts."""
PROBE = ".writable"
"""Made and removed before anything else; one that is there was left by a killed process."""


POOL = 16
"""Searches of texts held at once: what their texts share has to fit into a cache."""


@dataclass(frozen=True)
class Driven:
    """What came of a run's jobs, what was spent beside them, and what the score cache knew."""

    outcomes: list[Outcome]
    overhead: Cost
    cached: int = 0


def plan_of(settings: Settings, search: str | Plan) -> Plan:
    """The plan of a search under completed settings: refined where it searches on fewer steps."""
    plan = build_search(search) if isinstance(search, str) else search
    steps, search_steps = settings.steps or 1, settings.search_steps or 1
    if isinstance(search, str) and parse(search).name == "steps":
        return plan  # it chooses its own schedule
    return plan if search_steps == steps else refined(plan, steps, settings.top_k)


def jobs_of(prompts: Sequence[Prompt], settings: Settings, plan: Plan | None = None) -> list[Job]:
    """One job a prompt, with a plan or that of the settings' search."""
    plan = plan_of(settings, plan or settings.search)
    return [
        Job(
            prompt,
            plan,
            settings.limits,
            settings.search_steps or 1,
            settings.seed if prompt.seed is None else prompt.seed,
        )
        for prompt in prompts
    ]


def run_header(prompts: Sequence[Prompt], settings: Settings) -> dict[str, Any]:
    """What identifies a run: its settings and its prompts."""
    return {**settings.model_dump(), "prompts": [prompt_record(p) for p in prompts]}


def drive(
    bench: Bench,
    jobs: Sequence[Job],
    watch: Watcher,
    journal: Journal | None = None,
    player: Player | None = None,
    *,
    label: str | None = None,
    total: int | None = None,
    pool: int = POOL,
) -> Driven:
    """Run jobs to their end.

    Args:
        bench: what the run works with.
        jobs: the searches.
        watch: who looks on, and may stop it.
        journal: the checkpoint, or None for a run that is not kept.
        player: how batches are played.
        label: what is run, for whoever looks on; how many searches, by default.
        total: how much to expect, where searches share some; the sum of budgets, by default.
        pool: how many searches are held at once, where the model writes.
    """
    overhead: list[Cost] = []
    run = Run(
        bench.problem,
        bench.ranking,
        width=bench.settings.batch or 1,
        book=bench.book,
        memory=journal,
        player=player,
        timed=any("microseconds" in job.limits for job in jobs),
        pool=pool if bench.pipeline.medium.answers else None,
        listen=listening(watch),
        overhead=overhead.append,
    )
    whole = sum(job.limits.get(bench.unit, 0) for job in jobs) or None
    watch.begin(label or f"{len(jobs)} search{'es' * (len(jobs) > 1)}", total or whole, bench.unit)
    try:
        outcomes = run.drive(jobs)
    finally:
        watch.end()
    extra = sum(overhead, ZERO) if journal is None else journal.overhead
    return Driven(outcomes, extra, run.cached)


def check_prices(bench: Bench, jobs: Sequence[Job]) -> None:
    """Refuse budgets that limit nothing which is ever spent here: their searches would not end.

    Raises:
        UserError: before anything is spent; also where a prompt cannot be priced.
    """
    problem = bench.problem
    for job in jobs:
        start = Start(problem.medium.fresh(0))
        price = problem.price(resolve(job.prompt, start, job.steps, problem.stochastic))
        check_judging(job.limits, price)
        spends = {*price.record(), "microseconds"}
        if job.limits and not spends & set(job.limits):
            raise UserError(f"budget: nothing here spends {next(iter(job.limits))}")


def conclude(
    bench: Bench,
    driven: Driven,
    keep: int,
    write: Callable[..., None],
    *,
    panel: bool = True,
) -> list[Result]:
    """Make the winners' pictures, judge them by the evaluators, and hand out results.

    Args:
        bench: what the run works with.
        driven: what came of its jobs.
        keep: how many winners of each.
        write: writes the results into a folder.
        panel: whether evaluators are shown other samples too, to tell how they agree.
    """
    extras = [driven.overhead]
    results: list[Result] = []

    def save(folder: Path) -> None:
        write(folder, bench, results, sum(extras, ZERO))

    for outcome in driven.outcomes:
        shown = Showing(bench, outcome, extras, panel=panel)
        results.append(shown.result(keep, save, driven.cached))
    return results


def generate(
    prompts: Sequence[Prompt],
    settings: Settings,
    out: Path,
    *,
    workers: int = 1,
    watch: Watcher | None = None,
) -> list[Result]:
    """Search for every prompt and write a folder; one that was begun is resumed.

    Args:
        prompts: what to generate for.
        settings: how.
        out: the run's folder; made if absent.
        workers: processes that play batches.
        watch: who looks on.

    Raises:
        UserError: the settings are impossible, or the folder holds another run.
    """
    settings = complete(settings)
    return run_folder(
        settings,
        out,
        run_header(prompts, settings),
        jobs_of(prompts, settings),
        workers=workers,
        watch=watch or Silent(),
    )


def run_folder(
    settings: Settings,
    out: Path,
    head: Mapping[str, Any],
    jobs: Sequence[Job],
    *,
    workers: int,
    watch: Watcher,
    bench_of: Callable[[Settings, Book, Path | None], Bench] = build,
) -> list[Result]:
    """Run jobs in a folder: journal, live latents, and at the end all its files."""
    book = Book()
    with ExitStack() as stack:
        with clean_refusal(out):
            make_folder(out)
            journal = stack.enter_context(Journal(out / "journal", head, book))
            bench = bench_of(settings, book, out / LIVE)
            journal.identify(bench.identity)
            check_films(bench.rate)
            check_prices(bench, jobs)
        save_inputs(out, bench.arguments)
        player = None
        if workers > 1:
            player = stack.enter_context(Workers(workers, settings, out / LIVE, book)).play
        driven = drive(bench, jobs, watch, journal, player)
        stale = _stale(out, driven)  # of a run that was told, nothing is made again
        results = conclude(bench, driven, settings.top_k, write_folder, panel=stale)
        if results and stale:
            results[0].save(out)
        if all(outcome.reason != STOPPED for outcome in driven.outcomes):
            forget_latents(out)
    return results


@contextmanager
def clean_refusal(out: Path) -> Generator[None]:
    """What is refused before anything is spent leaves nothing behind where nothing was."""
    begun = (out / "journal").exists()
    try:
        yield
    except UserError:
        if not begun and (out / "journal").exists():
            (out / "journal").unlink()
            forget_latents(out)
            with suppress(OSError):  # it was there before, with other things in it
                out.rmdir()
        raise


def forget_latents(out: Path) -> None:
    """Remove a run's live latents, and nothing else that may lie there."""
    for pattern in ("*.safetensors", "*.part", ".*.part"):
        for file in (out / LIVE).glob(pattern):
            file.unlink(missing_ok=True)
    with suppress(OSError):  # what is not empty stays
        (out / LIVE).rmdir()


def _stale(out: Path, driven: Driven) -> bool:
    """Whether `run.json` is absent or tells of less than there is by now."""
    try:
        told = read_json(out / "run.json")
        ended = [result["ended"] for result in told["results"]]
        known = told["candidates"], ended
        overhead: dict[str, int] = told["overhead"]
        dearer = any(v > overhead.get(k, 0) for k, v in driven.overhead.record().items())
    except (ValueError, KeyError, TypeError, AttributeError):  # an error of ours is a ValueError
        return True
    count = len({c.name for outcome in driven.outcomes for c in outcome.candidates})
    return dearer or known != (count, [outcome.reason for outcome in driven.outcomes])


def make_folder(out: Path) -> None:
    """Make a run's folder.

    Raises:
        UserError: it cannot be made or written, or holds files that are not a run's.
    """
    held = sorted(p.name for p in out.iterdir() if p.name != PROBE) if out.is_dir() else []
    if held and "journal" not in held:
        raise UserError(f"out: {out} holds {held[0]!r} and is no run's folder; choose another")
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / PROBE
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(f"out: cannot write to {out}: {error.strerror}") from None


def read_prompts(out: Path, records: object) -> list[Prompt]:
    """The prompts of a journal's header; their names are safe as file names.

    Raises:
        UserError: they are not as this library writes them.
    """
    try:
        prompts = [Prompt(**record) for record in cast("list[dict[str, Any]]", records)]
        safe = all(re.fullmatch(r"[a-z0-9-]{1,64}", p.name) for p in prompts)
    except TypeError:
        safe, prompts = False, []
    if not safe or not prompts:
        raise UserError(f"{out}: its prompts are not as a run writes them")
    return prompts


def resume(
    out: Path,
    *,
    workers: int = 1,
    watch: Watcher | None = None,
    trust_remote_code: bool = False,
    cache: bool = True,
) -> list[Result] | Comparison:
    """Go on with a run, or a comparison, from its journal.

    Args:
        out: its folder.
        workers: processes that play batches.
        watch: who looks on.
        trust_remote_code: whether code that lies with its model may run.
        cache: whether scores of costly verifiers are kept, and found again.

    Raises:
        UserError: the folder holds no run that can be resumed.
    """
    head = dict(header(out / "journal"))
    if "searches" in head:
        from noise_search.study.compare import resume_comparison

        return resume_comparison(
            out,
            head,
            workers=workers,
            watch=watch or Silent(),
            trust_remote_code=trust_remote_code,
            cache=cache,
        )
    if "rollouts" in head:
        raise UserError(f"{out} holds the rollouts of a training; go on with the same train-prm")
    prompts = read_prompts(out, head.pop("prompts", None))
    settings = Settings.recorded({**head, "cache": cache}, trust=trust_remote_code)
    return generate(prompts, settings, out, workers=workers, watch=watch)
