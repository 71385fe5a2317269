"""Train the built-in shapes models on one CPU core.

    python -m noise_search.pipelines.shapes.train flow --out DIR
    python -m noise_search.pipelines.shapes.train ddim --init DIR/flow --out DIR

Writes a pipeline folder ``DIR/flow`` or ``DIR/ddim`` that ``ShapesPipeline.from_pretrained``
loads.  A checkpoint every few minutes lets an interrupted training go on where it was.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor

from noise_search.pipelines.shapes.components import ddim_scheduler, new_tokenizer
from noise_search.pipelines.shapes.data import EARLY_WEIGHTS, LATE_WEIGHTS, Batch, SceneBatches
from noise_search.pipelines.shapes.evaluate import accuracy_by_category
from noise_search.pipelines.shapes.export import export
from noise_search.pipelines.shapes.losses import (
    Denoiser,
    NoiseLoss,
    flow_loss,
    new_denoiser,
)
from noise_search.pipelines.shapes.optim import (
    ExponentialAverage,
    Optimizers,
    learning_rate_factor,
)
from noise_search.pipelines.shapes.pipeline import ShapesPipeline

__all__ = ["Recipe", "main", "train"]

Loss = Callable[[Denoiser, Batch, torch.Generator], Tensor]


@dataclass(frozen=True)
class Recipe:
    """``steps`` batches at the given rates, which fall to zero over the last ``decay`` of them.

    The decay is also where the shares of the categories change from early to late, and
    where the fraction ``confusion`` of the relations in the pictures is drawn at random.
    """

    steps: int
    decay: int
    muon: float
    adamw: float
    seed: int
    batch: int = 64
    confusion: float = 0.45


FLOW = Recipe(steps=3700, decay=640, muon=2e-3, adamw=1.5e-3, seed=2024)
DDIM = Recipe(steps=2400, decay=1200, muon=1e-3, adamw=7.5e-4, seed=2025, confusion=0.75)


def fast_attention(model: Denoiser) -> None:
    """Explicit attention: at 64 tokens on a CPU its backward is 4 times as fast as the fused."""
    model.transformer.set_attn_processor(AttnProcessor())
    model.text_encoder.set_attn_implementation("eager")


def train(model: Denoiser, loss: Loss, recipe: Recipe, checkpoint: Path, every: float) -> None:
    """Train in place, going on from ``checkpoint`` where there is one; ends on the average."""
    fast_attention(model)
    optimizers = Optimizers(model, recipe.muon, recipe.adamw)
    average = ExponentialAverage(model)
    first = 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizers.load(saved["optimizers"])
        average.load(saved["average"])
        first = saved["step"]
    # A resumed run draws new pictures instead of replaying those already seen.
    seed, tokenizer = recipe.seed + first, new_tokenizer()
    early = SceneBatches(tokenizer, EARLY_WEIGHTS, seed)
    late = SceneBatches(tokenizer, LATE_WEIGHTS, seed, confusion=recipe.confusion)
    generator = torch.Generator().manual_seed(seed)
    started = saved_at = time.monotonic()
    running = 0.0
    for step in range(first, recipe.steps):
        batches = early if step < recipe.steps - recipe.decay else late
        with torch.autocast("cpu", dtype=torch.bfloat16):
            value = loss(model, batches.draw(recipe.batch), generator)
        value.backward()
        optimizers.step(learning_rate_factor(step, recipe.steps, recipe.decay))
        average.update(model)
        running += (value.item() - running) / min(100, step - first + 1)
        if (step + 1) % 100 == 0:
            seconds = time.monotonic() - started
            print(f"step {step + 1}/{recipe.steps} loss {running:.4f} {seconds:.0f} s", flush=True)
        if time.monotonic() - saved_at > every or step + 1 == recipe.steps:
            saved_at = time.monotonic()
            _save(checkpoint, model, optimizers, average, step + 1)
    model.load_state_dict(average.weights)


def _save(
    path: Path, model: Denoiser, optimizers: Optimizers, average: ExponentialAverage, step: int
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {
        "model": model.state_dict(),
        "optimizers": optimizers.state(),
        "average": average.state(),
        "step": step,
    }
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train the built-in shapes models.")
    parser.add_argument("model", choices=("flow", "ddim"))
    parser.add_argument("--out", type=Path, required=True, help="folder of the pipeline folders")
    parser.add_argument("--init", type=Path, help="pipeline folder to start from (ddim)")
    parser.add_argument(
        "--checkpoints", type=Path, default=Path(tempfile.gettempdir()) / "noise-search-shapes"
    )
    parser.add_argument("--every", type=float, default=180.0, help="seconds between checkpoints")
    return parser.parse_args()


def _start(kind: str, init: Path | None) -> tuple[Denoiser, Loss, Recipe]:
    if kind == "flow":
        return new_denoiser(FLOW.seed), flow_loss, FLOW
    if init is None:
        raise SystemExit("ddim starts from a trained flow: give its folder as --init")
    pipeline = ShapesPipeline.from_pretrained(init, dtype=torch.float32)
    model = Denoiser(pipeline.text_encoder, pipeline.transformer)
    return model, NoiseLoss(ddim_scheduler()), DDIM


def main() -> None:
    """Entry point of the command line."""
    arguments = _arguments()
    torch.set_num_threads(1)
    model, loss, recipe = _start(arguments.model, arguments.init)
    checkpoint = arguments.checkpoints / f"{arguments.model}.pt"
    train(model, loss, recipe, checkpoint, arguments.every)
    folder = arguments.out / arguments.model
    export(model, arguments.model, folder)
    pipeline = ShapesPipeline.from_pretrained(folder, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    for name, accuracy in accuracy_by_category(pipeline, samples=100).items():
        print(f"{name:9}{accuracy}")


if __name__ == "__main__":
    main()
