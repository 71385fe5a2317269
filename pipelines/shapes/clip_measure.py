"""How well a CLIP-like verifier of the shapes judges: near misses, generated pictures, x0.

``python -m noise_search.pipelines.shapes.clip_measure --clip FOLDER --model FOLDER`` prints, for
held-out sentences only: the share of near misses told apart; the area under the ROC curve (AUC) of
right against wrong generated pictures *of one prompt*, which is what selection needs; the same for
the predictions of the clean picture at every step; and the accuracy of best-of-N.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noise_search.pipelines.shapes.clip_scenes import near_misses
from noise_search.pipelines.shapes.scenes import (
    CATEGORIES,
    caption,
    captions,
    held_out_captions,
    parse,
    render,
)
from noise_search.verifiers.clip import Clip
from noise_search.verifiers.shapes import is_correct

__all__ = [
    "Pool",
    "best_of",
    "draw_pool",
    "false_near_misses",
    "hard_negative_accuracy",
    "within_prompt_auc",
]

Pictures = NDArray[np.uint8]


@dataclass(frozen=True)
class Pool:
    """Generated pictures of P prompts, n each, over S steps.

    ``clean`` (S, P, n, 32, 32, 3): the prediction of the clean picture at each step, whose last is
    the picture itself; ``right`` (P, n): whether the evaluator accepts the picture.
    """

    prompts: list[str]
    clean: Pictures
    right: NDArray[np.bool_]


def false_near_misses(text: str, rng: np.random.Generator) -> list[str]:
    """At most one near miss of each kind that is certainly false of any picture of ``text``."""
    known = frozenset(captions())
    scene = parse(text)
    objects = sorted(map(str, scene.groups))
    found: list[str] = []
    for kind in near_misses(text, known):
        false = []
        for other in map(parse, kind):
            same = sorted(map(str, other.groups)) == objects
            turned = other.first == scene.first and None not in (scene.relation, other.relation)
            if not same or (turned and other.relation != scene.relation):
                false.append(caption(other))
        fresh = [other for other in false if other not in found]
        if fresh:
            found.append(fresh[int(rng.integers(len(fresh)))])
    return found


def hard_negative_accuracy(clip: Clip, sentences: int = 300, seed: int = 5) -> dict[str, float]:
    """How often a true picture fits its own sentence best of four, by category and "all"."""
    rng = np.random.default_rng(seed)
    texts = [str(text) for text in rng.permutation(held_out_captions())[:sentences]]
    hits: dict[str, list[bool]] = {}
    for text in texts:
        misses = false_near_misses(text, rng)
        picked = [misses[i] for i in rng.permutation(len(misses))[:3]]
        options = [text, *picked]
        scores = clip.similarity([render(parse(text), rng)] * len(options), options)
        hits.setdefault(parse(text).category, []).append(max(scores[1:]) < scores[0])
    every = [hit for group in hits.values() for hit in group]
    return {**{name: float(np.mean(hits[name])) for name in hits}, "all": float(np.mean(every))}


def draw_pool(
    pipeline: Any, prompts: Sequence[str], each: int, seed: int = 0, steps: int = 8
) -> Pool:
    """Generate with guidance 2, ``each`` pictures a prompt; noise is a function of ``seed``."""
    import torch

    pipeline.set_progress_bar_config(disable=True)
    clean = []
    for index, prompt in enumerate(prompts):
        noise = np.random.default_rng((seed, index)).standard_normal((each, 3, 32, 32), np.float32)
        seen = _predictions(pipeline, prompt, torch.from_numpy(noise), steps)
        clean.append(np.stack([_bytes(x0) for x0 in seen]))
    pictures = np.stack(clean, axis=1)
    right = [
        [is_correct(picture, prompt) for picture in row]
        for prompt, row in zip(prompts, pictures[-1], strict=True)
    ]
    return Pool(list(prompts), pictures, np.array(right))


def _predictions(pipeline: Any, prompt: str, noise: Any, steps: int) -> list[Any]:
    """Predictions of the clean latents (n, 3, 32, 32) at every step, read from the scheduler."""
    scheduler, seen = pipeline.scheduler, []
    original = scheduler.step

    def step(prediction: Any, t: Any, latents: Any, **options: Any) -> Any:
        result = original(prediction, t, latents, **options)
        if hasattr(scheduler, "sigmas"):  # x_t = (1 - s) x0 + s e, prediction = e - x0
            sigma = scheduler.sigmas[scheduler.step_index - 1]
            seen.append(latents - sigma * prediction)
        else:  # DDIM returns its prediction beside the next latents.
            seen.append(result[1])
        return result

    scheduler.step = step
    try:
        pipeline(
            prompt,
            num_inference_steps=steps,
            num_images_per_prompt=len(noise),
            latents=noise,
            output_type="latent",
        )
    finally:
        del scheduler.step
    return seen


def _bytes(latents: Any) -> Pictures:
    unit = (latents.float() / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).numpy()
    pictures: Pictures = np.rint(unit * 255).astype(np.uint8)
    return pictures


def scores_of(clip: Clip, pictures: Pictures, prompts: Sequence[str]) -> NDArray[np.float64]:
    """Scores (P, n) of pictures (P, n, 32, 32, 3) with the prompt of their row."""
    rows = [
        clip.similarity(list(row), [p] * len(row)) for p, row in zip(prompts, pictures, strict=True)
    ]
    return np.array(rows)


def auc(scores: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """The chance that a right one scores above a wrong one, ties counting half."""
    good, bad = scores[right][:, None], scores[~right][None, :]
    return float((good > bad).mean() + 0.5 * (good == bad).mean())


def within_prompt_auc(scores: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Mean AUC over the prompts that have both right and wrong pictures: (P, n), (P, n)."""
    mixed = [row for row in range(len(right)) if 0 < right[row].sum() < right.shape[1]]
    return (
        float(np.mean([auc(scores[row], right[row]) for row in mixed])) if mixed else float("nan")
    )


