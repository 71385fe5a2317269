"""What the decoder of texts is worth beside `generate` of transformers, and beside forgetting.

Three figures. Speed: tokens a second over those of `generate`, with repetitions of both
interleaved, so that a machine that slows down slows both; prompts are read anew in each. Rows:
rows of forwards over tokens of texts that end at different lengths, padding apart. Prefixes:
tokens that a beam search computes, over the same search with a decoder that keeps nothing, and
with rows that each read all they come from.

    python benchmarks/text_decoding.py
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from common import save

import noise_search.pipelines
from noise_search.pipelines.text.decoder import Decoder

SHIPPED = Path(str(noise_search.pipelines.__file__)).parent / "arithmetic" / "model"
REPEATS = {1: 5, 4: 3, 16: 2, 64: 1}  # Short runs are noisier: times `--repeat`, by batch.
WANTED = {1: 2.0, 4: 2.0, 16: None, 64: 1.0}
PROMPT, NEW = 24, 96


class Text:
    """Writes so many tokens, by seeded numbers or, without a seed, by likelihood."""

    def __init__(
        self, context: Sequence[int], count: int, seed: int | None, tokens: Sequence[int] = ()
    ) -> None:
        self.context, self.tokens, self.count = context, tokens, count
        self.new: list[int] = []
        self._numbers = None if seed is None else random.Random(seed)  # noqa: S311

    def uniform(self) -> float | None:
        """The number that decides the next token."""
        return None if self._numbers is None else self._numbers.random()

    def take(self, token: int) -> bool:
        """Count it."""
        self.new.append(token)
        return len(self.new) < self.count


def main() -> None:
    """Measure and write `benchmarks/results/text_decoding.json`."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--repeat", type=int, default=9)
    options.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    given = options.parse_args()
    transformers.logging.set_verbosity_error()
    name, model = load()
    record = {
        "model": name,
        "transformers": transformers.__version__,
        "prompt": PROMPT,
        "new": NEW,
        "wanted": {str(batch): least for batch, least in WANTED.items() if least},
        "speed": [row for n in given.threads for row in speeds(model, n, given.repeat)],
    }
    torch.set_num_threads(1)
    record |= {"rows": rows(model), "prefixes": prefixes(model)}
    print(record["rows"], record["prefixes"], save("text_decoding.json", record), sep="\n")


def load() -> tuple[str, Any]:
    """The built-in model, or a random one of its shape where it is not there."""
    if (SHIPPED / "config.json").is_file():
        model = transformers.AutoModelForCausalLM.from_pretrained(SHIPPED, dtype=torch.float32)
        name = "arithmetic"
    else:
        torch.manual_seed(0)
        name = "random weights in the shape of arithmetic"
        model = transformers.LlamaForCausalLM(
            transformers.LlamaConfig(
                vocab_size=232,
                hidden_size=128,
                intermediate_size=320,
                num_hidden_layers=4,
                num_attention_heads=4,
                num_key_value_heads=2,
                max_position_embeddings=512,
                tie_word_embeddings=True,
            )
        )
    # Texts of one length, and no processors of logits that would slow `generate`.
    model.generation_config = transformers.GenerationConfig(pad_token_id=0)
    return name, model.eval()


def prompts(model: Any, count: int, length: int = PROMPT) -> list[list[int]]:
    """Random prompts."""
    numbers = torch.Generator().manual_seed(count)
    size = (count, length)
    found: list[list[int]] = torch.randint(
        1, model.config.vocab_size, size, generator=numbers
    ).tolist()
    return found


