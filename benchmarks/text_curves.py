"""Accuracy against tokens on the built-in language model, by kind of search and difficulty.

Snell et al. (2408.03314), figures 3, 4 and 7, at the size of a laptop: 210 held-out questions in
five bins of difficulty by the share of right answers among 128 samples of each (their "oracle"
bins). Every search ends by itself at N samples; what it has spent is its place on the axis.
Writes `benchmarks/results/text_arithmetic.*`. Stopped, it goes on where it was.

    python benchmarks/text_curves.py
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from common import RESULTS, RUNS, command, machine
from text_page import draw, page

from noise_search.pipelines.arithmetic.problems import DEPTHS, questions, value
from noise_search.study.compare import compare
from noise_search.study.generate import generate
from noise_search.study.prompts import prompts_of
from noise_search.study.settings import Settings
from noise_search.study.tables import Entry, Tables

EACH = 30
"""Questions of each depth."""
SAMPLES = 128
"""Samples of each question that its difficulty is told by."""
PART = 30
"""Questions of one run: what their texts share has to fit into memory."""
PLENTY = "1000ktok"
SIZES = (4, 16, 64)
ROOTS = {4: 2, 16: 4, 64: 8}


def methods() -> dict[str, dict[int, Entry]]:
    """What is compared: entries by N, by the name of their curve."""
    drawn = {
        "best of N": "random",
        "best of N, weighted": "random(final=weighted)",
        "majority": "random(final=majority)",
    }
    found = {
        name: {n: Entry(search, f"{n}calls") for n in (1, *SIZES)} for name, search in drawn.items()
    }

    def ending(spec: str, sizes: Sequence[int] = SIZES) -> dict[int, Entry]:
        specs = {n: spec.format(n=n, root=ROOTS[n], rest=n // 4) for n in sizes}
        return {n: Entry(f"{text},final=weighted)", PLENTY) for n, text in specs.items()}

    return {
        **found,
        "beam, width 4": ending("beam(draws={n},width=4"),
        "beam, width √N": ending("beam(draws={n},width={root}"),
        "lookahead 1, width √N": ending("beam(draws={n},width={root},lookahead=1"),
        "lookahead 3, width √N": ending("beam(draws={n},width={root},lookahead=3"),
        "revisions, all in one chain": ending("revise(sequential={n},parallel=1"),
        "revisions, √N chains": ending("revise(sequential={root},parallel={root}"),
        "revisions, N/4 chains": ending("revise(sequential=4,parallel={rest}", SIZES[1:]),
    }


SPOILED = ("prm", "prm-random", "prm(flip=0.2)", "prm(flip=1)")
"""Verifiers whose weighted votes are compared: Snell et al., ICLR version, appendix K."""


@dataclass(frozen=True)
class Part:
    """Some of the questions, and where their runs are kept."""

    texts: tuple[str, ...]
    out: Path


def main() -> None:
    """Run what is missing, then tell what came of it."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--each", type=int, default=EACH, help="questions of each depth")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--runs", type=Path, default=RUNS)
    given = options.parse_args()
    texts = asked(given.each)
    root = given.runs / f"text_arithmetic_{given.each}_{given.seed}"
    parts = [Part(tuple(texts[i : i + PART]), root / f"{i:04}") for i in range(0, len(texts), PART)]
    with ProcessPoolExecutor(given.workers, get_context("spawn")) as pool:
        rates = {k: v for found in pool.map(pass_rates, parts) for k, v in found.items()}
        told = list(pool.map(partial(run_part, seed=given.seed), parts))
        votes = list(pool.map(partial(spoiled_part, seed=given.seed), parts))
        chains = [pair for pairs in pool.map(revised, parts) for pair in pairs]
    publish(texts, rates, told, votes, chains, whole=given.each == EACH)


def asked(each: int) -> list[str]:
    """Held-out questions, so many of each depth, in an order that mixes depths."""
    rng = np.random.default_rng(20240803)
    by_depth = [questions(rng, depth, each) for depth in DEPTHS]
    return [text for row in zip(*by_depth, strict=True) for text in row]


def pass_rates(part: Part) -> dict[str, float]:
    """The share of right answers among samples of each question, of seeds that no search has."""
    settings = Settings.of(
        {
            "model": "arithmetic",
            "verifier": "arithmetic",
            "budget": f"{SAMPLES}calls",
            "seed": 1 << 40,
        }
    )
    results = generate(prompts_of(part.texts), settings, part.out / "difficulty")
    return {
        r.prompt.text: sum(c.scores.get("arithmetic", 0.0) for c in r.candidates) / SAMPLES
        for r in results
    }


def run_part(part: Part, seed: int) -> Tables:
    """Compare all methods on some questions."""
    pairs = list({entry: None for by_size in methods().values() for entry in by_size.values()})
    settings = Settings.of({"model": "arithmetic", "seed": seed})
    found = compare(prompts_of(part.texts), settings, (), (), 1, part.out / "searches", also=pairs)
    return found.tables


