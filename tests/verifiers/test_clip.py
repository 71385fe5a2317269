"""The CLIP verifier: shipped folders, any open_clip or transformers folder, rows in any company."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from noise_search.errors import UserError
from noise_search.pipelines.shapes import clip_model, train_clip
from noise_search.pipelines.shapes.clip_measure import (
    auc,
    best_of,
    hard_negative_accuracy,
    within_prompt_auc,
)
from noise_search.pipelines.shapes.clip_scenes import place_scenes, truth
from noise_search.pipelines.shapes.scenes import (
    held_out,
    held_out_captions,
    parse,
    render_batch,
    training_captions,
)
from noise_search.verifiers.clip import CLIPSCORE_SCALE, Clip
from noise_search.verifiers.clip_files import shipped_folder

TINY: dict[str, Any] = {
    "image_size": 32,
    "layers": [1, 1, 1, 1],
    "width": 4,
    "embed_dim": 16,
    "text_layers": 1,
}
PROMPTS = ["a red circle", "two blue squares", "a green triangle above a red circle"]


def pictures(texts: Sequence[str], seed: int = 0) -> list[NDArray[np.uint8]]:
    return list(render_batch([parse(text) for text in texts], np.random.default_rng(seed)))


@pytest.fixture(scope="module")
def strong() -> Clip:
    return Clip.shipped("shapes-clip")


@pytest.fixture(scope="module")
def open_clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("open_clip")
    clip_model.write_config(folder, TINY)
    clip_model.save(clip_model.build(TINY, seed=1), folder)
    return folder


def save_processors(folder: Path) -> None:
    from transformers import CLIPImageProcessor

    CLIPImageProcessor(
        size={"height": 32, "width": 32}, crop_size={"height": 32, "width": 32}
    ).save_pretrained(str(folder))


@pytest.fixture(scope="module", params=["clip", "siglip"])
def transformers_folder(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    import torch
    from transformers import CLIPConfig, CLIPModel, SiglipConfig, SiglipModel

    folder = tmp_path_factory.mktemp("transformers")
    clip_model.write_config(folder, TINY)  # For its tokenizer.
    (folder / "open_clip_config.json").unlink()
    shape = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    words = len(json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"])
    text = shape | {
        "vocab_size": words,
        "max_position_embeddings": 16,
        "eos_token_id": words - 1,
        "bos_token_id": 2,
        "pad_token_id": 0,
    }
    vision = shape | {"image_size": 32, "patch_size": 8}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if request.param == "clip":
            model: Any = CLIPModel(
                CLIPConfig(text_config=text, vision_config=vision, projection_dim=12)
            )
        else:
            text["projection_size"] = 16
            model = SiglipModel(SiglipConfig(text_config=text, vision_config=vision))
        model.save_pretrained(str(folder))
    save_processors(folder)
    return folder


def test_importing_the_module_does_not_import_torch() -> None:
    code = (
        "import sys, noise_search.verifiers.clip;"
        "sys.exit(any(m in sys.modules for m in ('torch', 'open_clip', 'transformers')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", ["shapes-clip", "shapes-clip-weak"])
def test_shipped_folders_load_by_open_clips_own_api(name: str) -> None:
    import torch

    open_clip: Any = importlib.import_module("open_clip")  # its types say too little
    where = f"local-dir:{shipped_folder(name)}"
    model, _, preprocess = open_clip.create_model_and_transforms(where)
    model.eval()
    tokens = open_clip.get_tokenizer(where)
    image = pictures(PROMPTS[:1])[0]
    with torch.inference_mode():
        seen = model.encode_image(preprocess(Image.fromarray(image))[None], normalize=True)
        said = model.encode_text(tokens(PROMPTS[:1]), normalize=True)
    ours = Clip.shipped(name).similarity([image], PROMPTS[:1])
    assert ours[0] == pytest.approx(float((seen @ said.T)[0, 0]), abs=1e-4)


def test_shipped_weights_are_small() -> None:
    sizes = {
        name: sum(p.stat().st_size for p in shipped_folder(name).glob("*.safetensors"))
        for name in ("shapes-clip", "shapes-clip-weak")
    }
    assert sizes["shapes-clip"] <= 4_000_000
    assert sizes["shapes-clip-weak"] <= 1_500_000


def test_hard_negatives_of_held_out_sentences_score_lower(strong: Clip) -> None:
    assert hard_negative_accuracy(strong, sentences=60)["all"] >= 0.9


def test_a_row_has_the_same_bits_in_any_company(strong: Clip) -> None:
    texts = held_out_captions()[:19]
    images = pictures(texts)
    together = strong.similarity(images, texts)
    assert together == [strong.similarity([i], [t])[0] for i, t in zip(images, texts, strict=True)]
    order = np.random.default_rng(1).permutation(len(texts))
    shuffled = strong.similarity([images[i] for i in order], [texts[i] for i in order])
    assert shuffled == [together[i] for i in order]


def test_rows_of_transformers_have_the_same_bits_too(transformers_folder: Path) -> None:
    clip = Clip.from_directory(transformers_folder, batch=4)
    texts = PROMPTS * 3
    images = pictures(texts)
    together = clip.similarity(images, texts)
    assert together == [clip.similarity([i], [t])[0] for i, t in zip(images, texts, strict=True)]


def test_an_open_clip_folder_scores_as_open_clip_does(open_clip_folder: Path) -> None:
    import torch

    open_clip: Any = importlib.import_module("open_clip")  # its types say too little
    where = f"local-dir:{open_clip_folder}"
    model, _, preprocess = open_clip.create_model_and_transforms(where)
    model.eval()
    images = pictures(PROMPTS)
    with torch.inference_mode():
        pixels = torch.stack([preprocess(Image.fromarray(image)) for image in images])
        seen = model.encode_image(pixels, normalize=True)
        said = model.encode_text(open_clip.get_tokenizer(where)(PROMPTS), normalize=True)
    ours = Clip.from_directory(open_clip_folder).similarity(images, PROMPTS)
    np.testing.assert_allclose(ours, (seen * said).sum(-1).numpy(), atol=1e-4)


def test_a_transformers_folder_scores_as_transformers_does(transformers_folder: Path) -> None:
    import torch
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(str(transformers_folder)).eval()
    tokenizer = AutoTokenizer.from_pretrained(str(transformers_folder))
    processor = AutoImageProcessor.from_pretrained(str(transformers_folder))
    images = [Image.fromarray(image) for image in pictures(PROMPTS)]
    tokens = tokenizer(PROMPTS, padding="max_length", max_length=16, return_tensors="pt")
    with torch.inference_mode():
        output = model(
            input_ids=tokens.input_ids,
            attention_mask=tokens.attention_mask,
            pixel_values=processor(images=images, return_tensors="pt").pixel_values,
        )
    unit = torch.nn.functional.normalize
    expected = (unit(output.image_embeds, dim=-1) * unit(output.text_embeds, dim=-1)).sum(-1)
    ours = Clip.from_directory(transformers_folder).similarity(images, PROMPTS)
    np.testing.assert_allclose(ours, expected.numpy(), atol=1e-5)


def test_clipscore_is_scaled_and_never_negative(open_clip_folder: Path) -> None:
    images = pictures(PROMPTS)
    raw = Clip.from_directory(open_clip_folder).similarity(images, PROMPTS)
    score = Clip.from_directory(open_clip_folder, scale=CLIPSCORE_SCALE)
    assert score.similarity(images, PROMPTS) == [2.5 * max(value, 0.0) for value in raw]


def test_prefix_and_bounded_memory(open_clip_folder: Path) -> None:
    images = pictures(PROMPTS)
    plain = Clip.from_directory(open_clip_folder, memory=2)
    prefixed = Clip.from_directory(open_clip_folder, prefix="two ")
    said = [f"two {text}" for text in PROMPTS]
    assert prefixed.similarity(images, PROMPTS) == plain.similarity(images, said)
    assert plain.similarity(images, said) == plain.similarity(images, said)


def test_version_names_weights_precision_and_formula(open_clip_folder: Path) -> None:
    version = Clip.from_directory(open_clip_folder).version
    assert "fp32" in version
    assert "cosine" in version
    assert version != Clip.from_directory(open_clip_folder, scale=2.5).version


def test_no_pictures_give_no_scores_and_lengths_must_agree(open_clip_folder: Path) -> None:
    clip = Clip.from_directory(open_clip_folder)
    assert clip.similarity([], []) == []
    with pytest.raises(ValueError, match="1 pictures but 0 prompts"):
        clip.similarity(pictures(PROMPTS[:1]), [])


def test_missing_things_are_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no folder"):
        Clip.from_directory(tmp_path / "absent")
    with pytest.raises(UserError, match="no weights"):
        Clip.from_directory(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match="neither"):
        Clip.from_directory(tmp_path)
    (tmp_path / "open_clip_config.json").write_text("{")
    with pytest.raises(UserError, match="cannot load a CLIP model"):
        Clip.from_directory(tmp_path)
    with pytest.raises(UserError, match="shapes-clip"):
        Clip.shipped("shapes-clp")


def test_published_models_are_never_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/nonexistent")
    with pytest.raises(UserError, match=r"did you mean .*'ViT-B-32'"):
        Clip.from_open_clip("ViT-B-23", "openai")
    with pytest.raises(UserError, match="has no weights"):
        Clip.from_open_clip("ViT-B-32", "nobody")
    with pytest.raises(UserError, match="not on the disk"):
        Clip.from_open_clip("ViT-B-32", "openai")


def test_training_draws_training_sentences_only_and_equal_seeds_draw_equal_batches() -> None:
    plan = train_clip.plan_of(weak=False, steps=None)
    sentences = train_clip.Sentences(training_captions())
    first, second = (
        train_clip.draw_batch(sentences, plan, 1.0, np.random.default_rng(3)) for _ in range(2)
    )
    assert not any(map(held_out, first.texts))
    assert first.texts == second.texts
    assert np.array_equal(first.images, second.images)
    assert first.images.shape == ((1 + plan.spoilt) * len(first.texts), 32, 32, 3)
    assert 0 <= first.images.min() <= first.images.max() <= 1


def test_truth_of_pictures_and_sentences() -> None:
    texts = [
        "a red circle left of a blue square",
        "a red circle right of a blue square",
        "a blue square right of a red circle",
        "a red circle and a blue square",
        "two red circles",
    ]
    scenes = [parse(text) for text in texts]
    shows = truth(scenes, place_scenes(scenes, np.random.default_rng(0)))
    assert shows[0].tolist() == [1, 0, -1, -1, 0]
    assert shows[4].tolist() == [0, 0, 0, 0, 1]


def test_measures_of_a_judge() -> None:
    right = np.array([[True, False, False, True], [False, False, False, False]])
    perfect = right.astype(np.float64)
    assert within_prompt_auc(perfect, right) == 1.0
    assert within_prompt_auc(-perfect, right) == 0.0
    assert auc(np.zeros(4), right[0]) == 0.5
    assert best_of(perfect, right, 1) == 0.25
    assert best_of(perfect, right, 4) == 0.5
