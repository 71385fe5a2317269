"""Search the noise of a diffusers pipeline that is already loaded.

Here it is the small one of the package; a Stable Diffusion, PixArt or FLUX pipeline is passed in
the same way, with a verifier such as "clip:ViT-L-14/openai".
"""

from __future__ import annotations

import sys
from pathlib import Path

import noise_search
from noise_search.pipelines import shapes
from noise_search.pipelines.shapes.pipeline import ShapesPipeline


def main(out: Path) -> None:
    """Search, print what it came to, and keep the picture with its recipe."""
    pipe = ShapesPipeline.from_pretrained(Path(shapes.__file__).parent / "flow")
    result = noise_search.search(
        pipe,
        "two red circles left of a blue square",
        verifier="shapes-clip",
        evaluate="shapes",
        search="prune",
        budget="64nfe",
        steps=8,
        guidance_scale=2.0,
        seed=0,
    )
    best = result.best
    if best is not None:
        print("score", best.scores, "held-out verdict", best.evaluation, "noise", best.noise)
        print("spent", result.spent.nfe, "NFE; best score by NFE:", result.curve())
    result.save(out)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/search-pipeline"))
