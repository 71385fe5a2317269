"""What searching any diffusers pipeline costs, beside a bare loop and beside what users write.

Three ways to make so many pictures of one prompt with one pipeline:

* ``bare``: the pipeline called with whole batches, and nothing else;
* ``search``: a random search by `noise_search.search`, with a verifier that costs nothing, its
  noises by name, its candidates, checks and records;
* ``each``: what users write today, ``pipe(prompt, generator=...)`` for each candidate, encoding
  the prompt each time.

Repetitions are interleaved, so that a machine that slows down slows all. Where the time goes is
measured in one more run of each way, with the device waited for before and after each model. On
CPUs it takes the tiny random checkpoints of the tests; ``--full sdxl`` and ``--full flux`` build
the published architectures with random weights, for a GPU of 80 GB.

    python benchmarks/pipelines.py
    python benchmarks/pipelines.py --full sdxl --device cuda --dtype bfloat16 --each 8 --repeat 3
    python benchmarks/pipelines.py --full flux --device cuda --dtype bfloat16 --each 8 --repeat 3
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # the checkpoints of the tests

from common import save
from full_size import FULL

import noise_search
from noise_search.pipelines.calls import denoisers
from noise_search.pipelines.signatures import DECODERS
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
    """Measure and write `benchmarks/results/pipelines.json`, or that of a full size."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--kinds", nargs="*", default=TINY, choices=sorted(KINDS))
    options.add_argument("--full", choices=sorted(FULL))
    options.add_argument("--size", type=int, default=1024, help="sides of full-size pictures")
    options.add_argument("--steps", type=int, default=4, help="of full-size models")
    options.add_argument("--device", default="cpu")
    options.add_argument("--dtype", default="float32", help="of full-size models")
    options.add_argument("--batch", type=int, default=8)
    options.add_argument("--count", type=int, default=64, help="candidates")
    options.add_argument("--each", type=int, help="candidates of a call each; as many by default")
    options.add_argument("--repeat", type=int, default=5)
    given = options.parse_args()
    if given.count % given.batch:
        options.error("--count must be whole batches, as the bare loop makes no others")
    warnings.simplefilter("ignore")
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in [given.full] if given.full else given.kinds:
            subject = _full(name, given) if given.full else _tiny(name, Path(folder))
            found[name] = measured(subject, given)
            print(f"{name}: {found[name]['ratios']}", flush=True)
    record = {
        "ratios": "NFE a second of the search over the other's; medians of pairs",
        "wanted": {"search / bare (GPU)": 0.97, "search / each (few steps)": 2.0},
        "pipelines": found,
        **{key: getattr(given, key) for key in ("batch", "count", "device")},
        "dtype": given.dtype if given.full else "float32",
        **({"size": given.size} if given.full else {}),
    }
    if _graphic(given.device):
        card = torch.cuda.get_device_properties(given.device)
        record["gpu"] = f"{card.name}, {card.total_memory / 2**30:.0f} GiB"
    path = save(f"pipelines_{given.full}.json" if given.full else "pipelines.json", record)
    print(path)


def _tiny(name: str, folder: Path) -> Subject:
    kind = KINDS[name]
    return Subject(load(kind, folder), kind.steps, kind.arguments, kind.prompts[0])


def _full(name: str, given: argparse.Namespace) -> Subject:
    pipe = FULL[name](getattr(torch, given.dtype), given.device).to(given.device)
    pipe.set_progress_bar_config(disable=True)
    return Subject(pipe, given.steps, {"height": given.size, "width": given.size})


def _graphic(device: str) -> bool:
    return torch.device(device).type == "cuda"


def measured(subject: Subject, given: argparse.Namespace) -> dict[str, Any]:
    """Rates of the three ways, their ratios, and where their time goes."""
    counts = {"bare": given.count, "search": given.count, "each": given.each or given.count}
    ways: dict[str, Callable[[int], None]] = {
        "bare": lambda i: bare(subject, given.batch, given.count, i),
        "search": lambda i: search(subject, given.batch, given.count, i),
        "each": lambda i: each(subject, counts["each"], i),
    }
    wait: Callable[[], None] = torch.cuda.synchronize if _graphic(given.device) else _nothing
    peaks: dict[str, float] = {}
    for name, way in ways.items():  # a first time: kernels are chosen, memory is asked for
        gc.collect()
        if _graphic(given.device):
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(given.device)
        way(-1)
        if _graphic(given.device):
            peaks[name] = round(torch.cuda.max_memory_allocated(given.device) / 2**30, 2)
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for i in range(given.repeat):
        turned = list(ways.items())[i % 3 :] + list(ways.items())[: i % 3]
        for name, way in turned:
            wait()
            began = time.perf_counter()
            way(i)
            wait()
            rates[name].append(counts[name] * subject.steps / (time.perf_counter() - began))
    pairs = {
        f"search / {name}": [s / o for s, o in zip(rates["search"], rates[name], strict=True)]
        for name in ("bare", "each")
    }
    return {
        "steps": subject.steps,
        "nfe_per_second": {k: round(statistics.median(v), 2) for k, v in rates.items()},
        "ratios": {k: round(statistics.median(v), 3) for k, v in pairs.items()},
        "spread": {k: [round(min(v), 3), round(max(v), 3)] for k, v in pairs.items()},
        "milliseconds_a_candidate": {
            name: spent(subject, partial(way, given.repeat), counts[name], wait)
            for name, way in ways.items()
        },
        **({"gpu_peak_gib": peaks} if peaks else {}),
    }


def _nothing() -> None:
    """A host has nothing to wait for."""


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


def spent(
    subject: Subject, way: Callable[[], None], count: int, wait: Callable[[], None]
) -> dict[str, float]:
    """Where a way's time goes, in milliseconds a candidate: in the models, and beside them."""
    parts = subject.pipe.components.items()
    models = {name: part for name, part in parts if isinstance(part, torch.nn.Module)}
    told: dict[str, list[Any]] = {
        "denoiser": [models[name] for name in denoisers(subject.pipe)],
        "encoding": [part for name, part in models.items() if name.startswith("text_encoder")],
        "decoding": [part.decoder for name, part in models.items() if name.startswith(DECODERS)],
    }
    seconds: dict[str, float] = defaultdict(float)
    with timed(told, seconds, wait):
        wait()
        began = time.perf_counter()
        way()
        wait()
        whole = time.perf_counter() - began
    found = {**seconds, "rest": whole - sum(seconds.values())}
    return {name: round(1000 * found.get(name, 0.0) / count, 2) for name in (*told, "rest")}


@contextmanager
def timed(
    told: Mapping[str, Sequence[Any]], seconds: dict[str, float], wait: Callable[[], None]
) -> Iterator[None]:
    """Count the seconds that modules take."""
    began: list[float] = []
    hooks = []

    def before(*_: Any) -> None:
        wait()
        began.append(time.perf_counter())

    for name, modules in told.items():

        def after(*_: Any, name: str = name) -> None:
            wait()
            seconds[name] += time.perf_counter() - began.pop()

        for module in modules:
            hooks += [module.register_forward_pre_hook(before)]
            hooks += [module.register_forward_hook(after)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


if __name__ == "__main__":
    main()
