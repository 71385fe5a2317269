"""Answers: where texts say them, one spelling for equal values, and the flags of GSM8K."""

from __future__ import annotations

import json
import lzma
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noise_search.answers import MOST_CHARACTERS, RULES, Rule, extract, known, normal
from noise_search.candidate import Candidate
from noise_search.noise import Gaussian
from noise_search.ranking import ByScore, Final, voting
from noise_search.text import Text

GSM8K = Path(__file__).parents[1] / "data" / "gsm8k" / "solutions.jsonl.xz"

SPELLINGS = {
    "1/2": ["1/2", r"\frac{1}{2}", "0.5", ".50", r"\dfrac12", r"\tfrac 1 2", "2/4", r"50 \%"],
    "-1/2": ["-1/2", r"-\frac{1}{2}", r"\frac{-1}{2}", "1/-2", "\u22120.5", "- 0.5", r"-\$.50"],
    "1/10": [r"10\%", "10%", r"\frac{1}{10}", "0.1", "10 percent", r"$10\%$"],
    "10": [r"\$10", "$10", "$10$", r"$\$10$", "10.", "10.00", "+10", "\u20ac10", "10 dollars"],
    "1000": ["1,000", r"1,\!000", "1{,}000", r"1\,000", "$1,000.00", r"\text{1000}", "**1,000**"],
    "5/2": ["2.5", "2 1/2", r"2\frac{1}{2}", r"2\frac12", r"2 \frac{1}{2}", "5/2", "250%"],
    "0": ["0", "-0", "0.000", "0/7", r"\(0\)", r"\[ 0 \]", "{0}"],
    "(1,2)": ["(1,2)", "(1, 2)", r"\left(1,\,2\right)", "$(1, 2)$", "( 1 , 2 )."],
    "x+1": ["x+1", "x + 1", "$x+1$", r"\text{x + 1}"],
}  # fmt: skip


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_equal_answers_have_one_spelling(spelling: str) -> None:
    assert {normal(answer) for answer in SPELLINGS[spelling]} == {spelling}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x^2+2x+1", "(x+1)^2"),  # that takes algebra
        ("10", "10%"),
        ("1,00", "100"),
        ("(1, 200)", "1,200"),
        ("1 000", "1 1/0"),
        ("3 4", "34"),
        ("1/0", "0"),
        ("18 eggs", "18"),
        ("1e999999999", "1e99999999"),
        ("a b", "ab"),
    ],
)
def test_answers_that_are_kept_apart(one: str, other: str) -> None:
    assert normal(one) != normal(other)


def candidate(answer: str, number: int, score: float = 0.0) -> Candidate:
    return Candidate(
        name=f"c{number}",
        prompt="p",
        noise=Gaussian(number),
        steps=1,
        stage=1,
        scores={"v": score},
        text=Text(answer=normal(answer), ending="stop"),
    )


@pytest.mark.parametrize(
    ("answers", "scores", "final", "wanted"),
    [
        (["1/2", r"\frac{1}{2}", "0.5", "3", "3"], [0.0] * 5, "majority", "1/2"),
        (["1/2", r"\frac{1}{2}", "3"], [0.3, 0.3, 0.5], "weighted", "1/2"),
        (["1/2", r"\frac{1}{2}", "3"], [0.3, 0.3, 0.5], "best", "3"),
    ],
)
def test_votes_agree_with_the_values_of_search_and_learn(
    answers: list[str], scores: list[float], final: Final, wanted: str
) -> None:
    found = [candidate(a, i, s) for i, (a, s) in enumerate(zip(answers, scores, strict=True))]
    assert voting(ByScore("v"), final, found)[0].answer == wanted


def plain(value: Fraction) -> st.SearchStrategy[str]:
    """Spellings of one value."""
    above, below = value.numerator, value.denominator
    ways = [
        st.just(f"{above}/{below}"),
        st.builds(lambda k: f"{above * k}/{below * k}", st.integers(1, 99)),
        st.just(rf"\frac{{{above}}}{{{below}}}"),
        st.just(f"{value * 100}%" if (value * 100).denominator == 1 else str(value)),
    ]
    if 10**6 % below == 0:
        ways.append(st.just(f"{value.numerator * (10**6 // below) / 10**6:,.6f}"))
    if below == 1:
        ways += [st.just(f"{above:,}"), st.just(f"{above}.00")]
    wraps = ["{}", " {} ", "${}$", r"\text{{{}}}", r"\({}\)", "{}.", "**{}**", r"\left{}\right"]
    return st.builds(lambda wrap, said: wrap.format(said), st.sampled_from(wraps), st.one_of(ways))


@given(st.data(), st.fractions(-10_000, 10_000, max_denominator=1000))
def test_equal_values_are_spelled_alike(data: st.DataObject, value: Fraction) -> None:
    assert normal(data.draw(plain(value))) == str(value)


