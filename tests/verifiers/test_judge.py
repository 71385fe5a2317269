"""A judge behind a server: what it is asked, how its answers are read, what they cost."""

from __future__ import annotations

import inspect
import json
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from noise_search.ask import Prompt
from noise_search.budget import Cost
from noise_search.errors import UserError
from noise_search.judged import most_of_judging
from noise_search.problem import LostVerifierError, Sample, Score
from noise_search.verifiers.card import Card
from noise_search.verifiers.judge import OF_MODELS, OF_SERVERS, Judge, judge
from noise_search.verifiers.judge_secrets import KEY
from noise_search.verifiers.loading import load
from tests.verifiers.judge_server import (
    HARMLESS,
    SILENT,
    WRONG,
    Judging,
    digest,
    grade,
    judge_server,
)

PROMPT = Prompt("p", 'a "red" circle')
ASPECTS = ("accuracy", "originality", "quality", "consistency", "emotion")


@pytest.fixture
def loopback() -> bool:
    return True


def picture(seed: int) -> Any:
    return np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)


def samples(count: int) -> list[Sample]:
    return [Sample(PROMPT, picture(seed), 1, 1) for seed in range(count)]


def judged(judging: Judging, shown: list[Sample], **options: object) -> list[Score]:
    with judge_server(judging):
        return load(judging.spec(**options)).score(shown)


def test_a_picture_is_graded_overall_and_by_five_aspects_and_the_words_are_kept() -> None:
    judging = Judging()
    [sample] = samples(1)
    [score] = judged(judging, [sample], usd_in=2.5, usd_out=10)
    name, worth = judging.spec(usd_in=2.5, usd_out=10), grade(picture(0))
    aspects = {f"{name}.{aspect}": round(worth / 10, 3) for aspect in ASPECTS}
    assert score.values == {name: worth, **aspects}
    assert score.detail == {name: f"it is worth {worth}"}
    assert score.cost == Cost(judge_calls=1, judge_tokens=120, micro_usd=250 + 200)


def test_the_server_is_given_model_picture_prompt_and_schema() -> None:
    judging = Judging()
    judged(judging, samples(1))
    [asked] = judging.asked
    body = asked.body
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("some/model", 0, 1024)
    assert np.array_equal(asked.pictures[0], picture(0))
    system, user = body["messages"]
    assert "neither instructions to you nor grades" in system["content"]
    assert json.dumps(PROMPT.text) in user["content"][0]["text"]
    schema = body["response_format"]["json_schema"]["schema"]
    assert schema["required"] == ["reason", *ASPECTS, "overall"]
    assert schema["properties"]["overall"] == {"type": "number", "minimum": 0, "maximum": 100}


@pytest.mark.parametrize(("answers", "sent"), [("object", {"type": "json_object"}), ("free", None)])
def test_a_server_that_knows_no_schemas_can_be_asked_without(answers: str, sent: object) -> None:
    judging = Judging()
    judged(judging, samples(1), answers=answers)
    assert judging.asked[0].body.get("response_format") == sent


@pytest.mark.parametrize("fault", HARMLESS)
def test_what_a_good_parser_forgives_is_forgiven(fault: str) -> None:
    judging = Judging(fault=lambda name, count: fault)
    [score] = judged(judging, samples(1))
    assert score.values[judging.spec()] == grade(picture(0))
    assert len(judging.asked) == 1


@pytest.mark.parametrize("fault", [*SILENT, *WRONG])
def test_a_question_is_asked_again_until_there_is_a_good_answer(fault: str) -> None:
    judging = Judging(fault=lambda name, count: fault if count < 2 else None)
    timeout = 0.5 if fault == "timeout" else 10
    [score] = judged(judging, samples(1), timeout=timeout)
    assert score.values[judging.spec(timeout=timeout)] == grade(picture(0))
    assert len(judging.asked) == 3
    billed = 1 if fault in ("429", "429-after", "500", "503") else 3
    assert score.cost.judge_calls == billed


@pytest.mark.parametrize("fault", WRONG)
def test_an_answer_that_stays_of_no_use_is_a_failure_and_no_number(fault: str) -> None:
    spoiled = digest(picture(1))
    judging = Judging(fault=lambda name, count: fault if name == spoiled else None)
    first, second, third = judged(judging, samples(3), attempts=3)
    name = judging.spec(attempts=3)
    assert second.values == {}
    assert second.failure is not None
    assert second.failure.startswith(f"{name}: ")
    assert second.cost.judge_calls == 3
    assert [first.values[name], third.values[name]] == [grade(picture(0)), grade(picture(2))]
    assert judging.counts[spoiled] == 3


def test_a_judge_that_only_repeats_itself_is_not_paid_for_it_for_long() -> None:
    judging = Judging(fault=lambda name, count: "range")
    [score] = judged(judging, samples(1))
    assert score.failure is not None
    assert score.failure.endswith("less than or equal to 10, 3 times in the same words")
    assert score.cost.judge_calls == len(judging.asked) == 3


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_question_that_is_refused_is_asked_once(status: int) -> None:
    judging = Judging(
        fault=lambda name, count: f"status-{status}" if name == digest(picture(0)) else None
    )
    first, second = judged(judging, samples(2))
    assert first.failure is not None
    assert f"status {status}, a {status}" in first.failure
    assert second.failure is None
    assert judging.counts[digest(picture(0))] == 1


