"""Ma et al.'s oracle verifier (2501.09732): of each prompt's samples take what helps FID most."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import noise_search
from noise_search.pipelines.shapes.scenes import parse, render
from noise_search.verifiers.clip import Clip
from noise_search.verifiers.sets import Statistics, frechet

PROMPTS = ["a red circle", "a blue square", "two green triangles", "a yellow circle"]


def main(out: Path) -> None:
    """Choose greedily among four samples a prompt, and compare with the first of each."""
    found = noise_search.search("shapes", PROMPTS, budget="32nfe", top_k=4, out=out)
    pool = [[winner.pixels for winner in result.winners] for result in found]
    features = Clip.shipped().encoder.pictures
    real = [render(parse(p), np.random.default_rng(i)) for p in PROMPTS for i in range(50)]
    reference = Statistics.of(features(real))
    chosen: Statistics | None = None
    for pictures in pool:
        alone = [Statistics.of([row]) for row in features(pictures)]
        options = [one if chosen is None else chosen + one for one in alone]
        chosen = min(options, key=lambda one: frechet(one, reference))
    first = Statistics.of(features([result.first_pixels for result in found]))
    for name, one in (("the first", first), ("the oracle's choice", chosen or first)):
        print(f"FID of {name}: {frechet(one, reference):.4f}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/greedy-oracle"))
