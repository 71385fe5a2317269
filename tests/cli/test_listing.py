"""What `list verifiers` says of each: whether it can be used here, and what is known of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from noise_search.cli.listing import status_of
from tests.cli.conftest import Call


@pytest.fixture(autouse=True)
def empty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine that holds no weights."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path / "hub"


def test_the_list_says_what_lacks_and_how_to_get_it(call: Call) -> None:
    said = call("list", "verifiers")
    assert said.code == 0
    assert "weights not on the disk: noise-search prefetch image-reward; no bounds" in said.out
    assert "ready; 0 to 1; Apache-2.0; 3.8 ms an image" in said.out


def test_weights_that_are_there_are_found(empty: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    folder = empty / "models--xswu--HPSv2"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(commit)
    assert status_of("hps").startswith("weights not on the disk: noise-search prefetch hps;")
    (folder / "snapshots" / commit).mkdir(parents=True)
    (folder / "snapshots" / commit / "HPS_v2_compressed.pt").write_text("x")
    lacks = "hps:v2.1: weights not on the disk: noise-search prefetch hps:v2.1"
    assert status_of("hps") == f"ready, weights found; {lacks}; -1 to 1; Apache-2.0"


def test_what_depends_on_the_spec_is_said_so() -> None:
    assert status_of("classifier") == "needs what its spec names"
    assert status_of("self").startswith("self:clip: weights not on the disk: noise-search prefetch")


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("noise_search.verifiers.known.find_spec", lambda _: None)
    assert status_of("math").startswith("not installed: pip install 'noise-search[math]'; 0 to 1")


def test_of_other_packages_nothing_is_said() -> None:
    assert status_of("of-another-package") == ""