HOSTILE = st.text(
    alphabet="0123456789.,/%$\\{}()[]-+*_~ \nfractextbox\u2212\u0663\ud800", max_size=60
)


@given(st.one_of(st.text(), HOSTILE))
def test_normal_never_raises_and_is_idempotent(answer: str) -> None:
    once = normal(answer)
    assert normal(once) == once
    assert all(
        found is None or normal(found) == found for found in (extract(answer, r) for r in RULES)
    )
    known(answer)


@pytest.mark.parametrize(
    "piece",
    ["1", "{", "}", r"\boxed{", "1,", ",000", "1/", "9%", "$", "-", " ", "\n", "answer is ", "~",
     "#### ", "A: 1\n", r"\frac{", r"\!", r"\text{", "answer ", "**", "1 ", ".", "1e", "\\"],
)  # fmt: skip
def test_a_million_characters_are_no_harm(piece: str) -> None:
    for size in (MOST_CHARACTERS, 10**6):
        words = (piece * size)[:size]
        assert normal(normal(words)) == normal(words)
        for rule in RULES:
            extract(words, rule)


@pytest.mark.parametrize(
    ("rule", "words", "answer"),
    [
        ("gsm8k", "2/2 = 1\n#### 18", "18"),
        ("gsm8k", "2/2 = 1\n#### $1,450,000\n", "1450000"),
        ("gsm8k", "so 9\nA: 18\nA: 26", "26"),
        ("gsm8k", "A: -2.5", "-5/2"),
        ("gsm8k", "A: 1\n#### 2", "2"),
        ("gsm8k", "it is <<4/12=0.333", None),
        ("gsm8k", "see a: 5 or #### none", None),
        ("boxed", r"first \boxed{3}, then \boxed{\frac{3}{4}}.", "3/4"),
        ("boxed", r"$\boxed{\text{(B)}}$", "(B)"),
        ("boxed", r"\boxed{x \in \{1, 2\}}", r"x\in\{1,2\}"),
        ("boxed", r"\boxed{7} and \boxed{8", "7"),
        ("boxed", r"\boxed{\boxed{5}}", "5"),
        ("boxed", r"\boxed{}", None),
        ("boxed", "boxed{5}", None),
        ("answer", "Answer: 1\nThe answer is 18. I hope it is correct.", "18"),
        ("answer", "3 * 4 = 12\nanswer 12", "12"),
        ("answer", "**Final Answer:** **1,200**", "1200"),
        ("answer", r"The final answer is: $\boxed{-5}$.", "-5"),
        ("answer", "the answer is 18 eggs per day.", "18"),
        ("answer", "the answer is 3 or 4", "3 or 4"),
        ("answer", "ANSWER:\n\n x + 1", "x+1"),
        ("answer", "the answer is 5, because it has to be", "5"),
        ("answer", "answer the question", None),
        ("answer", "the answer is", None),
        ("number", "16 - 3 = 13 eggs, 26 dollars.", "26"),
        ("number", "from -2 to 5-3", "3"),
        ("number", "so it is 3/4 of H2O", "3/4"),
        ("number", r"it is \frac{1}{3}", "1/3"),
        ("number", "that makes 10%", "10"),
        ("number", "costs $1,234.50.", "2469/2"),
        ("number", "none at all", None),
        ("auto", r"Answer: 1. #### 2 \boxed{3} 4", "3"),
        ("auto", "Answer: 1.\n#### 2\n4", "2"),
        ("auto", "Answer: 1.\nThat took 4 lines", "1"),
        ("auto", "That took 4 lines", "4"),
        ("auto", "", None),
    ],
)  # fmt: skip
def test_where_a_text_says_its_answer(rule: Rule, words: str, answer: str | None) -> None:
    assert extract(words, rule) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Janet sells 16 - 3 - 4 = 9.\n#### 18", "18"),
        ("so 9 * 2 = 18\nA: 18", "18"),
        (r"We get $x = \boxed{\frac{1}{2}}$.", "1/2"),
        ("2 * 3 = 6\nanswer 6", "6"),
        (" 1,000 ", "1,000"),
        ("no. 5", "no. 5"),
        ("", None),
        ("\n", None),
    ],
)
def test_right_answers_in_a_table(text: str, answer: str | None) -> None:
    assert known(text) == answer


def test_all_flags_of_the_solutions_to_gsm8k() -> None:
    with lzma.open(GSM8K, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    verdicts = [
        (extract(solution, "gsm8k") == known(row["answer"]), flag)
        for row in rows
        for solution, flag in zip(row["solutions"], row["is_correct"], strict=True)
    ]
    assert len(verdicts) == 4 * 1319
    assert sum(flag for _, flag in verdicts) == 2001
    assert [i for i, (found, flag) in enumerate(verdicts) if found != flag] == []