def spoiled_part(part: Part, seed: int) -> dict[str, Tables]:
    """Weighted votes by verifiers that are spoiled on purpose, over the same samples."""
    found: dict[str, Tables] = {}
    for verifier in SPOILED:
        settings = Settings.of({"model": "arithmetic", "seed": seed, "verifier": verifier})
        name = "".join(c if c.isalnum() else "-" for c in verifier)
        out = part.out / f"votes-{name}"
        budgets = [f"{n}calls" for n in SIZES]
        searches = ["random(final=weighted)", "random"]
        found[verifier] = compare(
            prompts_of(part.texts), settings, searches, budgets, 1, out
        ).tables
    return found


def revised(part: Part) -> list[tuple[int, bool, bool]]:
    """All revisions of the searches: their place in the chain, whether right before and after."""
    truth = {p.name: str(value(p.text)) for p in prompts_of(part.texts)}
    right: dict[str, bool] = {}
    place: dict[str, int] = {}
    pairs: list[tuple[int, bool, bool]] = []
    with (part.out / "searches" / "candidates.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            if record["failure"] or record["parent"] or not record.get("ended"):
                continue
            noise = record["noise"]
            good = record["text"].get("answer") == truth[record["prompt"]]
            right[noise["name"]], place[noise["name"]] = good, 0
            if noise["kind"] == "revision" and noise["of"] in right:
                place[noise["name"]] = place[noise["of"]] + 1
                pairs.append((place[noise["name"]], right[noise["of"]], good))
    return pairs


def joined(tables: Sequence[Tables]) -> Tables:
    """Tables of several parts as one."""
    verdicts = [verdict for part in tables for verdict in part.verdicts]
    first = tables[0]
    return Tables(verdicts, first.verifiers, first.evaluators, first.most_steps, first.unit)


def within(tables: Tables, prompts: set[str]) -> Tables:
    """The tables of some prompts alone."""
    some = [verdict for verdict in tables.verdicts if verdict.prompt in prompts]
    return Tables(some, tables.verifiers, tables.evaluators, tables.most_steps, tables.unit)


def bins_of(texts: Sequence[str], rates: Mapping[str, float]) -> list[set[str]]:
    """Names of prompts in five bins of equal size, the easiest first."""
    names = {p.text: p.name for p in prompts_of(texts)}
    ordered = sorted(texts, key=lambda text: (-rates[text], names[text]))
    edges = [round(len(ordered) * i / 5) for i in range(6)]
    return [{names[t] for t in ordered[a:b]} for a, b in pairwise(edges)]


def publish(
    texts: Sequence[str],
    rates: Mapping[str, float],
    told: Sequence[Tables],
    votes: Sequence[Mapping[str, Tables]],
    chains: Sequence[tuple[int, bool, bool]],
    *,
    whole: bool,
) -> None:
    """Write table, picture and page."""
    tables = joined(told)
    bins = bins_of(texts, rates)
    names = {p.name: p.text for p in prompts_of(texts)}
    facts: dict[str, Any] = {
        "questions": len(texts),
        "pass@1 by bin": [float(np.mean([rates[names[n]] for n in group])) for group in bins],
        "command": command(),
        "machine": machine(),
    }
    by_bin = [within(tables, group) for group in bins]
    spoiled = {v: joined([part[v] for part in votes]) for v in SPOILED}
    lines = list(page(methods(), tables, by_bin, spoiled, chains, facts))
    print("\n".join(lines))
    if whole:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "text_arithmetic.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (RESULTS / "text_arithmetic.png").write_bytes(draw(methods(), tables, by_bin))
        write_csv(tables, by_bin)


def write_csv(tables: Tables, by_bin: Sequence[Tables]) -> None:
    """One line a method, N and bin."""
    rows = list(_rows(tables, by_bin))
    text = "\n".join(",".join(map(str, row)) for row in rows)
    (RESULTS / "text_arithmetic.csv").write_text(text + "\n", encoding="utf-8")


def _rows(tables: Tables, by_bin: Sequence[Tables]) -> Iterator[tuple[Any, ...]]:
    yield ("method", "n", "bin", "tokens", "right", "low", "high", "questions")
    named: dict[str, Tables] = {"all": tables}
    named |= {str(i): part for i, part in enumerate(by_bin, 1)}
    for name, part in named.items():
        for method, by_size in methods().items():
            for n, entry in by_size.items():
                band = part.band(entry, "arithmetic")
                if band is not None and band.low is not None and band.high is not None:
                    figures = (f"{x:.4f}" for x in (band.mean, band.low, band.high))
                    yield (f'"{method}"', n, name, f"{part.spent(entry):.1f}", *figures, band.n)


if __name__ == "__main__":
    main()
