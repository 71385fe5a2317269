"""Verifiers of answers: exact, by computer algebra, and by the value of the question."""

from __future__ import annotations

import gc
import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from threading import Thread
from typing import Any

import numpy as np
import pytest

from noise_search.ask import Prompt
from noise_search.errors import UserError
from noise_search.problem import Sample, Score
from noise_search.text import Step, Text
from noise_search.verifiers.answers import Answered
from noise_search.verifiers.equivalence import Equivalence
from noise_search.verifiers.loading import check_answers, from_callable, load

BUSY = "9^{9^{9}}"


def written(answer: str | None, right: str | None, question: str = "3 + 4 * 2") -> Sample:
    text = Text((Step(f"so it is {answer}", (1, 2)),), answer, "stop")
    return Sample(Prompt("p", question, answer=right), None, 1, 1, text)


def values(spec: str, *pairs: tuple[str | None, str]) -> list[float]:
    scores = load(spec).score([written(answer, right) for answer, right in pairs])
    assert [score.failure for score in scores] == [None] * len(pairs)
    return [score.values[spec] for score in scores]


def test_exact() -> None:
    pairs = [("18", "18"), ("18", "#### 18"), ("1/2", "0.5"), ("18", "$18.00"), ("-18", "18")]
    assert values("exact", *pairs, (None, "18")) == [1.0, 0.0, 1.0, 1.0, 0.0, 0.0]


def test_arithmetic_knows_the_answer_itself() -> None:
    samples = [written("11", None), written("14", None), written("11.0", None), written(None, None)]
    scores = load("arithmetic").score(samples)
    assert [score.values["arithmetic"] for score in scores] == [1.0, 0.0, 1.0, 0.0]
    [score] = load("arithmetic").score([written("2", None, "How many?")])
    assert score.failure is not None
    assert score.failure.startswith("arithmetic: the prompt has no value: unknown '?', 'H'")
    [score] = load("arithmetic").score([written("2", None, "9" * 5000)])
    assert score.failure is not None


def test_math_sees_what_is_equal() -> None:
    pairs: list[tuple[str | None, str]] = [
        ("x^2+2x+1", "(x+1)^2"),
        (r"2\sqrt{2}", r"\sqrt{8}"),
        (r"\{2,1\}", r"\{1, 2\}"),
        ("1/2", r"\frac{1}{2}"),
        ("10", r"10\%"),
        (r"5\text{cm}", "5"),
        ("(B)", r"\text{B}"),
        ("x+1", "x+2"),
        ("18", "17"),
        (None, "17"),
        ("7} or \\boxed{5", "5"),
        ("no such thing", "5"),
    ]
    assert values("math", *pairs) == [1.0] * 7 + [0.0] * 5


def test_math_in_a_thread_has_its_limit_too() -> None:
    equal, found = Equivalence(limit=3.0), list[object]()

    def ask() -> None:
        with pytest.raises(ValueError, match=r"no verdict on '9\^\{9\^\{9\}\}' within 3 s"):
            equal(BUSY, "2")
        found.append(equal("x+x", "2x"))

    thread = Thread(target=ask)
    thread.start()
    thread.join()
    assert found == [True]
    assert equal("x+x", "2x")  # a process that a thread has started serves the others


def test_no_verdict_is_a_failure_of_one_sample() -> None:
    verifier = Answered("math", lambda prompt: prompt.answer or "", Equivalence(limit=3.0))
    scores = verifier.score([written(a, "2x") for a in ("x+x", BUSY, "2x", "3x")])
    assert [score.values.get("math") for score in scores] == [1.0, None, 1.0, 0.0]
    assert scores[1].failure == "math: no verdict on '9^{9^{9}}' within 3 s"


def test_a_helper_that_died_is_replaced_and_none_is_left() -> None:
    equal = Equivalence()
    assert equal("x+x", "2x")
    helper: Any = equal._helper
    helper.kill()
    helper.wait()
    with pytest.raises(ValueError, match="ended on 'x\\+x'"):
        equal("x+x", "2x")
    assert equal("x+x", "2x")
    helper = equal._helper
    del equal
    gc.collect()
    assert helper.returncode is not None


@pytest.mark.parametrize("spec", ["exact", "math", "arithmetic"])
def test_what_cannot_be_judged_is_a_failure(spec: str) -> None:
    picture = Sample(Prompt("p", "1 + 1", answer="2"), np.zeros((4, 4, 3), np.uint8), 1, 1)
    [score] = load(spec).score([picture])
    assert score == Score(failure=f"{spec}: it judges texts, and this is none")
    if spec != "arithmetic":
        [score] = load(spec).score([written("18", None)])
        assert score.failure is not None
        assert score.failure.startswith(f"{spec}: the prompt has no answer;")


def test_names_and_records() -> None:
    for spec, version in (("exact", "noise_search.answers.normal"), ("math", "math-verify ")):
        verifier: Any = load(spec)
        assert verifier.name == spec
        assert verifier.describe()["version"].startswith(version)
    for spec in ("exact:x", "math:x", "arithmetic:x", "exact(rule=auto)"):
        with pytest.raises(UserError, match=spec.partition("(")[0].partition(":")[0]):
            load(spec)


def test_missing_answers_are_named_before_anything_is_spent() -> None:
    known, unknown = Prompt("a", "1 + 1", answer="2"), Prompt("x", "What?")
    for spec in ("exact", "math", "arithmetic", "reward", "clip:ViT-L-14/openai"):
        check_answers(spec, [known])
    check_answers("reward", [unknown])
    said = "has no answer; --answer-column names the column that holds it"
    with pytest.raises(UserError, match=f"^evaluate exact: prompt 'x' {said}$"):
        check_answers("exact", [known, unknown])
    with pytest.raises(UserError, match=f"^verifier math: prompt 'x' {said}$"):
        check_answers("math", [unknown], "verifier")
    with pytest.raises(UserError, match=r"^evaluate arithmetic: prompt 'x' has no value: unknown"):
        check_answers("arithmetic", [known, unknown])


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("noise_search.verifiers.equivalence.find_spec", lambda name: None)
    line = r"needs math-verify; pip install 'noise-search\[math\]'$"
    with pytest.raises(UserError, match=f"^verifier math: {line}"):
        load("math")
    with pytest.raises(UserError, match=f"^evaluate math: {line}"):
        check_answers("math", [])


def test_a_function_is_shown_texts_where_the_model_writes() -> None:
    seen: list[Any] = []

    def length(texts: list[str], prompt: str) -> Sequence[float]:
        seen.append((texts, prompt))
        return [float(len(text)) for text in texts]

    samples = [written("1", None), written("1234", None)]
    scores = from_callable(length, batch=2).score(samples)
    assert [score.values for score in scores] == [{"length": 10.0}, {"length": 13.0}]
    assert seen == [(["so it is 1", "so it is 1234"], "3 + 4 * 2")]
    [score] = from_callable(lambda texts, prompt: [], "none").score(samples[:1])
    assert score.failure == "none gave 0 scores for 1 texts"


def test_neither_torch_nor_algebra_is_loaded_here() -> None:
    code = (
        "import sys; from noise_search.verifiers.loading import load; load('exact');"
        "load('arithmetic'); load('math');"
        "print([m for m in ('torch', 'sympy', 'math_verify') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
    assert importlib.util.find_spec("math_verify") is not None
