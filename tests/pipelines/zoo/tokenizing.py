"""Tokenizers of the published classes whose vocabulary is the alphabet, built without a file."""

from __future__ import annotations

from string import printable
from typing import Any

import transformers
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as Joined
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.processors import TemplateProcessing

library: Any = transformers

START, END = "<|startoftext|>", "<|endoftext|>"
SIGHTS = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
ROLES = ["system", "user", "assistant", "Describe"]
WORDS = [
    "the",
    "image",
    "by",
    "detailing",
    "color",
    "shape",
    "size",
    "texture",
    "quantity",
    "text",
    "spatial",
    "relationships",
    "of",
    "objects",
    "and",
    "background",
]
CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PARTS = (
    "<s>{% for message in messages if message.role == 'user' %}[INST]"
    "{% for part in message.content if part.type == 'text' %}{{ part.text }}{% endfor %}[/INST]"
    "{% endfor %}"
)


def clip_tokenizer(pad: str = END) -> Any:
    """CLIP's byte-level tokenizer; `pad` is "!" for the second of SDXL."""
    letters = sorted(ByteLevel.alphabet())
    vocab = [*letters, *(f"{letter}</w>" for letter in letters), START, END]
    return library.CLIPTokenizer(
        vocab=_numbered(vocab), merges=[], pad_token=pad, model_max_length=77
    )


def t5_tokenizer(length: int = 64) -> Any:
    """A unigram tokenizer of T5's kind: pad 0, end 1, unknown 2."""
    pieces = ["<pad>", "</s>", "<unk>", "▁", *_letters()]
    scores = [(piece, 0.0 if at < 3 else -1.0) for at, piece in enumerate(pieces)]
    return library.T5Tokenizer(vocab=scores, extra_ids=0, model_max_length=length)


def bert_tokenizer() -> Any:
    """A word-piece tokenizer of BERT's kind."""
    marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    inner = [f"##{letter}" for letter in _letters()]
    return library.BertTokenizer(
        vocab=_numbered([*marks, *_letters(), *inner]), model_max_length=77
    )


def gemma_tokenizer() -> Any:
    """Gemma's tokenizer: pad 0, end 1, start 2."""
    marks = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    vocab = _numbered([*marks, "▁", "\n", *_letters()])
    return library.GemmaTokenizer(vocab=vocab, merges=[])


def llama_tokenizer() -> Any:
    """LLaMA's: unknown 0, start 1, end 2, pads on the left as it was published."""
    vocab = _numbered(["<unk>", "<s>", "</s>", "<pad>", "▁", *_letters()])
    return library.LlamaTokenizer(
        vocab=vocab,
        merges=[],
        pad_token="<pad>",  # noqa: S106
        padding_side="right",
    )


def glm_tokenizer() -> Any:
    """GLM's: pads on the left, and starts a text with two marks."""
    vocab = _numbered([*sorted(ByteLevel.alphabet()), "<|endoftext|>", "[gMASK]", "<sop>"])
    tokenizer = Tokenizer(BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = Joined()
    tokenizer.post_processor = TemplateProcessing(
        single="[gMASK] <sop> $A",
        special_tokens=[(mark, vocab[mark]) for mark in ("[gMASK]", "<sop>")],
    )
    return library.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=END,
        eos_token=END,
        padding_side="left",
        additional_special_tokens=["[gMASK]", "<sop>"],
    )


def qwen_tokenizer(*, sees: bool = False) -> Any:
    """Qwen's tokenizer. Words of instructions are tokens: pipelines cut them off by number.

    Args:
        sees: whether it has the tokens that stand for a picture.
    """
    vocab = _numbered([*sorted(ByteLevel.alphabet()), END, "<|im_start|>", "<|im_end|>"])
    tokenizer = library.Qwen2Tokenizer(vocab=vocab, merges=[])
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.add_tokens([*ROLES, *(f" {word}" for word in WORDS)])
    if sees:
        tokenizer.add_special_tokens({"additional_special_tokens": [*SIGHTS]})
    tokenizer.chat_template = CHAT
    return tokenizer


def qwen_processor(tokenizer: Any) -> Any:
    """Qwen's processor of texts and pictures, in patches of 14 pixels, merged two by two."""
    sizes = {"min_pixels": 28 * 28, "max_pixels": 28 * 28 * 16}
    return library.Qwen2VLProcessor(
        image_processor=library.Qwen2VLImageProcessor(patch_size=14, merge_size=2, **sizes),
        tokenizer=tokenizer,
        video_processor=library.Qwen2VLVideoProcessor(**sizes),
        chat_template=tokenizer.chat_template,
    )


def mistral_processor() -> Any:
    """Pixtral's processor, by which FLUX.2 reads conversations; texts alone are given to it."""
    marks = [
        "<unk>",
        "<s>",
        "</s>",
        "<pad>",
        "[INST]",
        "[/INST]",
        "[IMG]",
        "[IMG_BREAK]",
        "[IMG_END]",
    ]
    vocab = _numbered([*marks, *sorted(ByteLevel.alphabet())])
    tokenizer = Tokenizer(BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = Joined()
    return library.PixtralProcessor(
        image_processor=library.PixtralImageProcessor(size={"longest_edge": 28}, patch_size=14),
        tokenizer=library.PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            bos_token="<s>",  # noqa: S106
            eos_token="</s>",  # noqa: S106
            unk_token="<unk>",  # noqa: S106
            pad_token="<pad>",  # noqa: S106
            additional_special_tokens=marks[4:],
        ),
        chat_template=PARTS,
    )


def _letters() -> list[str]:
    return [letter for letter in printable if not letter.isspace()]


def _numbered(vocab: list[str]) -> dict[str, int]:
    return {token: at for at, token in enumerate(vocab)}
