"""What the verifier layer costs beside the model that it asks, and what a shared tower saves.

Towers of real size with random weights, 16 pictures of 512 x 512 a batch, no picture twice; the
sentences are known, as a search asks for few. The bare model is its own preprocessing and its
forward on the batch. The layer's own part is what a call takes beside these two, by clocks around
them in the same call: a machine that slows down slows both. What a shared tower saves is a median
of ratios of interleaved calls. Seconds are the processor's on a CPU, as others may work there too.

    python benchmarks/verifiers.py
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import open_clip
import torch
from common import save
from PIL import Image
from safetensors.torch import save_file

from noise_search.ask import Prompt
from noise_search.problem import Sample
from noise_search.verifiers.clip import Encoder
from noise_search.verifiers.clip_files import load_directory
from noise_search.verifiers.loading import load
from noise_search.verifiers.models import Models, Place

BATCH, SIDE = 16, 512
WANTED = {"overhead": 0.03, "saving": 0.45}
HEADS = {"ViT-B-32": "aesthetic:v1", "ViT-L-14": "aesthetic:v2"}


def main() -> None:
    """Measure and write `benchmarks/results/verifiers.json`."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--repeat", type=int, default=9)
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--device", default="cpu")
    options.add_argument("--models", nargs="+", default=["ViT-B-32"], choices=list(HEADS))
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    rows = [measured(name, given.repeat, given.device) for name in given.models]
    settings = {"device": given.device, "threads": given.threads, "repetitions": given.repeat}
    record = {**settings, "batch": BATCH, "side": SIDE, "wanted": WANTED, "towers": rows}
    print(save("verifiers.json", record))


def measured(name: str, repeat: int, device: str) -> dict[str, Any]:
    """The figures of one tower."""
    found: dict[str, Any] = {"tower": name}
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write(name, folder)
        model, pixels = bare(folder, device)
        options = f"batch={BATCH},device={device}"
        clip = f"clip:{folder}({options})"
        aesthetic = f"{HEADS[name]}(tower={folder},{options})"
        runs: dict[str, Callable[[Sequence[Sample]], object]] = {
            "forward": lambda shown: model(pixels(shown)),
            "clip": load(clip, Models()).score,
            "aesthetic": load(aesthetic, Models()).score,
            "rank": load(f"rank({clip},{aesthetic})", Models()).score,
        }
        clock = time.process_time if device == "cpu" else time.perf_counter
        seconds = interleaved(runs, pixels, repeat, clock)
        for key, spec in (("clip", clip), ("aesthetic", aesthetic)):
            found[f"overhead_of_{key}"] = band(overheads(spec, folder, device, repeat, clock))
    found["ms_an_image"] = {
        key: round(1000 * statistics.median(row) / BATCH, 2) for key, row in seconds.items()
    }
    triples = zip(seconds["rank"], seconds["clip"], seconds["aesthetic"], strict=True)
    found["saving_of_rank"] = band([1 - a / (b + c) for a, b, c in triples])
    print(found, flush=True)
    return found


def overheads(
    spec: str, folder: Path, device: str, repeat: int, clock: Callable[[], float]
) -> list[float]:
    """The layer's own part of each call, over that of the model and its preprocessing."""
    within = 0.0

    def timed(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def call(given: Any) -> Any:
            nonlocal within
            began = clock()
            answer = function(given)
            if device != "cpu":
                torch.cuda.synchronize(device)
            within += clock() - began
            return answer

        return call

    place = Place(device, "float32", BATCH)
    towers = load_directory(folder, place)
    towers = replace(towers, image=timed(towers.image), pixels=timed(towers.pixels))
    models = Models()
    models.get(("clip", folder.resolve(), place), lambda: Encoder(towers, place))
    score, found = load(spec, models).score, list[float]()
    for i in range(-1, repeat):
        shown, within, began = samples(i), 0.0, clock()
        score(shown)
        found.append((clock() - began - within) / within)
    return found[1:]


def write(name: str, folder: Path) -> None:
    """A tower of random weights, in open_clip's format."""
    torch.manual_seed(0)
    model = open_clip.create_model(name, pretrained=None)
    config: Any = open_clip.get_model_config(name)
    whole = {"model_cfg": config, "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(whole))
    state = {key: value.contiguous() for key, value in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors", {"format": "pt"})


def bare(folder: Path, device: str) -> tuple[Callable[..., object], Callable[..., Any]]:
    """The forward of a batch to the host's memory, and the model's own preprocessing."""
    model, _, prepare = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    model.eval().requires_grad_(False).to(device)

    def pixels(shown: Sequence[Sample]) -> Any:
        return torch.stack([prepare(Image.fromarray(np.asarray(s.pixels))) for s in shown])

    def forward(values: Any) -> object:
        with torch.inference_mode():
            return model.encode_image(values.to(device)).cpu()

    return forward, pixels


def interleaved(
    runs: dict[str, Callable[[Sequence[Sample]], object]],
    pixels: Callable[[Sequence[Sample]], object],
    repeat: int,
    clock: Callable[[], float],
) -> dict[str, list[float]]:
    """Seconds of each, in alternating order, after one round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in ("preprocessing", *runs)}
    for i in range(-1, repeat):
        shown = samples(i)
        for name, run in [("preprocessing", pixels), *list(runs.items())[:: 1 if i % 2 else -1]]:
            began = clock()
            run(shown)
            if i >= 0:
                seconds[name].append(clock() - began)
    return seconds


def samples(seed: int) -> list[Sample]:
    """Pictures that nobody has seen, of sentences that everybody has."""
    numbers = np.random.default_rng(seed + 1)
    shape = (BATCH, SIDE, SIDE, 3)
    pictures = numbers.integers(0, 255, shape, dtype=np.uint8)
    prompts = [Prompt(f"p{i}", f"a photo of {i} cats") for i in range(BATCH)]
    return [Sample(p, picture, 1, 1) for p, picture in zip(prompts, pictures, strict=True)]


def band(values: Sequence[float]) -> dict[str, float]:
    """The median, the least and the greatest."""
    found = {"median": statistics.median(values), "least": min(values), "greatest": max(values)}
    return {key: round(value, 4) for key, value in found.items()}


if __name__ == "__main__":
    main()
