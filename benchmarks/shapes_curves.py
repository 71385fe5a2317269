"""Quality against compute on the built-in models: every search at equal NFE, with 95 % bands.

Sixty held-out captions, chosen by rule, two seeds each. Writes the curve as table and picture,
and what it shows, into `benchmarks/results/shapes_<variant>.*`. Stopped, it goes on where it was.

    python benchmarks/shapes_curves.py flow
    python benchmarks/shapes_curves.py ddim
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from common import RESULTS, RUNS, Progress, by_rule, command, machine, points, share

from noise_search.pipelines.shapes.scenes import CATEGORIES, held_out_captions, parse
from noise_search.study.compare import Comparison, compare
from noise_search.study.prompts import prompts_of
from noise_search.study.settings import Settings
from noise_search.study.statistics import METHOD
from noise_search.study.tables import SINGLE, Entry

SEARCHES = ("random", "prune", "zero-order", "paths", "steps")
BUDGETS = ("32nfe", "64nfe", "128nfe", "256nfe")
BEST_OF_64 = Entry("random", "512nfe")
METRIC = "shapes"


def main() -> None:
    """Run what is asked for."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("variant", choices=("flow", "ddim"))
    options.add_argument("--prompts", type=int, default=60)
    options.add_argument("--seeds", type=int, default=2)
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    options.add_argument("--runs", type=Path, default=RUNS)
    given = options.parse_args()
    texts = by_rule(held_out_captions(), given.prompts)
    found = compare(
        prompts_of(texts),
        Settings.of({"model": f"shapes:{given.variant}", "dtype": given.dtype}),
        SEARCHES,
        BUDGETS,
        given.seeds,
        given.runs / f"shapes_{given.variant}_{given.prompts}x{given.seeds}",
        also=[BEST_OF_64],
        workers=given.workers,
        watch=Progress(),
    )
    text = "\n".join(page(found, given.variant)) + "\n"
    print(text)
    if (given.prompts, given.seeds) == (60, 2):
        publish(found, given.variant, text)


def publish(found: Comparison, variant: str, text: str) -> None:
    """Put table, picture and page among the results."""
    RESULTS.mkdir(exist_ok=True)
    for kind in ("csv", "png"):
        shutil.copy(found.out / f"curve.{kind}", RESULTS / f"shapes_{variant}.{kind}")
    (RESULTS / f"shapes_{variant}.md").write_text(text)


def page(found: Comparison, variant: str) -> Iterator[str]:
    """The result as Markdown."""
    tables = found.tables
    single = next(entry for entry in tables.entries if entry.search == SINGLE)
    verdicts = len(tables.entries[single])
    yield f"# shapes:{variant}: right pictures at equal NFE"
    yield ""
    yield (
        f"{len(found.prompts)} held-out captions x {verdicts // len(found.prompts)} seeds; the "
        "classical evaluator `shapes`, which no search sees, judges the winner of the verifier "
        "`shapes-clip`. Percent right, with 95 % bands."
    )
    yield ""
    budgets = [single.budget, *BUDGETS, BEST_OF_64.budget]
    yield "| search | " + " | ".join(b.replace("nfe", " NFE") for b in budgets) + " |"
    yield "|---" * (len(budgets) + 1) + "|"
    for search in (SINGLE, *SEARCHES):
        cells = [
            share(tables.band(e, METRIC)) if (e := Entry(search, b)) in tables.entries else ""
            for b in budgets
        ]
        yield f"| {'one sample' if search == SINGLE else search} | " + " | ".join(cells) + " |"
    yield ""
    yield from _by_category(found, single)
    yield from _differences(found, single)
    yield ""
    yield f"Bands: {METHOD}"
    yield ""
    spent = json.loads((found.out / "run.json").read_text())["spent"]
    yield f"Spent in all: {spent['nfe']:,} NFE, {spent['forwards']:,} forwards."
    yield ""
    yield f"Command: `{command()}`. Machine: {', '.join(f'{k} {v}' for k, v in machine().items())}."


def _by_category(found: Comparison, single: Entry) -> Iterator[str]:
    """One sample, best of 64 and prune by kind of caption, in percent."""
    kinds = {prompt.name: parse(prompt.text).category for prompt in found.prompts}
    shown = [single, Entry("steps", "256nfe"), BEST_OF_64, Entry("prune", "256nfe")]
    yield "| right, in % | " + " | ".join(CATEGORIES) + " |"
    yield "|---" * (len(CATEGORIES) + 1) + "|"
    for entry in shown:
        values: dict[str, list[float]] = defaultdict(list)
        for name, seeds in found.tables.values(entry, METRIC).items():
            values[kinds[name]] += [value for value in seeds if value is not None]
        means = [
            f"{100 * sum(values[k]) / len(values[k]):.0f} ({len(values[k])})" if values[k] else "-"
            for k in CATEGORIES
        ]
        yield f"| {entry.search} at {entry.budget} | " + " | ".join(means) + " |"
    yield ""


def _differences(found: Comparison, single: Entry) -> Iterator[str]:
    """Paired differences in points: of each search to random search, and the two claims."""
    yield "Paired differences in percentage points, with 95 % bands:"
    yield ""
    yield "| | " + " | ".join(b.replace("nfe", " NFE") for b in BUDGETS) + " |"
    yield "|---" * (len(BUDGETS) + 1) + "|"
    for search in SEARCHES:
        rivals = [single] * 4 if search == "random" else [Entry("random", b) for b in BUDGETS]
        cells = [
            points(found.tables.difference(Entry(search, b), rival, METRIC))
            for b, rival in zip(BUDGETS, rivals, strict=True)
        ]
        against = "one sample" if search == "random" else "random"
        yield f"| {search} over {against} | " + " | ".join(cells) + " |"
    yield ""
    behind = found.tables.difference(BEST_OF_64, Entry("steps", "256nfe"), METRIC)
    yield f"Best of 64 (512 NFE) over `steps` at 256 NFE: {points(behind)} points."


if __name__ == "__main__":
    main()
