"""ImageReward: the published format, its computation written out once more, what goes wrong."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from noise_search.ask import Prompt
from noise_search.errors import UserError
from noise_search.problem import Sample
from noise_search.verifiers.loading import load

WIDTH, SIDE, PATCH, DEPTH = 128, 32, 16, 2
MED: dict[str, Any] = {
    "architectures": ["BertModel"],
    "attention_probs_dropout_prob": 0.1,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 24,
    "initializer_range": 0.02,
    "intermediate_size": 40,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 48,
    "model_type": "bert",
    "num_attention_heads": 3,
    "num_hidden_layers": 2,
    "pad_token_id": 0,
    "type_vocab_size": 2,
    "encoder_width": 768,
    "add_cross_attention": True,
}
LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{c}" for c in LETTERS), ","]
HEAD = {0: (24, 32), 2: (32, 16), 4: (16, 12), 6: (12, 8), 7: (8, 1)}
PROMPTS = ["a red circle", "a bird, a cloud", "x", "many words " * 12]


def published() -> dict[str, Tensor]:
    """Tensors by the names of the published file, the buffer and projections of BLIP among them."""
    draw = torch.Generator().manual_seed(0)
    state: dict[str, Tensor] = {}

    def linear(name: str, before: int, after: int) -> None:
        state[f"{name}.weight"] = torch.randn(after, before, generator=draw) / before**0.5
        state[f"{name}.bias"] = torch.randn(after, generator=draw) * 0.1

    def norm(name: str, width: int) -> None:
        state[f"{name}.weight"] = 1 + torch.randn(width, generator=draw) * 0.1
        state[f"{name}.bias"] = torch.randn(width, generator=draw) * 0.1

    vit, text, hidden = "blip.visual_encoder", "blip.text_encoder", MED["hidden_size"]
    state[f"{vit}.cls_token"] = torch.randn(1, 1, WIDTH, generator=draw)
    state[f"{vit}.pos_embed"] = torch.randn(1, (SIDE // PATCH) ** 2 + 1, WIDTH, generator=draw)
    shape = (WIDTH, 3, PATCH, PATCH)
    state[f"{vit}.patch_embed.proj.weight"] = torch.randn(shape, generator=draw) / 16
    state[f"{vit}.patch_embed.proj.bias"] = torch.randn(WIDTH, generator=draw)
    for i in range(DEPTH):
        norm(f"{vit}.blocks.{i}.norm1", WIDTH)
        linear(f"{vit}.blocks.{i}.attn.qkv", WIDTH, 3 * WIDTH)
        linear(f"{vit}.blocks.{i}.attn.proj", WIDTH, WIDTH)
        norm(f"{vit}.blocks.{i}.norm2", WIDTH)
        linear(f"{vit}.blocks.{i}.mlp.fc1", WIDTH, 48)
        linear(f"{vit}.blocks.{i}.mlp.fc2", 48, WIDTH)
    norm(f"{vit}.norm", WIDTH)
    state[f"{text}.embeddings.position_ids"] = torch.arange(48)[None]
    state[f"{text}.embeddings.word_embeddings.weight"] = torch.randn(
        len(WORDS) + 2, hidden, generator=draw
    )
    state[f"{text}.embeddings.position_embeddings.weight"] = torch.randn(48, hidden, generator=draw)
    norm(f"{text}.embeddings.LayerNorm", hidden)
    for i in range(MED["num_hidden_layers"]):
        layer = f"{text}.encoder.layer.{i}"
        for kind, source in (("attention", hidden), ("crossattention", WIDTH)):
            linear(f"{layer}.{kind}.self.query", hidden, hidden)
            linear(f"{layer}.{kind}.self.key", source, hidden)
            linear(f"{layer}.{kind}.self.value", source, hidden)
            linear(f"{layer}.{kind}.output.dense", hidden, hidden)
            norm(f"{layer}.{kind}.output.LayerNorm", hidden)
        linear(f"{layer}.intermediate.dense", hidden, MED["intermediate_size"])
        linear(f"{layer}.output.dense", MED["intermediate_size"], hidden)
        norm(f"{layer}.output.LayerNorm", hidden)
    linear("blip.vision_proj", WIDTH, 8)
    linear("blip.text_proj", hidden, 8)
    for i, (before, after) in HEAD.items():
        linear(f"mlp.layers.{i}", before, after)
    return state


def write(folder: Path, state: dict[str, Tensor]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(state, folder / "ImageReward.pt")
    (folder / "med_config.json").write_text(json.dumps({**MED, "vocab_size": len(WORDS) + 2}))
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    return folder


def straight(state: dict[str, Tensor], picture: np.ndarray, prompt: str) -> float:
    """The published computation with the published names, one picture at a time."""

    def linear(name: str, x: Tensor) -> Tensor:
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def norm(name: str, x: Tensor, eps: float) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        spread = (centred.square().mean(-1, keepdim=True) + eps).sqrt()
        return centred / spread * state[f"{name}.weight"] + state[f"{name}.bias"]

    def attend(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
        q, k, v = (x.view(len(x), heads, -1).transpose(0, 1) for x in (query, key, value))
        weights = (q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])).softmax(-1)
        return torch.as_tensor((weights @ v).transpose(0, 1).flatten(1))

    image = Image.fromarray(picture)
    scale = SIDE / min(image.size)
    size = (int(image.size[0] * scale), int(image.size[1] * scale))
    image = image.resize(size, Image.Resampling.BICUBIC)
    left, top = round((size[0] - SIDE) / 2), round((size[1] - SIDE) / 2)
    image = image.crop((left, top, left + SIDE, top + SIDE))
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
    spread = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)
    pixels = (torch.tensor(np.array(image)).permute(2, 0, 1) / 255 - mean) / spread

    vit = "blip.visual_encoder"
    kernel, bias = (state[f"{vit}.patch_embed.proj.{kind}"] for kind in ("weight", "bias"))
    x = functional.conv2d(pixels[None], kernel, bias, PATCH).flatten(2)[0].T
    x = torch.cat([state[f"{vit}.cls_token"][0], x]) + state[f"{vit}.pos_embed"][0]
    for i in range(DEPTH):
        block = f"{vit}.blocks.{i}"
        q, k, v = linear(f"{block}.attn.qkv", norm(f"{block}.norm1", x, 1e-6)).chunk(3, -1)
        x = x + linear(f"{block}.attn.proj", attend(q, k, v, WIDTH // 64))
        inner = functional.gelu(linear(f"{block}.mlp.fc1", norm(f"{block}.norm2", x, 1e-6)))
        x = x + linear(f"{block}.mlp.fc2", inner)
    seen = norm(f"{vit}.norm", x, 1e-6)

    pieces = ["[CLS]"]
    for word in prompt.replace(",", " ,").split():
        pieces += [word[0], *(f"##{letter}" for letter in word[1:])]
    tokens = [WORDS.index(piece) for piece in [*pieces[:34], "[SEP]"]]  # 35 at most
    text = "blip.text_encoder"
    x = state[f"{text}.embeddings.word_embeddings.weight"][tokens]
    x = x + state[f"{text}.embeddings.position_embeddings.weight"][: len(tokens)]
    x = norm(f"{text}.embeddings.LayerNorm", x, 1e-12)
    for i in range(MED["num_hidden_layers"]):
        layer = f"{text}.encoder.layer.{i}"
        for kind in ("attention", "crossattention"):
            source = x if kind == "attention" else seen
            q = linear(f"{layer}.{kind}.self.query", x)
            k, v = (linear(f"{layer}.{kind}.self.{name}", source) for name in ("key", "value"))
            out = linear(f"{layer}.{kind}.output.dense", attend(q, k, v, 3))
            x = norm(f"{layer}.{kind}.output.LayerNorm", out + x, 1e-12)
        inner = functional.gelu(linear(f"{layer}.intermediate.dense", x))
        out = linear(f"{layer}.output.dense", inner)
        x = norm(f"{layer}.output.LayerNorm", out + x, 1e-12)
    y = x[0]
    for i in HEAD:
        y = linear(f"mlp.layers.{i}", y)
    return (float(y) - 0.16717362830052426) / 1.0333394966054072


def pictures(count: int) -> list[np.ndarray]:
    draw = np.random.default_rng(0)
    return [draw.integers(0, 256, (40, 32 + 4 * (i % 5), 3), dtype=np.uint8) for i in range(count)]


def samples(count: int) -> list[Sample]:
    shown = zip(pictures(count), PROMPTS * count, strict=False)
    return [Sample(Prompt(f"p{i}", text), image, 1, 1) for i, (image, text) in enumerate(shown)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("image-reward"), published())


def values(spec: str, shown: list[Sample]) -> list[float]:
    scores = load(spec).score(shown)
    assert [score.failure for score in scores] == [None] * len(shown)
    return [score.values[spec] for score in scores]


def test_scores_equal_the_computation_written_out(folder: Path) -> None:
    state, shown = published(), samples(4)
    expected = [straight(state, np.asarray(s.pixels), s.prompt.text) for s in shown]
    assert max(expected) - min(expected) > 0.1
    assert values(f"image-reward:{folder}", shown) == pytest.approx(expected, abs=1e-5)
    file = folder / "ImageReward.pt"
    assert values(f"image-reward:{file}", shown) == pytest.approx(expected, abs=1e-5)


def test_sixteen_at_once_score_as_sixteen_alone(folder: Path) -> None:
    spec, shown = f"image-reward:{folder}(batch=4)", samples(16)
    alone = [values(spec, [sample])[0] for sample in shown]
    assert values(spec, shown) == pytest.approx(alone, abs=1e-6)


def test_half_precision_is_near_and_says_so(folder: Path) -> None:
    shown = samples(3)
    half = values(f"image-reward:{folder}(dtype=bfloat16)", shown)
    assert half == pytest.approx(values(f"image-reward:{folder}", shown), abs=0.1)
    specs = [f"image-reward:{folder}{o}" for o in ("", "(dtype=bfloat16)")]
    versions = [str(getattr(load(spec), "card").version) for spec in specs]  # noqa: B009 - optional
    assert "float32" in versions[0]
    assert "bfloat16" in versions[1]


def test_a_model_of_the_hub_is_read_from_the_cache(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        UserError,
        match=r"^verifier image-reward: ImageReward.pt and med_config.json of zai-org/"
        r"ImageReward are not on the disk; noise-search prefetch 'image-reward' fetches them$",
    ):
        load("image-reward")
    repository = tmp_path / "models--THUDM--ImageReward"
    cached = repository / "snapshots" / "0123abcd"
    cached.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123abcd")
    for file in ("ImageReward.pt", "med_config.json"):
        (cached / file).symlink_to(folder / file)
    with pytest.raises(UserError, match=r"^verifier image-reward: vocab.txt of google-bert/bert"):
        load("image-reward")
    (cached / "vocab.txt").symlink_to(folder / "vocab.txt")
    shown = samples(2)
    expected = values(f"image-reward:{folder}", shown)
    assert values("image-reward", shown) == expected
    assert values("image-reward:THUDM/ImageReward", shown) == expected
    with pytest.raises(UserError, match=r"of zai-org/ImageReward at v9 are not on the disk"):
        load("image-reward(revision=v9)")


def drop(name: str) -> Callable[[dict[str, Tensor]], object]:
    return lambda state: state.pop(name)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (
            drop("blip.text_encoder.encoder.layer.1.output.dense.bias"),
            "ImageReward.pt lacks text.enc",
        ),
        (drop("blip.visual_encoder.pos_embed"), "lacks 'vision.embeddings.position_embedding'"),
        (drop("mlp.layers.7.weight"), "ImageReward.pt has head.7.bias, which the model does not"),
        (lambda s: s.update({"mlp.extra": torch.ones(1)}), "ImageReward.pt has mlp.*extra"),
        (lambda s: s.update({"mlp.layers.2.bias": torch.ones(3)}), r"is \(3,\), expected \(16,\)"),
        (lambda s: s.update({"mlp.layers.2.bias": "words"}), "is not a file of weights: expected"),
        (lambda s: s.update({"mlp.layers.2.bias": Path("x")}), "is not a file of weights: Weights"),
    ],
)
def test_a_file_that_is_not_the_published_one_is_told_in_one_line(
    tmp_path: Path, spoil: Callable[[dict[str, Any]], object], said: str
) -> None:
    state: dict[str, Any] = published()
    spoil(state)
    with pytest.raises(UserError, match=f"^verifier image-reward:[^\n]*{said}[^\n]*$"):
        load(f"image-reward:{write(tmp_path, state)}")


def test_what_lacks_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no file '.*ImageReward.pt'"):
        load(f"image-reward:{tmp_path}")
    (tmp_path / "ImageReward.pt").symlink_to(folder / "ImageReward.pt")
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n")
    with pytest.raises(UserError, match=r"no med_config.json beside ImageReward.pt$"):
        load(f"image-reward:{tmp_path}")
    (tmp_path / "med_config.json").symlink_to(folder / "med_config.json")
    with pytest.raises(UserError, match=r"the vocabulary in .* has 8 tokens, the model 60$"):
        load(f"image-reward:{tmp_path}")
    with pytest.raises(UserError, match=r"device=nowhere"):
        load(f"image-reward:{folder}(device=nowhere)")
    with pytest.raises(UserError, match=r"did you mean 'device'"):
        load(f"image-reward:{folder}(devise=cpu)")


def test_broken_pictures_fail_alone(folder: Path) -> None:
    good, prompt = samples(1)[0], Prompt("p", "a red circle")
    black = Sample(prompt, np.zeros((32, 32, 3), np.uint8), 1, 1)
    [first, second, third] = load(f"image-reward:{folder}").score([good, black, good])
    assert second.failure is not None
    assert "black" in second.failure
    [name] = first.values
    assert first.values[name] == pytest.approx(third.values[name], abs=1e-5)


def test_importing_the_module_does_not_import_torch() -> None:
    code = (
        "import sys, noise_search.verifiers.image_reward;"
        "sys.exit(any(m in sys.modules for m in ('torch', 'transformers', 'torchvision')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
