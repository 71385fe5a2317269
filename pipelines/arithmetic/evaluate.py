"""Accuracy of the arithmetic model by depth, and what it gains by trying again.

python -m noise_search.pipelines.arithmetic.evaluate --questions 200
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from noise_search.pipelines.arithmetic.model import FOLDER, load
from noise_search.pipelines.arithmetic.problems import DEPTHS, answer_in, questions, value
from noise_search.pipelines.arithmetic.rollouts import solutions
from noise_search.pipelines.arithmetic.tokens import MOST_ATTEMPTS, prompt_text

__all__ = ["Player", "accuracy_by_depth", "main", "revision_figures", "right_by_revision"]


@dataclass(frozen=True)
class Player:
    """A model and its tokenizer."""

    model: LlamaForCausalLM
    tokenizer: PreTrainedTokenizerFast

    def right(self, asked: Sequence[str], texts: Sequence[str]) -> np.ndarray:
        """Whether each text ends with the true answer, (N,) bool."""
        return np.array([answer_in(t) == str(value(q)) for q, t in zip(asked, texts, strict=True)])

    def solve(self, prompts: Sequence[str], temperature: float, seed: int) -> list[str]:
        """One solution after each prompt."""
        return solutions(self.model, self.tokenizer, prompts, temperature, seed)


def accuracy_by_depth(
    player: Player, count: int, temperature: float, seed: int = 0
) -> dict[int, float]:
    """Share of right answers to ``count`` held-out questions of each depth, one solution each."""
    rng = np.random.default_rng(seed)
    asked = [q for depth in DEPTHS for q in questions(rng, depth, count)]
    right = player.right(asked, player.solve([prompt_text(q) for q in asked], temperature, seed))
    return dict(zip(DEPTHS, right.reshape(-1, count).mean(1).tolist(), strict=True))


def right_by_revision(player: Player, count: int, revisions: int, seed: int = 0) -> np.ndarray:
    """Whether attempt i at a held-out question is right, (7 * count, revisions + 1) bool.

    Temperature 1; the first attempt sees the question, each later one also the latest four.
    """
    rng = np.random.default_rng(seed)
    asked = [q for depth in DEPTHS for q in questions(rng, depth, count)]
    chains: list[list[str]] = [[] for _ in asked]
    for turn in range(revisions + 1):
        prompts = [prompt_text(q, chain) for q, chain in zip(asked, chains, strict=True)]
        written = player.solve(prompts, 1.0, seed + turn)
        for chain, text in zip(chains, written, strict=True):
            chain.append(text)
    return np.stack([player.right(asked, turn) for turn in zip(*chains, strict=True)], axis=1)


def revision_figures(right: np.ndarray) -> dict[str, float]:
    """Of (N, R) attempts: the shares spoiled and repaired by the next one, and right in any."""
    before, after = right[:, :-1], right[:, 1:]
    return {
        "right answers spoiled": float((before & ~after).sum() / before.sum()),
        "wrong answers repaired": float((~before & after).sum() / (~before).sum()),
        "right at least once": float(right.any(axis=1).mean()),
    }


def _line(name: str, rates: Sequence[float]) -> str:
    return f"{name:24}" + "".join(f"{100 * rate:7.1f}" for rate in rates) + "\n"


def main() -> None:
    """Entry point of the command line."""
    parser = argparse.ArgumentParser(description="Measure the arithmetic model, in percent.")
    parser.add_argument("folder", type=Path, nargs="?", default=FOLDER)
    parser.add_argument("--questions", type=int, default=100, help="held-out questions a depth")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    player, count = Player(*load(arguments.folder)), arguments.questions
    sys.stdout.write(f"{'depth':24}" + "".join(f"{d:7}" for d in DEPTHS) + "    all\n")
    for name, temperature in (("greedy", 0.0), ("temperature 1", 1.0)):
        rates = accuracy_by_depth(player, count, temperature, arguments.seed)
        sys.stdout.write(_line(name, [*rates.values(), float(np.mean(list(rates.values())))]))
    right = right_by_revision(player, count, MOST_ATTEMPTS, arguments.seed)
    sys.stdout.write(f"{'revision':24}" + "".join(f"{i:7}" for i in range(right.shape[1])) + "\n")
    sys.stdout.write(_line("right", right.mean(axis=0).tolist()))
    for depth, rows in zip(DEPTHS, right.reshape(len(DEPTHS), count, -1), strict=True):
        sys.stdout.write(_line(f"right at depth {depth}", rows.mean(axis=0).tolist()))
    for name, rate in revision_figures(right).items():
        sys.stdout.write(_line(name, [rate]))


if __name__ == "__main__":
    main()
