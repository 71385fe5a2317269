"""VQAScore by tiny models: P("Yes") as the published computation has it."""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2.functional import resize

from noise_search.ask import Prompt
from noise_search.errors import UserError
from noise_search.problem import Sample
from noise_search.verifiers.loading import load
from noise_search.verifiers.models import Models
from tests.verifiers.vision import HEADS, HIDDEN, LAYERS, PATCH, SIDE, write_llava, write_qwen

library: Any = transformers

PROMPTS = ["a red circle", 'it\'s a "bird", a cloud', "x", "many words " * 8]


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_llava(tmp_path_factory.mktemp("llava"))


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_qwen(tmp_path_factory.mktemp("qwen"))


def pictures(count: int) -> list[Any]:
    draw = np.random.default_rng(0)
    return [draw.integers(0, 256, (40, 32 + 4 * (i % 5), 3), dtype=np.uint8) for i in range(count)]


def samples(count: int) -> list[Sample]:
    shown = zip(pictures(count), PROMPTS * count, strict=False)
    return [Sample(Prompt(f"p{i}", text), image, 1, 1) for i, (image, text) in enumerate(shown)]


def values(spec: str, shown: list[Sample], models: Models | None = None) -> list[float]:
    scores = load(spec, models).score(shown)
    assert [score.failure for score in scores] == [None] * len(shown)
    return [score.values[spec] for score in scores]


