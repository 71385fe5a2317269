"""PickScore and HPSv2: the published formats, their computations written out, what goes wrong."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

from noise_search.errors import UserError
from noise_search.problem import Sample
from noise_search.verifiers.loading import load
from tests.verifiers.towers import (
    lively,
    open_clip_config,
    open_clip_model,
    samples,
    write_words,
)

MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)
SIDE, HEADS, DEPTH, LENGTH = 32, 2, 2, 16
State = Mapping[str, Tensor]


def hps_state() -> dict[str, Tensor]:
    """Tensors by the names of the published file, in half precision as there."""
    return {k: v.half() for k, v in open_clip_model(24, seed=3).state_dict().items()}


def write_hps(folder: Path, state: object, name: str = "HPS_v2_compressed.pt") -> Path:
    write_words(folder)
    (folder / "open_clip_config.json").write_text(json.dumps(open_clip_config(24)))
    torch.save({"state_dict": state}, folder / name)
    return folder


def write_pick(folder: Path) -> Path:
    write_words(folder)
    (folder / "open_clip_config.json").unlink()
    shape = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": DEPTH,
        "num_attention_heads": HEADS,
        "hidden_act": "gelu",
    }
    marks = {"eos_token_id": 27, "bos_token_id": 2, "pad_token_id": 0}
    text = {**shape, **marks, "vocab_size": 28, "max_position_embeddings": LENGTH}
    vision = {**shape, "image_size": SIDE, "patch_size": 16}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=24)
        model = lively(CLIPModel(config))
        model.logit_scale.data.fill_(math.log(80.0))
        model.save_pretrained(folder)
    CLIPImageProcessor(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def hps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_hps(tmp_path_factory.mktemp("hps"), hps_state())


@pytest.fixture(scope="module")
def pick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pick(tmp_path_factory.mktemp("pick"))


class Straight:
    """A transformer written out with the names of a file."""

    def __init__(self, state: State) -> None:
        self.state = {k: v.float() for k, v in state.items()}

    def linear(self, name: str, x: Tensor) -> Tensor:
        return x @ self.state[f"{name}.weight"].T + self.state[f"{name}.bias"]

    def norm(self, name: str, x: Tensor) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        spread = (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        return centred / spread * self.state[f"{name}.weight"] + self.state[f"{name}.bias"]

    @staticmethod
    def attend(q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
        q, k, v = (x.view(len(x), HEADS, -1).transpose(0, 1) for x in (q, k, v))
        weights = q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])
        if causal:
            weights = weights + torch.full(weights.shape[1:], -math.inf).triu(1)
        return torch.as_tensor((weights.softmax(-1) @ v).transpose(0, 1).flatten(1))

    def patches(self, name: str, pixels: Tensor) -> Tensor:
        seen = functional.conv2d(pixels[None], self.state[name], None, 16)
        return seen.flatten(2)[0].T

    def open_clip(self, prefix: str, x: Tensor, causal: bool) -> Tensor:
        for i in range(DEPTH):
            block = f"{prefix}transformer.resblocks.{i}"
            given = self.norm(f"{block}.ln_1", x)
            weight, bias = (self.state[f"{block}.attn.in_proj_{n}"] for n in ("weight", "bias"))
            q, k, v = (given @ weight.T + bias).chunk(3, -1)
            x = x + self.linear(f"{block}.attn.out_proj", self.attend(q, k, v, causal))
            inner = functional.gelu(self.linear(f"{block}.mlp.c_fc", self.norm(f"{block}.ln_2", x)))
            x = x + self.linear(f"{block}.mlp.c_proj", inner)
        return x

    def transformers(self, prefix: str, x: Tensor, causal: bool) -> Tensor:
        for i in range(DEPTH):
            layer = f"{prefix}.encoder.layers.{i}"
            given = self.norm(f"{layer}.layer_norm1", x)
            q, k, v = (self.linear(f"{layer}.self_attn.{n}_proj", given) for n in "qkv")
            x = x + self.linear(f"{layer}.self_attn.out_proj", self.attend(q, k, v, causal))
            given = self.norm(f"{layer}.layer_norm2", x)
            x = x + self.linear(
                f"{layer}.mlp.fc2", functional.gelu(self.linear(f"{layer}.mlp.fc1", given))
            )
        return x


def tokens_of(prompt: str, folder: Path) -> list[int]:
    words = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    return [words["[BOS]"], *(words[word] for word in prompt.split()), words["[EOS]"]]


def cosine(seen: Tensor, said: Tensor) -> float:
    return float(seen @ said / seen.norm() / said.norm())


def straight_hps(state: State, picture: np.ndarray, tokens: list[int]) -> float:
    """The published computation: a tensor first, the longer side to the model's, black around."""
    net = Straight(state)
    values = torch.tensor(picture).permute(2, 0, 1) / 255
    height, width = values.shape[1:]
    scale = SIDE / max(height, width)
    size = (round(height * scale), round(width * scale))
    values = functional.interpolate(values[None], size, mode="bicubic", antialias=True)[0]
    high, wide = SIDE - size[0], SIDE - size[1]
    values = functional.pad(values, (wide // 2, wide - wide // 2, high // 2, high - high // 2))
    x = net.patches("visual.conv1.weight", (values - MEAN) / STD)
    x = torch.cat([net.state["visual.class_embedding"][None], x])
    x = net.norm("visual.ln_pre", x + net.state["visual.positional_embedding"])
    x = net.open_clip("visual.", x, causal=False)
    seen = net.norm("visual.ln_post", x[0]) @ net.state["visual.proj"]
    x = net.state["token_embedding.weight"][tokens]
    x = net.open_clip("", x + net.state["positional_embedding"][: len(tokens)], causal=True)
    return cosine(seen, net.norm("ln_final", x[-1]) @ net.state["text_projection"])


def straight_pick(folder: Path, picture: np.ndarray, tokens: list[int]) -> float:
    """The published computation: resized as bytes, cropped, standardised; 100 times the cosine."""
    from safetensors.torch import load_file

    net = Straight(load_file(folder / "model.safetensors"))
    values = torch.tensor(picture).permute(2, 0, 1)
    scale = SIDE / min(values.shape[1:])
    size = (int(values.shape[1] * scale), int(values.shape[2] * scale))
    values = functional.interpolate(values[None], size, mode="bicubic", antialias=True)[0]
    top, left = (size[0] - SIDE) // 2, (size[1] - SIDE) // 2
    values = values[:, top : top + SIDE, left : left + SIDE] / 255
    vision, text = "vision_model", "text_model"
    x = net.patches(f"{vision}.embeddings.patch_embedding.weight", (values - MEAN) / STD)
    x = torch.cat([net.state[f"{vision}.embeddings.class_embedding"][None], x])
    x = x + net.state[f"{vision}.embeddings.position_embedding.weight"]
    x = net.transformers(vision, net.norm(f"{vision}.pre_layrnorm", x), causal=False)
    seen = net.norm(f"{vision}.post_layernorm", x[0]) @ net.state["visual_projection.weight"].T
    x = net.state[f"{text}.embeddings.token_embedding.weight"][tokens]
    x = x + net.state[f"{text}.embeddings.position_embedding.weight"][: len(tokens)]
    x = net.norm(f"{text}.final_layer_norm", net.transformers(text, x, causal=True)[-1])
    said = x @ net.state["text_projection.weight"].T
    return float(net.state["logit_scale"].exp()) * cosine(seen, said)


def values(spec: str, shown: list[Sample]) -> list[float]:
    scores = load(spec).score(shown)
    assert [score.failure for score in scores] == [None] * len(shown)
    return [score.values[spec] for score in scores]


def test_hps_equals_the_computation_written_out(hps: Path) -> None:
    state, shown = hps_state(), samples(6)
    expected = [
        straight_hps(state, np.asarray(s.pixels), tokens_of(s.prompt.text, hps)) for s in shown
    ]
    assert max(expected) - min(expected) > 0.05
    assert values(f"hps:{hps}", shown) == pytest.approx(expected, abs=1e-5)
    file = hps / "HPS_v2_compressed.pt"
    assert values(f"hps:{file}", shown) == pytest.approx(expected, abs=1e-5)


def test_pick_equals_the_computation_written_out(pick: Path) -> None:
    shown = samples(6)
    expected = [
        straight_pick(pick, np.asarray(s.pixels), tokens_of(s.prompt.text, pick)) for s in shown
    ]
    assert max(expected) - min(expected) > 1
    assert values(f"pick:{pick}", shown) == pytest.approx(expected, abs=8e-4)
    assert [v / 80 for v in values(f"pick:{pick}", shown)] == pytest.approx(
        [v / 80 for v in expected], abs=1e-5
    )


@pytest.mark.parametrize("kind", ["hps", "pick"])
def test_sixteen_at_once_score_as_sixteen_alone(kind: str, request: pytest.FixtureRequest) -> None:
    spec, shown = f"{kind}:{request.getfixturevalue(kind)}(batch=4)", samples(16)
    alone = [values(spec, [sample])[0] for sample in shown]
    assert values(spec, shown) == pytest.approx(alone, abs=1e-6)


@pytest.mark.parametrize("kind", ["hps", "pick"])
def test_the_card_says_what_decides_the_scores(kind: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(kind)
    cards: list[Any] = [
        getattr(load(f"{kind}:{folder}{o}"), "card")  # noqa: B009 - optional
        for o in ("", "(dtype=bfloat16)")
    ]
    most = {"hps": 1.0, "pick": 80.0}[kind]
    assert (cards[0].low, cards[0].high) == pytest.approx((-most, most))
    assert {"hps": "longer side,bicubic", "pick": "80*cosine"}[kind] in cards[0].version
    assert cards[0].version.replace("fp32", "bf16") == cards[1].version


@pytest.mark.parametrize(
    ("spec", "repository", "file"),
    [
        ("hps", "xswu/HPSv2", "HPS_v2_compressed.pt"),
        ("hps:v2.1", "xswu/HPSv2", "HPS_v2.1_compressed.pt"),
        ("pick", "yuvalkirstain/PickScore_v1", "config.json and model.safetensors"),
    ],
)
def test_published_files_are_read_from_the_cache(
    spec: str,
    repository: str,
    file: str,
    hps: Path,
    pick: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        UserError,
        match=rf"^verifier {spec}: {file} of {repository} are not on the disk; "
        rf"noise-search prefetch '{spec}' fetches them$",
    ):
        load(spec)
    cache = tmp_path / f"models--{repository.replace('/', '--')}"
    shutil.copytree(pick if spec == "pick" else hps, cache / "snapshots" / "0123abcd")
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("0123abcd")
    if spec == "hps:v2.1":
        folder = cache / "snapshots" / "0123abcd"
        (folder / "HPS_v2_compressed.pt").rename(folder / file)
    card: Any = getattr(load(spec), "card")  # noqa: B009 - optional
    assert (card.source, card.flops) == (repository, 334_590_279_680)
    expected = values(f"pick:{pick}" if spec == "pick" else f"hps:{hps}", samples(2))
    assert values(spec, samples(2)) == expected
    with pytest.raises(UserError, match=rf"of {repository} at v9 are not on the disk"):
        load(f"{spec}(revision=v9)")


def test_the_processor_of_pick_may_lie_in_the_cache(
    pick: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    weights, words = (
        tmp_path / "weights",
        tmp_path / "models--laion--CLIP-ViT-H-14-laion2B-s32B-b79K",
    )
    weights.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(pick / name, weights / name)
    with pytest.raises(
        UserError, match=r"^verifier pick: preprocessor_config.json and .* of laion/CLIP-"
    ):
        load(f"pick:{weights}")
    (words / "snapshots" / "0123abcd").mkdir(parents=True)
    (words / "refs").mkdir()
    (words / "refs" / "main").write_text("0123abcd")
    for name in ("preprocessor_config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(pick / name, words / "snapshots" / "0123abcd" / name)
    assert values(f"pick:{weights}", samples(2)) == values(f"pick:{pick}", samples(2))


def drop(name: str) -> Callable[[dict[str, Any]], object]:
    return lambda state: state.pop(name)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (drop("visual.ln_post.bias"), "HPS_v2_compressed.pt lacks visual.ln_post.bias"),
        (lambda s: s.update({"extra": torch.ones(1)}), "has extra, which the model does not know"),
        (lambda s: s.update({"ln_final.bias": torch.ones(3)}), r"is \(3,\), expected \(32,\)"),
        (lambda s: s.update({"ln_final.bias": "words"}), "is not a file of weights: expected"),
        (lambda s: s.update({"ln_final.bias": Path("x")}), "is not a file of weights: Weights"),
    ],
)
def test_a_file_that_is_not_the_published_one_is_told_in_one_line(
    tmp_path: Path, spoil: Callable[[dict[str, Any]], object], said: str
) -> None:
    state: dict[str, Any] = hps_state()
    spoil(state)
    with pytest.raises(UserError, match=f"^verifier hps:[^\n]*{said}[^\n]*$"):
        load(f"hps:{write_hps(tmp_path, state)}")


def test_what_lacks_is_named(hps: Path, tmp_path: Path) -> None:
    for spec, said in {
        f"hps:{tmp_path}": r"no file HPS\*\.pt in '",
        f"hps:{tmp_path}/absent.pt": r"no file '.*absent.pt'$",
        "hps:v2.11": r"unknown version 'v2.11'; did you mean 'v2.1'\?$",
        "hps#x": "is not of the form",
        "hpss": r"did you mean 'hps'\?$",
        f"hps:{hps}(devise=cpu)": r"did you mean 'device'\?$",
        f"pick:{tmp_path}": r"no weights \(\*.safetensors\) in",
        f"pick:{tmp_path}/absent": "no folder '",
        "pik": r"did you mean 'pick'\?$",
        "pick(dtype=float8)": "dtype=float8: input should be 'float32'",
    }.items():
        with pytest.raises(UserError, match=said) as error:
            load(spec)
        assert "\n" not in str(error.value)
    write_hps(tmp_path, hps_state())
    (tmp_path / "open_clip_config.json").write_text("{}")
    with pytest.raises(UserError, match=r"open_clip_config.json: 'model_cfg'$"):
        load(f"hps:{tmp_path}")
    write_hps(tmp_path, hps_state(), "HPS_v2.1_compressed.pt")
    with pytest.raises(UserError, match=r"name one of HPS_v2.1_compressed.pt, HPS_v2_compressed"):
        load(f"hps:{tmp_path}")


def test_nothing_is_shown_while_models_are_loaded(
    hps: Path, pick: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for spec in (f"hps:{hps}", f"pick:{pick}", f"clip:{pick}"):
        load(spec)
    assert capfd.readouterr() == ("", "")


def test_loading_draws_no_random_numbers_of_others(hps: Path, pick: Path) -> None:
    before = torch.random.get_rng_state()
    for spec in (f"hps:{hps}", f"pick:{pick}", "shapes-clip"):
        load(spec)
    assert torch.equal(torch.random.get_rng_state(), before)
