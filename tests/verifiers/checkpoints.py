"""Tiny process reward models of random weights, written in the formats they are published in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers as pre
from tokenizers.processors import TemplateProcessing
from transformers import (
    BertConfig,
    BertForTokenClassification,
    GPT2Config,
    GPT2ForTokenClassification,
    LlamaConfig,
    LlamaForTokenClassification,
    MistralConfig,
    MistralForCausalLM,
    MistralForTokenClassification,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForTokenClassification,
    Qwen2Model,
)

from noise_search.ask import Prompt
from noise_search.pipelines.arithmetic.tokens import new_tokenizer
from noise_search.problem import Sample, Score
from noise_search.text import Step, Text
from noise_search.verifiers.process_files import save

LONGEST = 96
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_BYTES = sorted(pre.ByteLevel.alphabet())
_SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": LONGEST,
}
_BERT = {name: size for name, size in _SIZES.items() if name != "num_key_value_heads"}
_GPT2: dict[str, Any] = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": LONGEST}
BACKBONES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "llama": (LlamaConfig, LlamaForTokenClassification, _SIZES),
    "qwen2": (Qwen2Config, Qwen2ForTokenClassification, _SIZES),
    "mistral": (MistralConfig, MistralForTokenClassification, _SIZES),
    "gpt2": (GPT2Config, GPT2ForTokenClassification, _GPT2),
    "bert": (BertConfig, BertForTokenClassification, _BERT),
}

LINES = ["4 * 2 = 8\n", "3 + 8 = 11\n", "11 - 5 = 6\n", "answer 6"]
QUESTION = "3 + 4 * 2 - 5"
KINDS = [*BACKBONES, "shepherd", "qwen-prm"]


def byte_tokenizer(*special: str, chat: bool = False) -> Any:
    """A token a byte, but one for a blank line, and special ones."""
    tokens = {token: i for i, token in enumerate([*_BYTES, "ĊĊ"])}
    tokenizer = Tokenizer(models.BPE(tokens, [("Ċ", "Ċ")]))
    tokenizer.pre_tokenizer = pre.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in special])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=CHAT if chat else None)


def shepherd_tokenizer(tag: str) -> Any:
    """Like Llama's: spaces begin words, and a few words have a token of their own."""
    unknown, begin = "<unk>", "<s>"
    letters = [unknown, begin, "▁", "\n", *"0123456789*=+-", *"answer", *tag]
    merges = [(tag[0], tag[1]), ("▁", "+"), ("▁", "-"), ("▁", tag)]
    words = dict.fromkeys([*letters, *(a + b for a, b in merges)])
    model = models.BPE({word: i for i, word in enumerate(words)}, merges, unk_token=unknown)
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.post_processor = TemplateProcessing(single=f"{begin} $A", special_tokens=[(begin, 1)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token=unknown, bos_token=begin)


def classifier(backbone: str, tokenizer: Any, labels: int = 1) -> Any:
    """A model for token classification whose scores differ well."""
    config, network, sizes = BACKBONES[backbone]
    torch.manual_seed(1)
    found = config(vocab_size=len(tokenizer), num_labels=labels, **sizes)
    return _lively(network(found).eval())


def write_classifier(folder: Path, backbone: str) -> Path:
    """Our own format; Llama with the arithmetic tokenizer, Qwen2 with a chat template."""
    chat = ("<|im_start|>", "<|im_end|>") if backbone == "qwen2" else ()
    tokenizer = new_tokenizer() if backbone == "llama" else byte_tokenizer(*chat, chat=bool(chat))
    save(folder, classifier(backbone, tokenizer), tokenizer)
    return folder


def write_shepherd(folder: Path, tag: str = "ки") -> Path:
    """Math-Shepherd's format."""
    tokenizer = shepherd_tokenizer(tag)
    torch.manual_seed(2)
    model = MistralForCausalLM(MistralConfig(vocab_size=len(tokenizer), **_SIZES))
    _lively(model).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_qwen(folder: Path) -> Path:
    """Qwen2.5-Math-PRM's format: two files, an index, and code that nobody may run."""
    tokenizer = byte_tokenizer("<|im_start|>", "<|im_end|>", "<extra_0>", chat=True)
    torch.manual_seed(3)
    config = Qwen2Config(vocab_size=len(tokenizer), **{**_SIZES, "max_position_embeddings": 256})
    trunk = {f"model.{k}": v for k, v in _lively(Qwen2Model(config)).state_dict().items()}
    shapes = {"0.weight": (32, 32), "0.bias": (32,), "2.weight": (2, 32), "2.bias": (2,)}
    head = {f"score.{name}": torch.randn(shape) for name, shape in shapes.items()}
    tokenizer.save_pretrained(folder)
    where: dict[str, str] = {}
    for number, part in enumerate([trunk, head], 1):
        name = f"model-0000{number}-of-00002.safetensors"
        save_file(part, folder / name, metadata={"format": "pt"})
        where |= dict.fromkeys(part, name)
    index = {"metadata": {"total_size": 1}, "weight_map": where}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    strange = {"AutoModel": "evil.Qwen2ForProcessRewardModel", "AutoConfig": "evil.Config"}
    config_json = {
        **config.to_dict(),
        "architectures": ["Qwen2ForProcessRewardModel"],
        "auto_map": strange,
    }
    (folder / "config.json").write_text(json.dumps(config_json))
    (folder / "evil.py").write_text("raise SystemExit('code of a folder was run')\n")
    return folder


def _lively(model: Any) -> Any:
    """Weights large enough that every token matters."""
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.normal_(0, 0.3)
    return model


def written(*lines: str, question: str = QUESTION) -> Sample:
    """A sample of steps whose tokens are of another tokenizer: a verifier has its own."""
    text = Text(tuple(Step(line, (7,)) for line in lines))
    return Sample(Prompt("q", question), None, len(lines), 4, text)


def value(score: Score) -> float:
    assert score.failure is None
    [found] = score.values.values()
    return found


def said(score: Score) -> list[float]:
    return [float(word) for word in score.detail["step scores"].split()]
