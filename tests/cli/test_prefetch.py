"""The one command that downloads: what it finds, and what it says where it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Call


def cached(hub: Path, name: str, *files: str) -> Path:
    """A snapshot as the hub's cache lays it out."""
    folder = hub / f"models--{name.replace('/', '--')}"
    commit = "0123456789abcdef0123456789abcdef01234567"
    snapshot = folder / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(commit)
    for file in files:
        (snapshot / file).write_text("{}")
    return snapshot


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    hub = tmp_path / "hub"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(hub))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return hub


def test_what_cannot_be_fetched_is_told_in_one_line(call: Call) -> None:
    said = call("prefetch", "some/model")
    assert said.code == 2
    assert said.err.startswith("noise-search: prefetch: some/model cannot be fetched: ")
    assert said.err.count("\n") == 1


def test_a_misspelt_verifier_gets_the_nearest(call: Call) -> None:
    said = call("prefetch", "image-rewrd")
    assert (said.code, "did you mean 'image-reward'?" in said.err) == (2, True)


def test_what_comes_with_the_package_needs_nothing(call: Call) -> None:
    assert call("prefetch", "shapes", "shapes-clip") == (0, "", "")


def test_what_is_there_is_named(call: Call, offline: Path) -> None:
    snapshot = cached(offline, "some/model", "model_index.json")
    said = call("prefetch", "some/model")
    assert (said.code, said.out) == (0, f"some/model: {snapshot}\n")
