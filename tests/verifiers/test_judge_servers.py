"""A server that others wrote answers: `transformers serve` with a tiny model."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from noise_search.ask import Prompt
from noise_search.problem import LostVerifierError, Sample
from noise_search.verifiers.loading import load
from tests.verifiers.test_judge import picture
from tests.verifiers.vision import write_llava

pytestmark = pytest.mark.nightly
ASPECTS = ("accuracy", "originality", "quality", "consistency", "emotion")
ANSWERS = [
    json.dumps({"reason": f"worth {n}", **dict.fromkeys(ASPECTS, n / 10), "overall": n})
    for n in range(1, 100, 2)
]
"""Each is one token of the model: what it says first is a whole answer."""


@pytest.fixture
def loopback() -> bool:
    return True


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of a server; its model is in the folder `model`."""
    folder = write_llava(tmp_path / "model", ANSWERS)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(Path(sys.executable).with_name("transformers")), "serve", str(folder)]
    process = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _await(process, f"http://127.0.0.1:{port}/health")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(30)


def _await(process: subprocess.Popen[bytes], url: str) -> None:
    for _ in range(600):
        assert process.poll() is None, "the server has ended"
        try:
            if httpx.get(url).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise TimeoutError(url)


def test_transformers_serve_grades_pictures(server: str, tmp_path: Path) -> None:
    shown = [Sample(Prompt("p", "a red circle"), picture(seed), 1, 1) for seed in range(6)]
    spec = f"judge:{server}#{tmp_path / 'model'}(max_tokens=1,concurrency=2)"
    scores = load(spec).score(shown)
    assert [score.failure for score in scores] == [None] * 6
    for score in scores:
        overall = score.values[spec]
        assert overall in range(1, 100, 2)
        assert score.values[f"{spec}.quality"] == overall / 10
        assert score.detail == {spec: f"worth {overall:.0f}"}
        assert score.cost.judge_calls == 1
        assert score.cost.judge_tokens > 100  # as the server counts them
    assert [s.values for s in load(spec).score(shown)] == [s.values for s in scores]


def test_what_it_refuses_is_told(server: str, tmp_path: Path) -> None:
    shown = [Sample(Prompt("p", "a red circle"), picture(0), 1, 1)]
    model = tmp_path / "model"
    [mute] = load(f"judge:{server}#{model}(max_tokens=1,answers=free,temperature=0)").score(shown)
    assert mute.failure is None
    with pytest.raises(LostVerifierError, match="refuses all questions: status 404"):
        load(f"judge:{server}/nowhere#{model}").score(shown)
    [other] = load(f"judge:{server}#another/model").score(shown)
    assert other.failure is not None
    assert "status 4" in other.failure
