"""Making candidates again from their records alone, and comparing every pixel.

For each search: a run over a few prompts, then 50 of its candidates, drawn at random, finished
or not, are made again by a pipeline that has never seen the run; and every winner's PNG from
nothing but itself.

    python benchmarks/reproduce.py
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from common import RUNS, Progress, by_rule, save

from noise_search import reproduce
from noise_search.noise import Book
from noise_search.pipelines.shapes.scenes import held_out_captions
from noise_search.study.bench import build, complete
from noise_search.study.generate import generate
from noise_search.study.prompts import prompts_of
from noise_search.study.reproduce import find_record
from noise_search.study.settings import Settings

SEARCHES = ("random", "zero-order", "paths", "prune", "steps")
STOCHASTIC = "paths at eta=1"


def main() -> None:
    """Measure and write `benchmarks/results/reproduce.json`."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--models", nargs="+", default=["shapes:flow", "shapes:ddim"])
    options.add_argument("--candidates", type=int, default=50)
    options.add_argument("--runs", type=Path, default=RUNS / "reproduce")
    given = options.parse_args()
    shutil.rmtree(given.runs, ignore_errors=True)
    results: dict[str, Any] = {}
    for model in given.models:
        cases = [(search, {"search": search}) for search in SEARCHES]
        if model.endswith("ddim"):
            cases.append((STOCHASTIC, {"search": "paths", "eta": 1.0}))
        for name, values in cases:
            settings = Settings.of({"model": model, "budget": "96nfe", **values})
            out = given.runs / model.replace(":", "_") / name.replace(" ", "_")
            results[f"{model} {name}"] = found = check(settings, out, given.candidates)
            print(model, name, found, flush=True)
    whole = all(
        r["equal"] == r["candidates"] and r["png_equal"] == r["pngs"] for r in results.values()
    )
    print(
        "all bit-equal" if whole else "NOT all bit-equal",
        save("reproduce.json", {"all_bit_equal": whole, "results": results}),
    )


def check(settings: Settings, out: Path, count: int) -> dict[str, int]:
    """Run one search, and make some of its candidates and all its winners again."""
    prompts = by_rule(held_out_captions(), 30 if settings.search == "steps" else 8)
    if settings.search == "steps":  # one candidate a search: more of them, on fewer steps
        settings = settings.model_copy(update={"budget": "16nfe"})
        prompts = by_rule(held_out_captions(), count)
    generate(prompts_of(prompts), settings, out, watch=Progress())
    lines = [json.loads(line) for line in (out / "candidates.jsonl").read_text().splitlines()]
    names = [line["candidate"] for line in lines if line["failure"] is None and "sha256" in line]
    chosen = np.random.default_rng(0).permutation(sorted(names))[:count].tolist()
    # a pipeline of its own, which holds no state of the run
    pipe: Any = getattr(build(complete(settings), Book(), None).pipeline, "pipe")  # noqa: B009
    made = [reproduce(find_record(out, name), pipe) for name in chosen]
    pngs = sorted((out / "images").rglob("best.png"))
    shown = [reproduce(path, pipe) for path in pngs]
    return {
        "candidates": len(made),
        "equal": sum(m.equal is True for m in made),
        "unfinished": sum(
            line["stage"] < line["stages"] for line in lines if line["candidate"] in chosen
        ),
        "pngs": len(shown),
        "png_equal": sum(m.equal is True for m in shown),
        "largest_difference": max((m.difference or 0 for m in shown), default=0),
    }


if __name__ == "__main__":
    main()
