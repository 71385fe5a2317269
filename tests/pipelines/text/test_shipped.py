"""The decoder writes what transformers would have written, on the model that comes along."""

from __future__ import annotations

from typing import Any

import numpy as np
from transformers import AutoModelForCausalLM, AutoTokenizer

import noise_search
from noise_search.pipelines.arithmetic.problems import DEPTHS, questions
from noise_search.pipelines.arithmetic.tokens import prompt_text
from noise_search.pipelines.text.loading import ARITHMETIC


def test_greedy_texts_are_those_of_generate_on_200_questions() -> None:
    model: Any = AutoModelForCausalLM.from_pretrained(ARITHMETIC)
    tokenizer: Any = AutoTokenizer.from_pretrained(ARITHMETIC)
    rng = np.random.default_rng(77)
    asked = [q for depth in DEPTHS for q in questions(rng, depth, 29)][:200]
    found = noise_search.search(
        "arithmetic", asked, verifier="prm-random", temperature=0.0, budget="1calls"
    )
    assert len(found) == 200
    for question, result in zip(asked, found, strict=True):
        inputs = tokenizer(prompt_text(question), return_tensors="pt")
        whole = model.generate(**inputs, do_sample=False, max_new_tokens=128)[0]
        assert result.best is not None
        assert result.best.candidate.text is not None
        written = whole[inputs["input_ids"].shape[1] :].tolist()
        assert list(result.best.candidate.text.tokens) == written
