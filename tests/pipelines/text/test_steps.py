"""The rules that split a text into reasoning steps."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from noise_search.errors import UserError
from noise_search.pipelines.arithmetic.tokens import new_tokenizer
from noise_search.pipelines.text.steps import parse_rule, splitter

TOKENIZER = new_tokenizer()


def split(rule: str, words: str) -> list[str]:
    """The steps of a text, told token by token."""
    ends = splitter(parse_rule(rule), TOKENIZER)
    ids: list[int] = TOKENIZER(words, add_special_tokens=False)["input_ids"]
    steps: list[str] = []
    step: list[int] = []
    for token in ids:
        step.append(token)
        if ends(step):
            steps.append(_decode(step))
            step = []
    return [*steps, _decode(step)] if step else steps


def _decode(ids: Sequence[int]) -> str:
    return str(TOKENIZER.decode(list(ids), skip_special_tokens=True))


@pytest.mark.parametrize(
    ("rule", "words", "steps"),
    [
        ("newline", "1 + 2\n3\n4", ["1 + 2\n", "3\n", "4"]),
        ("newline", "1\n\n2\n", ["1\n", "\n2\n"]),
        ("newline", "\n\n\n", ["\n\n\n"]),
        ("newline", "1 + 2", ["1 + 2"]),
        ("blank-line", "1\n2\n\n3\n\n", ["1\n2\n\n", "3\n\n"]),
        ("blank-line", "\n\n1\n\n2", ["\n\n1\n\n", "2"]),
        ("blank-line", "1\n2", ["1\n2"]),
        ("regex:= \\d", "1 = 2 = 3", ["1 = 2", " = 3"]),
        ("regex:answer", "answer 2\n3", ["answer ", "2\n3"]),
        ("regex:\\n\\d", "\n1\n2", ["\n1\n2"]),
        ("tokens:3", "1 + 2 + 3\n", ["1 + 2", " + 3\n"]),
        ("tokens:1", "1 + 2", ["1", " + ", "2"]),
        ("tokens:9", "1 + 2", ["1 + 2"]),
    ],
)
def test_where_steps_end(rule: str, words: str, steps: list[str]) -> None:
    assert split(rule, words) == steps


@pytest.mark.parametrize("rule", ["newline", "blank-line", "regex:\\d \\+", "tokens:2"])
def test_no_rule_loses_a_word(rule: str) -> None:
    words = "\n1 + 2\n\n\n3 * 4 = 12\n\nanswer 12\n"
    assert "".join(split(rule, words)) == words
    assert len(split(rule, words)) > 1


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("lines", "unknown rule 'lines'"),
        ("newlin", "did you mean 'newline'"),
        ("newline:2", "takes nothing after it"),
        ("blank-line:", "takes nothing after it"),
        ("tokens", "needs a number"),
        ("tokens:0", "whole number above 0"),
        ("tokens:-1", "whole number above 0"),
        ("tokens:1.5", "whole number above 0"),
        ("tokens:1234567", "whole number above 0"),
        ("regex", "needs a pattern"),
        ("regex:", "needs a pattern"),
        ("regex:(", "unterminated subpattern"),
        ("regex:a*", "matches where nothing is written"),
        ("regex:" + "a" * 501, "more than 500 characters"),
    ],
)
def test_what_is_no_rule_is_refused_in_one_line(rule: str, said: str) -> None:
    with pytest.raises(UserError) as refused:
        parse_rule(rule)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
