"""The table of facts says of verifiers what they say of themselves."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from noise_search.registry import VERIFIERS
from noise_search.verifiers.aesthetic import Head
from noise_search.verifiers.card import Card
from noise_search.verifiers.known import KNOWN, held, lacking, missing
from noise_search.verifiers.loading import load
from noise_search.verifiers.weights import DEFAULTS, Published

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_every_verifier_is_in_it() -> None:
    assert set(KNOWN) == set(VERIFIERS)


@pytest.mark.parametrize(
    ("name", "spec"),
    [
        ("shapes", "shapes"),
        ("shapes-clip", "shapes-clip"),
        ("shapes-clip-weak", "shapes-clip-weak"),
        ("judge", "judge:http://127.0.0.1:9/v1#model"),
    ],
)
def test_it_says_what_the_card_says(name: str, spec: str) -> None:
    card = getattr(load(spec), "card", None)
    assert isinstance(card, Card)
    assert (card.low, card.high) == (KNOWN[name].low, KNOWN[name].high)
    assert card.licence == (KNOWN[name].licence or "unknown")


def test_the_range_of_aesthetic_is_that_of_its_head() -> None:
    bounds = (KNOWN["aesthetic"].low, KNOWN["aesthetic"].high)
    assert bounds == pytest.approx(Head.load("v2").bounds, abs=0.05)


@pytest.mark.parametrize("name", [name for name in DEFAULTS if ":" not in name])
def test_licences_are_those_of_the_published_files(name: str) -> None:
    licence = KNOWN[name].licence
    assert licence is not None
    assert DEFAULTS[name][0].licence in licence


def test_extras_are_those_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = {known.needs[1] for known in KNOWN.values() if known.needs is not None}
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert needed <= set(project["optional-dependencies"])
    assert missing("math") is None
    monkeypatch.setattr("noise_search.verifiers.known.find_spec", lambda _: None)
    assert missing("math") == "math"
    assert missing("shapes") is None


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, for the hub's own library too."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def put(hub: Path, repository: str, *files: str) -> None:
    folder = hub / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "refs" / "main").write_text(COMMIT)
    for file in files:
        path = folder / "snapshots" / COMMIT / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")


@pytest.mark.parametrize("name", list(DEFAULTS))
def test_weights_are_found_where_the_verifier_finds_them(name: str, hub: Path) -> None:
    from noise_search.verifiers.weights import on_disk

    assert lacking(name) == list(DEFAULTS[name])
    for published in DEFAULTS[name]:
        assert on_disk(published) is None
        put(hub, published.also[0] if published.also else published.repository, *published.files)
        assert on_disk(published) is not None
    assert lacking(name) == []


def test_a_missing_file_is_missed(hub: Path) -> None:
    two = Published("org/model", ("a.json", "b.safetensors"), "MIT")
    put(hub, "org/model", "a.json")
    assert not held(two)
    put(hub, "org/model", "b.safetensors")
    assert held(two)


@pytest.mark.parametrize(
    "file", ["open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin", "old"]
)
def test_the_tower_is_found_under_all_names_that_clip_reads(file: str, hub: Path) -> None:
    import open_clip

    from noise_search.verifiers.clip_files import _cached_weights

    source = open_clip.get_pretrained_cfg("ViT-L-14", "openai")
    assert (lacking("clip"), _cached_weights(source)) == (list(DEFAULTS["clip"]), None)
    if file == "old":
        old = hub.parent / ".cache" / "clip" / "ViT-L-14.pt"
        old.parent.mkdir(parents=True)
        old.write_text("x")
    else:
        put(hub, DEFAULTS["clip"][0].repository, file)
    assert lacking("clip") == []
    assert _cached_weights(source) is not None
