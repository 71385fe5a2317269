"""Training sequences for trying again: wrong attempts of the model itself, then the solution.

Snell et al. 2024 (arXiv:2408.03314), section 6.1: several answers to a question are sampled
independently; 0 to 4 wrong ones, the number uniform, stand in the context, the last of them close
to the right solution by edit distance, so that revising is more than ignoring what is there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from noise_search.pipelines.arithmetic.data import Example
from noise_search.pipelines.arithmetic.problems import (
    DEPTHS,
    answer_in,
    questions,
    solve,
    value,
)
from noise_search.pipelines.arithmetic.rollouts import solutions
from noise_search.pipelines.arithmetic.tokens import MOST_ATTEMPTS, prompt_text

__all__ = ["Failures", "collect", "edit_distance", "revision_example"]

_RIGHT = 0.3
"""Share of the examples with attempts in which one of them is right; the paper has none."""


@dataclass(frozen=True)
class Failures:
    """A question, its solution and wrong attempts with their edit distances to the solution."""

    question: str
    solution: str
    attempts: tuple[tuple[int, str], ...]


def edit_distance(a: str, b: str) -> int:
    """Levenshtein's distance (1966): insertions, deletions and substitutions of a character."""
    letters = np.array(list(b))
    ramp = np.arange(len(b) + 1)
    row = ramp
    for place, letter in enumerate(a, start=1):
        change = np.minimum(row[1:] + 1, row[:-1] + (letters != letter))
        # An insertion carries a value to the right at 1 a place: a running minimum.
        row = np.minimum.accumulate(np.concatenate([[place], change]) - ramp) + ramp
    return int(row[-1])


def collect(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    per_depth: int,
    samples: int,
    seed: int,
) -> list[Failures]:
    """Sample ``samples`` solutions to ``per_depth`` training questions of each depth.

    Temperature 1.  Questions without a wrong answer are left out.
    """
    rng = np.random.default_rng(seed)
    asked = [q for d in DEPTHS for q in questions(rng, d, per_depth, only_held_out=False)]
    prompts = [prompt_text(q) for q in asked for _ in range(samples)]
    written = solutions(model, tokenizer, prompts, 1.0, seed)
    found = []
    for place, question in enumerate(asked):
        answer, solution = str(value(question)), "\n".join(solve(question))
        texts = set(written[place * samples : (place + 1) * samples])
        wrong = sorted(text for text in texts if answer_in(text) != answer)
        if wrong:
            attempts = tuple((edit_distance(text, solution), text) for text in wrong)
            found.append(Failures(question, solution, attempts))
    return found


def revision_example(failures: Failures, rng: np.random.Generator) -> Example:
    """0 to 4 of the wrong attempts at random, the closest of them last, then the solution.

    In some of the examples the right solution takes the place of one of them, so that a right
    attempt is not always to be changed.
    """
    count = min(int(rng.integers(MOST_ATTEMPTS + 1)), len(failures.attempts))
    chosen = rng.choice(len(failures.attempts), size=count, replace=False)
    attempts = [failures.attempts[i] for i in chosen]
    if attempts:
        attempts.append(attempts.pop(attempts.index(min(attempts))))
    texts = [text for _, text in attempts]
    if rng.random() < _RIGHT and count:
        texts[int(rng.integers(count))] = failures.solution
    return Example(prompt_text(failures.question, texts), failures.solution)
