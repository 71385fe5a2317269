"""Tiny vision-language models of the published classes, with tokenizers made on the spot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import AddedToken, Tokenizer
from tokenizers.decoders import ByteLevel as Joined
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

library: Any = transformers

SIDE, PATCH, HIDDEN, LAYERS, HEADS = 28, 14, 32, 2, 4
MARKS = ["<pad>", "<s>", "</s>", "<unk>", "<image>"]
LLAVA = (
    "{% for message in messages %}{{ message.role | upper }}: "
    "{% for part in message.content if part.type == 'image' %}<image>\n{% endfor %}"
    "{% for part in message.content if part.type == 'text' %}{{ part.text }}{% endfor %} "
    "{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
QWEN = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{% for part in message.content %}"
    "{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ part.text }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
IDEFICS = (
    "<|im_start|>{% for message in messages %}{{ message.role | capitalize }}:"
    "{% for part in message.content %}{% if part.type == 'text' %}{{ part.text }}"
    "{% else %}<image>{% endif %}{% endfor %}<end_of_utterance>\n{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
INTERN = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{% for part in message.content %}"
    "{% if part.type == 'image' %}<IMG_CONTEXT>\n{% else %}{{ part.text }}{% endif %}{% endfor %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TEXT = {
    "hidden_size": HIDDEN,
    "intermediate_size": 48,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
TOWER = {
    "hidden_size": HIDDEN,
    "intermediate_size": 48,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
}


def _tokenizer(
    marks: list[str], template: str, words: Sequence[str], named: dict[str, str] | None = None
) -> Any:
    letters = sorted(ByteLevel.alphabet())
    vocab = {token: at for at, token in enumerate([*marks, *letters])}
    merges: list[tuple[str, str]] = []
    for word in words:
        have = word[0]
        for letter in word[1:]:
            if (have, letter) not in merges:
                merges.append((have, letter))
                vocab.setdefault(have + letter, len(vocab))
            have += letter
    tokenizer = Tokenizer(BPE(vocab=vocab, merges=merges))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.decoder = Joined()
    tokenizer.add_special_tokens([AddedToken(mark, special=True) for mark in marks])
    made = library.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=marks[0],
        eos_token=marks[2],
        extra_special_tokens=named or marks[4:],
    )
    made.chat_template = template
    return made


def _shaken(make: Callable[[], Any], strong: float = 0.3) -> Any:
    """A model whose weights are random and not small, so that it has opinions; always the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = make()
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            spread = strong if weight.ndim > 1 else 0.05
            weight += torch.randn(weight.shape, generator=draw) * spread
    return model.eval()


def write_llava(folder: Path, answers: Sequence[str] = ()) -> Path:
    """LLaVA: a CLIP tower, a projector, and Llama; " Yes" is one token.

    Args:
        folder: where to.
        answers: tokens more; if there are any, the model says nothing else.
    """
    tokenizer = _tokenizer(MARKS, LLAVA, ["ĠYes"])
    plain = len(tokenizer)
    tokenizer.add_tokens([AddedToken(answer, normalized=False) for answer in answers])
    config = library.LlavaConfig(
        vision_config=library.CLIPVisionConfig(**TOWER, image_size=SIDE, patch_size=PATCH),
        text_config=library.LlamaConfig(**TEXT, vocab_size=len(tokenizer)),
        image_token_index=MARKS.index("<image>"),
        image_token_id=MARKS.index("<image>"),
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
    )
    processor = library.LlavaProcessor(
        image_processor=library.CLIPImageProcessor(
            size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
        ),
        tokenizer=tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        image_token="<image>",  # noqa: S106
        num_additional_image_tokens=1,
        chat_template=LLAVA,
    )
    model = _shaken(lambda: library.LlavaForConditionalGeneration(config))
    if answers:
        with torch.no_grad():
            model.lm_head.weight[:plain] = 0  # one of the answers is above
    return _saved(model, processor, folder)


