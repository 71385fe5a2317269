from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noise_search.pipelines.arithmetic.problems import DEPTHS, question, solve
from noise_search.pipelines.arithmetic.tokens import (
    MOST_ATTEMPTS,
    RETRY,
    new_tokenizer,
    prompt_text,
    vocabulary,
)

TOKENIZER = new_tokenizer()
texts = st.lists(
    st.sampled_from([*"0123456789+-*= \n", "answer", RETRY, " ", "\n"]), max_size=60
).map("".join)


@given(texts)
def test_every_text_of_the_language_comes_back_exactly(text: str) -> None:
    ids = TOKENIZER.encode(text)
    assert ids[0] == TOKENIZER.bos_token_id
    assert TOKENIZER.unk_token_id not in ids
    assert TOKENIZER.decode(ids, skip_special_tokens=True) == text
    plain = TOKENIZER.encode(text, add_special_tokens=False)
    assert ids[1:] == plain
    assert TOKENIZER.decode(plain) == text


def test_digits_are_grouped_from_the_right() -> None:
    assert TOKENIZER.tokenize("123 + 4567 - 89") == ["1", "23", " + ", "45", "67", " - ", "89"]


def test_ids_are_places_in_the_vocabulary() -> None:
    assert TOKENIZER.convert_ids_to_tokens(list(range(len(TOKENIZER)))) == vocabulary()
    assert TOKENIZER.convert_tokens_to_ids(RETRY) not in TOKENIZER.all_special_ids


def test_what_is_outside_the_language_is_unknown() -> None:
    assert TOKENIZER.unk_token_id in TOKENIZER.encode("3 + x")


def test_a_prompt_is_the_question_respelled_and_a_newline() -> None:
    assert prompt_text(" 3+4 *2") == "3 + 4 * 2\n"
    with pytest.raises(ValueError, match="unknown 'x'"):
        prompt_text("3 + x")


def test_a_revision_prompt_shows_the_latest_attempts_oldest_first() -> None:
    attempts = [f"1 + 1 = {n}\nanswer {n}" for n in range(6)]
    shown = prompt_text("1 + 1", attempts)
    assert shown == "1 + 1\n" + "".join(f"{a}\n{RETRY}\n" for a in attempts[-MOST_ATTEMPTS:])


def test_the_longest_revision_prompts_leave_room_for_a_solution() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        asked = question(rng, DEPTHS[-1])
        solution = "\n".join(solve(asked))
        used = TOKENIZER.encode(prompt_text(asked, [solution] * MOST_ATTEMPTS) + solution)
        assert len(used) < TOKENIZER.model_max_length
