"""Servers that want to be asked otherwise: the first refusal says what to write in the spec."""

from __future__ import annotations

import json
from typing import Any

import pytest

from noise_search.problem import LostVerifierError
from noise_search.verifiers.judge_replies import advice
from noise_search.verifiers.loading import load
from tests.verifiers.judge_server import Judging, Response, grade, judge_server
from tests.verifiers.test_judge import picture, samples


@pytest.fixture
def loopback() -> bool:
    return True


def refusal(status: int, message: str, param: str | None, code: str | None = None) -> Response:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return status, {}, json.dumps({"error": error}).encode()


def reasoning(body: dict[str, Any]) -> Response | None:
    """OpenAI's models that think before they answer."""
    if "max_tokens" in body:
        return refusal(
            400,
            "Unsupported parameter: 'max_tokens' is not supported with this model. "
            "Use 'max_completion_tokens' instead.",
            "max_tokens",
            "unsupported_parameter",
        )
    if body.get("temperature", 1) != 1:
        return refusal(
            400,
            "Unsupported value: 'temperature' does not support 0 with this model. "
            "Only the default (1) value is supported.",
            "temperature",
            "unsupported_value",
        )
    return None


def free_alone(body: dict[str, Any]) -> Response | None:
    """A server that knows nothing of JSON."""
    kind = body.get("response_format", {}).get("type")
    said = {
        "json_schema": "This response_format type is unavailable now",
        "json_object": "'response_format.type' must be 'text'",
    }.get(kind)
    return None if said is None else (400, {}, json.dumps({"error": said}).encode())


LONG = {"length": "max_completion_tokens"}


@pytest.mark.parametrize(
    ("server", "options", "change"),
    [
        (reasoning, {}, "length=max_completion_tokens"),
        (reasoning, LONG, "temperature=none"),
        (free_alone, {}, "another answers=: schema, object or free"),
        (free_alone, {"answers": "object"}, "another answers=: schema, object or free"),
    ],
)
def test_the_first_refusal_ends_it_and_says_what_to_write(
    server: Any, options: dict[str, str], change: str
) -> None:
    judging = Judging(instead=server)
    with judge_server(judging), pytest.raises(LostVerifierError, match=r"^[^\n]*$") as caught:
        load(judging.spec(concurrency=1, **options)).score(samples(3))
    assert str(caught.value).endswith(f"; try {change}")
    assert len(judging.asked) == 1


@pytest.mark.parametrize(
    ("server", "options"),
    [
        (reasoning, {**LONG, "temperature": "none"}),
        (reasoning, {**LONG, "temperature": 1}),
        (free_alone, {"answers": "free"}),
    ],
)
def test_who_writes_that_is_answered(server: Any, options: dict[str, str]) -> None:
    judging = Judging(instead=server)
    with judge_server(judging):
        verifier = load(judging.spec(**options))
        scores = verifier.score(samples(2))
    assert [score.values[verifier.name] for score in scores] == [grade(picture(i)) for i in (0, 1)]


def test_what_is_left_to_the_server_is_not_sent_and_told_in_the_version() -> None:
    judging = Judging()
    spec = {"temperature": "none", "length": "max_completion_tokens", "max_tokens": 4000}
    with judge_server(judging):
        verifier: Any = load(judging.spec(**spec))
        verifier.score(samples(1))
    [asked] = judging.asked
    assert "temperature" not in asked.body
    assert "max_tokens" not in asked.body
    assert asked.body["max_completion_tokens"] == 4000
    assert verifier.card.version.endswith(" temperature=none max_tokens=4000")


@pytest.mark.parametrize(
    ("field", "message", "code", "change"),
    [
        ("max_tokens", "max_tokens is too large: 99. This model supports at most 9.", "x", None),
        ("max_tokens", "maximum context length is 4096 tokens", None, None),
        ("temperature", "temperature: must be at most 1", None, None),
        ("temperature", "Unsupported parameter: 'temperature'", None, "temperature=none"),
        ("temperature", "nope", "unsupported_parameter", "temperature=none"),
        ("max_completion_tokens", "Unrecognized request argument", None, "length=max_tokens"),
        ("response_format", "bad", None, "another answers=: schema, object or free"),
    ],
)
def test_advice_is_given_where_the_field_itself_is_refused(
    field: str, message: str, code: str | None, change: str | None
) -> None:
    status, _, body = refusal(400, message, field, code)
    assert (status, advice({field: 1}, body)) == (400, change)
    assert advice({}, body) is None  # what was not sent was not refused


def test_an_answer_that_was_cut_off_says_at_what() -> None:
    """As of a model that spends all its tokens on thoughts."""
    choice = {"message": {"content": ""}, "finish_reason": "length"}
    cut = json.dumps({"choices": [choice]}).encode()
    judging = Judging(instead=lambda body: (200, {}, cut))
    with judge_server(judging):
        [score] = load(judging.spec(attempts=2, max_tokens=77)).score(samples(1))
    assert score.failure is not None
    assert score.failure.endswith("an empty answer, cut off at max_tokens=77")


def test_a_model_that_will_not_answer_is_not_asked_for_long() -> None:
    message = {"content": None, "refusal": "I'm sorry, I can't help with that."}
    refused = json.dumps({"choices": [{"message": message}]}).encode()
    judging = Judging(instead=lambda body: (200, {}, refused))
    with judge_server(judging):
        [score] = load(judging.spec()).score(samples(1))
    assert len(judging.asked) == 3
    assert "I'm sorry" in str(score.detail)


def test_an_error_in_place_of_an_answer_is_told() -> None:
    body = json.dumps({"error": {"message": "the provider is away", "code": 502}}).encode()
    judging = Judging(instead=lambda _: (200, {}, body))
    with judge_server(judging):
        [score] = load(judging.spec()).score(samples(1))
    assert score.failure is not None
    assert "the provider is away" in score.failure