def write_qwen(folder: Path) -> Path:
    """Qwen2-VL: pictures of any size; "Yes" is three tokens."""
    marks = [
        "<|endoftext|>",
        "<|im_start|>",
        "<|im_end|>",
        "<unk>",
        "<|vision_start|>",
        "<|vision_end|>",
        "<|image_pad|>",
        "<|video_pad|>",
    ]
    tokenizer = _tokenizer(marks, QWEN, [])
    at = {mark: number for number, mark in enumerate(marks)}
    config = library.Qwen2VLConfig(
        text_config={
            **TEXT,
            "vocab_size": len(tokenizer),
            "rope_parameters": {
                "rope_type": "default",
                "mrope_section": [1, 1, 2],
                "rope_theta": 10000.0,
            },
            "bos_token_id": 0,
        },
        vision_config={
            "depth": LAYERS,
            "embed_dim": HIDDEN,
            "hidden_size": HIDDEN,
            "num_heads": HEADS,
            "mlp_ratio": 2,
            "patch_size": PATCH,
        },
        image_token_id=at["<|image_pad|>"],
        video_token_id=at["<|video_pad|>"],
        vision_start_token_id=at["<|vision_start|>"],
        vision_end_token_id=at["<|vision_end|>"],
    )
    processor = library.Qwen2VLProcessor(
        image_processor=library.Qwen2VLImageProcessor(
            size={"shortest_edge": 28 * 28, "longest_edge": 56 * 56}, patch_size=PATCH
        ),
        tokenizer=tokenizer,
        video_processor=library.Qwen2VLVideoProcessor(patch_size=PATCH),
        chat_template=QWEN,
    )
    return _saved(
        _shaken(lambda: library.Qwen2VLForConditionalGeneration(config)), processor, folder
    )


def write_idefics(folder: Path) -> Path:
    """Idefics3, as SmolVLM is: a picture is cut into tiles, each with a mark of its place."""
    tiles = [f"<row_{row}_col_{column}>" for row in (1, 2) for column in (1, 2)]
    marks = ["<pad>", "<|im_start|>", "<end_of_utterance>", "<unk>", "<image>"]
    marks += ["<fake_token_around_image>", "<global-img>", *tiles]
    tokenizer = _tokenizer(marks, IDEFICS, ["ĠYes"])
    config = library.Idefics3Config(
        vision_config={**TOWER, "image_size": SIDE, "patch_size": PATCH},
        text_config={**TEXT, "model_type": "llama", "vocab_size": len(tokenizer)},
        image_token_id=marks.index("<image>"),
        scale_factor=2,
    )
    processor = library.Idefics3Processor(
        image_processor=library.Idefics3ImageProcessor(
            size={"longest_edge": 2 * SIDE}, max_image_size={"longest_edge": SIDE}
        ),
        tokenizer=tokenizer,
        image_seq_len=1,
        chat_template=IDEFICS,
    )
    return _saved(
        _shaken(lambda: library.Idefics3ForConditionalGeneration(config)), processor, folder
    )


def write_internvl(
    folder: Path,
    tower: Mapping[str, object] = TOWER,
    text: Mapping[str, object] = TEXT,
    side: int = SIDE,
    words: Sequence[str] = ("Yes",),
    strong: float = 0.3,
) -> Path:
    """InternVL: a tower of its own, tiles, and Qwen2.

    Args:
        folder: where to.
        tower: sizes of the tower.
        text: sizes of the language model.
        side: of a tile, in pixels.
        words: that are a token each.
        strong: how random the weights are; less where they are many.
    """
    marks = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<unk>"]
    named = {
        "context_image_token": "<IMG_CONTEXT>",
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "video_token": "<video>",
    }
    marks += named.values()
    tokenizer = _tokenizer(marks, INTERN, words, named)
    length = (side // PATCH // 2) ** 2
    config = library.InternVLConfig(
        vision_config={**tower, "image_size": (side, side), "patch_size": (PATCH, PATCH)},
        text_config={"vocab_size": len(tokenizer), **text, "model_type": "qwen2"},
        image_token_id=marks.index("<IMG_CONTEXT>"),
        image_seq_length=length,
        downsample_ratio=0.5,
    )
    size = {"height": side, "width": side}
    processor = library.InternVLProcessor(
        image_processor=library.GotOcr2ImageProcessor(
            size=size, crop_to_patches=True, max_patches=4
        ),
        tokenizer=tokenizer,
        video_processor=library.InternVLVideoProcessor(size=size),
        image_seq_length=length,
        chat_template=INTERN,
    )
    return _saved(
        _shaken(lambda: library.InternVLForConditionalGeneration(config), strong),
        processor,
        folder,
    )


def _saved(model: Any, processor: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
