"""The defaults of zero-order search and search over paths, measured on training captions.

Every choice is a spec of its own in one comparison: same prompts, same seeds, paired. Captions
are those the model was trained on, so that no figure on held-out captions was tuned for.

    python benchmarks/tune.py zero-order
    python benchmarks/tune.py paths
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import product
from pathlib import Path

from common import RESULTS, RUNS, Progress, by_rule, command, machine

from noise_search.pipelines.shapes.scenes import training_captions
from noise_search.study.compare import Comparison, compare
from noise_search.study.prompts import prompts_of
from noise_search.study.settings import Settings
from noise_search.study.tables import Entry

BUDGETS = ("64nfe", "128nfe")


def zero_order() -> Iterator[str]:
    """Neighbors and cosine."""
    for neighbors, cosine in product((2, 4, 8), (0.5, 0.7, 0.8, 0.9, 0.95)):
        yield f"zero-order(neighbors={neighbors},cosine={cosine})"


def paths() -> Iterator[str]:
    """Times in eighths, one a stage of the default schedule; then paths and width."""
    for start, forward in product((0.75, 0.625, 0.5, 0.375), (0.125, 0.25)):
        for backward in (forward + 0.125, forward + 0.25):
            yield _paths(2, 4, start, forward, backward)
    for kept, width in ((1, 4), (1, 8), (2, 2), (2, 8), (4, 2), (4, 4)):
        yield _paths(kept, width, 0.5, 0.125, 0.25)


def _paths(kept: int, width: int, start: float, forward: float, backward: float) -> str:
    times = f"start={start:g},forward={forward:g},backward={backward:g}"
    return f"paths(paths={kept},width={width},{times})"


def main() -> None:
    """Run one sweep and write `benchmarks/results/tune_<search>_<variant>.md`."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("search", choices=("zero-order", "paths"))
    options.add_argument("--variant", default="flow", choices=("flow", "ddim"))
    options.add_argument("--specs", nargs="*", default=None, help="these alone")
    options.add_argument("--prompts", type=int, default=30)
    options.add_argument("--seeds", type=int, default=1)
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    options.add_argument("--runs", type=Path, default=RUNS)
    given = options.parse_args()
    choices = list(zero_order() if given.search == "zero-order" else paths())
    found = compare(
        prompts_of(by_rule(training_captions(), given.prompts)),
        Settings.of({"model": f"shapes:{given.variant}", "dtype": given.dtype}),
        ["random", *(given.specs or choices)],
        BUDGETS,
        given.seeds,
        given.runs / f"tune_{given.search}_{given.variant}_{given.prompts}x{given.seeds}",
        workers=given.workers,
        watch=Progress(),
    )
    text = "\n".join(page(found, given.search, given.variant)) + "\n"
    print(text)
    if given.specs is None:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"tune_{given.search}_{given.variant}.md").write_text(text)


def page(found: Comparison, search: str, variant: str) -> Iterator[str]:
    """The sweep as Markdown, best mean verifier score first."""
    tables = found.tables
    pictures = len(tables.entries[Entry("random", BUDGETS[0])])
    yield f"# Choices of {search} on shapes:{variant}"
    yield ""
    yield f"{len(found.prompts)} training captions, {pictures} searches a choice and budget."
    yield ""
    columns = [f"{m} at {b}" for b in BUDGETS for m in ("right, %", "score", "spent")]
    yield "| choice | " + " | ".join(columns) + " | paired points over random |"
    yield "|---" * (len(columns) + 2) + "|"
    searches = list(dict.fromkeys(e.search for e in tables.entries if e.search != "single"))
    for choice in sorted(searches, key=lambda s: -_score(found, Entry(s, BUDGETS[-1]))):
        cells: list[str] = []
        for budget in BUDGETS:
            entry = Entry(choice, budget)
            right = tables.band(entry, "shapes")
            cells.append("-" if right is None else f"{100 * right.mean:.0f}")
            cells += [f"{_score(found, entry):.4f}", f"{tables.spent(entry):.0f}"]
        gains = [tables.difference(Entry(choice, b), Entry("random", b), "shapes") for b in BUDGETS]
        said = ", ".join(
            f"{100 * g.mean:+.0f} [{100 * (g.low or 0):+.0f}, {100 * (g.high or 0):+.0f}]"
            for g in gains
            if g is not None
        )
        yield f"| `{choice}` | " + " | ".join(cells) + f" | {said} |"
    yield ""
    yield f"Command: `{command()}`. Machine: {', '.join(f'{k} {v}' for k, v in machine().items())}."


def _score(found: Comparison, entry: Entry) -> float:
    band = found.tables.band(entry, found.tables.verifiers[0])
    return float("-inf") if band is None else band.mean


if __name__ == "__main__":
    main()