def speeds(model: Any, threads: int, repeat: int) -> list[dict[str, Any]]:
    """Tokens a second of both, by batch, greedily and by chance."""
    torch.set_num_threads(threads)
    decoder = Decoder(model, width=64, keep=0)
    found = []
    for batch, least in WANTED.items():
        texts = prompts(model, batch)
        for sampled in (False, True):
            runs = {
                "decoder": lambda t=texts, s=sampled: own(decoder, t, s),
                "generate": lambda t=texts, s=sampled: theirs(model, t, s),
            }
            seconds = interleaved(runs, repeat * REPEATS[batch])
            rates = {k: [batch * NEW / t for t in v] for k, v in seconds.items()}
            medians = {k: statistics.median(v) for k, v in rates.items()}
            pairs = [a / b for a, b in zip(rates["decoder"], rates["generate"], strict=True)]
            row = {
                "threads": threads,
                "repetitions": repeat * REPEATS[batch],
                "batch": batch,
                "sampled": sampled,
                "tokens_per_second": {k: round(v) for k, v in medians.items()},
                "ratio_of_medians": round(medians["decoder"] / medians["generate"], 3),
                "median_of_paired_ratios": round(statistics.median(pairs), 3),
                "least_and_greatest": [round(min(pairs), 3), round(max(pairs), 3)],
                "wanted": least,
                "tile": decoder.tile,
                "exact": decoder.exact,
            }
            print(row, flush=True)
            found.append(row)
    return found


def interleaved(runs: dict[str, Callable[[], None]], repeat: int) -> dict[str, list[float]]:
    """Seconds of each, in alternating order, after one run of each that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for i in range(-1, repeat):
        for name, run in list(runs.items())[:: 1 if i % 2 else -1]:
            began = time.perf_counter()
            run()
            if i >= 0:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def own(decoder: Decoder, texts: Sequence[Sequence[int]], sampled: bool) -> None:
    """One batch of the decoder."""
    decoder.extend([Text(text, NEW, i if sampled else None) for i, text in enumerate(texts)])


def theirs(model: Any, texts: Sequence[Sequence[int]], sampled: bool) -> None:
    """One batch of transformers."""
    ids = torch.tensor(texts)
    out = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=sampled,
        max_new_tokens=NEW,
        **({"top_k": 0} if sampled else {}),
    )
    if out.shape[1] != PROMPT + NEW:
        raise RuntimeError(f"{out.shape[1] - PROMPT} tokens are not {NEW}")


def rows(model: Any) -> dict[str, Any]:
    """Rows of forwards of a ragged batch, over its tokens."""
    decoder = Decoder(model, width=64)
    texts = [Text(p, 8 + 2 * i, i) for i, p in enumerate(prompts(model, 64))]
    decoder.extend(texts)
    tokens = sum(text.count for text in texts)
    return {
        "tokens": tokens,
        "rows": decoder.fed,
        "rows_per_token": decoder.fed / tokens,
        "padding_per_token": round(decoder.padded / tokens, 4),
        "rows_if_none_left": 64 * max(text.count for text in texts),
    }


def prefixes(model: Any) -> dict[str, Any]:
    """Tokens that a beam search computes with prefixes kept, with none kept, and read anew."""
    kept, anew = (beam(model, keep) for keep in (256 << 20, 0))
    draws, steps, step = 16, 8, 8
    each = draws * sum(PROMPT + i * step + step for i in range(steps))
    return {
        "search": {"prompt": PROMPT, "draws": draws, "width": 4, "steps": steps, "step": step},
        "tokens_with_prefixes": kept,
        "tokens_made_again_once_a_call": anew,
        "tokens_read_anew_by_each": each,
        "cheaper_than_made_again": round(anew / kept, 3),
        "cheaper_than_read_anew": round(each / kept, 3),
        "wanted": 1.5,
    }


def beam(model: Any, keep: int) -> int:
    """Sixteen draws a step from four beams, eight steps of eight tokens; tokens computed."""
    decoder = Decoder(model, width=16, keep=keep)
    [prompt] = prompts(model, 1)
    beams: list[list[int]] = [[]] * 4
    for step in range(8):
        texts = [Text(prompt, 8, 100 * step + i, beams[i % 4]) for i in range(16)]
        decoder.extend(texts)
        texts.sort(key=lambda text: sum(text.new))  # As good a score as any.
        beams = [[*text.tokens, *text.new] for text in texts[:4]]
    return decoder.read + decoder.fed


if __name__ == "__main__":
    main()
