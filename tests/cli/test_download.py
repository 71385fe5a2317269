"""`--download` fetches what a run needs, by the code of `prefetch`; without it nothing is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from noise_search import UserError, score, search
from noise_search.study.fetch import fetch_for
from tests.cli.conftest import Call
from tests.cli.test_prefetch import cached

GIVEN = ("generate", "a red circle", "--out", "run", "--budget", "8nfe")


@pytest.fixture(autouse=True)
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache, and a hub that cannot be reached."""
    folder = tmp_path / "hub"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return folder


@pytest.mark.parametrize(
    ("words", "needed"),
    [
        (("--model", "some/model"), "some/model"),
        (("--verifier", "image-reward"), "zai-org/ImageReward"),
        (("--verifier", "rank(shapes-clip,image-reward)"), "zai-org/ImageReward"),
        (("--evaluate", "shapes-clip-weak,image-reward(revision=main)"), "zai-org/ImageReward"),
    ],
    ids=["model", "verifier", "part of a ranking", "one of several evaluators"],
)
@pytest.mark.parametrize("command", ["generate", "compare"])
def test_it_asks_for_what_the_specs_need(
    call: Call, here: Path, command: str, words: tuple[str, ...], needed: str
) -> None:
    said = call(command, "a red circle", "--out", "run", "--download", *words)
    assert said.code == 2
    assert said.err.startswith(f"noise-search: prefetch: {needed} cannot be fetched: ")
    assert said.err.count("\n") == 1
    assert not (here / "run").exists()


def test_without_it_nothing_is_fetched(call: Call, no_network: list[object]) -> None:
    said = call(*GIVEN, "--verifier", "image-reward")
    assert said.code == 2
    assert "are not on the disk; noise-search prefetch 'image-reward' fetches them" in said.err
    assert no_network == []


def test_a_dry_run_fetches_nothing(call: Call) -> None:
    said = call(*GIVEN, "--verifier", "image-reward", "--download", "--dry-run")
    assert (said.code, said.err) == (0, "")
    assert "Nothing was loaded, made or written." in said.out


def test_what_is_there_is_said_once(call: Call, hub: Path) -> None:
    snapshot = cached(hub, "zai-org/ImageReward", "ImageReward.pt", "med_config.json")
    words = cached(hub, "google-bert/bert-base-uncased", "vocab.txt")
    given = ("--verifier", "image-reward", "--evaluate", "shapes", "--download")
    said = call(*GIVEN, *given)  # the files are no weights, and so it ends there
    assert said.out.splitlines() == [f"image-reward: {snapshot}", f"image-reward: {words}"]
    assert said.err.startswith("noise-search: verifier image-reward: ")
    assert call(*GIVEN, *given, "--quiet").out == ""


def test_a_run_needs_neither_where_all_comes_with_the_package(call: Call) -> None:
    model = ("--model", "gaussian(dim=4)", "--verifier", "reward")
    said = call("generate", "x", *model, "--budget", "16nfe", "--download", "--quiet")
    assert said.code == 0


@pytest.mark.parametrize(
    ("model", "options", "needed"),
    [
        ("some/model", {}, "some/model"),
        ("shapes", {"verifier": "image-reward"}, "zai-org/ImageReward"),
        ("shapes", {"evaluate": ["shapes-clip-weak", "image-reward"]}, "zai-org/ImageReward"),
        ("shapes", {"evaluate": [len, "image-reward"], "verifier": len}, "zai-org/ImageReward"),
        (object(), {"verifier": "rank(shapes-clip,image-reward)"}, "zai-org/ImageReward"),
    ],
    ids=["model", "verifier", "evaluators", "beside functions", "a loaded pipeline's verifier"],
)
def test_python_asks_for_what_the_specs_need(
    here: Path, model: object, options: dict[str, Any], needed: str
) -> None:
    with pytest.raises(UserError, match=f"prefetch: {needed} cannot be fetched: "):
        search(model, "a red circle", out=here / "run", download=True, **options)
    assert not (here / "run").exists()


def test_python_fetches_nothing_unless_it_is_told_to(no_network: list[object]) -> None:
    with pytest.raises(UserError, match="noise-search prefetch 'image-reward' fetches them"):
        search("shapes", "a red circle", verifier="image-reward")
    with pytest.raises(UserError, match="noise-search prefetch 'image-reward' fetches them"):
        score([np.zeros((8, 8, 3), np.uint8)], "x", verifier="image-reward")
    with pytest.raises(UserError, match="prefetch: zai-org/ImageReward cannot be fetched: "):
        score([np.zeros((8, 8, 3), np.uint8)], "x", verifier="image-reward", download=True)
    assert no_network == []


def test_python_needs_nothing_where_all_comes_with_the_package() -> None:
    found = search("gaussian(dim=4)", "x", budget="16nfe", download=True)
    assert found.best is not None


def test_a_revision_of_a_model_is_the_one_that_is_fetched(hub: Path) -> None:
    cached(hub, "some/model", "model_index.json")
    fetch_for({"model": "some/model"})
    for spec in ("some/model(revision=v1)", "diffusers:some/model(revision=v1)"):
        with pytest.raises(UserError, match="some/model cannot be fetched"):
            fetch_for({"model": spec})
