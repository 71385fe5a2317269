"""An ordinary diffusers script, and the ten lines that make it search for better noise.

It runs with the small model of the package; put any other `DiffusionPipeline` in its place, with a
verifier such as "clip:ViT-L-14/openai" or a function of your own.
"""

import sys
from pathlib import Path

import noise_search
from noise_search.pipelines import shapes
from noise_search.pipelines.shapes.pipeline import ShapesPipeline

PROMPT = "two red circles left of a blue square"


def main(out: Path) -> None:
    """Draw once as before, then search, and keep the best picture with its recipe."""
    pipe = ShapesPipeline.from_pretrained(Path(shapes.__file__).parent / "flow")
    out.mkdir(parents=True)
    pipe(PROMPT, num_inference_steps=8).images[0].save(out / "before.png")

    result = noise_search.search(
        pipe,
        PROMPT,
        verifier="shapes-clip",  # what "better" means: a spec, or f(images, prompt)
        search="prune",  # how to look for it: `noise-search list searches`
        budget="64nfe",  # what it may cost: here as much as 8 whole samples
        steps=8,
        on_candidate=lambda c: print(f"  {c.noise}, stage {c.stage}:", c.failure or c.scores),
    )
    print("best:", result.best and result.best.scores, "for", result.spent.nfe, "NFE")
    result.save(out)  # images/best.png holds its recipe; candidates.jsonl those of all others


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/my-program"))