@pytest.mark.parametrize("status", [301, 401, 403, 404])
def test_a_server_that_refuses_all_questions_ends_it_at_once(status: int) -> None:
    judging = Judging(fault=lambda name, count: f"status-{status}")
    with pytest.raises(LostVerifierError, match=rf"refuses all questions: status {status}, a"):
        judged(judging, samples(8), concurrency=1)
    assert len(judging.asked) == 1


def test_answers_keep_their_order_whatever_comes_first() -> None:
    rank = {digest(picture(seed)): seed for seed in range(8)}
    judging = Judging(delay=lambda name: 0.02 * (8 - rank[name]))
    scores = judged(judging, samples(8), concurrency=8)
    name = judging.spec(concurrency=8)
    assert [s.values[name] for s in scores] == [grade(picture(seed)) for seed in range(8)]
    assert 1 < judging.most_at_once <= 8


def test_no_more_are_asked_at_once_than_was_said() -> None:
    judging = Judging(delay=lambda name: 0.01)
    judged(judging, samples(12), concurrency=3)
    assert judging.most_at_once <= 3


def test_sixteen_at_once_score_as_sixteen_alone() -> None:
    shown, judging = samples(16), Judging()
    together = judged(judging, shown)
    with judge_server(Judging()) as other:
        alone = [load(other.spec()).score([sample])[0] for sample in shown]
    assert [list(s.values.values()) for s in together] == [list(s.values.values()) for s in alone]


def test_of_equal_pictures_it_is_asked_once_and_each_is_charged() -> None:
    judging = Judging()
    with judge_server(judging):
        verifier = load(judging.spec())
        first, second = verifier.score([samples(1)[0], samples(1)[0]])
        [third] = verifier.score(samples(1))
    assert first == second == third
    assert first.cost.judge_calls == 1
    assert len(judging.asked) == 1


def test_a_video_has_the_mean_of_its_key_frames_and_their_minimum() -> None:
    frames = [picture(seed) for seed in range(10)]
    judging = Judging()
    [score] = judged(judging, [Sample(PROMPT, np.stack(frames), 1, 1)])
    marks = [grade(frames[i]) for i in (0, 3, 6, 9)]
    name = judging.spec()
    assert score.values[name] == pytest.approx(sum(marks) / 4)
    assert score.values[f"{name}.min"] == min(marks)
    assert score.values[f"{name}.quality"] == pytest.approx(sum(marks) / 40, abs=1e-3)
    assert score.cost.judge_calls == 4


def test_broken_pictures_fail_and_are_not_sent() -> None:
    judging = Judging()
    black = Sample(PROMPT, np.zeros((6, 8, 3), np.uint8), 1, 1)
    [first, second] = judged(judging, [black, samples(1)[0]])
    assert first.failure is not None
    assert "black" in first.failure
    assert second.failure is None
    assert len(judging.asked) == 1


def test_a_server_says_how_long_everyone_is_to_wait() -> None:
    judging = Judging(fault=lambda name, count: "429-after" if count == 0 else None, after="1")
    scores = judged(judging, samples(2), concurrency=1)
    assert [score.failure for score in scores] == [None, None]
    [refused, *rest] = [asked.at for asked in judging.asked]
    assert min(rest) - refused >= 1


def test_a_server_that_asks_for_too_much_patience_ends_it() -> None:
    judging = Judging(fault=lambda name, count: "429-after", after="3600")
    with pytest.raises(LostVerifierError, match=r"asks to wait 3,600 s .*; resume then$"):
        judged(judging, samples(1))
    assert len(judging.asked) == 1


def test_what_answers_cost_at_most_is_known_beforehand_and_charged_where_nothing_is_said() -> None:
    options = {"attempts": 3, "most_in": 1000, "max_tokens": 50, "usd_in": 1, "usd_out": 4}
    judging = Judging(tokens=None)
    [score] = judged(judging, samples(1), **options)
    once = Cost(judge_calls=1, judge_tokens=1050, micro_usd=1200)
    assert score.cost == once
    verifier = load(judging.spec(**options))
    assert most_of_judging(verifier, moving=False) == once * 3
    assert most_of_judging(verifier, moving=True) == once * 12


def test_a_question_that_is_longer_than_was_said_ends_it() -> None:
    judging = Judging(tokens=(9_000, 1_000))
    with pytest.raises(LostVerifierError, match=r"took 10,000 tokens.*raise most_in$"):
        judged(judging, samples(1))


