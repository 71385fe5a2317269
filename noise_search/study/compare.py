"""Comparing searches at equal budgets: one run over every prompt, seed, search and budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from noise_search.ask import Prompt
from noise_search.budget import Ledger, read_limits
from noise_search.errors import UserError
from noise_search.journal import Journal
from noise_search.moves import Search, Start
from noise_search.noise import Book
from noise_search.run import Job
from noise_search.specs import parse
from noise_search.study.bench import build, complete
from noise_search.study.dry_run import named, price_of, sample_price
from noise_search.study.exhibit import conclude, read_tables, write_exhibit
from noise_search.study.folder import prompt_record
from noise_search.study.gallery import Lineup
from noise_search.study.generate import (
    LIVE,
    check_prices,
    clean_refusal,
    drive,
    forget_latents,
    make_folder,
    plan_of,
    read_prompts,
)
from noise_search.study.settings import Settings
from noise_search.study.tables import SINGLE, Entry, Tables
from noise_search.study.video import check_films
from noise_search.study.watch import Silent, Watcher
from noise_search.study.workers import Workers
from noise_search.task import Task

SHARING = frozenset({"random", "zero-order", "paths", "revise"})
"""Searches that begin alike whatever the budget, so that a larger one holds the smaller ones."""


@dataclass(frozen=True)
class Comparison:
    """What a comparison came to.

    Attributes:
        prompts: what was generated for.
        tables: verdicts, curves and differences.
        out: its folder.
    """

    prompts: Sequence[Prompt]
    tables: Tables
    out: Path


def compare(
    prompts: Sequence[Prompt],
    settings: Settings,
    searches: Sequence[str],
    budgets: Sequence[str],
    seeds: int,
    out: Path,
    *,
    also: Sequence[tuple[str, str]] = (),
    workers: int = 1,
    watch: Watcher | None = None,
) -> Comparison:
    """Run every search at every budget for every prompt and seed, and write a folder.

    All searches of one prompt and seed draw from the same root, so differences are paired; what
    one of them has played is not played again for another, though each is charged for it. One
    sample without a search is always among them, for reference.

    Args:
        prompts: what to generate for.
        settings: how; their `search`, `budget` and `top_k` are not used.
        searches: specs of the searches.
        budgets: limits of one search each.
        seeds: repetitions, with roots that count up from the settings' (or the prompt's) seed.
        out: the folder; made if absent. One that was begun is resumed.
        also: further pairs of search and budget.
        workers: processes that play batches.
        watch: who looks on.

    Raises:
        UserError: something is impossible, or the folder holds another run.
    """
    chosen = complete(settings).model_copy(update={"top_k": 1})
    entries = [Entry(search, budget) for search in searches for budget in budgets]
    entries += [Entry(*pair) for pair in also]
    if not prompts or not entries or seeds < 1:
        raise UserError("compare: at least one prompt, search, budget and seed are needed")
    if len(set(entries)) < len(entries):
        raise UserError("compare: a search and its budget are named twice")
    if any(entry.search.strip() == SINGLE for entry in entries):
        raise UserError(f"compare: {SINGLE!r} is always there; leave it out of the searches")
    prices = price_of(chosen)
    sample = sample_price(prices, prompts[0], chosen.steps or 1)
    reference = f"{sample.nfe}nfe" if sample.nfe else "1calls"
    for budget in {entry.budget: None for entry in entries}:
        if not Ledger(read_limits(budget)).affords(sample):
            raise UserError(f"budget {budget} is less than one sample, {named(sample, budget)}")
    head: dict[str, Any] = {
        **chosen.model_dump(exclude={"search", "budget"}),
        "searches": list(searches),
        "budgets": list(budgets),
        "seeds": seeds,
        **({"also": [list(pair) for pair in also]} if also else {}),
        "prompts": [prompt_record(prompt) for prompt in prompts],
    }
    lineup = Lineup(chosen, prompts, [Entry(SINGLE, reference), *entries], seeds)
    return _run(lineup, jobs_of(lineup), out, head, workers, watch or Silent())


def resume_comparison(
    out: Path,
    head: Mapping[str, Any],
    *,
    workers: int = 1,
    watch: Watcher | None = None,
    trust_remote_code: bool = False,
    cache: bool = True,
) -> Comparison:
    """Go on with a comparison from the header of its journal.

    Raises:
        UserError: the header is not one of a comparison.
    """
    own = {key: head[key] for key in head if key in Settings.model_fields} | {"cache": cache}
    return compare(
        read_prompts(out, head.get("prompts")),
        Settings.recorded(own, trust=trust_remote_code),
        head["searches"],
        head["budgets"],
        head["seeds"],
        out,
        also=[(search, budget) for search, budget in head.get("also", ())],
        workers=workers,
        watch=watch,
    )


def one_sample(task: Task) -> Search:
    """One sample, as a user without a search gets it: the reference of every comparison."""
    return (yield [Start(task.fresh())])


def jobs_of(lineup: Lineup) -> list[Job]:
    """One job a prompt, repetition and entry, in that order."""
    settings = lineup.settings
    plans = {entry: plan_of(settings, entry.search) for entry in lineup.entries[1:]}
    limits = {entry: read_limits(entry.budget) for entry in lineup.entries[1:]}
    steps, search_steps = settings.steps or 1, settings.search_steps or 1
    return [
        Job(prompt, one_sample, {}, steps, lineup.root(prompt, index))
        if entry.search == SINGLE
        else Job(prompt, plans[entry], limits[entry], search_steps, lineup.root(prompt, index))
        for prompt, index, entry in lineup.places()
    ]


def expected(lineup: Lineup) -> int | None:
    """About how much will be spent, for a progress bar; None if that is not limited."""
    from noise_search.pipelines.loading import defaults

    unit = defaults(lineup.settings.model).medium.unit
    nfe = {entry: read_limits(entry.budget).get(unit) for entry in lineup.entries}
    total = 0
    for search in {entry.search: None for entry in lineup.entries}:
        limits = [limit for entry, limit in nfe.items() if entry.search == search]
        if None in limits:
            return None
        known = [limit for limit in limits if limit is not None]
        total += max(known) if parse(search).name in SHARING else sum(known)
    return total * len(lineup.prompts) * lineup.seeds


def _run(
    lineup: Lineup,
    jobs: Sequence[Job],
    out: Path,
    head: Mapping[str, Any],
    workers: int,
    watch: Watcher,
) -> Comparison:
    """Drive all jobs in the folder, judge the winners, write everything."""
    book = Book()
    with ExitStack() as stack:
        with clean_refusal(out):
            make_folder(out)
            journal = stack.enter_context(Journal(out / "journal", head, book))
            if (tables := read_tables(out)) is not None:
                forget_latents(out)
                return Comparison(lineup.prompts, tables, out)
            bench = build(lineup.settings, book, out / LIVE)
            journal.identify(bench.identity)
            check_films(bench.rate)
            check_prices(bench, jobs)
        player = None
        if workers > 1:
            player = stack.enter_context(Workers(workers, lineup.settings, out / LIVE, book)).play
        driven = drive(
            bench,
            jobs,
            watch,
            journal,
            player,
            label=f"{len(jobs)} searches",
            total=expected(lineup),
        )
        exhibit = conclude(lineup, bench, driven, out, watch)
        write_exhibit(out, bench, exhibit, head)
        if exhibit.whole:
            forget_latents(out)
    return Comparison(lineup.prompts, exhibit.tables, out)