def straight(folder: Path, picture: Any, prompt: str) -> float:
    """LLaVA's computation written out with the published names, one picture at a time."""
    state = load_file(folder / "model.safetensors")

    def linear(name: str, x: Tensor) -> Tensor:
        y = torch.as_tensor(x @ state[f"{name}.weight"].T)
        return y + state[f"{name}.bias"] if f"{name}.bias" in state else y

    def norm(name: str, x: Tensor) -> Tensor:
        spread = (x.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()
        centred = (x - x.mean(-1, keepdim=True)) / spread
        return torch.as_tensor(centred * state[f"{name}.weight"] + state[f"{name}.bias"])

    def scaled(name: str, x: Tensor) -> Tensor:
        size = (x.square().mean(-1, keepdim=True) + 1e-6).sqrt()
        return torch.as_tensor(x / size * state[f"{name}.weight"])

    def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        weights = q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])
        if mask is not None:
            weights = weights + mask
        return torch.as_tensor((weights.softmax(-1) @ v).transpose(0, 1).flatten(1))

    def split(x: Tensor) -> Tensor:
        return x.view(len(x), -1, HIDDEN // HEADS).transpose(0, 1)

    # torchvision's resize of bytes, as the processor's: PIL's differs by one of 255 in some pixels
    raw = torch.tensor(picture).permute(2, 0, 1)
    scale = SIDE / min(raw.shape[1:])
    sides = [int(raw.shape[1] * scale), int(raw.shape[2] * scale)]
    raw = resize(raw, sides, interpolation=InterpolationMode.BICUBIC, antialias=True)
    top, left = (raw.shape[1] - SIDE) // 2, (raw.shape[2] - SIDE) // 2
    raw = raw[:, top : top + SIDE, left : left + SIDE]
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
    spread = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)
    pixels = (raw / 255 - mean) / spread

    tower = "vision_tower"
    kernel = state[f"{tower}.embeddings.patch_embedding.weight"]
    x = functional.conv2d(pixels[None], kernel, stride=PATCH).flatten(2)[0].T
    x = torch.cat([state[f"{tower}.embeddings.class_embedding"][None], x])
    x = norm(f"{tower}.pre_layrnorm", x + state[f"{tower}.embeddings.position_embedding.weight"])
    for i in range(LAYERS - 1):  # the features before the last layer
        layer = f"{tower}.encoder.layers.{i}"
        y = norm(f"{layer}.layer_norm1", x)
        q, k, v = (split(linear(f"{layer}.self_attn.{n}_proj", y)) for n in "qkv")
        x = x + linear(f"{layer}.self_attn.out_proj", attend(q, k, v, None))
        y = linear(f"{layer}.mlp.fc1", norm(f"{layer}.layer_norm2", x))
        x = x + linear(f"{layer}.mlp.fc2", y * torch.sigmoid(1.702 * y))
    seen = linear("multi_modal_projector.linear_1", x[1:])
    seen = linear("multi_modal_projector.linear_2", functional.gelu(seen))

    tokenizer = library.AutoTokenizer.from_pretrained(folder)
    question = f"Does this figure show '{prompt}'? Please answer yes or no."
    text = f"USER: <image>\n{question} ASSISTANT:"
    tokens = tokenizer(text, add_special_tokens=False).input_ids
    embedding, at = state["language_model.model.embed_tokens.weight"], tokens.index(4)
    x = torch.cat([embedding[tokens[:at]], seen, embedding[tokens[at + 1 :]]])
    width = HIDDEN // HEADS
    rate = 10000.0 ** (-torch.arange(0, width, 2) / width)
    angle = torch.outer(torch.arange(len(x)).float(), rate).repeat(1, 2)

    def turned(y: Tensor) -> Tensor:
        half = torch.cat([-y[..., width // 2 :], y[..., : width // 2]], -1)
        return y * angle.cos() + half * angle.sin()

    mask = torch.full((len(x), len(x)), -math.inf).triu(1)
    for i in range(LAYERS):
        layer = f"language_model.model.layers.{i}"
        y = scaled(f"{layer}.input_layernorm", x)
        q, k, v = (split(linear(f"{layer}.self_attn.{n}_proj", y)) for n in "qkv")
        k, v = (turned(k).repeat_interleave(2, 0), v.repeat_interleave(2, 0))
        x = x + linear(f"{layer}.self_attn.o_proj", attend(turned(q), k, v, mask))
        y = scaled(f"{layer}.post_attention_layernorm", x)
        gate = functional.silu(linear(f"{layer}.mlp.gate_proj", y))
        x = x + linear(f"{layer}.mlp.down_proj", gate * linear(f"{layer}.mlp.up_proj", y))
    logits = linear("language_model.lm_head", scaled("language_model.model.norm", x[-1]))
    [yes] = tokenizer(" Yes", add_special_tokens=False).input_ids
    return float(logits.softmax(-1)[yes])


def test_scores_equal_the_computation_written_out(llava: Path) -> None:
    shown = samples(4)
    expected = [straight(llava, np.asarray(s.pixels), s.prompt.text) for s in shown]
    assert max(expected) > 2 * min(expected) > 0
    assert values(f"vqa:{llava}", shown) == pytest.approx(expected, abs=1e-5, rel=1e-3)


def test_an_answer_of_several_tokens_is_as_likely_as_all_of_them_together(qwen: Path) -> None:
    [sample] = samples(1)
    processor = library.AutoProcessor.from_pretrained(qwen)
    model = library.AutoModelForImageTextToText.from_pretrained(qwen).eval()
    text = (
        "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>Does this figure show "
        "'a red circle'? Please answer yes or no.<|im_end|>\n<|im_start|>assistant\n"
    )
    likelihood, so_far = 1.0, ""
    for letter in "Yes":  # one token each
        picture = Image.fromarray(np.asarray(sample.pixels))
        inputs = processor(text=text + so_far, images=picture, return_tensors="pt")
        with torch.inference_mode():
            spread = model(**inputs).logits[0, -1].double().softmax(-1)
        [token] = processor.tokenizer(letter).input_ids
        likelihood *= float(spread[token])
        so_far += letter
    [found] = values(f"vqa:{qwen}", [sample])
    assert found == pytest.approx(likelihood, rel=1e-4)
    assert found > 0


@pytest.mark.parametrize("kind", ["llava", "qwen"])
def test_sixteen_at_once_score_as_sixteen_alone(kind: str, request: pytest.FixtureRequest) -> None:
    spec = f"vqa:{request.getfixturevalue(kind)}(batch=4)"
    shown, models = samples(16), Models()
    alone = [values(spec, [sample], models)[0] for sample in shown]
    assert values(spec, shown, models) == pytest.approx(alone, abs=1e-5, rel=1e-4)
    assert len(set(alone)) == 16


def test_a_video_has_the_mean_of_its_key_frames_and_their_minimum(llava: Path) -> None:
    spec = f"vqa:{llava}"
    frames = [picture[:, :32] for picture in pictures(4)]
    prompt = Prompt("p", PROMPTS[0])
    single = values(spec, [Sample(prompt, frame, 1, 1) for frame in frames])
    [score] = load(spec).score([Sample(prompt, np.stack(frames), 1, 1)])
    assert score.values[spec] == pytest.approx(sum(single) / 4, rel=1e-4)
    assert score.values[f"{spec}.min"] == pytest.approx(min(single), rel=1e-4)


def test_broken_pictures_fail_alone(llava: Path) -> None:
    good, prompt = samples(1)[0], Prompt("p", PROMPTS[0])
    black = Sample(prompt, np.zeros((32, 32, 3), np.uint8), 1, 1)
    first, second, third = load(f"vqa:{llava}").score([good, black, good])
    assert second.failure is not None
    assert "black" in second.failure
    assert first == third
    assert first.failure is None


def test_it_says_what_decides_its_scores_and_shares_its_model(llava: Path, tmp_path: Path) -> None:
    models = Models()
    one: Any = load(f"vqa:{llava}", models)
    half: Any = load(f"vqa:{llava}(dtype=bfloat16)", models)
    copy = Path(shutil.copytree(llava, tmp_path / "copy"))
    (copy / "chat_template.jinja").write_text("{{ messages }}")
    other: Any = load(f"vqa:{copy}", models)
    versions = {one.card.version, half.card.version, other.card.version}
    assert len(versions) == 3
    assert "float32" in one.card.version
    assert 'P("Yes") Does this figure show' in one.card.version
    assert (one.card.low, one.card.high, one.card.costly) == (0, 1, True)
    assert (
        models.get(("vision-language", llava, models.place(None, "float32", 4, "vqa")), str) != ""
    )


def test_what_lacks_is_told_in_one_line(
    llava: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(UserError, match=r"SmolVLM-Instruct are not on the disk; noise-search pref"):
        load("vqa")
    with pytest.raises(UserError, match=r"of org/model at v2 are not on the disk"):
        load("vqa:org/model(revision=v2)")
    with pytest.raises(UserError, match=r"no config.json and no safetensors in "):
        load(f"vqa:{tmp_path}")
    bare = Path(shutil.copytree(llava, tmp_path / "bare"))
    (bare / "chat_template.jinja").unlink()
    with pytest.raises(UserError, match=r"^verifier vqa:[^\n]*: bare has no chat template"):
        load(f"vqa:{bare}")
    (bare / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(UserError, match=r"^verifier vqa:[^\n]*: bare cannot be loaded: [^\n]*$"):
        load(f"vqa:{bare}")
    with pytest.raises(UserError, match=r"device=nowhere"):
        load(f"vqa:{llava}(device=nowhere)")


def test_weights_that_could_hold_code_are_not_read(llava: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(llava, tmp_path / "pickled"))
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match="no safetensors"):
        load(f"vqa:{folder}")


def test_importing_the_module_does_not_import_torch() -> None:
    code = (
        "import sys, noise_search.verifiers.vqa, noise_search.verifiers.judge_models;"
        "sys.exit(any(m in sys.modules for m in ('torch', 'transformers', 'torchvision')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
