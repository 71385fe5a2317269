"""What `vqa` saves by reading a picture once, and what it would save by other sharing.

InternVL3-1B with random weights and half of its layers; pictures of one tile. Three things are set
against reading every pair of picture and prompt as a whole, in interleaved calls of one process:

* prompts about one picture share it, as `vqa` does;
* pictures share what stands before them, the template's first tokens (only tried here);
* pictures share the question too, were it asked before the picture (only tried here; it would be
  another number than VQAScore's).

    python benchmarks/shared_prefix.py
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from common import save
from transformers import DynamicCache

sys.path.insert(0, str(Path(__file__).parents[1]))  # the checkpoints of the tests

from noise_search.verifiers.judge_models import Seeing
from noise_search.verifiers.models import Place
from noise_search.verifiers.vqa import QUESTION, Vqa
from tests.verifiers.vision import write_internvl

TOWER = {
    "hidden_size": 1024,
    "num_hidden_layers": 12,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
}
TEXT = {
    "vocab_size": 151674,
    "hidden_size": 896,
    "num_hidden_layers": 12,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "intermediate_size": 4864,
    "max_position_embeddings": 32768,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
SIDE = 448
PROMPTS = [
    "a red circle above a blue square",
    "two brown dogs and a cat on a green sofa",
    "an astronaut riding a horse on the moon",
    "a photo of three yellow cups",
]


def main() -> None:
    """Measure and write `benchmarks/results/shared_prefix.json`."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--repeat", type=int, default=3)
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--device", default="cpu")
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    with TemporaryDirectory() as temporary:
        words = sorted({w for text in [QUESTION, *PROMPTS] for w in spoken(text)})
        known = ["user", "assistant", *words]
        folder = write_internvl(Path(temporary), TOWER, TEXT, SIDE, known, strong=0.02)
        model = Seeing(folder, Place(given.device, "float32", len(PROMPTS)))
    prompts = by_prompts(Vqa(model), given.repeat)
    pictures = by_pictures(model, given.repeat)
    settings = {"device": given.device, "threads": given.threads, "repetitions": given.repeat}
    architecture = {
        "architecture": "InternVL3-1B, 12 of 24 layers",
        "side": SIDE,
        "batch": len(PROMPTS),
    }
    print(save("shared_prefix.json", {**settings, **architecture, **prompts, **pictures}))


def spoken(text: str) -> list[str]:
    """Words as a tokenizer of real size has them: one token each, with the blank before."""
    plain = "".join(letter if letter.isalpha() else " " for letter in text)
    return [form for word in plain.split() for form in (word, f"Ġ{word}")]


def by_prompts(verifier: Vqa, repeat: int) -> dict[str, Any]:
    """Four prompts about one picture, which is read once; or about four, which are not."""
    tokens: list[int] = []

    def see(_: object, __: object, known: dict[str, Any]) -> None:
        tokens.append(known["input_ids"].numel())

    def ask(seeds: Sequence[int]) -> None:
        verifier.likelihoods([picture(seed) for seed in seeds], PROMPTS)

    ask([0] * 4)  # whether it can is tried once
    handle = verifier.model.model.register_forward_pre_hook(see, with_kwargs=True)
    counts: dict[str, int] = {}
    for name, seeds in (("whole", [0, 1, 2, 3]), ("shared", [0] * 4)):
        tokens.clear()
        ask(seeds)
        counts[name] = sum(tokens)
    handle.remove()
    runs = {"whole": lambda: ask([0, 1, 2, 3]), "shared": lambda: ask([0] * 4)}
    if counts["shared"] >= counts["whole"]:
        raise SystemExit("nothing was shared")
    return {"prompts_of_a_picture": {"tokens": counts, **compared(runs, "shared", repeat)}}


def by_pictures(model: Seeing, repeat: int) -> dict[str, Any]:
    """Four pictures of one prompt: what stands before a picture is read once for all of them."""
    question = QUESTION.format(prompt=PROMPTS[0])
    found: dict[str, Any] = {}
    for name, text in (("head", model.question(question)), ("question_first", turned(model))):
        inputs = model.encoded([text] * 4, [[picture(seed)] for seed in range(4)])
        ids: Any = inputs["input_ids"]
        mark = model.processor.image_token_id
        length = int((ids[0] == mark).nonzero()[0])
        runs = {
            "whole": partial(read, model, inputs, 0),
            "shared": partial(read, model, inputs, length),
        }
        share = {"tokens": ids.shape[1], "before_the_picture": length}
        found[name] = {**share, **compared(runs, "shared", repeat)}
    return {"pictures_of_a_prompt": found}


def turned(model: Seeing) -> str:
    """The question before the picture."""
    whole = model.question(QUESTION.format(prompt=PROMPTS[0]))
    mark = model.processor.image_token
    text = QUESTION.format(prompt=PROMPTS[0])
    return whole.replace(text, "").replace(mark, f"{text}\n{mark}")


def read(model: Seeing, inputs: dict[str, Any], length: int) -> Any:
    """Logits of what comes next, where so many first tokens are read once for all rows."""
    cache: Any = DynamicCache(config=model.model.config)
    ids = inputs["input_ids"]
    with torch.inference_mode():
        if length:
            model.model(input_ids=ids[:1, :length], cache=cache, use_cache=True, logits_to_keep=1)
            cache.batch_repeat_interleave(len(ids))
        rest = {"input_ids": ids[:, length:], "pixel_values": inputs["pixel_values"]}
        return model.model(**rest, cache=cache, use_cache=True, logits_to_keep=1).logits


def compared(
    runs: Mapping[str, Callable[[], object]], name: str, repeat: int
) -> dict[str, dict[str, float]]:
    """Seconds of each, and what one takes of the other, call by call."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    seconds: dict[str, list[float]] = {key: [] for key in runs}
    for i in range(repeat):
        for key in list(runs)[:: 1 if i % 2 else -1]:
            began = clock()
            runs[key]()
            seconds[key].append(clock() - began)
    ratios = [a / b for a, b in zip(seconds[name], seconds["whole"], strict=True)]
    middle = {key: round(statistics.median(row), 2) for key, row in seconds.items()}
    band = {"median": statistics.median(ratios), "least": min(ratios), "greatest": max(ratios)}
    return {"seconds": middle, "ratio": {key: round(value, 3) for key, value in band.items()}}


def picture(seed: int) -> Any:
    """A picture of one tile."""
    shape = (SIDE, SIDE, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


if __name__ == "__main__":
    main()
