"""The demonstration: what searching the noise of a small real model does, in about a minute."""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from noise_search.study.compare import Comparison, compare
from noise_search.study.gallery import TITLES
from noise_search.study.prompts import prompts_of
from noise_search.study.settings import Settings
from noise_search.study.tables import SINGLE, Entry, spelt
from noise_search.study.watch import Watcher

if TYPE_CHECKING:
    from rich.table import Table

CATEGORIES = ("count", "mixed")
"""The kinds of sentence that single samples get wrong most often, by the model card."""
EACH = 5
SEEDS = 1
SEARCHES = ("random", "prune", "zero-order", "paths", "steps")
BUDGETS = ("32nfe", "64nfe", "128nfe")
SETTINGS = Settings.of({"model": "shapes"})
NEXT = (
    'noise-search generate "two red circles left of a blue square" --search prune --budget 128nfe'
)


def demo_texts() -> list[str]:
    """Hard sentences that the model was not trained on, chosen by rule and not by result.

    They are the first of each category among the held-out captions, in order of CRC-32.
    """
    from noise_search.pipelines.shapes.scenes import held_out_captions, parse

    ordered = sorted(held_out_captions(), key=lambda text: zlib.crc32(text.encode()))
    kinds = {text: parse(text).category for text in ordered}
    return [t for kind in CATEGORIES for t in [t for t in ordered if kinds[t] == kind][:EACH]]


def demo(out: Path, *, workers: int = 1, watch: Watcher | None = None) -> Comparison:
    """Compare searches on a few hard prompts, and print what came of it.

    Args:
        out: the folder; one that was begun is gone on with.
        workers: processes, at least; a second one is used where there is a second core.
        watch: who looks on.
    """
    from rich.console import Console

    found = compare(
        prompts_of(demo_texts()),
        SETTINGS,
        SEARCHES,
        BUDGETS,
        SEEDS,
        out,
        workers=max(workers, min(2, os.cpu_count() or 1)),
        watch=watch,
    )
    console = Console(highlight=False)
    console.print()
    console.print(table_of(found))
    for line in closing_lines(out):
        console.print(line, soft_wrap=True)
    return found


def table_of(found: Comparison) -> Table:
    """How many winners the held-out evaluator calls right, by search, at equal NFE."""
    from rich.table import Table

    tables = found.tables
    metric = tables.metrics[0]
    [single] = [entry for entry in tables.entries if entry.search == SINGLE]
    pictures = len(tables.entries[single])
    table = Table(
        title=f"Right pictures of {pictures}, by an evaluator that no search sees",
        title_justify="left",
        title_style="bold",
    )
    table.add_column("")
    for budget in (single.budget, *BUDGETS):
        table.add_column(spelt(budget), justify="right")
    table.add_row("one sample", _cell(found, single, metric))
    for search in SEARCHES:
        cells = [_cell(found, Entry(search, budget), metric) for budget in BUDGETS]
        plain = TITLES.get(search)
        title = search if plain is None else f"{plain} ({search})"
        table.add_row(title, "", *cells, style="dim" if search == "steps" else None)
    return table


def _cell(found: Comparison, entry: Entry, metric: str) -> str:
    known = found.tables.band(entry, metric)
    if known is None:
        return "-"
    return f"{known.mean:.0%}" if found.tables.is_share(metric) else f"{known.mean:.3g}"


def closing_lines(out: Path) -> list[str]:
    """Where the files are, and what to type next."""
    return [
        f"Pictures side by side, green where they are right:  {out / 'sheet.png'}",
        f"Quality against compute:  {out / 'curve.png'}",
        f"Next:  {NEXT}",
    ]
