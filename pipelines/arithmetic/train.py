"""Train the built-in arithmetic model on one CPU core.

    python -m noise_search.pipelines.arithmetic.train base --out DIR/base
    python -m noise_search.pipelines.arithmetic.train revise --init DIR/base --out DIR/model

The first learns worked solutions, the second also to try again after wrong attempts of its own.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import LlamaForCausalLM

from noise_search.pipelines.arithmetic.data import Batch, Example, batches, plain_example
from noise_search.pipelines.arithmetic.model import export, load, new_model
from noise_search.pipelines.arithmetic.revisions import collect, revision_example
from noise_search.pipelines.arithmetic.tokens import new_tokenizer
from noise_search.pipelines.shapes.optim import Optimizers, learning_rate_factor

__all__ = ["Recipe", "fit", "main"]


@dataclass(frozen=True)
class Recipe:
    """``steps`` batches of at most ``tokens`` tokens; the rates fall linearly to zero."""

    steps: int
    tokens: int
    muon: float
    adamw: float
    seed: int


BASE = Recipe(steps=1800, tokens=4000, muon=1e-2, adamw=4e-3, seed=2024)
REVISE = Recipe(steps=600, tokens=5000, muon=6e-3, adamw=2e-3, seed=2025)

_QUESTIONS, _SAMPLES = 250, 8
"""Training questions of each depth, and solutions sampled to each, for the revisions."""

_PLAIN = 0.5
"""Share of the examples of the second stage that are as in the first."""


def fit(model: LlamaForCausalLM, data: Iterator[Batch], recipe: Recipe) -> None:
    """Train in place: mean cross-entropy of the labelled tokens."""
    # The names tell the optimiser which matrices are Muon's.
    parts = {
        "table": model.model.embed_tokens,
        "transformer_blocks": model.model.layers,
        "norm": model.model.norm,
    }
    optimizers = Optimizers(nn.ModuleDict(parts), recipe.muon, recipe.adamw)
    model.train()
    started, running = time.monotonic(), 0.0
    for step in range(recipe.steps):
        batch = next(data)
        loss = model(input_ids=batch.inputs, labels=batch.labels, use_cache=False).loss
        loss.backward()
        optimizers.step(learning_rate_factor(step, recipe.steps, recipe.steps))
        running += (loss.item() - running) / min(50, step + 1)
        if (step + 1) % 50 == 0:
            seconds = time.monotonic() - started
            print(f"step {step + 1}/{recipe.steps} loss {running:.4f} {seconds:.0f} s", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train the built-in arithmetic model.")
    parser.add_argument("stage", choices=("base", "revise"))
    parser.add_argument("--out", type=Path, required=True, help="folder of the model to write")
    parser.add_argument("--init", type=Path, help="folder of the base model (revise)")
    parser.add_argument("--steps", type=int, default=REVISE.steps, help="batches of revise")
    arguments = parser.parse_args()
    if (arguments.stage == "revise") != (arguments.init is not None):
        parser.error("revise starts from a base model, base from nothing: give --init to revise")
    return arguments


def _base() -> LlamaForCausalLM:
    model = new_model(BASE.seed)
    fit(model, batches(plain_example, new_tokenizer(), BASE.seed, BASE.tokens), BASE)
    return model


def _revise(folder: Path, steps: int) -> LlamaForCausalLM:
    model, tokenizer = load(folder)
    model.set_attn_implementation("eager")
    failures = collect(model, tokenizer, _QUESTIONS, _SAMPLES, REVISE.seed)
    attempts = sum(len(item.attempts) for item in failures)
    print(f"{attempts} wrong attempts at {len(failures)} questions", flush=True)

    def draw(rng: np.random.Generator) -> Example:
        if rng.random() < _PLAIN:
            return plain_example(rng)
        return revision_example(failures[rng.integers(len(failures))], rng)

    fit(model, batches(draw, tokenizer, REVISE.seed, REVISE.tokens), replace(REVISE, steps=steps))
    return model


def main() -> None:
    """Entry point of the command line."""
    arguments = _arguments()
    torch.set_num_threads(1)
    model = _base() if arguments.stage == "base" else _revise(arguments.init, arguments.steps)
    export(model, arguments.out)


if __name__ == "__main__":
    main()
