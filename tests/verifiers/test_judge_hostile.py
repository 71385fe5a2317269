"""Servers, proxies and environments that mean no good, or are broken in ways nobody thought of."""

from __future__ import annotations

import gzip
import json
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from noise_search.problem import LostVerifierError, Score
from noise_search.verifiers.judge_replies import reply_of, seconds_in
from noise_search.verifiers.judge_secrets import address
from noise_search.verifiers.loading import load
from tests.verifiers.judge_runs import run
from tests.verifiers.judge_server import Judging, grade, grades, judge_server
from tests.verifiers.test_judge import picture, samples

CANARY = "sk-canary-hostile-0123456"


@pytest.fixture
def loopback() -> bool:
    return True


def answered(body: bytes, head: dict[str, str] | None = None, **options: object) -> Score:
    judging = Judging(instead=lambda _: (200, head or {}, body))
    with judge_server(judging):
        [score] = load(judging.spec(attempts=2, **options)).score(samples(1))
    return score


def good(**changes: object) -> bytes:
    content = json.dumps({**grades([picture(0)], ""), **changes})
    return json.dumps({"choices": [{"message": {"content": content}}]}).encode()


def usage(tokens: str) -> bytes:
    told = f'"usage": {{"prompt_tokens": {tokens}, "completion_tokens": 1}}'.encode()
    return good()[:-1] + b", " + told + b"}"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_key_does_not_follow_to_another_server(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", CANARY)
    with judge_server(Judging()) as other:
        head = {"Location": f"{other.url}/chat/completions"}
        judging = Judging(instead=lambda _: (status, head, b""))
        with judge_server(judging), pytest.raises(LostVerifierError, match=f"status {status}$"):
            load(judging.spec(api_key_env="MY_KEY")).score(samples(1))
    assert judging.asked
    assert other.asked == []


def test_what_is_for_this_machine_passes_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", CANARY)
    with judge_server(Judging()) as proxy, judge_server(Judging()) as judging:
        for name in ("HTTP_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url.removesuffix("/v1"))
        [score] = load(judging.spec(api_key_env="MY_KEY")).score(samples(1))
    assert score.failure is None
    assert proxy.asked == []


@pytest.mark.parametrize(
    ("variable", "value"),
    [("HTTPS_PROXY", "nonsense://me:secret@proxy"), ("SSL_CERT_FILE", "/nowhere/secret.pem")],
)
def test_an_environment_that_cannot_be_used_ends_it_in_a_line(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    verifier = load("judge:https://judge.invalid/v1#m(attempts=1)")
    with pytest.raises(LostVerifierError, match=r"^[^\n]*a proxy or certificate[^\n]*$") as caught:
        verifier.score(samples(1))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("tokens", ["NaN", "-5", "true", "1e3", "null", '"9"', "9" * 400])
def test_a_count_of_tokens_that_is_none_is_charged_in_full(tokens: str) -> None:
    score = answered(usage(tokens), most_in=1000, max_tokens=50, usd_in=1)
    assert score.failure is None
    assert score.cost.judge_tokens == 1050
    assert score.cost.micro_usd == 1000


@pytest.mark.parametrize("grade", ["1e999", "9" * 400, "NaN", "-Infinity", "1e-999x"])
def test_a_grade_that_is_no_number_is_none(grade: str) -> None:
    content = json.dumps(grades([picture(0)], "") | {"overall": "here"}).replace('"here"', grade)
    body = json.dumps({"choices": [{"message": {"content": content}}]}).encode()
    assert answered(body).values == {}


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\xfe{}",
        b"[" * 100_000,
        b'{"choices": ' + b"[" * 100_000,
        b'{"choices": {"0": 1}}',
        b'{"choices": [3]}',
        b"null",
        b'{"choices": [{"message": {"content": ' + b"9" * 5000 + b"}}]}",
    ],
    ids=lambda body: body[:12].decode("latin1"),
)
def test_a_body_of_another_form_is_an_empty_answer(body: bytes) -> None:
    score = answered(body)
    assert score.failure is not None
    assert score.failure.endswith("an empty answer")
    assert reply_of(body).usage is None


def test_what_is_compressed_unasked_is_not_unpacked() -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    assert len(bomb) < 1 << 20
    score = answered(bomb, {"Content-Encoding": "gzip"})
    assert score.failure is not None
    assert score.failure.endswith("an empty answer")


@pytest.mark.parametrize("key", ["0", CANARY])
@pytest.mark.parametrize(
    "words",
    ["half \ud83d", "spelt \\ud83d", "\x00\x1b[31m\u202e"],
    ids=["half", "spelt", "control"],
)
def test_words_that_cannot_be_written_end_no_run(
    words: str, key: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MY_KEY", key)

    def grader(pictures: list[Any], question: str) -> dict[str, Any]:
        return {**grades(pictures, question), "reason": words}

    with judge_server(Judging(grader=grader)) as judging:
        spec = judging.spec(api_key_env="MY_KEY")
        outcome, _ = run(spec, {"verifier_calls": 2}, journal=tmp_path / "journal")
    assert [candidate.failure for candidate in outcome.candidates] == [None, None]
    assert words[:3].encode() in (tmp_path / "journal").read_bytes() or words < " "


@pytest.mark.parametrize(
    ("head", "seconds"),
    [
        ({"Retry-After": "2.5"}, 2.5),
        ({"Retry-After": "-3"}, 0.0),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "inf"}, 1e9),
        ({"Retry-After": "1e300"}, 1e9),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "Thu, 32 Foo 2026 99:00:00 GMT"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_with_care(head: dict[str, str], seconds: float | None) -> None:
    assert seconds_in(head) == seconds


def test_a_date_is_read_by_the_servers_own_clock() -> None:
    wrong = time.time() - 86_400 * 30  # its clock, or ours
    head = {"Retry-After": formatdate(wrong + 7, usegmt=True)}
    assert seconds_in(head) == 0
    assert seconds_in({**head, "Date": formatdate(wrong, usegmt=True)}) == 7


def test_a_wait_until_a_date_is_kept() -> None:
    head = {"Retry-After": formatdate(time.time() + 3600, usegmt=True)}
    judging = Judging(instead=lambda _: (503, head, b""))
    with (
        judge_server(judging),
        pytest.raises(LostVerifierError, match=r"asks to wait 3,[56]\d\d s \(status 503\)"),
    ):
        load(judging.spec()).score(samples(1))


@pytest.mark.parametrize("status", [402, 407])
def test_who_wants_money_first_is_not_asked_again(status: int) -> None:
    judging = Judging(instead=lambda _: (status, {}, b'{"message": "no credit"}'))
    with judge_server(judging), pytest.raises(LostVerifierError, match=f"{status}, no credit"):
        load(judging.spec(concurrency=1)).score(samples(4))
    assert len(judging.asked) == 1


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("http://h/v1/", "http://h/v1"),
        ("http://h/v1//", "http://h/v1"),
        ("http://h/v1/chat/completions/", "http://h/v1"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
        ("HTTP://LOCALHOST:1/v1", "HTTP://LOCALHOST:1/v1"),
    ],
)
def test_addresses_are_taken_as_they_are_written_in_the_wild(written: str, meant: str) -> None:
    assert address(written) == meant
    verifier: Any = load(f"judge:{written}#m")
    assert verifier.client.url == meant


def test_a_server_of_the_sixth_protocol_is_asked() -> None:
    import socket

    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    with judge_server(Judging(), host="::1") as judging:
        verifier = load(judging.spec())
        [score] = verifier.score(samples(1))
    assert score.values[verifier.name] == grade(picture(0))