def best_of(scores: NDArray[np.float64], right: NDArray[np.bool_], count: int) -> float:
    """Accuracy of the best-scored of ``count``, over all disjoint blocks of the pool (P, n)."""
    blocks = right.shape[1] // count
    shape = (len(right), blocks, count)
    s, r = (values[:, : blocks * count].reshape(shape) for values in (scores, right))
    return float(np.take_along_axis(r, s.argmax(axis=2)[..., None], axis=2).mean())


def report(clip: Clip, pool: Pool) -> Mapping[str, str]:
    """The figures of the model card, by name."""
    kinds = np.array([parse(prompt).category for prompt in pool.prompts])
    final = scores_of(clip, pool.clean[-1], pool.prompts)
    out = {"single-sample accuracy": f"{pool.right.mean():.3f}"}
    out["AUC, all prompts pooled"] = f"{auc(final.ravel(), pool.right.ravel()):.3f}"
    out["AUC within prompt"] = f"{within_prompt_auc(final, pool.right):.3f}"
    for name in CATEGORIES:
        rows = kinds == name
        if rows.any():
            out[f"AUC within prompt, {name}"] = (
                f"{within_prompt_auc(final[rows], pool.right[rows]):.3f}"
            )
    steps = [scores_of(clip, clean, pool.prompts) for clean in pool.clean]
    out["AUC within prompt of x0 by step"] = " ".join(
        f"{within_prompt_auc(scores, pool.right):.3f}" for scores in steps
    )
    counts = [n for n in (1, 4, 16, 64) if n <= pool.right.shape[1]]
    out["best of " + "/".join(map(str, counts))] = " ".join(
        f"{best_of(final, pool.right, n):.3f}" for n in counts
    )
    out["oracle of the same"] = " ".join(
        f"{best_of(pool.right.astype(np.float64), pool.right, n):.3f}" for n in counts
    )
    return out


def balanced_prompts(count: int, seed: int) -> list[str]:
    """Held-out sentences, as equal a number of each category as there are."""
    rng = np.random.default_rng(seed)
    found: list[str] = []
    for name in CATEGORIES:
        texts = [text for text in held_out_captions() if parse(text).category == name]
        found += [texts[i] for i in rng.permutation(len(texts))[: -(-count // len(CATEGORIES))]]
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    import torch

    from noise_search.pipelines.shapes.pipeline import ShapesPipeline

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clip", type=Path, required=True, nargs="+", help="verifier folders")
    parser.add_argument("--model", type=Path, help="folder of a shapes pipeline")
    parser.add_argument("--prompts", type=int, default=60)
    parser.add_argument("--each", type=int, default=16, help="pictures a prompt")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    pool = None
    if options.model is not None:
        pipeline = ShapesPipeline.from_pretrained(options.model, dtype=torch.float32)
        prompts = balanced_prompts(options.prompts, options.seed)
        pool = draw_pool(pipeline, prompts, options.each, options.seed)
    for folder in options.clip:
        _print_figures(Clip.from_directory(folder), folder, pool)
    return 0


def _print_figures(clip: Clip, folder: Path, pool: Pool | None) -> None:
    say = sys.stdout.write
    say(f"{folder.name}\n")
    for name, share in hard_negative_accuracy(clip).items():
        say(f"  hard negatives, {name}: {share:.3f}\n")
    pictures = [render(parse(text), np.random.default_rng(0)) for text in held_out_captions()[:64]]
    begun = time.process_time()
    clip.similarity(pictures * 4, [captions()[0]] * 256)
    say(f"  CPU milliseconds a picture: {1000 * (time.process_time() - begun) / 256:.2f}\n")
    for name, figure in report(clip, pool).items() if pool is not None else ():
        say(f"  {name}: {figure}\n")


if __name__ == "__main__":
    raise SystemExit(main())
