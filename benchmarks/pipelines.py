"""What searching any diffusers pipeline costs, beside a bare loop and beside what users write.

Three ways to make so many pictures of one prompt with one pipeline:

* ``bare``: the pipeline called with whole batches, and nothing else;
* ``search``: a random search by `noise_search.search`, with a verifier that costs nothing, its
  noises by name, its candidates, checks and records;
* ``each``: what users write today, ``pipe(prompt, generator=...)`` for each candidate, encoding
  the prompt each time.

Repetitions are interleaved, so that a machine that slows down slows all. On CPUs it takes the tiny
random checkpoints of the tests; ``--full sdxl`` and ``--full flux`` build the published
architectures with random weights, for a GPU.

    python benchmarks/pipelines.py
    python benchmarks/pipelines.py --full sdxl flux --device cuda --dtype bfloat16 --size 1024
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # the checkpoints of the tests

from common import save
from full_size import FULL

import noise_search
from tests.pipelines.zoo import KINDS, load

TEXT = "a red circle"
TINY = ("sd15", "lcm", "sdxl", "sdxl-turbo", "sd3", "flux", "pixart-sigma", "sana")


@dataclass(frozen=True)
class Subject:
    """A pipeline and how it is called.

    Attributes:
        pipe: the pipeline.
        steps: of a picture.
        arguments: of its call, beside prompt, steps and generator.
        text: the prompt.
    """

    pipe: Any
    steps: int
    arguments: Mapping[str, Any] = field(default_factory=dict)
    text: str = TEXT

    def call(self, texts: list[str], seeds: list[int]) -> Any:
        """A plain call of the pipeline."""
        generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        return self.pipe(
            texts if len(texts) > 1 else texts[0],
            num_inference_steps=self.steps,
            generator=generators if len(texts) > 1 else generators[0],
            **self.arguments,
        )


def main() -> None:
    """Measure and write `benchmarks/results/pipelines.json`, or that of full sizes."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--kinds", nargs="*", default=TINY, choices=sorted(KINDS))
    options.add_argument("--full", nargs="*", default=(), choices=sorted(FULL))
    options.add_argument("--size", type=int, default=1024, help="sides of full-size pictures")
    options.add_argument("--steps", type=int, default=4, help="of full-size models")
    options.add_argument("--device", default="cpu")
    options.add_argument("--dtype", default="float32")
    options.add_argument("--batch", type=int, default=8)
    options.add_argument("--count", type=int, default=64, help="candidates")
    options.add_argument("--repeat", type=int, default=5)
    given = options.parse_args()
    warnings.simplefilter("ignore")
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in given.full or given.kinds:
            subject = _full(name, given) if given.full else _tiny(name, Path(folder))
            found[name] = measured(subject, given.batch, given.count, given.repeat)
            print(f"{name}: {found[name]['ratios']}", flush=True)
            del subject
    record = {
        "ratios": "NFE a second of the search over the other's; medians of pairs",
        "wanted": {"search / bare (GPU)": 0.97, "search / each (few steps)": 2.0},
        "pipelines": found,
        **{key: getattr(given, key) for key in ("batch", "count", "device", "dtype")},
    }
    if given.device != "cpu":
        record["gpu"] = torch.cuda.get_device_name(given.device)
    path = save("pipelines_full.json" if given.full else "pipelines.json", record)
    print(path)


def _tiny(name: str, folder: Path) -> Subject:
    kind = KINDS[name]
    return Subject(load(kind, folder), kind.steps, kind.arguments, kind.prompts[0])


def _full(name: str, given: argparse.Namespace) -> Subject:
    pipe = FULL[name](getattr(torch, given.dtype), given.device).to(given.device)
    pipe.set_progress_bar_config(disable=True)
    return Subject(pipe, given.steps, {"height": given.size, "width": given.size})


def measured(subject: Subject, batch: int, count: int, repeat: int) -> dict[str, Any]:
    """Rates of the three ways, their ratios, and where a search's time goes."""
    ways: dict[str, Callable[[int], None]] = {
        "bare": lambda i: bare(subject, batch, count, i),
        "search": lambda i: search(subject, batch, count, i),
        "each": lambda i: each(subject, count, i),
    }
    for way in ways.values():
        way(-1)
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for i in range(repeat):
        turned = list(ways.items())[i % 3 :] + list(ways.items())[: i % 3]
        for name, way in turned:
            began = time.perf_counter()
            way(i)
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            rates[name].append(count * subject.steps / (time.perf_counter() - began))
    pairs = {
        f"search / {name}": [s / o for s, o in zip(rates["search"], rates[name], strict=True)]
        for name in ("bare", "each")
    }
    return {
        "steps": subject.steps,
        "nfe_per_second": {k: round(statistics.median(v), 2) for k, v in rates.items()},
        "ratios": {k: round(statistics.median(v), 3) for k, v in pairs.items()},
        "spread": {k: [round(min(v), 3), round(max(v), 3)] for k, v in pairs.items()},
        "share_of_time": shares(subject, batch, count),
    }


def bare(subject: Subject, batch: int, count: int, run: int) -> None:
    """Whole batches, and nothing else."""
    for begin in range(0, count, batch):
        seeds = [10_000 * (run + 2) + begin + row for row in range(batch)]
        subject.call([subject.text] * batch, seeds)


def each(subject: Subject, count: int, run: int) -> None:
    """A call for each candidate."""
    for i in range(count):
        subject.call([subject.text], [10_000 * (run + 2) + i])


def search(subject: Subject, batch: int, count: int, run: int) -> None:
    """A random search."""
    more: Any = subject.arguments
    result = noise_search.search(
        subject.pipe,
        subject.text,
        verifier=nothing,
        search="random",
        budget=f"{count * subject.steps}nfe",
        steps=subject.steps,
        batch=batch,
        seed=run + 2,
        **more,
    )
    if result.spent.nfe != count * subject.steps:
        raise RuntimeError(f"{result.spent.nfe} NFE instead of {count * subject.steps}")


def nothing(pictures: list[Any], _: str) -> list[float]:
    """A verifier that costs nothing."""
    return [0.0] * len(pictures)


def shares(subject: Subject, batch: int, count: int) -> dict[str, float]:
    """Parts of a search's time: in the models, in the scheduler and the rest."""
    profile = cProfile.Profile()
    profile.runcall(search, subject, batch, count, 0)
    if torch.cuda.is_available():
        return {}  # kernels run on while Python goes on: its clock says nothing of them
    stats: Any = pstats.Stats(profile)
    whole = stats.total_tt
    told = {
        "denoiser": ("standins.py", "__call__"),
        "encoding": ("embeddings.py", "remembered"),
        "decoding": ("autoencoder", "decode"),
    }
    return {
        name: round(
            max((s[3] for f, s in stats.stats.items() if _is(f, *where)), default=0) / whole, 3
        )
        for name, where in told.items()
    }


def _is(function: tuple[str, int, str], file: str, name: str) -> bool:
    return file in function[0].rpartition("/")[2] and function[2] == name


if __name__ == "__main__":
    main()
