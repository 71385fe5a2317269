"""LAION's aesthetic heads: golden numbers, the tower that is shared, what goes wrong."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch.nn.modules.module import register_module_forward_hook

from noise_search.errors import UserError
from noise_search.problem import Sample
from noise_search.verifiers.aesthetic import HEADS, Aesthetic, Head
from noise_search.verifiers.clip import encoder_of
from noise_search.verifiers.loading import load
from noise_search.verifiers.models import Models, Place
from tests.verifiers.towers import pictures, samples, write_tower

DATA = Path(__file__).parents[1] / "data" / "laion_aesthetic"
GOLDEN = {
    ("v1", "ViT-L-14/openai", "vit_l_14"): "-2.4579 -0.1379 1.8951 3.5849 5.0997 "
    "6.4701 7.7870 9.0480 10.2264 11.3044",
    ("v1", "ViT-B-32/openai", "vit_b_32"): "-1.4700 0.2728 1.9900 3.6114 5.0874 "
    "6.3926 7.6682 8.9155 9.9166 11.0056",
    ("v2", "ViT-L-14/openai", "vit_l_14"): "1.6555 2.3593 3.0698 3.6725 4.2380 "
    "4.7010 5.0731 5.3654 5.5767 5.7468",
}


@pytest.fixture(scope="module")
def tower(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tower(tmp_path_factory.mktemp("tower"), 768)


def values(spec: str, shown: list[Sample], models: Models | None = None) -> list[float]:
    scores = load(spec, models).score(shown)
    assert [score.failure for score in scores] == [None] * len(shown)
    return [score.values[spec] for score in scores]


@pytest.mark.parametrize(("version", "tower_name", "file"), list(GOLDEN))
def test_scores_of_published_features(version: str, tower_name: str, file: str) -> None:
    expected = [float(word) for word in GOLDEN[version, tower_name, file].split()]
    found = Head.load(version, tower_name)(np.load(DATA / f"{file}.npy"))
    assert found == pytest.approx(expected, abs=1e-4)


def test_five_layers_are_one_affine_map() -> None:
    head = Head.load("v2")
    assert head.bias == pytest.approx(5.2366458, abs=1e-4)
    assert head(np.zeros((1, 768))) == pytest.approx([5.2366458], abs=1e-4)
    assert float(np.linalg.norm(head.row)) == pytest.approx(17.99562, abs=1e-4)
    state = load_file(head.file)
    features = np.load(DATA / "vit_l_14.npy")
    x = torch.tensor(features)
    for layer in (0, 2, 4, 6, 7):
        x = x @ state[f"layers.{layer}.weight"].T + state[f"layers.{layer}.bias"]
    assert head(features) == pytest.approx(x[:, 0].tolist(), abs=1e-5)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_scores_are_the_head_on_the_unit_features_of_the_tower(tower: Path, version: str) -> None:
    open_clip: Any = importlib.import_module("open_clip")  # its types say too little
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{tower}")
    shown = samples(3)
    with torch.inference_mode():
        rows = torch.stack([preprocess(Image.fromarray(np.asarray(s.pixels))) for s in shown])
        features = model.eval().encode_image(rows, normalize=True).numpy()
    expected = Head.load(version)(features)
    assert max(expected) - min(expected) > 0.05
    assert values(f"aesthetic:{version}(tower={tower})", shown) == pytest.approx(expected, abs=1e-4)


def test_a_tower_is_loaded_once_and_encodes_a_picture_once(tower: Path) -> None:
    rows: list[int] = []

    def seen(module: torch.nn.Module, given: Any, _: object) -> None:
        if type(module).__name__ == "VisionTransformer":
            rows.append(len(given[0]))

    clip = f"clip:{tower}"
    verifier = load(f"rank({clip},aesthetic(tower={tower}),aesthetic:v1(tower={tower}))")
    with register_module_forward_hook(seen):
        scores = verifier.score(samples(16))
    assert rows == [8, 8]
    assert [len(score.values) for score in scores] == [3] * 16
    assert [score.values[clip] for score in scores] == values(clip, samples(16))


def test_sixteen_at_once_score_as_sixteen_alone(tower: Path) -> None:
    spec, shown = f"aesthetic(tower={tower},batch=4)", samples(16)
    alone = [values(spec, [sample])[0] for sample in shown]
    assert values(spec, shown) == pytest.approx(alone, abs=1e-6)


def test_aesthetic_alone_is_v2(tower: Path) -> None:
    shown = samples(2)
    plain = values(f"aesthetic(tower={tower})", shown)
    assert plain == values(f"aesthetic:v2(tower={tower})", shown)
    assert plain != values(f"aesthetic:v1(tower={tower})", shown)


def test_the_card_says_what_decides_the_scores(tower: Path) -> None:
    card: Any = getattr(load(f"aesthetic:v1(tower={tower})"), "card")  # noqa: B009 - optional
    assert card.needs == {"pixels"}
    assert "MIT" in card.licence
    assert "aesthetic:v1 sha256:" in card.version
    assert "fp32" in card.version
    assert card.low < min(values(f"aesthetic:v1(tower={tower})", samples(4)))
    assert card.high - card.low == pytest.approx(2 * np.linalg.norm(Head.load("v1").row))


def test_v1_has_a_head_for_the_smaller_tower(tmp_path: Path) -> None:
    small = write_tower(tmp_path, 512)
    encoder = encoder_of(str(small), Models(), Place())
    head = Head.load("v1", "ViT-B-32/openai")
    found = values(f"aesthetic:v1(tower={small})", samples(2))
    assert found == head(encoder.pictures(pictures(2)))
    with pytest.raises(
        UserError, match=r"makes 512 features of a picture; the head of v2 was .*768"
    ):
        Aesthetic(encoder, "v2", str(small))


def test_heads_come_with_their_licences() -> None:
    folder = Head.load().file.parent
    assert "LAION AI" in (folder / "LICENSE-MIT").read_text()
    assert "Apache License" in (folder / "LICENSE-APACHE-2.0").read_text()
    files = {name for heads in HEADS.values() for name in heads.values()}
    assert {p.stem for p in folder.glob("*.safetensors")} == files


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("aesthetic:v3", r"^verifier aesthetic:v3: unknown version; known: v1, v2$"),
        ("aesthetic(tower=ViT-L-14/opnai)", r"has no head; did you mean 'ViT-L-14/openai'\?$"),
        ("aesthetic(tower=ViT-B-32/openai)", r"tower=ViT-B-32/openai has no head; did you mean"),
        ("aesthetic(tower=./absent)", r"^verifier aesthetic\(.*no folder 'absent'"),
        ("aesthetic(towr=x)", r"did you mean 'tower'"),
        ("aestetic", r"did you mean 'aesthetic'"),
        ("aesthetic", r"not on the disk; noise-search prefetch clip:ViT-L-14/openai fetches them$"),
        ("clip", r"^verifier clip: the weights 'openai' of 'ViT-L-14' are not on the disk; .*$"),
    ],
)
def test_what_lacks_is_named(spec: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", "/nonexistent")
    monkeypatch.setenv("HOME", "/nonexistent")
    with pytest.raises(UserError, match=said) as error:
        load(spec)
    assert "\n" not in str(error.value)
