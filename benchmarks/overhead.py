"""What searching costs beside the model: NFE a second of a search over those of a bare loop.

The bare loop calls the same pipeline with the same batch, steps and guidance, and does nothing
else: no verifier, no journal, no records. Repetitions of both are interleaved, so that a machine
that slows down slows both. The figure is the ratio of the medians.

    python benchmarks/overhead.py
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from common import save

from noise_search.ask import Prompt
from noise_search.journal import Journal
from noise_search.noise import Book
from noise_search.run import Job
from noise_search.study.bench import Bench, build, complete
from noise_search.study.generate import drive, plan_of
from noise_search.study.prompts import prompts_of
from noise_search.study.settings import Settings
from noise_search.study.watch import Silent

TEXT = "two red circles left of a blue square"


def main() -> None:
    """Measure and write `benchmarks/results/overhead.json`."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--model", default="shapes")
    options.add_argument("--batch", type=int, default=8)
    options.add_argument("--nfe", type=int, default=512)
    options.add_argument("--repeat", type=int, default=21)
    given = options.parse_args()
    settings = complete(Settings.of({"model": given.model, "batch": given.batch}))
    [prompt] = prompts_of([TEXT])
    with tempfile.TemporaryDirectory() as folder:
        bench = build(settings, Book(), Path(folder) / "live")
        pipe: Any = getattr(bench.pipeline, "pipe")  # noqa: B009 - of diffusers pipelines alone
        pipe.set_progress_bar_config(disable=True)
        bare = [timed(lambda i=i: loop(pipe, settings, given.nfe, i)) for i in range(-2, 0)]
        rates: dict[str, list[float]] = {"bare": [], "search": []}
        for i in range(given.repeat):
            pair: list[tuple[str, Callable[[], int]]] = [
                ("bare", lambda i=i: loop(pipe, settings, given.nfe, i)),
                ("search", lambda i=i: search(bench, prompt, given.nfe, i, Path(folder))),
            ]
            for name, run in pair if i % 2 == 0 else pair[::-1]:
                rates[name].append(timed(run))
            print(f"{i + 1:3}  " + "  ".join(f"{k} {v[-1]:.1f} NFE/s" for k, v in rates.items()))
    del bare
    medians = {name: statistics.median(values) for name, values in rates.items()}
    pairs = [s / b for s, b in zip(rates["search"], rates["bare"], strict=True)]
    record = {
        "nfe_per_second": {k: round(v, 2) for k, v in medians.items()},
        "ratio_of_medians": round(medians["search"] / medians["bare"], 4),
        "median_of_paired_ratios": round(statistics.median(pairs), 4),
        "wanted": 0.95,
        "repetitions": {k: [round(x, 2) for x in v] for k, v in rates.items()},
        "model": given.model,
        "batch": given.batch,
        "nfe": given.nfe,
    }
    path = save("overhead.json", record)
    print(f"search / bare loop = {record['ratio_of_medians']} (wanted: 0.95 or more); {path}")


def timed(run: Callable[[], int]) -> float:
    """NFE a second."""
    began = time.perf_counter()
    nfe = run()
    return nfe / (time.perf_counter() - began)


def loop(pipe: Any, settings: Settings, nfe: int, seed: int) -> int:
    """Pictures by plain calls of the pipeline, as many as the NFE pay for."""
    batch, steps = settings.batch, settings.steps or 1
    calls = nfe // (batch * steps)
    for call in range(calls):
        seeds = [1_000_003 * (seed + 2) + call * batch + row for row in range(batch)]
        pipe(
            [TEXT] * batch,
            num_inference_steps=steps,
            guidance_scale=settings.guidance_scale,
            generator=[torch.Generator("cpu").manual_seed(s) for s in seeds],
        )
    return calls * batch * steps


def search(bench: Bench, prompt: Prompt, nfe: int, seed: int, folder: Path) -> int:
    """A whole random search: noises by recipe, verifier, states on the disk, journal."""
    job = Job(
        prompt, plan_of(bench.settings, "random"), {"nfe": nfe}, bench.settings.steps or 1, seed
    )
    with Journal(folder / f"journal-{seed}", {"seed": seed}, bench.book) as journal:
        [outcome] = drive(bench, [job], Silent(), journal).outcomes
    return outcome.spent.nfe


if __name__ == "__main__":
    main()
