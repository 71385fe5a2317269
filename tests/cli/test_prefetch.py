"""The one command that downloads: what it finds, and what it says where it cannot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from noise_search.errors import UserError
from noise_search.study.fetch import patterns_of
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


def test_of_a_pipeline_only_its_components_are_fetched(tmp_path: Path) -> None:
    index = tmp_path / "model_index.json"
    assert "*.safetensors" in patterns_of(index)  # a language model
    parts = {"_class_name": "X", "unet": ["diffusers", "UNet"], "safety_checker": [None, None]}
    index.write_text(json.dumps(parts))
    found = patterns_of(index)
    assert "unet/*.safetensors" in found
    assert "model_index.json" in found
    assert not [p for p in found if p.startswith(("*", "safety_checker"))]
    index.write_text("[1]")
    with pytest.raises(UserError, match="is no JSON object"):
        patterns_of(index)


def test_what_is_not_known_is_said(call: Call) -> None:
    said = call("prefetch", "prm:some/model")
    assert said.code == 2
    assert "what files prm:some/model needs is not known" in said.err


def test_models_of_open_clip_are_found_where_it_looks_for_them(call: Call, offline: Path) -> None:
    snapshot = cached(offline, "timm/vit_base_patch32_clip_224.openai")
    said = call("prefetch", "clip:ViT-B-32/openai")
    assert (said.code, said.out) == (0, f"clip:ViT-B-32/openai: {snapshot}\n")
    said = call("prefetch", "clip:ViT-B-32/opnai")
    assert said.code == 2
    assert "did you mean 'openai'" in said.err


@pytest.mark.parametrize("spec", ["clip", "aesthetic", "aesthetic:v1", "aesthetic(batch=2)"])
def test_the_tower_of_a_head_is_what_clip_needs(spec: str, call: Call, offline: Path) -> None:
    snapshot = cached(offline, "timm/vit_large_patch14_clip_224.openai")
    assert call("prefetch", spec) == (0, f"{spec}: {snapshot}\n", "")


@pytest.mark.parametrize(
    "spec", ["aesthetic:v1(tower=ViT-B-32/openai)", "self:clip(model=ViT-B-32/openai,at=0.5)"]
)
def test_an_option_that_names_a_model_is_heeded(spec: str, call: Call, offline: Path) -> None:
    snapshot = cached(offline, "timm/vit_base_patch32_clip_224.openai")
    assert call("prefetch", spec) == (0, f"{spec}: {snapshot}\n", "")


def test_models_of_pictures_are_found_by_their_repository(call: Call, offline: Path) -> None:
    for repository in ("facebook/dinov2-base", "org/dino", "org/classifier"):
        cached(offline, repository)
    said = call("prefetch", "self:dino", "self:dino(model=org/dino)", "classifier:org/classifier#1")
    assert said.code == 0
    assert [line.split(": ")[0] for line in said.out.splitlines()] == [
        "self:dino",
        "self:dino(model=org/dino)",
        "classifier:org/classifier#1",
    ]
    assert call("prefetch", "self:dino(model=./folder)", "aesthetic(tower=./folder)").out == ""
