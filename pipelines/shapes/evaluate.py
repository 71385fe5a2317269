"""Single-sample accuracy of a shapes pipeline, a category at a time.

python -m noise_search.pipelines.shapes.evaluate DIR/flow --samples 300
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from noise_search.pipelines.shapes.pipeline import ShapesPipeline
from noise_search.pipelines.shapes.scenes import CATEGORIES, captions, held_out_captions, parse
from noise_search.verifiers.shapes import is_correct

__all__ = ["Accuracy", "accuracy_by_category", "generate", "prompts_of"]

_Z = 1.96


@dataclass(frozen=True)
class Accuracy:
    """``right`` of ``tried`` pictures; the band is Wilson's 95 % interval (1927)."""

    right: int
    tried: int

    @property
    def rate(self) -> float:
        """The share that is right, in [0, 1]."""
        return self.right / self.tried

    @property
    def band(self) -> tuple[float, float]:
        """The 95 % interval of the rate."""
        n, p = self.tried, self.rate
        middle = (p + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
        half = _Z / (1 + _Z**2 / n) * (p * (1 - p) / n + _Z**2 / (4 * n * n)) ** 0.5
        return middle - half, middle + half

    def __str__(self) -> str:
        low, high = self.band
        return f"{100 * self.rate:5.1f} [{100 * low:.1f}, {100 * high:.1f}]  n = {self.tried}"


def prompts_of(category: str, count: int, seed: int, only_held_out: bool = True) -> list[str]:
    """``count`` sentences of one category, each as often as any other to within one."""
    source = held_out_captions() if only_held_out else captions()
    texts = [text for text in source if parse(text).category == category]
    rng = np.random.default_rng(seed)
    rounds = [rng.permutation(len(texts)) for _ in range(-(-count // len(texts)))]
    return [texts[i] for i in np.concatenate(rounds)[:count]]


def generate(
    pipeline: ShapesPipeline,
    prompts: Sequence[str],
    seeds: Sequence[int],
    steps: int = 8,
    guidance: float = 2.0,
    batch: int = 16,
) -> np.ndarray:
    """Pictures (N, 32, 32, 3) uint8, the i-th from ``prompts[i]`` and ``seeds[i]``."""
    pictures = []
    for start in range(0, len(prompts), batch):
        chosen = slice(start, start + batch)
        out = pipeline(
            list(prompts[chosen]),
            num_inference_steps=steps,
            guidance_scale=guidance,
            generator=[torch.Generator("cpu").manual_seed(s) for s in seeds[chosen]],
            output_type="np",
            return_dict=False,
        )
        pictures.append(np.rint(np.asarray(out[0]) * 255).astype(np.uint8))
    return np.concatenate(pictures)


def accuracy_by_category(
    pipeline: ShapesPipeline,
    samples: int,
    seed: int = 0,
    steps: int = 8,
    guidance: float = 2.0,
    only_held_out: bool = True,
) -> Mapping[str, Accuracy]:
    """Accuracy on ``samples`` pictures of each category, and of "all" categories together."""
    result = {}
    for index, category in enumerate(CATEGORIES):
        prompts = prompts_of(category, samples, seed, only_held_out)
        first = (seed * len(CATEGORIES) + index) * samples
        images = generate(pipeline, prompts, range(first, first + samples), steps, guidance)
        right = sum(map(is_correct, images, prompts))
        result[category] = Accuracy(right, samples)
    total = sum(item.right for item in result.values())
    return {**result, "all": Accuracy(total, samples * len(CATEGORIES))}


def main() -> None:
    """Entry point of the command line."""
    parser = argparse.ArgumentParser(description="Measure a shapes pipeline.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--samples", type=int, default=200, help="pictures a category")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--guidance", type=float, default=2.0)
    parser.add_argument("--training-captions-too", action="store_true")
    arguments = parser.parse_args()
    pipeline = ShapesPipeline.from_pretrained(arguments.folder, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    table = accuracy_by_category(
        pipeline,
        arguments.samples,
        arguments.seed,
        arguments.steps,
        arguments.guidance,
        not arguments.training_captions_too,
    )
    for name, accuracy in table.items():
        sys.stdout.write(f"{name:9}{accuracy}\n")


if __name__ == "__main__":
    main()