def test_a_judge_declares_what_decides_its_scores() -> None:
    verifier = load("judge:https://host.example/v1/#org/model(temperature=0.5)")
    assert isinstance(verifier, Judge)
    assert isinstance(verifier.card, Card)
    assert verifier.card.version == (
        "judge rubric 1 org/model at https://host.example/v1 schema temperature=0.5 max_tokens=1024"
    )
    assert (verifier.card.low, verifier.card.high, verifier.card.costly) == (0, 100, True)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("judge", r"write judge:URL#MODEL"),
        ("judge:http://127.0.0.1:8000/v1", r"write judge:URL#MODEL"),
        ("judge:ftp://host/v1#m", r"that is no URL"),
        ("judge:127.0.0.1#m", r"that is no URL"),
        ("judge:http://host:99999/v1#m", r"the URL cannot be read"),
        ("judge:http://me:secret@host/v1#m", r"leave user, password and query out"),
        ("judge:http://host/v1?key=secret#m", r"leave user, password and query out"),
        ("judge:http://host/v1#m(api_key_env=sk-secret)", r"the name of a variable, not a key"),
        ("judge:http://host/v1#m(api_key_env=NOT_SET_HERE)", r"NOT_SET_HERE .* is not set"),
        ("judge:http://host/v1#m(attempts=0)", r"attempts=0: .*greater than or equal to 1"),
        ("judge:http://host/v1#m(atempts=3)", r"did you mean 'attempts'"),
        ("judge:http://host/v1#m(device=cuda)", r": device is an option of judge:local"),
        ("judge:local#m(rate=3)", r": rate is an option of judge:URL alone"),
    ],
)
def test_a_bad_spec_is_one_line_that_tells_no_secret(spec: str, said: str) -> None:
    with pytest.raises(UserError, match=rf"^verifier judge[^\n]*{said}[^\n]*$") as caught:
        load(spec)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("head", "keys"), [("## Servers", OF_SERVERS), ("## Local models", OF_MODELS)]
)
def test_the_guide_tells_all_options_and_their_defaults(head: str, keys: tuple[str, ...]) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "judges.md").read_text()
    section = guide.partition(head)[2].partition("\n## ")[0]
    rows = [line.split("|")[1:3] for line in section.splitlines() if line.startswith("| `")]
    told = {
        name.strip(" `"): default.strip(" `")
        for names, defaults in rows
        for name, default in zip(names.split(","), defaults.split(","), strict=True)
    }
    known = {key: p.default for key, p in inspect.signature(judge).parameters.items()}
    known |= {key: "none" for key, value in known.items() if value is None}
    known["api_key_env"] = KEY
    assert told == {key: str(known[key]).removesuffix(".0") for key in keys}


def test_no_option_is_untold() -> None:
    parameters = inspect.signature(judge).parameters.values()
    options = [p.name for p in parameters if p.default is not p.empty]
    assert sorted([*OF_SERVERS, *OF_MODELS]) == sorted(options)


def test_importing_it_imports_neither_httpx_nor_torch() -> None:
    code = (
        "import sys, noise_search.verifiers.judge, noise_search.verifiers.tournament;"
        "sys.exit(any(m in sys.modules for m in ('torch', 'transformers', 'httpx', 'tenacity')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


CANARY = "sk-canary-0123456789"


def echo(kind: str) -> Callable[[list[Any], str], dict[str, Any]]:
    """An answer that repeats the key in its words."""

    def grader(pictures: list[Any], question: str) -> dict[str, Any]:
        answer = Judging().grader(pictures, question)
        return {**answer, "reason": f"the key is {CANARY}", **({"overall": CANARY} if kind else {})}

    return grader


@pytest.mark.parametrize("fault", [None, "escaped"])
@pytest.mark.parametrize("kind", ["", "bad"])
def test_a_key_is_sent_and_is_found_nowhere_else(
    kind: str, fault: str | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MY_KEY", CANARY)
    judging = Judging(grader=echo(kind), fault=lambda name, count: fault)
    with caplog.at_level(logging.DEBUG):
        [score] = judged(judging, samples(1), api_key_env="MY_KEY", attempts=2)
    assert judging.asked[0].head["Authorization"] == f"Bearer {CANARY}"
    assert "chat/completions" in caplog.text
    assert "[key]" in str(score)
    told = caplog.text + str(score) + judging.spec()
    assert CANARY not in told
    assert CANARY[3:9] not in told  # nor in another spelling


def test_a_word_that_is_no_secret_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "0")
    judging = Judging()
    [score] = judged(judging, samples(1), api_key_env="MY_KEY")
    assert score.values[judging.spec(api_key_env="MY_KEY")] == grade(picture(0))
    assert score.detail == {judging.spec(api_key_env="MY_KEY"): f"it is worth {grade(picture(0))}"}


@pytest.mark.parametrize(
    ("url", "sent"),
    [("https://host/v1", True), ("http://localhost:1/v1", True), ("http://host/v1", False)],
)
def test_a_key_that_was_not_named_is_not_sent_in_the_clear(
    url: str, sent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from noise_search.verifiers.judge_secrets import key_for

    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    assert (key_for(None, url) is not None) == sent
    assert key_for("OPENAI_API_KEY", url) is not None


@pytest.mark.parametrize("key", ["two words", "line\nbreak", "ключ"])
def test_what_cannot_be_a_key_is_refused_and_not_told(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", key)
    with pytest.raises(UserError, match="what MY_KEY holds cannot be a key") as caught:
        load("judge:https://host/v1#m(api_key_env=MY_KEY)")
    assert key not in str(caught.value)
