"""Guide a search by a function of your own: pictures and their prompt in, one number each out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

import noise_search


def warmth(images: Sequence[Image.Image], prompt: str) -> list[float]:
    """How much more red than blue there is; more is better, whatever the prompt says."""
    means = [np.asarray(image, dtype=float).mean(axis=(0, 1)) for image in images]
    return [float(red - blue) for red, _, blue in means]


def main(out: Path) -> None:
    """The warmest of some pictures, and whether it still shows what was asked for."""
    result = noise_search.search(
        "shapes",
        "a red circle and a blue square",
        verifier=warmth,
        evaluate="shapes",  # held out: a search may please its verifier and miss the prompt
        budget="64nfe",
        seed=0,
        out=out,
    )
    if result.best is not None:
        print("warmth", result.best.scores, "right picture:", result.best.evaluation)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/own-verifier"))
